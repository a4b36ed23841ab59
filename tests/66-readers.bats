#!/usr/bin/env bats
# Answers that their reader does not take at once: nobody waits for it, nothing of them is lost or sent twice, and what is kept
# of them is bounded. The application is tests/fixtures/application.c.

load helpers/common

setup() { FIBCGI=${APPLICATION:-$REPO/build/fixture-application}; }

teardown() {
    stop_all
    if alive "${PEERS:-}"; then kill "$PEERS" || true; fi
}

# readers COUNT BYTES WHAT: slow readers, who go on when a line is written to file descriptor 4.
readers() {
    mkfifo "$BATS_TEST_TMPDIR/go"
    timeout 100 "$REPO/tests/fixtures/slow-readers.py" "$SOCKET" "$@" <"$BATS_TEST_TMPDIR/go" >"$BATS_TEST_TMPDIR/peers" 2>&1 3>&- &
    PEERS=$!
    exec 4>"$BATS_TEST_TMPDIR/go"
    wait_for 20 grep -q ready "$BATS_TEST_TMPDIR/peers"
}
let_them_read() {
    echo >&4
    wait "$PEERS" || true
    cat "$BATS_TEST_TMPDIR/peers"
}

@test "readers that take a byte at a time hold no worker, and are closed by --write-timeout" {
    start_stack --workers 1 --write-timeout 12s
    readers 50 1000000 trickle
    get /echo
    is_code 200
    # Before any of them is closed, though the one worker has begun to answer all of them.
    [ "$(pool_metric 'fibcgi_connections_refused_total{reason="timeout"}')" = 0 ]
    wait_for 60 pool_metric_is 'fibcgi_connections_refused_total{reason="timeout"}' 50
    wait_for 5 pool_metric_is fibcgi_kept_bytes 0
    let_them_read
    grep -q '0 whole, 50 cut off' "$BATS_TEST_TMPDIR/peers"
}

@test "an answer that is read with a pause is whole, however often workers are killed meanwhile" {
    start_pool --workers 2 --write-timeout 60s
    readers 10 3000000 pause
    local i
    for i in $(seq 6); do
        wait_for 5 workers_are 2
        kill -KILL "$(worker_pids | shuf -n 1)"
        wait_for 5 pool_has_restarted "$i"
    done
    let_them_read
    grep -q '10 whole, 0 cut off' "$BATS_TEST_TMPDIR/peers"
}

@test "large answers are whole while workers are killed in the middle of sending them" {
    start_stack --workers 2
    get '/big?bytes=5000000'
    is_code 200
    local sum i=0 load
    sum=$(sha256sum <"$BODY")
    ask_for_large() {
        local _
        for _ in $(seq 12); do
            curl -sS --max-time 60 "$URL/big?bytes=5000000" | sha256sum
        done
    }
    ask_for_large >"$BATS_TEST_TMPDIR/sums" 3>&- &
    load=$!
    # One kill for each answer: a request that two workers die of is not tried a third time.
    while alive "$load"; do
        wait_for 5 workers_are 2
        kill -KILL "$(worker_pids | shuf -n 1)" 2>/dev/null || true
        i=$((i + 1))
        wait_for 5 pool_has_restarted "$i"
        wait_for 20 eval "[ \$(wc -l <'$BATS_TEST_TMPDIR/sums') -ge $i ]" || break
    done
    wait "$load"
    cat "$BATS_TEST_TMPDIR/sums" "$LOG"
    [ "$(grep -cxF "$sum" "$BATS_TEST_TMPDIR/sums")" -eq 12 ]
    [ "$i" -gt 3 ]
}

@test "answers that are not read take no more memory than --max-kept-size" {
    start_stack --workers 1 --write-timeout 30s --max-kept-size 8M
    readers 12 1000000 pause
    pool_metric_above 'fibcgi_connections_refused_total{reason="short"}' 3
    [ "$(pool_metric fibcgi_kept_bytes)" -le $((8 * 1024 * 1024)) ]
    get /echo
    is_code 200
    let_them_read
    grep -qE '^[78] whole, [45] cut off' "$BATS_TEST_TMPDIR/peers"
}

@test "a drain sends answers to their end" {
    start_pool --workers 1 --write-timeout 30s
    readers 5 2000000 pause
    kill -TERM "$POOL"
    wait_for 5 log_has draining
    let_them_read
    grep -q '5 whole, 0 cut off' "$BATS_TEST_TMPDIR/peers"
    STOP_STATUS=0
    wait "$POOL" || STOP_STATUS=$?
    [ "$STOP_STATUS" -eq 0 ]
}
