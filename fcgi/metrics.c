#include "metrics.h"

#include <inttypes.h>
#include <stdio.h>

#include "clock.h"

/* Sums over all workers' slots. */
struct totals {
    uint64_t requests;
    uint64_t by_code[SLOT_CODES];
    uint64_t by_duration[SLOT_BUCKETS];
    uint64_t duration_sum_ns;
    uint64_t refused[REFUSALS];
    unsigned by_state[SLOT_STATES];
};

static void add_all(uint64_t *sums, const _Atomic uint64_t *counters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += counter_read(&counters[i]);
}

/* The state is the dead worker's last word until its successor writes: without a process the slot counts as empty. */
static enum slot_state state_of(const struct scoreboard *board, size_t index)
{
    if (atomic_load(&board->master.pids[index]) == 0)
        return SLOT_EMPTY;
    uint32_t state = atomic_load_explicit(&board->slots[index].state, memory_order_relaxed);
    return state < SLOT_STATES ? (enum slot_state)state : SLOT_EMPTY;
}

static void add_slot(struct totals *totals, const struct slot *slot)
{
    totals->requests += counter_read(&slot->requests);
    add_all(totals->by_code, slot->by_code, SLOT_CODES);
    add_all(totals->by_duration, slot->by_duration, SLOT_BUCKETS);
    add_all(&totals->duration_sum_ns, &slot->duration_sum_ns, 1);
    add_all(totals->refused, slot->refused, REFUSALS);
}

static struct totals add_up(const struct scoreboard *board)
{
    struct totals totals = {0};
    size_t used = atomic_load(&board->master.slots_used);
    for (size_t i = 0; i < used; i++) {
        add_slot(&totals, &board->slots[i]);
        totals.by_state[state_of(board, i)]++;
    }
    /* It answers those for whom there is no place in the queue. */
    add_slot(&totals, &board->slots[SCOREBOARD_ACCEPTOR]);
    return totals;
}

unsigned metrics_workers_up(const struct scoreboard *board)
{
    unsigned up = 0;
    size_t used = atomic_load(&board->master.slots_used);
    for (size_t i = 0; i < used; i++)
        up += state_of(board, i) >= SLOT_IDLE;
    return up;
}

static void describe(struct app_response *out, const char *name, const char *type, const char *help)
{
    app_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static const char *code_name(size_t index, char text[static 8])
{
    if (index == SLOT_CODES - 1)
        return "other";
    snprintf(text, 8, "%d", slot_codes[index]);
    return text;
}

static void write_requests(struct app_response *out, const struct scoreboard *board, const struct totals *totals)
{
    char code[8];
    describe(out, "fibcgi_requests_total", "counter", "Requests answered, by status code.");
    for (size_t i = 0; i < SLOT_CODES; i++)
        app_printf(out, "fibcgi_requests_total{code=\"%s\"} %" PRIu64 "\n", code_name(i, code), totals->by_code[i]);
    describe(out, "fibcgi_connections_refused_total", "counter",
             "Connections whose request was not served, by reason.");
    for (size_t i = 0; i < REFUSALS; i++)
        app_printf(out, "fibcgi_connections_refused_total{reason=\"%s\"} %" PRIu64 "\n", refusal_names[i],
                   totals->refused[i]);
    app_printf(out, "fibcgi_connections_refused_total{reason=\"timeout\"} %" PRIu64 "\n",
               counter_read(&board->master.timeouts));
    describe(out, "fibcgi_replays_total", "counter", "Connections taken over from a worker that died.");
    app_printf(out, "fibcgi_replays_total %" PRIu64 "\n", counter_read(&board->master.replays));
}

static void write_connections(struct app_response *out, const struct scoreboard_master *master)
{
    describe(out, "fibcgi_connections_open", "gauge", "Connections of web servers to the pool, kept ones included.");
    app_printf(out, "fibcgi_connections_open %u\n", atomic_load(&master->connections_open));
    describe(out, "fibcgi_connections_waiting", "gauge", "Of those: accepted, and waiting for a worker.");
    app_printf(out, "fibcgi_connections_waiting %u\n", atomic_load(&master->connections_waiting));
    describe(out, "fibcgi_kept_bytes", "gauge", "Bytes of incomplete requests and unread answers.");
    app_printf(out, "fibcgi_kept_bytes %" PRIu64 "\n", atomic_load(&master->kept_bytes));
}

static void write_durations(struct app_response *out, const struct totals *totals)
{
    const char *const name = "fibcgi_request_duration_seconds";
    uint64_t cumulative = 0;
    describe(out, name, "histogram", "Time from the accepted connection to the answer.");
    for (size_t i = 0; i < SLOT_BUCKETS - 1; i++) {
        cumulative += totals->by_duration[i];
        app_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, slot_bucket_us[i] / 1e6, cumulative);
    }
    cumulative += totals->by_duration[SLOT_BUCKETS - 1];
    app_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, cumulative);
    app_printf(out, "%s_sum %.9f\n", name, (double)totals->duration_sum_ns / 1e9);
    app_printf(out, "%s_count %" PRIu64 "\n", name, cumulative);
}

