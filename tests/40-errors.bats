#!/usr/bin/env bats
# Every mistake that a user can make is told in one line that says what failed, on what, why, and what to do; the exit
# status is 100 where the user can mend it and 111 where only the system can; nothing that serves already is disturbed.
# shellcheck disable=SC2030,SC2031

bats_require_minimum_version 1.5.0
load helpers/common

NOBODY=65534
AS_NOBODY=(setpriv --reuid "$NOBODY" --regid "$NOBODY" --clear-groups)

setup_file() {
    local folder=$BATS_FILE_TMPDIR
    # bats' folders are closed to others; the tests that run as nobody have to get to theirs.
    while [ "$folder" != / ] && [ "$folder" != /tmp ]; do
        chmod o+x "$folder"
        folder=$(dirname "$folder")
    done
    cp "$FIBCGI" "$BATS_FILE_TMPDIR/fibcgi"
    FOR_NOBODY=$BATS_FILE_TMPDIR/fibcgi
    export FOR_NOBODY
}

setup() {
    DIR=$BATS_TEST_TMPDIR
    SOCKET=$DIR/fib.sock
    ADMIN=$DIR/admin.sock
    LOG=$DIR/pool.log
    STARTED=()
    chmod o+x "$DIR" "$(dirname "$DIR")"
}

teardown() {
    local pid
    for pid in "${LIGHTTPD:-}" "${POOL:-}" "${STARTED[@]}"; do
        if alive "$pid"; then
            kill -KILL "$pid"
            wait "$pid" 2>/dev/null || true
        fi
    done
}

# fails STATUS COMMAND…: it must end by itself with that status and say one line, besides routine ones; that is $MESSAGE.
fails() {
    local wanted=$1 status=0
    shift
    timeout -k 1 6 "$@" </dev/null >"$DIR/stdout" 2>"$DIR/stderr" 3>&- || status=$?
    MESSAGE=$(grep -vE '^[^ ]+Z info ' "$DIR/stderr" || true)
    if [ "$status" -ne "$wanted" ] || [ -s "$DIR/stdout" ] || [ -z "$MESSAGE" ] || [ "$(wc -l <<<"$MESSAGE")" -ne 1 ]; then
        printf 'status %s, not %s, from: %s\nit says: %s\n' "$status" "$wanted" "$*" "$(cat "$DIR/stdout" "$DIR/stderr")" >&2
        return 1
    fi
}

# says TEXT…: $MESSAGE has each of them.
says() {
    local text
    for text in "$@"; do
        [[ $MESSAGE == *"$text"* ]] || { echo "not said: $text; but: $MESSAGE" >&2; return 1; }
    done
}
does_not_say() { if [[ $MESSAGE == *"$1"* ]]; then echo "it says: $MESSAGE" >&2; return 1; fi; }

# is_fine COMMAND…: -t finds nothing wrong.
is_fine() {
    "$@" -t >"$DIR/stdout" 2>"$DIR/stderr" || { echo "refused: $* $(cat "$DIR/stderr")" >&2; return 1; }
    [ ! -s "$DIR/stderr" ]
}

inode() { stat -c %i "$1"; }
make_stale() { "$PASS_SOCKETS" fd0 "unix:$1" -- true; }
all_pids() { echo "$1"; pgrep -P "$1" || true; }
all_gone() { local pid; for pid in "$@"; do gone "$pid" || return 1; done; }
queue_is_full() { ss -xlH src "$1" | awk '{ exit !($3 > $4) }'; }
is_stopped() { local pid; for pid in "$@"; do [ "$(ps -o stat= -p "$pid" | cut -c1)" = T ] || return 1; done; }

# The numeric options: bounds as a user writes them, and what is just outside.
bounds() {
    cat <<'END'
backlog 1 65535 0 65536 FIBCGI_BACKLOG
workers 1 512 0 513 FIBCGI_WORKERS
max-requests 0 2147483647 -1 2147483648 FIBCGI_MAX_REQUESTS
request-timeout 10ms 24h 9ms 86400001ms FIBCGI_REQUEST_TIMEOUT
read-timeout 10ms 24h 9ms 86400001ms FIBCGI_READ_TIMEOUT
write-timeout 10ms 24h 9ms 86400001ms FIBCGI_WRITE_TIMEOUT
drain-timeout 10ms 24h 9ms 86400001ms FIBCGI_DRAIN_TIMEOUT
drain-after 0 65535 -1 65536 FIBCGI_DRAIN_AFTER
max-n 0 93 -1 94 FIBCGI_MAX_N
max-params-size 1K 16M 1023 16777217 FIBCGI_MAX_PARAMS_SIZE
max-params-count 16 65535 15 65536 FIBCGI_MAX_PARAMS_COUNT
max-body-size 0 1G -1 1073741825 FIBCGI_MAX_BODY_SIZE
memory-limit 4M 64G 4194303 65537M FIBCGI_MEMORY_LIMIT
socket-mode 0 0777 -1 01000 FIBCGI_SOCKET_MODE
END
}

# --- Options

@test "each number is taken at both its bounds and refused just outside, naming the option, the value and the bounds" {
    local option low high below above variable value
    while read -r option low high below above variable; do
        is_fine "$FIBCGI" "--$option=$low"
        is_fine "$FIBCGI" "--$option" "$high"
        for value in "$below" "$above"; do
            fails 100 "$FIBCGI" -t "--$option=$value"
            says "fibcgi: --$option: \"$value\" is not " ' from ' ' to '
        done
    done < <(bounds)
}

