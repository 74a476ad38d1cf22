#!/bin/sh
# Installs the Debian packages that building, or building and testing, need. Does nothing, and needs no rights, when they are there.
set -eu

# What builds it, what it links.
building="
  gcc libc6-dev meson ninja-build pkg-config
  libevent-dev libcurl4-openssl-dev libssl-dev libkrb5-dev libldap-dev libc-ares-dev libjansson-dev
  libsqlite3-dev libsystemd-dev libseccomp-dev libinih-dev nettle-dev libp11-kit-dev libunistring-dev libpam0g-dev libnats-dev"
# What the tests are made with, what the lab runs, what the tests look with.
testing="
  python3 libcmocka-dev libjose-dev clang clang-format cppcheck valgrind
  samba samba-ad-dc samba-ad-provision samba-dsdb-modules python3-samba
  nats-server
  krb5-kdc krb5-admin-server krb5-user slapd ldap-utils libnss-wrapper libresolv-wrapper dnsmasq-base
  softhsm2 opensc tpm2-openssl tpm2-tools swtpm libtss2-tcti-swtpm0 libtss2-tcti-device0 tpm2-abrmd
  libtss2-tcti-tabrmd0 dbus-daemon
  openssl ca-certificates curl procps nftables systemd systemd-container mmdebstrap iproute2 man-db groff-base
  prometheus rsyslog libsasl2-modules-gssapi-mit nginx-light caddy
  python3-jwcrypto golang-go golang-gopkg-square-go-jose.v2-dev"
# What suite `consumers` puts in front of the gateway, and behind Prometheus.
consuming="
  sasl2-bin slapd ldap-utils freeradius freeradius-rest freeradius-utils pamtester openssh-server openssh-client sudo
  apache2 dovecot-imapd dovecot-ldap default-jdk-headless prometheus-alertmanager"

# What connector/packaging/deb.sh makes Debian packages with, and what looks at them.
packaging="
  build-essential debhelper dpkg-dev fakeroot lintian"

# What only tests of the suite `long` need.
more="chromium fonts-dejavu-core"

usage() {
  cat <<'HELP'
usage: tests/packages.sh [--build | --packaging | --all | --consumers] [--list]

Installs what Postern needs on Debian 12 or 13, as root or by sudo: everything, tests
and their lab included, or with --build only what building it needs, with --all also
what only `tests/run.sh --all` needs, with --consumers also the software that suite
`consumers` puts in front of the gateway, with --packaging what makes Debian packages.

The lab's packages hold servers (Samba, slapd, a KDC and others) that Debian starts
and enables. Here none is started, and those that this run installed are disabled and
masked, so that none starts at the next boot either: `systemctl unmask NAME` gives one
back. Leave an operator's host to --build.

  --list   prints the names of what is missing instead
HELP
}

list=
packages="$building $testing"
for word; do
  case "$word" in
  -h | --help) usage; exit 0 ;;
  --build) packages=$building ;;
  --packaging) packages=$packaging ;;
  --all) packages="$packages $more $packaging" ;;
  --consumers) packages="$packages $consuming" ;;
  --list) list=yes ;;
  *) echo "packages.sh: unknown word: $word" >&2; exit 2 ;;
  esac
done

installed() {
  dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u
}

# Debian 13 has some under another name, which says that it stands for the old one.
provided() {
  dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' | sed -n 's/^installed //p' | tr , '\n' | sed 's/^ *//; s/[ :].*//' | sort -u
}

missing=
before=$(installed)
there=$(provided)
for package in $packages; do
  echo "$there" | grep -Fqx "$package" || missing="$missing $package"
done
# The machine's own Node.js will do, and Debian's may not be installable beside it.
if [ "$packages" != "$building" ] && [ "$packages" != "$packaging" ]; then
  command -v node >/dev/null || missing="$missing nodejs"
  command -v npm >/dev/null || missing="$missing npm"
fi

[ -n "$missing" ] || exit 0
if [ -n "$list" ]; then
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
policy=${POSTERN_POLICY_RC:-/usr/sbin/policy-rc.d}
log=$(mktemp)
ours=''
installing=''
cleanup() {
  [ -z "$installing" ] || mask_services
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

# One of apt's locks is held: of its lists, of its archives (for neither has apt a time-out of its own), or of dpkg.
is_busy() {
  grep -Eq 'Could not get lock|Unable to (lock|acquire)' "$log"
}

# A freshly booted Debian updates itself for minutes.
apt() {
  told=
  until $sudo env LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1 </dev/null; do
    is_busy || {
      cat "$log" >&2
      echo "packages.sh: apt-get $1 failed" >&2
      exit 1
    }
    [ -n "$told" ] || echo "apt is busy, waiting for it ($(grep -Eo -m1 'held by process .*' "$log" || echo 'its lock is held'))"
    told=yes
    sleep "${POSTERN_APT_WAIT:-3}"
  done
}

# units_of PACKAGE...: their services and sockets. Not those that the system itself is made of.
units_of() {
  for package; do
    case "$package" in systemd | systemd-* | udev | dbus | dbus-* | libpam-*) continue ;; esac
    dpkg-query -L "$package" | sed -n 's,^/etc/init\.d/\([^/]*\)$,\1.service,p; s,.*/systemd/system/\([^/@]*\.\(service\|socket\)\)$,\1,p'
  done | sort -u
}

# What came with this run, however far that got, starts neither now nor at the next boot.
mask_services() {
  command -v systemctl >/dev/null || return 0
  new=$(installed | while read -r package; do echo "$before" | grep -Fqx "$package" || echo "$package"; done)
  units=
  # shellcheck disable=SC2086  # a list of words
  for unit in $(units_of $new); do
    [ "$(systemctl is-enabled "$unit" 2>/dev/null)" != enabled ] || units="$units $unit"
  done
  [ -n "$units" ] || return 0
  # shellcheck disable=SC2086  # a list of words
  $sudo systemctl disable $units >"$log" 2>&1 || true # what has no unit of its own says so
  # shellcheck disable=SC2086  # a list of words
  $sudo systemctl mask $units >"$log" 2>&1 || {
    cat "$log" >&2
    echo "packages.sh: these could not be masked and start at the next boot:$units" >&2
    return 1
  }
  echo "Disabled and masked, the lab runs its own:$units"
}

echo "Installing:$missing"
apt update
[ "$packages" = "$building" ] || installing=yes
# shellcheck disable=SC2086  # a list of words
apt install --no-install-recommends $missing
