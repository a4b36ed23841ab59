#include "metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "totals.h"

struct writer {
    struct app_response *out;
    enum metrics_format format;
};

enum metrics_format metrics_format_for(const char *accept)
{
    static const char name[] = "application/openmetrics-text";
    const char *found = accept != NULL ? strstr(accept, name) : NULL;
    if (found == NULL)
        return METRICS_TEXT;
    /* "not this one" is said so (RFC 9110 §12.4.2). */
    size_t length = strcspn(found, ",");
    const char *weight = memmem(found, length, "q=0", 3);
    bool is_unwanted = weight != NULL && strspn(weight + 3, ".0") == length - (size_t)(weight + 3 - found);
    return is_unwanted ? METRICS_TEXT : METRICS_OPENMETRICS;
}

/* In OpenMetrics a counter is described without the _total of its samples. */
static void describe(struct writer *writer, const char *name, const char *type, const char *help)
{
    size_t length = strlen(name);
    if (writer->format == METRICS_OPENMETRICS && strcmp(type, "counter") == 0)
        length -= strlen("_total");
    app_printf(writer->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)length, name, help, (int)length, name, type);
}

/* A number that is counted in parts: value / 10^decimals. */
static void write_value(struct writer *writer, uint64_t value, unsigned decimals)
{
    uint64_t one = 1;
    for (unsigned i = 0; i < decimals; i++)
        one *= 10;
    if (decimals == 0)
        app_printf(writer->out, " %" PRIu64 "\n", value);
    else
        app_printf(writer->out, " %" PRIu64 ".%0*" PRIu64 "\n", value / one, (int)decimals, value % one);
}

static void write_sample(struct writer *writer, const char *name, const char *label, const char *label_value,
                         uint64_t value)
{
    app_printf(writer->out, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, label_value, value);
}

struct single {
    const char *name;
    const char *type;
    const char *help;
    uint64_t value;
    unsigned decimals;
    bool is_absent;
};

static void write_singles(struct writer *writer, const struct single *singles, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (singles[i].is_absent)
            continue;
        describe(writer, singles[i].name, singles[i].type, singles[i].help);
        app_printf(writer->out, "%s", singles[i].name);
        write_value(writer, singles[i].value, singles[i].decimals);
    }
}

static const char *code_name(size_t index, char text[static 8])
{
    if (index == SLOT_CODES - 1)
        return "other";
    snprintf(text, 8, "%d", slot_codes[index]);
    return text;
}

static void write_requests(struct writer *writer, const struct scoreboard *board, const struct totals *totals)
{
    static const char requests[] = "fibcgi_requests_total", refused[] = "fibcgi_connections_refused_total";
    char code[8];
    describe(writer, requests, "counter", "Requests answered, by status code.");
    for (size_t i = 0; i < SLOT_CODES; i++)
        write_sample(writer, requests, "code", code_name(i, code), totals->by_code[i]);
    describe(writer, refused, "counter", "Connections whose request was not served, by reason.");
    for (size_t i = 0; i < REFUSALS; i++)
        write_sample(writer, refused, "reason", refusal_names[i], totals->refused[i]);
    write_sample(writer, refused, "reason", "timeout", counter_read(&board->master.timeouts));
}

/* The bounds of a histogram as they are told: 1, 2.5 and 5 times a power of ten, with a fraction also where it is 0, so that they
 * are the same in both formats. */
static void write_bound(struct writer *writer, size_t bucket)
{
    char text[32];
    snprintf(text, sizeof(text), "%g", (double)histogram_bound_ns(bucket) / 1e9);
    app_printf(writer->out, "%s%s", text, strchr(text, '.') == NULL ? ".0" : "");
}

