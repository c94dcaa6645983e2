#!/usr/bin/env bash
# Makes or updates .venv with the given extras: venv.sh run | dev
# Safe to interrupt and to run again: the stamp is written last, and only then does make believe it.
set -euo pipefail
cd "$(dirname "$0")/../.."
want=${1:?usage: venv.sh run|dev}
case $want in
  run) extras=agent,cloud,models ;;
  dev) extras=dev ;;
  *) echo "venv.sh: unknown set $want" >&2; exit 2 ;;
esac

supported() { "$1" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

if [ ! -x .venv/bin/python ] || ! supported .venv/bin/python; then
  python=
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && supported "$candidate"; then python=$candidate; break; fi
  done
  if [ -z "$python" ]; then
    echo "No Python 3.11 to 3.13 was found. Install one (Debian 12: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3" >&2
    exit 1
  fi
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "$python cannot make virtual environments. Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
  fi
  echo "Making .venv with $("$python" --version)"
  rm -rf .venv
  "$python" -m venv .venv
fi

echo "Installing what '$want' needs into .venv (about a minute the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$extras]"
touch ".venv/.ready-$want"
# Whatever runs can also be run by a developer's environment, not the other way round.
[ "$want" = run ] || touch .venv/.ready-run