@test "a variable has its flag's bounds, and the message names the variable" {
    local option low high below above variable value
    while read -r option low high below above variable; do
        is_fine env "$variable=$low" "$FIBCGI"
        is_fine env "$variable=$high" "$FIBCGI"
        for value in "$below" "$above" junk; do
            fails 100 env "$variable=$value" "$FIBCGI" -t
            says "fibcgi: $variable: \"$value\" is not " ' from ' ' to '
        done
    done < <(bounds)
    fails 100 env FIBCGI_MODE=fast "$FIBCGI" -t
    says 'FIBCGI_MODE: "fast" is not auto, cgi, spawned or pool'
    fails 100 env FIBCGI_LISTEN=fib.sock "$FIBCGI"
    says '"fib.sock"' unix: tcp:
    fails 100 env FCGI_WEB_SERVER_ADDRS=localhost "$FIBCGI" --listen "tcp:127.0.0.1:$(free_port)"
    says '"localhost"' FCGI_WEB_SERVER_ADDRS
}

@test "every option in --help can be set by its variable, and an empty variable is one that is not set" {
    local option low high below above variable
    while read -r option low high below above variable; do
        is_fine env "$variable=" "$FIBCGI"
        grep -A2 -F -- "--$option VALUE" <("$FIBCGI" --help) | grep -qF "variable $variable"
    done < <(bounds)
    for variable in MODE LISTEN ADMIN_LISTEN SOCKET_OWNER SOCKET_GROUP USER GROUP LOG SANDBOX; do
        is_fine env "FIBCGI_$variable=" "$FIBCGI"
    done
    is_fine env FCGI_WEB_SERVER_ADDRS= "$FIBCGI"
    # An empty address is none: there is nothing to serve.
    run env FIBCGI_LISTEN= FIBCGI_MODE= "$FIBCGI" </dev/null
    [ "$status" -eq 100 ]
    [[ $output == *'nothing to serve'* ]]
}

@test "a flag beats its variable" {
    run env -i FIBCGI_MAX_N=20 FIBCGI_MODE=pool PATH_INFO=/compute QUERY_STRING=n=26 "$FIBCGI" --mode cgi --max-n 25 </dev/null
    [ "$status" -eq 0 ]
    [[ $output == *'"maximum":25'* ]]
    run env -i FIBCGI_MAX_N=20 FIBCGI_MODE=cgi PATH_INFO=/compute QUERY_STRING=n=26 "$FIBCGI" </dev/null
    [[ $output == *'"maximum":20'* ]]
    run env -i FIBCGI_MAX_N= FIBCGI_MODE=cgi PATH_INFO=/compute QUERY_STRING=n=31 "$FIBCGI" </dev/null
    [[ $output == *'"maximum":30'* ]]
}

@test "a time is a whole number with ms, s, m, h or nothing for seconds; all else is refused" {
    local value
    for value in 10ms 1 1s 2m 24h 00030s; do is_fine "$FIBCGI" "--read-timeout=$value"; done
    for value in s ms 1.5s 1,5s '1 s' ' 1s' '1s ' -1s +1s 1S 1sec 1sm 1d 0x10 0 99999999999999999999s \
        9223372036854775807h 307445734561825861m; do
        fails 100 "$FIBCGI" -t "--read-timeout=$value"
        says "--read-timeout: \"$value\" is not a time from 10ms to 24h" 'such as'
    done
}

@test "a size is a whole number with K, M, G or nothing for bytes; all else is refused" {
    local value
    for value in 0 1 65536 64K 1M 1G; do is_fine "$FIBCGI" "--max-body-size=$value"; done
    for value in K 1k 1KB 1KiB '1 K' 1.5M -1 +1 0x10 1T 9223372036854775807G 8589934592G 99999999999999999999; do
        fails 100 "$FIBCGI" -t "--max-body-size=$value"
        says "--max-body-size: \"$value\" is not a size from 0 to 1024M" 'such as'
    done
}

@test "a count is digits only, a mode is octal, a way to run is one of four, the sandbox is one of three" {
    local value
    for value in ' 4' '4 ' 4.0 1e3 0x10 +4 four 99999999999999999999; do
        fails 100 "$FIBCGI" -t "--backlog=$value"
        says "--backlog: \"$value\" is not a whole number from 1 to 65535"
    done
    is_fine "$FIBCGI" --workers=auto
    for value in Auto 2.5 500m; do
        fails 100 "$FIBCGI" -t "--workers=$value"
        says "--workers: \"$value\" is not a whole number from 1 to 512, or auto"
    done
    for value in 8 0668 660x u=rw 0o660 7777; do
        fails 100 "$FIBCGI" -t "--socket-mode=$value"
        says "--socket-mode: \"$value\" is not an octal mode from 0 to 0777"
    done
    for value in auto off; do is_fine "$FIBCGI" "--sandbox=$value"; done
    for value in On yes 1; do
        fails 100 "$FIBCGI" -t "--sandbox=$value"
        says "--sandbox: \"$value\" is not auto, on or off"
    done
    for value in on off; do is_fine "$FIBCGI" "--watch-clients=$value"; done
    for value in On yes 1 auto; do
        fails 100 "$FIBCGI" -t "--watch-clients=$value"
        says "--watch-clients: \"$value\" is not on or off"
    done
    for value in auto cgi spawned pool; do is_fine "$FIBCGI" "--mode=$value"; done
    for value in POOL fastcgi 'pool ' 3; do
        fails 100 "$FIBCGI" -t "--mode=$value"
        says "--mode: \"$value\" is not auto, cgi, spawned or pool"
    done
}

