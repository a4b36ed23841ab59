#!/usr/bin/env bats
# --drain-after: after SIGTERM the pool is not ready and serves on until the web server in front of it, a real lighttpd, has left.

load helpers/common
load helpers/cgroup

setup() {
    DIR=$BATS_TEST_TMPDIR
    LOG=$DIR/pool.log
    SOCKET=$DIR/fib.sock
    ADMIN=$DIR/admin.sock
    LOADS=()
}

teardown() {
    local load
    for load in "${LOADS[@]}" "${EAR:-}"; do
        if alive "$load"; then stop "$load" KILL; fi
    done
    stop_all
    [ -z "${GROUP:-}" ] || wait_for 5 rmdir "$GROUP"
}

# start_both [OPTION…]: lighttpd, and a pool that waits for it.
start_both() {
    start_lighttpd "${CONF:-$REPO/conf/lighttpd/fibcgi.conf}"
    start_pool --drain-after "$FIBCGI_HTTP_PORT" "$@"
    wait_for 5 answers
}
answers() { get '/compute?n=5' && is_code 200; }

# begin_load [OPTION…]: of tests/fixtures/http-load.py; its pid is in $LOAD. end_load PID: true where nothing failed.
begin_load() {
    "$REPO/tests/fixtures/http-load.py" "$URL/compute" "$@" >"$DIR/load.${#LOADS[@]}" 2>&1 3>&- &
    LOAD=$!
    LOADS+=("$LOAD")
    wait_for 20 grep -q loaded "$DIR/load.$((${#LOADS[@]} - 1))"
}
end_load() {
    kill -TERM "$1"
    wait "$1" || { tail -n 5 "$DIR"/load.* >&2; return 1; }
}

# leave_off PID: that load asks for nothing more, and waits for what it has asked.
leave_off() {
    kill -TERM "$1"
    wait_for 10 grep -q ending "$DIR/load.0"
}

# tell_to_leave: SIGTERM, until the pool waits for the web server.
tell_to_leave() {
    kill -TERM "$POOL"
    wait_for 5 log_has "SIGTERM: /readyz says no; serving on until nobody listens on port $FIBCGI_HTTP_PORT and "
}
is_not_ready() { run admin /readyz; [ "$status" -eq 1 ] && [[ $output == *draining* ]]; }
has_answered() { [ "$(admin "/status?json" | jq .requests.total)" -ge "$1" ]; }
waits_still() { alive "$POOL" && [ "$(log_count ': draining, ')" -eq 0 ]; }

# end_lighttpd: gracefully; then the pool has a second to leave.
end_lighttpd() {
    kill -INT "$LIGHTTPD"
    wait "$LIGHTTPD"
    pool_leaves_within 1000
}
pool_leaves_within() { # MILLISECONDS
    local end
    end=$(($(date +%s%3N) + $1))
    STOP_STATUS=0
    wait "$POOL" || STOP_STATUS=$?
    [ "$(date +%s%3N)" -le "$end" ]
}

@test "after TERM the pool is not ready and serves on until lighttpd has left, and no request is lost" {
    start_both --max-n 36
    local kept fresh before
    begin_load --connections 20 --n 34-36
    kept=$LOAD
    begin_load --connections 20 --n 20-27 --fresh
    fresh=$LOAD
    tell_to_leave
    is_not_ready
    before=$(admin "/status?json" | jq .requests.total)
    wait_for 20 has_answered $((before + 500))
    # Nobody asks any more when lighttpd is told to leave, as where a Service has taken it out; but it has requests in hand.
    end_load "$fresh"
    waits_still
    leave_off "$kept"
    [ "$(pool_metric 'fibcgi_workers{state="busy"}')" -gt 0 ]
    end_lighttpd
    [ "$STOP_STATUS" -eq 0 ]
    log_has 'the web server has left: draining, what is queued and running is answered'
    wait "$kept" || { tail -n 5 "$DIR"/load.* >&2; false; }
}

@test "a client that keeps its connection is served as long as lighttpd keeps it" {
    start_both
    local fd line
    exec {fd}<>"/dev/tcp/127.0.0.1/$FIBCGI_HTTP_PORT"
    ask() {
        printf 'GET /compute?n=20 HTTP/1.1\r\nHost: x\r\n\r\n' >&"$fd"
        while read -r -t 10 -u "$fd" line; do [ "$line" != $'\r' ] || break; done
        read -r -t 10 -u "$fd" line && [[ $line == *'"result":6765'* ]]
    }
    ask
    tell_to_leave
    ask
    waits_still
    ask
    end_lighttpd
    [ "$STOP_STATUS" -eq 0 ]
}

