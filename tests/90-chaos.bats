#!/usr/bin/env bats
# The load drivers of loadtest/ in their short forms: only what must hold on any machine, no speeds.

load helpers/common

SHIM=$(dirname "$FIBCGI")/fail.so
is_sanitized() { nm "$FIBCGI" | grep -q __asan_init; }
# The sanitizers have memory of their own.
memory_option() { if is_sanitized; then echo --no-memory; fi; }

@test "a request is lost without a reason only where no fault is left to explain it" {
    "$REPO/tests/fixtures/chaos-accounts.py"
}

@test "chaos without its shim, where no call would fail, does not begin" {
    run "$REPO/loadtest/chaos" "$FIBCGI" "$BATS_TEST_TMPDIR/fail.so"
    [ "$status" -eq 2 ]
    [[ $output = *"there is no $BATS_TEST_TMPDIR/fail.so; make it by: make build/fail.so" ]]
}

@test "in a minute of faults of all kinds every lost request has a reason, and nothing is left behind" {
    timeout 300 "$REPO/loadtest/chaos" "$FIBCGI" "$SHIM" --seconds 60 --recovery 10 --log "$BATS_TEST_TMPDIR/chaos.log" 3>&-
}

@test "20,000 requests while a worker is killed every second: none fails, memory and descriptors stay flat" {
    # shellcheck disable=SC2046
    timeout 300 "$REPO/loadtest/soak" "$FIBCGI" --requests 20000 --quota 500 --no-speed $(memory_option) 3>&-
}

@test "2,000 connections at once are answered or wait, in little memory, and health checks are answered meanwhile" {
    # shellcheck disable=SC2046
    timeout 300 "$REPO/loadtest/overload" "$FIBCGI" --connections 2000 --seconds 5 --no-speed $(memory_option) 3>&-
}
