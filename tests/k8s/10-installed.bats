#!/usr/bin/env bats
# The chart as installed, in a namespace that enforces Pod Security's "restricted".

load ../helpers/k8s
load ../helpers/contract

setup() { use_service; }

@test "the contract holds through the Service" {
    holds_contract /compute
    for page in healthz readyz metrics status; do
        get "/$page"
        is_code 403
    done
}

@test "helm test: the answer, and as many workers as the limit says" {
    run helm test fib --namespace "$NAMESPACE" --timeout 60s
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *'Phase:          Succeeded'* ]]
}

@test "the admin port answers in the pod's network: health, readiness, metrics" {
    local address
    address=$(kube get pod "$(first_pod)" --output jsonpath='{.status.podIP}')
    for page in healthz readyz metrics; do
        curl -sSf --max-time 5 -o "$BATS_TEST_TMPDIR/$page" "http://$address:9180/$page"
    done
    grep -q '^fibcgi_requests_total' "$BATS_TEST_TMPDIR/metrics"
}

@test "no container has had to be restarted" {
    [ "$(restarts)" -eq 0 ]
}
