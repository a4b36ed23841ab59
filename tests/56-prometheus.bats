#!/usr/bin/env bats
# What a real Prometheus makes of a real run: of the metrics, the alerts and the dashboard.

load helpers/common
load helpers/cgroup

CHART=$REPO/k8s/chart
# More than the pool can answer while a busy machine lets nobody ask.
CONNECTIONS=100

# One pool under a CPU limit that is asked for more than it can do, loses a worker, and is scraped each second, for all tests here.
setup_file() {
    need_cgroup
    BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
    BATS_TEST_NUMBER=0
    cd "$BATS_FILE_TMPDIR" || return 1
    make_group
    # Less than such a machine gives.
    set_limit 200
    PORT=$(free_port)
    UNDER="in_group"
    start_pool --admin-http "tcp:127.0.0.1:$PORT"
    start_lighttpd
    wrk -t1 -c"$CONNECTIONS" -d300s "$URL/compute" >/dev/null 2>&1 3>&- &
    LOAD=$!
    start_prometheus
    wait_for 20 value_above 3 "count_over_time(up[1m])"
    kill -KILL "$(worker_pids | head -n 1)"
    wait_for 20 value_above 0 'increase(fibcgi_worker_restarts_total{cause="signal"}[1m])'
    # A rate over ten seconds is one when ten seconds have been scraped under load.
    wait_for 40 value_above 12 'count_over_time((rate(fibcgi_requests_total{code="200"}[2s]) > 0)[20s:1s])'
    export GROUP POOL LIGHTTPD LOAD PROMETHEUS PORT PROMETHEUS_URL URL
}

teardown_file() {
    local pid
    for pid in ${LOAD:-} ${PROMETHEUS:-}; do kill "$pid" 2>/dev/null || true; done
    stop_all
    wait 2>/dev/null
    [ -z "${GROUP:-}" ] || wait_for 5 rmdir "$GROUP"
}

need_cgroup() {
    if [ "$(id -u)" -ne 0 ]; then skip 'a CPU limit needs root'; fi
}

start_prometheus() {
    local port
    port=$(free_port)
    PROMETHEUS_URL=http://127.0.0.1:$port
    cp "$CHART/files/alerts.yaml" .
    cat >prometheus.yml <<END
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [alerts.yaml]
scrape_configs: [{job_name: fibcgi, static_configs: [{targets: ['127.0.0.1:$PORT']}]}]
END
    prometheus --config.file=prometheus.yml --storage.tsdb.path=data --web.listen-address="127.0.0.1:$port" >prometheus.log 2>&1 3>&- &
    PROMETHEUS=$!
}

api() { curl -sS --max-time 10 "$PROMETHEUS_URL/api/v1/$1" "${@:2}"; }
# query EXPRESSION: what Prometheus finds, as JSON.
query() { api query --data-urlencode "query=$1" | jq -e 'select(.status == "success") | .data.result'; }
value() { query "$1" | jq -er '.[0].value[1]'; }
# value_above NUMBER EXPRESSION
value_above() {
    local found
    found=$(value "$2") && awk -v found="$found" -v least="$1" 'BEGIN { print found; exit !(found > least) }'
}

@test "Prometheus scrapes the pool without an error, as OpenMetrics" {
    api targets | jq -e '.data.activeTargets | length == 1 and .[0].health == "up" and .[0].lastError == ""'
    value_above 80 scrape_samples_post_metric_relabeling
    # Only OpenMetrics describes a counter without the end of its name.
    api targets/metadata -G --data-urlencode metric=fibcgi_requests | jq -e '.data[0].type == "counter" and (.data[0].help | length > 10)'
}

@test "both formats have the same series, and promtool has no advice on the names" {
    curl -sS "http://127.0.0.1:$PORT/metrics" >"$BATS_TEST_TMPDIR/text"
    curl -sS -H 'Accept: application/openmetrics-text' "http://127.0.0.1:$PORT/metrics" >"$BATS_TEST_TMPDIR/openmetrics"
    run promtool check metrics <"$BATS_TEST_TMPDIR/text"
    echo "$output"
    [ "$status" -eq 0 ]
    [ -z "$output" ]
    series() { grep -v '^#' "$1" | sed 's/ .*//' | sort; }
    diff <(series "$BATS_TEST_TMPDIR/text") <(series "$BATS_TEST_TMPDIR/openmetrics")
    [ "$(tail -n 1 "$BATS_TEST_TMPDIR/openmetrics")" = '# EOF' ]
}

