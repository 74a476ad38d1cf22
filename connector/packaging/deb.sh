#!/bin/sh
# Makes Debian packages of this source as it stands, for the release that it runs on.
set -eu
cd "$(dirname "$0")/../.."

usage() {
  cat <<'HELP'
usage: connector/packaging/deb.sh [--install] [--version VERSION] FOLDER

Builds the Debian packages (postern, postern-connector, postern-web, postern-relay,
postern-gateway, postern-sandbox, libpostern0, libpostern-dev, libpam-postern) and puts
them into FOLDER. Needs what tests/packages.sh --build installs, and debhelper and
dpkg-dev; as any user.

  --install           installs what is missing for it first, as root or by sudo
  --version VERSION   instead of meson.build's, as for a build between two releases
HELP
}

version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" meson.build)
while [ $# -gt 0 ]; do
  case "$1" in
  -h | --help) usage; exit 0 ;;
  --install) tests/packages.sh --build; tests/packages.sh --packaging ;;
  --version) [ $# -gt 1 ] || { usage >&2; exit 2; }; version=$2; shift ;;
  -*) echo "deb.sh: unknown option: $1" >&2; exit 2 ;;
  *) break ;;
  esac
  shift
done
[ $# = 1 ] || { usage >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
for tool in dh dpkg-buildpackage meson; do
  command -v "$tool" >/dev/null || { echo "deb.sh: $tool is missing; connector/packaging/deb.sh --install FOLDER installs it" >&2; exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/postern"
git ls-files -z --cached --others --exclude-standard |
  xargs -0 sh -c 'for file; do [ ! -e "$file" ] || printf "%s\0" "$file"; done' - |
  tar -c --null -T - | tar -x -C "$work/postern"
cp -r "$work/postern/connector/packaging/debian" "$work/postern/debian"
cat >"$work/postern/debian/changelog" <<CHANGELOG
postern ($version) unstable; urgency=medium

  * As CHANGELOG.md says.

 -- Postern maintainers <maintainers@postern.invalid>  $(git log -1 --format=%cD)
CHANGELOG
(cd "$work/postern" && dpkg-buildpackage --build=binary --no-sign >"$work/log" 2>&1) || { tail -40 "$work/log" >&2; exit 1; }
cp "$work"/*.deb "$folder/"
(cd "$folder" && ls -- *"_${version}_"*.deb)
