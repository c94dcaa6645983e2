#!/usr/bin/env bash
# Builds the images, and starts the fleet with this many agents; harmless again, and with another number.
# `fleet.sh AGENTS check` only says what is missing, before anything is built for it.
set -euo pipefail
cd "$(dirname "$0")/../compose"
agents=${1:?usage: fleet.sh AGENTS [check]}
port=${VEDETTE_PORT:-8080}
if ! [[ $agents =~ ^[0-9]{1,3}$ ]]; then
  echo "AGENTS says how many agents to start, as in make fleet AGENTS=3; '$agents' is no such number." >&2
  exit 1
fi
if ! docker compose version >/dev/null 2>&1; then
  echo "The fleet needs Docker with its compose plugin, 2.20 or newer: see Docker's documentation." >&2
  exit 1
fi
if ! docker version >/dev/null 2>&1; then
  echo "There is no Docker engine that you may use: start it, or let your user into the group docker." >&2
  exit 1
fi
ours=$(docker compose ps --quiet cloud 2>/dev/null || true)
if [ -z "$ours" ] && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
  echo "Port $port of this machine, for the dashboard, is taken: VEDETTE_PORT=8081 make fleet takes another." >&2
  exit 1
fi
if [ "${2:-}" = check ]; then exit; fi

how_to_go_on() {
  echo "In deploy/compose: docker compose ps --all              what runs, and how it is" >&2
  echo "                   docker compose logs cloud            what one of them says" >&2
  echo "                   docker compose down --volumes        removes all of it" >&2
}
trap 'echo; echo "Interrupted. What was started goes on; make fleet takes it up again." >&2; how_to_go_on; exit 130' INT
trap 'echo "The fleet did not come up." >&2; how_to_go_on' ERR

# Without its plugin buildx, compose warns of it each time.
docker buildx version >/dev/null 2>&1 || export COMPOSE_BAKE=false
quiet=()
if [ -t 1 ]; then
  echo "Building the images (some minutes the first time)"
else
  quiet=(--quiet)
  echo "Building the images, without a word (some minutes the first time)"
fi
docker compose build ${quiet[@]+"${quiet[@]}"} agent broker cloud
echo "Starting $agents agents, broker and cloud, and waiting until all of them are well"
began=$SECONDS
docker compose up --detach --wait --no-build --scale agent="$agents"
echo
echo "$agents agents are well, $((SECONDS - began)) s after they were started."
echo "Dashboard          http://127.0.0.1:$port/"
echo "In deploy/compose: docker compose run --rm operator devices"
echo "                   docker compose down --volumes        stops and removes all of it"