@test "an unknown option, a missing value and an argument left over are each named, with where to look" {
    fails 100 "$FIBCGI" --no-such-option=3
    says --no-such-option=3 'not an option' --help
    fails 100 "$FIBCGI" -x
    says '-x is not an option' --help
    fails 100 "$FIBCGI" --max 3
    says '--max ' --help
    fails 100 "$FIBCGI" -t --listen
    says '--listen needs a value' --help
    fails 100 "$FIBCGI" --listen "unix:$SOCKET" serve
    says '"serve" is left over' --help
    fails 100 "$FIBCGI" -- --listen
    says '"--listen" is left over' --help
    [ ! -e "$SOCKET" ]
}

@test "an unknown letter among several is named as it was written" {
    fails 100 "$FIBCGI" -xt
    says '-x' 'not an option'
    does_not_say "$FIBCGI"
}

@test "an empty flag is refused by name" {
    local option
    for option in listen admin-listen admin-http socket-owner socket-group allowed-peers user group log; do
        fails 100 "$FIBCGI" -t "--$option="
        says "--$option:" 'is empty' give
    done
    for option in mode socket-mode backlog workers max-requests request-timeout read-timeout write-timeout drain-timeout drain-after \
        max-n max-params-size max-params-count max-body-size memory-limit sandbox watch-clients; do
        fails 100 "$FIBCGI" -t "--$option="
        says "--$option:"
    done
}

@test "a value with line breaks or of any length is told in one line" {
    fails 100 "$FIBCGI" -t $'--mode=po\nol\r\x1b[31m'
    says 'po\x0aol\x0d\x1b[31m'
    fails 100 "$FIBCGI" -t "--max-n=$(head -c 100000 /dev/zero | tr '\0' 9)"
    [ "${#MESSAGE}" -lt 400 ]
    says --max-n 93
    fails 100 "$FIBCGI" --listen $'unix:/no/such\nfolder/x'
    says '/no/such\x0afolder/x'
}

@test "-t finds what is wrong with addresses, users and peers, and touches nothing" {
    is_fine "$FIBCGI" --listen "unix:$SOCKET" --admin-listen tcp:127.0.0.1:9000 --user nobody --log "$DIR/log"
    [ "$(find "$DIR" -mindepth 1 -printf '%f\n' | sort | tr '\n' ' ')" = 'stderr stdout ' ]
    fails 100 "$FIBCGI" -t --listen fib.sock
    says '"fib.sock"'
    fails 100 "$FIBCGI" -t --admin-listen tcp:9000
    says '"tcp:9000"'
    fails 100 "$FIBCGI" -t --listen "unix:$SOCKET,fib2.sock"
    says '"fib2.sock"'
    fails 100 "$FIBCGI" -t --user no-such-user
    says no-such-user
    fails 100 "$FIBCGI" -t --socket-group no-such-group
    says no-such-group
    fails 100 "$FIBCGI" -t --listen tcp:127.0.0.1:9000 --allowed-peers localhost
    says localhost
}

@test "-t refuses the numbers of addresses that a start refuses: more than 8 for requests, more than one for admin" {
    local nine
    nine=$(printf "unix:$DIR/%d," {1..9})
    is_fine "$FIBCGI" --listen "$(printf "unix:$DIR/%d," {1..8})"
    for how in -t --mode=pool; do
        fails 100 "$FIBCGI" "$how" --listen "$nine"
        says --listen 8
        fails 100 "$FIBCGI" "$how" --listen "unix:$SOCKET" --admin-listen tcp:127.0.0.1:9001,tcp:127.0.0.1:9002
        says --admin-listen
    done
    [ -z "$(find "$DIR" -type s)" ]
}

# --- Addresses

@test "an address that is not one is refused with how to write it" {
    local address
    for address in fib.sock /run/fib.sock http://127.0.0.1:80 127.0.0.1:9000 unix tcp; do
        fails 100 "$FIBCGI" --listen "$address"
        says "cannot listen on \"$address\"" unix:/run/fibcgi/fib.sock tcp:127.0.0.1:9000
    done
    for address in unix: unix:fib.sock unix:./fib.sock; do
        fails 100 "$FIBCGI" --listen "$address"
        says "\"$address\"" 'must be absolute' unix:/run/fibcgi/fib.sock
    done
    for address in tcp: tcp:9000 tcp:localhost:9000 tcp:127.0.0.1 tcp:127.0.0.1: tcp:127.0.0.1:0 tcp:127.0.0.1:65536 tcp::9000 \
        tcp:127.0.0.1:-1 tcp:127.0.0.1:9000x tcp:127.0.0.1:99999999999999999999 tcp:::1:9000 'tcp:[::1]' 'tcp:[]:9000' tcp:1.2.3:9000; do
        fails 100 "$FIBCGI" --listen "$address"
        says "\"$address\"" tcp:127.0.0.1:9000 '1 to 65535'
    done
    is_fine "$FIBCGI" --listen tcp:127.0.0.1:65535
    is_fine "$FIBCGI" --listen 'tcp:[::1]:1'
    fails 100 "$FIBCGI" --listen "unix:$SOCKET" --admin-listen admin.sock
    says '"admin.sock"'
    # The socket that was opened before the mistake was found is gone again.
    [ ! -e "$SOCKET" ]
}

