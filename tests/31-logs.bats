#!/usr/bin/env bats
# What the pool says of itself and of requests: where it goes, in which form, and how much of it.

bats_require_minimum_version 1.5.0
load helpers/common
load helpers/systemd

ASK=$REPO/tests/fixtures/ask.py
OPERATIONS=$REPO/docs/operations.md
TRACE=4bf92f3577b34da6a3ce929d0e0e4736
PARENT=00f067aa0ba902b7

setup() {
    DIR=$BATS_TEST_TMPDIR
    LOG=$DIR/pool.log
    ACCESS=$DIR/access.log
    STARTED=()
}

teardown() {
    local pid
    stop_all
    if [ -n "${BOX:-}" ]; then stop_systemd; fi
    for pid in "${STARTED[@]}"; do
        if alive "$pid"; then
            kill -KILL "$pid"
            wait "$pid" 2>/dev/null || true
        fi
    done
}

lines() { wc -l <"$1"; }
has_lines() { [ "$(lines "$1")" -eq "$2" ]; }
requests() { h2load --h1 -n "$1" -c "${2:-20}" "$URL/compute?n=1" >"$DIR/h2load" 3>&-; grep -q " $1 2xx" "$DIR/h2load"; }
is_sanitized() { nm "$FIBCGI" | grep -q __asan_init; }
# Each line is a JSON object by itself.
is_json() {
    [ -s "$1" ]
    [ "$(jq -c 'select(type == "object")' "$1" | wc -l)" -eq "$(lines "$1")" ] || { cat "$1" >&2; return 1; }
}
# The first column of the table below a heading line in docs/operations.md, a name a line.
documented() {
    awk -v heading="| $1 |" 'index($0, heading) == 1 { inside = 1; next } inside && !/^\|/ { exit } inside' "$OPERATIONS" |
        cut -d '|' -f 2 | grep -oE '`[a-z_]+`' | tr -d '`' | sort
}

# Garbage from 50 connections, from each of which nothing but a line for the log comes.
send_garbage() {
    /usr/bin/python3 - "$SOCKET" 50 <<'PYTHON'
import socket, sys
for _ in range(int(sys.argv[2])):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(sys.argv[1])
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        peer.recv(1)
PYTHON
}

# --- Form

@test "the fields and events in a log are those of docs/operations.md, each of them" {
    FIBCGI=$APPLICATION LOG=$LOG start_pool --workers 2 --log-format json --access-log "$ACCESS" --access-log-sample 2 --slow-time 200ms
    start_lighttpd
    get /echo && is_code 200
    get '/sleep?ms=300' -H "traceparent: 00-$TRACE-$PARENT-01" && is_code 200
    get '/crash?signal=9' -H "traceparent: 00-$TRACE-$PARENT-01" && is_code 500
    get /echo && is_code 200
    send_garbage
    wait_for 5 log_has '"left_out":'
    limit_processes_and_kill_a_worker
    stop "$POOL" TERM
    is_json "$LOG"
    is_json "$ACCESS"
    diff <(jq -r 'keys[]' "$LOG" "$ACCESS" | sort -u) <(documented field)
    # Those that need a machine without descriptors are in no test of this kind.
    diff <(jq -r .event "$LOG" "$ACCESS" | sort -u) <(documented event | grep -vE '^(accept|start)$')
}
limit_processes_and_kill_a_worker() { kill -KILL "$(worker_pids | head -1)" && wait_for 5 log_has 'was killed by signal 9'; }