@test "the time in the queue is what the load says: connections divided by requests a second" {
    local waited rate
    waited=$(value 'sum(rate(fibcgi_queue_wait_seconds_sum[10s])) / sum(rate(fibcgi_queue_wait_seconds_count[10s]))')
    rate=$(value 'sum(rate(fibcgi_requests_total[10s]))')
    awk -v waited="$waited" -v rate="$rate" -v connections="$CONNECTIONS" \
        'BEGIN { expected = connections / rate; print "waited", waited, "expected", expected; exit !(waited > expected * 0.5 && waited < expected * 1.5) }'
}

@test "throttling, pressure, queue and state are those of a pool that is asked for more than its limit" {
    value_above 0.2 'rate(fibcgi_cgroup_cpu_throttled_periods_total[10s]) / rate(fibcgi_cgroup_cpu_periods_total[10s])'
    value_above 0 'rate(fibcgi_cgroup_cpu_throttled_seconds_total[10s])'
    value_above 5 'max_over_time(fibcgi_queue_depth[10s])'
    [ "$(value fibcgi_queue_capacity)" = 8192 ]
    [ "$(value fibcgi_cpu_limit_cores)" = 0.2 ]
    value_above 0.1 'rate(fibcgi_cpu_seconds_total[10s])'
    wait_for 20 value_above 0 'fibcgi_state{state="saturated"}'
    [ "$(query fibcgi_build_info | jq -r '.[0].metric | .version + " " + .application')" = "$("$FIBCGI" --version | cut -d' ' -f2) compute" ]
}

@test "pressure is told where the kernel tells it" {
    [ -e /proc/pressure/cpu ] && find /sys/fs/cgroup -maxdepth 2 -name cpu.pressure | grep -q . || return 0
    value_above 0 fibcgi_cgroup_pressure_cpu_waiting_seconds_total
}

@test "each panel of the dashboard has figures" {
    local panel title expression
    [ "$(jq '[.panels[].id] | length == (unique | length)' "$CHART/files/dashboard.json")" = true ]
    jq -r '.panels[] | .title as $title | .targets[] | [$title, .expr] | @tsv' "$CHART/files/dashboard.json" >"$BATS_TEST_TMPDIR/panels"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/panels")" -ge 25 ]
    while IFS=$'\t' read -r title expression; do
        # shellcheck disable=SC2016
        expression=$(sed -e 's/\$job/.*/g' -e 's/\$instance/.*/g' -e 's/\$__rate_interval/10s/g' <<<"$expression")
        [[ $expression != *pressure* ]] || [ -e /proc/pressure/cpu ] || continue
        query "$expression" | jq -e 'length > 0 and (map(.value[1]) | any(. != "NaN"))' >/dev/null ||
            { echo "$title shows nothing: $expression" >&2; return 1; }
    done <"$BATS_TEST_TMPDIR/panels"
}

@test "every metric is in the table of docs/operations.md, and every other name there is one" {
    curl -sS "http://127.0.0.1:$PORT/metrics" | sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' | sort >"$BATS_TEST_TMPDIR/told"
    sed -n '/^## Metrics/,/^## /p' "$REPO/docs/operations.md" | grep -oE '`fibcgi_[a-z_]+' | tr -d '`' | sort -u >"$BATS_TEST_TMPDIR/described"
    diff "$BATS_TEST_TMPDIR/told" "$BATS_TEST_TMPDIR/described"
}

@test "the alerts are right, and Prometheus can evaluate them" {
    promtool check rules "$CHART/files/alerts.yaml"
    cp "$CHART/files/alerts.yaml" "$REPO/tests/fixtures/alerts-test.yaml" "$BATS_TEST_TMPDIR"
    promtool test rules "$BATS_TEST_TMPDIR/alerts-test.yaml"
    api rules | jq -e '[.data.groups[].rules[]] | length >= 6 and all(.health == "ok")'
}

@test "each alert is tested, and its runbook's anchor is a heading of docs/operations.md" {
    local alert
    while read -r alert; do
        grep -q "alertname: $alert\$" "$REPO/tests/fixtures/alerts-test.yaml" || { echo "no test of $alert" >&2; return 1; }
        grep -qx "### $alert" "$REPO/docs/operations.md" || { echo "no runbook for $alert" >&2; return 1; }
        grep -A12 "alert: $alert\$" "$CHART/files/alerts.yaml" | grep -q "runbook_url: docs/operations.md#${alert,,}\$" ||
            { echo "$alert does not point to its runbook" >&2; return 1; }
    done < <(sed -n 's/.*- alert: //p' "$CHART/files/alerts.yaml")
}