@test "a path of 107 characters is served, one of 108 is refused" {
    local path
    path=$DIR/$(head -c 200 /dev/zero | tr '\0' s)
    begin "$FIBCGI" --listen "unix:${path:0:107}" --workers 1
    POOL=$BEGUN
    wait_for 5 workers_are 1
    # lighttpd itself takes 105; a link is as good.
    ln -s "${path:0:107}" "$SOCKET"
    ln -s "${path:0:107}" "$SOCKET.2"
    start_lighttpd
    get '/compute?n=5'
    is_code 200
    ends "$POOL"
    [ "$STOP_STATUS" -eq 0 ]
    [ -z "$(find "$DIR" -type s)" ]
    fails 100 "$FIBCGI" --listen "unix:${path:0:108}"
    says 'at most 107 characters' shorter
    fails 100 "$FIBCGI" -t --admin-listen "unix:${path:0:108}"
    says 'at most 107 characters'
}

@test "a folder that is missing, or is a file, is named with what to do" {
    fails 100 "$FIBCGI" --listen "unix:$DIR/missing/fib.sock"
    says "unix:$DIR/missing/fib.sock" 'No such file or directory' 'create the folder'
    echo kept >"$DIR/file"
    fails 100 "$FIBCGI" --listen "unix:$DIR/file/fib.sock"
    says "unix:$DIR/file/fib.sock" 'Not a directory'
    [ "$(cat "$DIR/file")" = kept ]
}

@test "a folder that the user may not write in is named with what to do" {
    mkdir -m 755 "$DIR/closed"
    fails 100 "${AS_NOBODY[@]}" "$FOR_NOBODY" --listen "unix:$DIR/closed/fib.sock"
    says "unix:$DIR/closed/fib.sock" 'Permission denied' 'may write in that folder'
}

@test "a file, a folder or a link in the way is left alone" {
    echo kept >"$SOCKET"
    fails 100 "$FIBCGI" --listen "unix:$SOCKET"
    says "unix:$SOCKET" 'not a socket' 'remove it'
    [ "$(cat "$SOCKET")" = kept ]
    mkdir "$DIR/folder"
    fails 100 "$FIBCGI" --listen "unix:$DIR/folder"
    says "unix:$DIR/folder"
    [ -d "$DIR/folder" ]
    make_stale "$DIR/elsewhere.sock"
    ln -s "$DIR/elsewhere.sock" "$DIR/link"
    fails 100 "$FIBCGI" --listen "unix:$DIR/link"
    says "unix:$DIR/link"
    [ -L "$DIR/link" ]
    [ -S "$DIR/elsewhere.sock" ]
}

@test "another program's datagram socket in the way is left alone" {
    begin /usr/bin/python3 -c '
import signal, socket, sys
made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
made.bind(sys.argv[1])
signal.pause()' "$SOCKET"
    wait_for 5 test -S "$SOCKET"
    fails 100 "$FIBCGI" --listen "unix:$SOCKET"
    says "unix:$SOCKET"
    [ -S "$SOCKET" ]
}

@test "a socket that is being served is refused, and serves on without losing a request" {
    local before
    start_stack --workers 2
    before=$(inode "$SOCKET")
    get '/compute?n=5'
    is_code 200
    wrk -t 1 -c 8 -d 30 "$URL/compute?n=15" >"$DIR/wrk" 3>&- &
    WRK=$!
    STARTED+=("$WRK")
    for _ in 1 2 3 4 5; do
        fails 100 "$FIBCGI" --listen "unix:$SOCKET"
        says "unix:$SOCKET" 'Address already in use' 'another process is serving there' 'stop that one first'
        fails 100 "$FIBCGI" --listen "unix:$DIR/other.sock" --admin-listen "unix:$ADMIN"
        says "unix:$ADMIN" 'another process is serving there'
    done
    kill -INT "$WRK"
    wait "$WRK" || true
    if grep -E 'Non-2xx|Socket errors' "$DIR/wrk"; then return 1; fi
    [ "$(inode "$SOCKET")" -eq "$before" ]
    [ ! -e "$DIR/other.sock" ]
    get '/compute?n=5'
    is_code 200
    get /readyz
    is_code 200
}

@test "a socket whose queue is full is being served, and is refused at once" {
    local before pid
    start_stack --workers 1 --backlog 1
    before=$(inode "$SOCKET")
    mapfile -t PIDS < <(all_pids "$POOL")
    kill -STOP "${PIDS[@]}"
    wait_for 5 is_stopped "${PIDS[@]}"
    # A connection takes its place in the queue whatever it speaks.
    for _ in 1 2 3; do begin curl -sS --max-time 30 --unix-socket "$SOCKET" http://x/; done
    wait_for 5 queue_is_full "$SOCKET"
    fails 100 "$FIBCGI" --listen "unix:$SOCKET"
    says "unix:$SOCKET" 'another process is serving there'
    [ "$(inode "$SOCKET")" -eq "$before" ]
    kill -CONT "${PIDS[@]}"
    wait_for 10 serves
}
serves() { get '/compute?n=5' && [ "$CODE" = 200 ]; }

