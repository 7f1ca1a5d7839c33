#!/usr/bin/env bash
# Apache Kafka from Maven Central: 46 jars that together are the broker (tests/install/kafka/pom.xml says which).
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/install/packages.sh

version=$(sed -n '/kafka_2.13/,/version/s/.*<version>\(.*\)<.*/\1/p' tests/install/kafka/pom.xml)
here=.cache/kafka-$version
need_program java default-jre-headless
need_program openssl openssl
need_program setpriv util-linux
[ -d "$here/jars" ] || need_program mvn maven
install_missing

major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
if [ "$major" -lt 17 ]; then
    echo "Java $major is too old for Kafka $version, it needs 17 or newer (Debian package default-jre-headless)" >&2
    exit 1
fi
[ -d "$here/jars" ] && exit 0

echo "── fetching Apache Kafka $version"
rm -rf "$here.partial"
mvn --quiet --batch-mode -f tests/install/kafka/pom.xml dependency:copy-dependencies \
    -DoutputDirectory="$PWD/$here.partial/jars" -DincludeScope=runtime </dev/null
mkdir -p "$here"
mv "$here.partial/jars" "$here/jars" # at once, so that an interrupted download never looks complete
rmdir "$here.partial"
