#!/usr/bin/env bats
# The ways to be started, each with the server that does it: CGI, spawned by lighttpd or spawn-fcgi, and the pool on a
# socket of its own, on fd 0 and on systemd's descriptors. The contract is the same in all of them and at every mount.
# shellcheck disable=SC2030,SC2031

bats_require_minimum_version 1.5.0
load helpers/common
load helpers/contract

setup() {
    DIR=$BATS_TEST_TMPDIR
    SOCKET=$DIR/fib.sock
    ADMIN=$DIR/admin.sock
    LOG=$DIR/fibcgi.log
    STARTED=()
}

teardown() {
    local pid spawned
    spawned=$(spawned_pids)
    if alive "${LIGHTTPD:-}"; then stop "$LIGHTTPD" TERM; fi
    # shellcheck disable=SC2086
    for pid in "${STARTED[@]}" $spawned; do
        if alive "$pid"; then
            kill -KILL "$pid"
            wait "$pid" 2>/dev/null || true
        fi
    done
}

# lighttpd_in_front LINES…: starts a lighttpd with these lines of configuration and no others that matter; sets $URL.
lighttpd_in_front() {
    mkdir -p "$DIR/www"
    {
        # shellcheck disable=SC2016
        printf '%s\n' 'server.bind = "127.0.0.1"' 'server.port = env.FIBCGI_HTTP_PORT' \
            "server.document-root = \"$DIR/www\"" "server.upload-dirs = ( \"$DIR\" )" \
            'server.modules = ( "mod_alias", "mod_cgi", "mod_fastcgi" )'
        printf '%s\n' "$@"
    } >"$DIR/lighttpd.conf"
    start_lighttpd "$DIR/lighttpd.conf"
}

# mount PREFIX: the line that sends what is below PREFIX to $SOCKET.
mount() {
    printf 'fastcgi.server += ( "%s" => (( "socket" => "%s", "check-local" => "disable", "fix-root-scriptname" => "enable" )) )\n' \
        "$1" "$SOCKET"
}

# mount_port PORT: the same at / for a TCP port.
mount_port() {
    printf 'fastcgi.server = ( "/" => (( "host" => "127.0.0.1", "port" => %d, "check-local" => "disable", "fix-root-scriptname" => "enable" )) )\n' "$1"
}

# The lines that let lighttpd run what is in cgi-bin as CGI.
runs_cgi_bin() {
    printf 'alias.url = ( "/cgi-bin/" => "%s/cgi-bin/" )\n' "$DIR"
    # shellcheck disable=SC2016
    printf '%s\n' '$HTTP["url"] =~ "^/cgi-bin/" { cgi.assign = ( "" => "" ) }'
}

# spawns_at PREFIX PROCESSES [ARGUMENTS]: the line that lets lighttpd spawn the program itself.
spawns_at() {
    printf 'fastcgi.server = ( "%s" => (( "bin-path" => "%s", "socket" => "%s", "max-procs" => %d, %s )) )\n' \
        "$1" "$FIBCGI${3:+ $3}" "$DIR/spawned.sock" "$2" '"check-local" => "disable", "fix-root-scriptname" => "enable"'
}
spawned_pids() { if [ -n "${LIGHTTPD:-}" ]; then pgrep -P "$LIGHTTPD" -f 'fibcgi: spawned' || true; fi; }
spawned_count() { spawned_pids | wc -l; }
spawned_are() { [ "$(spawned_count)" -eq "$1" ]; }

is_running_on_cpu() { [ "$(ps -o stat= -p "$1" | cut -c1)" = R ]; }
answers() { get "$1" && [ "$CODE" = 200 ]; }
up_or_gone() { workers_are "$1" || gone "$POOL"; }
queue_is() { [ "$(ss -xlH src "$1" | awk '{ print $3 }')" -eq "$2" ]; }

# cgi VARIABLE=VALUE… [ARGUMENT…]: one request as a CGI server makes it; what it says is in $output, its status in $status.
cgi() { run --separate-stderr env -i GATEWAY_INTERFACE=CGI/1.1 SERVER_PROTOCOL=HTTP/1.1 SCRIPT_NAME=/cgi-bin/fib.fcgi "$@" </dev/null; }

