# Helpers for the files that put a real web server in front of fibcgi with a snippet of conf/ as it stands.
# shellcheck shell=bash
#
# The snippets name the paths and ports of an installed fibcgi (/usr/bin/fibcgi, /run/fibcgi/fib.sock, 127.0.0.1:9000), as one
# pastes them. A test makes these true for itself alone: in namespaces of its own (its "house", see tests/fixtures/house) with
# a copy of the web server's configuration as Debian ships it. All that is changed there is the port, 8080 for 80; then the
# snippet goes in the way its first lines say.

load helpers/common
load helpers/contract
load helpers/cgroup

HOUSE_PORT=8080

# build_house: before anything else in a test. Commands with $UNDER before them see the house; curl does so by itself.
build_house() {
    local path
    HOUSE=$BATS_TEST_TMPDIR/house
    LOG=$BATS_TEST_TMPDIR/pool.log
    REPORT=$BATS_TEST_TMPDIR/load
    LOADS=()
    MOUNT=/fibcgi
    mkdir -p "$HOUSE"/{usr/bin,etc,run/{fibcgi,apache2/socks,haproxy,lighttpd,lock/apache2}} \
        "$HOUSE"/var/{cache,lib,log/{apache2,lighttpd,nginx}}
    for path in etc/{apache2,caddy,haproxy,lighttpd,nginx} var/cache/lighttpd var/lib/{apache2,caddy,haproxy,nginx}; do
        cp -a "/$path" "$HOUSE/$path"
    done
    install -m 755 "$FIBCGI" "$HOUSE/usr/bin/fibcgi"
    chown www-data:www-data "$HOUSE"/run/{lighttpd,lock/apache2} "$HOUSE/var/log/lighttpd"
    # Debian's port 80 belongs to the machine's own server.
    sed -i "s/^Listen 80$/Listen $HOUSE_PORT/" "$HOUSE/etc/apache2/ports.conf"
    sed -i "s/:80>/:$HOUSE_PORT>/" "$HOUSE/etc/apache2/sites-available/000-default.conf"
    sed -i "s/^server.port .*/server.port = $HOUSE_PORT/" "$HOUSE/etc/lighttpd/lighttpd.conf"
    sed -i -E "s/^(\s*listen .*)\b80\b/\1$HOUSE_PORT/" "$HOUSE/etc/nginx/sites-available/default"
    sed -i "s/^:80 /:$HOUSE_PORT /" "$HOUSE/etc/caddy/Caddyfile"
    unshare --mount --net --ipc "$REPO/tests/fixtures/house" "$HOUSE" >"$HOUSE/log" 2>&1 3>&- &
    HOUSEKEEPER=$!
    wait_for 5 test -e "$HOUSE/is-open" || { cat "$HOUSE/log" >&2; return 1; }
    UNDER="nsenter --target $HOUSEKEEPER --mount --net --ipc --"
    URL=http://127.0.0.1:$HOUSE_PORT
}

curl() { $UNDER curl "$@"; }

# leave_house: in teardown; ends whoever is in it, and whom they start meanwhile.
leave_house() {
    [ -n "${HOUSEKEEPER:-}" ] || return 0
    INHABITED=$(readlink "/proc/$HOUSEKEEPER/ns/net")
    wait_for 20 house_is_empty
    wait 2>/dev/null
    [ -z "${GROUP:-}" ] || wait_for 5 rmdir "$GROUP"
}
house_is_empty() {
    local inhabitants
    inhabitants=$(find /proc/[0-9]*/ns/net -printf '%l %p\n' 2>/dev/null |
        awk -v house="$INHABITED" '$1 == house { split($2, path, "/"); print path[3] }')
    # shellcheck disable=SC2086
    [ -z "$inhabitants" ] || { kill -KILL $inhabitants 2>/dev/null; return 1; }
}

