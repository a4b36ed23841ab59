#!/usr/bin/env bats
# An application that crashes, hangs, eats memory, takes large bodies and gives large answers, in the pool and behind
# lighttpd; and what an application may rely on. It is tests/fixtures/application.c.

bats_require_minimum_version 1.5.0
load helpers/common

ASK=$REPO/tests/fixtures/ask.py

setup() {
    DIR=$BATS_TEST_TMPDIR
    FIBCGI=${APPLICATION:-$REPO/build/fixture-application}
}

teardown() {
    stop_all
    if [ -n "${GROUP:-}" ]; then
        wait_for 5 rmdir "$GROUP"
    fi
}

# ask METHOD PATH [QUERY] [OPTION…] <BODY: past lighttpd, on the pool's socket; what comes back is in $DIR/answer.
ask() { timeout 30 "$ASK" "$SOCKET" "$@" >"$DIR/answer"; }
answer_has() { grep -qF -- "$1" "$DIR/answer" || { echo "the answer is: $(cat "$DIR/answer")" >&2; return 1; }; }

# calls_are PATH N: so often the application was called with it, in the whole pool.
calls_are() {
    ask GET /calls </dev/null
    [ "$(awk -v path="$1" '$1 == path { print $2 }' "$DIR/answer")" = "$2" ] || { cat "$DIR/answer" >&2; return 1; }
}

restarts() { metric "fibcgi_worker_restarts_total{cause=\"$1\"}"; }

# What the fixture's /big answers with: so many bytes.
pattern() { seq -f %07.0f 0 "$(($1 / 8))" | head -c "$1"; }
random_bytes() { head -c "$1" /dev/urandom; }

# lighttpd from the project's configuration, but for bodies of up to 4 MiB.
start_lighttpd_for_bodies() {
    sed 's/^server.max-request-size .*/server.max-request-size = 4096/' "$REPO/conf/lighttpd/fibcgi.conf" >"$DIR/bodies.conf"
    grep -q '= 4096$' "$DIR/bodies.conf"
    start_lighttpd "$DIR/bodies.conf"
}

# load_while COMMAND…: others ask for /echo, and while they do the command runs again and again, $TIMES times in the end; none
# of the others may fail.
load_while() {
    h2load --h1 -c 20 -D 4 "$URL/echo" >"$DIR/load" 3>&- &
    local load=$!
    wait_for 5 has_served 50
    TIMES=0
    while alive "$load"; do
        TIMES=$((TIMES + 1))
        "$@"
    done
    wait "$load"
    grep -E '^(finished|requests|status)' "$DIR/load"
    grep -qE ' 0 failed, 0 errored, 0 timeout' "$DIR/load"
    grep -qE 'status codes: [0-9]+ 2xx, 0 3xx, 0 4xx, 0 5xx' "$DIR/load"
}

# --- What an application is given

@test "another application is served by the same pool, and the log names it" {
    start_stack
    log_has 'serves fixture on'
    get '/echo?a=%20b&c' --data 'the body'
    is_code 200
    [ "$(cat "$BODY")" = $'POST\n/echo\na=%20b&c\n8\n\nthe body' ]
    get '/header?name=HTTP_X_SOME' -H 'X-Some: a field'
    is_code 200 && has_body 'a field' && [ "$(header Echo)" = 'a field' ]
    get '/header?name=HTTP_X_OTHER' -H 'X-Some: a field'
    is_code 404
    get /compute
    is_code 404
}

@test "the same application answers as CGI and as one spawned process" {
    run env -i GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=POST PATH_INFO=/body CONTENT_LENGTH=8 "$FIBCGI" <<<'the body'
    [[ $output == *$'\r\n\r\n'"$(printf 'the body' | cksum)" ]]
    SOCKET=$DIR/spawned.sock
    "$PASS_SOCKETS" fd0 "unix:$SOCKET" -- "$FIBCGI" >"$DIR/spawned.log" 2>&1 3>&- &
    POOL=$!
    wait_for 5 is_listening "$SOCKET"
    ask GET /echo a=b </dev/null
    answer_has 'a=b'
    ends "$POOL" TERM
    [ "$STOP_STATUS" -eq 0 ]
}

