#!/usr/bin/env bash
# Builds the wheel and the source archive with the models and the dashboard inside.
set -euo pipefail
cd "$(dirname "$0")/../.."
rm -rf vision/models dist
trap 'rm -rf vision/models' EXIT
.venv/bin/python -m deploy.models.build --all --out vision/models
.venv/bin/python -m build --no-isolation --wheel --sdist --outdir dist .
ls -l dist
