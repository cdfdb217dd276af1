#!/bin/sh
# The first process of the guest. A copy of it lies in DIR/boot beside `settings` (what the outside says: KIND, OUT,
# MODULES, TIMEOUT_S, STDOUT, STDERR) and `command`. It ends by turning the guest off; `boot/status` says how it went.
#
# The host's root file system is mounted read-only, an overlay in RAM over it. So every path is the same inside, every
# write succeeds, and what is not below /run/out vanishes with the guest.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
boot=$(dirname "$0")
. "$boot/settings"

end() {
    echo 1 >/proc/sys/kernel/sysrq
    echo o >/proc/sysrq-trigger # without init's goodbye to services that there are none of
    sleep 60
}

give_up() {
    echo "guest: $1"
    end
}

# Everything that faults are made of. The kernel would not find its modules by itself: its own root is not ours.
# Not br_netfilter: with it, nftables' `bridge` family no longer sees IP packets.
MODULES_WANTED="ipv6 veth bridge ifb tun dummy
 sch_netem sch_tbf sch_htb sch_prio sch_ingress sch_fq_codel cls_u32 cls_flower cls_matchall cls_fw cls_basic act_mirred act_police
 nf_tables nft_limit nft_numgen nft_reject nft_chain_nat nft_masq nft_ct nft_meta_bridge
 ip_tables ip6_tables iptable_filter ip6table_filter iptable_nat xt_length xt_statistic xt_tcpudp xt_conntrack xt_MASQUERADE xt_REJECT
 nf_conntrack nf_nat loop ext4 dm_mod dm_flakey dm_delay dm_linear fuse"

# On the host's root: put the overlay over it and go there.
enter() {
    mount -t proc proc /proc || give_up "no /proc"
    mount -t tmpfs -o size=75% tmpfs /mnt || give_up "no tmpfs"
    mkdir -p /mnt/upper /mnt/work /mnt/root /mnt/kmod/lib
    ln -s "$MODULES" /mnt/kmod/lib/modules
    modprobe -q -d /mnt/kmod overlay
    root=/mnt/root
    mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay $root || give_up "no overlay"
    for name in $MODULES_WANTED; do # one by one: some kernels lack some, and `modprobe -a` would stop there
        echo "$name"
    done | xargs -n 100 modprobe -q -d /mnt/kmod -a
    mount -t proc proc $root/proc
    mount -t sysfs sysfs $root/sys
    mount -t devtmpfs devtmpfs $root/dev || give_up "no devtmpfs"
    mount -t tmpfs tmpfs $root/run
    mkdir -p $root/dev/pts $root/dev/shm $root/run/out
    mount -t devpts -o ptmxmode=666 devpts $root/dev/pts
    mount -t tmpfs tmpfs $root/dev/shm
    ln -sfn /proc/self/fd $root/dev/fd
    cd $root && mount -n --move . / && exec chroot . /bin/sh "$0" inside
    give_up "no way into the overlay"
}

mount_cgroups() {
    mount -t tmpfs tmpfs /sys/fs/cgroup || return
    mkdir /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    for name in cpu memory freezer; do
        grep -q "^$name	" /proc/cgroups || continue
        mkdir /sys/fs/cgroup/$name && mount -t cgroup -o $name $name /sys/fs/cgroup/$name
    done
}

# In the overlay: run the command.
inside() {
    case "$KIND" in
    uml) mount -t hostfs -o "$OUT" none /run/out ;;
    qemu) mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 out /run/out ;;
    esac || give_up "no way to $OUT"
    mount_cgroups
    # So that what was written is outside soon, also if we are killed.
    echo 50 >/proc/sys/vm/dirty_writeback_centisecs
    echo 50 >/proc/sys/vm/dirty_expire_centisecs
    ip link set lo up
    hostname "guest-$KIND"
    for line in "$STDOUT" "$STDERR"; do
        stty -F "$line" raw -echo cols 120 rows 40
    done
    # Kept open: the last one to close a serial line waits for it.
    exec 8>"$STDOUT" 9>"$STDERR"
    echo "$(uname -r) $(cut -d' ' -f1 /proc/uptime)" >/run/out/boot/up
    timeout -k 5 "$TIMEOUT_S" /bin/sh /run/out/boot/command </dev/null >&8 2>&9 8>&- 9>&-
    echo "$? $(cut -d' ' -f1 /proc/uptime)" >/run/out/boot/status
    kill -KILL -1
    sync
    end
}

case "$1" in
inside) inside ;;
*) enter ;;
esac
