#!/usr/bin/env bats
# What must not lose a request: workers killed with one in hand, peers that are slow or silent, clients that have left.

load helpers/common

teardown() {
    stop_all
    if alive "${PEERS:-}"; then kill "$PEERS" || true; fi
}

restarted() { [ "$(status_json | jq '[.restarts[]] | add')" -ge "$1" ]; }
fds_of_pool() { find "/proc/$POOL/fd" -mindepth 1 | wc -l; }

# kill_workers SIGNAL TIMES: one of them, whichever, again when there are some.
kill_workers() {
    local i worker
    for i in $(seq "$2"); do
        wait_for 5 workers_are 1 at_least
        worker=$(worker_pids | shuf -n 1)
        [ -z "$worker" ] || kill "-$1" "$worker" 2>/dev/null || true
        wait_for 5 restarted "$i"
    done
}

# Loads the pool with 50 connections while the workers are killed; nothing may fail.
survives() { # SIGNAL TIMES N
    h2load --h1 -c 50 -D 4 "$URL/compute?n=$3" >"$BATS_TEST_TMPDIR/load" 3>&- &
    local load=$!
    wait_for 5 has_served 50
    kill_workers "$1" "$2"
    wait "$load"
    cat "$BATS_TEST_TMPDIR/load"
    grep -qE ' 0 failed, 0 errored, 0 timeout' "$BATS_TEST_TMPDIR/load"
    grep -qE 'status codes: [0-9]+ 2xx, 0 3xx, 0 4xx, 0 5xx' "$BATS_TEST_TMPDIR/load"
}

@test "workers killed by SIGKILL under load cost no request" {
    start_stack --workers 2
    survives KILL 25 25
    [ "$(metric fibcgi_replays_total)" -gt 0 ]
}

@test "workers that crash with SIGSEGV or SIGABRT under load cost no request" {
    start_stack --workers 2
    survives SEGV 10 25
    survives ABRT 10 25
}

@test "workers killed in the middle of short requests cost no request and leak no descriptor" {
    start_stack --workers 2
    local before
    get '/compute?n=5'
    is_code 200
    before=$(fds_of_pool)
    survives KILL 40 5
    wait_for 5 eval "[ \$(fds_of_pool) -le $before ]"
}

@test "the request that a killed worker had in hand is answered by its successor" {
    start_stack --workers 1 --max-n 45
    request_in_background '/compute?n=42'
    wait_for 5 in_flight 1
    kill -KILL "$(worker_pids)"
    background_code_is 200
    [ "$(jq .result "$LATE_BODY")" = 267914296 ]
    [ "$(metric fibcgi_replays_total)" = 1 ]
}

@test "a request that has killed two workers is answered with 500 and named in the log" {
    start_stack --workers 1 --max-n 60
    request_in_background '/compute?n=60&x=1'
    local i
    for i in 1 2; do
        wait_for 5 in_flight 1
        kill -KILL "$(worker_pids)"
        wait_for 5 restarted "$i"
    done
    background_code_is 500
    log_has 'GET /compute\?n=60&x=1 was in hand when 2 workers died'
    get /compute
    is_code 200
}

@test "a worker killed during a drain costs no request" {
    start_stack --workers 1 --max-n 45
    request_in_background '/compute?n=42'
    wait_for 5 in_flight 1
    kill -TERM "$POOL"
    wait_for 5 log_has draining
    kill -KILL "$(worker_pids)"
    STOP_STATUS=0
    wait "$POOL" || STOP_STATUS=$?
    [ "$STOP_STATUS" -eq 0 ]
    background_code_is 200
}

@test "a worker killed while the pool becomes smaller costs no request" {
    start_stack --workers 2 --max-n 45
    request_in_background '/compute?n=42'
    wait_for 5 in_flight 1
    kill -HUP "$POOL"
    # shellcheck disable=SC2046
    kill -KILL $(worker_pids)
    background_code_is 200
}

# slow_peers KIND COUNT: that many peers on the work socket; silent, half (a part of a request), or trickle (a byte a time,
# and then the answer is awaited). A line "ready" when all are connected, "N answered, M closed" at the end.
slow_peers() {
    "$REPO/tests/fixtures/slow-peers.py" "$SOCKET" "$1" "$2" >"$BATS_TEST_TMPDIR/peers" 3>&- &
    PEERS=$!
    wait_for 10 grep -q ready "$BATS_TEST_TMPDIR/peers"
}

@test "silent peers hold nobody up and are closed after the read timeout" {
    start_stack --workers 1 --read-timeout 3s
    slow_peers silent 1000
    run h2load --h1 -n 500 -c 10 "$URL/compute?n=5"
    echo "$output"
    [[ $output == *'500 2xx, 0 3xx, 0 4xx, 0 5xx'* ]]
    # All of it in a fraction of the read timeout: nobody waited for a silent one.
    [[ $output =~ 'finished in '[0-9.]+ms || $output =~ 'finished in 1.'[0-9]+s ]]
    wait "$PEERS"
    grep -q '0 answered, 1000 closed' "$BATS_TEST_TMPDIR/peers"
    [ "$(metric 'fibcgi_connections_refused_total{reason="timeout"}')" = 1000 ]
}

