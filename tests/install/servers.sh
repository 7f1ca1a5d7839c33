#!/usr/bin/env bash
# The servers that Debian packages: the tests start them on loopback, with files of their own, and stop them.
set -euo pipefail
. "$(dirname "$0")/packages.sh"

need_program nginx nginx-light
need_program haproxy haproxy
need_program caddy caddy
need_program prometheus prometheus
need_program promtool prometheus
need_program prometheus-alertmanager prometheus-alertmanager
need_program amtool prometheus-alertmanager
need_program openssl openssl
need_program setpriv util-linux
fresh=("${missing[@]%%|*}")
install_missing

for daemon in nginx haproxy caddy prometheus prometheus-alertmanager; do
    case " ${fresh[*]:-} " in *" ${daemon/nginx/nginx-light} "*) keep_from_starting_at_boot "$daemon" ;; esac
done
