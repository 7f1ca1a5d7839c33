#!/usr/bin/env bash
# cargo-deny, compiled once into .cache/tools. Without optimisation: it runs for a second, and compiles in a third.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=0.20.2
[ "$(.cache/tools/bin/cargo-deny --version 2>/dev/null)" = "cargo-deny $version" ] && exit 0

echo "── compiling cargo-deny $version (once)"
root=$PWD/.cache/tools
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_DEBUG=0
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64
# From another folder, so that this project's profiles and lock file play no part.
(cd / && cargo install --quiet --locked --root "$root" --target-dir "$root/target" "cargo-deny@$version")
rm -rf "$root/target"