@test "half a request holds nobody up and is never served" {
    start_stack --workers 1 --read-timeout 2s
    slow_peers half 200
    get '/compute?n=5'
    is_code 200
    wait "$PEERS"
    grep -q '0 answered, 200 closed' "$BATS_TEST_TMPDIR/peers"
    [ "$(metric 'fibcgi_requests_total{code="200"}')" = 1 ]
}

@test "requests that come a byte at a time are answered" {
    start_stack --workers 1
    slow_peers trickle 20
    get '/compute?n=5'
    is_code 200
    wait "$PEERS"
    grep -q '20 answered, 0 closed' "$BATS_TEST_TMPDIR/peers"
}

@test "a request that is still coming in when the drain begins is answered" {
    start_pool --workers 1 --read-timeout 10s
    slow_peers trickle 5
    stop "$POOL" TERM
    [ "$STOP_STATUS" -eq 0 ]
    wait "$PEERS"
    grep -q '5 answered, 0 closed' "$BATS_TEST_TMPDIR/peers"
}

gone_clients_are() { [ "$(metric 'fibcgi_connections_refused_total{reason="gone"}')" -eq "$1" ]; }

@test "nothing is computed for clients that have left" {
    start_stack --workers 1 --max-n 45
    run "$REPO/tests/fixtures/leaving-clients.py" "$FIBCGI_HTTP_PORT" 20
    echo "$output"
    [[ $output == *'"result":433494437'* ]]
    wait_for 5 gone_clients_are 20
    # The 21 that made the connections known, and the one that was waited for.
    [ "$(metric 'fibcgi_requests_total{code="200"}')" -eq 22 ]
}

@test "the probe asks the pool past lighttpd: 0 for 200, 1 otherwise, and it says why" {
    start_pool --workers 1 --max-n 60
    run "$FIBCGI" --probe /readyz --admin-listen "unix:$ADMIN"
    [ "$status" -eq 0 ]
    [ "$output" = ok ]
    run env FIBCGI_ADMIN_LISTEN="unix:$ADMIN" "$FIBCGI" --probe /nothing
    [ "$status" -eq 1 ]
    slow_peers silent 1
    kill -TERM "$POOL"
    wait_for 5 log_has draining
    run "$FIBCGI" --probe /readyz --admin-listen "unix:$ADMIN"
    [ "$status" -eq 1 ]
    [[ $output == *draining* ]]
    run "$FIBCGI" --probe /healthz --admin-listen "unix:$ADMIN"
    [ "$status" -eq 0 ]
    stop "$POOL" QUIT
    run "$FIBCGI" --probe /readyz --admin-listen "unix:$ADMIN"
    [ "$status" -eq 1 ]
    [[ $output == *'is the pool running?'* ]]
    run "$FIBCGI" --probe /readyz
    [ "$status" -eq 100 ]
    [[ $output == *'--admin-listen'* ]]
}

@test "the probe asks over HTTP as well, and holds the answer against a text" {
    start_stack --workers 1
    run "$FIBCGI" --probe "$URL/compute"
    [ "$status" -eq 0 ]
    [[ $output == *'"result":832040'* ]]
    "$FIBCGI" --probe "$URL/compute?n=10" --expect '"result":55,'
    run "$FIBCGI" --probe "$URL/compute?n=10" --expect '"result":56'
    [ "$status" -eq 1 ]
    [[ $output == *'does not have ""result":56" in it'* ]]
    run "$FIBCGI" --probe "$URL/nothing" --expect "about:blank"
    [ "$status" -eq 1 ]
    FIBCGI_ADMIN_LISTEN="unix:$ADMIN" "$FIBCGI" --probe "/status?json" --expect '"workers_wanted":1,"workers_up":1,'
    run env FIBCGI_ADMIN_LISTEN="unix:$ADMIN" "$FIBCGI" --probe "/status?json" --expect '"workers_wanted":2,'
    [ "$status" -eq 1 ]
}

@test "the probe takes no name for an address, and says when nobody answers" {
    run timeout 10 "$FIBCGI" --probe http://localhost:8080/compute
    [ "$status" -eq 1 ]
    [[ $output == *'no answer from http://localhost:8080/compute: Invalid argument'* ]]
    run timeout 10 "$FIBCGI" --probe "http://127.0.0.1:$(free_port)/compute"
    [ "$status" -eq 1 ]
    [[ $output == *'Connection refused'* ]]
    run timeout 10 "$FIBCGI" --probe "http://127.0.0.1:80"
    [ "$status" -eq 1 ]
}

@test "the probe is answered while lighttpd is at its limit of connections" {
    start_pool --workers 1
    sed 's/^server.max-connections .*/server.max-connections = 20/' "$REPO/conf/lighttpd/fibcgi.conf" >"$BATS_TEST_TMPDIR/small.conf"
    start_lighttpd "$BATS_TEST_TMPDIR/small.conf"
    wrk -t1 -c200 -d3s --timeout 20s "$URL/compute?n=25" >"$BATS_TEST_TMPDIR/wrk" 3>&- &
    local load=$!
    wait_for 5 grep -q 'connection limit reached' "$BATS_TEST_TMPDIR/lighttpd.log"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        "$FIBCGI" --probe /healthz --admin-listen "unix:$ADMIN"
    done
    wait "$load"
}
