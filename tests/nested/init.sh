#!/.envd/bin/busybox sh
# The first program of the rig's machine: makes it a host that can hold machines, runs one command of the
# project, and leaves its exit status and results on the disks. Runs once; the end is a power-off.
b=/.envd/bin/busybox
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t devpts -o gid=5,mode=620 devpts /dev/pts 2>/dev/null || { mkdir -p /dev/pts; mount -t devpts devpts /dev/pts; }
mkdir -p /dev/shm && mount -t tmpfs shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
ln -sfn /proc/self/fd /dev/fd
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for module in virtio_pci irqbypass kvm kvm-amd tun bridge veth dummy nf_tables nft_chain_nat nft_ct nft_masq \
  nft_redir nft_reject_inet nft_nat vhost_vsock loop xfs af_packet rng_core virtio_rng; do
  modprobe -q $module || echo "rig: no module $module"
done
[ -e /dev/kvm ] || echo 'rig: NO /dev/kvm'
ulimit -n 65536
ip link set lo up
# A way out that leads nowhere: address translation needs an interface, no test needs the internet.
ip link add uplink type dummy && ip addr add 192.0.2.2/24 dev uplink && ip link set uplink up
ip route add default via 192.0.2.1
echo 'nameserver 192.0.2.1' >/etc/resolv.conf
hostname rig
mkdir -p /project /var/lib/sandbox-backend-test
mount -t ext4 /dev/vdc /project
mount -t xfs /dev/vdd /var/lib/sandbox-backend-test
mkdir -p /usr/local/bin /results
cp /.envd/vmms/* /usr/local/bin/ 2>/dev/null
chmod 755 /usr/local/bin/* 2>/dev/null
cd /project
echo "rig: the machine is up after $(cut -d. -f1 /proc/uptime) s" >/dev/ttyS1
# The console of the command is a serial line of its own.
/bin/sh /.envd/job </dev/null >/dev/ttyS1 2>&1
status=$?
tar -cf /dev/vde -C /results . 2>/dev/null
sync
echo "rig: exit $status" >/dev/ttyS1
sleep 1
poweroff -f
$b poweroff -f
