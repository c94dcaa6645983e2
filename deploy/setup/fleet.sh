#!/usr/bin/env bash
# Builds the images, and starts the fleet with this many agents; harmless again.
set -euo pipefail
cd "$(dirname "$0")/../compose"
agents=${1:?usage: fleet.sh AGENTS}
if ! docker compose version >/dev/null 2>&1; then
  echo "The fleet needs Docker with its compose plugin, 2.20 or newer: see Docker's documentation." >&2
  exit 1
fi
if ! docker version >/dev/null 2>&1; then
  echo "There is no Docker engine that you may use: start it, or let your user into the group docker." >&2
  exit 1
fi
echo "Building the images (some minutes the first time)"
docker compose build --quiet agent broker cloud
docker compose up --detach --wait --no-build --scale agent="$agents"
echo "Dashboard  http://127.0.0.1:${VEDETTE_PORT:-8080}/"
echo "In deploy/compose: docker compose run --rm operator devices"
echo "                   docker compose down --volumes"
