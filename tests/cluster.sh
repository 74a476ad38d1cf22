#!/bin/sh
# Several relay nodes, on real parts: see README.md. Installs packages, builds, shows, cleans up, as demo.sh does.
set -eu

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

POSTERN_DEMO=cluster.py exec "$(dirname "$0")/demo.sh" "$@"
