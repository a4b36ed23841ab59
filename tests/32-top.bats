#!/usr/bin/env bats
# How pools are, asked by fibcgi status, with exit codes for scripts, and shown by fibcgi top in a real terminal (tmux).

bats_require_minimum_version 1.5.0
load helpers/common

setup() {
    DIR=$BATS_TEST_TMPDIR
    LOG=$DIR/pool.log
    STARTED=()
}

teardown() {
    local pid
    tmux_here kill-server 2>/dev/null || true
    stop_all
    for pid in "${STARTED[@]}"; do
        if alive "$pid"; then
            kill -KILL "$pid"
            wait "$pid" 2>/dev/null || true
        fi
    done
}

# says STATUS ARGUMENT…: fibcgi status leaves with that.
says() {
    local wanted=$1
    shift
    run --separate-stderr timeout 20 "$FIBCGI" status "$@" </dev/null
    [ "$status" -eq "$wanted" ] || { echo "status $status, not $wanted: $output $stderr" >&2; return 1; }
}

# other_pool OPTION…: a second pool, on $DIR/other and $DIR/other-admin.
other_pool() {
    begin "$FIBCGI" --listen "unix:$DIR/other" --admin-listen "unix:$DIR/other-admin" --workers 1 "$@"
    wait_for 5 timeout 5 "$FIBCGI" --probe /readyz --admin-listen "unix:$DIR/other-admin"
}

# --- fibcgi status

@test "status: a pool that serves leaves 0, and its first line says how it is" {
    start_pool --workers 2
    says 0 "unix:$ADMIN"
    [[ ${lines[0]} == "unix:$ADMIN: serving "*', 2 of 2 workers up, '* ]]
    FIBCGI_ADMIN_LISTEN=unix:$ADMIN says 0
    says 0 --admin-listen "unix:$ADMIN"
    [[ ${lines[0]} == "unix:$ADMIN: serving "* ]]
}

@test "status --json has what /status?json has, a line for each pool" {
    start_pool --workers 2
    other_pool
    says 0 --json "unix:$ADMIN" "unix:$DIR/other-admin"
    [ "$(jq -r '.state + " " + (.workers_up | tostring)' <<<"$output" | tr '\n' ' ')" = 'serving 2 serving 1 ' ]
    [ "${#lines[@]}" -eq 2 ]
    diff <(admin '/status?json' | jq -S 'keys') <(head -n 1 <<<"$output" | jq -S 'keys')
}

@test "status asks over HTTP and TCP as well" {
    local port http
    port=$(free_port)
    http=$(free_port)
    SOCKET=$DIR/fib.sock
    begin "$FIBCGI" --listen "unix:$SOCKET" --admin-listen "tcp:127.0.0.1:$port" --admin-http "tcp:127.0.0.1:$http" --workers 1
    wait_for 5 says 0 "tcp:127.0.0.1:$port"
    says 0 "http://127.0.0.1:$http"
    says 0 "http://127.0.0.1:$http/"
    says 0 --json "http://127.0.0.1:$http"
    jq -e '.state == "serving"' <<<"$output"
}

@test "status: a pool that drains leaves 1" {
    FIBCGI=$APPLICATION start_pool --workers 1
    start_lighttpd
    request_in_background '/sleep?ms=8000'
    wait_for 5 in_flight 1
    kill -TERM "$POOL"
    wait_for 5 says 1 "unix:$ADMIN"
    [[ ${lines[0]} == *': draining '* ]]
}

@test "status: a pool that is saturated leaves 1" {
    start_stack --workers 1
    begin h2load --h1 -c 200 -D 20 "$URL/compute?n=30"
    wait_for 15 says 1 "unix:$ADMIN"
    [[ ${lines[0]} == *': saturated '* ]]
}

