#!/usr/bin/env bats
# What a client sees, through the real lighttpd with the configuration as it stands.

load helpers/common

setup_file() {
    BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
    start_stack --workers 2
    export URL POOL LIGHTTPD LOG SOCKET ADMIN
}
teardown_file() { stop_all; }

@test "GET /compute answers fibonacci(30) as JSON" {
    get /compute
    is_code 200
    [ "$(header content-type)" = application/json ]
    [ "$(jq -c '[.n, .result, (.elapsed_us | type)]' "$BODY")" = '[30,832040,"number"]' ]
    [ "$(header content-length)" -eq "$(stat -c %s "$BODY")" ]
}

@test "n chooses the number, from 0 to the bound" {
    get '/compute?n=0'
    is_code 200
    [ "$(jq .result "$BODY")" = 0 ]
    get '/compute?n=1'
    is_code 200
    [ "$(jq .result "$BODY")" = 1 ]
    get '/compute?n=20'
    is_code 200
    [ "$(jq .result "$BODY")" = 6765 ]
    get '/compute?n=30'
    is_code 200
    [ "$(jq .result "$BODY")" = 832040 ]
    get '/compute?other=1&n=7&x'
    is_code 200
    [ "$(jq .result "$BODY")" = 13 ]
}

@test "an encoded n is the same n" {
    get '/compute?n=%32%30'
    is_code 200
    [ "$(jq .result "$BODY")" = 6765 ]
}

@test "a bad n is refused with a problem document that names the field and its bounds" {
    local bad
    for bad in '' -1 31 1e3 3.0 +5 abc '5%20' 0x10 99999999999999999999999999999999999999 '1%2C000' '5%'; do
        get "/compute?n=$bad"
        is_code 400 || { echo "n=$bad" >&2; return 1; }
        [ "$(header content-type)" = application/problem+json ]
        [ "$(jq -c '[.status, .field, .minimum, .maximum, .type]' "$BODY")" = '[400,"n",0,30,"about:blank"]' ]
    done
    get '/compute?n'
    is_code 400
    get '/compute?n=5&n=5'
    is_code 400
    has_body 'more than once'
}

@test "a NUL in n is refused" {
    get '/compute?n=5%00'
    is_code 400
}

@test "HEAD answers like GET without the body" {
    get /compute --head
    is_code 200
    [ "$(header content-type)" = application/json ]
    [ "$(header content-length)" -gt 10 ]
}

@test "OPTIONS answers 204 with Allow" {
    get /compute -X OPTIONS
    is_code 204
    [ "$(header allow)" = "GET, HEAD, OPTIONS" ]
    [ ! -s "$BODY" ]
}

@test "other methods answer 405 with Allow" {
    local method
    for method in POST PUT DELETE PATCH PROPFIND; do
        get /compute -X "$method" --data ""
        is_code 405
        [ "$(header allow)" = "GET, HEAD, OPTIONS" ]
        [ "$(jq .status "$BODY")" = 405 ]
    done
    get /compute --data 'n=5'
    is_code 405
}

@test "an unknown path answers 404 with a problem document" {
    local path
    for path in / /nothing /compute/ /compute/x /Compute /x/compute; do
        get "$path"
        is_code 404 || { echo "$path" >&2; return 1; }
        [ "$(header content-type)" = application/problem+json ]
    done
}

@test "health, readiness, metrics and status are answered on loopback" {
    get /healthz
    is_code 200
    has_body ok
    get /readyz
    is_code 200
    get /status?json
    is_code 200
    [ "$(jq -c '[.state, .workers_up, (.workers | length)]' "$BODY")" = '["serving",2,2]' ]
    get /metrics
    is_code 200
    has_body 'fibcgi_requests_total{code="200"}'
    has_body 'fibcgi_workers{state="idle"}'
    get /healthz --data ''
    is_code 405
}

@test "the metrics count what was answered" {
    local before after
    before=$(metric 'fibcgi_requests_total{code="400"}')
    for _ in 1 2 3; do get '/compute?n=x'; done
    after=$(metric 'fibcgi_requests_total{code="400"}')
    [ $((after - before)) -eq 3 ]
    [ "$(metric 'fibcgi_request_duration_seconds_bucket{le="+Inf"}')" = "$(metric fibcgi_request_duration_seconds_count)" ]
}

@test "no server version is told, and the answers carry the security headers" {
    get /compute
    [ -z "$(header server)" ]
    [ "$(header x-content-type-options)" = nosniff ]
    [ "$(header cache-control)" = no-store ]
}

@test "a large query string is answered, a header beyond the bound gets 431" {
    get "/compute?n=5&pad=$(head -c 6000 /dev/zero | tr '\0' x)"
    is_code 200
    get /compute -H "X-Large: $(head -c 4000 /dev/zero | tr '\0' x)"
    is_code 200
    get /compute -H "X-Large: $(head -c 60000 /dev/zero | tr '\0' x)"
    is_code 431
}

@test "a client speaks HTTP/2 without TLS" {
    get /compute --http2-prior-knowledge
    is_code 200
    grep -q '^HTTP/2 200' "$HEADERS"
    [ "$(jq .result "$BODY")" = 832040 ]
}

@test "h2load: 40 connections with 8 streams each, none of 2,000 requests fails" {
    run h2load -n 2000 -c 40 -m 8 "$URL/compute?n=10"
    echo "$output"
    [[ $output == *'2000 succeeded, 0 failed, 0 errored, 0 timeout'* ]]
    [[ $output == *'2000 2xx'* ]]
}

@test "a kept-alive connection carries one request after the other" {
    run curl -sS --max-time 10 -o /dev/null -o /dev/null -o /dev/null -w '%{http_code} %{num_connects}\n' \
        "$URL/compute" "$URL/compute?n=1" "$URL/compute?n=x"
    [ "$output" = $'200 1\n200 0\n400 0' ]
}
