#!/bin/sh
# All tests: installs what they need, builds, runs, and ends with one line `N passed, N failed`.
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
-h | --help)
  cat <<'HELP'
usage: tests/run.sh [SUITE|TEST]...

Installs what is missing (Debian 12 or 13; root or sudo), builds Postern twice and runs
its tests, all of them or only the named suites (unit, integration, e2e, systemd,
interop, fuzz, style, vectors, valgrind) and tests. The last line counts them: `N passed, N failed`.
Exits 0 only when some ran and none failed.

  build-asan    AddressSanitizer and UBSan; another folder by $POSTERN_BUILD
  build-plain   as released, for the tests of suite `plain`, which look at memory
                and linking, and for the unit tests once more in valgrind (suite
                `valgrind`); another folder by $POSTERN_BUILD_PLAIN

What failed is printed, and in meson-logs/testlog.txt of either folder.
The benchmarks: meson test -C build-plain --benchmark
HELP
  exit 0
  ;;
-*)
  echo "run.sh: unknown option: $1" >&2
  exit 2
  ;;
esac

asan=${POSTERN_BUILD:-build-asan}
plain=${POSTERN_BUILD_PLAIN:-build-plain}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# step WHAT COMMAND...: quiet when it works, everything it said when not.
step() {
  echo "$1"
  shift
  "$@" >"$log" 2>&1 || {
    cat "$log" >&2
    echo "run.sh: failed: $*" >&2
    exit 1
  }
}

# build FOLDER OPTION...
build() {
  folder=$1
  shift
  [ -f "$folder/build.ninja" ] || step "Setting up $folder ..." meson setup "$folder" -Dwerror=true "$@"
  step "Building in $folder ..." ninja -C "$folder" --quiet
  rm -f "$folder"/meson-logs/testlog*.json
}

# run FOLDER plain|asan|valgrind [WORD]...: `meson test` of what belongs to that build; how it ended is read from its log.
run() {
  folder=$1
  tests=$(python3 tests/run_tests.py select "$@")
  [ -n "$tests" ] || return 0
  setup= kept=$folder/meson-logs/testlog.json
  [ "$2" != valgrind ] || { setup=--setup=valgrind kept=$folder/meson-logs/testlog-valgrind.json; }
  # shellcheck disable=SC2086  # names of tests hold no spaces
  meson test -C "$folder" --no-rebuild --print-errorlogs $setup $tests || [ -f "$kept" ] || exit 1
}

tests/packages.sh
build "$asan" -Db_sanitize=address,undefined -Db_lundef=false
build "$plain" --buildtype=release
python3 tests/run_tests.py check "$asan" "$plain" -- "$@"
run "$asan" asan "$@"
run "$plain" plain "$@"
run "$plain" valgrind "$@"
python3 tests/run_tests.py summary "$asan" "$plain"
