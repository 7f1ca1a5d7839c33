# Sourced, not run: finds what is missing and installs its Debian package, or says what to install.
#
# Owns no list of its own: each script beside it names what it needs.

missing=()

# Notes PACKAGE as missing unless PROGRAM is there. Daemons live in sbin, which is often not in a user's PATH.
need_program() {
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || missing+=("$2|the program $1")
}

# Notes PACKAGE as missing unless the C compiler finds HEADER. Waits for the compiler itself to be there.
need_header() {
    command -v gcc >/dev/null 2>&1 && echo "#include <$1>" | gcc -E -x c - >/dev/null 2>&1 ||
        missing+=("$2|the header $1")
}

# Installs the packages noted as missing. If that is not possible, lists them with the command and ends.
install_missing() {
    [ ${#missing[@]} -eq 0 ] && return
    local packages
    packages=$(printf '%s\n' "${missing[@]%%|*}" | sort -u | tr '\n' ' ')
    packages=${packages% }
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "Missing on this machine:" >&2
        local line
        for line in "${missing[@]}"; do
            printf '  %-30s (Debian package %s)\n' "${line#*|}" "${line%%|*}" >&2
        done
        echo "Install them, as root on Debian or Ubuntu:  apt-get install $packages" >&2
        exit 1
    fi
    echo "── installing Debian packages: $packages"
    # shellcheck disable=SC2086 # one word a package
    apt_install $packages
    missing=()
}

# Installs without starting daemons: a test machine must not end up with an open nginx or Prometheus.
apt_install() {
    local policy=/usr/sbin/policy-rc.d log
    log=$(mktemp)
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update -qq && apt-get install -qq -y --no-install-recommends "$@"; } </dev/null >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        echo "apt-get could not install: $*" >&2
        exit 1
    fi
    rm -f "$log"
}

# Where systemd runs, a freshly installed daemon would start at the next boot: only our tests are to start it.
keep_from_starting_at_boot() {
    [ -d /run/systemd/system ] || return 0
    systemctl disable --quiet "$@" 2>/dev/null || true
}
