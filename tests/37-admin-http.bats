#!/usr/bin/env bats
# --admin-http: the admin worker answers its pages over plain HTTP, past web server and queue, whoever else is connected there.

bats_require_minimum_version 1.5.0
load helpers/common

# HTTPD_CONNECTIONS_MAX and HTTP_HEAD_MAX.
PLACES=64
HEAD_MAX=8192

setup() {
    DIR=$BATS_TEST_TMPDIR
    LOG=$DIR/pool.log
    SOCKET=$DIR/fib.sock
    ADMIN=$DIR/admin.sock
    HTTP_SOCKET=$DIR/http.sock
    STARTED=()
}

teardown() {
    local pid
    stop_all
    for pid in "${PEERS:-}" "${STARTED[@]}"; do
        if alive "$pid"; then stop "$pid" KILL; fi
    done
}

# start_http_pool [OPTION…]: with the admin pages at $URL.
start_http_pool() {
    PORT=$(free_port)
    URL=http://127.0.0.1:$PORT
    start_pool --workers 1 --admin-http "tcp:127.0.0.1:$PORT" "$@"
}

# say TEXT: sends it, with the escapes of printf %b, on a connection of its own; what comes until its end is in $REPLY, its status
# line's number in $CODE.
say() {
    local fd
    exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
    printf '%b' "$1" >&"$fd"
    REPLY=$(timeout 10 cat <&"$fd" | tr -d '\r')
    exec {fd}>&-
    CODE=$(sed -n '1s/^HTTP\/1\.1 \([0-9]*\) .*/\1/p' <<<"$REPLY")
}
says_code() { say "$1"; [ "$CODE" = "$2" ] || { echo "to $1: $REPLY" >&2; return 1; }; }

admin_worker() { pgrep -P "$POOL" -f 'fibcgi: admin'; }
has_another_admin_worker() { [ -n "$(admin_worker)" ] && [ "$(admin_worker)" != "$1" ]; }
fds_of_pool() { find "/proc/$POOL/fd" -mindepth 1 | wc -l; }
fds_are() { [ "$(fds_of_pool)" -eq "$1" ]; }
# is_ready [OPTION OF CURL…]
is_ready() { [ "$(curl -s --max-time 5 "$@" "$URL/readyz")" = ok ]; }
# Those of the pool's ends that somebody has closed are not counted.
open_connections() { ss -tnH state established "sport = :$PORT" | wc -l; }
open_connections_are() { [ "$(open_connections)" -eq "$1" ]; }

# open_silent COUNT: so many connections on which nothing is sent.
open_silent() {
    local fd
    for _ in $(seq "$1"); do exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"; done
}

@test "the admin pages are answered over HTTP, with what a page that nobody is to show or keep needs" {
    start_http_pool
    wait_for 5 is_ready
    get /healthz
    is_code 200
    [ "$(cat "$BODY")" = ok ]
    [ "$(header Content-Length)" = 3 ]
    [ "$(header Cache-Control)" = no-store ]
    [ "$(header X-Content-Type-Options)" = nosniff ]
    [ "$(header Content-Security-Policy)" = "default-src 'none'; frame-ancestors 'none'" ]
    [ "$(header Connection)" = close ]
    [ "$(date -d "$(header Date)" +%s)" -gt $(($(date +%s) - 60)) ]
    get '/status?json'; is_code 200
    [ "$(jq .workers_up "$BODY")" = 1 ]
    get /metrics; is_code 200
    [ "$(header Content-Type)" = 'text/plain; version=0.0.4; charset=utf-8' ]
    [ "$(header Content-Length)" -eq "$(stat -c %s "$BODY")" ]
    has_body 'fibcgi_workers_wanted 1'
    get /nothing; is_code 404
    # The same as by the other way.
    [ "$(admin /readyz)" = ok ]
}

@test "HEAD has the length and no body, OPTIONS has Allow, and other methods are refused with it" {
    start_http_pool
    get /metrics -I; is_code 200
    [ "$(header Content-Length)" -gt 1000 ]
    say 'HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n'
    [[ $REPLY == *$'\nContent-Length: 3' ]]
    get /healthz -X OPTIONS; is_code 204
    [ "$(header Allow)" = 'GET, HEAD, OPTIONS' ]
    [ -z "$(header Content-Length)" ]
    get /healthz -X DELETE; is_code 405
    [ "$(header Allow)" = 'GET, HEAD, OPTIONS' ]
    [ "$(header Content-Type)" = application/problem+json ]
}

