#!/bin/sh
# Installs the Debian packages that building and testing need. Does nothing, and needs no rights, when they are there.
set -eu

# What builds it, what it links, what the tests are made with, what the lab runs, what the tests look with.
packages="
  gcc libc6-dev meson ninja-build pkg-config python3
  libevent-dev libcurl4-openssl-dev libssl-dev libkrb5-dev libldap-dev libc-ares-dev libjansson-dev
  libsqlite3-dev libsystemd-dev libseccomp-dev libinih-dev nettle-dev libp11-kit-dev
  libcmocka-dev libjose-dev clang cppcheck valgrind
  samba samba-ad-dc samba-ad-provision samba-dsdb-modules python3-samba
  krb5-kdc krb5-admin-server krb5-user slapd ldap-utils libnss-wrapper libresolv-wrapper dnsmasq-base
  softhsm2 opensc tpm2-openssl tpm2-tools swtpm libtss2-tcti-swtpm0 libtss2-tcti-device0 tpm2-abrmd
  libtss2-tcti-tabrmd0 dbus-daemon
  openssl ca-certificates curl procps nftables systemd iproute2 man-db groff-base"

case "${1:-}" in
-h | --help)
  echo "usage: tests/packages.sh [--list]"
  echo "Installs what building and testing Postern need on Debian 12 (as root, or by sudo)."
  echo "--list prints the names of what is missing instead."
  exit 0
  ;;
"" | --list) ;;
*)
  echo "packages.sh: unknown word: $1" >&2
  exit 2
  ;;
esac

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=
for package in $packages; do
  is_installed "$package" || missing="$missing $package"
done
# The machine's own Node.js will do, and Debian's may not be installable beside it.
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"

[ -n "$missing" ] || exit 0
if [ "${1:-}" = --list ]; then
  echo "$missing" | xargs -n1
  exit 0
fi

sudo=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || {
    echo "packages.sh: not root and no sudo; install these first:$missing" >&2
    exit 1
  }
  sudo=sudo
fi

# The packages must not start their services: the lab runs its own. A policy that is already there stays.
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
ours=
cleanup() {
  rm -f "$log"
  [ -z "$ours" ] || $sudo rm -f "$policy"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [ ! -e "$policy" ]; then
  ours=yes
  printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
  $sudo chmod 755 "$policy"
fi

echo "Installing:$missing"
apt() {
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1 </dev/null || {
    cat "$log" >&2
    echo "packages.sh: apt-get $1 failed" >&2
    exit 1
  }
}
apt update
# shellcheck disable=SC2086  # a list of words
apt install --no-install-recommends $missing
