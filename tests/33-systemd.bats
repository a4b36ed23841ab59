#!/usr/bin/env bats
# Under systemd: what the pool tells it, the sockets that it gets from it, and the units of conf/systemd. Those run as they
# stand under a real systemd of the test's own, in namespaces, with all their sandbox.

bats_require_minimum_version 1.5.0
load helpers/common
load helpers/systemd

setup() {
    DIR=$BATS_TEST_TMPDIR
    SOCKET=$DIR/fib.sock
    ADMIN=$DIR/admin.sock
    LOG=$DIR/fibcgi.log
    TOLD=$DIR/told
    STARTED=()
}

teardown() {
    local pid
    stop_all
    stop_systemd
    for pid in "${STARTED[@]}"; do
        if alive "$pid"; then
            kill -CONT "$pid" 2>/dev/null || true
            kill -KILL "$pid" 2>/dev/null || true
            wait "$pid" 2>/dev/null || true
        fi
    done
}

# listen_for_news SOCKET: what is told there comes into $TOLD.
listen_for_news() {
    "$REPO/tests/fixtures/notified.py" "$1" >"$TOLD" 2>&1 3>&- &
    STARTED+=("$!")
    wait_for 10 grep -q listening "$TOLD"
}
told() { grep -qE "^[0-9.]+ $POOL $1\$" "$TOLD" || { echo "not told: $1; but:" >&2; cat "$TOLD" >&2; return 1; }; }
told_times() { grep -cE "^[0-9.]+ $POOL $1\$" "$TOLD" || true; }
has_told_times() { [ "$(told_times "$1")" -ge "$2" ]; }

probe() { timeout 30 "$FIBCGI" --probe "$1" --admin-listen "unix:${2:-$ADMIN}"; }

# load_on URL: 50 clients for 8 s, in the background; load_lost_nothing waits for their end.
load_on() {
    h2load "${@:2}" -c 50 -D 8 "$1" >"$DIR/load" 2>&1 3>&- &
    LOAD=$!
    STARTED+=("$LOAD")
}
load_lost_nothing() {
    wait "$LOAD"
    cat "$DIR/load"
    grep -qE ' 0 failed, 0 errored, 0 timeout' "$DIR/load"
    grep -qE 'status codes: [0-9]{3,} 2xx, 0 3xx, 0 4xx, 0 5xx' "$DIR/load"
}
# The same for clients of the pool itself that keep their connection (FCGI_KEEP_CONN).
kept_load_on() {
    timeout 60 "$REPO/tests/fixtures/kept-load.py" "$1" 20 8 >"$DIR/kept" 2>&1 3>&- &
    KEPT=$!
    STARTED+=("$KEPT")
    wait_for 10 grep -q loaded "$DIR/kept"
}
kept_load_lost_nothing() {
    wait "$KEPT"
    cat "$DIR/kept"
    grep -qE '^[0-9]{3,} answered, 0 wrong, 0 lost$' "$DIR/kept"
}

# --- What systemd is told

@test "systemd is told READY once a worker is up, STOPPING when a drain begins, and the status where it changes" {
    listen_for_news "$DIR/notify"
    export NOTIFY_SOCKET=$DIR/notify
    start_pool --workers 2 --max-n 45 --drain-timeout 25s
    unset NOTIFY_SOCKET
    wait_for 5 told 'STATUS=2 of 2 workers up(, CPU limit [0-9]+m)?'
    [ "$(told_times READY=1)" -eq 1 ]
    start_lighttpd
    request_in_background '/compute?n=43'
    wait_for 5 in_flight 1
    kill -TERM "$POOL"
    wait_for 5 told STOPPING=1
    # Nothing is told twice, and no request is worth a line.
    [ "$(told_times 'STATUS=2 of 2 .*')" -eq 1 ]
    told 'STATUS=draining: [12] of 2 workers up.*'
    # What systemd waits for at least: the drain and the end.
    [ "$(sed -n 's/.* EXTEND_TIMEOUT_USEC=//p' "$TOLD" | head -n 1)" -gt 25000000 ]
    background_code_is 200
    wait "$POOL"
    # Nobody but the master speaks.
    [ "$(awk 'NR > 1 { print $2 }' "$TOLD" | sort -u)" = "$POOL" ]
}