# furnish FILE DESTINATION [SCRIPT OF SED]: puts a snippet of conf/ there as it stands; where MOUNT is another than /fibcgi,
# mounted there, as its first lines say.
furnish() {
    if [ "$MOUNT" = /fibcgi ]; then
        cp "$REPO/conf/$1" "$HOUSE$2"
    else
        sed -E "${3:-}"'s#([ "^(])/fibcgi#\1'"$MOUNT#g" "$REPO/conf/$1" >"$HOUSE$2"
    fi
}

# start_house_pool [OPTION…]: the pool as the snippets say; LISTEN, ADMIN_LISTEN and SOCKET_GROUP where they say otherwise.
start_house_pool() {
    ADMIN_LISTEN=${ADMIN_LISTEN:-unix:/run/fibcgi/admin.sock}
    # shellcheck disable=SC2086
    ${JOIN:-} $UNDER /usr/bin/fibcgi --listen "${LISTEN:-unix:/run/fibcgi/fib.sock,unix:/run/fibcgi/fib.sock.2}" \
        --admin-listen "$ADMIN_LISTEN" --socket-group "${SOCKET_GROUP:-www-data}" "$@" >>"$LOG" 2>&1 3>&- &
    POOL=$!
    wait_for 10 pool_is_ready || { cat "$LOG" >&2; return 1; }
}
pool_is_ready() { $UNDER /usr/bin/fibcgi --probe /readyz --admin-listen "$ADMIN_LISTEN"; }

# start_staying_pool: a pool on sockets that stay, as systemd's do; when it has left, the next one starts on them.
start_staying_pool() {
    local listen=${LISTEN:-unix:/run/fibcgi/fib.sock}
    ADMIN_LISTEN=${ADMIN_LISTEN:-unix:/run/fibcgi/admin.sock}
    # shellcheck disable=SC2016
    $UNDER "$PASS_SOCKETS" systemd "${listen/127.0.0.1:/}" "${ADMIN_LISTEN/127.0.0.1:/}" -- bash -c '
        chgrp -f "$1" /run/fibcgi/*.sock
        chmod -f 660 /run/fibcgi/*.sock
        while :; do
            (export LISTEN_PID=$BASHPID && exec /usr/bin/fibcgi) &
            echo $! >"$2"
            wait $!
        done' bash "${SOCKET_GROUP:-www-data}" "$HOUSE/pool.pid" >>"$LOG" 2>&1 3>&- &
    # The second socket of the snippets that name two.
    ln -s fib.sock "$HOUSE/run/fibcgi/fib.sock.2"
    wait_for 10 pool_is_ready || { cat "$LOG" >&2; return 1; }
}

# start_web COMMAND…: the web server; its process is $WEB.
start_web() {
    $UNDER "$@" >>"$HOUSE/web.log" 2>&1 3>&- &
    WEB=$!
    wait_for 20 web_listens_or_left
    alive "$WEB" && return 0
    web_logs >&2
    return 1
}
web_listens_or_left() { gone "$WEB" || [ -n "$($UNDER ss -tlnH "sport = :$HOUSE_PORT")" ]; }
web_logs() { cat "$HOUSE/web.log" "$HOUSE"/var/log/*/error.log 2>/dev/null; }
web_log_count() { web_logs | grep -c -- "$1" || true; }

# Each web server with its snippet, as its first lines say.

