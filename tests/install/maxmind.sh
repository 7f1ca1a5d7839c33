#!/bin/sh
# Fetches MaxMind's own test databases for tests/geo_conformance.rs.
#
# They are part of PyPI's source package of `maxminddb` (Apache-2.0; the data: Apache-2.0 or MIT). Pinned by version
# and checksum; does nothing if they are there. Usage: tests/install/maxmind.sh, from anywhere.
set -eu

version=3.2.0
sha256=d28e0073fd1dd637c8b95947bc864b5625eca9f8f2db1538145e33b2a1cd4b92

root=$(cd "$(dirname "$0")/../.." && pwd)
target="$root/.cache/maxmind-test-data"

if [ "$(cat "$target/VERSION" 2>/dev/null || true)" = "$version" ]; then
    exit 0
fi
for command in python3 sha256sum tar; do
    if ! command -v "$command" >/dev/null 2>&1; then
        echo "maxmind.sh: \"$command\" is not installed; it is needed to fetch MaxMind's test databases" >&2
        exit 1
    fi
done

mkdir -p "$root/.cache"
work=$(mktemp -d "$root/.cache/maxmind.XXXXXX")
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary :all: \
    --dest "$work" "maxminddb==$version"
archive="$work/maxminddb-$version.tar.gz"
echo "$sha256  $archive" | sha256sum --check --quiet

tar -xzf "$archive" -C "$work"
data="$work/maxminddb-$version/tests/data"
mkdir "$work/ready"
cp "$data"/test-data/*.mmdb "$data"/source-data/*.json "$work/ready/"
echo "$version" >"$work/ready/VERSION"
rm -rf "$target"
mv "$work/ready" "$target"
