#!/usr/bin/env bash
# Builds a small kernel for guests from Debian's kernel source, with the configuration in scripts/kernel, and installs it as
# kernels/NAME/vmlinux in the data folder. A template takes it with "kernelVersion": "NAME".
#   bash scripts/build-kernel.sh                does nothing when source and configuration have not changed
#   bash scripts/build-kernel.sh --name NAME    another name than microvm-<version>
#   bash scripts/build-kernel.sh --print-path   says where the kernel is to be, and builds nothing
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

data_root=${SANDBOX_DATA_ROOT:-/var/lib/sandbox-backend}
cache=$data_root/cache/kernel-source
usage='usage: bash scripts/build-kernel.sh [--name NAME] [--print-path]'
# Part of the recipe: raise it when this script makes another file of the same source and configuration.
steps=1

# Program → Debian package that has it.
build_tools='gcc:gcc make:make bison:bison flex:flex bc:bc xz:xz-utils tar:tar objcopy:binutils flock:util-linux perl:perl-base'

parse_arguments() {
  name='' print_path=false
  while [ $# -gt 0 ]; do
    case $1 in
    --name)
      [ -n "${2-}" ] || fail '--name needs a name' "$usage"
      name=$2
      shift
      ;;
    --print-path) print_path=true ;;
    *) fail "unknown argument $1" "$usage" ;;
    esac
    shift
  done
}

# The rule of template-manager, which finds the kernel by this name.
check_name() {
  [[ $name =~ ^[A-Za-z0-9]([A-Za-z0-9.+_-]{0,62}[A-Za-z0-9])?$ && $name != *..* ]] ||
    fail "'$name' is not a kernel name" 'It names a folder below kernels/: letters, digits, and . + _ - in between.'
  [ "$name" != default ] || fail 'the name default is taken' 'template-manager prepare makes that one. Choose another with --name.'
}

source_tarball() { echo "/usr/src/$1.tar.xz"; }

# The version that is installed, else the one that apt would download; empty when there is neither.
source_version() {
  local version=''
  [ ! -f "$(source_tarball "$1")" ] || version=$(dpkg-query -W -f '${Version}' "$1" 2>/dev/null || true)
  [ -n "$version" ] || version=$(LC_ALL=C apt-cache policy "$1" | sed -n 's/^ *Candidate: //p')
  [ "$version" = '(none)' ] || echo "$version"
}

# 6.12 before 6.1, as for the default kernel; Debian 12 has it among its backports and security updates.
choose_source() {
  local found
  for series in 6.12 6.1; do
    package=linux-source-$series
    found=$(source_version "$package")
    if [ -n "$found" ]; then
      version=$found
      return 0
    fi
  done
  return 1
}

find_source() {
  choose_source && return
  [ "$(id -u)" = 0 ] && [ "$print_path" = false ] && apt_quiet update && choose_source && return
  fail 'no linux-source-6.12 or linux-source-6.1 is in the package lists' \
    'Run apt-get update as root, and check that the main or security suite of Debian 12 or 13 is among the sources.'
}

has_headers() { printf '#include <stdlib.h>\n#include <gelf.h>\n' | gcc -E - >/dev/null 2>&1; }

install_build_tools() {
  local packages='' pair
  for pair in $build_tools; do
    command -v "${pair%%:*}" >/dev/null || packages="$packages ${pair##*:}"
  done
  # libelf: what checks the kernel's machine code while it is built (objtool) reads ELF files.
  command -v gcc >/dev/null && has_headers || packages="$packages libelf-dev libc6-dev"
  [ -n "$packages" ] || return 0

  [ "$(id -u)" = 0 ] || fail "these packages are missing:$packages" "Install them, or run this with sudo: apt-get install$packages"
  export DEBIAN_FRONTEND=noninteractive
  say "installing Debian packages:$packages"
  apt_quiet update
  # shellcheck disable=SC2086
  apt_quiet install -y --no-install-recommends $packages
  has_headers || fail 'the headers of libelf are still missing' 'See what apt says: apt-get install libelf-dev libc6-dev'
}

