#!/bin/sh
# The main job, end to end, on real parts: see README.md. Installs packages, builds, shows, cleans up.
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
-h | --help)
  echo "usage: tests/demo.sh [--keep]"
  echo
  echo "Builds Postern, brings up a Samba AD domain controller, a relay and two connectors on"
  echo "loopback, signs people in through them, shows what the helpdesk sees, and removes it all."
  echo "--keep leaves everything up and prints how to go on by hand."
  exit 0
  ;;
esac

build=${POSTERN_DEMO_BUILD:-build-demo}
tests/packages.sh
if [ ! -f "$build/build.ninja" ]; then
  log=$(mktemp)
  meson setup "$build" -Dtests=false --buildtype=release >"$log" 2>&1 || {
    cat "$log" >&2
    rm -f "$log"
    exit 1
  }
  rm -f "$log"
fi
echo "Building in $build ..."
ninja -C "$build" --quiet
# the provisioned domain is kept with the build, so that nothing stays elsewhere
POSTERN_LAB_CACHE=${POSTERN_LAB_CACHE:-$(cd "$build" && pwd)/lab-cache}
export POSTERN_LAB_CACHE
exec python3 "tests/e2e/${POSTERN_DEMO:-demo.py}" "$build" "$@"
