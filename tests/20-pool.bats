#!/usr/bin/env bats
# The pool: its signals, its workers' deaths, its drain and its size, under load through the real lighttpd.

load helpers/common
load helpers/cgroup

teardown() {
    stop_all
    [ -z "${GROUP:-}" ] || rmdir "$GROUP"
}

# load_while COMMAND…: wrk with 50 kept-alive connections while the command runs; its report is in $REPORT.
load_while() {
    REPORT=$BATS_TEST_TMPDIR/wrk
    wrk -t1 -c50 -d"${SECONDS_OF_LOAD:-3}s" --timeout 20s "$URL/compute?n=22" >"$REPORT" 2>&1 3>&- &
    local wrk=$!
    wait_for 5 has_served 50
    "$@"
    wait "$wrk"
}
no_request_failed() {
    if grep -E 'Socket errors|Non-2xx' "$REPORT"; then cat "$REPORT" "$LOG" >&2; return 1; fi
    [ "$(awk '/requests in/ { print $1 }' "$REPORT")" -gt 100 ]
}

@test "TERM answers what is running, then exits 0 and removes its sockets" {
    start_stack --workers 1 --max-n 45
    request_in_background '/compute?n=42'
    wait_for 5 in_flight 1
    stop "$POOL" TERM
    [ "$STOP_STATUS" -eq 0 ]
    background_code_is 200
    [ ! -e "$SOCKET" ]
    [ ! -e "$SOCKET.2" ]
    [ ! -e "$ADMIN" ]
}

@test "TERM answers what is queued, too" {
    start_stack --workers 1 --max-n 45
    local i pids=()
    for i in $(seq 20); do
        curl -sS --max-time 30 -o /dev/null -w '%{http_code}\n' "$URL/compute?n=40" >>"$BATS_TEST_TMPDIR/codes" 3>&- &
        pids+=($!)
    done
    wait_for 5 queue_is 19
    stop "$POOL" TERM
    wait "${pids[@]}"
    [ "$STOP_STATUS" -eq 0 ]
    [ "$(sort "$BATS_TEST_TMPDIR/codes" | uniq -c | tr -s ' ')" = ' 20 200' ]
}
# At least that many connections wait in the sockets' backlogs.
queue_is() { [ "$(ss -xlH | awk -v s="$SOCKET" 'index($5, s) == 1 { n += $3 } END { print n + 0 }')" -ge "$1" ]; }

@test "INT drains like TERM" {
    start_stack --workers 1 --max-n 45
    request_in_background '/compute?n=40'
    wait_for 5 in_flight 1
    stop "$POOL" INT
    [ "$STOP_STATUS" -eq 0 ]
    background_code_is 200
}

@test "while draining, readiness is 503 and health is still 200" {
    start_stack --workers 1 --max-n 60
    request_in_background '/compute?n=60'
    wait_for 5 in_flight 1
    kill -TERM "$POOL"
    wait_for 5 readiness_is 503
    get /healthz
    is_code 200
    [ "$(status_json | jq -r .state)" = draining ]
    stop "$POOL" TERM
}
readiness_is() { get /readyz && is_code "$1"; }

@test "a second TERM stops at once with exit 1" {
    start_stack --workers 1 --max-n 60
    request_in_background '/compute?n=60'
    wait_for 5 in_flight 1
    kill -TERM "$POOL"
    wait_for 5 log_has 'SIGTERM: draining'
    stop "$POOL" TERM
    [ "$STOP_STATUS" -eq 1 ]
    background_code_is '5??'
}

@test "the drain timeout ends a drain with exit 1" {
    start_stack --workers 1 --max-n 60 --drain-timeout 300ms
    request_in_background '/compute?n=60'
    wait_for 5 in_flight 1
    stop "$POOL" TERM
    [ "$STOP_STATUS" -eq 1 ]
    log_has 'drain-timeout has passed'
}

@test "QUIT stops at once with exit 0" {
    start_stack --workers 2 --max-n 60
    request_in_background '/compute?n=60'
    wait_for 5 in_flight 1
    local workers
    workers=$(worker_pids)
    stop "$POOL" QUIT
    [ "$STOP_STATUS" -eq 0 ]
    for pid in $workers; do wait_for 2 gone "$pid"; done
}

@test "HUP replaces every worker, and no request is lost" {
    start_stack --workers 2
    local before
    before=$(worker_pids)
    load_while roll
    no_request_failed
    [ "$(worker_count)" -eq 2 ]
    for pid in $before; do gone "$pid"; done
    [ "$(metric 'fibcgi_worker_restarts_total{cause="roll"}')" -ge 2 ]
}
roll() {
    kill -HUP "$POOL"
    wait_for 5 eval '[ "$(log_count "worker [0-9]+ \(pid [0-9]+\) left as told")" -ge 2 ] && workers_are 2'
}

@test "three HUPs in a row under load lose no request" {
    start_stack --workers 2
    load_while eval 'roll; roll; roll'
    no_request_failed
}

