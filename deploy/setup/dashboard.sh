#!/usr/bin/env bash
# Builds the dashboard into cloud/web/static.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
# shellcheck source=deploy/setup/node-path.sh
. deploy/setup/node-path.sh
cd cloud/web/dashboard
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "Installing the dashboard's packages"
  npm ci --no-audit --no-fund --loglevel=error
fi
echo "Building the dashboard"
npm run --silent build
touch "$root/cloud/web/static/index.html"
