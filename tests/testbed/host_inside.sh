#!/bin/sh
# One "Spark" of the testbed: run as process 1 of namespaces of its own (net, mount, uts, ipc, pid), by hosts.py.
# Arguments: the folder of the host, its name, MemTotal in kB, and the folder with the unpacked sshd.
set -eu
home=$1 name=$2 total=$3 unpacked=$4
hostname "$name"
mount --make-rprivate /
# What the machine shares and a host does not.
mount --bind "$home/root" /root
mount --bind "$home/machine-id" /etc/machine-id
mount -t tmpfs -o size=256m tmpfs /dev/shm
# A sysfs of this network, with the machine's cgroups, and RoCE devices that sysfs would have (ibdev2netdev reads these).
mkdir -p "$home/cgroup"
mount --rbind /sys/fs/cgroup "$home/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$home/cgroup" /sys/fs/cgroup
mount -t tmpfs -o size=1m tmpfs /sys/class
ln -s ../devices/virtual/net /sys/class/net
for pair in rocep1s0f1:enp1s0f1np1 roceP2p1s0f1:enP2p1s0f1np1; do
    device=/sys/class/infiniband/${pair%%:*}
    mkdir -p "$device/ports/1" "$device/device/net/${pair##*:}"
    echo "4: ACTIVE" >"$device/ports/1/state"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/sshd /run/host
chmod 1777 /run/lock
sed "s/^MemTotal:.*/MemTotal:       $total kB/; s/^MemAvailable:.*/MemAvailable:   $((total - 6000000)) kB/" \
    /proc/meminfo >/run/host/meminfo
mount --bind /run/host/meminfo /proc/meminfo
# sshd, unpacked and not installed, wants a user and a library of its own.
cp /etc/passwd /run/host/passwd
grep -q '^sshd:' /etc/passwd || echo 'sshd:x:199:65534::/run/sshd:/usr/sbin/nologin' >>/run/host/passwd
mount --bind /run/host/passwd /etc/passwd
libraries=$(dirname "$(find "$unpacked" -name 'libwrap.so.0' | head -n 1)")
ip link set lo up
dockerd --data-root="$home/data" --exec-root=/run/docker-exec --pidfile=/run/docker.pid --host=unix:///run/docker.sock \
    --bridge=none --iptables=false --ip6tables=false --max-download-attempts=1 >"$home/docker.log" 2>&1 &
LD_LIBRARY_PATH=$libraries "$unpacked/usr/sbin/sshd" -D -e -f /dev/null -p 22 -h "$home/host_key" -o PidFile=/run/sshd.pid -o UsePAM=no -o StrictModes=no \
    -o PermitRootLogin=prohibit-password -o PasswordAuthentication=no -o AuthorizedKeysFile=/root/.ssh/authorized_keys \
    -o PrintMotd=no -o PrintLastLog=no >"$home/sshd.log" 2>&1 &
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 0' TERM INT
wait
