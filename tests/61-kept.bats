#!/usr/bin/env bats
# Connections that the web server keeps for its next request (FCGI_KEEP_CONN): what they carry, and what must not lose it.

load helpers/common

teardown() {
    stop_all
    if alive "${LOAD:-}"; then kill "$LOAD" || true; fi
}

talk() { run timeout 30 "$REPO/tests/fixtures/kept-talk.py" "${2:-$SOCKET}" "$1"; echo "$output"; }

# kept_load ADDRESS: 20 clients in the background, until end_kept_load or their connects are refused; kept_load_lost_nothing
# waits for that.
kept_load() {
    timeout 90 "$REPO/tests/fixtures/kept-load.py" "$1" 20 80 >"$BATS_TEST_TMPDIR/load" 3>&- &
    LOAD=$!
    wait_for 10 grep -q loaded "$BATS_TEST_TMPDIR/load"
}
end_kept_load() { kill -TERM "$LOAD"; }
kept_load_lost_nothing() {
    wait "$LOAD"
    cat "$BATS_TEST_TMPDIR/load"
    grep -qE '^[1-9][0-9]+ answered, 0 wrong, 0 lost$' "$BATS_TEST_TMPDIR/load"
}

@test "a kept connection carries request after request, and is closed where that is asked for" {
    start_pool --workers 1
    talk series
    [ "$output" = $'1:0=0\n1:1=1\n1:2=1\n1:3=2\n1:4=3\n1:9=34\nclosed' ]
}

@test "the same over TCP" {
    local port
    port=$(free_port)
    begin_tcp() { "$FIBCGI" --listen "tcp:127.0.0.1:$port" --workers 1 >"$BATS_TEST_TMPDIR/tcp.log" 2>&1 3>&- & }
    begin_tcp
    POOL=$!
    wait_for 20 eval "(exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null"
    talk series "$port"
    [ "$output" = $'1:0=0\n1:1=1\n1:2=1\n1:3=2\n1:4=3\n1:9=34\nclosed' ]
    talk pieces "$port"
    [ "$output" = $'1:10=55\n1:11=89\nclosed' ]
}

@test "requests that come before the last answer is out are answered in order" {
    start_pool --workers 2
    talk pipeline
    [ "$output" = $'5:5=5\n6:6=8\n7:7=13\nclosed' ]
}

@test "kept requests that come in pieces are answered" {
    start_pool --workers 2
    talk pieces
    [ "$output" = $'1:10=55\n1:11=89\nclosed' ]
}

@test "after a request that is given up its connection goes on" {
    start_pool --workers 1
    talk abort
    [ "$output" = $'1:b\'\'\n1:12=144\nclosed' ]
}

@test "a kept connection is closed after --idle-timeout, and that is no loss" {
    start_pool --workers 1 --idle-timeout 700ms
    talk idle
    # The seconds, between the answer and the end.
    [ "${lines[0]}" = '1:3=2' ]
    [ "${lines[2]}" = closed ]
    [[ ${lines[1]} =~ ^(0\.[6-9]|[12]\.[0-9])$ ]]
    [ "$(pool_metric 'fibcgi_connections_refused_total{reason="timeout"}')" = 0 ]
}

@test "idle kept connections hold no worker" {
    start_pool --workers 1
    kept_load "$SOCKET"
    talk series
    [[ $output == *closed ]]
    end_kept_load
    kept_load_lost_nothing
}

kill_a_worker() {
    local worker
    wait_for 20 workers_are 1 at_least
    worker=$(worker_pids | shuf -n 1)
    [ -z "$worker" ] || kill -KILL "$worker" 2>/dev/null || true
}

@test "workers killed under kept connections cost no request, and none is answered twice" {
    start_pool --workers 2
    kept_load "$SOCKET"
    local i
    for i in $(seq 40); do
        kill_a_worker
        wait_for 20 pool_has_restarted "$i"
    done
    end_kept_load
    kept_load_lost_nothing
    [ "$(pool_metric fibcgi_replays_total)" -gt 0 ]
}

@test "the same over TCP: killed workers cost no request" {
    local port i
    port=$(free_port)
    "$FIBCGI" --listen "tcp:127.0.0.1:$port" --workers 2 >"$BATS_TEST_TMPDIR/tcp.log" 2>&1 3>&- &
    POOL=$!
    wait_for 20 workers_are 2
    kept_load "$port"
    for i in $(seq 20); do
        kill_a_worker
        wait_for 20 eval "[ \$(grep -c 'was killed by signal 9' $BATS_TEST_TMPDIR/tcp.log) -ge $i ]"
    done
    end_kept_load
    kept_load_lost_nothing
}

@test "HUP, --max-requests and kills together under kept connections cost no request" {
    start_pool --workers 2 --max-requests 50
    kept_load "$SOCKET"
    for _ in 1 2 3 4 5; do
        kill -HUP "$POOL"
        kill_a_worker
        wait_for 20 workers_are 2
    done
    end_kept_load
    kept_load_lost_nothing
}

@test "a drain answers what kept connections have sent, and closes them" {
    start_pool --workers 2
    kept_load "$SOCKET"
    stop "$POOL" TERM
    [ "$STOP_STATUS" -eq 0 ]
    kept_load_lost_nothing
}

@test "among 512 workers a request that comes in halves is waited for" {
    start_pool --workers 512
    wait_for 20 workers_are 512
    for _ in 1 2 3; do
        run timeout 10 "$REPO/tests/fixtures/in-halves.py" "$SOCKET" /compute 100
        [[ $output == *'"result":0'* ]] || { echo "$output" >&2; return 1; }
    done
    pool_metric_is 'fibcgi_connections_refused_total{reason="short"}' 0
}