# --- CGI

@test "CGI: behind lighttpd's mod_cgi a link in cgi-bin holds the contract" {
    mkdir -p "$DIR/cgi-bin"
    ln -s "$FIBCGI" "$DIR/cgi-bin/fib.fcgi"
    lighttpd_in_front "$(runs_cgi_bin)"
    holds_contract /cgi-bin/fib.fcgi/compute
    get /cgi-bin/fib.fcgi
    is_code 404
}

@test "CGI: a copy that is named in the URL without PATH_INFO answers by its own name" {
    mkdir -p "$DIR/cgi-bin"
    cp "$FIBCGI" "$DIR/cgi-bin/compute"
    lighttpd_in_front "$(runs_cgi_bin)"
    holds_contract /cgi-bin/compute /cgi-bin/compute/nothing
}

@test "CGI: one request from the environment, one answer on standard output, nothing on standard error" {
    cgi REQUEST_METHOD=GET PATH_INFO=/compute QUERY_STRING=n=20 "$FIBCGI"
    [ "$status" -eq 0 ]
    [ -z "$stderr" ]
    [ "${lines[0]}" = $'Status: 200 OK\r' ]
    [[ $output == *$'Content-Type: application/json\r\n'* ]]
    [ "$(sed '1,/^\r$/d' <<<"$output" | jq -c '[.n, .result]')" = '[20,6765]' ]
}

@test "CGI: Content-Length is that of the body, and HEAD has the header alone" {
    local length
    cgi REQUEST_METHOD=GET PATH_INFO=/compute QUERY_STRING=n=20 "$FIBCGI"
    length=$(sed -n 's/^Content-Length: \([0-9]*\)\r$/\1/p' <<<"$output")
    [ "$(sed '1,/^\r$/d' <<<"$output" | wc -c)" -eq "$length" ]
    cgi REQUEST_METHOD=HEAD PATH_INFO=/compute QUERY_STRING=n=20 "$FIBCGI"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = $'Status: 200 OK\r' ]
    [ -z "$(sed '1,/^\r$/d' <<<"$output")" ]
}

@test "CGI: a bad n, another method and another path have the contract's answers" {
    cgi REQUEST_METHOD=GET PATH_INFO=/compute QUERY_STRING=n=31 "$FIBCGI"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = $'Status: 400 Bad Request\r' ]
    [[ $output == *application/problem+json* ]]
    cgi REQUEST_METHOD=OPTIONS PATH_INFO=/compute "$FIBCGI"
    [ "${lines[0]}" = $'Status: 204 No Content\r' ]
    [[ $output == *$'Allow: GET, HEAD, OPTIONS\r'* ]]
    cgi REQUEST_METHOD=DELETE PATH_INFO=/compute "$FIBCGI"
    [ "${lines[0]}" = $'Status: 405 Method Not Allowed\r' ]
    [[ $output == *$'Allow: GET, HEAD, OPTIONS\r'* ]]
    cgi REQUEST_METHOD=GET PATH_INFO=/nothing "$FIBCGI"
    [ "${lines[0]}" = $'Status: 404 Not Found\r' ]
    cgi REQUEST_METHOD=GET "$FIBCGI"
    [ "${lines[0]}" = $'Status: 404 Not Found\r' ]
}

@test "CGI: a POST is answered though its body's end never comes" {
    local status=0
    mkfifo "$DIR/body"
    # Open for reading and writing: it never ends.
    exec 7<>"$DIR/body"
    printf 'n=5' >&7
    timeout 5 env -i GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=POST CONTENT_LENGTH=3 PATH_INFO=/compute "$FIBCGI" <&7 \
        >"$DIR/answer" 3>&- || status=$?
    exec 7>&-
    [ "$status" -eq 0 ]
    [ "$(head -n 1 "$DIR/answer")" = $'Status: 405 Method Not Allowed\r' ]
}

@test "CGI: a body that nobody wanted is read, so that a web server with one socket for both gets its answer" {
    [ "$("$REPO/tests/fixtures/cgi-socket.py" "$FIBCGI")" = $'Status: 405 Method Not Allowed\nend' ]
}

