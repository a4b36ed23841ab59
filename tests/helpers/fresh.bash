# Helpers for the files that install the Debian packages in a fresh Debian of the test's own.
# shellcheck shell=bash

load helpers/common

ROOT=$REPO/build/root

# build_packages: into $DEB, in setup_file; once for all files of a run.
build_packages() {
    export DEB=$BATS_RUN_TMPDIR/packages/deb
    mkdir -p "${DEB%/*}"
    # A make above this one would hand its own flags and folder down.
    flock "${DEB%/*}" env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS \
        sh -c 'ls "$2"/*.changes >/dev/null 2>&1 || make -C "$1" --no-print-directory -s deb BUILD="${2%/*}"' sh "$REPO" "$DEB"
}

# prepare_box: in setup; leave_box: in teardown.
prepare_box() {
    exec </dev/null
    BOX=$BATS_TEST_TMPDIR/box
    BODY=$BATS_TEST_TMPDIR/body
}

leave_box() {
    local group
    touch "$BATS_TEST_TMPDIR/enough"
    if alive "${BOOTED:-}"; then
        # All in there die with it.
        kill -KILL "$BOOTED"
        wait "$BOOTED" 2>/dev/null || true
    fi
    group=$(cat "$BOX/cgroup" 2>/dev/null) || return 0
    wait_for 10 remove_groups "$group"
}
remove_groups() { find "$1" -depth -type d -exec rmdir {} + && [ ! -d "$1" ]; }

# boot COMMAND…: starts a fresh Debian with that as its process 1, and with the packages in /root.
boot() {
    if [ "$(id -u)" -ne 0 ] || ! unshare --fork --pid --mount --net --cgroup true || ! findmnt -n -t cgroup2 >/dev/null; then
        skip 'a Debian of its own needs root, namespaces and a cgroup2 tree'
    fi
    "$REPO/tests/fixtures/debian-root" "$ROOT"
    mkdir -p "$BOX/files"
    cp "$DEB"/*.deb "$BOX/files/"
    "$REPO/tests/fixtures/boot-root" "$ROOT" "$BOX" "$@" >"$BOX/log" 2>&1 3>&- &
    BOOTED=$!
    wait_for 20 fresh test -e /is-booted || { cat "$BOX/log" >&2; return 1; }
}
# fresh COMMAND…: in there. A question would not be answered, and end it.
fresh() { timeout 120 nsenter -t "$(pgrep -P "$BOOTED")" -a --wdns=/root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb "$@" 3>&-; }
web_is_up() { fresh curl -sSf -o /dev/null "http://127.0.0.1:$1/"; }
# There is no page at lighttpd's / but one of Debian's for its folder.
port_is_open() { fresh curl -sS -o /dev/null "http://127.0.0.1:$1/"; }

# answers PORT PATH: what that web server says, in $BODY; true for a 200.
answers() { fresh curl -sS --max-time 20 -w '%{stderr}%{http_code}' "http://127.0.0.1:$1$2" 2>"$BODY.code" >"$BODY" && [ "$(cat "$BODY.code")" = 200 ]; }
is_refused() { ! answers "$@" && [ "$(cat "$BODY.code")" = "$3" ]; }
computes() { answers "$1" /fibcgi/compute && [ "$(jq .result "$BODY")" = 832040 ]; }

boot_systemd() {
    boot /sbin/init --log-target=console
    wait_for 60 fresh systemctl is-active --quiet apache2 lighttpd
    wait_for 10 port_is_open 80
    wait_for 10 port_is_open 8080
}