static void write_workers(struct app_response *out, const struct scoreboard *board, const struct totals *totals)
{
    describe(out, "fibcgi_workers", "gauge", "Worker processes, by state.");
    for (size_t i = SLOT_STARTING; i < SLOT_STATES; i++)
        app_printf(out, "fibcgi_workers{state=\"%s\"} %u\n", slot_state_names[i], totals->by_state[i]);
    describe(out, "fibcgi_workers_wanted", "gauge", "Workers that there should be.");
    app_printf(out, "fibcgi_workers_wanted %u\n", atomic_load(&board->master.workers));
    describe(out, "fibcgi_worker_restarts_total", "counter", "Workers replaced, by cause.");
    for (size_t i = 0; i < RESTART_CAUSES; i++)
        app_printf(out, "fibcgi_worker_restarts_total{cause=\"%s\"} %" PRIu64 "\n", restart_cause_names[i],
                   counter_read(&board->master.restarts[i]));
}

void metrics_prometheus(const struct scoreboard *board, struct app_response *out)
{
    struct totals totals = add_up(board);
    int64_t limit = atomic_load(&board->master.cpu_limit_millicpu);
    write_requests(out, board, &totals);
    write_connections(out, &board->master);
    write_durations(out, &totals);
    write_workers(out, board, &totals);
    if (limit >= 0) {
        describe(out, "fibcgi_cpu_limit_cores", "gauge", "CPU quota of the cgroup; absent without one.");
        app_printf(out, "fibcgi_cpu_limit_cores %g\n", (double)limit / 1000);
    }
    describe(out, "fibcgi_start_time_seconds", "gauge", "When the pool started, in seconds since 1970.");
    app_printf(out, "fibcgi_start_time_seconds %.3f\n", board->master.started_at);
}

static void write_json_worker(struct app_response *out, const struct scoreboard *board, size_t i, uint64_t now_ns)
{
    const struct slot *slot = &board->slots[i];
    uint64_t since_ns = counter_read(&slot->busy_since_ns);
    uint64_t busy_us = since_ns != 0 && now_ns > since_ns ? (now_ns - since_ns) / CLOCK_NS_PER_US : 0;
    app_printf(out, "{\"worker\":%zu,\"pid\":%d,\"state\":\"%s\",\"requests\":%" PRIu64 ",\"busy_us\":%" PRIu64 "}",
               i + 1, atomic_load(&board->master.pids[i]), slot_state_names[state_of(board, i)],
               counter_read(&slot->requests), busy_us);
}

static void write_json_counts(struct app_response *out, const struct scoreboard *board, const struct totals *totals)
{
    char code[8];
    app_printf(out, "\"requests\":{\"total\":%" PRIu64, totals->requests);
    for (size_t i = 0; i < SLOT_CODES; i++)
        app_printf(out, ",\"%s\":%" PRIu64, code_name(i, code), totals->by_code[i]);
    app_printf(out, "},\"restarts\":{");
    for (size_t i = 0; i < RESTART_CAUSES; i++)
        app_printf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", restart_cause_names[i],
                   counter_read(&board->master.restarts[i]));
    app_printf(out, "}");
}

void metrics_json(const struct scoreboard *board, uint64_t now_ns, struct app_response *out)
{
    static const char *const phases[] = {"starting", "serving", "draining"};
    struct totals totals = add_up(board);
    int64_t limit = atomic_load(&board->master.cpu_limit_millicpu);
    app_printf(out, "{\"state\":\"%s\",\"uptime_seconds\":%.3f,\"workers_wanted\":%u,\"workers_up\":%u,",
               phases[atomic_load(&board->master.phase)], clock_wall_seconds() - board->master.started_at,
               atomic_load(&board->master.workers), metrics_workers_up(board));
    if (limit >= 0)
        app_printf(out, "\"cpu_limit_cores\":%g,", (double)limit / 1000);
    else
        app_printf(out, "\"cpu_limit_cores\":null,");
    write_json_counts(out, board, &totals);
    app_printf(out, ",\"workers\":[");
    bool first = true;
    size_t used = atomic_load(&board->master.slots_used);
    for (size_t i = 0; i < used; i++) {
        if (atomic_load(&board->master.pids[i]) == 0)
            continue;
        if (!first)
            app_printf(out, ",");
        write_json_worker(out, board, i, now_ns);
        first = false;
    }
    app_printf(out, "]}\n");
}