@test "a field is where docs/operations.md says it is" {
    local worker
    FIBCGI=$APPLICATION start_pool --workers 1 --log-format json --access-log "$ACCESS" --slow-time 200ms
    start_lighttpd
    worker=$(worker_pids)
    get /echo -H "traceparent: 00-$TRACE-$PARENT-01"
    get '/sleep?ms=300' -H "traceparent: 00-$TRACE-$PARENT-01"
    get '/crash?signal=9' -H "traceparent: 00-$TRACE-$PARENT-01"
    wait_for 5 has_lines "$ACCESS" 3
    [ "$(head -n 1 "$ACCESS" | jq .pid)" -eq "$worker" ]
    [ "$(head -n 1 "$LOG" | jq .pid)" -eq "$POOL" ]
    [ "$(jq -r 'select(.event == "access") | keys[]' "$ACCESS" | sort -u | tr '\n' ' ')" = \
        'app_us bytes client duration_us event level method parent_id path pid query status time trace_id worker ' ]
    [ "$(jq -r 'select(.event == "slow") | keys[]' "$ACCESS" | sort -u)" = "$(jq -r 'select(.event == "access") | keys[]' "$ACCESS" | sort -u)" ]
    [ "$(jq -r 'select(.event == "request") | keys[]' "$LOG" | sort -u | tr '\n' ' ')" = \
        'event level message parent_id pid time trace_id ' ]
    [ "$(jq -r 'select(.event == "pool" or .event == "worker" or .event == "death") | keys[]' "$LOG" | sort -u | tr '\n' ' ')" = \
        'event level message pid time ' ]
}

@test "by itself the log is JSON in a pipe, and text in a file and at a terminal" {
    start_pool
    log_has '^[0-9T:.-]+Z info fibcgi .* serves compute'
    stop "$POOL" QUIT
    "$FIBCGI" --listen "unix:$SOCKET" 2> >(cat >"$DIR/piped") 3>&- &
    POOL=$!
    wait_for 5 grep -q started "$DIR/piped"
    stop "$POOL" TERM
    is_json "$DIR/piped"
    script -qfec "'$FIBCGI' --listen 'unix:$SOCKET'" /dev/null >"$DIR/terminal" 2>&1 </dev/null 3>&- &
    STARTED+=("$!")
    wait_for 5 grep -qE '^[0-9T:.-]+Z info worker 1 started' "$DIR/terminal"
    kill -QUIT "$(pgrep -P "${STARTED[0]}" | head -1)"
}

@test "--log-format says otherwise, in a pipe and in a file" {
    SOCKET=$DIR/fib.sock
    "$FIBCGI" --listen "unix:$SOCKET" --log-format text 2> >(cat >"$DIR/piped") 3>&- &
    POOL=$!
    wait_for 5 grep -qE '^[0-9T:.-]+Z info worker 1 started' "$DIR/piped"
    stop "$POOL" QUIT
    start_pool --log-format json
    is_json "$LOG"
}

@test "what a CGI program says is text, also in the pipe to its web server" {
    env -i GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET PATH_INFO=/compute FIBCGI_SANDBOX=on \
        "$FIXTURES/without" seccomp -- "$FIBCGI" </dev/null 2> >(cat >"$DIR/said") >"$DIR/answer" || true
    wait_for 5 grep -qE '^[0-9T:.-]+Z error --sandbox=on: ' "$DIR/said"
}

@test "a request cannot forge a line or a field, in text or JSON" {
    local format path=$'/x\n2026-01-01T00:00:00.000Z error forged\r\033[2J" status=999 \302\233\342\200\256\377'
    for format in text json; do
        rm -f "$ACCESS"
        FIBCGI=$APPLICATION start_pool --workers 1 --log-format "$format" --access-log "$ACCESS"
        "$ASK" "$SOCKET" GET "$path" $'a="b\\' </dev/null
        "$ASK" "$SOCKET" $'GE\nT' /echo </dev/null
        wait_for 5 has_lines "$ACCESS" 2
        # Nothing but printable ASCII and line ends is left of it.
        [ "$(LC_ALL=C tr -d '\n -~' <"$ACCESS" | wc -c)" -eq 0 ]
        [ "$(grep -c forged "$ACCESS")" -eq 1 ]
        stop "$POOL" TERM
    done
    is_json "$ACCESS"
    [ "$(jq -r 'select(.path != "/echo") | .status' "$ACCESS")" = 404 ]
    [ "$(jq -r 'select(.path != "/echo") | .query' "$ACCESS")" = 'a="b'\\ ]
}

@test "a request that kills its workers cannot forge the line about it" {
    FIBCGI=$APPLICATION start_pool --workers 1
    "$ASK" "$SOCKET" GET /crash $'signal=9&x= y"\ntrace_id=0' </dev/null | grep -q '^Status: 500'
    log_has 'error GET /crash\?signal=9&x=%20y%22%0atrace_id=0 was in hand when 2 workers died; it is answered with 500$'
}

