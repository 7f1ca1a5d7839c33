#!/usr/bin/env bash
# Grafana's dashboard types and the TypeScript compiler that checks the shipped dashboards against them.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/install/packages.sh

here=.cache/dashboards
lock=tests/dashboards/package-lock.json
cmp -s "$lock" "$here/package-lock.json" && [ -d "$here/node_modules/@grafana/schema" ] && exit 0

need_program node nodejs
need_program npm npm
install_missing

echo "── fetching Grafana's dashboard types"
rm -rf "$here"
mkdir -p "$here"
cp tests/dashboards/package.json "$here/"
cp "$lock" "$here/package-lock.json"
(cd "$here" && npm ci --silent --no-audit --no-fund --ignore-scripts </dev/null)
