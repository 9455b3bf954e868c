#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds deploy/Dockerfile where no registry can be reached: the base image is made from Debian packages under the name that the
# Dockerfile uses, then buildah does what the Dockerfile says. Needs root and the packages buildah and mmdebstrap. Prints sizes;
# leaves an archive for `docker load`, `ctr images import` or `kind load image-archive` at $BUILD/image/nodens.tar.
#
#     deploy/build-image.sh                    minutes; TMPDIR on a tmpfs of 4 GiB makes it fewer
#     deploy/build-image.sh build/nodens       with this program, built on Debian 12, instead of what the first stage would build: quicker
set -eu
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
MOST_MIB=40 # beside the base image
version=$(cat VERSION)
base=docker.io/library/debian:12-slim
image=localhost/nodens:$version
out=$BUILD/image
program=${1:-}
mkdir -p "$out"

work=$(mktemp -d)
store() {
    buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs "$@"
}
cleanup() {
    store umount --all >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# As the slim images of Debian are made: the smallest variant without documentation and translations. Kept between runs.
if [ ! -e "$out/base.tar" ]; then
    echo "image: base from Debian packages"
    # shellcheck disable=SC2016 # the hook's own $1
    mmdebstrap --quiet --variant=minbase --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/groff/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
        --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin' bookworm "$out/base.new.tar"
    mv "$out/base.new.tar" "$out/base.tar"
fi
container=$(store from scratch)
store add --quiet "$container" "$out/base.tar" / >/dev/null
store config --cmd bash "$container"
store commit --quiet --rm "$container" "$base" >/dev/null

echo "image: deploy/Dockerfile"
commit=$(git -c safe.directory='*' rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
mkdir "$work/context"
if [ -n "$program" ]; then
    strip -o "$work/context/nodens" "$program"
    sed -e '/ AS build$/,/^$/d' -e 's|^COPY --from=build [^ ]* |COPY nodens |' deploy/Dockerfile >"$work/Dockerfile"
    grep -q '^COPY nodens ' "$work/Dockerfile" || { echo "image: deploy/Dockerfile copies no program from its first stage" >&2; exit 1; }
else
    tar -c Makefile VERSION mk include bpf user docs/man deploy/systemd tests/packages.sh | tar -x -C "$work/context"
    cp deploy/Dockerfile "$work/Dockerfile"
fi
if ! store bud --quiet --isolation chroot --pull-never --format docker --build-arg "COMMIT=$commit" --tag "$image" \
    -f "$work/Dockerfile" "$work/context" >"$out/build.log" 2>&1; then
    tail -n 30 "$out/build.log" >&2
    exit 1
fi

echo "image: does it run"
container=$(store from --pull-never "$image")
root=$(store mount "$container")
store run --isolation chroot "$container" -- nodens version
store run --isolation chroot "$container" -- test -s /etc/ssl/certs/ca-certificates.crt

of_base=$(store from --pull-never "$base")
base_root=$(store mount "$of_base")
kib() {
    du -sk --apparent-size "$1" | cut -f 1
}
base_kib=$(kib "$base_root")
beside_kib=$(($(kib "$root") - base_kib))
echo "image: base $((base_kib / 1024)) MiB, beside it $((beside_kib / 1024)) MiB, of it nodens $(kib "$root/usr/sbin/nodens") KiB"
rm -f "$out/nodens.tar"
store push --quiet "$image" "docker-archive:$out/nodens.tar:nodens:$version"
echo "image: $out/nodens.tar, nodens:$version"
[ "$beside_kib" -le $((MOST_MIB * 1024)) ] || { echo "image: more than $MOST_MIB MiB beside the base" >&2; exit 1; }