@test "status: a pool without a worker leaves 2" {
    begin "$APPLICATION" --listen "unix:$DIR/fib.sock" --admin-listen "unix:$DIR/admin.sock" --workers 1
    wait_for 5 says 0 "unix:$DIR/admin.sock"
    # One dies young again and again, so that there is none between two.
    begin kill_workers "$BEGUN"
    wait_for 20 says 2 "unix:$DIR/admin.sock"
    [[ ${lines[0]} == *' 0 of 1 workers up'* ]]
}
kill_workers() {
    while :; do
        worker_pids "$1" | xargs -r kill -KILL 2>/dev/null
        sleep 0.01
    done
}

@test "status: who does not answer leaves 2 within --read-timeout, and the worst of several counts" {
    start_pool --workers 1
    says 2 "unix:$DIR/nobody"
    [ "$output" = "unix:$DIR/nobody: no answer: No such file or directory" ]
    says 2 --json "unix:$ADMIN" "unix:$DIR/nobody"
    [ "$(jq -r .state <<<"$output" | tr '\n' ' ')" = 'serving no-answer ' ]
    kill -STOP "$(pgrep -P "$POOL" -f 'fibcgi: admin')"
    says 2 --read-timeout 300ms "unix:$ADMIN"
    [[ $output == *': no answer: '* ]]
    kill -CONT "$(pgrep -P "$POOL" -f 'fibcgi: admin')"
    # What answers is no pool.
    says 2 "unix:$SOCKET"
}

@test "status and top refuse what is no address, and more than they take" {
    says 100 nowhere
    [[ $stderr == *'"nowhere" is no pool'* ]]
    says 100 unix:relative
    # shellcheck disable=SC2046
    says 100 $(seq -f 'unix:/%g' 17)
    [[ $stderr == *'17 addresses'* ]]
    run --separate-stderr timeout 5 "$FIBCGI" top nowhere
    [ "$status" -eq 100 ]
}

@test "a query string is no command: CGI takes no arguments" {
    run --separate-stderr env -i GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET PATH_INFO=/compute QUERY_STRING=status "$FIBCGI" status </dev/null
    [ "$status" -eq 0 ]
    [[ $output == 'Status: 200 OK'* ]]
}

# --- fibcgi top

tmux_here() { tmux -f /dev/null -S "$DIR/tmux" "$@"; }
# start_top COLUMNS ROWS ARGUMENT…: in a shell in a terminal of that size; the shell says what it left with.
start_top() {
    local columns=$1 rows=$2
    shift 2
    tmux_here new-session -d -x "$columns" -y "$rows" "env -u LC_ALL LANG=C.UTF-8 PS1='$ ' bash --noprofile --norc" 3>&-
    wait_for 5 screen_has '^\$'
    type_line "$(printf '%q ' "$FIBCGI" top "$@"); echo left with \$?"
    wait_for 5 screen_has '^fibcgi top '
}
type_line() {
    tmux_here send-keys -l "$1"
    tmux_here send-keys Enter
}
screen() { tmux_here capture-pane -p; }
screen_has() { screen | grep -qE -- "$1"; }
screen_has_not() { ! screen_has "$1"; }
top_pid() { pgrep -P "$(tmux_here display-message -p '#{pane_pid}')"; }
settings() { stty -a -F "$(tmux_here display-message -p '#{pane_tty}')" | sed 's/rows.*columns [0-9]*;//'; }
is_as_before() { [ "$(settings)" = "$1" ]; }

@test "top: shows the pool and its workers in 80 columns and 24 rows, and follows what happens" {
    local victim
    start_pool --workers 2
    start_top 80 24 "unix:$ADMIN"
    screen_has "serving +2/2 "
    victim=$(admin '/status?json' | jq '.workers[0].pid')
    screen_has "^ +1 +$victim "
    [ "$(screen | awk '{ print length }' | sort -n | tail -1)" -le 80 ]
    kill -KILL "$victim"
    wait_for 5 screen_has_not "^ +1 +$victim "
    wait_for 5 screen_has "^ +1 +$(admin '/status?json' | jq '.workers[0].pid') "
    stop "$POOL" QUIT
    wait_for 5 screen_has 'no answer: '
    POOL=
    start_pool --workers 3
    wait_for 5 screen_has 'serving +3/3 '
}