@test "systemd is not told READY as long as no worker can start" {
    local fd first
    # The descriptors that a master has before its first worker has any.
    start_pool --workers 1
    first=$(find "/proc/$POOL/fd" -lname '/memfd:fibcgi-*' -printf '%f\n' | sort -n | head -n 1)
    stop "$POOL" TERM
    listen_for_news "@fibcgi-test-$$-$RANDOM"
    NOTIFY_SOCKET=$(tr '\0' ' ' <"/proc/${STARTED[0]}/cmdline" | grep -oE '@[^ ]+')
    # One more than before: that of the notify socket.
    begin env NOTIFY_SOCKET="$NOTIFY_SOCKET" prlimit --nofile=$((first + 2)) "$FIBCGI" --listen "unix:$SOCKET,unix:$SOCKET.2" \
        --admin-listen "unix:$ADMIN" --workers 1
    POOL=$BEGUN
    tried_times() { [ "$(log_count 'cannot start worker 1: Too many open files')" -ge "$1" ]; }
    wait_for 10 tried_times 3
    wait_for 5 told 'STATUS=0 of 1 workers up.*'
    [ "$(told_times READY=1)" -eq 0 ]
}

@test "SIGHUP is told as RELOADING with its time, and READY when all workers are new" {
    local old
    listen_for_news "$DIR/notify"
    export NOTIFY_SOCKET=$DIR/notify
    start_pool --workers 2
    unset NOTIFY_SOCKET
    wait_for 5 told 'STATUS=2 of 2 .*'
    old=$(worker_pids | sort)
    kill -HUP "$POOL"
    wait_for 10 has_told_times READY=1 2
    told RELOADING=1
    told 'MONOTONIC_USEC=[0-9]+'
    [ -z "$(comm -12 <(echo "$old") <(worker_pids | sort))" ]
    kill -HUP "$POOL"
    wait_for 10 has_told_times RELOADING=1 2
    wait_for 10 has_told_times READY=1 3
}

@test "a master that hangs gives no sign of life to the watchdog, one that waits does" {
    local stopped went_on
    now() { awk '{ print $1 }' /proc/uptime; }
    has_passed() { awk -v now="$(now)" -v since="$1" 'BEGIN { exit !(now - since > 2) }'; }
    is_stopped() { [ "$(ps -o stat= -p "$1" | cut -c1)" = T ]; }
    # Signs of life after the first time and before the second.
    between() {
        awk -v pid="$POOL" -v from="$1" -v to="$2" '$2 == pid && $3 == "WATCHDOG=1" && $1 > from && $1 < to' "$TOLD" | wc -l
    }
    listen_for_news "$DIR/notify"
    export NOTIFY_SOCKET=$DIR/notify WATCHDOG_USEC=800000
    start_pool --workers 1
    unset NOTIFY_SOCKET WATCHDOG_USEC
    wait_for 10 has_told_times WATCHDOG=1 4
    kill -STOP "$POOL"
    wait_for 5 is_stopped "$POOL"
    stopped=$(now)
    wait_for 10 has_passed "$stopped"
    went_on=$(now)
    kill -CONT "$POOL"
    wait_for 10 has_told_times WATCHDOG=1 "$(($(told_times WATCHDOG=1) + 2))"
    # /proc/uptime is CLOCK_BOOTTIME in hundredths: no suspend here.
    [ "$(between "$stopped" "$went_on")" -le 1 ]
}

@test "a notify socket that is not there costs a warning and nothing else" {
    export NOTIFY_SOCKET=$DIR/nobody
    start_pool --workers 1
    log_has "warning cannot tell the service manager anything at NOTIFY_SOCKET=$DIR/nobody: No such file"
    probe /readyz
}