@test "CGI: arguments, which a client can choose (RFC 3875 §4.4), are not read" {
    local arguments
    for arguments in "--log=$DIR/evil --listen unix:$DIR/evil.sock" --help --version -t "--max-n 3" --no-such-option left; do
        # shellcheck disable=SC2086
        cgi REQUEST_METHOD=GET PATH_INFO=/compute QUERY_STRING=n=20 timeout 5 "$FIBCGI" $arguments
        [ "$status" -eq 0 ] || { echo "$arguments: $status $output $stderr" >&2; return 1; }
        [ "${lines[0]}" = $'Status: 200 OK\r' ]
        [[ $output == *'"result":6765'* ]]
        [ -z "$stderr" ]
    done
    [ ! -e "$DIR/evil" ]
    [ ! -e "$DIR/evil.sock" ]
}

@test "CGI: the options come from the variables, and an address in them does not make it a pool" {
    cgi FIBCGI_MAX_N=10 FIBCGI_LISTEN="unix:$DIR/no.sock" REQUEST_METHOD=GET PATH_INFO=/compute QUERY_STRING=n=20 \
        timeout 5 "$FIBCGI"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = $'Status: 400 Bad Request\r' ]
    [[ $output == *'"maximum":10'* ]]
    [ ! -e "$DIR/no.sock" ]
}

# --- Spawned by a web server

@test "spawned: one process of lighttpd's, mounted at /, holds the contract" {
    lighttpd_in_front "$(spawns_at / 1)"
    wait_for 5 spawned_are 1
    holds_contract /compute
    spawned_are 1
}

@test "spawned: two processes of lighttpd's, mounted below a script's name, hold the contract" {
    lighttpd_in_front "$(spawns_at /cgi-bin/fib.fcgi 2)"
    wait_for 5 spawned_are 2
    holds_contract /cgi-bin/fib.fcgi/compute
    get /compute
    is_code 404
    [ "$(header content-type)" = text/html ]
    spawned_are 2
}

@test "spawned: options in bin-path count" {
    lighttpd_in_front "$(spawns_at / 1 '--max-n 12')"
    wait_for 5 spawned_are 1
    get '/compute?n=12'
    is_code 200
    get '/compute?n=13'
    is_code 400
    [ "$(jq .maximum "$BODY")" -eq 12 ]
}

@test "spawned: lighttpd starts another for one that was killed, and takes all with it when it stops" {
    local first pids
    lighttpd_in_front "$(spawns_at / 1)"
    wait_for 5 spawned_are 1
    first=$(spawned_pids)
    kill -KILL "$first"
    wait_for 5 gone "$first"
    wait_for 10 answers '/compute?n=5'
    pids=$(spawned_pids)
    [ "$pids" != "$first" ]
    ends "$LIGHTTPD" TERM
    wait_for 5 gone "$pids"
}

@test "spawned: after --max-requests it leaves, and lighttpd starts the next" {
    local i
    lighttpd_in_front "$(spawns_at / 1 '--max-requests 1')"
    for i in 1 2; do
        wait_for 5 spawned_are 1
        wait_for 10 answers '/compute?n=5'
    done
}

@test "spawned: SIGTERM and SIGINT end it with status 0" {
    local signal
    for signal in TERM INT; do
        begin spawn-fcgi -n -s "$SOCKET" -- "$FIBCGI"
        wait_for 5 is_listening "$SOCKET"
        wait_for 5 pgrep -f 'fibcgi: spawned' -s "$(ps -o sid= -p "$BEGUN" | tr -d ' ')"
        ends "$BEGUN" "$signal"
        [ "$STOP_STATUS" -eq 0 ]
        rm -f "$SOCKET"
    done
}

