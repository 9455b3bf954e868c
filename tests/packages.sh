#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building, testing and the demo need: tests/packages.sh [build] [test] [demo] [image] [cluster] [vm]
# Nothing is touched when all are there. Needs root (or sudo) only to install.
set -eu

BUILD="gcc libc6-dev make pkg-config clang llvm bpftool libbpf-dev libelf-dev zlib1g-dev libcjson-dev libmnl-dev
    libcurl4-openssl-dev libyaml-dev"
TEST="libcmocka-dev libclang-rt-dev libssl-dev openssl python3 python3-dnspython python3-seccomp iproute2 ethtool iptables nftables conntrack procps util-linux mount wget
    bind9-dnsutils bind9-utils knot knot-dnsutils knot-dnssecutils shellcheck"
DEMO="iproute2 procps util-linux mount bind9-dnsutils knot dnsperf"
IMAGE="buildah mmdebstrap"
CLUSTER="runc containernetworking-plugins gcc libc6-dev"
VM="qemu-system-x86 busybox-static cpio"

wanted=
for group in "${@:-build}"; do
    case $group in
    build) wanted="$wanted $BUILD" ;;
    test) wanted="$wanted $TEST" ;;
    demo) wanted="$wanted $DEMO" ;;
    image) wanted="$wanted $IMAGE" ;;
    cluster) wanted="$wanted $CLUSTER" ;;
    vm) wanted="$wanted $VM" ;;
    *) echo "usage: tests/packages.sh [build] [test] [demo] [image] [cluster] [vm]" >&2; exit 2 ;;
    esac
done

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=
for package in $wanted; do
    case " $missing " in *" $package "*) continue ;; esac
    is_installed "$package" || missing="${missing:+$missing }$package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "missing (names of Debian packages): $missing" >&2
    exit 1
fi
root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "missing: $missing" >&2
        echo "as root: apt-get install --no-install-recommends $missing" >&2
        exit 1
    fi
    root=sudo
fi

# Debian starts a service when its package is installed. The name server here is only a part of tests and demo: it is
# kept from starting, now and at the next boot, unless it was installed before.
policy=/usr/sbin/policy-rc.d
made_policy=
cleanup() {
    [ -z "$made_policy" ] || $root rm -f "$policy"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
case " $missing " in
*" knot "*)
    if [ ! -e "$policy" ]; then
        made_policy=yes
        printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
        $root chmod 755 "$policy"
    fi
    ;;
esac

apt() {
    $root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@"
}

# One line for each package as it is unpacked; everything when it fails.
log=$(mktemp)
waited=0
show() {
    tee "$log" | sed -n -u -e 's/^Unpacking \([^ ]*\).*/  unpacking \1/p' \
        -e 's/^Need to get \(.*\) of archives.*/  fetching \1/p'
}
run_apt() {
    { apt "$@" 2>&1 || echo "apt-get failed"; } | show
    # For the lock of the lists apt-get does not wait, whatever DPkg::Lock::Timeout says.
    if [ "$waited" -lt 120 ] && grep -q '^E: Could not get lock ' "$log"; then
        waited=$((waited + 1))
        sleep 1
        run_apt "$@"
        return
    fi
    if grep -q '^apt-get failed$' "$log"; then
        cat "$log" >&2
        rm -f "$log"
        exit 1
    fi
}

echo "packages: reading the lists"
run_apt update
echo "packages: installing $missing"
# shellcheck disable=SC2086 # a list of words
run_apt install -y --no-install-recommends $missing
rm -f "$log"
if [ -n "$made_policy" ] && command -v systemctl >/dev/null 2>&1; then
    $root systemctl --quiet disable knot 2>/dev/null || true
fi
echo "packages: done"
