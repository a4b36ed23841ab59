# Helpers for tests under a real systemd: one of the test's own, with the units of conf/systemd as they stand.
# shellcheck shell=bash

# prepare_systemd: a folder in $BOX for a systemd with our units and Debian's lighttpd, which has our configuration; sets $URL.
prepare_systemd() {
    BOX=$BATS_TEST_TMPDIR
    FIBCGI_HTTP_PORT=$(free_port)
    URL=http://127.0.0.1:$FIBCGI_HTTP_PORT
    SOCKET=$BOX/run/fibcgi/fib.sock
    ADMIN=$BOX/run/fibcgi/admin.sock
    LOG=$BOX/pool.log
    mkdir -p "$BOX/units" "$BOX/files/usr/bin" "$BOX/files/etc/lighttpd"
    cp -r "$REPO"/conf/systemd/*.service "$REPO"/conf/systemd/*.socket "$REPO"/conf/systemd/*.d /lib/systemd/system/lighttpd.service \
        "$BOX/units/"
    cp "$FIBCGI" "$BOX/files/usr/bin/fibcgi"
    cp "$REPO/conf/lighttpd/fibcgi.conf" "$BOX/files/etc/lighttpd/lighttpd.conf"
    # Debian's lighttpd becomes www-data by its own configuration.
    adapt_unit fibcgi.service '[Service]' "StandardError=append:$LOG" Environment=ASAN_OPTIONS=detect_leaks=0
    adapt_unit lighttpd.service '[Service]' "StandardError=append:$BOX/lighttpd.log" User=www-data \
        "Environment=FIBCGI_HTTP_BIND=127.0.0.1 FIBCGI_HTTP_PORT=$FIBCGI_HTTP_PORT" \
        'Environment=FIBCGI_SOCKET=/run/fibcgi/fib.sock FIBCGI_ADMIN_SOCKET=/run/fibcgi/admin.sock FIBCGI_ACCESS_LOG='
}

# adapt_unit UNIT LINE…: a drop-in, as systemctl edit would make it; what is said later counts.
adapt_unit() {
    local unit=$1
    shift
    mkdir -p "$BOX/units/$unit.d"
    printf '%s\n' "$@" >"$BOX/units/$unit.d/test-$(printf %03d "$(find "$BOX/units/$unit.d" -type f | wc -l)").conf"
}

# boot_systemd: starts it; its end is stop_systemd.
boot_systemd() {
    if [ "$(id -u)" -ne 0 ] || ! unshare --fork --pid --mount --cgroup true || ! findmnt -n -t cgroup2 >/dev/null; then
        skip 'a systemd of the test'"'"'s own needs root, namespaces and a cgroup2 tree'
    fi
    "$REPO/tests/fixtures/boot-systemd" "$BOX" >>"$BOX/boot.log" 2>&1 3>&- &
    SYSTEMD=$!
    wait_for 20 systemd_is_up || { cat "$BOX/boot.log" >&2; journal >&2; return 1; }
}
systemd_is_up() { [ -S "$BOX/run/systemd/private" ] && systemctl is-active basic.target; }

stop_systemd() {
    local group
    if alive "${SYSTEMD:-}"; then
        # All in there die with it.
        kill -KILL "$SYSTEMD"
        wait "$SYSTEMD" 2>/dev/null || true
    fi
    group=$(cat "$BOX/cgroup" 2>/dev/null) || return 0
    wait_for 10 remove_groups "$group"
}
remove_groups() { find "$1" -depth -type d -exec rmdir {} + && [ ! -d "$1" ]; }

# systemctl ARGUMENT…: asks the test's systemd.
systemctl() { nsenter -t "$(pgrep -P "$SYSTEMD")" -m -p -C systemctl "$@"; }

# journal [ARGUMENT…]: what it and its services have said.
journal() { journalctl -D "$BOX/run/log/journal" --no-pager "$@"; }

# show UNIT PROPERTY: its value.
show() { systemctl show -P "$2" "$1"; }
shows() { [[ $(show "$1" "$2") == $3 ]]; }

# main_pid [INSTANCE]: the pid of that service's master, as seen from outside.
main_pid() {
    local inside pid
    inside=$(show "fibcgi${1:+@$1}.service" MainPID)
    for pid in $(pgrep -P "$(pgrep -P "$SYSTEMD")" -f 'fibcgi: master'); do
        if [ "$(awk '$1 == "NSpid:" { print $NF }' "/proc/$pid/status")" = "$inside" ]; then echo "$pid"; fi
    done
}
answers() { get "$1" && [ "$CODE" = 200 ]; }