/* From the bucket that ends at the first of these powers of ten of 10 us up to the last. */
static void write_histogram(struct writer *writer, const char *name, const char *help, const struct totals_times *times,
                            size_t first, size_t last)
{
    static const size_t steps[HISTOGRAM_STEPS] = {[HISTOGRAM_1] = 1, [HISTOGRAM_2_5] = 1, [HISTOGRAM_5] = 1};
    uint64_t cumulative = 0;
    describe(writer, name, "histogram", help);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        cumulative += times->counts[i];
        if (i < first || i > last || steps[i % HISTOGRAM_STEPS] == 0)
            continue;
        app_printf(writer->out, "%s_bucket{le=\"", name);
        write_bound(writer, i);
        app_printf(writer->out, "\"} %" PRIu64 "\n", cumulative);
    }
    app_printf(writer->out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum", name, cumulative, name);
    write_value(writer, times->sum_ns, 9);
    app_printf(writer->out, "%s_count %" PRIu64 "\n", name, cumulative);
}

static void write_times(struct writer *writer, const struct totals *totals)
{
    write_histogram(writer, "fibcgi_request_duration_seconds", "Time from the accepted connection to the answer.",
                    &totals->durations, HISTOGRAM_AT(1, HISTOGRAM_2_5), HISTOGRAM_AT(6, HISTOGRAM_1));
    write_histogram(
        writer, "fibcgi_queue_wait_seconds",
        "Time that a connection waited for a worker, worked out from the queue's depth and from what was taken "
        "from it.",
        &totals->waits, HISTOGRAM_AT(2, HISTOGRAM_1), HISTOGRAM_AT(6, HISTOGRAM_5));
}

static void write_workers(struct writer *writer, const struct scoreboard *board, const struct totals *totals)
{
    static const char workers[] = "fibcgi_workers", restarts[] = "fibcgi_worker_restarts_total";
    static const char state[] = "fibcgi_state";
    describe(writer, state, "gauge", "1 for the state that the pool is in, 0 for the others.");
    for (size_t i = 0; i < POOL_STATES; i++)
        write_sample(writer, state, "state", pool_state_names[i], scoreboard_pool_state(board) == i);
    describe(writer, workers, "gauge", "Worker processes, by state.");
    for (size_t i = SLOT_STARTING; i < SLOT_STATES; i++)
        write_sample(writer, workers, "state", slot_state_names[i], totals->by_state[i]);
    describe(writer, restarts, "counter", "Workers replaced, by cause.");
    for (size_t i = 0; i < RESTART_CAUSES; i++)
        write_sample(writer, restarts, "cause", restart_cause_names[i], counter_read(&board->master.restarts[i]));
}

static uint64_t memory_of_workers(const struct scoreboard *board)
{
    uint64_t bytes = 0;
    size_t used = atomic_load(&board->master.slots_used);
    for (size_t i = 0; i < used; i++)
        bytes += atomic_load(&board->master.pids[i]) != 0 ? counter_read(&board->watched[i].rss_bytes) : 0;
    return bytes;
}

#define GAUGE "gauge"
#define COUNTER "counter"

