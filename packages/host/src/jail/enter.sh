#!/bin/sh
# Becomes a VMM inside its room. Runs as root in new mount, IPC and UTS namespaces and in the slot's
# network namespace; every step ends in `exec`, so the pid of the VMM is the pid of this script.
#
#   enter.sh ROOT UID KVM MACHINE [--procs FILE]... [--read-only INSIDE FOLDER]...
#            [--tap NAME] [--program FILE] [--jailer PROGRAM ID] -- COMMAND...
#
# With --jailer it is Firecracker's jailer that makes the devices, changes the root and drops all rights.
# All of it comes as arguments and is only ever used quoted.
set -eu
root=$1 uid=$2 kvm=$3 machine=$4
shift 4

# Before anything is allocated, so that all of it counts.
while [ "$1" = --procs ]; do
  echo $$ >"$2"
  shift 2
done

umask 022
ulimit -c 0
ulimit -n 4096 2>/dev/null || :

jailer=
for word; do
  [ "$word" != --jailer ] || jailer=yes
  [ "$word" != -- ] || break
done

if [ -n "$jailer" ]; then
  # Holds a copy of the program, and the devices that the jailer makes.
  mount -t tmpfs -o size=64m,nr_inodes=256,mode=0755,nosuid room "$root"
else
  mount -t tmpfs -o size=64k,nr_inodes=128,mode=0755,nosuid,noexec room "$root"
fi
cd "$root"
# What the VMM sees is the folder `room`. Its root is not that of its mount namespace: to such a process
# the kernel gives no user namespace, in which it would have rights again.
mkdir -p room/machine
mount --bind -o nosuid,nodev,noexec "$machine" room/machine

while [ "$1" != -- ]; do
  case $1 in
    --read-only)
      mkdir -p "room$2"
      mount --bind -o ro,nosuid,nodev,noexec "$3" "room$2"
      shift 3
      ;;
    --tap)
      # All that is seen of sysfs: what the kernel says of the slot's own tap.
      mkdir -p sys "room/sys/class/net/$2"
      mount -t sysfs -o ro,nosuid,nodev,noexec sys sys
      mount --bind -o ro,nosuid,nodev,noexec "sys/devices/virtual/net/$2" "room/sys/class/net/$2"
      umount -l sys
      shift 2
      ;;
    --program)
      : >room/vmm
      mount --bind -o ro,nosuid,nodev "$2" room/vmm
      shift 2
      ;;
    --jailer)
      jailer=$2 id=$3
      shift 3
      ;;
    *) exit 64 ;;
  esac
done
shift

if [ -n "$jailer" ]; then
  program=$1
  shift
  # The jailer takes what is mounted below its root along.
  jail=$root/jail/${program##*/}/$id
  mkdir -p "$jail/root"
  mount --rbind room "$jail/root"
  # Against a program with the set-user-ID bit there is nothing else to do: the jailer keeps the bounding set.
  exec setpriv --no-new-privs -- "$jailer" --id "$id" --exec-file "$program" --uid "$uid" --gid "$uid" --chroot-base-dir "$root/jail" -- "$@"
fi

mkdir -p room/usr room/dev/net proc .old
mount --bind -o ro,nosuid,nodev /usr room/usr
names=room/usr
links=
for name in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$name" ]; then
    links="$links /$name"
  elif [ -d "/$name" ]; then
    mkdir "room/$name"
    mount --bind -o ro,nosuid,nodev "/$name" "room/$name"
  else
    continue
  fi
  names="$names room/$name"
done
# shellcheck disable=SC2086 # the names are those of the lines above
{
  [ -z "$links" ] || cp -P $links room
  ln -s $names . # for the commands at the end of this script
}

# The host's own /dev/net/tun may be for root alone; this one is seen by nobody else.
cp -a /dev/null /dev/zero /dev/random /dev/urandom room/dev
mknod -m 666 room/dev/net/tun c 10 200
[ "$kvm" = no ] || mknod -m 666 room/dev/kvm c 10 232

mount --bind /proc proc
pivot_root . .old
cd /
# umount reads /proc; no process of the room ever sees it.
umount -l /.old /proc
exec chroot /room setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs \
  --inh-caps=-all --ambient-caps=-all --bounding-set=-all -- "$@"
