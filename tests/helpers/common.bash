# Helpers for the bats files: a pool and a lighttpd of the test's own, on sockets in its own folder and a free port.
# shellcheck shell=bash

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
FIBCGI=${FIBCGI:-$REPO/build/fibcgi}
# Opens sockets, becomes a command that inherits them; says how at its top.
PASS_SOCKETS=$REPO/tests/fixtures/pass-sockets.py

# wait_for SECONDS COMMAND…: true as soon as the command succeeds, false when the time is over.
wait_for() {
    local end=$((SECONDS + $1 + 1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || {
            echo "waited in vain for: $*" >&2
            return 1
        }
        sleep 0.02
    done
}

alive() { [ -n "${1:-}" ] && kill -0 "$1" 2>/dev/null && [ "$(ps -o stat= -p "$1" | cut -c1)" != Z ]; }
gone() { ! alive "$1"; }

# start_pool [OPTION…]: a pool on $SOCKET and $ADMIN with its log in $LOG; its master is $POOL.
start_pool() {
    SOCKET=${SOCKET:-$BATS_TEST_TMPDIR/fib.sock}
    ADMIN=${ADMIN:-$BATS_TEST_TMPDIR/admin.sock}
    LOG=${LOG:-$BATS_TEST_TMPDIR/pool.log}
    $UNDER "$FIBCGI" --listen "unix:$SOCKET,unix:$SOCKET.2" --admin-listen "unix:$ADMIN" "$@" >>"$LOG" 2>&1 3>&- &
    POOL=$!
    wait_for 5 pool_is_up || { cat "$LOG" >&2; return 1; }
}
# UNDER: a command to start the pool with, such as one that puts it into a cgroup.
UNDER=${UNDER:-}

# A Unix socket has its file before anybody can connect.
is_listening() { [ -n "$(ss -xlH src "$1")" ]; }

pool_is_up() { [ -S "$SOCKET" ] && [ -S "$ADMIN" ] && workers_are 1 at_least; }

# The pids of the pool's compute workers.
worker_pids() { pgrep -P "${1:-$POOL}" -f 'fibcgi: worker' || true; }
worker_count() { worker_pids | wc -l; }
workers_are() {
    if [ "${2:-}" = at_least ]; then
        [ "$(worker_count)" -ge "$1" ]
    else
        [ "$(worker_count)" -eq "$1" ]
    fi
}

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# start_lighttpd [CONF]: lighttpd from the project's own configuration as it stands, in front of $SOCKET; sets $URL.
start_lighttpd() {
    local try
    export FIBCGI_SOCKET=${SOCKET:-$BATS_TEST_TMPDIR/fib.sock} FIBCGI_ADMIN_SOCKET=${ADMIN:-$BATS_TEST_TMPDIR/admin.sock}
    export FIBCGI_HTTP_BIND=127.0.0.1 FIBCGI_ACCESS_LOG=${ACCESS_LOG:-}
    for try in 1 2 3 4 5; do
        FIBCGI_HTTP_PORT=$(free_port)
        export FIBCGI_HTTP_PORT
        URL=http://127.0.0.1:$FIBCGI_HTTP_PORT
        $UNDER lighttpd -D -f "${1:-$REPO/conf/lighttpd/fibcgi.conf}" 2>>"$BATS_TEST_TMPDIR/lighttpd.log" 3>&- &
        LIGHTTPD=$!
        wait_for 5 lighttpd_answers_or_left
        if alive "$LIGHTTPD"; then
            unset FIBCGI_SOCKET FIBCGI_ADMIN_SOCKET FIBCGI_ACCESS_LOG FIBCGI_HTTP_BIND
            return 0
        fi
    done
    echo "lighttpd did not start after $try tries:" >&2
    cat "$BATS_TEST_TMPDIR/lighttpd.log" >&2
    return 1
}
lighttpd_answers_or_left() { gone "$LIGHTTPD" || (exec 3<>"/dev/tcp/127.0.0.1/$FIBCGI_HTTP_PORT") 2>/dev/null; }

start_stack() { start_pool "$@" && start_lighttpd; }

# stop PID [SIGNAL]: ends it and waits; status in $STOP_STATUS. Only for children of this shell.
stop() {
    kill "-${2:-TERM}" "$1" 2>/dev/null || true
    STOP_STATUS=0
    wait "$1" 2>/dev/null || STOP_STATUS=$?
}

# ends PID [SIGNAL]: as stop, but no test waits for ever for what does not end.
ends() {
    kill "-${2:-TERM}" "$1"
    wait_for 25 gone "$1"
    STOP_STATUS=0
    wait "$1" 2>/dev/null || STOP_STATUS=$?
}

# begin COMMAND…: starts it in the background; its pid is in $BEGUN and is stopped in the end.
begin() {
    "$@" </dev/null >>"$LOG" 2>&1 3>&- &
    BEGUN=$!
    STARTED+=("$BEGUN")
}

stop_all() {
    if alive "${LIGHTTPD:-}"; then stop "$LIGHTTPD" TERM; fi
    if alive "${POOL:-}"; then stop "$POOL" QUIT; fi
}

# get PATH [CURL OPTION…]: body in $BODY, status in $CODE, header fields in $HEADERS.
get() {
    local path=$1
    shift
    HEADERS=$BATS_TEST_TMPDIR/headers
    BODY=$BATS_TEST_TMPDIR/body
    CODE=$(curl -sS --max-time 20 -o "$BODY" -D "$HEADERS" -w '%{http_code}' "$@" "$URL$path")
}
header() { sed -n "s/^$1: *//Ip" "$HEADERS" | tr -d '\r'; }
has_body() { grep -qF -- "$1" "$BODY" || { echo "body is: $(cat "$BODY")" >&2; return 1; }; }
is_code() { [ "$CODE" = "$1" ] || { echo "for $URL status is $CODE, body: $(cat "$BODY" 2>/dev/null)" >&2; return 1; }; }

log_has() { grep -qE -- "$1" "${2:-$LOG}" || { echo "not in the log: $1; it has:" >&2; cat "${2:-$LOG}" >&2; return 1; }; }
log_count() { grep -cE -- "$1" "$LOG" || true; }

status_json() { curl -sS --max-time 5 "$URL/status?json"; }
# metric NAME{LABELS}: its value.
metric() { curl -sS --max-time 5 "$URL/metrics" | awk -v name="$1" '$1 == name { print $2 }'; }

# The admin worker, past lighttpd: admin PATH; pool_metric NAME{LABELS}: its value.
admin() { timeout 10 "$FIBCGI" --probe "$1" --admin-listen "unix:$ADMIN"; }
pool_metric() { admin /metrics | awk -v name="$1" '$1 == name { print $2 }'; }
pool_metric_is() { [ "$(pool_metric "$1")" -eq "$2" ]; }
pool_metric_above() { [ "$(pool_metric "$1")" -gt "$2" ]; }
pool_has_restarted() { [ "$(admin "/status?json" | jq '[.restarts[]] | add')" -ge "$1" ]; }

# request_in_background PATH [CURL OPTION…]: then background_code_is CODE waits for it; the body is in $LATE_BODY.
request_in_background() {
    local path=$1
    shift
    LATE_BODY=$BATS_TEST_TMPDIR/late
    curl -sS --max-time 20 -o "$LATE_BODY" -w '%{http_code}' "$@" "$URL$path" >"$BATS_TEST_TMPDIR/code" 2>/dev/null 3>&- &
    CURL=$!
}
background_code_is() {
    wait "$CURL" || true
    [[ $(cat "$BATS_TEST_TMPDIR/code") == $1 ]] || { echo "status is $(cat "$BATS_TEST_TMPDIR/code"), not $1" >&2; return 1; }
}
in_flight() { [ "$(status_json | jq '[.workers[] | select(.state == "busy")] | length')" -ge "$1" ]; }
has_served() { [ "$(status_json | jq .requests.total)" -ge "$1" ]; }
