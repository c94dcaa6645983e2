#!/usr/bin/env bash
# Builds the wheel and the source archive with the models and the dashboard inside, then the agent's Debian packages;
# `dist.sh wheel` the wheel alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
what=${1:-all}
rm -rf vision/models
trap 'rm -rf vision/models' EXIT
.venv/bin/python -m deploy.models.build --all --out vision/models
if [ "$what" = wheel ]; then
  rm -f dist/vedette-*.whl
  .venv/bin/python -m build --no-isolation --wheel --outdir dist . >/dev/null
  ls dist/vedette-*.whl
  exit
fi
rm -rf dist
.venv/bin/python -m build --no-isolation --wheel --sdist --outdir dist .

if ! command -v dpkg-deb >/dev/null; then
  echo "The wheel is in dist. The Debian packages need dpkg-deb, which Debian and Ubuntu have." >&2
  exit 1
fi
if ! command -v readelf >/dev/null; then
  echo "Installing binutils, which says what libraries a package needs"
  as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
  if ! as_root apt-get install -y -qq --no-install-recommends binutils >/dev/null; then
    echo "The wheel is in dist. The Debian packages need readelf: apt-get install binutils, then run it again." >&2
    exit 1
  fi
fi
.venv/bin/python -m deploy.debian.build --wheel dist/*.whl --out dist
ls -l dist