@test "an old client, one that thinks it has a proxy, and one that sends on are answered" {
    start_http_pool
    says_code 'GET /healthz HTTP/1.0\r\n\r\n' 200
    [[ $REPLY == *$'\n\nok' ]]
    says_code 'GET http://x/readyz HTTP/1.1\r\nHost: x\r\n\r\n' 200
    says_code 'GET /%68ealthz HTTP/1.1\r\nHost: x\r\n\r\n' 200
    # One request a connection: what follows is dropped.
    says_code 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n' 200
    [ "$(grep -c '^HTTP' <<<"$REPLY")" -eq 1 ]
}

@test "what is no HTTP, or not such as is served here, gets the answer that says so" {
    start_http_pool
    local many
    says_code 'hello\r\n' 400
    says_code '\x16\x03\x01\x02\x00' 400
    says_code 'GET /healthz HTTP/1.1\n\n' 400
    says_code 'GET /healthz HTTP/1.1\r\n\r\n' 400
    [[ $REPLY == *'exactly one Host'* && $REPLY == *'Content-Type: application/problem+json'* ]]
    says_code 'GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n' 400
    says_code 'GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n' 400
    says_code 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' 505
    many=$(head -c "$HEAD_MAX" /dev/zero | tr '\0' a)
    says_code "GET /healthz HTTP/1.1\r\nHost: x\r\nA: $many\r\n\r\n" 431
    says_code "GET /$many HTTP/1.1\r\nHost: x\r\n\r\n" 414
    says_code "POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n" 501
    get /healthz; is_code 200
}

@test "a body is dropped, and its sender gets the whole answer and no reset" {
    start_http_pool
    head -c 300000 /dev/zero >"$DIR/body.bin"
    local expect i fd
    for i in $(seq 20); do
        for expect in 'Expect:' 'Expect: 100-continue'; do
            get /healthz --data-binary "@$DIR/body.bin" -H "$expect"; is_code 405
            get /healthz --data-binary "@$DIR/body.bin" -H "$expect" -H 'Transfer-Encoding: chunked' -X GET; is_code 200
        done
    done
    has_body ok
    exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n' >&"$fd"
    cat "$DIR/body.bin" >&"$fd"
    timeout 10 cat <&"$fd" >"$DIR/answer"
    grep -q '^HTTP/1.1 405 ' "$DIR/answer"
}

