#!/usr/bin/env bats
# The comparison of loadtest/ over pods under podman.

load helpers/containers

setup_file() {
    need_podman
    make_in "$REPO" images peer-images >&2
}

setup() {
    need_podman
    RESULTS=$BATS_TEST_TMPDIR/results.json
}

compare() { "$REPO/loadtest/compare" "$FIBCGI" --target podman --output "$RESULTS" --runtimes fibcgi,rust "$@" 2>&1 3>&-; }
# figure TEST RUNTIME FILTER: of that result.
figure() { jq -r --arg test "$1" --arg runtime "$2" ".loadtest.results[] | select(.test == \$test and .runtime == \$runtime) | $3" "$RESULTS"; }
nothing_is_left() { [ -z "$("$ENGINE" pod ps --quiet --filter name=fibcgi-loadtest-)$("$ENGINE" volume ls --quiet --filter name=fibcgi-loadtest-)" ]; }

@test "pods are loaded side by side: no request fails, and size and memory are known" {
    local name
    # At a tenth of the limit, which a machine that others keep busy gives all the same.
    compare --tests footprint,squeeze --seconds-scale 0.05
    for name in fibcgi rust; do
        [ "$(figure squeeze $name '.failed')" -eq 0 ]
        [ "$(figure squeeze $name '.requests > 50 and .memory.end_mib > 0.5 and .server.throttled_share > 0.3')" = true ]
        [ "$(figure footprint $name '.image | .kind, (.mb > 2 and .mb < 10)')" = $'container images\ntrue' ]
    done
    [ "$(figure footprint fibcgi '.image.parts | keys | join(" ")')" = 'lighttpd responder' ]
    nothing_is_left
}

@test "a killed worker in a pod costs no request; a killed container is started again" {
    compare --tests recovery --seconds-scale 0.2
    [ "$(figure recovery fibcgi '[.summary[].what] | join(" ")')" = 'worker container lighttpd' ]
    [ "$(figure recovery fibcgi '.summary[0] | .failed, (.next_answer_ms.median < 150)')" = $'0\ntrue' ]
    [ "$(figure recovery rust '[.summary[].what] | join(" ")')" = container ]
    [ "$(figure recovery rust '.restarts')" -eq 1 ]
    [ "$(figure recovery fibcgi '.restarts')" -eq 2 ]
    nothing_is_left
}
