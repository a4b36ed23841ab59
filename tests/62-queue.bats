#!/usr/bin/env bats
# The queue: who waits, who is served first, who is told that there is no room; and what slow peers may keep.

load helpers/common

teardown() {
    stop_all
    if alive "${PEERS:-}"; then kill "$PEERS" || true; fi
}

busy_workers() { admin "/status?json" | jq '[.workers[] | select(.state == "busy")] | length'; }
is_busy() { [ "$(busy_workers)" -ge 1 ]; }

# Some requests through lighttpd at once; a line "STATUS SECONDS RETRY-AFTER" for each in the file $ANSWERS.
ask_at_once() { # COUNT PATH
    ANSWERS=$BATS_TEST_TMPDIR/answers
    : >"$ANSWERS"
    seq "$1" | xargs -P "$1" -I{} curl -sS --max-time 30 -o /dev/null -w '%{http_code} %{time_total} %header{retry-after}\n' \
        "$URL$2" >>"$ANSWERS" 3>&- &
    ASKING=$!
}
answered() { grep -c "^$1 " "$ANSWERS" || true; }
answered_is() { [ "$(answered "$1")" -eq "$2" ]; }

# A request that would be computed for hours occupies the one worker; killing that twice sets it free.
occupy() {
    request_in_background '/compute?n=70'
    wait_for 5 is_busy
}
kill_busy_worker() {
    local worker
    wait_for 10 is_busy
    worker=$(worker_pids)
    kill -KILL "$worker"
    wait_for 10 gone "$worker"
}
free_worker() {
    kill_busy_worker
    kill_busy_worker
    background_code_is 500
}

@test "beyond --queue-limit a request gets 503 with Retry-After at once, and those before it their turn" {
    start_stack --workers 1 --queue-limit 5 --max-n 70
    occupy
    ask_at_once 12 '/compute?n=1'
    # While the worker computes: nobody who is refused waits for it.
    wait_for 20 answered_is 503 7
    [ "$(busy_workers)" -eq 1 ]
    [ "$(answered 200)" -eq 0 ]
    free_worker
    wait "$ASKING"
    [ "$(answered 200)" -eq 5 ]
    [ "$(answered 503)" -eq 7 ]
    [ "$(grep -c '^503 .* 1$' "$ANSWERS")" -eq 7 ]
    [ "$(pool_metric 'fibcgi_requests_total{code="503"}')" = 7 ]
}

# Clients that give up after a second, while the one worker stands still; lighttpd, which is to forward what they asked for, has
# not looked at them again.
leave_behind() { # COUNT [CURL OPTION…]
    local count=$1
    shift
    kill -STOP "$(worker_pids)"
    seq "$count" | xargs -P "$count" -I{} curl -sS --max-time 1 -o /dev/null "$@" "$URL/compute?n=5" 2>/dev/null 3>&- || true
    kill -CONT "$(worker_pids)"
}
gone_clients() { pool_metric 'fibcgi_connections_refused_total{reason="gone"}'; }
answered_clients() { pool_metric 'fibcgi_requests_total{code="200"}'; }
all_are_dealt_with() { [ $(($(gone_clients) + $(answered_clients))) -eq "$1" ]; }

@test "clients that lighttpd does not know to have left are found: one of sixteen is looked at, and all once one has left" {
    start_stack --workers 1
    leave_behind 60
    wait_for 10 all_are_dealt_with 60
    [ "$(answered_clients)" -le 15 ]
    # Who stays is served.
    get '/compute?n=7'
    is_code 200 && has_body '"result":13'
    leave_behind 40 --http2-prior-knowledge
    wait_for 10 all_are_dealt_with 101
    [ "$(answered_clients)" -le 16 ]
    [ "$(pool_metric 'fibcgi_requests_total{code="503"}')" = 0 ]
}

statuses_of_left_client() { "$REPO/tests/fixtures/left-client.py" "$SOCKET" 40 | sort | uniq -c | awk '{ print $2 "x" $1 }' | xargs; }

@test "whether clients are looked at is an option" {
    start_pool --workers 1
    [ "$(statuses_of_left_client)" = '200x15 503x25' ]
    [ "$(gone_clients)" -eq 25 ]
    stop "$POOL"
    start_pool --workers 1 --watch-clients=off
    [ "$(statuses_of_left_client)" = 200x40 ]
}