@test "spawned: SIGTERM lets the request in hand and those that wait be answered first" {
    local client i
    begin spawn-fcgi -n -s "$SOCKET" -- "$FIBCGI" --max-n 50
    wait_for 5 is_listening "$SOCKET"
    lighttpd_in_front "$(mount /)"
    get '/compute?n=1'
    is_code 200
    curl -sS --max-time 30 -o "$DIR/slow" -w '%{http_code}' "$URL/compute?n=43" >"$DIR/slow.code" 3>&- &
    client=$!
    wait_for 5 is_running_on_cpu "$BEGUN"
    for i in 1 2 3; do
        curl -sS --max-time 30 -o /dev/null -w '%{http_code}' "$URL/compute?n=4$i" >"$DIR/waiting.$i" 3>&- &
        CLIENTS[i]=$!
    done
    wait_for 5 queue_is "$SOCKET" 3
    ends "$BEGUN" TERM
    [ "$STOP_STATUS" -eq 0 ]
    wait "$client" "${CLIENTS[@]}"
    [ "$(cat "$DIR/slow.code")" = 200 ]
    [ "$(jq .result "$DIR/slow")" = 433494437 ]
    [ "$(cat "$DIR"/waiting.*)" = 200200200 ]
}

@test "spawned: SIGTERM ends it within --drain-timeout under a load that does not stop" {
    local load
    begin spawn-fcgi -n -s "$SOCKET" -- "$FIBCGI" --drain-timeout 1s
    wait_for 5 is_listening "$SOCKET"
    lighttpd_in_front "$(mount /)"
    get '/compute?n=1'
    is_code 200
    wrk -t 1 -c 64 -d 30 "$URL/compute?n=30" >/dev/null 2>&1 3>&- &
    load=$!
    STARTED+=("$load")
    wait_for 5 is_running_on_cpu "$BEGUN"
    kill -TERM "$BEGUN"
    wait_for 6 gone "$BEGUN"
}

@test "spawned: two processes of spawn-fcgi's share a Unix socket and hold the contract" {
    run spawn-fcgi -s "$SOCKET" -F 2 -P "$DIR/pids" -- "$FIBCGI"
    [ "$status" -eq 0 ]
    mapfile -t STARTED < <(grep -oE '[0-9]+' "$DIR/pids")
    [ "${#STARTED[@]}" -eq 2 ]
    lighttpd_in_front "$(mount /)"
    holds_contract /compute
    # One leaves; the other serves on.
    kill -TERM "${STARTED[0]}"
    wait_for 5 gone "${STARTED[0]}"
    get '/compute?n=5'
    is_code 200
    alive "${STARTED[1]}"
}

# --- The pool

@test "pool: on a Unix socket of its own it holds the contract at every mount, with PATH_INFO and without" {
    start_pool --workers 1
    STARTED+=("$POOL")
    lighttpd_in_front "$(mount /cgi-bin/fib.fcgi)" "$(mount /app)" "$(mount /compute)" "$(mount /deep/er/compute)" \
        "\$HTTP[\"host\"] == \"root\" { $(mount / | sed 's/+=/=/') }"
    holds_contract /cgi-bin/fib.fcgi/compute
    holds_contract /app/compute
    local at
    # Without PATH_INFO the last part of the mount's own name is the path.
    for at in /compute /deep/er/compute; do
        get "$at?n=20"
        is_code 200
        [ "$(jq .result "$BODY")" -eq 6765 ]
        get "$at/x"
        is_code 404
        [ "$(header content-type)" = application/problem+json ]
    done
    for at in /app /app/ /cgi-bin/fib.fcgi /app/nothing /app/compute/; do
        get "$at"
        is_code 404
        [ "$(header content-type)" = application/problem+json ]
    done
    get '/compute?n=7' -H 'Host: root'
    is_code 200
    get /x/compute -H 'Host: root'
    is_code 404
}

@test "pool: --mode pool takes fd 0, where auto would be one spawned process" {
    begin "$PASS_SOCKETS" fd0 "unix:$SOCKET" -- "$FIBCGI" --mode pool --workers 2 --admin-listen "unix:$ADMIN"
    POOL=$BEGUN
    wait_for 5 workers_are 2
    lighttpd_in_front "$(mount /)"
    holds_contract /compute
    ends "$POOL" TERM
    [ "$STOP_STATUS" -eq 0 ]
    # The socket is another's: it stays. Its admin socket was the pool's own: it goes.
    [ -S "$SOCKET" ]
    [ ! -e "$ADMIN" ]
    log_has 'serves compute on the socket it was given'
}