start_lighty() { # SNIPPET
    local root=
    [ -n "$MOUNT" ] || root='s#"/fibcgi" =>#"/" =>#;'
    furnish "lighttpd/10-$1.conf" "/etc/lighttpd/conf-available/10-$1.conf" "$root"
    $UNDER lighty-enable-mod "$1"
    start_web lighttpd -D -f /etc/lighttpd/lighttpd.conf
}
start_apache() { # SNIPPET MODULE…
    furnish "apache/$1.conf" "/etc/apache2/conf-available/$1.conf"
    $UNDER a2enmod -q "${@:2}"
    $UNDER a2enconf -q "$1"
    start_web sh -c '. /etc/apache2/envvars; exec apache2 -D FOREGROUND'
}
start_nginx() { # SNIPPET [SCRIPT OF SED, for the upstream]
    local site=$HOUSE/etc/nginx/sites-available/default
    furnish "nginx/snippets/$1.conf" "/etc/nginx/snippets/$1.conf"
    sed "${2:-}" "$REPO/conf/nginx/conf.d/fibcgi.conf" >"$HOUSE/etc/nginx/conf.d/fibcgi.conf"
    sed -i "s#^\s*server_name _;#&\n\tinclude snippets/$1.conf;#" "$site"
    [ -n "$MOUNT" ] || sed -i '/^\slocation \/ {/,/^\s}/d' "$site"
    start_web nginx -g 'daemon off;'
}
start_haproxy() {
    furnish haproxy/fibcgi.cfg /etc/haproxy/fibcgi.cfg
    start_web haproxy -W -db -f /etc/haproxy/haproxy.cfg -f /etc/haproxy/fibcgi.cfg
}
start_caddy() {
    furnish caddy/fibcgi.caddy /etc/caddy/fibcgi.caddy
    sed -i "s#^:$HOUSE_PORT {#&\n\timport fibcgi.caddy#" "$HOUSE/etc/caddy/Caddyfile"
    start_web setpriv --reuid=caddy --regid=caddy --init-groups env HOME=/var/lib/caddy \
        caddy run --config /etc/caddy/Caddyfile
}

# Their reloads, each over when what was there before has gone.

reload_lighty() {
    local before
    before=$(web_log_count 'server started')
    kill -USR1 "$WEB"
    wait_for 30 eval "[ \$(web_log_count 'server started') -gt $before ]"
}
reload_apache() {
    local before
    before=$(web_log_count 'resuming normal operations')
    reload_processes USR1 eval "[ \$(web_log_count 'resuming normal operations') -gt $before ]"
}
reload_nginx() { reload_processes HUP true; }
reload_haproxy() { reload_processes USR2 true; }
reload_caddy() { $UNDER caddy reload --force --config /etc/caddy/Caddyfile; }

reload_processes() { # SIGNAL CONDITION…
    local old process
    old=$(pgrep -P "$WEB")
    kill "-$1" "$WEB"
    wait_for 30 "${@:2}"
    for process in $old; do wait_for 60 gone "$process"; done
}

# What is checked.

# mounted_contract: the contract at $MOUNT; a path that only ends in /compute is another path.
mounted_contract() {
    holds_contract "$MOUNT/compute"
    get "$MOUNT/nothing/compute"
    is_code 404
}