@test "after kill -9 of the master the socket is taken over at once, though its workers have not quite died" {
    local cpu
    cpu=$(awk '/^Cpus_allowed_list:/ { split($2, first, /[-,]/); print first[1] }' /proc/self/status)
    start_lighttpd
    # On a busy CPU the workers, which are less urgent, take their time to die.
    begin taskset -c "$cpu" bash -c 'while :; do :; done'
    for _ in 1 2 3; do
        UNDER="taskset -c $cpu nice -n 19" start_pool --workers 8
        wait_for 10 workers_are 8
        kill -KILL "$POOL"
        wait "$POOL" 2>/dev/null || true
        [ -S "$SOCKET" ]
        : >"$LOG"
        start_pool --workers 1
        log_has "info taking over $SOCKET:"
        log_has "info taking over $SOCKET.2:"
        log_has "info taking over $ADMIN:"
        wait_for 5 serves
        ends "$POOL" QUIT
    done
}

@test "of two that start at the same moment on a stale path, one serves and the other is refused" {
    local i status winner
    make_stale "$SOCKET"
    start_lighttpd
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        rm -f "$DIR/go"
        for i in 1 2; do
            # shellcheck disable=SC2016
            bash -c 'until [ -e "$1/go" ]; do :; done; exec "$2" --listen "unix:$3" --workers 1' bash "$DIR" "$FIBCGI" "$SOCKET" \
                >"$DIR/out.$i" 2>&1 </dev/null 3>&- &
            TWO[i]=$!
        done
        STARTED+=("${TWO[@]}")
        : >"$DIR/go"
        wait_for 5 one_has_left
        alive "${TWO[1]}" && winner=1 || winner=2
        alive "${TWO[$winner]}"
        status=0
        wait "${TWO[3 - winner]}" || status=$?
        [ "$status" -eq 100 ]
        [ "$(grep -c 'another process is serving there' "$DIR/out.$((3 - winner))")" -eq 1 ]
        wait_for 5 serves
        kill -KILL "${TWO[$winner]}"
        wait "${TWO[$winner]}" 2>/dev/null || true
        [ -S "$SOCKET" ]
    done
}
one_has_left() { gone "${TWO[1]}" || gone "${TWO[2]}"; }

@test "of two that start on a stale path, one that is slow to clear it away does not push out the other" {
    local slow
    make_stale "$SOCKET"
    begin strace -D -qq -o /dev/null -e 'trace=?unlink,unlinkat' -e 'inject=?unlink,unlinkat:delay_enter=700000:when=1' \
        "$FIBCGI" --listen "unix:$SOCKET" --workers 1
    slow=$BEGUN
    # It has found the path stale, and is about to remove it.
    wait_for 5 log_has 'taking over'
    fails 100 "$FIBCGI" --listen "unix:$SOCKET"
    says 'another process is serving there'
    alive "$slow"
    start_lighttpd
    wait_for 5 serves
}

@test "a TCP port that is taken is refused, and whoever has it serves on" {
    local port
    port=$(free_port)
    begin "$FIBCGI" --listen "tcp:127.0.0.1:$port" --workers 1
    POOL=$BEGUN
    wait_for 5 workers_are 1
    fails 100 "$FIBCGI" --listen "tcp:127.0.0.1:$port"
    says "tcp:127.0.0.1:$port" 'Address already in use' 'another process is serving there'
    alive "$POOL"
    (exec 7<>"/dev/tcp/127.0.0.1/$port")
}

@test "a TCP address that this machine has not is told in one line" {
    # 192.0.2.0/24 is for documentation (RFC 5737): no machine has it.
    fails 100 "$FIBCGI" --listen "tcp:192.0.2.1:9000"
    says tcp:192.0.2.1:9000 'Cannot assign requested address' 'choose an address that this machine has'
}

@test "a TCP port for root alone is refused with a remedy for ports, not for folders" {
    # A network of its own, where the bound is the kernel's default whatever it is outside.
    fails 100 unshare -n "${AS_NOBODY[@]}" "$FOR_NOBODY" --listen tcp:0.0.0.0:80 --allowed-peers 127.0.0.1
    says tcp:0.0.0.0:80 'Permission denied'
    does_not_say folder
}

@test "a TCP socket open to every host is warned of; on loopback, or with peers, it is not" {
    local port
    port=$(free_port)
    begin "$FIBCGI" --listen "tcp:0.0.0.0:$port" --workers 1
    POOL=$BEGUN
    wait_for 5 workers_are 1
    log_has "warning tcp:0.0.0.0:$port takes requests from every host.*FCGI_WEB_SERVER_ADDRS"
    [ "$(log_count ' warning ')" -eq 1 ]
    ends "$POOL"
    : >"$LOG"
    begin "$FIBCGI" --listen "tcp:0.0.0.0:$port" --workers 1 --allowed-peers 127.0.0.1
    POOL=$BEGUN
    wait_for 5 workers_are 1
    [ "$(log_count ' warning ')" -eq 0 ]
}

