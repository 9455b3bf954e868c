#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a compiler does not check: who may include what, licences, white space, paths in documents, scripts, and that the manual page
# and --help name the same flags. Prints each offence; exit 1 when there was one.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
failed=0

offence() {
    failed=1
    echo "$*"
}

# The files of the tree: what git knows, or without git what is there, and never what was built.
if git -c safe.directory='*' rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    files=$(git -c safe.directory='*' ls-files --cached --others --exclude-standard | sort -u)
else
    files=$(find . -name .git -prune -o -name 'build*' -prune -o -type f -print | sed 's|^\./||' | sort)
fi
existing() {
    for f in $files; do [ -f "$f" ] && echo "$f"; done
}
files=$(existing)

# of PATTERN: the files whose path matches
of() {
    echo "$files" | grep -E "$1"
}

# only PATTERN WHERE WHY: lines of C code that match PATTERN may stand only in files that match WHERE.
only() {
    for f in $(of '^(bpf|include|user)/.*\.[ch]$' | grep -E -v "$2"); do
        grep -nE "$1" "$f" | sed "s|^|$f:|; s|\$|    <- $3|"
    done | grep . && failed=1
}
only '#include <(cjson/)?cJSON\.h>' '^user/kube/decode[a-z_]*\.c$' 'cJSON only in user/kube/decode*.c'
only '#include (<curl/|"kube/client_curl\.h")' '^user/kube/client(_[a-z]+)?\.[ch]$' 'libcurl only in user/kube/client*.c'
only '#include <yaml\.h>' '^user/kube/config_[a-z]+\.c$' 'libyaml only in user/kube/config_*.c'
only '#include <bpf/(libbpf|bpf|btf)\.h>' '^user/(kernel/|cmd_version\.c$)' 'libbpf only in user/kernel/ (and its version in cmd_version.c)'
only '#include ["<](nodens|records)\.skel\.h' '^user/kernel/' 'the skeleton only in user/kernel/'
only '#include <libmnl/' '^user/kernel/' 'libmnl only in user/kernel/'
only 'struct (__sk_buff|xdp_md)' '^(bpf/(hook_[a-z]+\.bpf\.h|nodens(_xdp)?\.bpf\.c)|user/kernel/.*)$' 'hook types only in the entries and bpf/hook_*.bpf.h'
# The layers: base knows nothing of DNS, Kubernetes or BPF; dns does no I/O; kernel knows no objects.
only '#include "(dns|kube|kernel|source)/' '^(user/(dns|kube|kernel|source)/|user/[^/]*$|bpf/|include/)' 'user/base stands below all others'
only '#include "(kernel|source)/' '^(user/(kernel|source)/|user/[^/]*$)' 'dns and kube know nothing of kernel and source'
only '#include "(kube|source|dns/(records|render|zonefile))' '^(user/(dns|kube|source)/|user/[^/]*$)' 'kernel knows no objects and no records'
only '#include <(unistd|sys/epoll|fcntl)\.h>' '^(bpf|include|user/(base|kube|kernel|source)|user/[^/]*$)' 'dns does no I/O'

# Licences: one SPDX line among the first three. What the kernel loads, and the contract with it, is GPL-2.0-only OR BSD-2-Clause.
for f in $(of '(\.([ch]|py|sh|mk|bpf\.[ch])|/(run|packages|Makefile))$|^Makefile$'); do
    case $f in
    bpf/* | include/nodens/*) licence='GPL-2\.0-only OR BSD-2-Clause' ;;
    *) licence='Apache-2\.0|GPL-2\.0-only OR BSD-2-Clause' ;;
    esac
    head -n 3 "$f" | grep -qE "SPDX-License-Identifier: ($licence)( |\$)" || offence "$f: no SPDX line of its licence"
done

# White space. Zone files and recordings are data.
for f in $(of '(\.([ch]|py|sh|mk|md|8|json)|/run|^Makefile)$' | grep -v '^tests/data/'); do
    grep -nE '[ 	]+$' "$f" | sed "s|^|$f:|; s|\$|<- trailing white space|" | grep . && failed=1
    [ -z "$(tail -c 1 "$f")" ] || offence "$f: no newline at the end"
done
for f in $(of '\.[ch]$'); do
    expand -t8 "$f" | awk -v f="$f" 'length($0) > 160 { print f ":" NR ": " length($0) " columns"; bad = 1 } END { exit bad }' || failed=1
done

# The repository speaks of the product only, and of no machine's folders.
for f in $(of '.' | grep -v '^tests/lint\.sh$'); do
    grep -nIE -e '(^|[^A-Za-z])(TODO|FIXME|XXX)([^A-Za-z]|$)|/(root|home)/[a-z.]' -e "$PWD/" "$f" | sed "s|^|$f:|" | grep . && failed=1
done

# Documents name files of the tree, and link to files, that are there. A path with … or * stands for many.
documents=$(of '\.md$')
# shellcheck disable=SC2016,SC2086 # no expansion in a pattern; paths without blanks
grep -oHE '(^|[ `("])(tests|user|docs|deploy|mk|include|examples)/[^] `"(),;:|]*' $documents | sed 's/:[ `("]/:/; s/\.$//' | while IFS=: read -r f path; do
    case $path in *…* | *\**) continue ;; esac
    [ -e "$path" ] || echo "$f: there is no $path"
done | grep . && failed=1
# shellcheck disable=SC2086 # paths without blanks
grep -oHE '\]\([^)#]+' $documents | sed 's/:\](/ /' | while read -r f path; do
    case $path in *://*) continue ;; esac
    [ -e "$(dirname "$f")/$path" ] || echo "$f: links to $path, which is not there"
done | grep . && failed=1

if command -v shellcheck >/dev/null 2>&1; then
    # shellcheck disable=SC2046 # paths without blanks
    shellcheck -x $(for f in $(of '.'); do head -c 20 "$f" | grep -aqE '^#! ?/bin/(ba)?sh' && echo "$f"; done) || failed=1
else
    echo "shellcheck is not installed: scripts were not checked"
fi
for f in $(of '\.py$|^tests/run$'); do
    python3 -c 'import ast, sys; ast.parse(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1])' "$f" || failed=1
done

# The manual page and --help name the same flags and commands.
flags() {
    grep -oE -- '--[a-z][a-z-]+' | sort -u
}
if [ -x "$BUILD/nodens" ] && [ -f docs/man/nodens.8 ]; then
    commands=$("$BUILD/nodens" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p')
    [ -n "$commands" ] || offence "$BUILD/nodens --help names no command"
    help=$({ "$BUILD/nodens" --help; for c in $commands; do "$BUILD/nodens" "$c" --help; done; } | flags)
    page=$(sed 's/\\-/-/g' docs/man/nodens.8)
    for flag in $help; do
        echo "$page" | grep -qE -- "$flag([^a-z-]|\$)" || offence "docs/man/nodens.8: $flag of --help is missing"
    done
    for flag in $(echo "$page" | flags); do
        echo "$help" | grep -qxe "$flag" || offence "docs/man/nodens.8: $flag is in no --help"
    done
    for c in $commands; do
        echo "$page" | grep -qw "$c" || offence "docs/man/nodens.8: the command $c is missing"
    done
else
    echo "no $BUILD/nodens or no manual page: flags were not compared"
fi

[ "$failed" -eq 0 ] && echo "lint: nothing found"
exit "$failed"