# --- Requests

@test "without --access-log and --slow-time requests have no line" {
    start_stack
    requests 100
    [ "$(grep -cE 'compute\?|status=' "$LOG")" -eq 0 ]
}

@test "each request has one line in the access log, refused ones too, and the admin pages none" {
    start_stack --workers 2 --access-log "$ACCESS" --max-params-size 4K
    requests 500
    get /nowhere && is_code 404
    get /compute -H "X-Long: $(printf 'x%.0s' {1..5000})" && is_code 431
    get /metrics && is_code 200
    get /compute -X DELETE && is_code 405
    wait_for 5 has_lines "$ACCESS" 503
    [ "$(grep -cE '^[0-9T:.-]+Z info access worker=[12] client=127.0.0.1 method=GET path=/compute query="n=1" status=200 bytes=[0-9]+ duration_us=[0-9]+ app_us=[0-9]+$' "$ACCESS")" -eq 500 ]
    grep -qE ' path=/nowhere query="" status=404 ' "$ACCESS"
    grep -qE ' info access worker=[12] status=431 bytes=0 duration_us=[0-9]+ app_us=0$' "$ACCESS"
    grep -qE ' method=DELETE path=/compute query="" status=405 ' "$ACCESS"
}

@test "large answers and kept connections have their lines, too" {
    FIBCGI=$APPLICATION start_pool --workers 2 --access-log "$ACCESS" --log-format json
    start_lighttpd
    get '/big?bytes=1000000' && is_code 200
    timeout 20 "$REPO/tests/fixtures/kept-talk.py" "$SOCKET" >/dev/null 2>&1 || true
    wait_for 5 eval '[ -s "$ACCESS" ]'
    is_json "$ACCESS"
    [ "$(jq -r 'select(.path == "/big") | .bytes' "$ACCESS")" = 1000000 ]
}

@test "the sample has one of so many, and says so" {
    start_stack --workers 1 --access-log "$ACCESS" --access-log-sample 10
    requests 200
    wait_for 5 has_lines "$ACCESS" 20
    [ "$(grep -c ' sample=10$' "$ACCESS")" -eq 20 ]
}

@test "a slow request has a warning in the log where there is no access log, and a fast one nothing" {
    FIBCGI=$APPLICATION start_pool --workers 1 --slow-time 200ms
    start_lighttpd
    get '/sleep?ms=250' && is_code 200
    get '/sleep?ms=1' && is_code 200
    wait_for 5 log_has 'Z warning slow worker=1 client=127.0.0.1 method=GET path=/sleep query="ms=250" status=200 '
    [ "$(log_count ' slow ')" -eq 1 ]
}

@test "lines of many workers do not mix, in a file or a pipe" {
    mkfifo "$DIR/fifo"
    cat "$DIR/fifo" >"$DIR/piped" 3>&- &
    STARTED+=("$!")
    start_pool --workers 8 --access-log "$DIR/fifo" --log-format json
    start_lighttpd
    requests 5000 100
    wait_for 10 has_lines "$DIR/piped" 5000
    is_json "$DIR/piped"
    [ "$(jq .worker "$DIR/piped" | sort -u | wc -l)" -gt 1 ]
    stop "$LIGHTTPD"
    stop "$POOL"
    start_stack --workers 8 --access-log "$ACCESS" --log-format json
    requests 5000 100
    wait_for 10 has_lines "$ACCESS" 5000
    is_json "$ACCESS"
}