@test "a peer that is not an address is refused, however the list is written" {
    local port peers
    port=$(free_port)
    for peers in localhost 127.0.0.1,web '127.0.0.1, ::1' 127.0.0.1,,::1 10.0.0.0/8 ::g 256.1.1.1 \
        0000:0000:0000:0000:0000:ffff:192.168.100.1009; do
        fails 100 "$FIBCGI" --listen "tcp:127.0.0.1:$port" --allowed-peers "$peers"
        says 'allowed peers' 'is not an IP address' 127.0.0.1,::1
    done
    fails 100 "$FIBCGI" --listen "tcp:127.0.0.1:$port" --allowed-peers "$(printf '10.0.0.%d,' {1..65})"
    says 64
}

@test "the listen queue that net.core.somaxconn cuts is warned of once, with the number to raise it to" {
    local allowed
    allowed=$(cat /proc/sys/net/core/somaxconn)
    start_pool --workers 1 --backlog "$((allowed < 65535 ? allowed : 65535))"
    [ "$(log_count ' warning ')" -eq 0 ]
    ends "$POOL"
    # Where the kernel allows more than --backlog can ask for, nothing can be cut.
    [ "$allowed" -lt 65535 ] || return 0
    : >"$LOG"
    start_pool --workers 1 --backlog "$((allowed + 1))"
    log_has "warning the listen queue holds $allowed connections, not the $((allowed + 1)) of --backlog.*sysctl net.core.somaxconn=$((allowed + 1))"
    [ "$(log_count ' warning ')" -eq 1 ]
}

# --- Passed sockets

@test "systemd's second descriptor that is no listening socket is refused with a reason" {
    fails 100 "$PASS_SOCKETS" systemd "unix:$SOCKET" "file:$DIR/file" -- "$FIBCGI" --workers 1
    says 4 'listening socket'
    rm -f "$SOCKET"
    fails 100 "$PASS_SOCKETS" systemd "unix:$SOCKET" "deaf:$ADMIN" -- "$FIBCGI" --workers 1
    says 4 'listening socket'
}

@test "systemd's first descriptor that is no listening socket is refused with a reason" {
    fails 100 "$PASS_SOCKETS" systemd "file:$DIR/file" -- "$FIBCGI" --workers 1
    says 3 'not a listening socket' --listen
    fails 100 "$PASS_SOCKETS" systemd "deaf:$SOCKET" -- "$FIBCGI" --workers 1
    says 3 'not a listening socket' --listen
}

# --- Users, modes, logs

@test "an unknown user or group is named" {
    local option
    for option in user socket-owner; do
        fails 100 "$FIBCGI" --listen "unix:$SOCKET" "--$option" no-such-user
        says "--$option" no-such-user 'create it or name another'
    done
    for option in group socket-group; do
        fails 100 "$FIBCGI" --listen "unix:$SOCKET" "--$option" no-such-group
        says "--$option" no-such-group 'create it or name another'
    done
    for option in -1 4294967295 99999999999 12x; do
        fails 100 "$FIBCGI" --listen "unix:$SOCKET" "--user=$option"
        says "$option"
    done
    [ ! -e "$SOCKET" ]
}

@test "--user without the right to become another is refused, saying who may" {
    mkdir -m 777 "$DIR/open"
    fails 100 "${AS_NOBODY[@]}" "$FOR_NOBODY" --listen "unix:$DIR/open/fib.sock" \
        --user daemon --socket-owner nobody --socket-group nogroup
    says --user root
    does_not_say memory
    [ ! -e "$DIR/open/fib.sock" ]
}

@test "--socket-owner without the right to give the socket away is refused and leaves no socket behind" {
    mkdir -m 777 "$DIR/open"
    fails 100 "${AS_NOBODY[@]}" "$FOR_NOBODY" --listen "unix:$DIR/open/fib.sock" \
        --socket-owner root
    says "unix:$DIR/open/fib.sock" 'Operation not permitted'
    [ ! -e "$DIR/open/fib.sock" ]
}

@test "the sockets have the mode, owner and group that were asked for, whatever the umask" {
    local mask
    for mask in 000 022 077; do
        (umask "$mask" && start_pool --workers 1 --socket-mode 0620 --socket-owner daemon --socket-group www-data && echo "$POOL" >"$DIR/pid")
        STARTED+=("$(cat "$DIR/pid")")
        [ "$(stat -c '%a %U %G' "$SOCKET")" = '620 daemon www-data' ]
        [ "$(stat -c '%a %U %G' "$ADMIN")" = '620 daemon www-data' ]
        kill -TERM "$(cat "$DIR/pid")"
        wait_for 5 gone "$(cat "$DIR/pid")"
    done
    start_pool --workers 1
    [ "$(stat -c %a "$SOCKET")" = 660 ]
}