@test "the application's own options are in --help, bounded, and come from flag or variable" {
    local help
    help=$("$FIBCGI" --help)
    [[ $help == *'Serves the application fixture as CGI'*'--sleep-max VALUE'*'a whole number from 0 to 60000; default 10000; variable FIXTURE_SLEEP_MAX'* ]]
    [[ $help != *--max-n* ]]
    "$FIBCGI" -t --sleep-max 60000
    run ! "$FIBCGI" -t --sleep-max 60001
    [[ $output == *'--sleep-max: "60001" is not a whole number from 0 to 60000'* ]]
    run ! env FIXTURE_SLEEP_MAX=long "$FIBCGI" -t
    [[ $output == *'FIXTURE_SLEEP_MAX: "long" is not a whole number from 0 to 60000'* ]]
    FIXTURE_SLEEP_MAX=20 start_pool
    ask GET /sleep ms=21 </dev/null && answer_has 'from 0 to 20.'
    ask GET /sleep ms=20 </dev/null && answer_has slept
    stop "$POOL" QUIT
    FIXTURE_SLEEP_MAX=20 start_pool --sleep-max 21
    ask GET /sleep ms=21 </dev/null && answer_has slept
}

@test "a worker whose application cannot open is tried again later" {
    start_pool --workers 1 --open-fails 3
    log_has 'a worker cannot start: Connection refused'
    log_has 'worker 1 .* exited with status 11; the next one starts in 400 ms'
    ask GET /echo </dev/null && answer_has 'Status: 200'
}

# --- Crashes

@test "a request that is neither GET nor HEAD is called once: when its worker is killed it gets 500, and the log names it" {
    local method count=0
    start_stack --workers 2
    for method in POST PUT DELETE PATCH; do
        count=$((count + 1))
        get '/crash?signal=9' -X "$method" --data 'some body'
        is_code 500 && has_body 'The worker that served this request died.'
        calls_are /crash "$count"
        log_has "$method /crash was in hand when a worker died, and may not be repeated; it is answered with 500"
    done
    [ "$(log_count 'was in hand')" -eq 4 ]
    get /echo
    is_code 200
}

@test "a POST whose worker is killed from outside is not repeated" {
    start_stack --workers 2
    request_in_background '/sleep?ms=10000' --data 'some body'
    wait_for 10 calls_are /sleep 1
    # shellcheck disable=SC2046
    kill -KILL $(worker_pids)
    background_code_is 500
    calls_are /sleep 1
    log_has 'POST /sleep was in hand when a worker died'
}

@test "a GET or HEAD whose worker crashed is called once more, and its client sees nothing of that" {
    start_stack --workers 2
    get '/crash?signal=11&times=1'
    is_code 200 && has_body survived
    calls_are /crash 2
    get '/crash?signal=11&times=3' --head
    is_code 200
    calls_are /crash 4
    [ "$(metric fibcgi_replays_total)" -eq 2 ]
    [ "$(log_count 'was in hand')" -eq 0 ]
}

@test "a GET that always crashes gets 500 after two deaths, and no other request fails" {
    start_stack --workers 2
    load_while crash_twice
    [ "$(log_count 'GET /crash\?signal=6 was in hand when 2 workers died; it is answered with 500')" -eq "$TIMES" ]
}
crash_twice() {
    get '/crash?signal=6'
    is_code 500 && has_body 'The workers that served this request died.'
    calls_are /crash "$((2 * TIMES))"
}

@test "requests that crash make nobody else wait: the next worker starts at once, however many there are" {
    local i clients=()
    start_stack --workers 1
    for i in 1 2 3 4 5 6 7 8; do
        ask_beside "$i" &
        clients+=("$!")
    done
    wait "${clients[@]}"
    for i in 1 2 3 4 5 6 7 8; do grep -q 'Status: 500' "$DIR/beside.$i"; done
    calls_are /crash 16
    [ "$(log_count 'the next one starts in')" -eq 0 ]
}
ask_beside() { timeout 30 "$ASK" "$SOCKET" GET /crash </dev/null >"$DIR/beside.$1" 3>&-; }

@test "an application that leaves by exit(0) in a request is treated as one that crashed" {
    start_stack --workers 1
    get '/crash?signal=0'
    is_code 500
    calls_are /crash 2
    log_has 'worker 1 .* exited with status'
    get '/crash?signal=0' --data x
    is_code 500
    calls_are /crash 3
    get /echo
    is_code 200
}

# --- Memory

# A group of our own under the cgroup that limits memory here (v1 or v2), with that limit in MB, for this test alone.
make_memory_group() {
    local bytes=$(($1 * 1024 * 1024))
    if [ -d /sys/fs/cgroup/memory ]; then
        GROUP=/sys/fs/cgroup/memory/fibcgi-test-$$-$BATS_TEST_NUMBER
        mkdir "$GROUP"
        echo "$bytes" >"$GROUP/memory.limit_in_bytes"
        [ ! -e "$GROUP/memory.memsw.limit_in_bytes" ] || echo "$bytes" >"$GROUP/memory.memsw.limit_in_bytes"
    else
        echo +memory >/sys/fs/cgroup/cgroup.subtree_control
        GROUP=/sys/fs/cgroup/fibcgi-test-$$-$BATS_TEST_NUMBER
        mkdir "$GROUP"
        echo "$bytes" >"$GROUP/memory.max"
        [ ! -e "$GROUP/memory.swap.max" ] || echo 0 >"$GROUP/memory.swap.max"
    fi
}
in_group() { exec bash -c "echo \$\$ >$GROUP/cgroup.procs; exec \"\$@\"" in_group "$@"; }
oom_kills() {
    local file=$GROUP/memory.events
    [ -e "$file" ] || file=$GROUP/memory.oom_control
    sed -n 's/^oom_kill //p' "$file"
}