# The package is unpacked, not installed: nothing outside the data folder changes. It is kept for the next configuration.
fetch_source() {
  tarball=$(source_tarball "$package")
  [ ! -f "$tarball" ] || return 0
  local deb=$cache/${package}_$version.deb
  if [ ! -f "$deb" ]; then
    say "downloading $package $version"
    mkdir "$work/download"
    (cd "$work/download" && apt_quiet download -o APT::Sandbox::User=root "$package=$version")
    rm -f "$cache"/linux-source-*.deb
    mv "$work"/download/*.deb "$deb"
  fi
  dpkg-deb -x "$deb" "$work/package" || {
    rm -f "$deb"
    fail "$package could not be unpacked" 'Run this again: it downloads the package anew.'
  }
  tarball=$work/package$tarball
}

unpack_source() {
  # The tree takes 2 GB, what is built in it a third of that.
  local free
  free=$(df -Pk "$work" | awk 'NR == 2 { print $4 }')
  [ "$free" -ge 3000000 ] || fail "$work has $((free / 1024)) MiB left, and the build needs 3 GB" 'Free some, or set SANDBOX_DATA_ROOT to another disk.'
  say "unpacking $package $version"
  mkdir "$work/linux"
  tar -xf "$tarball" -C "$work/linux" --strip-components=1 || fail "$tarball could not be unpacked"
}

# Kconfig drops silently what does not exist or lacks something it depends on; a guest would show it much later.
configure() {
  local missing
  "${kbuild[@]}" KCONFIG_ALLCONFIG="$asked" allnoconfig >"$log" 2>&1 || build_failed 'the kernel could not be configured'
  missing=$(awk '
    FNR == NR { have[$0]; if (match($0, /^CONFIG_[A-Za-z0-9_]+=/)) set[substr($0, 1, RLENGTH - 1)]; next }
    /^CONFIG_/ && !($0 in have) { print "  " $0 }
    /^# CONFIG_[A-Za-z0-9_]+ is not set$/ && ($2 in set) { print "  " $0 }
  ' "$work/linux/.config" "$asked")
  [ -z "$missing" ] || fail "Linux $version did not take these options:
$missing" 'An option may have another name in this version, or depend on one that is off: search for it with make menuconfig and /.'
}

build_failed() {
  tail -n 20 "$log" >&2
  fail "$1" "All of its output is in $log"
}

build() {
  say "building Linux $version (some minutes)"
  "${kbuild[@]}" -j"$(nproc)" vmlinux >>"$log" 2>&1 || build_failed 'the kernel could not be built'
  # As the kernel does for its own bzImage: QEMU loads segments, and symbols would only be read past.
  objcopy -R .comment -S "$work/linux/vmlinux" "$work/vmlinux"
}

# A template may be building from this folder: each file is there as a whole, or as it was. The recipe comes last.
publish() {
  install -m 644 "$1" "$folder/.$2.tmp"
  mv -f "$folder/.$2.tmp" "$folder/$2"
}

install_kernel() {
  mkdir -p "$folder"
  "${kbuild[@]}" kernelrelease >"$work/version"
  echo "$recipe" >"$work/recipe"
  # Traces of this kernel show addresses; System.map has their names.
  publish "$work/linux/System.map" System.map
  publish "$work/linux/.config" config
  publish "$work/vmlinux" vmlinux
  publish "$work/version" version
  publish "$work/recipe" recipe
}

parse_arguments "$@"
[ "$(uname -sm)" = 'Linux x86_64' ] || fail "this builds kernels for x86-64 only, on $(uname -sm) it cannot" 'Run it on a Debian 12 or 13 machine.'
command -v apt-get >/dev/null || fail 'apt-get is missing' 'Run it on a Debian 12 or 13 machine.'
series='' package='' version=''
if [ "$print_path" = false ] || [ -z "$name" ]; then find_source; fi
# Debian's revision is left out, since a name has no tilde; the recipe knows it.
name=${name:-microvm-${version%%-*}}
check_name
folder=$data_root/kernels/$name
if [ "$print_path" = true ]; then
  echo "$folder/vmlinux"
  exit 0
fi

mkdir -p "$cache" 2>/dev/null || fail "$cache cannot be made" 'Run this with sudo, or set SANDBOX_DATA_ROOT to a folder of yours.'
configs=("$root/scripts/kernel/microvm.config" "$root/scripts/kernel/microvm-$series.config")
recipe=$({ echo "$steps $package $version" && cat "${configs[@]}"; } | sha256sum | cut -d ' ' -f 1)
is_built() { [ -f "$folder/vmlinux" ] && [ "$(cat "$folder/recipe" 2>/dev/null)" = "$recipe" ]; }
if is_built; then
  say "the kernel is built already: $folder/vmlinux"
  exit 0
fi

install_build_tools
exec 9>"$cache/lock"
flock -n 9 || {
  say 'waiting for another build of a kernel'
  flock 9
}
# Only one builds at a time, so what lies here is of a run that was killed.
rm -rf "$cache"/work.*
if is_built; then
  say "the kernel is built already: $folder/vmlinux"
  exit 0
fi

work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
log=$cache/build.log
asked=$work/asked.config
cat "${configs[@]}" >"$asked"
fetch_source
unpack_source
# Of the same source and configuration comes the same file: when, where and by whom it was built is not in it.
kbuild=(make -s -C "$work/linux" ARCH=x86_64 KBUILD_BUILD_VERSION=1 KBUILD_BUILD_USER=sandbox-backend KBUILD_BUILD_HOST=debian
  KBUILD_BUILD_TIMESTAMP="$(date -u -r "$work/linux/Makefile" '+%a %b %e %T UTC %Y')")
configure
build
install_kernel
say "$(cat "$folder/version") is in $folder/vmlinux ($(($(stat -c %s "$folder/vmlinux") / 1048576)) MiB)
a template takes it with \"kernelVersion\": \"$name\""