@test "top: under load its figures are there, all of them in 80 columns, and a death is among the events" {
    start_stack --workers 1
    begin h2load --h1 -c 50 -D 20 "$URL/compute?n=24"
    start_top 80 24 "unix:$ADMIN"
    wait_for 10 screen_has '(serving|saturated) +1/1 +[1-9][0-9]* +0\.0 +[0-9.]+m?s +[0-9.]+m?s +[0-9]+$'
    wait_for 10 screen_has '^req/s .*█'
    screen_has '^(serving|saturated) for .* requests, 0 restarts \| latency p95 [0-9.]+m?s$'
    screen_has '^queue [0-9]+ of [0-9]+, wait p95 .* \| CPU [0-9.]+ of .* cores, throttled [0-9%-]+$'
    kill -KILL "$(worker_pids)"
    wait_for 10 screen_has '^[0-9:]{8} worker 1 \(pid [0-9]+\) was killed by signal 9'
    wait_for 10 screen_has ' 1 +signal 9$'
}

@test "top: q leaves with 0, and the terminal is as it was" {
    local before
    start_pool --workers 1
    tmux_here new-session -d -x 80 -y 24 "PS1='$ ' bash --noprofile --norc" 3>&-
    wait_for 5 screen_has '^\$'
    before=$(settings)
    type_line "$FIBCGI top unix:$ADMIN; echo left with \$?"
    wait_for 5 screen_has '^fibcgi top '
    [ "$(settings)" != "$before" ]
    tmux_here send-keys q
    wait_for 5 screen_has '^left with 0'
    wait_for 5 is_as_before "$before"
    [ "$(tmux_here display-message -p '#{alternate_on} #{cursor_flag}')" = '0 1' ]
}

@test "top: a signal that ends it gives the terminal back, too" {
    local before number
    start_pool --workers 1
    tmux_here new-session -d -x 80 -y 24 "PS1='$ ' bash --noprofile --norc" 3>&-
    wait_for 5 screen_has '^\$'
    before=$(settings)
    for number in 1 2 3 10 15; do
        type_line "clear; $FIBCGI top unix:$ADMIN; echo left with \$?"
        wait_for 5 screen_has '^fibcgi top '
        kill -"$number" "$(top_pid)"
        wait_for 5 screen_has "^left with $((128 + number))"
        wait_for 5 is_as_before "$before"
        [ "$(tmux_here display-message -p '#{alternate_on} #{cursor_flag}')" = '0 1' ]
    done
}

@test "top: stopped and continued by the shell it gives the terminal back and takes it again" {
    local before
    start_pool --workers 1
    tmux_here new-session -d -x 80 -y 24 "PS1='$ ' bash --noprofile --norc" 3>&-
    wait_for 5 screen_has '^\$'
    before=$(settings)
    type_line "$FIBCGI top unix:$ADMIN"
    wait_for 5 screen_has '^fibcgi top '
    tmux_here send-keys C-z
    wait_for 5 screen_has 'Stopped'
    wait_for 5 is_as_before "$before"
    [ "$(tmux_here display-message -p '#{alternate_on} #{cursor_flag}')" = '0 1' ]
    type_line fg
    wait_for 5 screen_has '^fibcgi top '
    tmux_here send-keys q
    wait_for 5 is_as_before "$before"
}

@test "top: the window may become smaller and larger" {
    start_pool --workers 4
    start_top 80 24 "unix:$ADMIN"
    screen_has '^ +4 '
    tmux_here resize-window -x 40 -y 10
    wait_for 5 screen_has_not 'MEMORY'
    [ "$(screen | awk '{ print length }' | sort -n | tail -1)" -le 40 ]
    screen_has '^fibcgi top'
    tmux_here resize-window -x 120 -y 40
    wait_for 5 screen_has 'MEMORY'
    wait_for 5 screen_has '^ +4 '
    tmux_here resize-window -x 20 -y 2
    wait_for 5 screen_has_not 'POOL +STATE'
    alive "$(top_pid)"
}

