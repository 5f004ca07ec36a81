#!/bin/sh
# Runs the suites of one VMM on a host that has what it needs, and leaves what came of them in a folder:
#   suites.sh RESULTS VMM KIND...   VMM: firecracker, cloud-hypervisor, qemu-kvm, qemu-tcg; KIND: conformance, e2e,
#   phases (of a cold start; only those of one run are compared), kernels (the boot of each one in the data folder)
# Goes on after a failure; its exit status is 1 when anything failed.
set -u
results=$1 vmm=$2
shift 2
node=node_modules/.bin/node
export SANDBOX_DATA_ROOT=${SANDBOX_DATA_ROOT:-/var/lib/sandbox-backend-test}
export KERNEL=$SANDBOX_DATA_ROOT/kernels/default/vmlinux
export SANDBOX_SUBNET=10.169.0.0/16 SANDBOX_NETWORK_PREFIX=sbt SANDBOX_UID_BASE=400000
case $vmm in
  qemu-kvm) suite=packages/vmm/src/qemu/conformance-kvm.test.ts SANDBOX_VMM=qemu SANDBOX_ACCELERATOR=kvm ;;
  qemu-tcg) suite=packages/vmm/src/qemu/conformance.test.ts SANDBOX_VMM=qemu SANDBOX_ACCELERATOR=tcg ;;
  *) suite=packages/vmm/src/$vmm/conformance.test.ts SANDBOX_VMM=$vmm SANDBOX_ACCELERATOR=kvm ;;
esac
export SANDBOX_VMM SANDBOX_ACCELERATOR
mkdir -p "$results"
failed=0

run() {
  name=$1
  shift
  echo "== $vmm: $name"
  $node --test --test-concurrency=1 --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=./tests/nested/json-lines.ts --test-reporter-destination="$results/$vmm.$name.jsonl" "$@" || failed=1
}

build_template() {
  rm -rf "$SANDBOX_DATA_ROOT/templates/default-sandbox"
  bin/template-manager --template packages/template-manager/templates/default-sandbox.json || { failed=1; return 1; }
}

for kind; do
  case $kind in
    conformance) TMPDIR=$SANDBOX_DATA_ROOT run conformance "$suite" packages/vmm/src/testing/api-rules.test.ts ;;
    e2e)
      build_template || continue
      run e2e tests/e2e/e2b-sdk.test.ts tests/e2e/isolation.test.ts tests/e2e/lifecycle.test.ts tests/e2e/limits.test.ts \
        tests/e2e/overlay.test.ts tests/e2e/restart.test.ts tests/e2e/snapshots.test.ts
      ;;
    phases)
      build_template || continue
      echo "== $vmm: phases"
      $node tests/nested/measure.ts >"$results/$vmm.phases.json" || failed=1
      ;;
    kernels)
      echo "== $vmm: kernels"
      $node tests/nested/measure-kernels.ts >"$results/$vmm.kernels.json" || failed=1
      ;;
    *) echo "error: $kind is not one of conformance, e2e, phases, kernels" >&2; exit 2 ;;
  esac
done
exit $failed
