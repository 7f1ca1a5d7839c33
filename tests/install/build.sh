#!/usr/bin/env bash
# What compiling needs: librdkafka is built from source against the system's OpenSSL and zlib.
set -euo pipefail
. "$(dirname "$0")/packages.sh"

need_program gcc gcc
need_program g++ g++
need_program make make
need_program pkg-config pkg-config
need_header openssl/ssl.h libssl-dev
need_header zlib.h zlib1g-dev
install_missing

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../../Cargo.toml")
if ! command -v cargo >/dev/null 2>&1; then
    echo "Missing on this machine: cargo. Install Rust $wanted or newer, see https://rustup.rs" >&2
    exit 1
fi
found=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n1)" != "$wanted" ]; then
    echo "Rust $found is too old, Keyhound needs $wanted or newer: rustup update stable" >&2
    exit 1
fi