@test "a request that comes a byte at a time is answered" {
    start_http_pool
    local fd i request=$'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'
    exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
    for ((i = 0; i < ${#request}; i++)); do
        # Two bytes that are there at once must not be taken for one piece.
        wait_for 5 open_connections_are 1
        printf %s "${request:i:1}" >&"$fd"
    done
    [[ $(timeout 10 cat <&"$fd") == *$'\r\n\r\nok' ]]
}

@test "a Unix socket and IPv6 are as good, without --admin-listen, too, and an empty variable is none" {
    PORT=$(free_port)
    begin "$FIBCGI" --listen "unix:$SOCKET" --workers 1 --admin-http "tcp:[::1]:$PORT"
    URL="http://[::1]:$PORT"
    wait_for 5 is_ready
    ends "$BEGUN" TERM
    [ "$STOP_STATUS" -eq 0 ]
    begin env FIBCGI_ADMIN_HTTP="unix:$HTTP_SOCKET" FIBCGI_ADMIN_LISTEN='' "$FIBCGI" --listen "unix:$SOCKET" --workers 1
    wait_for 5 is_ready --unix-socket "$HTTP_SOCKET"
    get /readyz --unix-socket "$HTTP_SOCKET"; is_code 200
    [ "$(stat -c %a "$HTTP_SOCKET")" = 660 ]
    log_has "admin on none, and over HTTP on unix:$HTTP_SOCKET"
    ends "$BEGUN" TERM
    [ "$STOP_STATUS" -eq 0 ]
    [ ! -e "$HTTP_SOCKET" ]
}

@test "of passed sockets the one named admin-http is for the admin pages over HTTP" {
    begin env LISTEN_FDNAMES=admin-http:work "$PASS_SOCKETS" systemd "unix:$HTTP_SOCKET" "unix:$SOCKET" -- "$FIBCGI" --workers 1
    URL=http://x
    wait_for 5 log_has 'admin on none, and over HTTP on the socket it was given'
    get /healthz --unix-socket "$HTTP_SOCKET"; is_code 200
    ends "$BEGUN" TERM
    [ "$STOP_STATUS" -eq 0 ]
    [ -S "$HTTP_SOCKET" ]
}

@test "as many silent clients as there are places stay; for one more the oldest has to go, for a health check none but it" {
    start_http_pool --read-timeout 1m
    local first
    exec {first}<>"/dev/tcp/127.0.0.1/$PORT"
    open_silent $((PLACES - 1))
    wait_for 5 open_connections_are "$PLACES"
    open_silent 1
    # It is the first that ends.
    timeout 5 cat <&"$first"
    get /healthz --max-time 1; is_code 200
    wait_for 5 open_connections_are $((PLACES - 1))
    get /healthz --max-time 1; is_code 200
    wait_for 5 open_connections_are $((PLACES - 1))
}

@test "a thousand silent clients and a saturated pool keep no health check waiting" {
    start_http_pool --read-timeout 1m --admin-http "unix:$HTTP_SOCKET"
    start_lighttpd
    wrk -t1 -c500 -d6s --timeout 20s "$URL/compute" >"$DIR/wrk" 3>&- &
    local load=$! i
    "$REPO/tests/fixtures/slow-peers.py" "$HTTP_SOCKET" silent 1000 >"$DIR/peers" 3>&- &
    PEERS=$!
    wait_for 10 grep -q ready "$DIR/peers"
    wait_for 5 has_served 50
    # A kubelet waits for one second.
    for i in $(seq 40); do
        get /healthz --unix-socket "$HTTP_SOCKET" --max-time 1; is_code 200
    done
    kill "$PEERS"
    wait "$load"
}

@test "silent clients are given up after the read timeout, and those that have an answer and stay after a second" {
    start_http_pool --read-timeout 500ms
    local fd
    open_silent 3
    wait_for 5 open_connections_are 3
    wait_for 3 open_connections_are 0
    exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n' >&"$fd"
    wait_for 5 open_connections_are 0
    local before
    before=$(fds_of_pool)
    wait_for 3 eval "[ \$(fds_of_pool) -eq $((before - 1)) ]"
}

@test "a killed admin worker leaves neither a connection nor a descriptor behind, and its successor answers" {
    start_http_pool --read-timeout 1m
    local before half silent old
    wait_for 5 is_ready
    before=$(fds_of_pool)
    exec {half}<>"/dev/tcp/127.0.0.1/$PORT" {silent}<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'GET /healthz HTTP/1.1\r\n' >&"$half"
    wait_for 5 fds_are $((before + 2))
    old=$(admin_worker)
    kill -KILL "$old"
    # Their peers learn at once that nothing will come.
    timeout 5 cat <&"$half" || [ $? -eq 1 ]
    timeout 5 cat <&"$silent" || [ $? -eq 1 ]
    wait_for 5 has_another_admin_worker "$old"
    wait_for 5 is_ready
    wait_for 5 fds_are "$before"
}

@test "admin workers killed under load leak nothing, and health checks in between are answered" {
    start_http_pool
    local before i old
    wait_for 5 is_ready
    before=$(fds_of_pool)
    while curl -s -o "$DIR/null" "$URL/metrics" || true; do :; done 3>&- &
    STARTED+=($!)
    for i in $(seq 15); do
        old=$(admin_worker)
        kill -KILL "$old"
        wait_for 5 has_another_admin_worker "$old"
        wait_for 5 is_ready
    done
    stop "${STARTED[0]}" KILL
    wait_for 10 fds_are "$before"
}

@test "a request that is coming in while the workers are replaced is answered by the next admin worker" {
    start_http_pool --read-timeout 1m
    local fd old
    old=$(admin_worker)
    exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
    printf 'GET /healthz HTTP/1.1\r\nHo' >&"$fd"
    wait_for 5 open_connections_are 1
    kill -HUP "$POOL"
    wait_for 5 has_another_admin_worker "$old"
    printf 'st: x\r\n\r\n' >&"$fd"
    [[ $(timeout 10 cat <&"$fd") == *$'\r\n\r\nok' ]]
}

@test "while the pool drains it is healthy and not ready, and silent clients do not keep it from leaving" {
    start_http_pool --max-n 45
    start_lighttpd
    request_in_background '/compute?n=42'
    wait_for 5 in_flight 1
    URL=http://127.0.0.1:$PORT
    open_silent 5
    kill -TERM "$POOL"
    wait_for 5 log_has draining
    get /readyz; is_code 503
    get /healthz; is_code 200
    STOP_STATUS=0
    wait "$POOL" || STOP_STATUS=$?
    [ "$STOP_STATUS" -eq 0 ]
    background_code_is 200
}

@test "the admin worker is locked in as without it" {
    start_http_pool --sandbox on
    get /status; is_code 200
    grep -qx $'Seccomp:\t2' "/proc/$(admin_worker)/status"
    grep -qx $'NoNewPrivs:\t1' "/proc/$(admin_worker)/status"
}

@test "its memory and descriptors are the same after 3,000 requests, and a pool without it has none more" {
    start_http_pool
    local before after fds
    nm "$FIBCGI" | grep -q __asan_init && local is_sanitized=1
    dirty() { awk '$1 == "Pss_Dirty:" { print $2 }' "/proc/$(admin_worker)/smaps_rollup"; }
    wrk -t1 -c20 -d1s "$URL/metrics" >"$DIR/wrk"
    before=$(dirty) fds=$(fds_of_pool)
    h2load --h1 -n 3000 -c 20 "$URL/metrics" >"$DIR/load" || true
    cat "$DIR/load"
    wait_for 5 eval "[ \$(fds_of_pool) -le $fds ]"
    after=$(dirty)
    echo "dirty $before KiB, then $after KiB"
    [ -n "${is_sanitized:-}" ] || [ $((after - before)) -le 16 ]
    # The listening socket, and the epoll instance in which it waits.
    wait_for 5 open_connections_are 0
    fds=$(fds_of_pool)
    stop "$POOL" TERM
    start_pool --workers 1
    fds_are $((fds - 2))
}

@test "who may ask is said once: web servers are named by --allowed-peers, and these are none" {
    PORT=$(free_port)
    URL=http://127.0.0.1:$PORT
    start_pool --workers 1 --admin-http "tcp:0.0.0.0:$PORT" --allowed-peers 192.0.2.1
    get /healthz; is_code 200
    log_has "info tcp:0.0.0.0:$PORT answers every host that reaches it: .*NetworkPolicy"
    [ "$(log_count ' warning ')" -eq 0 ]
}

@test "what is wrong with its address is told as for the others" {
    start_http_pool
    refused() { # TEXT OPTION…
        local text=$1
        shift
        run --separate-stderr timeout 10 "$FIBCGI" "$@" </dev/null
        [ "$status" -eq 100 ] && [[ $stderr == *"$text"* ]] && [ "$(wc -l <<<"$stderr")" -eq 1 ] ||
            { echo "status $status: $stderr" >&2; return 1; }
    }
    for address in 9180 http://127.0.0.1:9180 tcp:9180 tcp:localhost:9180 tcp:127.0.0.1:0 unix:http.sock; do
        refused "cannot listen on \"$address\"" -t --admin-http "$address"
        refused "cannot listen on \"$address\"" --listen "unix:$DIR/other" --admin-http "$address"
    done
    refused '--admin-http: "tcp:127.0.0.1:1,tcp:127.0.0.1:2" has more than the 1 address' -t \
        --admin-http tcp:127.0.0.1:1,tcp:127.0.0.1:2
    refused '"unix:/tmp/x" is given twice' -t --admin-listen unix:/tmp/x --admin-http unix:/tmp/x
    refused '--admin-http: the value is empty' -t --admin-http ''
    refused '--admin-http alone is no pool' --admin-http tcp:127.0.0.1:9180
    refused "$(printf 'cannot listen on tcp:127.0.0.1:%s: Address already in use; another process' "$PORT")" \
        --listen "unix:$DIR/other" --admin-http "tcp:127.0.0.1:$PORT"
    [ ! -e "$DIR/other" ]
    run "$FIBCGI" -t --admin-http "tcp:127.0.0.1:$PORT"
    [ "$status" -eq 0 ]
}