@test "--user and --group make master and workers that user, with no capability and no way to get one" {
    local pid file
    chown "$NOBODY" "$DIR"
    start_stack --workers 2 --user nobody
    wait_for 5 workers_are 2
    [ "$(stat -c '%U %G' "$SOCKET")" = 'nobody nogroup' ]
    [ "$(all_pids "$POOL" | wc -l)" -eq 4 ]
    for pid in $(all_pids "$POOL"); do
        [ "$(ps -o user=,group= -p "$pid" | tr -s ' ')" = 'nobody nogroup' ]
        file=/proc/$pid/status
        [ "$(awk '/^Uid:|^Gid:/ { print $2, $3, $4, $5 }' "$file")" = $'65534 65534 65534 65534\n65534 65534 65534 65534' ]
        [ "$(awk '/^Groups:/ { print $2 $3 }' "$file")" = 65534 ]
        [ "$(awk '/^NoNewPrivs:/ { print $2 }' "$file")" -eq 1 ]
        [ "$(grep -cE '^Cap(Inh|Prm|Eff|Amb):.0{16}$' "$file")" -eq 4 ]
    done
    get '/compute?n=5'
    is_code 200
    ends "$POOL"
    [ "$STOP_STATUS" -eq 0 ]
    [ ! -e "$SOCKET" ]
    start_pool --workers 1 --user daemon --group www-data --socket-owner nobody
    [ "$(ps -o user=,group= -p "$POOL" | tr -s ' ')" = 'daemon www-data' ]
    [ "$(stat -c '%U %G' "$SOCKET")" = 'nobody nogroup' ]
}

@test "without --user too, no worker can gain a privilege or leave a core file" {
    local pid
    start_pool --workers 2
    for pid in $(all_pids "$POOL"); do
        [ "$(awk '/^NoNewPrivs:/ { print $2 }' "/proc/$pid/status")" -eq 1 ]
        [ "$(awk '/^Max core file size/ { print $5, $6 }' "/proc/$pid/limits")" = '0 0' ]
    done
}

@test "--user of a spawned process is honoured or refused, never passed over" {
    begin spawn-fcgi -n -s "$SOCKET" -- "$FIBCGI" --user nobody
    wait_for 5 is_spawned_or_gone "$BEGUN"
    if alive "$BEGUN"; then
        [ "$(ps -o user= -p "$BEGUN")" = nobody ] || { echo "it runs as $(ps -o user= -p "$BEGUN")" >&2; return 1; }
    else
        log_has '--user'
    fi
}
is_spawned_or_gone() { gone "$1" || [ "$(ps -o args= -p "$1")" = 'fibcgi: spawned' ]; }

@test "a log that cannot be opened is named with what to do" {
    fails 100 "$FIBCGI" --listen "unix:$SOCKET" --log "$DIR/missing/log"
    says "$DIR/missing/log" 'No such file or directory' 'create its folder'
    fails 100 "$FIBCGI" --listen "unix:$SOCKET" --log "$DIR"
    says "the log $DIR" 'Is a directory' 'name a file that may be written'
    mkdir -m 755 "$DIR/closed"
    fails 100 "${AS_NOBODY[@]}" "$FOR_NOBODY" --listen "unix:$SOCKET" --log "$DIR/closed/log"
    says "$DIR/closed/log" 'Permission denied'
    [ ! -e "$SOCKET" ]
}

@test "a log on a full disk does not stop the service" {
    start_stack --workers 1 --log /dev/full
    get '/compute?n=5'
    is_code 200
    ends "$POOL"
    [ "$STOP_STATUS" -eq 0 ]
}

@test "what the system is short of ends with 111, and leaves no socket" {
    # 0, 1 and 2 and the folder's lock are open: there is no descriptor left for the socket.
    # shellcheck disable=SC2016
    fails 111 bash -c 'ulimit -n 4 && exec "$@"' bash "$FIBCGI" --listen "unix:$SOCKET"
    says "unix:$SOCKET" 'Too many open files'
    [ ! -e "$SOCKET" ]
}

@test "the sockets are removed at every kind of end that lets them be, unless another took the path" {
    local signal
    for signal in TERM INT QUIT; do
        start_pool --workers 1
        ends "$POOL" "$signal"
        [ "$STOP_STATUS" -eq 0 ]
        [ -z "$(find "$DIR" -type s)" ]
    done
    start_pool --workers 1
    rm "$SOCKET"
    make_stale "$SOCKET"
    ends "$POOL"
    [ "$(find "$DIR" -type s)" = "$SOCKET" ]
}

# --- make run

# begin_run: the script behind `make run`, with its temporary folder in $RUN_TMP; its pid is $RUN.
begin_run() {
    RUN_TMP=${RUN_TMP:-$DIR/tmp}
    mkdir -p "$RUN_TMP"
    # A background job ignores SIGINT, and so would the script; at a terminal it does not.
    env --default-signal=INT TMPDIR="$RUN_TMP" PORT=0 "$REPO/conf/lighttpd/run" "$FIBCGI" >"$DIR/out" 2>"$DIR/err" </dev/null 3>&- &
    RUN=$!
    STARTED+=("$RUN")
    wait_for 15 run_serves_or_left
    run_serves || { cat "$DIR/out" "$DIR/err" >&2; return 1; }
    note_servers "$RUN"
}
run_serves() {
    URL=$(sed -n 's,.*serving \(http://[^ ]*\)/compute$,\1,p' "$DIR/out")
    [ -n "$URL" ]
}
run_serves_or_left() { run_serves || gone "$RUN"; }
# All processes below PID, in $SERVERS.
note_servers() {
    local pid
    SERVERS=()
    for pid in $(pgrep -P "$1"); do
        SERVERS+=("$pid")
        mapfile -t -O "${#SERVERS[@]}" SERVERS < <(pgrep -P "$pid")
    done
    STARTED+=("${SERVERS[@]}")
}
nothing_is_left() { wait_for 10 all_gone "${SERVERS[@]}" && [ -z "$(ls -A "$RUN_TMP")" ]; }