@test "with all of it on a request costs one more system call, and the others stay as many" {
    if is_sanitized; then echo 'the sanitizers make calls of their own: mmap is not counted' >&2; fi
    start_stack --workers 1 --access-log "$ACCESS" --slow-time 1ms --server-timing on --log-format json
    requests 100
    strace -f -c -o "$DIR/calls" -p "$(worker_pids)" 2>"$DIR/attached" 3>&- &
    local tracer=$! calls
    wait_for 5 grep -q attached "$DIR/attached"
    h2load --h1 -n 2000 -c 20 -H "traceparent: 00-$TRACE-$PARENT-01" "$URL/compute?n=1" >"$DIR/h2load" 3>&-
    kill -INT "$tracer"
    wait "$tracer" || true
    cat "$DIR/calls"
    [ "$(grep -c "$TRACE" "$ACCESS")" -ge 2000 ]
    calls=$(awk '$NF != "total" && $NF != "mmap" && $4 ~ /^[0-9]+$/ { sum += $4 } END { print sum }' "$DIR/calls")
    [ "$calls" -le $((2000 * 8 + 2 * 2000 / 16 + 20)) ]
}

@test "a traceparent is in the line where it is valid, and else there is none" {
    start_stack --workers 1 --access-log "$ACCESS" --log-format json
    get /compute?n=1 -H "traceparent: 00-$TRACE-$PARENT-01"
    get /compute?n=2 -H "traceparent: 00-$TRACE-$PARENT"
    get /compute?n=3 -H "traceparent: 00-00000000000000000000000000000000-$PARENT-01"
    get /compute?n=4
    wait_for 5 has_lines "$ACCESS" 4
    [ "$(jq -r 'select(.query == "n=1") | .trace_id + " " + .parent_id' "$ACCESS")" = "$TRACE $PARENT" ]
    [ "$(jq -r 'select(.query != "n=1") | has("trace_id") or has("parent_id")' "$ACCESS" | sort -u)" = false ]
}

@test "Server-Timing is in answers where --server-timing is on, with the application's time" {
    FIBCGI=$APPLICATION start_pool --workers 1 --server-timing on
    start_lighttpd
    get '/sleep?ms=100' && is_code 200
    [[ $(header Server-Timing) =~ ^app\;dur=([0-9]+)\.[0-9]{3},\ total\;dur=([0-9]+)\.[0-9]{3}$ ]]
    [ "${BASH_REMATCH[1]}" -ge 100 ]
    [ "${BASH_REMATCH[2]}" -ge "${BASH_REMATCH[1]}" ]
    get /healthz && is_code 200
    [ -z "$(header Server-Timing)" ]
    stop "$LIGHTTPD"
    stop "$POOL"
    start_stack --workers 1
    get /compute && is_code 200
    [ -z "$(header Server-Timing)" ]
}

# --- How much

@test "a flood of broken peers is cut, and all that was left out is told" {
    local broken written left_out
    start_pool --workers 2 --log-format json
    for _ in 1 2 3 4; do send_garbage; done
    stop "$POOL" TERM
    written=$(jq -r 'select(.event == "peer") | .message' "$LOG" | wc -l)
    left_out=$(jq -s 'map(select(.event == "flood") | .left_out) | add' "$LOG")
    echo "$written written, $left_out left out"
    [ $((written + left_out)) -eq 200 ]
    [ "$written" -le 50 ]
}

@test "what a spawned process leaves out is told, too" {
    SOCKET=$DIR/fib.sock
    begin spawn-fcgi -n -s "$SOCKET" -- "$FIBCGI" --log "$LOG" --log-format json
    wait_for 5 is_listening "$SOCKET"
    send_garbage
    wait_for 5 log_has '"event":"flood"'
    [ "$(jq -s 'map(select(.event == "peer")) | length' "$LOG")" -lt 50 ]
}

# --- Where to

@test "USR1 opens the access log and the log anew" {
    start_pool --workers 1 --log "$LOG" --access-log "$ACCESS"
    "$ASK" "$SOCKET" GET /compute n=1 </dev/null >/dev/null
    wait_for 5 has_lines "$ACCESS" 1
    mv "$LOG" "$LOG.1"
    mv "$ACCESS" "$ACCESS.1"
    kill -USR1 "$POOL"
    wait_for 5 log_has 'log reopened'
    "$ASK" "$SOCKET" GET /compute n=2 </dev/null >/dev/null
    wait_for 5 has_lines "$ACCESS" 1
    grep -q 'query="n=2"' "$ACCESS"
    has_lines "$ACCESS.1" 1
    [ "$(stat -c %a "$ACCESS")" = 640 ]
}