# --- The sockets that it passes

@test "of passed sockets those named admin are for admin and all others for work, in whatever order" {
    begin env LISTEN_FDNAMES=work:admin:more "$PASS_SOCKETS" systemd "unix:$SOCKET" "unix:$ADMIN" "unix:$SOCKET.2" -- \
        "$FIBCGI" --workers 1
    POOL=$BEGUN
    wait_for 5 log_has 'serves compute on the 2 sockets it was given, admin on the socket it was given'
    wait_for 5 probe /readyz
    # lighttpd takes them in turn.
    start_lighttpd
    local i
    for i in 1 2 3 4; do get '/compute?n=5' && is_code 200; done
    ends "$POOL" TERM
    [ "$STOP_STATUS" -eq 0 ]
    [ -S "$SOCKET" ]
    [ -S "$SOCKET.2" ]
    [ -S "$ADMIN" ]
}

@test "passed sockets that nobody would serve are refused with what to do about them" {
    refused() { # NAMES SOCKETS [OPTION…]
        local names=$1 sockets=$2
        shift 2
        rm -f "$DIR"/passed.*
        # shellcheck disable=SC2046
        run --separate-stderr timeout 10 env LISTEN_FDNAMES="$names" "$PASS_SOCKETS" systemd \
            $(for i in $(seq "$sockets"); do echo "unix:$DIR/passed.$i"; done) -- "$FIBCGI" "$@" </dev/null
        echo "$stderr"
        [ "$status" -eq 100 ]
        [ "$(wc -l <<<"$stderr")" -eq 1 ]
    }
    refused work 1 --listen "unix:$SOCKET" && [[ $stderr == *'--listen names another'*'leave that option'* ]]
    refused work:admin 2 --admin-listen "unix:$ADMIN" && [[ $stderr == *'--admin-listen names another'* ]]
    refused work:admin-http 2 --admin-http tcp:127.0.0.1:9 && [[ $stderr == *'--admin-http names another'* ]]
    refused admin 1 && [[ $stderr == *'what was passed is for admin'*'--listen'* ]]
    refused admin:work:admin 3 && [[ $stderr == *'two of the passed sockets are named admin'* ]]
    refused work:work 3 && [[ $stderr == *'does not have the 3 names'* ]]
    refused a:b:c:d:e:f:g:h:i 9 && [[ $stderr == *'more than 8 sockets for work'* ]]
    refused admin-http:work:admin-http 3 && [[ $stderr == *'two of the passed sockets are named admin-http'* ]]
    refused a:b:c:d:e:f:g:h:i:admin:admin-http 11 && [[ $stderr == *'11 sockets were passed'* ]]
}

@test "systemd-socket-activate starts the pool with the first request, which is answered" {
    begin systemd-socket-activate -l "$SOCKET" -l "$SOCKET.2" -l "$ADMIN" --fdname=work:work:admin "$FIBCGI" --workers 1
    POOL=$BEGUN
    wait_for 5 is_listening "$ADMIN"
    [ "$(worker_count)" -eq 0 ]
    start_lighttpd
    get '/compute?n=20'
    is_code 200
    has_body '"result":6765'
    probe /readyz
    workers_are 1
}

# --- The units