@test "pool: systemd's first socket takes the requests, its second is the admin socket" {
    begin "$PASS_SOCKETS" systemd "unix:$SOCKET" "unix:$ADMIN" -- "$FIBCGI" --workers 2
    POOL=$BEGUN
    wait_for 5 workers_are 2
    lighttpd_in_front "$(mount /)" \
        "\$HTTP[\"host\"] == \"admin\" { $(SOCKET=$ADMIN mount / | sed 's/+=/=/') }"
    holds_contract /compute
    get /readyz -H 'Host: admin'
    is_code 200
    get '/status?json' -H 'Host: admin'
    [ "$(jq -c '[.state, .workers_up]' "$BODY")" = '["serving",2]' ]
    get /readyz
    is_code 404
    ends "$POOL" TERM
    [ "$STOP_STATUS" -eq 0 ]
    [ -S "$SOCKET" ]
    [ -S "$ADMIN" ]
}

@test "pool: one socket from systemd goes with an admin socket of its own" {
    begin "$PASS_SOCKETS" systemd "unix:$SOCKET" -- "$FIBCGI" --workers 1 --admin-listen "unix:$ADMIN"
    POOL=$BEGUN
    wait_for 5 pool_is_up
    lighttpd_in_front "$(mount /)"
    get '/compute?n=5'
    is_code 200
}

@test "pool: sockets that are meant for another process (LISTEN_PID) are not taken" {
    # shellcheck disable=SC2016
    run --separate-stderr timeout 5 "$PASS_SOCKETS" systemd "unix:$SOCKET" -- sh -c 'LISTEN_PID=1 exec "$1" </dev/null' sh "$FIBCGI"
    [ "$status" -eq 100 ]
    [[ $stderr == *'there is nothing to serve'* ]]
}

@test "pool: what waits on a passed socket when the pool drains is answered by the next pool on it" {
    local first second client i
    # What systemd does with Restart=always: the sockets stay, a new process gets them.
    # shellcheck disable=SC2016
    begin "$PASS_SOCKETS" systemd "unix:$SOCKET" "unix:$ADMIN" -- bash -c '
        while :; do
            (export LISTEN_PID=$BASHPID && exec "$@") &
            echo $! >>'"$DIR"'/pids
            wait $!
            echo $? >>'"$DIR"'/statuses
            # The test lets the next one start.
            read -r <'"$DIR"'/next
        done' bash "$FIBCGI" --workers 1 --max-n 50
    mkfifo "$DIR/next"
    wait_for 5 test -s "$DIR/pids"
    first=$(sed -n 1p "$DIR/pids")
    STARTED+=("$first")
    POOL=$first wait_for 5 workers_are 1
    lighttpd_in_front "$(mount /)" \
        "\$HTTP[\"host\"] == \"admin\" { $(SOCKET=$ADMIN mount / | sed 's/+=/=/') }"
    get '/compute?n=1'
    is_code 200
    curl -sS --max-time 30 -o /dev/null -w '%{http_code}' "$URL/compute?n=44" >"$DIR/slow" 3>&- &
    client=$!
    wait_for 5 is_running_on_cpu "$(worker_pids "$first")"
    for i in 1 2 3 4 5; do
        curl -sS --max-time 30 -o /dev/null -w '%{http_code}' "$URL/compute?n=$i" >"$DIR/waiting.$i" 3>&- &
        CLIENTS[i]=$!
    done
    wait_for 5 queue_is "$SOCKET" 5
    kill -TERM "$first"
    wait_for 10 test -s "$DIR/statuses"
    [ "$(cat "$DIR/statuses")" -eq 0 ]
    wait "$client"
    [ "$(cat "$DIR/slow")" = 200 ]
    # Nobody serves, nobody is refused.
    queue_is "$SOCKET" 5
    echo >"$DIR/next"
    wait "${CLIENTS[@]}"
    [ "$(cat "$DIR"/waiting.*)" = 200200200200200 ]
    second=$(sed -n 2p "$DIR/pids")
    STARTED+=("$second")
    [ "$second" -ne "$first" ]
    get '/status?json' -H 'Host: admin'
    [ "$(jq .requests.total "$BODY")" -eq 5 ]
}