@test "when who reads the log goes away, the pool goes on" {
    SOCKET=$DIR/fib.sock
    ADMIN=$DIR/admin.sock
    mkfifo "$DIR/pipe"
    cat "$DIR/pipe" >"$DIR/read" 3>&- &
    STARTED+=("$!")
    "$FIBCGI" --listen "unix:$SOCKET" --admin-listen "unix:$ADMIN" --workers 1 --access-log stderr 2>"$DIR/pipe" 3>&- &
    POOL=$!
    wait_for 5 admin /readyz
    kill -KILL "${STARTED[0]}"
    wait "${STARTED[0]}" || true
    "$ASK" "$SOCKET" GET /compute n=1 </dev/null | grep -q '^Status: 200'
    kill -HUP "$POOL"
    wait_for 5 pool_metric_is 'fibcgi_worker_restarts_total{cause="roll"}' 2 || pool_metric_is 'fibcgi_worker_restarts_total{cause="roll"}' 1
    "$ASK" "$SOCKET" GET /compute n=1 </dev/null | grep -q '^Status: 200'
    alive "$POOL"
}

@test "a log that cannot be opened is told, and what to do" {
    run --separate-stderr timeout 5 "$FIBCGI" --listen "unix:$DIR/s" --access-log "$DIR/none/access.log"
    [ "$status" -eq 100 ]
    [[ $stderr == *"cannot open the log $DIR/none/access.log: No such file or directory; create its folder"* ]]
    [ "$(wc -l <<<"$stderr")" -eq 1 ]
}

# In a mount namespace, so that nobody else's /dev/log is there or missing.
@test "without a syslog daemon --log syslog is refused" {
    if ! unshare --mount true; then skip 'needs root'; fi
    run --separate-stderr timeout 5 unshare --mount sh -c 'mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && exec "$@"' sh \
        "$FIBCGI" --listen "unix:$DIR/s" --log syslog
    [ "$status" -eq 100 ]
    [[ $stderr == *'cannot open the log syslog: No such file or directory; is a syslog daemon running'* ]]
}

journal_of_pool() { journal -u fibcgi.service -o json; }
# journal_gets CONDITION: soon.
journal_gets() { wait_for 10 journal_has "$1" || { journal -o short-precise >&2; return 1; }; }
journal_has() { [ -n "$(journal_of_pool | jq -r "select($1) | .MESSAGE")" ]; }

@test "in the journal lines have their priority and neither time nor level in the text" {
    prepare_systemd
    # Behind the one that makes it a file.
    printf '%s\n' '[Service]' StandardError=journal >"$BOX/units/fibcgi.service.d/zz.conf"
    boot_systemd
    systemctl start fibcgi.service
    journal_gets '.PRIORITY == "6" and (.MESSAGE | test("^worker 1 started"))'
    kill -KILL "$(worker_pids "$(main_pid)" | head -1)"
    journal_gets '.PRIORITY == "4" and (.MESSAGE | test("^worker 1 .* was killed by signal 9"))'
}

@test "in syslog lines have their priority, from workers as well, also after the daemon was started anew" {
    prepare_systemd
    adapt_unit fibcgi.service '[Service]' Environment=FIBCGI_LOG=syslog Environment=FIBCGI_POOL_ACCESS_LOG=syslog
    boot_systemd
    systemctl start fibcgi.service || { journal >&2; return 1; }
    journal_gets '.PRIORITY == "6" and ._TRANSPORT == "syslog" and .SYSLOG_FACILITY == "3" and .SYSLOG_IDENTIFIER == "fibcgi" and (.MESSAGE | test("^worker 1 started"))'
    wait_for 10 test -S "$SOCKET"
    "$ASK" "$SOCKET" GET /compute n=1 </dev/null >/dev/null
    journal_gets '.PRIORITY == "6" and .SYSLOG_PID != null and (.MESSAGE | test("^access worker=[0-9]+ .*query=\"n=1\""))'
    systemctl restart systemd-journald.service
    wait_for 10 eval '"$ASK" "$SOCKET" GET /compute n=2 </dev/null >/dev/null; journal_has ".MESSAGE | test(\"^access worker=[0-9]+ .*n=2\")"'
}
