# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A node and a pod for demo.sh and shell.sh, in namespaces that nothing outlives: processes, mounts, network and pins are gone
# when the script ends, however it ends.
#
#        "pod" 10.42.0.20                       "node"
#   +---------------------+      +------------------------------------+
#   |  dig, dnsperf  eth0 |======| cali-demo        lo: 10.96.0.10    |
#   |  default via 169.254.1.1   | (nodens here)     knotd, the upstream |
#   +---------------------+      +------------------------------------+
set -u

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
NODENS=$HERE/${BUILD:-build}/nodens
EXAMPLE=$HERE/examples/postgresql
WORK=/run/demo # on a tmpfs that only this demo sees
OBJECTS=$WORK/objects.json
DNS=10.96.0.10
STALE_AFTER_S=5

die() {
    echo "demo: $*" >&2
    exit 1
}

# enter SECONDS "$0" "$@": goes on inside, for at most so many seconds (0: no limit).
enter() {
    local limit=$1
    shift
    if [ -n "${DEMO_INSIDE:-}" ]; then
        trap 'exit 130' INT TERM # we are PID 1 here: without a trap these would be ignored
        return 0
    fi
    [ "$(id -u)" -eq 0 ] || die "needs root (network namespaces, BPF): sudo make demo"
    [ -x "$NODENS" ] || die "$NODENS is missing: run it through make"
    [ -d /sys/fs/bpf ] || die "this kernel has no /sys/fs/bpf (CONFIG_BPF_SYSCALL)"
    unshare --mount true 2>/dev/null ||
        die "cannot make a mount namespace: is / a mount point? (for a chroot: mount --bind ROOT ROOT before entering it)"
    DEMO_INSIDE=1 exec timeout --foreground -k 5 "$limit" \
        unshare --mount --pid --fork --kill-child --mount-proc -- "$@"
}

setup_mounts() {
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/netns "$WORK/db"
    mount -t bpf -o mode=700 bpf /sys/fs/bpf || die "cannot mount a bpffs"
}

in_pod() { nsenter --net=/run/netns/pod -- "$@"; }
in_node() { nsenter --net=/run/netns/node -- "$@"; }
exec_in_node() { exec nsenter --net=/run/netns/node -- "$@"; } # behind it, "&" and $! mean the command itself

# As Calico and other routed networks do: the pod has a /32 and a gateway that is no address of anybody's subnet.
setup_network() {
    { ip netns add node && ip netns add pod; } || die "cannot make network namespaces"
    in_node ip link set lo up
    in_pod ip link set lo up
    in_node ip link add cali-demo type veth peer name eth0 netns pod || die "cannot make a veth pair"
    in_node ip addr add 169.254.1.1/32 dev cali-demo
    in_node ip link set cali-demo up
    in_node ip route add 10.42.0.20/32 dev cali-demo
    in_pod ip addr add 10.42.0.20/32 dev eth0
    in_pod ip link set eth0 up
    in_pod ip route add 169.254.1.1 dev eth0
    in_pod ip route add default via 169.254.1.1
    in_node ip addr add "$DNS/32" dev lo
}

# The upstream: a real name server with the same names (the example's expected records) and a name from outside.
start_upstream() {
    {
        echo "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"
        echo "cluster.local. 5 IN NS ns.dns.cluster.local."
        echo "ns.dns.cluster.local. 5 IN A $DNS"
        grep -E '^[^ ;]*\.cluster\.local\. ' "$EXAMPLE/expected-one.zone"
    } >"$WORK/cluster.local.zone"
    cat >"$WORK/example.com.zone" <<EOF
example.com. 300 IN SOA ns.example.com. hostmaster.example.com. 1 7200 1800 86400 300
example.com. 300 IN NS ns.example.com.
ns.example.com. 300 IN A 192.0.2.53
www.example.com. 300 IN A 192.0.2.80
EOF
    cat >"$WORK/knot.conf" <<EOF
server:
    rundir: "$WORK"
    listen: "$DNS@53"
database:
    storage: "$WORK/db"
mod-stats:
  - id: all
    request-protocol: on
template:
  - id: default
    storage: "$WORK"
    zonefile-sync: -1
    journal-content: none
    global-module: mod-stats/all
zone:
  - domain: cluster.local
  - domain: example.com
log:
  - target: stderr
    any: warning
EOF
    exec_in_node knotd -c "$WORK/knot.conf" 2>"$WORK/knotd.log" &
    wait_for 10 in_pod dig +tries=1 +timeout=1 +short "@$DNS" www.example.com || {
        cat "$WORK/knotd.log" >&2
        die "knotd does not answer"
    }
}

# Queries over UDP that the upstream has seen, by its own count.
upstream_queries() {
    knotc -c "$WORK/knot.conf" stats mod-stats.request-protocol 2>/dev/null |
        awk -F ' = ' '/udp4/ { n += $2 } END { print n + 0 }'
}

# As in a cluster: UID 0 with three capabilities and no way to more.
start_agent() {
    cp "$EXAMPLE/objects-one.json" "$OBJECTS"
    exec_in_node setpriv --bounding-set=-all,+bpf,+net_admin,+perfmon --inh-caps=-all --no-new-privs \
        "$NODENS" run --source "file:$OBJECTS" --stale-after "${STALE_AFTER_S}s" 2>"$WORK/agent.log" &
    # shellcheck disable=SC2034 # demo.sh ends it
    AGENT=$!
    if ! wait_for 10 in_node "$NODENS" status --ready; then
        cat "$WORK/agent.log" >&2
        die "the agent did not become ready"
    fi
}

# wait_for SECONDS COMMAND…: until it succeeds, quietly.
wait_for() {
    local until=$((SECONDS + $1))
    shift
    while ! "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.05
    done
}

# A query file of what applications ask: the service, a pod, the port, and the AAAA that every resolver asks as well.
write_load() {
    local service=postgresql-svc.k8s-training.svc.cluster.local
    printf '%s\n' "$service A" "$service AAAA" "postgresql-sfs-0.$service A" "_postgresql-port._tcp.$service SRV" >"$WORK/load"
}