@test "a worker that the kernel kills for want of memory costs no other request; the one that ate it gets 500" {
    make_memory_group 256
    UNDER=in_group start_pool --workers 2
    start_lighttpd
    load_while eat_twice
    [ "$(oom_kills)" -eq "$((2 * TIMES))" ]
    [ "$(log_count 'worker . \(pid .*\) was killed by signal 9')" -eq "$((2 * TIMES))" ]
    log_has 'GET /eat\?mb=1024 was in hand when 2 workers died'
    alive "$POOL"
    get '/eat?mb=20'
    is_code 200
}
eat_twice() {
    get '/eat?mb=1024'
    is_code 500
    calls_are /eat "$((2 * TIMES))"
}

score_of() { cat "/proc/$1/oom_score_adj"; }

@test "the kernel takes a worker rather than the master when memory runs out, also where the pool gave up root" {
    local own worker as
    own=$(score_of $$)
    chmod 755 "$DIR"
    for as in "" "--user nobody"; do
        # shellcheck disable=SC2086
        start_pool --workers 2 $as
        [ "$(score_of "$POOL")" -eq "$own" ]
        for worker in $(worker_pids); do
            [ "$(score_of "$worker")" -eq "$((own < 950 ? own + 50 : 1000))" ]
            # What the pool's user may see of a worker that gave up root is as little as before.
            [ -z "$as" ] || [ "$(stat -c %U "/proc/$worker/environ")" = root ]
        done
        [ "$(score_of "$(pgrep -P "$POOL" -f 'fibcgi: admin')")" -eq "$own" ]
        stop "$POOL" QUIT
    done
}

# --- Time

@test "a request that takes longer than --request-timeout is stopped; a GET is called once more, then it gets 500" {
    start_stack --workers 2 --request-timeout 500ms
    get '/sleep?ms=10000'
    is_code 500 && has_body 'The workers that served this request died.'
    calls_are /sleep 2
    [ "$(restarts timeout)" -eq 2 ]
    [ "$(log_count 'its request took longer than --request-timeout')" -eq 2 ]
    get '/sleep?ms=10000' --data x
    is_code 500 && has_body 'The worker that served this request died.'
    calls_are /sleep 3
    [ "$(restarts timeout)" -eq 3 ]
    get '/sleep?ms=1'
    is_code 200
}

# --- Bodies

# post_is_read SIZE [CURL OPTION…]: a body of that size goes through lighttpd and arrives as it was sent.
post_is_read() {
    local size=$1
    shift
    random_bytes "$size" >"$DIR/sent"
    get /body "$@"
    is_code 200
    [ "$(cat "$BODY")" = "$(cksum <"$DIR/sent")" ] || { echo "of $size bytes: $(cat "$BODY")" >&2; return 1; }
}

@test "a body arrives as it was sent, from none at all to --max-body-size; one byte more is 413 and does not arrive" {
    local size calls=0
    start_pool --workers 1 --max-body-size 1M
    start_lighttpd_for_bodies
    for size in 0 1 999 1000 1001 8191 8192 8193 65534 65535 65536 65537 131070 1048575 1048576; do
        post_is_read "$size" -X POST --data-binary "@$DIR/sent"
        calls=$((calls + 1))
        post_is_read "$size" -X POST -H 'Transfer-Encoding: chunked' --data-binary "@$DIR/sent"
        calls=$((calls + 1))
    done
    calls_are /body "$calls"
    for size in 1048577 3000000; do
        random_bytes "$size" >"$DIR/sent"
        get /body --data-binary "@$DIR/sent"
        is_code 413
        get /body --data-binary "@$DIR/sent" -H 'Transfer-Encoding: chunked'
        is_code 413
        ask POST /body <"$DIR/sent" && answer_has 'Status: 413'
    done
    calls_are /body "$calls"
}

@test "with --max-body-size 0 there may be no body" {
    start_stack --workers 1 --max-body-size 0
    get /body -X POST -H 'Content-Length: 0'
    is_code 200
    has_body '4294967295 0'
    get /body --data x
    is_code 413
    calls_are /body 1
}

@test "a body without a length of its own is as long as what came" {
    start_pool --workers 1
    printf 'some body' | ask POST /body '' --length none
    answer_has "$(printf 'some body' | cksum)"
}

