#!/bin/sh
# Runs one libFuzzer target for a time, from its corpus in the tree and what earlier runs found.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${POSTERN_BUILD_FUZZ:-$root/build-fuzz}

usage() {
  cat <<'HELP'
usage: tests/fuzz/run.sh TARGET SECONDS
       tests/fuzz/run.sh --list
       tests/fuzz/run.sh --merge TARGET

Fuzzes TARGET (fuzz_ldap or ldap) with clang's libFuzzer, ASan and UBSan for SECONDS of
wall time, and says the CPU time it got. New inputs are kept in BUILD/found/TARGET, a
crash in BUILD/crash/TARGET; exits 1 after a crash.

  --merge      adds to the corpus in the tree what BUILD/found/TARGET reaches beyond it
  --list       names the targets
  BUILD        build-fuzz, set up at the first use; another folder by $POSTERN_BUILD_FUZZ
HELP
}

setup() {
  [ -f "$build/build.ninja" ] || CC="${CC:-clang}" meson setup "$build" "$root" -Dfuzz=true -Dwerror=true \
    -Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fsanitize=fuzzer-no-link
}

# The tests say which program reads which corpus.
targets() {
  meson introspect --tests "$build" | python3 -c '
import json, os, sys
for test in json.load(sys.stdin):
    if any(suite.split(":")[-1] == "fuzz" for suite in test["suite"]):
        print(os.path.basename(test["cmd"][0]), test["cmd"][0], test["cmd"][-1])'
}

merge=
case "${1:-}" in
-h | --help) usage; exit 0 ;;
--list) setup >&2; targets | cut -d' ' -f1; exit 0 ;;
--merge) merge=yes; shift ;;
esac
[ $# = 2 ] || { [ $# = 1 ] && [ -n "$merge" ]; } || { usage >&2; exit 2; }

setup
name=fuzz_${1#fuzz_}
found=$(targets | grep "^$name ") || { echo "run.sh: no target is called $name; see --list" >&2; exit 2; }
exe=$(echo "$found" | cut -d' ' -f2)
corpus=$(echo "$found" | cut -d' ' -f3)
ninja -C "$build" --quiet "${exe#"$build"/}"
mkdir -p "$build/found/$name" "$build/crash/$name"
cd "$build"
if [ -n "$merge" ]; then
  "$exe" -merge=1 -max_len=4096 "$corpus" "$build/found/$name"
  exit 0
fi
code=0 spent=$(mktemp)
"$exe" -max_total_time="$2" -timeout=20 -rss_limit_mb=2560 -print_final_stats=1 -close_fd_mask=1 \
  -artifact_prefix="$build/crash/$name/" "$build/found/$name" "$corpus" || code=1
# The second line of times is that of the children, the fuzzer among them; in a pipe it would be the pipe's.
times >"$spent"
sed -n '2s/^/CPU time, user and system: /p' "$spent"
rm -f "$spent"
exit $code
