#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make demo-shell`: the node and the pod of the demo with the agent running, and a shell in the pod. All of it is gone when
# the shell ends.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
enter 0 "$0" "$@"

# The pod's resolver configuration, as kubelet writes it. /run is ours here, so a link to there is a file of ours.
setup_resolver() {
    local file
    file=$(readlink -m /etc/resolv.conf)
    printf 'search k8s-training.svc.cluster.local svc.cluster.local cluster.local\nnameserver %s\noptions ndots:5\n' "$DNS" \
        >"$WORK/resolv.conf"
    case $file in
    /run/*)
        mkdir -p "$(dirname "$file")"
        cp "$WORK/resolv.conf" "$file"
        ;;
    *) mount --bind "$WORK/resolv.conf" "$file" || echo "demo: $file stays as it is: name the server, dig @$DNS" >&2 ;;
    esac
}

echo "A node and a pod: two network namespaces and a veth pair. Upstream: knotd at $DNS"
setup_mounts
setup_network
start_upstream
setup_resolver
echo "The agent starts"
start_agent
mkdir -p "$WORK/bin"
ln -s "$NODENS" "$WORK/bin/nodens"

cat >"$WORK/rc" <<EOF
[ -f ~/.bashrc ] && . ~/.bashrc
PATH=$WORK/bin:\$PATH:/usr/sbin:/sbin
PS1='pod# '
scale() { cp "$EXAMPLE/objects\${1:+-\$1}.json" "$OBJECTS.new" && mv "$OBJECTS.new" "$OBJECTS"; }
node() { nsenter --net=/run/netns/node -- "\$@"; }
upstream() { knotc -c "$WORK/knot.conf" stats mod-stats.request-protocol; }
EOF
cat <<EOF

You are in the pod. Its name server is $DNS; nodens answers for the cluster, knotd is behind it.
    dig +search postgresql-svc              getent hosts postgresql-sfs-0.postgresql-svc
    dig _postgresql-port._tcp.postgresql-svc.k8s-training.svc.cluster.local SRV
    dig www.example.com                     not of the cluster: knotd answers
    scale                                   to three replicas;  scale one: back to one
    upstream                                how many queries reached knotd
    node nodens status                      node nodens lookup NAME [TYPE]      nodens records
    bpftool map dump pinned /sys/fs/bpf/nodens/current/verdicts
    less $WORK/agent.log             $OBJECTS may be edited
Ctrl-D or exit ends all of it.

EOF
in_pod bash --rcfile "$WORK/rc" -i || true # the status of its last command is no failure of ours
