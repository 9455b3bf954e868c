#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes itself systemd as process 1 on a copy-on-write view of this machine's root, with the unit installed: tests/deploy/stage.sh
# FOLDER BUILD, in mount, PID and cgroup namespaces of its own. Nothing of it outlives the mount namespace.
set -eu
folder=$1 build=$2
root=$folder/root

mount -t tmpfs -o mode=0755 nodens-test "$folder"
mkdir "$folder/upper" "$folder/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" nodens-test "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t bpf -o mode=0700 bpf "$root/sys/fs/bpf"
mount -t tmpfs -o mode=0755 dev "$root/dev"
for device in null zero full random urandom tty; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue" "$root/dev/hugepages"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=0755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"

# Only this unit: none of the machine's own is started.
rm -rf "$root/etc/systemd/system"
mkdir -p "$root/etc/systemd/system/nodens.service.d" "$root/etc/nodens" "$root/etc/default" "$root/out"
printf '[Unit]\nDefaultDependencies=no\n' > "$root/etc/systemd/system/nodens-test.target"
printf '[Service]\nStandardError=append:/out/log\n' > "$root/etc/systemd/system/nodens.service.d/log.conf"
install -D -m 0755 "$build/nodens" "$root/usr/local/sbin/nodens"
install -D -m 0644 deploy/systemd/nodens.service "$root/usr/local/lib/systemd/system/nodens.service"
echo '{"kind": "List", "items": []}' > "$root/etc/nodens/objects.json"
printf 'NODENS_SOURCE=file:/etc/nodens/objects.json\nNODENS_SERVER=10.96.0.10\n' > "$root/etc/default/nodens"

mkdir "$root/before"
cd "$root"
pivot_root . before
umount -l /before
exec env -i container=nodens-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=nodens-test.target --show-status=0 --log-target=null