@test "with a limit on the queue a drain answers what waits" {
    start_stack --workers 1 --queue-limit 50 --max-n 70
    occupy
    ask_at_once 20 '/compute?n=1'
    wait_for 20 pool_metric_is fibcgi_connections_waiting 20
    kill -TERM "$POOL"
    wait_for 5 log_has draining
    free_worker
    STOP_STATUS=0
    wait "$POOL" || STOP_STATUS=$?
    [ "$STOP_STATUS" -eq 0 ]
    wait "$ASKING"
    [ "$(answered 200)" -eq 20 ]
}

acceptor() { pgrep -P "$POOL" -f 'fibcgi: acceptor' || true; }

@test "with a limit on the queue killed workers and acceptors cost no request" {
    start_stack --workers 2 --queue-limit 1000
    h2load --h1 -c 50 -D 4 "$URL/compute?n=15" >"$BATS_TEST_TMPDIR/load" 3>&- &
    local load=$! victim i
    wait_for 5 has_served 50
    for i in $(seq 20); do
        wait_for 5 eval '[ -n "$(acceptor)" ]'
        victim=$( (acceptor && worker_pids) | shuf -n 1)
        kill -KILL "$victim" 2>/dev/null || true
        wait_for 5 eval "[ \$(log_count 'was killed by signal 9') -ge $i ]"
    done
    wait "$load"
    cat "$BATS_TEST_TMPDIR/load"
    grep -qE ' 0 failed, 0 errored, 0 timeout' "$BATS_TEST_TMPDIR/load"
    grep -qE 'status codes: [0-9]+ 2xx, 0 3xx, 0 4xx, 0 5xx' "$BATS_TEST_TMPDIR/load"
}

@test "clients with less patience than the queue is long do not stop the work: answers come in time" {
    start_pool --workers 1 --max-n 40
    run timeout 60 "$REPO/tests/fixtures/impatient-clients.py" "$SOCKET" 33 300 400 4
    echo "$output"
    # What it can do and what it does: well over half is in time on a quiet machine, next to nothing where the oldest goes first.
    [[ $output =~ ^([0-9]+)' in time of '[0-9]+' a second, '([0-9]+)' in time of ' ]]
    [ "${BASH_REMATCH[2]}" -gt $((BASH_REMATCH[1] / 4)) ]
    [ "$(pool_metric 'fibcgi_connections_refused_total{reason="gone"}')" -gt 100 ]
}

@test "patient clients are served in the order in which they came" {
    start_pool --workers 1 --max-n 45
    run timeout 60 "$REPO/tests/fixtures/in-order.py" "$SOCKET" 30
    echo "$output"
    [ "$output" = 'in order' ]
}

slow_peers() {
    "$REPO/tests/fixtures/slow-peers.py" "$SOCKET" "$1" "$2" >"$BATS_TEST_TMPDIR/peers" 3>&- &
    PEERS=$!
    wait_for 10 grep -q ready "$BATS_TEST_TMPDIR/peers"
}

@test "where descriptors are short silent peers are closed, and requests and health checks answered" {
    UNDER='prlimit --nofile=400:400'
    start_pool --workers 1 --read-timeout 30s
    UNDER=
    start_lighttpd
    slow_peers silent 1000
    local _
    for _ in 1 2 3 4 5; do
        [ "$(admin /healthz)" = ok ]
        get '/compute?n=5'
        is_code 200
    done
    [ "$(pool_metric 'fibcgi_connections_refused_total{reason="short"}')" -gt 500 ]
}

@test "what many workers need is not given to silent peers" {
    UNDER='prlimit --nofile=900:900'
    start_pool --workers 80 --read-timeout 30s
    UNDER=
    slow_peers silent 1000
    # Each worker that is replaced needs its own again.
    worker_pids | head -20 | xargs kill -KILL
    wait_for 10 eval '[ "$(log_count "was killed by signal 9")" -eq 20 ]'
    wait_for 10 workers_are 80
    [ "$(admin /healthz)" = ok ]
    [ "$(log_count 'cannot start|cannot accept')" -eq 0 ]
}

@test "what slow peers have sent takes no more memory than --max-kept-size" {
    start_stack --workers 1 --read-timeout 10s --max-kept-size 4M
    timeout 60 "$REPO/tests/fixtures/slow-bodies.py" "$SOCKET" 20 524288 >"$BATS_TEST_TMPDIR/peers" 3>&- &
    PEERS=$!
    wait_for 15 grep -q 'closed' "$BATS_TEST_TMPDIR/peers"
    cat "$BATS_TEST_TMPDIR/peers"
    # 4 MiB hold seven bodies of half a MiB with their headers; the eighth is one too many.
    grep -q '^7 kept, 13 closed' "$BATS_TEST_TMPDIR/peers"
    get '/compute?n=5'
    is_code 200
    wait_for 20 pool_metric_is fibcgi_kept_bytes 0
}
