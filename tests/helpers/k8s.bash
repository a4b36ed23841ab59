# The chart, installed for the tests into a namespace of their own in the cluster of kubectl's context. tests/k8s/run has
# loaded the images before.
# shellcheck shell=bash

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/helpers/common.bash
. "$REPO/tests/helpers/common.bash"

CHART=$REPO/k8s/chart
# A rolling restart, a node's drain: how long any of them may take on a slow machine.
ROLLOUT_SECONDS=120
# Of each kind of load while something happens.
REQUESTS=2000

kube() { kubectl --namespace "$NAMESPACE" "$@"; }

# use_namespace NAME: a namespace in which the API server refuses what is not within Pod Security's "restricted".
use_namespace() {
    NAMESPACE=$1
    export NAMESPACE
    kubectl create namespace "$NAMESPACE" >/dev/null
    kubectl label namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=restricted \
        pod-security.kubernetes.io/warn=restricted >/dev/null
    # The controller makes it; a pod cannot be made before.
    wait_for 30 kube get serviceaccount default
}
leave_namespace() { kubectl delete namespace "$NAMESPACE" --wait=false >/dev/null; }

# install_chart [HELM OPTION…]: as the release fib, or a change to it; returns when it serves.
install_chart() {
    helm upgrade --install fib "$CHART" --namespace "$NAMESPACE" --values "$REPO/tests/fixtures/k8s-values.yaml" \
        --wait --timeout "${ROLLOUT_SECONDS}s" "$@" 3>&-
}

# Through the Service, as any client in the cluster.
use_service() {
    URL=http://$(kube get service fib-fibcgi --output jsonpath='{.spec.clusterIP}:{.spec.ports[0].port}')
    wait_for 20 answers
}
answers() { get "/compute?n=5" && [ "$CODE" = 200 ]; }

# The pods that are there to stay.
pods() {
    kube get pods --selector app.kubernetes.io/instance=fib,app.kubernetes.io/component=pod --output json |
        jq -r '.items[] | select(.metadata.deletionTimestamp == null) | .metadata.name'
}
first_pod() { pods | head -n 1; }
pod_is_gone() { ! kube get pod "$1" >/dev/null 2>&1; }
pods_are_others_than() { [ -z "$(comm -12 <(pods | sort) <(echo "$1" | sort))" ]; }
# pod_status POD FILTER: something of its /status, on the admin port, where the kubelet asks, too.
pod_status() {
    curl -sS --max-time 5 "http://$(kube get pod "$1" --output jsonpath='{.status.podIP}'):9180/status?json" | jq -r "$2"
}
has_workers() { [ "$(pod_status "$1" .workers_up)" = "$2" ]; }
# restarts: of all containers of all pods.
restarts() {
    kube get pods --selector app.kubernetes.io/instance=fib --output json |
        jq '[.items[].status | .containerStatuses[]?, .initContainerStatuses[]? | .restartCount] | add'
}
ready_pods_are() { [ "$(kube get deployment fib-fibcgi --output jsonpath='{.status.readyReplicas}')" = "$1" ]; }
settled() { kube rollout status deployment/fib-fibcgi --timeout "${ROLLOUT_SECONDS}s" 3>&-; }
settled_at() { wait_for "$ROLLOUT_SECONDS" ready_pods_are "$1" && settled; }

# Two loads through the Service, one whose clients keep their connections and one with a new connection for each request,
# until end_loads, which fails where one request was not answered as it should. At least $REQUESTS each.
begin_loads() {
    LOADS=()
    begin_load kept
    begin_load fresh --fresh
}
begin_load() { # NAME [OPTION…]
    "$REPO/tests/fixtures/http-load.py" "$URL/compute" --connections 20 --n 18-24 --at-least "$REQUESTS" "${@:2}" \
        >"$BATS_TEST_TMPDIR/load-$1" 2>&1 3>&- &
    LOADS+=("$!")
    wait_for 20 grep -q loaded "$BATS_TEST_TMPDIR/load-$1"
}
end_loads() {
    local load status=0
    kill -TERM "${LOADS[@]}"
    for load in "${LOADS[@]}"; do
        wait_for 120 gone "$load" || kill -KILL "$load"
        wait "$load" || status=1
    done
    LOADS=()
    for load in "$BATS_TEST_TMPDIR"/load-*; do
        echo "# ${load##*/load-}: $(tail -n 1 "$load")" >&3
    done
    [ "$status" -eq 0 ] || cat "$BATS_TEST_TMPDIR"/load-*
    return $status
}
stop_loads() { [ -z "${LOADS[*]:-}" ] || kill -KILL "${LOADS[@]}" 2>/dev/null || true; }