@test "USR1 reopens the log after a rotation" {
    LOG=$BATS_TEST_TMPDIR/service.log
    start_pool --workers 1 --log "$LOG"
    wait_for 5 log_has 'worker 1 started'
    mv "$LOG" "$LOG.1"
    kill -USR1 "$POOL"
    wait_for 5 log_has 'log reopened'
    kill -KILL "$(worker_pids)"
    wait_for 5 log_has 'worker 1 started'
    [ "$(grep -c 'worker 1 started' "$LOG.1")" -eq 1 ]
}

@test "USR2 logs the status" {
    start_pool --workers 2
    kill -USR2 "$POOL"
    wait_for 5 log_has 'status: serving, 2 of 2 workers up, 0 requests, 0 restarts'
}

@test "a killed worker is replaced at once and counted" {
    start_stack --workers 1
    get /compute
    is_code 200
    kill -KILL "$(worker_pids)"
    get /compute
    is_code 200
    log_has 'worker 1 \(pid [0-9]+\) was killed by signal 9'
    [ "$(metric 'fibcgi_worker_restarts_total{cause="signal"}')" = 1 ]
    [ "$(metric 'fibcgi_requests_total{code="200"}')" = 2 ]
}

@test "where no process or descriptor is left, workers are there within half a second once there is one, and the log stays short" {
    local took
    took=$("$REPO/tests/fixtures/no-starts.py" "$FIBCGI" "$(dirname "$FIBCGI")/fail.so" "$BATS_TEST_TMPDIR")
    echo "$took"
    [ "$(wc -l <<<"$took")" -eq 2 ]
    # A second more for a busy machine: with pauses that go on doubling it would be two and more.
    awk '$1 > 1.5 { exit 1 }' <<<"$took"
    # Some 12 times in 4 s it was tried.
    LOG=$BATS_TEST_TMPDIR/log
    [ "$(log_count 'cannot start worker 1: Resource temporarily')" -le 5 ]
    [ "$(log_count 'cannot start worker 1: Too many open')" -ge 3 ]
}

@test "a worker that dies young again and again is tried less often, up to every 5 s" {
    start_pool --workers 1
    local i pause
    # On a busy machine one may get older than a second before it is killed; then the pauses begin anew.
    for i in $(seq 40); do
        wait_for 5 workers_are 1
        kill -KILL "$(worker_pids)"
        wait_for 5 eval "[ \$(log_count 'was killed by signal 9') -eq $i ]"
        if grep -q 'the next one starts in 800 ms' "$LOG"; then break; fi
    done
    for pause in 100 200 400 800; do
        log_has "the next one starts in $pause ms"
    done
}

@test "a request that takes too long is tried once more, then answered with 500, and the pool serves on" {
    start_stack --workers 1 --max-n 60 --request-timeout 300ms
    get '/compute?n=60'
    is_code 500
    get '/compute?n=20'
    is_code 200
    log_has 'took longer than --request-timeout'
    log_has 'GET /compute\?n=60 was in hand when 2 workers died; it is answered with 500'
    [ "$(metric 'fibcgi_worker_restarts_total{cause="timeout"}')" = 2 ]
}

@test "one hanging worker does not stop the other" {
    start_stack --workers 2 --max-n 60
    request_in_background '/compute?n=60'
    wait_for 5 in_flight 1
    for _ in 1 2 3 4 5; do get '/compute?n=20' && is_code 200; done
    stop "$POOL" QUIT
    wait "$CURL" || true
}

@test "the workers die with their master, and the sockets can be taken again at once" {
    start_stack --workers 2
    local workers
    workers=$(worker_pids)
    kill -KILL "$POOL"
    for pid in $workers; do wait_for 2 gone "$pid"; done
    wait "$POOL" || true
    start_pool --workers 1
    log_has 'taking over .*fib.sock: nobody listens on it any more'
    # lighttpd keeps a backend that refused a connection out for a moment.
    wait_for 5 eval 'get /compute && is_code 200'
}

@test "workers leave after --max-requests, a tenth earlier at most, and nothing is lost" {
    start_stack --workers 2 --max-requests 50
    run h2load --h1 -n 2000 -c 10 "$URL/compute?n=5"
    echo "$output"
    [[ $output == *'2000 2xx, 0 3xx, 0 4xx, 0 5xx'* ]]
    local restarts
    restarts=$(metric 'fibcgi_worker_restarts_total{cause="max_requests"}')
    [ "$restarts" -ge 38 ]
    [ "$restarts" -le 45 ]
}

@test "the processes have readable titles" {
    start_pool --workers 2
    [ "$(ps -o args= -p "$POOL")" = 'fibcgi: master' ]
    ps -o args= --ppid "$POOL" | sort >"$BATS_TEST_TMPDIR/titles"
    diff "$BATS_TEST_TMPDIR/titles" - <<<$'fibcgi: admin\nfibcgi: worker 1\nfibcgi: worker 2'
}

