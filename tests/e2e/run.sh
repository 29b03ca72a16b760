#!/usr/bin/env bash
# tests/e2e/run.sh BINARY [PATTERN]: runs the program as a user does, in a temporary directory. One line per case;
# exit 1, naming them, if any failed. PATTERN (a glob) chooses cases by name. FRUGAL_E2E_KEEP=1 keeps the directory.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 1 ] && [ -x "$1" ] || { echo "usage: run.sh BINARY [PATTERN]" >&2; exit 2; }
FRUGAL=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
pattern=${2:-*}
unset FRUGAL_ISA
. "$here/common.sh"

make_fixtures || { echo "FAILED  fixtures: the first training run did not work"; exit 1; }
for file in train data faults generate chat demo report tools integers bad_input; do
  . "$here/$file.sh"
  for name in "${cases[@]}"; do
    case $name in $pattern) run_case "$name" ;; esac
  done
done

echo "end to end: $passed passed, ${#failures[@]} failed, $skipped skipped, $SECONDS s"
[ ${#failures[@]} -eq 0 ] || { echo "failed: ${failures[*]}"; exit 1; }
