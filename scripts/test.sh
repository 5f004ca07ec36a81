#!/usr/bin/env bash
# Sets up what the tests need and runs all of them, real virtual machines included.
#   bash scripts/test.sh           everything
#   bash scripts/test.sh check     types, lint, imports
#   bash scripts/test.sh unit|e2e  one kind
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

# Clients that the tests use beside the project's own; `ensurepip` is what Debian has in a package of its own.
needed="$needed ssh:openssh-client sftp:openssh-client rsync:rsync zsh:zsh depmod:kmod"
python3 -c 'import ensurepip, venv' 2>/dev/null || needed="$needed python3-with-venv:python3-venv"

kind=${1-all}
# One kind that fails does not keep the other from being run.
failed=''
require_host
install_packages
install_npm_packages

if [ "$kind" = all ] || [ "$kind" = check ]; then
  say 'types, lint, imports'
  npm run --silent check
fi
if [ "$kind" = all ] || [ "$kind" = unit ] || [ "$kind" = e2e ]; then
  # A data folder of the tests' own: a user's sandboxes and templates are never touched.
  export SANDBOX_DATA_ROOT=${SANDBOX_TEST_DATA_ROOT:-/var/lib/sandbox-backend-test}
  say "preparing the guest in $SANDBOX_DATA_ROOT"
  mkdir -p "$SANDBOX_DATA_ROOT"
  bin/template-manager prepare
  export KERNEL=$SANDBOX_DATA_ROOT/kernels/default/vmlinux
fi
if [ "$kind" = all ] || [ "$kind" = unit ]; then
  say 'tests beside the code'
  npm run --silent test || failed="$failed unit"
fi
if [ "$kind" = all ] || [ "$kind" = e2e ]; then
  say 'whole-system tests'
  npm run --silent test:e2e || failed="$failed e2e"
fi
[ -z "$failed" ] || fail "tests failed:$failed" "One kind alone: bash scripts/test.sh KIND"
