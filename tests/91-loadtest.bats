#!/usr/bin/env bats
# The comparison of loadtest/: the peers are honest, both load generators read the same, and a short run holds what is not noise.

load helpers/common

setup() {
    PEERS=$REPO/build/peers
    RESULTS=$BATS_TEST_TMPDIR/results.json
    LOG=$BATS_TEST_TMPDIR/log
    STARTED=()
}

teardown() {
    local pid
    stop_all
    for pid in "${STARTED[@]}"; do if alive "$pid"; then stop "$pid" KILL; fi; done
}

is_sanitized() { nm "$FIBCGI" | grep -q __asan_init; }
needs_speed() { if is_sanitized; then skip 'the sanitizers have a speed and a memory of their own'; fi; }

# start_peer NAME: on $URL; its process is $BEGUN.
start_peer() {
    PORT=$(free_port)
    URL=http://127.0.0.1:$PORT
    export PORT
    case $1 in
    rust | go) begin "$PEERS/$1" ;;
    flask) begin "$PEERS/python/bin/python" "$REPO/loadtest/peers/python/app.py" ;;
    gunicorn) begin "$PEERS/python/bin/python" -m gunicorn --bind "127.0.0.1:$PORT" --chdir "$REPO/loadtest/peers/python" app:app ;;
    fibcgi) start_stack --max-n 34 ;;
    esac
    wait_for 20 peer_answers || { cat "$LOG" >&2; return 1; }
}
peer_answers() { get /compute?n=1 && [ "$CODE" = 200 ]; }

compare() { "$REPO/loadtest/compare" "$FIBCGI" --output "$RESULTS" "$@" >>"$LOG" 2>&1 3>&- || { cat "$LOG" >&2; return 1; }; }
results() { jq -r "$@" "$RESULTS"; }
# figure TEST RUNTIME FILTER: of that result.
figure() { results --arg test "$1" --arg runtime "$2" ".loadtest.results[] | select(.test == \$test and .runtime == \$runtime) | $3"; }
nothing_is_left_of() { # PID of a compare or bench
    ! compgen -G "/sys/fs/cgroup/*/fibcgi-*-$1" && ! compgen -G "/sys/fs/cgroup/fibcgi-*-$1"
}

@test "all runtimes answer /compute and /health the same, and refuse the same" {
    local name n
    for name in rust go flask gunicorn fibcgi; do
        start_peer "$name"
        for n in '' 0 1 2 20 30; do
            get "/compute${n:+?n=$n}"
            is_code 200
            [ "$(jq -cS 'del(.elapsed_us)' "$BODY")" = "$(jq -cn --argjson n "${n:-30}" 'def fib: if . < 2 then . else [limit(.; [0, 1] |
                recurse([.[1], .[0] + .[1]]))][-1][1] end; {n: $n, result: ($n | fib)}')" ]
            [ "$(jq '.elapsed_us | floor == .' "$BODY")" = true ]
            [[ $(header Content-Type) == application/json* ]]
        done
        for n in -1 999 x; do
            get "/compute?n=$n"
            is_code 400
        done
        get /nothing
        is_code 404
        [ "$name" = fibcgi ] || { get /health && is_code 200; }
    done
}

@test "nobody caches: n = 34 takes about 47 times as long as n = 26, every time" {
    needs_speed
    local name growth measured=0
    "$REPO/tests/fixtures/loadtest-costs.py" "$FIBCGI" >"$BATS_TEST_TMPDIR/costs" 3>&-
    cat "$BATS_TEST_TMPDIR/costs"
    while read -r name growth; do
        measured=$((measured + 1))
        # gcc puts the recursion into itself, so the steps are not all alike: 40 there. A cache would make it 1, a loop 1.3.
        [ "${growth%.*}" -ge 33 ]
        [ "${growth%.*}" -lt 66 ]
    done <"$BATS_TEST_TMPDIR/costs"
    [ "$measured" -eq 5 ]
}