# units_to_check: all of them in the folder $UNITS, with the program that is tested, and an instance of those that are templates.
units_to_check() {
    local unit
    UNITS=$DIR/check
    mkdir "$UNITS"
    for unit in "$REPO"/conf/systemd/*.service "$REPO"/conf/systemd/*.socket; do
        sed "s|/usr/bin/fibcgi|$FIBCGI|" "$unit" >"$UNITS/${unit##*/}"
    done
    for unit in "$UNITS"/*@.*; do cp "$unit" "${unit/@./@shop.}"; done
}

@test "systemd-analyze finds nothing wrong with the units" {
    units_to_check
    run systemd-analyze verify --man=no "$UNITS"/*.service "$UNITS"/*.socket
    echo "$output"
    [ "$status" -eq 0 ]
    [ -z "$output" ]
}

@test "systemd-analyze rates the services' exposure below 1.0 of 10" {
    local unit
    units_to_check
    for unit in fibcgi.service fibcgi@shop.service; do
        run systemd-analyze security --offline=true --threshold=10 "$UNITS/$unit"
        echo "$output"
        [ "$status" -eq 0 ]
        [[ $output == *"Overall exposure level for $unit: 0."* ]]
    done
}

@test "the instance units are the plain ones under names of their own" {
    local unit plain
    for unit in fibcgi.service fibcgi.socket fibcgi-admin.socket; do
        plain=$(<"$REPO/conf/systemd/$unit")
        [ "$(sed -E -e 's/ \(%i\)//' -e 's/[@-](%i|NAME)//g' -e 's|/%i||g' "$REPO/conf/systemd/${unit%.*}@.${unit##*.}")" = "$plain" ]
    done
}

@test "the commented values in fibcgi.default are the defaults" {
    local name value
    while IFS='=' read -r name value; do
        [ "$("$FIBCGI" --help | grep -oE "default [^;]+; variable $name\$")" = "default $value; variable $name" ]
    done < <(sed -n 's/^#\(FIBCGI_[A-Z_]*=\)/\1/p' "$REPO/conf/systemd/fibcgi.default")
    [ -n "$name$value" ] || [ "$(grep -c '^#FIBCGI_' "$REPO/conf/systemd/fibcgi.default")" -ge 3 ]
}

# --- The units at work

start_services() {
    boot_systemd
    systemctl start lighttpd.service fibcgi.service
    # Debian's unit for lighttpd does not say when it listens.
    wait_for 20 answers '/compute?n=5'
}
lighttpd_listens() { (exec 3<>"/dev/tcp/127.0.0.1/$FIBCGI_HTTP_PORT") 2>/dev/null; }

@test "restarts of the service under load cost no request, neither through lighttpd nor on kept connections" {
    prepare_systemd
    start_services
    load_on "$URL/compute?n=15" --h1
    kept_load_on "$SOCKET"
    local restarts=0
    while alive "$LOAD" && [ "$restarts" -lt 20 ]; do
        systemctl restart fibcgi.service
        restarts=$((restarts + 1))
    done
    load_lost_nothing
    kept_load_lost_nothing
    echo "$restarts restarts"
    [ "$restarts" -ge 2 ]
    # Nobody was killed, and no start was one of systemd's own.
    [ "$(show fibcgi.service NRestarts)" -eq 0 ]
    [ "$(log_count ' info stopped$')" -eq "$restarts" ]
    [ "$(log_count ' (warning|error) ')" -eq 0 ]
}

@test "the service runs as nobody in particular without any privilege, and what it offers works in its sandbox" {
    local master
    prepare_systemd
    boot_systemd
    systemctl start lighttpd.service
    wait_for 10 lighttpd_listens
    # The first request starts it.
    [ "$(show fibcgi.service ActiveState)" = inactive ]
    get '/compute?n=20'
    is_code 200
    wait_for 10 shows fibcgi.service ActiveState active
    wait_for 5 shows fibcgi.service StatusText '* workers up*'
    master=$(main_pid)
    [ "$(awk '$1 == "Uid:" { print ($2 > 1000) }' "/proc/$master/status")" -eq 1 ]
    [ "$(awk '$1 == "CapBnd:" { print $2 }' "/proc/$master/status")" = 0000000000000000 ]
    [ "$(awk '$1 == "NoNewPrivs:" { print $2 }' "/proc/$master/status")" -eq 1 ]
    [ "$(awk '$1 == "Seccomp:" { print $2 }' "/proc/$master/status")" -eq 2 ]
    [ "$(stat -c '%U:%G %a' "$SOCKET" "$SOCKET.2" "$ADMIN" | sort -u)" = 'root:www-data 660' ]
    get /readyz
    is_code 200
    get /metrics
    has_body fibcgi_requests_total
    # Of a client that has left it still learns from the kernel.
    "$REPO/tests/fixtures/left-client.py" "$SOCKET" 40 >"$DIR/statuses"
    grep -qx 503 "$DIR/statuses"
    # It can still replace a worker that is killed, and follow that worker's connections (/proc/self/fd).
    kill -KILL "$(pgrep -P "$master" -f 'fibcgi: worker 1')"
    wait_for 10 eval '[ "$(metric "fibcgi_worker_restarts_total{cause=\"signal\"}")" = 1 ]'
    get '/compute?n=20'
    is_code 200
    # The workers lock themselves in further, and nothing of that was refused.
    [ "$(log_count 'the sandbox is without')" -eq 0 ]
    [ "$(log_count ' error |cannot look at')" -eq 0 ]
}

@test "after systemctl reload the service is reloading until all workers are new ones" {
    local old
    is_replacing() {
        local properties
        properties=$(systemctl show -p ActiveState -p StatusText fibcgi.service)
        [[ $properties == *ActiveState=reloading* && $properties == *'StatusText=replacing the workers: '* ]]
    }
    new_workers() { pgrep -P "$(main_pid)" -f 'fibcgi: worker' | sort | comm -13 <(sort <<<"$old") -; }
    prepare_systemd
    adapt_unit fibcgi.service '[Service]' 'Environment=FIBCGI_WORKERS=2 FIBCGI_MAX_N=60 FIBCGI_REQUEST_TIMEOUT=1m'
    start_services
    wait_for 10 shows fibcgi.service StatusText '2 of 2 *'
    old=$(pgrep -P "$(main_pid)" -f 'fibcgi: worker')
    # As long as one of them has a request in hand, it is not replaced.
    request_in_background '/compute?n=44' --max-time 120
    wait_for 20 in_flight 1
    # Whether the command itself waits depends on what systemd hears of first: the message, or the end of ExecReload=.
    systemctl reload fibcgi.service 3>&- &
    STARTED+=("$!")
    wait_for 20 is_replacing
    wait_for 120 shows fibcgi.service ActiveState active
    [ "$(new_workers | wc -l)" -eq 2 ]
    background_code_is 200
}

@test "systemctl stop of the sockets for requests stops all, and health checks do not start it again" {
    local unit
    prepare_systemd
    boot_systemd
    systemctl start fibcgi.service
    wait_for 10 probe /readyz
    systemctl stop fibcgi.socket
    for unit in fibcgi.service fibcgi.socket fibcgi-admin.socket; do
        [ "$(show "$unit" ActiveState)" = inactive ]
    done
    run ! probe /readyz
    [ "$(show fibcgi.service ActiveState)" = inactive ]
}

@test "a drain that takes longer than TimeoutStopSec is not cut short" {
    prepare_systemd
    adapt_unit fibcgi.service '[Service]' TimeoutStopSec=100ms \
        'Environment=FIBCGI_MAX_N=60 FIBCGI_DRAIN_TIMEOUT=1m FIBCGI_REQUEST_TIMEOUT=1m'
    start_services
    request_in_background '/compute?n=46' --max-time 90
    wait_for 20 in_flight 1
    systemctl stop fibcgi.socket
    background_code_is 200
    [ "$(show fibcgi.service Result)" = success ]
}

@test "a master that hangs is replaced by the watchdog, and what waits is answered" {
    local master
    prepare_systemd
    # In the unit itself, not in a drop-in: without the line there is no watchdog.
    sed -i -e 's/^WatchdogSec=.*/WatchdogSec=3s/' -e 's/^TimeoutAbortSec=.*/TimeoutAbortSec=1s/' "$BOX/units/fibcgi.service"
    start_services
    [ "$(show fibcgi.service WatchdogUSec)" = 3s ]
    master=$(main_pid)
    kill -STOP "$master"
    wait_for 40 shows fibcgi.service NRestarts 1
    journal -u fibcgi.service -o cat >"$DIR/journal"
    grep -q 'Watchdog timeout' "$DIR/journal"
    get '/compute?n=20' --max-time 60
    is_code 200
    [ "$(main_pid)" != "$master" ]
}