@test "top: the keys go through more workers than fit" {
    start_pool --workers 40
    wait_for 10 workers_are 40
    start_top 80 24 "unix:$ADMIN"
    wait_for 5 screen_has '^ +1 +[0-9]+ '
    screen_has_not '^ +40 +[0-9]+ '
    tmux_here send-keys Down
    wait_for 5 screen_has_not '^ +1 +[0-9]+ '
    tmux_here send-keys Up
    wait_for 5 screen_has '^ +1 +[0-9]+ '
    tmux_here send-keys NPage NPage NPage NPage NPage NPage
    wait_for 5 screen_has '^ +40 +[0-9]+ '
    screen_has_not '^ +1 +[0-9]+ '
    tmux_here send-keys PPage PPage PPage PPage PPage PPage
    wait_for 5 screen_has '^ +1 +[0-9]+ '
}

@test "top: several pools have a line each, and Tab goes from one to the next" {
    local first other
    start_pool --workers 1
    other_pool
    first=$(worker_pids)
    other=$(worker_pids "$BEGUN")
    start_top 100 30 "unix:$ADMIN" "unix:$DIR/other-admin" "unix:$DIR/nobody"
    screen_has '^>.*admin.sock +serving +1/1 '
    screen_has ' .*other-admin +serving +1/1 '
    screen_has ' .*nobody +no answer: No such file'
    screen_has "^ +1 +$first "
    tmux_here send-keys Tab
    wait_for 5 screen_has "^ +1 +$other "
    screen_has '^>.*other-admin'
    tmux_here send-keys Tab
    wait_for 5 screen_has '^>.*nobody'
    tmux_here send-keys Tab
    wait_for 5 screen_has "^ +1 +$first "
}

@test "top: a pool that hangs keeps nobody from leaving" {
    start_pool --workers 1
    start_top 80 24 "unix:$ADMIN"
    kill -STOP "$(pgrep -P "$POOL" -f 'fibcgi: admin')"
    wait_for 5 screen_has 'no answer: '
    tmux_here send-keys q
    wait_for 5 screen_has '^left with 0'
    kill -CONT "$(pgrep -P "$POOL" -f 'fibcgi: admin')"
}

# A server that answers with what a pool never would; on the port $1.
write_liar() {
    cat >"$DIR/liar" <<'PYTHON'
import http.server, sys

class Liar(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = (rb'{"state":"serving\u001b[41m","workers_up":1,"workers_wanted":1,"workers":[{"worker":1,"pid":2,"state":"\n\n",'
                b'"last_restart":"\x1b]0;title\x07\xc2\x9bx"}]}')
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Liar).serve_forever()
PYTHON
}

@test "top: what a pool says cannot reach the terminal but as text" {
    local port
    port=$(free_port)
    write_liar
    begin /usr/bin/python3 "$DIR/liar" "$port"
    wait_for 5 curl -sS --max-time 2 "http://127.0.0.1:$port/"
    start_top 100 24 "http://127.0.0.1:$port"
    wait_for 5 screen_has 'serving\?\[41m'
    screen_has '\?]0;title\?'
    [ "$(tmux_here display-message -p '#{pane_title}')" != title ]
    [ "$(tmux_here capture-pane -p -e | grep -c "$(printf '\033')\[41m" || true)" -eq 0 ]
}

@test "top: without a terminal it says what to take instead" {
    start_pool --workers 1
    run --separate-stderr timeout 5 "$FIBCGI" top "unix:$ADMIN" </dev/null
    [ "$status" -eq 100 ]
    [[ $stderr == *'fibcgi top needs a terminal'*'fibcgi status'* ]]
}