@test "pool: on TCP the web server that FCGI_WEB_SERVER_ADDRS names is served" {
    local port
    port=$(free_port)
    begin env FCGI_WEB_SERVER_ADDRS=::1,127.0.0.1 "$FIBCGI" --listen "tcp:127.0.0.1:$port" --workers 1
    POOL=$BEGUN
    wait_for 5 workers_are 1
    lighttpd_in_front "$(mount_port "$port")"
    holds_contract /compute
    ends "$POOL" TERM
    [ "$STOP_STATUS" -eq 0 ]
}

@test "pool: on TCP a web server that FCGI_WEB_SERVER_ADDRS does not name is turned away, and the log says so" {
    local port
    port=$(free_port)
    begin env FCGI_WEB_SERVER_ADDRS=127.0.0.2 "$FIBCGI" --listen "tcp:127.0.0.1:$port" --workers 1
    POOL=$BEGUN
    wait_for 5 workers_are 1
    lighttpd_in_front "$(mount_port "$port")"
    get '/compute?n=5'
    [ "$CODE" -ge 500 ]
    wait_for 5 log_has 'its address is not among the allowed peers'
    # A worker that turned somebody away is as good as before.
    alive "$POOL"
    workers_are 1
}

@test "pool: --allowed-peers beats FCGI_WEB_SERVER_ADDRS, also on a passed TCP socket" {
    local port
    port=$(free_port)
    begin env FCGI_WEB_SERVER_ADDRS=127.0.0.2 "$PASS_SOCKETS" systemd "tcp:$port" -- \
        "$FIBCGI" --workers 1 --allowed-peers 127.0.0.1
    POOL=$BEGUN
    wait_for 5 workers_are 1
    lighttpd_in_front "$(mount_port "$port")"
    get '/compute?n=5'
    is_code 200
    log_has 'serves compute on the socket it was given'
}

@test "pool: an IPv4 web server is known on an IPv6 socket, or the machine is said to have no IPv6" {
    local port
    port=$(free_port)
    begin "$FIBCGI" --listen "tcp:[::]:$port" --workers 1 --allowed-peers 127.0.0.1
    POOL=$BEGUN
    wait_for 5 up_or_gone 1
    if gone "$POOL"; then
        log_has "cannot listen on tcp:\[::\]:$port"
        return
    fi
    lighttpd_in_front "$(mount_port "$port")"
    get '/compute?n=5'
    is_code 200
}

@test "pool: it serves with standard input, output and error closed, and no socket takes their place" {
    local fd
    begin bash -c 'exec "$@" <&- >&- 2>&-' bash "$FIBCGI" --listen "unix:$SOCKET" --admin-listen "unix:$ADMIN" --workers 1
    POOL=$BEGUN
    wait_for 5 pool_is_up
    lighttpd_in_front "$(mount /)"
    get '/compute?n=5'
    is_code 200
    get /nothing
    is_code 404
    for fd in 0 1 2; do [ "$(readlink "/proc/$POOL/fd/$fd")" = /dev/null ]; done
}

# --- Choosing

@test "--mode cgi answers from the environment alone, and FIBCGI_MODE does the same" {
    run --separate-stderr env -i REQUEST_METHOD=GET PATH_INFO=/compute QUERY_STRING=n=20 "$FIBCGI" --mode cgi </dev/null
    [ "$status" -eq 0 ]
    [[ $output == *'"result":6765'* ]]
    run --separate-stderr env -i FIBCGI_MODE=cgi REQUEST_METHOD=GET PATH_INFO=/compute QUERY_STRING=n=20 "$FIBCGI" </dev/null
    [ "$status" -eq 0 ]
    [[ $output == *'"result":6765'* ]]
}

