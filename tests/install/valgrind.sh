#!/usr/bin/env bash
# What counts instructions.
set -euo pipefail
. "$(dirname "$0")/packages.sh"

need_program valgrind valgrind
install_missing
