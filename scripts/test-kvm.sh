#!/usr/bin/env bash
# Tests the VMMs that need KVM on a true /dev/kvm: QEMU always, Firecracker and Cloud Hypervisor where their programs are.
# A host without KVM gets one in a machine that QEMU emulates: real, and slow (about 10 minutes for each VMM).
#   bash scripts/test-kvm.sh [--results FOLDER] [--vmm firecracker|cloud-hypervisor|qemu-kvm]... [conformance] [e2e] [phases] [kernels]
# Programs come from FIRECRACKER_BIN, JAILER_BIN and CLOUD_HYPERVISOR_BIN, or from the PATH.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

results='' wanted='' kinds=''
while [ $# -gt 0 ]; do
  case $1 in
    --results) results=${2:?--results needs a folder}; shift 2 ;;
    --vmm) wanted="$wanted ${2:?--vmm needs a name}"; shift 2 ;;
    conformance | e2e | phases | kernels) kinds="$kinds $1"; shift ;;
    *) fail "unknown argument $1" 'Usage: scripts/test-kvm.sh [--results FOLDER] [--vmm NAME]... [conformance] [e2e] [phases] [kernels]' ;;
  esac
done
wanted=${wanted:-qemu-kvm firecracker cloud-hypervisor} kinds=${kinds:-conformance e2e phases kernels}
results=${results:-$(mktemp -d)}
mkdir -p "$results"

require_host
install_packages
install_npm_packages
export SANDBOX_DATA_ROOT=${SANDBOX_TEST_DATA_ROOT:-/var/lib/sandbox-backend-test}
mkdir -p "$SANDBOX_DATA_ROOT"
bin/template-manager prepare

find_program() { # NAME VALUE-OF-ITS-VARIABLE
  if [ -n "$2" ]; then [ -x "$2" ] && realpath "$2"; else command -v "$1"; fi
}
firecracker=$(find_program firecracker "${FIRECRACKER_BIN-}" || :)
jailer=$(find_program jailer "${JAILER_BIN-}" || :)
cloud_hypervisor=$(find_program cloud-hypervisor "${CLOUD_HYPERVISOR_BIN-}" || :)

missing() {
  printf '\033[1;31mNOT RUN: the suites of %s: %s is missing.\033[0m\nGet a release from %s and set %s, or put it on the PATH.\n' \
    "$1" "$2" "$3" "$4" >&2
}
vmms='' programs=()
for vmm in $wanted; do
  case $vmm in
    qemu-kvm) ;;
    firecracker)
      site=github.com/firecracker-microvm/firecracker/releases
      [ -n "$firecracker" ] || { missing Firecracker firecracker "$site" FIRECRACKER_BIN; continue; }
      [ -n "$jailer" ] || { missing Firecracker jailer "$site" JAILER_BIN; continue; }
      programs+=(--program "firecracker=$firecracker" --program "jailer=$jailer") ;;
    cloud-hypervisor)
      site=github.com/cloud-hypervisor/cloud-hypervisor/releases
      [ -n "$cloud_hypervisor" ] || { missing 'Cloud Hypervisor' cloud-hypervisor "$site" CLOUD_HYPERVISOR_BIN; continue; }
      programs+=(--program "cloud-hypervisor=$cloud_hypervisor") ;;
    *) fail "unknown VMM $vmm" 'It is firecracker, cloud-hypervisor or qemu-kvm.' ;;
  esac
  vmms="$vmms $vmm"
done

# kvm_pvm runs only guests that were made for it.
if [ -r /dev/kvm ] && [ -w /dev/kvm ] && [ ! -e /sys/module/kvm_pvm ] && grep -qE '^flags.*\b(vmx|svm)\b' /proc/cpuinfo; then
  say 'this host has /dev/kvm: the suites run on it'
  export SANDBOX_FIRECRACKER=$firecracker SANDBOX_JAILER=$jailer SANDBOX_CLOUD_HYPERVISOR=$cloud_hypervisor
  export FIRECRACKER_BIN=$firecracker CLOUD_HYPERVISOR_BIN=$cloud_hypervisor
  status=0
  for vmm in $vmms; do
    # shellcheck disable=SC2086
    sh tests/nested/suites.sh "$results" "$vmm" $kinds || status=1
  done
  exit $status
fi
command -v mmdebstrap >/dev/null || fail 'mmdebstrap is missing' 'apt-get install mmdebstrap'
command -v depmod >/dev/null || fail 'depmod is missing' 'apt-get install kmod'
say "this host has no usable /dev/kvm: the suites run in a machine that has one, for$vmms"
# shellcheck disable=SC2016,SC2086
node tests/nested/run.ts --timeout 5000 --results "$results" "${programs[@]}" -- \
  sh -c 'kinds=$1; shift; status=0; for vmm; do sh tests/nested/suites.sh /results "$vmm" $kinds || status=1; done; exit $status' \
  suites "$kinds" $vmms
