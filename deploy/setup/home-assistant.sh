#!/usr/bin/env bash
# Puts a Home Assistant into an environment of its own, for tests/system/test_home_assistant.py. 2024.3 is the last
# version for Python 3.11; it pins what it needs itself, but for what its parts install at their first start, which is
# named here so that the test fetches nothing.
set -euo pipefail
python=${1:-python3}
folder=${VEDETTE_HOME_ASSISTANT:-${XDG_CACHE_HOME:-$HOME/.cache}/vedette/homeassistant-venv}
[ ! -f "$folder/.ready" ] || exit 0
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
  echo "Home Assistant 2024.3 needs Python 3.11, and $python is another: name one as the first argument" >&2
  exit 1
}
echo "Installing Home Assistant into $folder"
rm -rf "$folder"
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
  homeassistant==2024.3.3 home-assistant-frontend==20240307.0 \
  paho-mqtt==1.6.1 janus==1.0.0 Pillow==10.2.0 SQLAlchemy==2.0.27 fnv-hash-fast==0.5.0 psutil-home-assistant==0.0.1 \
  hassil==1.6.1 home-assistant-intents==2024.3.12 securetar==2024.2.1 mutagen==1.47.0 \
  'josepy<2'
touch "$folder/.ready"