@test "make run: PORT=0 picks a free port, prints a URL that answers, and SIGINT leaves nothing behind" {
    begin_run
    get /compute
    is_code 200
    [ "$(jq .result "$BODY")" -eq 832040 ]
    get /readyz
    is_code 200
    [ "${#SERVERS[@]}" -ge 4 ]
    ends "$RUN" INT
    [ "$STOP_STATUS" -eq 0 ]
    nothing_is_left
}

@test "make run: Ctrl-C at a terminal goes to make and all below it, and the request in hand is answered first" {
    local build=$DIR/build status=0
    # What make test has built; elsewhere than in a build folder, make builds one of its own.
    if [ -d "$(dirname "$FIBCGI")/obj" ]; then build=$(dirname "$FIBCGI"); fi
    RUN_TMP=$DIR/tmp
    mkdir -p "$RUN_TMP"
    env --default-signal=INT TMPDIR="$RUN_TMP" FIBCGI_MAX_N=50 setsid make -s -C "$REPO" run PORT=0 "BUILD=$build" \
        >"$DIR/out" 2>"$DIR/err" </dev/null 3>&- &
    RUN=$!
    STARTED+=("$RUN")
    wait_for 60 run_serves_or_left
    run_serves || { cat "$DIR/out" "$DIR/err" >&2; return 1; }
    note_servers "$(pgrep -g "$RUN" -f 'conf/lighttpd/run' | tail -n 1)"
    [ "${#SERVERS[@]}" -ge 4 ]
    curl -sS --max-time 20 -o /dev/null -w '%{http_code}' "$URL/compute?n=43" >"$DIR/code" 3>&- &
    CLIENT=$!
    wait_for 5 one_is_computing
    kill -INT -- "-$RUN"
    wait "$CLIENT"
    [ "$(cat "$DIR/code")" = 200 ]
    wait "$RUN" || status=$?
    nothing_is_left
}
one_is_computing() { local pid; for pid in "${SERVERS[@]}"; do if [ "$(ps -o stat= -p "$pid" | cut -c1)" = R ]; then return; fi; done; return 1; }

@test "make run: SIGTERM leaves nothing behind either" {
    begin_run
    ends "$RUN" TERM
    nothing_is_left
}

@test "make run: kill -9 of the script takes the servers with it" {
    begin_run
    get '/compute?n=5'
    is_code 200
    kill -KILL "$RUN"
    wait "$RUN" 2>/dev/null || true
    wait_for 5 all_gone "${SERVERS[@]}"
}

@test "make run: when a server dies, the other is stopped and the status is not 0" {
    begin_run
    local pid status=0
    for pid in "${SERVERS[@]}"; do
        if [ "$(ps -o args= -p "$pid")" = 'fibcgi: master' ]; then kill -KILL "$pid"; fi
    done
    wait "$RUN" || status=$?
    [ "$status" -ne 0 ]
    grep -q 'has ended by itself' "$DIR/out" "$DIR/err"
    nothing_is_left
}

@test "make run: a port that is taken is told, and whoever has it is left alone" {
    local port
    begin_run
    port=${URL##*:}
    RUN_TMP=$DIR/second
    mkdir "$RUN_TMP"
    fails 100 env TMPDIR="$RUN_TMP" PORT="$port" "$REPO/conf/lighttpd/run" "$FIBCGI"
    says "port $port is taken" PORT=
    [ -z "$(ls -A "$RUN_TMP")" ]
    get '/compute?n=5'
    is_code 200
}

@test "make run: a PORT that is not a port is refused with what it can be" {
    local port
    mkdir "$DIR/tmp"
    for port in abc 70000 65536 -1 80a '80 81' 999999999999999999999; do
        fails 100 env TMPDIR="$DIR/tmp" PORT="$port" "$REPO/conf/lighttpd/run" "$FIBCGI"
        says "PORT=$port is not a port" '0 to 65535'
    done
    [ -z "$(ls -A "$DIR/tmp")" ]
}

@test "make run: a program that is missing and a folder that cannot be made are told" {
    fails 100 "$REPO/conf/lighttpd/run" "$DIR/no-such-program"
    says "$DIR/no-such-program" 'make first'
    run env TMPDIR="$DIR/missing" PORT=0 "$REPO/conf/lighttpd/run" "$FIBCGI"
    [ "$status" -eq 100 ]
    [[ $output == *'set TMPDIR to a folder that may be written'* ]]
}

@test "make run: a wrong option of the pool's ends it, with the pool's own message" {
    mkdir "$DIR/tmp"
    run env TMPDIR="$DIR/tmp" PORT=0 FIBCGI_WORKERS=many "$REPO/conf/lighttpd/run" "$FIBCGI"
    [ "$status" -ne 0 ]
    [[ $output == *'FIBCGI_WORKERS: "many" is not'* ]]
    [ -z "$(ls -A "$DIR/tmp")" ]
}

@test "make run: a temporary folder with a space in its name is no trouble" {
    RUN_TMP="$DIR/with a space"
    begin_run
    get '/compute?n=5'
    is_code 200
    if grep -m 1 "$REPO/conf/lighttpd/run: line" "$DIR/err"; then return 1; fi
    ends "$RUN" INT
    [ "$STOP_STATUS" -eq 0 ]
    nothing_is_left
}
