#!/usr/bin/env bats
# The status page in a real browser, and what programs get at the same place.

load helpers/common

setup_file() {
    PYTHON=$("$BATS_TEST_DIRNAME/../.ci/need-python" "$BATS_TEST_DIRNAME/../loadtest/page/requirements.txt")
    NODE_MODULES=$("$BATS_TEST_DIRNAME/../.ci/need-node" "$BATS_TEST_DIRNAME/browser")
    export PYTHON NODE_MODULES
}

teardown() {
    if alive "${LOAD:-}"; then kill "$LOAD" || true; fi
    stop_all
}

# start_http_pool [OPTION…]: with its admin pages at $PAGE, without a web server.
start_http_pool() {
    local port
    port=$(free_port)
    start_pool --admin-http "tcp:127.0.0.1:$port" "$@"
    PAGE=http://127.0.0.1:$port/status
}
# put_load CONNECTIONS PATH: until the test ends.
put_load() {
    wrk -t1 -c"$1" -d120s "$URL$2" >/dev/null 2>&1 3>&- &
    LOAD=$!
}
page() { "$PYTHON" "$REPO/tests/browser/status.py" "$1" "$PAGE" "${2:-}"; }
first_worker() { worker_pids | head -n 1; }
answer_has() { curl -sS --max-time 5 "$PAGE?json" | jq -e "$1" >/dev/null; }

@test "while requests are served, the figures and curves of the page change, and the console has nothing to say" {
    start_http_pool --workers 2
    start_lighttpd
    put_load 2 '/compute?n=20'
    page load
}

@test "the page says that the pool is saturated, and is as good behind lighttpd" {
    start_stack --workers 1
    PAGE=$URL/status
    put_load 30 /compute
    page saturated
}

@test "a worker that is killed while somebody looks shows up as an event" {
    start_http_pool --workers 1
    page death "$(first_worker)"
}

@test "where the pool has gone the page says so" {
    start_http_pool --workers 1
    page absence "$POOL"
}

@test "the page can be used with the keyboard, and says by itself only what matters" {
    start_http_pool --workers 1
    page keyboard
    page quiet
}

@test "axe finds nothing serious in it, in light and in dark, wide and narrow" {
    start_http_pool --workers 2
    page axe "$NODE_MODULES"
}

@test "a phone shows all of it" {
    start_http_pool --workers 1
    start_lighttpd
    put_load 2 '/compute?n=20'
    page width
}

@test "the page asks for nothing but its figures, and its policy allows nothing else" {
    start_http_pool --workers 1
    page alone
    URL=${PAGE%/status}
    get /status
    is_code 200
    [ "$(header content-type)" = 'text/html; charset=utf-8' ]
    [[ $(header content-security-policy) == "default-src 'none'; style-src 'sha256-"*"'; script-src 'sha256-"*"'; connect-src 'self'; "*"frame-ancestors 'none'" ]]
}

@test "512 workers have a row each" {
    start_http_pool --workers 512
    wait_for 20 answer_has '.workers_up == 512'
    page rows 512
}

@test "pictures of it are in build/screenshots" {
    start_http_pool --workers 3
    start_lighttpd
    put_load 30 /compute
    kill -KILL "$(first_worker)"
    wait_for 10 answer_has '.state == "saturated"'
    page pictures "$REPO/build/screenshots"
    [ "$(find "$REPO/build/screenshots" -name 'status-*.png' -size +10k | wc -l)" -eq 4 ]
}

@test "programs get JSON, by the query or by what they accept, and only what is new of the history" {
    start_http_pool --workers 1
    wait_for 10 answer_has '.history.last >= 3'
    URL=${PAGE%/status}
    get '/status?json'
    is_code 200
    [ "$(header content-type)" = application/json ]
    jq -e '.history.requests | length >= 3' "$BODY"
    get /status -H 'Accept: application/json'
    [ "$(header content-type)" = application/json ]
    get /status -H 'Accept: text/html,application/xhtml+xml,application/json;q=0.9'
    [ "$(header content-type)" = 'text/html; charset=utf-8' ]
    get "/status?json&since=$(jq .history.last <(curl -sS "$PAGE?json"))"
    jq -e '[.history | to_entries[] | select(.value | type == "array") | .value | length] | unique | length == 1 and .[0] <= 1' "$BODY"
}
