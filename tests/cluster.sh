#!/bin/sh
# Several relay nodes, on real parts: see README.md. Installs packages, builds, shows, cleans up.
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
-h | --help)
  echo "usage: tests/cluster.sh [--keep]"
  echo
  echo "Builds Postern, brings up three NATS servers, three relay nodes, two connectors and a"
  echo "Samba AD domain controller on loopback, signs people in at a node that has no connector,"
  echo "kills a NATS server and a node, and removes it all."
  echo "--keep leaves everything up and prints how to go on by hand."
  exit 0
  ;;
esac

build=${POSTERN_DEMO_BUILD:-build-demo}
tests/packages.sh
if [ ! -f "$build/build.ninja" ]; then
  log=$(mktemp)
  meson setup "$build" -Dtests=false --buildtype=release -Dnats=enabled >"$log" 2>&1 || {
    cat "$log" >&2
    rm -f "$log"
    exit 1
  }
  rm -f "$log"
fi
echo "Building in $build ..."
ninja -C "$build" --quiet
POSTERN_LAB_CACHE=${POSTERN_LAB_CACHE:-$(cd "$build" && pwd)/lab-cache}
export POSTERN_LAB_CACHE
exec python3 tests/e2e/cluster.py "$build" "$@"
