# The contract's rows as a check that every mode, mount and web server has to pass.
# shellcheck shell=bash

# holds_contract PATH [OTHER]: where /compute is mounted at PATH; OTHER is a path beside it.
holds_contract() {
    local at=$1 other=${2:-${1%/compute}/nothing} n
    get "$at"
    is_code 200
    [ "$(header content-type)" = application/json ]
    [ "$(jq -c '[.n, .result, (.elapsed_us | type)]' "$BODY")" = '[30,832040,"number"]' ]
    for n in 5 20; do
        get "$at?n=$n"
        is_code 200
        [ "$(jq -c '[.n, .result]' "$BODY")" = "[$n,$((n == 5 ? 5 : 6765))]" ]
    done
    for n in 31 -1 abc ''; do
        get "$at?n=$n"
        is_code 400
        [ "$(header content-type)" = application/problem+json ]
        [ "$(jq -c '[.status, .field, .minimum, .maximum, .type]' "$BODY")" = '[400,"n",0,30,"about:blank"]' ]
    done
    get "$at" --head
    is_code 200
    [ "$(header content-type)" = application/json ]
    get_raw_head "$at"
    [ ! -s "$BODY" ] || { echo "HEAD has a body: $(cat "$BODY")" >&2; return 1; }
    get "$at" -X OPTIONS
    is_code 204
    [ "$(header allow)" = 'GET, HEAD, OPTIONS' ]
    [ ! -s "$BODY" ]
    get "$at" --data 'n=5'
    is_code 405
    [ "$(header allow)" = 'GET, HEAD, OPTIONS' ]
    [ "$(jq .status "$BODY")" -eq 405 ]
    get "$other"
    is_code 404
    [ "$(header content-type)" = application/problem+json ]
    [ "$(jq .status "$BODY")" -eq 404 ]
}

# get_raw_head PATH: HEAD by a client that does not know that there should be no body, and waits for the end.
get_raw_head() {
    BODY=$BATS_TEST_TMPDIR/body
    : >"$BODY"
    # 18: fewer bytes than Content-Length says, as it should be.
    curl -sS --max-time 20 --http1.0 -X HEAD -o "$BODY" "$URL$1" 2>/dev/null || [ $? -eq 18 ]
}
