#!/usr/bin/env bats
# The comparison of loadtest/ in a cluster: servers and load as anywhere else, kills of containers and pods.

load ../helpers/k8s

setup() { RESULTS=$BATS_TEST_TMPDIR/results.json; }

# compare OPTION…: on this cluster, which has the images.
compare() {
    env -u IMAGE_LOAD "$REPO/loadtest/compare" "$REPO/build/fibcgi" --target kubernetes --output "$RESULTS" --runtimes fibcgi,rust "$@" 2>&1 3>&-
}
# figure TEST RUNTIME FILTER: of that result.
figure() { jq -r --arg test "$1" --arg runtime "$2" ".loadtest.results[] | select(.test == \$test and .runtime == \$runtime) | $3" "$RESULTS"; }

@test "the comparison asks the Services themselves: no request fails, memory and CPU are the containers'" {
    local name
    compare --tests load --seconds-scale 0.06
    for name in fibcgi rust; do
        [ "$(figure load $name '.failed')" -eq 0 ]
        [ "$(figure load $name '.requests > 100')" = true ]
        [ "$(figure load $name '.memory | .kind, (.end_mib > 0.5 and .end_mib < 64)')" = $'working set of the containers\ntrue' ]
        [ "$(figure load $name '.server.cpus > 0.1 and .server.cpus < 0.8')" = true ]
        [ "$(figure load $name '.restarts')" -eq 0 ]
    done
    [ -z "$(kubectl get namespaces --selector fibcgi-loadtest --output name)" ]
}

@test "a killed container and a deleted pod are back, and what was lost is on record" {
    local name
    [ -n "${CONTAINER_KILL:-}" ] || skip 'CONTAINER_KILL is not set'
    compare --tests recovery --seconds-scale 0.2
    for name in fibcgi rust; do
        [ "$(figure recovery $name '[.summary[].what] | join(" ")')" = 'container pod' ]
        [ "$(figure recovery $name '[.summary[] | select(.next_answer_ms.median > 20 and .next_answer_ms.median < 30000)] | length')" -eq 2 ]
        # A pod may have answered all it had in hand.
        [ "$(figure recovery $name '.summary | .[0].failed > 0, ([.[] | select(.failed < .requests)] | length)')" = $'true\n2' ]
    done
    CONTAINER_KILL=false run compare --fresh --tests recovery --runtimes rust --seconds-scale 0.2
    [ "$status" -ne 0 ]
    [[ $output == *'the kill did not work'* ]]
}
