# Shared by start.sh and test.sh: what a fresh machine needs. Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="$root/node_modules/.bin:$PATH"

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
fail() {
  printf 'error: %s\n' "$1" >&2
  [ -z "${2-}" ] || printf 'hint: %s\n' "$2" >&2
  exit 1
}

require_host() {
  [ "$(uname -s)" = Linux ] || fail 'this needs Linux' 'Run it on a Debian 12 or 13 machine.'
  [ "$(id -u)" = 0 ] || fail 'this needs root: it makes network namespaces, taps and mounts' 'Run it with sudo.'
  command -v apt-get >/dev/null || fail 'apt-get is missing' 'Run it on a Debian 12 or 13 machine.'
  command -v npm >/dev/null || fail 'npm is missing' 'Install Node.js 20 or newer with npm.'
}

# Program → Debian package that has it; nothing is installed that is there already.
needed='qemu-img:qemu-utils nft:nftables ip:iproute2 skopeo:skopeo busybox:busybox-static mmdebstrap:mmdebstrap
  mkfs.ext4:e2fsprogs setpriv:util-linux nsenter:util-linux xz:xz-utils lz4:lz4 zstd:zstd tar:tar ping:iputils-ping mkfs.xfs:xfsprogs'

qemu_is_new_enough() {
  local version
  version=$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
  [ -n "$version" ] || return 1
  set -- $version
  [ "$1" -gt 8 ] || { [ "$1" -eq 8 ] && [ "$2" -ge 2 ]; }
}

# busybox must be the static one: it is the guest's first program.
busybox_is_static() { [ -x /usr/bin/busybox ] && ! ldd /usr/bin/busybox >/dev/null 2>&1; }

install_packages() {
  local packages='' pair
  for pair in $needed; do
    command -v "${pair%%:*}" >/dev/null || packages="$packages ${pair##*:}"
  done
  busybox_is_static || packages="$packages busybox-static"
  if [ -z "$packages" ] && qemu_is_new_enough; then return; fi

  export DEBIAN_FRONTEND=noninteractive
  say "installing Debian packages:$packages$(qemu_is_new_enough || echo ' qemu-system-x86')"
  apt_quiet update
  # shellcheck disable=SC2086
  [ -z "$packages" ] || apt_quiet install -y --no-install-recommends $packages
  qemu_is_new_enough || install_qemu
  qemu_is_new_enough || fail 'QEMU 8.2 or newer could not be installed' 'See which sources apt has: apt-cache policy qemu-system-x86'
}

install_qemu() {
  . /etc/os-release
  if [ "${VERSION_CODENAME-}" = bookworm ]; then
    # The same mirror as the host's own suite; Debian 12 itself has 7.2. Either place may be missing.
    local mirror list=/etc/apt/sources.list.d/bookworm-backports.list
    if ! apt-cache policy | grep -q bookworm-backports; then
      mirror=$(grep -rhoE 'https?://[^ ]*/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n1) || true
      echo "deb ${mirror:-http://deb.debian.org/debian} bookworm-backports main" >"$list"
      apt_quiet update
    fi
    apt_quiet install -y --no-install-recommends -t bookworm-backports qemu-system-x86 qemu-utils
  else
    apt_quiet install -y --no-install-recommends qemu-system-x86 qemu-utils
  fi
}

apt_quiet() {
  local output
  output=$(mktemp)
  if ! apt-get -q "$@" >"$output" 2>&1; then
    tail -n 20 "$output" >&2
    rm -f "$output"
    fail "apt-get $1 failed"
  fi
  rm -f "$output"
}

install_npm_packages() {
  local stamp="$root/node_modules/.installed"
  if [ -f "$stamp" ] && cmp -s "$stamp" "$root/package-lock.json"; then return; fi
  say 'installing npm packages (with Node 24)'
  (cd "$root" && npm ci --no-audit --no-fund --loglevel=error) || fail 'npm ci failed'
  cp "$root/package-lock.json" "$stamp"
}
