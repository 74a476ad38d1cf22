#!/bin/sh
# All tests: installs what they need, builds, runs, and ends with one line `N passed, N failed`.
set -eu
cd "$(dirname "$0")/.."

usage() {
  cat <<'HELP'
usage: tests/run.sh [--all] [SUITE|TEST]...

Installs what is missing (Debian 12 or 13; root or sudo), builds Postern twice and runs
its tests, all of them or only the named suites (unit, integration, e2e, systemd, interop,
fuzz, style, vectors, valgrind, long, consumers, packages) and tests. The last line
counts them: `N passed, N failed`. Exits 0 only when some ran and none failed.
tests/README.md tells more.

  consumers     other software in front of the gateway (FreeRADIUS, OpenLDAP, sshd, sudo):
                installs it first, and runs only when it is asked for
  packages      Debian packages are built, installed, upgraded and purged: as consumers,
                and with --all
  --all         suite `long` as well: a test X-all has more in it than X and replaces it

  build-asan    AddressSanitizer and UBSan; another folder by $POSTERN_BUILD
  build-plain   as released: suite `plain`, which looks at memory, linking and
                confinement, and the unit tests once more in valgrind (suite
                `valgrind`); another folder by $POSTERN_BUILD_PLAIN

What failed is printed, and in meson-logs/testlog*.txt of either folder.
The benchmarks: meson test -C build-plain --benchmark
HELP
}

all=
for word; do
  case "$word" in
  -h | --help) usage; exit 0 ;;
  --all) all=--all ;;
  -*)
    echo "run.sh: unknown option: $word" >&2
    exit 2
    ;;
  esac
done

asan=${POSTERN_BUILD:-build-asan}
plain=${POSTERN_BUILD_PLAIN:-build-plain}
cores=$(nproc)
logs=$(mktemp -d)
children=

# stop CODE: ends what runs, each by its pid, and waits for it; meson ends its tests.
stop() {
  trap '' INT TERM HUP
  for pid in $children; do kill -TERM "$pid" 2>/dev/null || true; done
  wait
  exit "$1"
}
trap 'rm -rf "$logs"' EXIT
trap 'stop 130' INT
trap 'stop 143' TERM HUP

# await PID...: the shell answers a signal meanwhile.
await() {
  code=0
  for pid; do wait "$pid" || code=1; done
  return $code
}

# step WHAT COMMAND...: quiet when it works, everything it said when not.
step() {
  echo "$1"
  shift
  log=$(mktemp "$logs/XXXXXX")
  "$@" >"$log" 2>&1 &
  children="$children $!"
  await $! || {
    cat "$log" >&2
    echo "run.sh: failed: $*" >&2
    exit 1
  }
}

# linker: the name of one that needs a third of the usual one's time, where there is one. What is tested as released is linked as released.
linker() {
  for name in lld gold; do
    if command -v ld.$name >/dev/null; then
      echo $name
      return
    fi
  done
}

# configure FOLDER LINKER OPTION...
configure() {
  folder=$1 linker=$2
  shift 2
  if [ -f "$folder/build.ninja" ]; then
    step "Looking at $folder ..." ninja -C "$folder" build.ninja # what it knows of the tests may be old
  else
    step "Setting up $folder ..." env CC_LD="$linker" meson setup "$folder" -Dwerror=true "$@"
  fi
  rm -f "$folder"/meson-logs/testlog* "$folder"/meson-logs/cpu.tsv
}

# run FOLDER plain|asan|valgrind AT_ONCE [WORD]...: `meson test` of what belongs to that build, in the background.
# Tests wait for most of their time, so there are more than processors; how each ended is read from meson's log. watch.py
# ends those that hang.
run() {
  folder=$1 kind=$2 at_once=$3
  shift 3
  tests=$(python3 tests/run_tests.py select "$folder" "$kind" "$@")
  [ -n "$tests" ] || return 0
  setup=
  [ "$kind" != valgrind ] || setup=--setup=valgrind
  # shellcheck disable=SC2086  # names of tests hold no spaces
  MESON_TESTTHREADS=$at_once meson test -C "$folder" --no-rebuild --print-errorlogs $setup $tests &
  children="$children $!"
}

# second [WORD]...: the plain build and what belongs to it, while the tests of the other one run.
second() {
  trap 'stop 143' TERM
  children=
  targets=$(python3 tests/run_tests.py targets "$plain" plain,valgrind "$@")
  [ -n "$targets" ] || return 0
  # shellcheck disable=SC2086  # nor do these
  step "Building in $plain ..." ninja -C "$plain" --quiet $targets
  children=
  run "$plain" plain $((2 * cores)) "$@"
  run "$plain" valgrind "$cores" "$@"
  # shellcheck disable=SC2086  # pids
  await $children || true # the summary knows
}

# shellcheck disable=SC2086  # a word or none
tests/packages.sh $all
case " $* " in *" consumers "*) tests/packages.sh --consumers ;; esac
case " $* " in *" packages "*) tests/packages.sh --packaging ;; esac
configure "$asan" "$(linker)" -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=0
configure "$plain" "" --buildtype=release
python3 tests/run_tests.py check "$asan" "$plain" -- "$@"
if [ -n "$(python3 tests/run_tests.py select "$asan" asan "$@")" ]; then
  step "Building in $asan ..." ninja -C "$asan" --quiet
fi
second "$@" >"$logs/second" 2>&1 &
beside=$!
children=$beside
run "$asan" asan $((4 * cores)) "$@"
status=0
for pid in $children; do
  await "$pid" || [ "$pid" != "$beside" ] || status=1
done
cat "$logs/second"
[ $status = 0 ] || exit 1
python3 tests/run_tests.py summary "$asan" "$plain" -- "$@"