@test "--mode spawned on systemd's socket is one process, where auto would be a pool" {
    begin "$PASS_SOCKETS" systemd "unix:$SOCKET" -- "$FIBCGI" --mode spawned
    wait_for 5 is_listening "$SOCKET"
    lighttpd_in_front "$(mount /)"
    get '/compute?n=5'
    is_code 200
    [ "$(ps -o args= -p "$BEGUN")" = 'fibcgi: spawned' ]
    [ -z "$(pgrep -P "$BEGUN")" ]
}

@test "a listening fd 0 makes a spawned process even where GATEWAY_INTERFACE is set" {
    begin env GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET "$PASS_SOCKETS" fd0 "unix:$SOCKET" -- "$FIBCGI" --max-n 9
    wait_for 5 is_listening "$SOCKET"
    lighttpd_in_front "$(mount /)"
    get '/compute?n=9'
    is_code 200
    get '/compute?n=10'
    is_code 400
}

@test "--mode pool or spawned without a socket is refused with what to do about it" {
    local mode
    for mode in pool spawned; do
        run --separate-stderr env -i "$FIBCGI" --mode "$mode" </dev/null
        [ "$status" -eq 100 ]
        [ -z "$output" ]
        [ "$(wc -l <<<"$stderr")" -eq 1 ]
        [[ $stderr == *'no socket to serve'*'--listen'* ]]
    done
}

@test "started with neither, it says what it is and how to run it, and exits with 100" {
    local input
    for input in /dev/null closed; do
        if [ "$input" = closed ]; then
            run --separate-stderr env -i "$FIBCGI" <&-
        else
            run --separate-stderr env -i "$FIBCGI" <"$input"
        fi
        [ "$status" -eq 100 ]
        [ -z "$output" ]
        [[ $stderr == *'serves an application to a web server'* ]]
        [[ $stderr == *'--listen unix:/'* ]]
        [[ $stderr == *bin-path* ]]
        [[ $stderr == *cgi-bin* ]]
        [[ $stderr == *--help* ]]
    done
}

@test "--help and --version go to standard output, with status 0" {
    run --separate-stderr "$FIBCGI" --help
    [ "$status" -eq 0 ]
    [ -z "$stderr" ]
    [[ $output == *--listen*FIBCGI_LISTEN*--admin-listen*--workers*FIBCGI_WORKERS* ]]
    run --separate-stderr "$FIBCGI" -h
    [ "$status" -eq 0 ]
    run --separate-stderr "$FIBCGI" --version
    [ "$status" -eq 0 ]
    [[ $output =~ ^fibcgi\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "pool: a TCP socket of its own drains under a load that does not stop, and what it took is answered" {
    local port load
    port=$(free_port)
    "$FIBCGI" --listen "tcp:127.0.0.1:$port" --workers 1 --drain-timeout 10s 2>"$BATS_TEST_TMPDIR/log" 3>&- &
    POOL=$!
    wait_for 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
    # Eight clients that connect anew for each request, until they are refused.
    "$REPO/tests/fixtures/fastcgi-load.py" "$port" 8 >"$BATS_TEST_TMPDIR/load" 3>&- &
    load=$!
    wait_for 5 test -s "$BATS_TEST_TMPDIR/load"
    kill -TERM "$POOL"
    wait "$POOL"
    wait "$load"
    cat "$BATS_TEST_TMPDIR/load"
    [ "$(tail -n 1 "$BATS_TEST_TMPDIR/load" | cut -d' ' -f2-)" = 'answered, 0 cut off' ]
}

@test "an address that is given twice is refused, also by -t" {
    local options
    for options in '--listen unix:/tmp/x,unix:/tmp/x' '--listen unix:/tmp/x --admin-listen unix:/tmp/x'; do
        # shellcheck disable=SC2086
        run "$FIBCGI" -t $options
        [ "$status" -eq 100 ]
        [[ $output == *'"unix:/tmp/x" is given twice'* ]]
    done
}

@test "--admin-listen alone says what is missing" {
    run "$FIBCGI" --admin-listen "unix:$BATS_TEST_TMPDIR/admin.sock" </dev/null
    [ "$status" -eq 100 ]
    [[ $output == *'give --listen'* ]]
}