@test "a killed master is started again, and requests wait for it" {
    prepare_systemd
    start_services
    kill -KILL "$(main_pid)"
    # Nobody is there; nobody is refused.
    get '/compute?n=20' --max-time 60
    is_code 200
    [ "$(show fibcgi.service NRestarts)" -ge 1 ]
}

@test "a wrong option ends the service with 100 and is not tried again, nor for ever where clients wait" {
    prepare_systemd
    mkdir -p "$BOX/files/etc/default"
    echo FIBCGI_WORKERS=many >"$BOX/files/etc/default/fibcgi"
    boot_systemd
    run ! systemctl start fibcgi.service
    [ "$(show fibcgi.service ExecMainStatus)" -eq 100 ]
    [ "$(show fibcgi.service NRestarts)" -eq 0 ]
    [ "$(show fibcgi.service ActiveState)" = failed ]
    log_has 'FIBCGI_WORKERS: "many" is not a whole number'
    probe /readyz >"$DIR/probe" 2>&1 3>&- &
    STARTED+=("$!")
    wait_for 90 shows fibcgi-admin.socket ActiveState failed
    [ "$(log_count many)" -le 45 ]
}

@test "two instances have sockets, options and users of their own" {
    prepare_systemd
    mkdir -p "$BOX/files/etc/default"
    echo FIBCGI_WORKERS=3 >"$BOX/files/etc/default/fibcgi-shop"
    boot_systemd
    systemctl start fibcgi@shop.service fibcgi@blog.service
    local name
    declare -A uid
    for name in shop blog; do
        wait_for 10 probe /readyz "$BOX/run/fibcgi/$name/admin.sock"
        [ -S "$BOX/run/fibcgi/$name/fib.sock" ]
        [ -S "$BOX/run/fibcgi/$name/fib.sock.2" ]
        uid[$name]=$(awk '$1 == "Uid:" { print $2 }' "/proc/$(main_pid "$name")/status")
    done
    [ "$(probe "/status?json" "$BOX/run/fibcgi/shop/admin.sock" | jq .workers_wanted)" -eq 3 ]
    [ "${uid[shop]}" -gt 1000 ]
    [ "${uid[blog]}" -gt 1000 ]
    [ "${uid[shop]}" -ne "${uid[blog]}" ]
    systemctl stop fibcgi@shop.socket
    [ ! -e "$BOX/run/fibcgi/shop/fib.sock" ]
    probe /readyz "$BOX/run/fibcgi/blog/admin.sock"
}

@test "at a shutdown lighttpd goes first and answers what it has, and nothing starts again" {
    prepare_systemd
    adapt_unit fibcgi.service '[Service]' Environment=FIBCGI_MAX_N=60
    start_services
    # It takes some time, but less than lighttpd gives it (server.graceful-shutdown-timeout), also on a busy machine.
    request_in_background '/compute?n=42' --max-time 60
    wait_for 20 in_flight 1
    systemctl start shutdown.target
    background_code_is 200
    [ "$(show lighttpd.service Result)" = success ]
    [ "$(show fibcgi.service Result)" = success ]
    local unit
    for unit in lighttpd.service fibcgi.service fibcgi.socket fibcgi-admin.socket; do
        [ "$(show "$unit" ActiveState)" = inactive ]
    done
    [ ! -e "$SOCKET" ]
    [ ! -e "$ADMIN" ]
    # The pool is told to stop when lighttpd has left.
    journal -o cat | grep -oE '^(Stopped lighttpd|Stopping fibcgi)\.service' >"$DIR/order"
    [ "$(paste -sd ' ' "$DIR/order")" = 'Stopped lighttpd.service Stopping fibcgi.service' ]
}
