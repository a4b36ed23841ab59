#!/usr/bin/env bats
# The chart's pod under podman: limits, workers, kills, stops.

load helpers/containers

setup_file() {
    need_podman
    make_in "$REPO" images >&2
    HELM=$("$REPO/.ci/need-program" helm3)
    export HELM
}

setup() {
    need_podman
    POD=fibcgi-test-$$-$BATS_TEST_NUMBER
    PORT=$(free_port)
    URL=http://127.0.0.1:$PORT
    LOADS=()
    export POD PORT
}

teardown() {
    [ ${#LOADS[@]} -eq 0 ] || kill -KILL "${LOADS[@]}" 2>/dev/null || true
    if "$ENGINE" pod exists "$POD-pod-0"; then
        "$ENGINE" logs "$(responder)" 2>&1 | tail -n 12
        "$REPO/container/pod" down
    fi
}

# start_pod [HELM OPTION…]
start_pod() { HELM_ARGUMENTS="$*" "$REPO/container/pod" up 3>&-; }
responder() { echo "$POD-pod-0-responder"; }
lighttpd() { echo "$POD-pod-0-lighttpd"; }
# pids CONTAINER: of its processes, as this machine sees them.
pids() { "$ENGINE" top "$1" hpid | tail -n +2; }
answers() { get "/compute?n=${1:-5}" && [ "$CODE" = 200 ]; }

begin_load() { # [OPTION…]
    "$REPO/tests/fixtures/http-load.py" "$URL/compute" "$@" >"$BATS_TEST_TMPDIR/load" 2>&1 3>&- &
    LOADS+=("$!")
    wait_for 20 grep -q loaded "$BATS_TEST_TMPDIR/load"
}
end_load() {
    local status=0
    kill -TERM "${LOADS[0]}" 2>/dev/null || true
    wait "${LOADS[0]}" || status=$?
    LOADS=()
    cat "$BATS_TEST_TMPDIR/load"
    return $status
}

# quota CONTAINER: its CPU limit in thousandths of a CPU, as the kernel has it.
quota() {
    local group
    group=$(container_group "$1" cpu)
    if [ -e "$group/cpu.max" ]; then
        awk '{ print $1 * 1000 / $2 }' "$group/cpu.max"
    else
        echo $(($(cat "$group/cpu.cfs_quota_us") * 1000 / $(cat "$group/cpu.cfs_period_us")))
    fi
}
set_quota() { # CONTAINER THOUSANDTHS
    local group
    group=$(container_group "$1" cpu)
    if [ -e "$group/cpu.max" ]; then
        echo "$(($2 * 100)) 100000" >"$group/cpu.max"
    else
        echo $(($2 * 100)) >"$group/cpu.cfs_quota_us"
    fi
}
workers() { pgrep -c -f 'fibcgi: worker' -P "$(master)" || true; }
master() { pids "$(responder)" | while read -r pid; do if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q '^fibcgi: master'; then echo "$pid"; fi; done; }
has_workers() { [ "$(workers)" = "$1" ]; }

@test "the chart's pod answers, and opens no port of this machine but its own" {
    start_pod
    get /compute
    is_code 200 && has_body '"result":832040'
    run "$ENGINE" port "$(lighttpd)"
    [ "$output" = "8080/tcp -> 0.0.0.0:$PORT" ]
    get /metrics
    is_code 403
}

@test "its CPU and memory limits are the kernel's, and add up to the chart's" {
    local file
    start_pod --set cpu=500m
    [ "$(($(quota "$(responder)") + $(quota "$(lighttpd)")))" -eq 500 ]
    [ "$(quota "$(lighttpd)")" -eq 70 ]
    for container in "$(responder)" "$(lighttpd)"; do
        file=$(container_group "$container" memory)
        if [ -e "$file/memory.max" ]; then file+=/memory.max; else file+=/memory.limit_in_bytes; fi
        [ "$(cat "$file")" -eq $((64 * 1024 * 1024)) ]
    done
}

@test "the number of workers follows the CPU limit while it runs, and nothing else has to be told" {
    local most limit
    most=$(nproc)
    start_pod --set cpu=500m
    has_workers 1
    for limit in 50:1 2000:2 1000:1 1500:2 4000:4 500:1; do
        set_quota "$(responder)" "${limit%:*}"
        wait_for 10 has_workers "$((${limit#*:} < most ? ${limit#*:} : most))"
    done
}

@test "neither container has a user, a capability or a file to write that it could do without" {
    local pid
    start_pod
    for pid in $(pids "$(responder)") $(pids "$(lighttpd)"); do
        run sed -nE 's/^(CapEff|CapBnd|NoNewPrivs|Seccomp):\t//p' "/proc/$pid/status"
        [ "$output" = $'0000000000000000\n0000000000000000\n1\n2' ]
        [[ $(stat -c %u:%g "/proc/$pid") =~ ^6553[23]:65532$ ]]
        # The root file system, seen through the process, is read-only.
        run touch "/proc/$pid/root/new"
        [ "$status" -ne 0 ]
    done
    [ "$(stat -c '%a %u:%g' "/proc/$(master)/root/run/fibcgi/fib.sock")" = '660 65532:65532' ]
}

@test "a responder container that is killed serves again, by the restart policy" {
    local began
    start_pod
    began=$(date +%s%N)
    kill -KILL "$(master)"
    wait_for 10 answers
    echo "serving again after $((($(date +%s%N) - began) / 1000000)) ms" >&3
    [ "$("$ENGINE" inspect --format '{{.RestartCount}}' "$(responder)")" -ge 1 ]
}

@test "a lighttpd container that is killed serves again, and the pool has not noticed" {
    local before
    start_pod
    before=$(master)
    kill -KILL "$(pids "$(lighttpd)")"
    wait_for 10 answers
    [ "$(master)" = "$before" ]
}

@test "a worker that is killed under load costs no request" {
    local i
    start_pod
    begin_load --connections 20 --n 18-24
    for i in 1 2 3 4 5; do
        kill -KILL "$(pgrep -f 'fibcgi: worker' -P "$(master)" | head -n 1)"
        wait_for 10 pool_has_counted "$i" 'was killed by signal 9'
        wait_for 10 has_workers 1
    done
    end_load
}

pool_has_counted() { [ "$("$ENGINE" logs "$(responder)" 2>&1 | grep -c -- "$2")" -ge "$1" ]; }

@test "a pod that is killed as a whole, and one that is restarted, serves again" {
    start_pod
    "$ENGINE" pod kill --signal KILL "$POD-pod-0" >/dev/null 3>&-
    "$ENGINE" pod start "$POD-pod-0" >/dev/null 3>&-
    wait_for 10 answers
    "$ENGINE" pod restart "$POD-pod-0" >/dev/null 3>&-
    wait_for 10 answers
}

@test "a stop of the pod under 50 kept connections loses no request" {
    start_pod
    begin_load --connections 50 --n 18-24 --until-closed
    CONTAINER_ENGINE=$(engine_that_keeps_the_log) "$REPO/container/pod" down
    end_load
    cat "$BATS_TEST_TMPDIR/said"
    grep -q '"level":"info",.*"message":"stopped"' "$BATS_TEST_TMPDIR/said"
}
# A podman that saves what the pool said before it removes a pod, and the log with it. (`podman logs --follow` may end
# before the last lines are there.)
engine_that_keeps_the_log() {
    cat >"$BATS_TEST_TMPDIR/podman" <<EOF
#!/bin/sh
[ "\$1 \$2" != 'pod rm' ] || '$ENGINE' logs '$(responder)' >'$BATS_TEST_TMPDIR/said' 2>&1
exec '$ENGINE' "\$@"
EOF
    chmod +x "$BATS_TEST_TMPDIR/podman"
    echo "$BATS_TEST_TMPDIR/podman"
}

@test "a stop that reaches the pool first waits for lighttpd, and loses no request" {
    start_pod
    begin_load --connections 50 --n 18-24 --until-closed
    kill -TERM "$(master)"
    wait_for 5 pool_has_said 'serving on until nobody listens on port 8080'
    answers
    "$ENGINE" stop --time 30 "$(lighttpd)" >/dev/null
    end_load
    wait_for 5 pool_has_said 'the web server has left'
    wait_for 5 pool_has_said '"level":"info",.*"message":"stopped"'
}
pool_has_said() { "$ENGINE" logs "$(responder)" 2>&1 | grep -q -- "$1"; }

@test "50m in all and 100 clients: slow, and no error" {
    start_pod --set cpu=50m
    begin_load --connections 100 --n 20-24 --at-least 300
    end_load
}

@test "under overload the health checks go on being answered, within a second" {
    local pid
    start_pod
    pid=$(master)
    begin_load --connections 200 --n 28-30
    for _ in $(seq 20); do
        nsenter -t "$pid" -n curl -sSf --max-time 1 http://127.0.0.1:9180/healthz
    done
    end_load
}

@test "the access log is lines of JSON on standard error" {
    start_pod --set lighttpd.accessLog=true
    get '/compute?n=3'
    # It is written out within a few seconds.
    wait_for 20 logged
    "$ENGINE" logs "$(lighttpd)" 2>&1 | grep '^{' | head -n 1 | jq -e '.status'
}
logged() { "$ENGINE" logs "$(lighttpd)" 2>&1 | grep -q '"path":"/compute"'; }

@test "after a load of 100 connections both containers together have a working set of at most 2.0 MiB" {
    local total
    start_pod
    begin_load --connections 100 --n 20-24 --at-least 3000
    end_load
    total=$(($(working_set "$(responder)") + $(working_set "$(lighttpd)")))
    echo "working set: $((total / 1024)) KiB" >&3
    [ "$total" -le $((2 * 1024 * 1024)) ]
}
# working_set CONTAINER: bytes, as the kubelet counts them: all but what could be dropped, the kernel's own included. Summed up
# from memory.stat, because the kernel's one figure (usage_in_bytes, memory.current) has up to 256 KiB a CPU in advance in it.
working_set() {
    local group
    group=$(container_group "$1" memory)
    if [ -e "$group/memory.kmem.usage_in_bytes" ]; then
        awk '$1 == "total_rss" || $1 == "total_cache" { sum += $2 } $1 == "total_inactive_file" { sum -= $2 }
            END { getline kernel <kmem; print sum + kernel }' kmem="$group/memory.kmem.usage_in_bytes" "$group/memory.stat"
    else
        awk '$1 == "anon" || $1 == "file" || $1 == "kernel" { sum += $2 } $1 == "inactive_file" { sum -= $2 } END { print sum }' \
            "$group/memory.stat"
    fi
}

@test "a port that is taken, a pod that is there and a missing image are refused with what to do" {
    start_pod
    run "$REPO/container/pod" up
    [ "$status" -eq 100 ]
    [[ $output == *'make pod-down'* ]]
    POD=$POD-other run "$REPO/container/pod" up
    [ "$status" -eq 100 ]
    [[ $output == *"port $PORT is taken"* ]]
    PORT=$(free_port) POD=$POD-other HELM_ARGUMENTS='--set responder.image.tag=none' run "$REPO/container/pod" up
    [ "$status" -eq 100 ]
    [[ $output == *'make images'* ]]
    POD=$POD-other run "$REPO/container/pod" down
    [ "$status" -eq 100 ]
}