# has_closed_admin: the admin pages answer this machine and nobody else.
has_closed_admin() {
    local page
    for page in healthz readyz metrics status; do
        get "$MOUNT/$page"
        is_code 200
        get "$MOUNT/$page" --connect-to "::[::1]:$HOUSE_PORT"
        is_code 200
        get_from_outside "$MOUNT/$page"
        is_code 403
        get_from_outside "$MOUNT/$page" --connect-to "::[2001:db8::1]:$HOUSE_PORT" --interface 2001:db8::2
        is_code 403
    done
    get_from_outside "$MOUNT/compute?n=5"
    is_code 200
}
get_from_outside() { URL=http://192.0.2.1:$HOUSE_PORT get "$1" --interface 192.0.2.2 "${@:2}"; }

# has_no_admin: there are no admin pages, for anybody.
has_no_admin() {
    local page
    for page in healthz readyz metrics status; do
        get "$MOUNT/$page"
        is_code 404
    done
}

# serves_all REQUESTS: so many over 50 connections, each with the right answer.
serves_all() {
    run $UNDER "$REPO/tests/fixtures/http-load.py" "$URL$MOUNT/compute" --requests "$1"
    echo "$output"
    [[ $output == *"$1 answered, 0 failed"* ]] || { web_logs | tail -n 12 >&2; return 1; }
}

# keeps_connections: after a load the web server still has some to the pool, which counts them each second.
keeps_connections() { wait_for 5 has_open_connections; }
has_open_connections() {
    local open
    open=$($UNDER /usr/bin/fibcgi --probe /metrics --admin-listen "$ADMIN_LISTEN" | awk '$1 == "fibcgi_connections_open" { print $2 }')
    [ "${open:-0}" -gt 0 ]
}

# begin_load [OPTION…]: a load of tests/fixtures/http-load.py that goes on until end_loads.
begin_load() {
    local report=$REPORT.${#LOADS[@]}
    $UNDER "$REPO/tests/fixtures/http-load.py" "$URL$MOUNT/compute" --connections 25 "$@" >"$report" 2>&1 3>&- &
    LOADS+=($!)
    wait_for 20 grep -q loaded "$report"
}

# end_loads: ends them; true where none of their requests failed.
end_loads() {
    local load result=0
    kill -TERM "${LOADS[@]}"
    for load in "${LOADS[@]}"; do wait "$load" || result=1; done
    cat "$REPORT".*
    [ "$result" -eq 0 ] || { web_logs | tail -n 12; tail -n 12 "$LOG"; } >&2
    return "$result"
}

# begin_work: clients that keep their connections and clients that do not, with requests that keep the workers busy.
begin_work() {
    begin_load --n 20-25
    begin_load --n 20-25 --fresh
}

# survives_reloads COMMAND…: two reloads of the web server, the second one when the first is over.
survives_reloads() {
    begin_load
    begin_load --fresh
    "$@"
    "$@"
    end_loads
}

# survives_kills: ten workers are killed, one after the other.
survives_kills() {
    local i
    begin_work
    for i in $(seq 10); do
        wait_for 10 workers_are 1 at_least
        kill -KILL "$(worker_pids | shuf -n 1)" 2>/dev/null || true
        wait_for 10 eval "[ \$(log_count 'was killed by signal 9') -ge $i ]"
    done
    end_loads
}

# survives_rolls: HUP, and a CPU limit that makes the pool smaller and larger. The pool has been started in a group.
survives_rolls() {
    local many
    many=$(nproc)
    begin_work
    roll "$many"
    set_limit 1000
    wait_for 10 workers_are 1
    roll 1
    set_limit -1
    wait_for 10 workers_are "$many"
    roll "$many"
    end_loads
}
# roll WORKERS: HUP, until they all are others.
roll() {
    local old process
    old=$(worker_pids)
    kill -HUP "$POOL"
    for process in $old; do wait_for 10 gone "$process"; done
    wait_for 10 workers_are "$1"
}
enrol() {
    make_group
    JOIN=in_group
}

# survives_restarts: three times the staying pool drains, and the next one takes over its sockets.
survives_restarts() {
    local old
    begin_work
    for _ in 1 2 3; do
        old=$(cat "$HOUSE/pool.pid")
        kill -TERM "$old"
        wait_for 40 gone "$old"
        wait_for 10 pool_is_ready
    done
    end_loads
}

# start_two_pools: one on each of the two sockets. survives_leaving: each leaves and comes back while the other serves.
start_two_pools() {
    LISTEN=unix:/run/fibcgi/fib.sock.2 ADMIN_LISTEN=unix:/run/fibcgi/admin.sock.2 start_house_pool
    SECOND=$POOL
    LISTEN=unix:/run/fibcgi/fib.sock start_house_pool
}
survives_leaving() {
    begin_work
    drain_pool "$POOL"
    LISTEN=unix:/run/fibcgi/fib.sock start_house_pool
    drain_pool "$SECOND"
    LISTEN=unix:/run/fibcgi/fib.sock.2 ADMIN_LISTEN=unix:/run/fibcgi/admin.sock.2 start_house_pool
    end_loads
}
drain_pool() {
    kill -TERM "$1"
    wait_for 40 gone "$1"
    wait "$1"
}
