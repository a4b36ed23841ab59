#!/usr/bin/env bats
# Web servers that keep their connections to the pool (FCGI_KEEP_CONN): nginx, Apache and HAProxy lose nothing by it.

load helpers/common

setup() {
    DIR=$BATS_TEST_TMPDIR
    FIBCGI_PORT=$(free_port)
    HTTP_PORT=$(free_port)
    URL=http://127.0.0.1:$HTTP_PORT
}

teardown() {
    if alive "${WEB:-}"; then stop "$WEB" TERM; fi
    stop_all
}

# start_web COMMAND…: in the foreground of a process of its own; its port answers when this returns.
start_web() {
    "$@" >>"$DIR/web.log" 2>&1 3>&- &
    WEB=$!
    wait_for 10 eval "(exec 3<>/dev/tcp/127.0.0.1/$HTTP_PORT) 2>/dev/null" || { cat "$DIR/web.log" >&2; return 1; }
}

start_nginx() {
    mkdir -p "$DIR/nginx"
    cat >"$DIR/nginx.conf" <<EOF
daemon off; pid $DIR/nginx.pid; error_log $DIR/web.log; worker_processes 2;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $DIR/nginx; fastcgi_temp_path $DIR/nginx; proxy_temp_path $DIR/nginx;
    uwsgi_temp_path $DIR/nginx; scgi_temp_path $DIR/nginx;
    upstream pool { server unix:$SOCKET max_fails=0; server unix:$SOCKET.2 max_fails=0; keepalive 16; }
    server {
        listen 127.0.0.1:$HTTP_PORT; keepalive_requests 100000;
        location / { include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_NAME ""; fastcgi_param PATH_INFO \$uri;
                     fastcgi_pass pool; fastcgi_keep_conn on; }
    }
}
EOF
    start_web nginx -e "$DIR/web.log" -c "$DIR/nginx.conf"
}

start_apache() {
    cat >"$DIR/apache.conf" <<EOF
ServerRoot $DIR
ServerName localhost
PidFile $DIR/apache.pid
Listen 127.0.0.1:$HTTP_PORT
ErrorLog $DIR/web.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule env_module /usr/lib/apache2/modules/mod_env.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_fcgi_module /usr/lib/apache2/modules/mod_proxy_fcgi.so
User www-data
Group www-data
MaxKeepAliveRequests 0
KeepAliveTimeout 60
# Apache closes kept connections of clients when all threads are busy, and when it has more than it thinks it needs.
StartServers 4
ServerLimit 4
ThreadsPerChild 64
MaxRequestWorkers 256
MaxSpareThreads 256
ProxyPass "/" "fcgi://127.0.0.1:$FIBCGI_PORT/" enablereuse=on retry=0
SetEnv proxy-fcgi-pathinfo first-dot
EOF
    start_web apache2 -D FOREGROUND -f "$DIR/apache.conf"
}

start_haproxy() {
    cat >"$DIR/haproxy.cfg" <<EOF
global
    maxconn 2000
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend web
    bind 127.0.0.1:$HTTP_PORT
    default_backend pool
backend pool
    use-fcgi-app fibcgi
    http-reuse always
    server one 127.0.0.1:$FIBCGI_PORT proto fcgi
fcgi-app fibcgi
    docroot /
    path-info ^()(/.*)$
    option get-values
    option keep-conn
    option mpxs-conns
EOF
    start_web haproxy -db -f "$DIR/haproxy.cfg"
}

# The pool on its Unix sockets and on a TCP port; web servers run as another user.
start_open_pool() {
    SOCKET=$DIR/fib.sock ADMIN=$DIR/admin.sock LOG=$DIR/pool.log
    chmod 755 "$BATS_RUN_TMPDIR" "$DIR"
    "$FIBCGI" --listen "unix:$SOCKET,unix:$SOCKET.2,tcp:127.0.0.1:$FIBCGI_PORT" --admin-listen "unix:$ADMIN" \
        --socket-mode 0666 "$@" >>"$LOG" 2>&1 3>&- &
    POOL=$!
    wait_for 5 pool_is_up
}

# load REQUESTS [COMMAND…]: so many over 50 connections; the command runs again and again meanwhile. None may fail.
load_loses_nothing() {
    local requests=$1 load
    shift
    h2load --h1 -n "$requests" -c 50 "$URL/compute?n=20" >"$DIR/load" 2>&1 3>&- &
    load=$!
    ROUNDS=0
    while [ $# -gt 0 ] && alive "$load"; do
        "$@"
        ROUNDS=$((ROUNDS + 1))
    done
    wait "$load"
    grep -E '^(requests|status|finished)' "$DIR/load"
    grep -qF " $requests succeeded, 0 failed, 0 errored, 0 timeout" "$DIR/load"
    grep -qF "status codes: $requests 2xx, 0 3xx, 0 4xx, 0 5xx" "$DIR/load"
}

replace_a_worker() {
    local worker before
    wait_for 10 workers_are 2 at_least
    before=$(admin "/status?json" | jq '[.restarts[]] | add')
    worker=$(worker_pids | shuf -n 1)
    if [ $((ROUNDS % 3)) -eq 2 ]; then kill -HUP "$POOL"; else kill -KILL "$worker" 2>/dev/null || true; fi
    wait_for 10 pool_has_restarted $((before + 1))
}

# The load has ended, and connections are open still: they were kept.
connections_were_kept() {
    [ "$(pool_metric fibcgi_connections_open)" -gt 0 ]
}

keeps_and_loses_nothing() {
    load_loses_nothing 10000
    # The gauge is up to a second old.
    wait_for 4 connections_were_kept
    load_loses_nothing 10000 replace_a_worker
    [ "$ROUNDS" -ge 1 ]
    [ "$(pool_metric 'fibcgi_requests_total{code="200"}')" -ge 20000 ]
}

@test "nginx with fastcgi_keep_conn on: 10,000 requests, and 10,000 while workers are killed and replaced, none fails" {
    start_open_pool --workers 2
    start_nginx
    keeps_and_loses_nothing
}

@test "Apache with enablereuse=on: 10,000 requests, and 10,000 while workers are killed and replaced, none fails" {
    start_open_pool --workers 2
    start_apache
    keeps_and_loses_nothing
}

@test "HAProxy with get-values, keep-conn and mpxs-conns: 10,000 requests, and 10,000 while workers are killed and replaced, none fails" {
    start_open_pool --workers 2
    start_haproxy
    keeps_and_loses_nothing
}
