#!/usr/bin/env bash
# What fuzzing needs: the compiler that fuzz/rust-toolchain.toml names, and cargo-fuzz, compiled once into
# .cache/tools.
set -euo pipefail
cd "$(dirname "$0")/../.."

toolchain=$(sed -n 's/^channel = "\(.*\)"/\1/p' fuzz/rust-toolchain.toml)
if ! command -v rustup >/dev/null 2>&1; then
    echo "Missing on this machine: rustup, which installs $toolchain for fuzzing, see https://rustup.rs" >&2
    exit 1
fi
if ! rustup run "$toolchain" rustc --version >/dev/null 2>&1; then
    echo "── installing $toolchain (once)"
    rustup toolchain install "$toolchain" --profile minimal --no-self-update
fi

version=0.13.2
[ "$(.cache/tools/bin/cargo-fuzz --version 2>/dev/null)" = "cargo-fuzz $version" ] && exit 0

echo "── compiling cargo-fuzz $version (once)"
root=$PWD/.cache/tools
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_DEBUG=0
# From another folder, so that this project's profiles and lock file play no part.
(cd / && cargo install --quiet --locked --root "$root" --target-dir "$root/target" "cargo-fuzz@$version")
rm -rf "$root/target"
