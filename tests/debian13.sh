#!/bin/sh
# The tests again in a tree of Debian 13 (or another release), whatever this machine runs.
set -eu
cd "$(dirname "$0")/.."

usage() {
  cat <<'HELP'
usage: tests/debian13.sh [--release NAME] [--demo | --build] [SUITE|TEST]...

Makes a minimal tree of Debian 13 with mmdebstrap, unless it is there, copies this
source into it as it stands, and runs tests/run.sh there with the words given, which
installs what it needs; ends as run.sh does. As root: the tree has mounts and processes
of its own, which end with this script, but this machine's network.

  --demo           tests/demo.sh instead of the tests
  --build          only what README tells an operator to do: build and install with what
                   tests/packages.sh --build brings, in a tree that has nothing else
  --release NAME   another release: bookworm, trixie (the default)
  tree             build-NAME/tree, kept for the next run; another by $POSTERN_TREE.
                   With --build build-NAME/bare, made anew each time
HELP
}

release=trixie
program=tests/run.sh
while [ $# -gt 0 ]; do
  case "$1" in
  -h | --help) usage; exit 0 ;;
  --release) [ $# -gt 1 ] || { usage >&2; exit 2; }; release=$2; shift ;;
  --demo) program=tests/demo.sh ;;
  --build) program=build ;;
  -*) echo "debian13.sh: unknown option: $1" >&2; exit 2 ;;
  *) break ;;
  esac
  shift
done
[ "$(id -u)" = 0 ] || { echo "debian13.sh: needs root, for mounts and chroot" >&2; exit 1; }
tree=${POSTERN_TREE:-$PWD/build-$release/tree}
if [ "$program" = build ]; then
  tree=${POSTERN_TREE:-$PWD/build-$release/bare}
  rm -rf "$tree"
  set -- -ec 'tests/packages.sh --build; [ -z "$(tests/packages.sh --build --list)" ]
    meson setup build -Dtests=false --buildtype=release; ninja -C build; ninja -C build install
    postern --version; posternd --version; postern-relay --version'
  program=sh
fi

make_tree() {
  command -v mmdebstrap >/dev/null || { echo "debian13.sh: mmdebstrap is missing; tests/packages.sh installs it" >&2; exit 1; }
  echo "Making a tree of $release ..."
  mkdir -p "$(dirname "$tree")"
  rm -rf "$tree.new"
  mmdebstrap --quiet --variant=minbase --include=ca-certificates "$release" "$tree.new" || { rm -rf "$tree.new"; exit 1; }
  mv "$tree.new" "$tree"
}

# The way out that this machine has: name servers, and CAs of its own. Copies, not links.
lend_network() {
  cp -L /etc/resolv.conf /etc/hosts "$tree/etc/"
  cp -L /usr/local/share/ca-certificates/*.crt "$tree/usr/local/share/ca-certificates/" 2>/dev/null || return 0
  chroot "$tree" update-ca-certificates >/dev/null 2>&1
}

# What git knows and what is new. A file that is as it was keeps its time, so that the builds in the tree go on from where
# they were, and one that changed is new now: its own time may lie before that of an object that a slow build made meanwhile.
copy_source() {
  rm -rf "$tree/src.new"
  mkdir -p "$tree/src" "$tree/src.new"
  # shellcheck disable=SC2016  # for the inner shell
  git ls-files -z --cached --others --exclude-standard |
    xargs -0 sh -c 'for file; do [ ! -e "$file" ] || printf "%s\0" "$file"; done' - |
    tar -c --null -T - | tar -x -m -C "$tree/src.new"
  # shellcheck disable=SC2016  # for the inner shell
  (cd "$tree/src.new" && find . -type f -exec sh -c 'old=$1; shift
    for file; do ! cmp -s "$old/$file" "$file" || touch -r "$old/$file" "$file"; done' - "$tree/src" {} +)
  find "$tree/src" -mindepth 1 -maxdepth 1 ! -name 'build*' -exec rm -rf {} +
  find "$tree/src.new" -mindepth 1 -maxdepth 1 -exec mv {} "$tree/src/" \;
  rmdir "$tree/src.new"
}

[ -d "$tree" ] || make_tree
lend_network
copy_source
# shellcheck disable=SC2016  # for the inner shell
exec unshare --mount --pid --fork --kill-child sh -ec '
  tree=$1; shift
  mount --bind "$tree" "$tree" # a root that can be unshared, as some tests do
  cd "$tree"
  mount -t proc proc "$tree/proc"
  mount --rbind /sys "$tree/sys"
  mount --rbind /dev "$tree/dev"
  for folder in run tmp; do mount -t tmpfs -o mode=1777 tmpfs "$tree/$folder"; done
  chmod 755 "$tree/run"
  pivot_root . . # not chroot alone: what enters a namespace made in there looks for its root
  umount -l .
  exec chroot . env -u LANG -u LC_ALL HOME=/root NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
    PATH="${POSTERN_TREE_PATH-}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" sh -ec "cd /src; exec \"\$@\"" - "$@"
' - "$tree" "$program" "$@"
