#!/usr/bin/env bats
# What goes wrong in a cluster: killed containers, and more load than can be served.

load ../helpers/k8s

setup() {
    use_service
    settled
}
teardown() { stop_loads; }

# kill_container POD NAME: SIGKILL to its first process, on its node; $CONTAINER_KILL says how.
kill_container() {
    local id
    id=$(kube get pod "$1" --output json | jq -r --arg name "$2" '.status.containerStatuses[] | select(.name == $name).containerID')
    # It is a command with its options.
    # shellcheck disable=SC2086
    $CONTAINER_KILL "${id#*://}"
}
has_restarted() { [ "$(kube get pod "$1" --output json | jq --arg name "$2" '.status.containerStatuses[] | select(.name == $name).restartCount')" -ge "$3" ]; }

@test "a killed container is started again in its pod, which serves again" {
    local pod container
    [ -n "${CONTAINER_KILL:-}" ] || skip 'CONTAINER_KILL is not set'
    pod=$(first_pod)
    for container in responder lighttpd; do
        kill_container "$pod" "$container"
        wait_for 30 has_restarted "$pod" "$container" 1
        settled_at 2
        wait_for 10 has_workers "$pod" 1
    done
    answers
}

@test "under full overload for 60 seconds no probe restarts anything, and no pod loses its endpoint" {
    local before end
    before=$(restarts)
    REQUESTS=0 begin_load overload --connections 400 --n 30-30
    end=$((SECONDS + 60))
    while [ "$SECONDS" -lt "$end" ]; do
        ready_pods_are 2
        sleep 1
    done
    end_loads
    [ "$(restarts)" -eq "$before" ]
}

@test "the HorizontalPodAutoscaler adds pods under load, and takes them away after it" {
    kubectl get --raw /apis/metrics.k8s.io/v1beta1/nodes >/dev/null 2>&1 || skip 'the cluster has no metrics API (metrics-server)'
    install_chart --values "$REPO/tests/fixtures/k8s-autoscaling-values.yaml"
    settled_at 1
    REQUESTS=0 begin_load busy --connections 20 --n 28-30
    wait_for 180 ready_pods_are 2
    end_loads
    wait_for 180 ready_pods_are 1
    install_chart
    settled_at 2
}