@test "a body that is shorter than its Content-Length, or cut off, does not reach the application" {
    start_pool --workers 1 --read-timeout 1s
    printf 'some body' | ask POST /body '' --length 10
    answer_has 'Status: 400' && answer_has 'shorter than its Content-Length'
    printf 'some body' | ask POST /body '' --cut
    [ ! -s "$DIR/answer" ]
    printf 'some body' | ask POST /body '' --length none --cut
    [ ! -s "$DIR/answer" ]
    random_bytes 100000 | ask POST /body '' --cut
    [ ! -s "$DIR/answer" ]
    calls_are /body 0
}

@test "a body that the application does not read disturbs neither its own answer nor the next request" {
    local size
    start_pool --workers 1
    start_lighttpd_for_bodies
    for size in 1000 8000 10000 100000 1000000; do
        random_bytes "$size" >"$DIR/sent"
        get '/sleep?ms=1' --data-binary "@$DIR/sent"
        is_code 200
        get /echo --data 'the next'
        is_code 200
        [ "$(cat "$BODY")" = $'POST\n/echo\n\n8\n\nthe next' ]
    done
}

# --- Answers

@test "answers of every size around what fits into one write come out byte by byte" {
    start_stack --workers 2
    curl -sSf --max-time 60 -o "$DIR/some" "$URL/big?bytes=[0-9]" "$URL/big?bytes=[7850-8250]" -o "$DIR/all.#1"
    local size
    for size in $(seq 7850 8250); do
        cmp "$DIR/all.$size" <(pattern "$size")
    done
}

@test "answers of 64 KiB, 1 MB and 20 MB come out byte by byte, also side by side" {
    start_stack --workers 2
    local size
    for size in 65534 65535 65536 65537 1000000 1048576 20000000; do
        get "/big?bytes=$size"
        is_code 200 && [ "$(header Content-Length)" = "$size" ]
        cmp "$BODY" <(pattern "$size")
    done
    curl -sSf --max-time 60 --parallel --no-progress-meter "$URL/big?bytes=300000[1-6]" -o "$DIR/beside.#1"
    for size in 1 2 3 4 5 6; do
        cmp "$DIR/beside.$size" <(pattern "300000$size")
    done
}

@test "HEAD of an answer of any size has its length and no body" {
    start_stack --workers 1
    local size
    for size in 0 100 7999 8000 8001 1000000; do
        get "/big?bytes=$size" --head
        is_code 200 && [ "$(header Content-Length)" = "$size" ]
        ask HEAD /big "bytes=$size" </dev/null
        # Nothing behind the empty line that ends the head.
        [ "$(tail -c 4 "$DIR/answer" | od -An -c | tr -d ' ')" = '\r\n\r\n' ]
        [ "$(grep -c '^.$' "$DIR/answer")" -eq 1 ]
        answer_has "Content-Length: $size"
    done
}

# The connections in the queues of both sockets.
queue_is() { [ "$(ss -xlH | awk -v path="$SOCKET" 'index($5, path) == 1 { sum += $3 } END { print sum + 0 }')" -eq "$1" ]; }

@test "what a killed worker had in hand goes before the queue, also in a drain" {
    start_pool --workers 1
    local i
    start_lighttpd
    curl -sS --max-time 60 -o /dev/null -w '%{http_code}\n' "$URL/sleep?ms=3000" >"$DIR/codes" 2>&1 3>&- &
    wait_for 5 in_flight 1
    for i in 1 2 3 4 5; do
        curl -sS --max-time 60 -o /dev/null -w '%{http_code}\n' "$URL/sleep?ms=2500" >>"$DIR/codes" 2>&1 3>&- &
    done
    wait_for 10 queue_is 5
    kill -TERM "$POOL"
    wait_for 5 log_has draining
    kill -KILL "$(worker_pids)"
    STOP_STATUS=0
    wait "$POOL" || STOP_STATUS=$?
    [ "$STOP_STATUS" -eq 0 ]
    wait_for 5 eval "[ \$(wc -l <'$DIR/codes') -eq 6 ]"
    cat "$DIR/codes"
    [ "$(grep -cx 200 "$DIR/codes")" -eq 6 ]
}

@test "a request that came in time is served, however long the workers were busy" {
    start_pool --workers 1 --read-timeout 1s
    timeout 30 "$REPO/tests/fixtures/in-halves.py" "$SOCKET" /echo 300 >"$DIR/halves" 3>&- &
    local halves=$!
    wait_for 5 grep -q 'first half' "$DIR/halves"
    ask GET /sleep ms=3000 </dev/null
    wait "$halves"
    cat "$DIR/halves"
    grep -q '^Status: 200' "$DIR/halves"
}
