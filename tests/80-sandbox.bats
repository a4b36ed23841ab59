#!/usr/bin/env bats
# What a worker may and may not do. tests/fixtures/jailbreak.c is an application that tries; its path says what.
# shellcheck disable=SC2030,SC2031

load helpers/common

FIXTURES=${FIXTURES:-$REPO/build/fixtures}
# Runs a command where seccomp or Landlock is missing.
WITHOUT=$FIXTURES/without

# One of each kind; in this list they all answer EPERM.
REFUSED=(open create stat socket socketpair bind fork system kill-master setuid setrlimit prctl new-code data-as-code)
# For whoever calls these there is no answer: the kernel kills the worker.
DEADLY=(execute trace unshare)

setup() {
    FIBCGI=$FIXTURES/jailbreak
    LANDLOCK=$("$WITHOUT" --landlock)
    # The sanitizers call what no worker does, so that auto is off in such a build; what these tests do works with it on.
    AUTO=auto
    if is_sanitized; then AUTO=on; fi
    LOG=$BATS_TEST_TMPDIR/pool.log
    STARTED=()
}

teardown() {
    stop_all
    local pid
    for pid in "${STARTED[@]}"; do
        if alive "$pid"; then stop "$pid" KILL; fi
    done
}

is_sanitized() { nm "$FIBCGI" | grep -q __asan_init; }

# start_jail [OPTION…]: a pool of one worker, as far in the sandbox as --sandbox=auto goes.
start_jail() { start_pool --workers 1 "--sandbox=$AUTO" "$@"; }

# try PATH: its answer in $ANSWER; empty where the request was not answered with 200.
try() { ANSWER=$("$FIBCGI" --probe "/$1" --admin-listen "unix:${2:-$SOCKET}" 2>>"$BATS_TEST_TMPDIR/probe.log") || ANSWER=; }

# answers WANTED PATH…
answers() {
    local wanted=$1 path
    shift
    for path in "$@"; do
        try "$path"
        [ "$ANSWER" = "$wanted" ] || { echo "/$path answers '$ANSWER', not '$wanted'" >&2; return 1; }
    done
}

# kills_workers PATH…: each brings down the worker that serves it by SIGSYS, twice, and is answered with 500.
kills_workers() {
    local path deaths
    for path in "$@"; do
        deaths=$(log_count 'was killed by signal 31')
        try "$path"
        [ -z "$ANSWER" ]
        [ "$(log_count 'was killed by signal 31')" -eq $((deaths + 2)) ]
        log_has "GET /$path.* was in hand when 2 workers died; it is answered with 500"
    done
}

