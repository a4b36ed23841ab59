#!/usr/bin/env bats
# What happens to pods in the course of a day, each under load through the Service: no request fails, neither of clients that
# keep their connections nor of those that do not.

load ../helpers/k8s

setup() {
    use_service
    settled
}
teardown() { stop_loads; }

# seconds_of COMMAND…: how long it took, into $TOOK.
seconds_of() {
    local began=$SECONDS
    "$@"
    TOOK=$((SECONDS - began))
}

@test "a rolling restart loses no request" {
    local before
    before=$(pods)
    begin_loads
    kube rollout restart deployment/fib-fibcgi
    settled
    wait_for "$ROLLOUT_SECONDS" pods_are_others_than "$before"
    end_loads
}

@test "helm upgrade to another image loses no request" {
    begin_loads
    install_chart --set "responder.image.tag=$NEXT_TAG,lighttpd.image.tag=$NEXT_TAG"
    [[ $(kube get pod "$(first_pod)" --output jsonpath='{.spec.containers[*].image}') == *":$NEXT_TAG "*":$NEXT_TAG" ]]
    install_chart
    end_loads
}

@test "the deletion of a pod loses no request, and takes no longer than the endpoints need and 4 seconds" {
    local pod
    pod=$(first_pod)
    begin_loads
    seconds_of kube delete pod "$pod" --wait=true
    echo "# gone after $TOOK s" >&3
    settled_at 2
    end_loads
    [ "$TOOK" -le 7 ]
}

@test "the drain of a node evicts one pod after the other, and loses no request" {
    local before node drain
    before=$(pods)
    node=$(kube get pod "$(first_pod)" --output jsonpath='{.spec.nodeName}')
    begin_loads
    kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data --timeout "${ROLLOUT_SECONDS}s" \
        --pod-selector app.kubernetes.io/instance=fib >"$BATS_TEST_TMPDIR/drain" 2>&1 3>&- &
    drain=$!
    wait_for 30 grep -q evicting "$BATS_TEST_TMPDIR/drain"
    # A cluster of one node has nowhere else to put them. The disruption budget makes the second wait for the first's successor.
    kubectl uncordon "$node"
    wait "$drain" || { cat "$BATS_TEST_TMPDIR/drain"; false; }
    settled_at 2
    pods_are_others_than "$before"
    end_loads
}

@test "scaling up and down loses no request" {
    begin_loads
    kube scale deployment/fib-fibcgi --replicas 4
    settled_at 4
    kube scale deployment/fib-fibcgi --replicas 1
    settled_at 1
    kube scale deployment/fib-fibcgi --replicas 2
    settled_at 2
    end_loads
}

@test "workers follow an in-place resize from 500m to 2 CPUs and back, without a restart, and no request is lost" {
    local before pod
    before=$(pods)
    begin_loads
    for limit in 2000m:2 430m:1; do
        for pod in $before; do
            kube patch pod "$pod" --subresource resize --type strategic --patch \
                "{\"spec\":{\"containers\":[{\"name\":\"responder\",\"resources\":{\"limits\":{\"cpu\":\"${limit%:*}\"}}}]}}" >/dev/null
        done
        for pod in $before; do wait_for 60 has_workers "$pod" "${limit#*:}"; done
    done
    end_loads
    [ "$(pods)" = "$before" ]
    [ "$(restarts)" -eq 0 ]
}

@test "a responder as native sidecar, and lighttpd as one: a rolling restart loses no request" {
    local topology
    for topology in responderSidecar lighttpdSidecar; do
        install_chart --set "topology=$topology"
        begin_loads
        kube rollout restart deployment/fib-fibcgi
        settled
        end_loads
    done
    install_chart
}