@test "a request of which lighttpd has had a half when it began to leave is served" {
    start_both
    local fd
    exec {fd}<>"/dev/tcp/127.0.0.1/$FIBCGI_HTTP_PORT"
    printf 'GET /compute?n=20 HTTP/1.1\r\nHo' >&"$fd"
    tell_to_leave
    answers
    kill -INT "$LIGHTTPD"
    nobody_listens() { [ "$(ss -tlnH "sport = :$FIBCGI_HTTP_PORT" | wc -l)" -eq 0 ]; }
    wait_for 5 nobody_listens
    # Longer than the pool takes to look.
    sleep 0.2
    waits_still
    printf 'st: x\r\n\r\n' >&"$fd"
    [[ $(timeout 10 cat <&"$fd") == *'"result":6765'* ]]
    wait "$LIGHTTPD"
    pool_leaves_within 1000
    [ "$STOP_STATUS" -eq 0 ]
}

@test "a pool whose lighttpd never leaves stops after --drain-timeout, with exit 1" {
    start_both --drain-timeout 1s
    tell_to_leave
    answers
    wait_for 5 gone "$POOL"
    STOP_STATUS=0
    wait "$POOL" || STOP_STATUS=$?
    [ "$STOP_STATUS" -eq 1 ]
    log_has 'drain-timeout has passed: stopping at once'
}

@test "a second TERM stops at once, with exit 1" {
    start_both
    tell_to_leave
    kill -TERM "$POOL"
    pool_leaves_within 2000
    [ "$STOP_STATUS" -eq 1 ]
}

@test "a lighttpd that has left already, or was never there, is not waited for" {
    start_both
    kill -INT "$LIGHTTPD"
    wait "$LIGHTTPD"
    kill -TERM "$POOL"
    pool_leaves_within 1000
    [ "$STOP_STATUS" -eq 0 ]
    log_has 'SIGTERM: draining'
    start_pool --drain-after "$(free_port)"
    kill -TERM "$POOL"
    pool_leaves_within 1000
    [ "$STOP_STATUS" -eq 0 ]
}

@test "a lighttpd that is killed in the middle of it is not waited for any longer" {
    start_both
    tell_to_leave
    kill -KILL "$LIGHTTPD"
    wait "$LIGHTTPD" || true
    pool_leaves_within 1000
    [ "$STOP_STATUS" -eq 0 ]
}

@test "a lighttpd that listens for both IP families is waited for by its connections of both" {
    sed -e 's/^server.bind .*/server.bind = "[::]"\nserver.v4mapped = "enable"/' "$REPO/conf/lighttpd/fibcgi.conf" >"$DIR/both.conf"
    CONF=$DIR/both.conf start_both
    # All of its sockets are IPv6 ones.
    [ "$(ss -tlnH4 "sport = :$FIBCGI_HTTP_PORT" | wc -l)" -eq 0 ]
    local load
    begin_load --connections 10 --n 20-25
    load=$LOAD
    tell_to_leave
    URL="http://[::1]:$FIBCGI_HTTP_PORT" answers
    waits_still
    leave_off "$load"
    end_lighttpd
    [ "$STOP_STATUS" -eq 0 ]
    wait "$load"
}

@test "while it waits, killed workers come back, HUP replaces them, and the CPU limit is followed" {
    [ "$(nproc)" -gt 1 ]
    make_group
    set_limit 1000
    UNDER=in_group start_both
    local old
    wait_for 5 workers_are 1
    tell_to_leave
    old=$(worker_pids)
    kill -KILL "$old"
    wait_for 5 eval "gone $old && workers_are 1"
    answers
    old=$(worker_pids)
    kill -HUP "$POOL"
    wait_for 5 eval "gone $old && workers_are 1"
    answers
    set_limit 1500
    wait_for 5 workers_are 2
    kill -USR2 "$POOL"
    wait_for 5 log_has 'status: waiting for the web server to leave, 2 of 2 workers up'
    end_lighttpd
    [ "$STOP_STATUS" -eq 0 ]
}

@test "where the kernel cannot be asked, a warning says so at the start, and TERM drains at once" {
    UNDER="$FIXTURES/without netlink --" start_pool --workers 1 --watch-clients off --drain-after "$(free_port)"
    log_has 'warning --drain-after: cannot ask who is on port [0-9]+ \(sock_diag\): Function not implemented'
    kill -TERM "$POOL"
    pool_leaves_within 1000
    [ "$STOP_STATUS" -eq 0 ]
    [ "$(log_count 'cannot ask who is on port')" -eq 2 ]
    log_has 'SIGTERM: draining'
}

@test "systemd is told STOPPING with the signal, and what the pool waits for" {
    "$REPO/tests/fixtures/notified.py" "$DIR/notify" >"$DIR/told" 3>&- &
    EAR=$!
    wait_for 5 grep -q listening "$DIR/told"
    export NOTIFY_SOCKET=$DIR/notify
    start_both --workers 1
    unset NOTIFY_SOCKET
    wait_for 5 grep -q READY=1 "$DIR/told"
    tell_to_leave
    wait_for 5 grep -q STOPPING=1 "$DIR/told"
    wait_for 5 grep -q 'STATUS=waiting for the web server to leave: 1 of 1 workers up' "$DIR/told"
    end_lighttpd
    [ "$STOP_STATUS" -eq 0 ]
    grep -q 'STATUS=draining: ' "$DIR/told"
}