status_of() { awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/status"; }

# is_confined PID: as the kernel says it.
is_confined() {
    local capabilities
    grep -E '^(Seccomp|NoNewPrivs|Cap)' "/proc/$1/status"
    [ "$(status_of "$1" Seccomp)" -eq 2 ]
    [ "$(status_of "$1" NoNewPrivs)" -eq 1 ]
    grep -qE '^Max core file size +0 +0 ' "/proc/$1/limits"
    for capabilities in CapInh CapPrm CapEff CapAmb; do
        [ "$(status_of "$1" "$capabilities")" = 0000000000000000 ]
    done
    # Only root may give up what it has not.
    [ "$EUID" -ne 0 ] || [ "$(status_of "$1" CapBnd)" = 0000000000000000 ]
}

@test "a worker cannot open a file, make a socket or a process, reach the master, or make code of data" {
    start_jail
    answers EPERM "${REFUSED[@]}"
    # What is allowed for other arguments only.
    answers ENOSYS terminal lock option-of-ip
    # None of it has cost a worker.
    [ "$(log_count started)" -eq 2 ]
}

@test "a worker that executes a program, traces a process or leaves its namespaces is killed" {
    start_jail
    kills_workers "${DEADLY[@]}"
    if [ "$(uname -m)" = x86_64 ]; then kills_workers other-abi; fi
    answers OK allowed
}

@test "with --sandbox=off all of that succeeds, and the log says that it is off" {
    start_pool --workers 1 --sandbox=off
    answers OK "${REFUSED[@]}" "${DEADLY[@]}"
    log_has 'info the sandbox is off$'
}

@test "a worker may call what it needs, and what the C library does behind it" {
    start_jail
    answers OK allowed kill-itself
    # As an old kernel would answer, so that the C library takes another way.
    answers ENOSYS new-call
    try abort
    log_has 'was killed by signal 6'
    [ "$(log_count 'was killed by signal 31')" -eq 0 ]
}

@test "an application that says it needs files, or the network, or programs, has that and no more" {
    JAILBREAK_NEEDS=1 start_jail
    answers OK allowed open create stat lock
    answers EPERM socket socketpair bind fork system kill-master setuid prctl new-code
    kills_workers execute trace
    stop "$POOL" QUIT

    JAILBREAK_NEEDS=2 start_jail
    answers OK allowed socket socketpair bind option-of-ip
    answers EPERM open create stat fork system kill-master setuid prctl new-code
    kills_workers execute trace
    stop "$POOL" QUIT

    JAILBREAK_NEEDS=4 start_jail
    answers OK allowed execute fork system open create stat
    answers EPERM socket socketpair bind setuid
    kills_workers unshare
}

@test "workers and the admin worker have no capability, gain none, and leave no core file" {
    start_jail
    local pid
    for pid in $(pgrep -P "$POOL"); do is_confined "$pid"; done
    [ "$(pgrep -c -P "$POOL")" -eq 2 ]
    # A successor is no freer than the first.
    kill -KILL "$(worker_pids)"
    wait_for 5 log_has_lines 3 started
    answers EPERM open
    is_confined "$(worker_pids)"
}
log_has_lines() { [ "$(log_count "$2")" -ge "$1" ]; }

@test "a master that became another user has no capability either" {
    [ "$EUID" -eq 0 ] # only root can
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_SUITE_TMPDIR" "$(dirname "$BATS_TEST_TMPDIR")" "$BATS_TEST_TMPDIR"
    start_jail --user nobody
    local capabilities
    [ "$(awk '$1 == "Uid:" { print $2 }' "/proc/$POOL/status")" -eq "$(id -u nobody)" ]
    for capabilities in CapInh CapPrm CapEff CapBnd CapAmb; do
        [ "$(status_of "$POOL" "$capabilities")" = 0000000000000000 ]
    done
    [ "$(status_of "$POOL" NoNewPrivs)" -eq 1 ]
    is_confined "$(worker_pids)"
}

@test "a spawned process is confined like a worker" {
    SOCKET=$BATS_TEST_TMPDIR/spawned.sock
    begin "$PASS_SOCKETS" fd0 "unix:$SOCKET" -- "$FIBCGI" "--sandbox=$AUTO"
    wait_for 5 is_listening "$SOCKET"
    answers EPERM open socket fork
    answers OK allowed
    is_confined "$BEGUN"
}

@test "a CGI process cannot open a file, for which Landlock is enough, and with --sandbox=on it has the filter, too" {
    local as_cgi=(env -i GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET)
    "${as_cgi[@]}" FIBCGI_SANDBOX=off PATH_INFO=/open "$FIBCGI" </dev/null | grep -qx OK
    # Without Landlock there is nothing that costs little, and on refuses: see below.
    if [ "$LANDLOCK" -eq 0 ]; then return 0; fi
    if ! is_sanitized; then
        "${as_cgi[@]}" PATH_INFO=/open "$FIBCGI" </dev/null | grep -qx EACCES
        "${as_cgi[@]}" PATH_INFO=/execute "$FIBCGI" </dev/null | grep -qx EACCES
    fi
    "${as_cgi[@]}" FIBCGI_SANDBOX=on PATH_INFO=/open "$FIBCGI" </dev/null | grep -qx EPERM
    "${as_cgi[@]}" FIBCGI_SANDBOX=on PATH_INFO=/allowed "$FIBCGI" </dev/null | grep -qx OK
}

is_off_by_itself() { log_has 'info the sandbox is off: this is a build with AddressSanitizer$' && answers OK open; }

@test "where the kernel has no seccomp the pool says so and goes on, with files, programs and ports shut by Landlock" {
    UNDER="$WITHOUT seccomp --"
    AUTO=auto start_jail
    if is_sanitized; then is_off_by_itself; return 0; fi
    [ "$(log_count 'warning the sandbox is without its filter of system calls \(seccomp\): Function not implemented; going on')" -eq 1 ]
    if [ "$LANDLOCK" -eq 0 ]; then answers OK open create execute; return 0; fi
    answers EACCES open create execute
    if [ "$LANDLOCK" -ge 4 ]; then answers EACCES bind; fi
    if [ "$LANDLOCK" -ge 6 ]; then answers EPERM kill-master; fi
    answers OK allowed
}

@test "where the kernel has no Landlock the pool says so and goes on, with the filter of system calls" {
    UNDER="$WITHOUT landlock --"
    AUTO=auto start_jail
    if is_sanitized; then is_off_by_itself; return 0; fi
    [ "$(log_count 'warning the sandbox is without its lock on files \(Landlock\): Function not implemented; going on')" -eq 1 ]
    answers EPERM open socket fork
    answers OK allowed
}

@test "--sandbox=on refuses to start where a part is missing, says which, and leaves no socket behind" {
    local part
    SOCKET=$BATS_TEST_TMPDIR/fib.sock
    for part in seccomp landlock; do
        run "$WITHOUT" "$part" -- "$FIBCGI" --listen "unix:$SOCKET" --sandbox on --log-format text
        [ "$status" -eq 100 ]
        grep -qiE "error --sandbox=on: .*$part.*: Function not implemented; .*--sandbox=auto" <<<"$output"
        [ ! -e "$SOCKET" ]
        run "$WITHOUT" "$part" -- env -i GATEWAY_INTERFACE=CGI/1.1 FIBCGI_SANDBOX=on PATH_INFO=/open "$FIBCGI"
        [ "$status" -eq 111 ]
        grep -qi "$part" <<<"$output"
    done
}

@test "with --sandbox=off the limit on core files is what it was, and a build with AddressSanitizer has it off by itself" {
    start_pool --workers 1 --sandbox=off
    local worker
    worker=$(worker_pids)
    diff <(grep core "/proc/$$/limits") <(grep core "/proc/$worker/limits")
    [ "$(status_of "$worker" Seccomp)" -eq "$(status_of $$ Seccomp)" ]
    # Nobody debugs a program that gains privileges.
    [ "$(status_of "$worker" NoNewPrivs)" -eq 1 ]
    if is_sanitized; then
        stop "$POOL" QUIT
        start_pool --workers 1
        is_off_by_itself
    fi
}

@test "a worker may allocate up to --memory-limit; a request that needs more gets 500, and the worker lives on" {
    # The sanitizers' own memory is terabytes of addresses, so that no worker can start under a limit.
    if is_sanitized; then "$FIBCGI" -t --memory-limit 16M; return 0; fi
    start_jail --memory-limit 16M
    local worker
    worker=$(worker_pids)
    answers OK allocate/14
    answers ENOMEM allocate/16
    run "$FIBCGI" --probe /answer/32 --admin-listen "unix:$SOCKET"
    [ "$status" -eq 1 ]
    [[ $output == *'ran out of memory'* ]]
    answers OK allocate/4
    [ "$(worker_pids)" = "$worker" ]
    [ "$(log_count started)" -eq 2 ]
}