static void write_pool(struct writer *writer, const struct scoreboard *board)
{
    const struct scoreboard_master *master = &board->master;
    int64_t limit = atomic_load(&master->cpu_limit_millicpu);
    uint32_t depth = atomic_load(&master->queue_depth), capacity = atomic_load(&master->queue_capacity);
    uint32_t waiting = atomic_load(&master->connections_waiting);
    const struct single singles[] = {
        {"fibcgi_replays_total", COUNTER, "Connections taken over from a worker that died.",
         counter_read(&master->replays), 0, false},
        {"fibcgi_connections_open", GAUGE, "Connections of web servers to the pool, kept ones included.",
         atomic_load(&master->connections_open), 0, false},
        {"fibcgi_connections_waiting", GAUGE, "Of those: accepted, and waiting for a worker.", waiting, 0, false},
        {"fibcgi_kept_bytes", GAUGE, "Bytes of incomplete requests and unread answers.",
         counter_read(&master->kept_bytes), 0, false},
        {"fibcgi_queue_depth", GAUGE, "Connections that wait for a worker, in the kernel's queues and the pool's own.",
         (uint64_t)depth + waiting, 0, depth == HISTORY_NONE},
        {"fibcgi_queue_capacity", GAUGE, "Connections that the kernel's queues can hold.", capacity, 0,
         capacity == HISTORY_NONE},
        {"fibcgi_workers_wanted", GAUGE, "Workers that there should be.", atomic_load(&master->workers), 0, false},
        {"fibcgi_workers_resident_memory_bytes", GAUGE,
         "Resident memory of the workers; what they share is counted for each.", memory_of_workers(board), 0, false},
        {"fibcgi_cpu_seconds_total", COUNTER, "CPU time of all the pool's processes, those that have ended included.",
         counter_read(&master->cpu_ns), 9, false},
        {"fibcgi_cpu_limit_cores", GAUGE, "CPU quota of the cgroup; absent without one.", (uint64_t)limit, 3,
         limit < 0},
        {"fibcgi_start_time_seconds", GAUGE, "When the pool started, in seconds since 1970.", master->started_ms, 3,
         false},
    };
    write_singles(writer, singles, sizeof(singles) / sizeof(singles[0]));
}

static void write_cgroup(struct writer *writer, const struct scoreboard_cgroup *cgroup)
{
    bool unlimited = atomic_load(&cgroup->has_throttling) == 0, unpressed = atomic_load(&cgroup->has_pressure) == 0;
    const struct single singles[] = {
        {"fibcgi_cgroup_cpu_periods_total", COUNTER, "Periods of the CPU quota in which something ran.",
         counter_read(&cgroup->periods), 0, unlimited},
        {"fibcgi_cgroup_cpu_throttled_periods_total", COUNTER, "Of those: in which the quota was used up.",
         counter_read(&cgroup->throttled_periods), 0, unlimited},
        {"fibcgi_cgroup_cpu_throttled_seconds_total", COUNTER, "For how long that kept something from running.",
         counter_read(&cgroup->throttled_us), 6, unlimited},
        {"fibcgi_cgroup_pressure_cpu_waiting_seconds_total", COUNTER,
         "Time in which something in the cgroup waited for a CPU (PSI).", counter_read(&cgroup->cpu_waiting_us), 6,
         unpressed},
        {"fibcgi_cgroup_pressure_memory_waiting_seconds_total", COUNTER,
         "Time in which something in the cgroup waited for memory (PSI).", counter_read(&cgroup->memory_waiting_us), 6,
         unpressed},
        {"fibcgi_cgroup_pressure_memory_stalled_seconds_total", COUNTER,
         "Time in which everything in the cgroup waited for memory (PSI).", counter_read(&cgroup->memory_stalled_us), 6,
         unpressed},
    };
    write_singles(writer, singles, sizeof(singles) / sizeof(singles[0]));
}

static void write_build(struct writer *writer, const struct scoreboard *board)
{
    describe(writer, "fibcgi_build_info", GAUGE, "1, with the version and the application as labels.");
    app_printf(writer->out, "fibcgi_build_info{version=\"%s\",application=\"%s\"} 1\n", board->master.version,
               board->master.application);
}

void metrics_write(const struct scoreboard *board, enum metrics_format format, struct app_response *out)
{
    struct totals totals;
    struct writer writer = {out, format};
    totals_add_up(&totals, board);
    out->content_type = format == METRICS_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                                      : "text/plain; version=0.0.4; charset=utf-8";
    write_build(&writer, board);
    write_requests(&writer, board, &totals);
    write_times(&writer, &totals);
    write_workers(&writer, board, &totals);
    write_pool(&writer, board);
    write_cgroup(&writer, &board->master.cgroup);
    if (format == METRICS_OPENMETRICS)
        app_printf(out, "# EOF\n");
}
