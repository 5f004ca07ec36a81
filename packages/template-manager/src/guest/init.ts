/**
 * Process 1 of every guest, run by the busybox of the envd disk. It makes what programs expect of a
 * Linux machine, starts envd, starts it again should it die, and reaps every orphan in between: the
 * shell's `wait` collects any child. All paths are on the envd disk, so the image may be empty.
 *
 * envd runs without Bun's timer for garbage collection, which wakes an idle guest every second, and without
 * its optimizing compiler: without KVM a program starts in half the time then. Nor does it collect because it has
 * nothing else to do (one part in 10,000 of a processor is for that) or keep blocks warm: each start would
 * collect some seconds after its restore, which costs 100 ms of an emulated processor and 9 MiB of the host's
 * memory. A heap that grows is collected all the same, and what it frees is given back.
 */
export const GUEST_INIT = `#!/.envd/bin/busybox sh
b=/.envd/bin/busybox
$b mount -t devpts -o mode=620,ptmxmode=666,gid=5 devpts /dev/pts 2>/dev/null || { $b mkdir -p /dev/pts; $b mount -t devpts -o mode=620,ptmxmode=666,gid=5 devpts /dev/pts; }
$b mkdir -p /dev/shm; $b mount -t tmpfs -o mode=1777,nosuid,nodev shm /dev/shm
$b mkdir -p /run /tmp; $b mount -t tmpfs -o mode=755,nosuid,nodev run /run
$b chmod 1777 /tmp
$b ln -sfn /proc/self/fd /dev/fd; $b ln -sfn /proc/self/fd/0 /dev/stdin; $b ln -sfn /proc/self/fd/1 /dev/stdout; $b ln -sfn /proc/self/fd/2 /dev/stderr
$b mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
$b ip link set lo up
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
$b ip link set eth0 up
$b ip addr add 169.254.0.21/30 dev eth0
$b ip route add default via 169.254.0.22
while :; do
  BUN_GC_TIMER_DISABLE=1 BUN_JSC_collectionTimerMaxPercentCPU=0.0001 BUN_JSC_useWarmUpMarkedBlocks=0 \\
  BUN_JSC_useDFGJIT=0 ENVD_DIR=/.envd PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    /.envd/ld.so --library-path /.envd/lib /.envd/bin/bun /.envd/envd.js </dev/null >/dev/console 2>&1 &
  echo -1000 >/proc/$!/oom_score_adj
  wait $!
  echo "envd exited with $?; starting it again" >/dev/console
  $b sleep 0.2
done
`;