@test "a killed admin worker is back, and the workers never noticed" {
    start_stack --workers 1
    local worker
    worker=$(worker_pids)
    kill -KILL "$(pgrep -P "$POOL" -f 'fibcgi: admin')"
    wait_for 5 eval 'get /healthz && is_code 200'
    [ "$(worker_pids)" = "$worker" ]
}

@test "the CPU limit sets the number of workers" {
    make_group
    UNDER=in_group
    set_limit 500
    start_pool
    [ "$(worker_count)" -eq 1 ]
    log_has '1 workers: the CPU limit is 500m'
}

@test "a limit that changes changes the number of workers, and no request is lost" {
    make_group
    UNDER=in_group
    set_limit 500
    start_stack
    SECONDS_OF_LOAD=7 load_while resize_up_and_down
    no_request_failed
}
resize_up_and_down() {
    set_limit 1500
    wait_for 3 workers_are 2
    set_limit 1000
    wait_for 3 workers_are 1
    set_limit -1
    wait_for 3 workers_are "$(nproc)"
}

@test "--workers fixes the number whatever the limit" {
    make_group
    UNDER=in_group
    set_limit 500
    start_pool --workers 3
    wait_for 2 workers_are 3
}

@test "1,000 connections at once are all served" {
    start_stack
    run wrk -t2 -c1000 -d4s --timeout 20s "$URL/compute?n=20"
    echo "$output"
    [[ $output != *'Socket errors'* ]]
    [[ $output != *'Non-2xx'* ]]
    get /healthz
    is_code 200
}

# HUP and another CPU limit, again and again.
shake() {
    local limit
    while :; do
        for limit in 500 2000 1000; do
            set_limit "$limit"
            kill -HUP "$POOL"
            sleep 0.3
        done
    done
}
statuses_2xx() { sed -n 's/^status codes: \([0-9]*\) 2xx, 0 3xx, 0 4xx, 0 5xx$/\1/p' "$1"; }

@test "HUP, new CPU limits and --max-requests at once, then a full drain, under load of kept-alive and HTTP/2 clients: nothing lost" {
    local h1 h2 shaking
    ACCESS_LOG=$BATS_TEST_TMPDIR/access.log
    make_group
    set_limit 2000
    start_stack --max-requests 100
    h2load --h1 -n 6000 -c 30 "$URL/compute?n=22" >"$BATS_TEST_TMPDIR/h1" 3>&- &
    h1=$!
    h2load -n 6000 -c 10 -m 8 "$URL/compute?n=22" >"$BATS_TEST_TMPDIR/h2" 3>&- &
    h2=$!
    shake 3>&- &
    shaking=$!
    wait_for 60 has_served 5000
    [ "$(metric 'fibcgi_worker_restarts_total{cause="roll"}')" -ge 2 ]
    [ "$(metric 'fibcgi_worker_restarts_total{cause="max_requests"}')" -ge 20 ]
    # lighttpd first; the pool drains what it has forwarded.
    stop "$LIGHTTPD" INT
    [ "$STOP_STATUS" -eq 0 ]
    stop "$POOL" TERM
    [ "$STOP_STATUS" -eq 0 ]
    kill "$shaking"
    wait "$h1" "$h2" || true
    # Once lighttpd has stopped accepting, the clients' further connections fail; but whatever it took was answered with 200,
    # and each of these answers came to its client.
    cat "$BATS_TEST_TMPDIR/h1" "$BATS_TEST_TMPDIR/h2"
    [ "$(jq -s '[.[] | select(.path == "/compute" and .status == 200)] | length' "$ACCESS_LOG")" -eq \
        $(($(statuses_2xx "$BATS_TEST_TMPDIR/h1") + $(statuses_2xx "$BATS_TEST_TMPDIR/h2"))) ]
    # (lighttpd writes a line for an HTTP/2 connection, too: PRI *.)
    [ "$(jq -s '[.[] | select(.path == "/compute" and .status != 200)] | length' "$ACCESS_LOG")" -eq 0 ]
}

@test "what the access log holds is JSON, a line a request" {
    ACCESS_LOG=$BATS_TEST_TMPDIR/access.log
    start_pool --workers 1
    start_lighttpd
    get '/compute?n=3' -H 'User-Agent: quote " and \ and é'
    stop "$LIGHTTPD" INT
    [ "$(jq -r '[.method, .path, .status] | @csv' "$ACCESS_LOG")" = '"GET","/compute",200' ]
}

@test "admin paths from elsewhere than loopback are refused" {
    ip -o -4 addr show scope global | grep -q inet || ip link add fibcgi-t type dummy 2>/dev/null || true
    start_pool --workers 1
    sed 's/^server.bind .*/server.bind = ""/; s/"127.0.0.0\/8"/"127.9.0.0\/16"/' "$REPO/conf/lighttpd/fibcgi.conf" >"$BATS_TEST_TMPDIR/elsewhere.conf"
    start_lighttpd "$BATS_TEST_TMPDIR/elsewhere.conf"
    for path in /healthz /readyz /metrics /status '/status?json' //status /%73tatus; do
        get "$path"
        is_code 403
    done
    get /compute
    is_code 200
}
