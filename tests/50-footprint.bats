#!/usr/bin/env bats
# What a request costs in system calls and memory: counts, not times.

load helpers/common

teardown() { stop_all; }

# memory_of_pool FIELD: in KiB, of all its processes: Pss, or Pss_Dirty, which other programs with the same libraries do
# not change by coming and going.
memory_of_pool() {
    local pid total=0
    for pid in "$POOL" $(pgrep -P "$POOL"); do
        total=$((total + $(awk -v field="$1:" '$1 == field { print $2 }' "/proc/$pid/smaps_rollup")))
    done
    echo "$total"
}
fds_of() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
requests() { h2load --h1 -n "$1" -c 20 "$URL/compute?n=1" >"$BATS_TEST_TMPDIR/h2load" 3>&-; grep -q " $1 2xx" "$BATS_TEST_TMPDIR/h2load"; }
is_sanitized() { nm "$FIBCGI" | grep -q __asan_init; }

@test "a worker makes at most seven system calls a request, two more for one of sixteen, and the master none" {
    start_stack --workers 1
    requests 100
    local worker calls
    worker=$(worker_pids)
    strace -f -c -o "$BATS_TEST_TMPDIR/worker" -p "$worker" 2>"$BATS_TEST_TMPDIR/attached" 3>&- &
    local tracer=$!
    strace -c -o "$BATS_TEST_TMPDIR/master" -p "$POOL" 2>"$BATS_TEST_TMPDIR/attached2" 3>&- &
    local tracer2=$!
    wait_for 5 grep -q attached "$BATS_TEST_TMPDIR/attached"
    wait_for 5 grep -q attached "$BATS_TEST_TMPDIR/attached2"
    requests 2000
    kill -INT "$tracer" "$tracer2"
    wait "$tracer" "$tracer2" || true
    cat "$BATS_TEST_TMPDIR/worker" "$BATS_TEST_TMPDIR/master"
    # mmap is the sanitizers' own, where they are.
    calls=$(awk '$NF != "total" && $NF != "mmap" && $4 ~ /^[0-9]+$/ { sum += $4 } END { print sum }' "$BATS_TEST_TMPDIR/worker")
    [ "$calls" -le $((2000 * 7 + 2 * 2000 / 16 + 20)) ]
    # What it does each second has nothing to do with requests.
    calls=$(awk '$NF == "total" { print $4 }' "$BATS_TEST_TMPDIR/master")
    [ "${calls:-0}" -lt 500 ]
}

@test "a pool of one worker and admin takes at most 1.5 MB, and as much after 30,000 requests as after 1,000" {
    if is_sanitized; then echo 'the sanitizers have memory of their own: only the descriptors count' >&2; fi
    start_stack --workers 1
    requests 1000
    local worker before after fds
    worker=$(worker_pids)
    before=$(memory_of_pool Pss_Dirty)
    fds=$(fds_of "$worker")
    requests 30000
    after=$(memory_of_pool Pss_Dirty)
    echo "dirty $before KiB, then $after KiB; all $(memory_of_pool Pss) KiB"
    [ "$(fds_of "$worker")" -eq "$fds" ]
    [ "$(worker_pids)" = "$worker" ]
    if ! is_sanitized; then
        [ "$(memory_of_pool Pss)" -le 1500 ]
        [ $((after - before)) -le 64 ]
    fi
}

@test "a large body and a large answer leave no memory behind" {
    start_stack --workers 1
    head -c 15000 /dev/zero >"$BATS_TEST_TMPDIR/body.bin"
    local i before after
    get /compute --data-binary "@$BATS_TEST_TMPDIR/body.bin"
    is_code 405
    before=$(memory_of_pool Pss_Dirty)
    for i in $(seq 30); do get /compute --data-binary "@$BATS_TEST_TMPDIR/body.bin"; done
    after=$(memory_of_pool Pss_Dirty)
    echo "dirty $before KiB, then $after KiB"
    is_sanitized || [ $((after - before)) -le 64 ]
}

@test "the scoreboard takes memory for the workers that there are, not for the 512 that there could be" {
    start_stack --workers 1
    requests 100
    local shared
    shared=$(awk '$1 == "RssShmem:" { print $2 }' "/proc/$POOL/status")
    echo "shared memory that the master has touched: $shared KiB"
    [ "$shared" -le 100 ]
}
