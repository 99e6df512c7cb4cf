#!/usr/bin/env bash
# A compiler for setuptools, which asks for one file after another: notes what to compile in $JOBS, and compiles all of
# it on every core when the first thing is linked.
set -euo pipefail
if [[ " $* " == *" -c "* ]]; then
  printf '%q ' g++ "$@" -O0 -g0 -w >>"$JOBS"
  echo >>"$JOBS"
else
  # The largest come last.
  tac "$JOBS" | xargs --delimiter '\n' --max-procs "$(nproc)" -I COMMAND bash -c COMMAND
  : >"$JOBS"
  exec g++ "$@"
fi
