#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make demo`: a node and a pod, a real name server as the upstream, real queries and real load, with and without nodens.
# Ends by itself in less than a minute and leaves nothing behind.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
enter 100 "$0" "$@"

SERVICE=postgresql-svc.k8s-training.svc.cluster.local
LOAD_S=3

step() {
    printf '\n== %s\n' "$*"
}

# show POD|NODE COMMAND…: the command as one would type it there, then what it prints.
show() {
    local where=$1
    shift
    printf '%s# %s\n' "$where" "${*/#$NODENS/nodens}"
    # dig warns about names below .local and about servers that do not recurse, whoever answers.
    "in_$where" "$@" 2>&1 | sed -e '/^;; WARNING: /d' -e '/^;; You are currently testing/d' -e 's/^/    /'
}

# asked COMMAND…: runs it and tells how many queries reached the upstream meanwhile.
asked() {
    local before
    before=$(upstream_queries)
    "$@"
    printf '    -> reached the upstream: %d\n' $(($(upstream_queries) - before))
}

# figure FILE WHAT: a number of dnsperf's report.
figure() {
    awk -v what="$2" -F ':' 'index($1, what) { split($2, word, /[ (%]+/); print word[2]; exit }' "$WORK/$1"
}

declare -A qps latency sent lost upstream

# load NAME: two runs of dnsperf, their figures under that name. At a steady 5,000 queries a second nobody waits in a queue:
# what is left is the way itself.
load() {
    local before
    echo "dnsperf, as fast as it can, $LOAD_S s"
    before=$(upstream_queries)
    in_pod dnsperf -s "$DNS" -d "$WORK/load" -l "$LOAD_S" -c 8 -q 200 -T 2 >"$WORK/perf" 2>&1 || cat "$WORK/perf"
    upstream[$1]=$(($(upstream_queries) - before))
    sent[$1]=$(figure perf 'Queries sent')
    lost[$1]=$(figure perf 'Queries lost')
    qps[$1]=$(figure perf 'Queries per second' | cut -d . -f 1)
    echo "dnsperf, 5,000 queries a second, 2 s"
    in_pod dnsperf -s "$DNS" -d "$WORK/load" -l 2 -c 4 -Q 5000 >"$WORK/perf" 2>&1 || cat "$WORK/perf"
    latency[$1]=$(figure perf 'Average Latency' | awk '{ printf "%.0f", $1 * 1e6 }')
    printf '    %s queries/s, %s us on average; reached the upstream: %s of %s\n' "${qps[$1]}" "${latency[$1]}" "${upstream[$1]}" "${sent[$1]}"
}

# Of what bpftool prints, the part for people.
readable() {
    case $1 in
    config) grep -E '"(gate|ttl_s|soa_serial|zone|answer)"' ;;
    verdicts) grep -vE ': 0,?$' ;;
    *) cat ;;
    esac
}

step "A node and a pod: two network namespaces and a veth pair. Upstream: knotd at $DNS"
setup_mounts
setup_network
start_upstream
write_load

step "Without nodens: every query goes to the upstream"
asked show pod dig "@$DNS" "$SERVICE" A +noall +answer
load before

step "The agent starts: cluster state from a file as kubectl writes it, three capabilities"
printf 'node# nodens run --source file:objects.json --stale-after %ss\n' "$STALE_AFTER_S"
start_agent
sed 's/^/    /' "$WORK/agent.log" | cut -c 1-160

step "Answered in the kernel, at the pod's own veth"
asked show pod dig "@$DNS" "$SERVICE" A
asked show pod dig "@$DNS" "_postgresql-port._tcp.$SERVICE" SRV +noall +answer +additional
asked show pod dig "@$DNS" "$SERVICE" AAAA +noall +comments +authority

step "Not a name of the cluster: goes on to the upstream, untouched"
asked show pod dig "@$DNS" www.example.com A +noall +answer

step "The StatefulSet is scaled to three: the file is replaced"
cp "$EXAMPLE/objects.json" "$OBJECTS.new"
started=$(date +%s%N)
mv "$OBJECTS.new" "$OBJECTS"
until [ "$(in_pod dig "@$DNS" "$SERVICE" A +short | wc -l)" = 3 ]; do :; done
printf '    three addresses after %d ms (a dig takes most of them)\n' $((($(date +%s%N) - started) / 1000000))
for _ in 1 2 3; do
    asked show pod dig "@$DNS" "$SERVICE" A +noall +answer
done

step "The same load again"
load after

step "What the agent says"
show node "$NODENS" status
show node "$NODENS" lookup "postgresql-sfs-2.$SERVICE" A
show node "$NODENS" lookup www.example.com A

step "The same by bpftool, without nodens"
for map in servers4 config verdicts; do
    printf 'node# bpftool map dump pinned /sys/fs/bpf/nodens/current/%s\n' "$map"
    bpftool map dump pinned "/sys/fs/bpf/nodens/current/$map" | readable "$map" | sed 's/^/    /'
done

step "The agent is killed: the datapath goes on, and after --stale-after ($STALE_AFTER_S s) lets everything pass"
kill -KILL "$AGENT"
wait "$AGENT" 2>/dev/null
asked show pod dig "@$DNS" "postgresql-sfs-0.$SERVICE" A +noall +answer
sleep "$STALE_AFTER_S.3"
asked show pod dig "@$DNS" "postgresql-sfs-0.$SERVICE" A +noall +answer

step "Removed"
show node "$NODENS" detach
printf '    programs, maps and links left: %d\n' "$(find /sys/fs/bpf -mindepth 1 -not -name '*.debug' | wc -l)"

step "Figures of this machine ($(nproc) CPUs, shared by dnsperf and whoever answers)"
printf '    %-46s %12s %12s\n' '' 'without' 'with nodens'
printf '    %-46s %12s %12s\n' 'queries per second' "${qps[before]}" "${qps[after]}" \
    'average latency at 5,000 queries/s (us)' "${latency[before]}" "${latency[after]}" \
    'queries sent' "${sent[before]}" "${sent[after]}" \
    '  of these reached the upstream' "${upstream[before]}" "${upstream[after]}" \
    '  of these unanswered' "${lost[before]}" "${lost[after]}"
[ "${upstream[after]}" -lt 10 ] || die "queries that nodens should have answered reached the upstream"