@test "Actix-Web, net/http and gunicorn end on SIGTERM with what they have in hand answered" {
    local peer name n
    for peer in rust=40 go=40 gunicorn=36; do # long enough to be seen in hand, on a busy machine too
        name=${peer%=*} n=${peer#*=}
        start_peer "$name"
        request_in_background "/compute?n=$n"
        wait_for 5 is_connected || { echo "$name: curl has $(cat "$BATS_TEST_TMPDIR/code")" >&2; cat "$LOG" >&2; return 1; }
        kill -TERM "$BEGUN"
        background_code_is 200
        wait_for 20 gone "$BEGUN"
    done
}
is_connected() { [ -n "$(ss -tnH state established "sport = :$PORT")" ] && in_hand; }
# It has been read: nothing of it waits in the kernel.
in_hand() { [ "$(ss -tnH state established "sport = :$PORT" | awk '{ waiting += $1 } END { print waiting }')" -eq 0 ]; }

@test "k6 and locust read the same stages, thresholds and waits" {
    local name folder=$BATS_TEST_TMPDIR/k6
    "$REPO/loadtest/k6/check" "$folder"
    # What a k6 script imports, as far as ours uses it.
    rm "$folder/k6/node_modules"
    mkdir -p "$folder/k6/node_modules/k6"
    echo '{"type": "module", "exports": {".": "./index.js", "./http": "./http.js"}}' >"$folder/k6/node_modules/k6/package.json"
    echo 'export const check = (one, all) => { for (const holds of Object.values(all)) if (holds(one)) visit.right = one.json("result"); };
          export const sleep = (seconds) => { visit.slept = seconds; };' >"$folder/k6/node_modules/k6/index.js"
    echo 'export default { get: (url, { timeout }) => { Object.assign(visit, { url, timeout }); return { status: 200, json: () => 832040 }; } };' \
        >"$folder/k6/node_modules/k6/http.js"
    for name in load spike soak squeeze; do
        node "$REPO/tests/fixtures/k6-options.mjs" "$folder/k6/compute.js" "$name" | jq -S . >"$BATS_TEST_TMPDIR/k6.json"
        "$REPO/build/locust/bin/python" "$REPO/tests/fixtures/locust-options.py" "$name" | jq -S . >"$BATS_TEST_TMPDIR/locust.json"
        diff "$BATS_TEST_TMPDIR/k6.json" "$BATS_TEST_TMPDIR/locust.json"
        [ "$(jq '.options.thresholds | length' "$BATS_TEST_TMPDIR/k6.json")" -ge 2 ]
    done
}

@test "the figures are what they are called, and what was disturbed does not count" {
    local part
    for part in counting thresholds latencies next_answer; do "$REPO/tests/fixtures/loadtest-parts.py" "$part"; done
}

@test "both load generators tell a request that was closed, cut off, refused, too late, or answered wrongly" {
    run "$REPO/tests/fixtures/loadtest-failures.py"
    [ "$output" = 'locust: closed, cut off, refused, status 503, timeout, wrong answer
curl: closed, cut off, refused, reset, status 503, timeout, wrong answer' ]
}

@test "a short spike: no error anywhere, and C before Rust before Go before Python" {
    needs_speed
    compare --tests spike --seconds-scale 0.08
    cat "$LOG"
    [ "$(results '[.loadtest.results[] | .failed] | add')" -eq 0 ]
    [ "$(results '[.loadtest.results[] | select(.requests > 0)] | length')" -eq 5 ]
    [ "$(results '[.loadtest.results | sort_by(-.hold.answered_per_second)[].runtime][:3] | join(" ")')" = 'fibcgi rust go' ]
    # All was measured that the report shows.
    [ "$(figure spike fibcgi '.series | [.[] | length] | unique | length')" -eq 1 ]
    [ "$(figure spike fibcgi '[.memory.end_mib, .server.cpus, .generator.cpus, .ceiling.after, .noise.idle_share] | map(select(. > 0)) | length')" -ge 4 ]
    [ "$(results '.loadtest.about | .form, .seconds_scale')" = $'scaled\n0.08' ]
}

@test "a killed worker costs no request, a killed server in Rust those in hand; either is back at once" {
    needs_speed
    compare --tests recovery --runtimes fibcgi,rust --seconds-scale 0.4
    cat "$LOG"
    [ "$(figure recovery fibcgi '.summary[0] | .what, .kills, .failed')" = $'worker\n2\n0' ]
    [ "$(figure recovery fibcgi '.summary[0].next_answer_ms.median < 100')" = true ]
    [ "$(figure recovery rust '.summary[0] | .what, (.failed > 0)')" = $'server\ntrue' ]
    [ "$(figure recovery rust '.restarts')" -eq 2 ]
}

@test "a run that was interrupted goes on where it was, and leaves nothing behind" {
    needs_speed
    local first ending
    for ending in TERM KILL; do
        "$REPO/loadtest/compare" "$FIBCGI" --output "$RESULTS" --tests single --runtimes rust,fibcgi --seconds-scale 0.3 >"$LOG" 2>&1 3>&- &
        STARTED+=($!)
        wait_for 60 one_is_done
        kill -"$ending" "$!"
        wait "$!" || true
        wait_for 20 no_server_of "$!"
        [ "$ending" = KILL ] || nothing_is_left_of "$!"
        first=$(results '.loadtest.results[0].started')
        [ "$(results '.loadtest.about.finished')" = null ]
        compare --tests single --runtimes rust,fibcgi --seconds-scale 0.3
        [ "$(results '[.loadtest.results[].runtime] | join(" ")')" = 'rust fibcgi' ]
        [ "$(results '.loadtest.results[0].started')" = "$first" ]
        [ "$(results '.loadtest.about.finished')" != null ]
        rm "$RESULTS"
    done
    # Nobody could tidy up after KILL.
    rmdir /sys/fs/cgroup/{*/,}fibcgi-*-"${STARTED[1]}" 2>/dev/null || true
    nothing_is_left_of "${STARTED[1]}"
}
one_is_done() { [ "$(results '.loadtest.results | length')" -eq 1 ]; }
no_server_of() { [ -z "$(cat /sys/fs/cgroup/*/fibcgi-*-"$1"/cgroup.procs /sys/fs/cgroup/fibcgi-*-"$1"/cgroup.procs 2>/dev/null)" ]; }

@test "servers that run elsewhere are measured from outside" {
    start_stack --workers 1
    compare --target url --url "fibcgi=$URL" --runtimes fibcgi --tests single,load,recovery --seconds-scale 0.05
    [ "$(results '[.loadtest.results[] | .test, .failed] | join(" ")')" = 'single 0 load 0' ]
    # curl's time, and the server's own in it.
    [ "$(figure single fibcgi '.fib_ms > 0 and .beyond_ms > 0 and .beyond_ms < 1000')" = true ]
    [ "$(figure load fibcgi '.memory, .ceiling, .server.cpus | tostring')" = $'null\nnull\nnull' ]
}

# bench OPTION…: short slices of ours and Rust at 500m and 20 connections.
bench() { "$REPO/loadtest/bench" "$FIBCGI" 500 --connections 20 --runtimes fibcgi,rust --seconds 2 --output "$RESULTS" "$@" 3>&-; }

@test "make bench compares with Rust and with the ceiling in the same round, tells where the time goes, and adds rounds" {
    needs_speed
    bench --rounds 1
    [ "$(results '[.bench.cases[] | .runtime, .millicpu, .connections, .failed] | map(tostring) | join(" ")')" = 'fibcgi 500 20 0 rust 500 20 0' ]
    [ "$(results '.bench.cases[0].rounds[0] | .of_rust > 1 and .of_ceiling > 0.3')" = true ]
    [ "$(results '[.bench.costs[].parts_us | keys | length] | join(" ")')" = '5 3' ]
    # fib is most of it, and nothing takes less than nothing.
    [ "$(results '[.bench.costs[].parts_us | .fib > 0.5 * add and ([.[]] | min) >= 0] | all')" = true ]
    cp "$RESULTS" "$BATS_TEST_TMPDIR/before"
    bench --rounds 2
    [ "$(results '[.bench.cases[].rounds | length] | join(" ")')" = '2 2' ]
    [ "$(results '[.bench.costs[].rounds | length] | join(" ")')" = '2 2' ]
    # The median of two is their mean.
    [ "$(results '[.bench.costs[] | (.parts_us.fib * 2 - ([.rounds[].parts_us.fib] | add)) | fabs < 0.01] | unique')" = $'[\n  true\n]' ]
    [ "$(results '[.bench.cases[].rounds[0]]')" = "$(jq -r '[.bench.cases[].rounds[0]]' "$BATS_TEST_TMPDIR/before")" ]
}
