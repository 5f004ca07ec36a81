#!/usr/bin/env bash
# Sets up, builds and starts everything, and says hello from a virtual machine.
#   bash scripts/start.sh          does only what is missing
#   bash scripts/start.sh --stop   stops everything it started
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export SANDBOX_DATA_ROOT=${SANDBOX_DATA_ROOT:-/var/lib/sandbox-backend}
template=default-sandbox

server_pid() {
  local pid
  pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$SANDBOX_DATA_ROOT/server.json" 2>/dev/null | head -n1)
  [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'server/src/main.ts' && echo "$pid"
}

stop() {
  local pid
  if ! pid=$(server_pid); then
    say 'no server runs'
    return
  fi
  say "stopping the server (process $pid) and its sandboxes"
  kill -TERM "$pid"
  for _ in $(seq 300); do
    [ -d "/proc/$pid" ] || return 0
    sleep 0.1
  done
  fail "the server did not stop within 30 s" "See $SANDBOX_DATA_ROOT/server.log"
}

start() {
  if server_pid >/dev/null; then
    say "the server runs already (process $(server_pid))"
    return
  fi
  say 'starting the server'
  rm -f "$SANDBOX_DATA_ROOT/server.json"
  setsid node "$root/packages/server/src/main.ts" </dev/null >>"$SANDBOX_DATA_ROOT/server.log" 2>&1 &
  local pid=$!
  for _ in $(seq 600); do
    [ -f "$SANDBOX_DATA_ROOT/server.json" ] && return 0
    [ -d "/proc/$pid" ] || {
      tail -n 5 "$SANDBOX_DATA_ROOT/server.log" >&2
      fail 'the server ended while it started'
    }
    sleep 0.1
  done
  fail 'the server did not answer within 60 s' "See $SANDBOX_DATA_ROOT/server.log"
}

case "${1-}" in
'') ;;
--stop)
  require_host
  stop
  exit 0
  ;;
*) fail "unknown argument $1" 'usage: bash scripts/start.sh [--stop]' ;;
esac

require_host
install_packages
install_npm_packages
mkdir -p "$SANDBOX_DATA_ROOT"
"$root/bin/template-manager" prepare
say "the template $template (some minutes the first time)"
"$root/bin/template-manager" --if-needed --template "$root/packages/template-manager/templates/$template.json"
start
node "$root/scripts/hello.ts" "$template"
