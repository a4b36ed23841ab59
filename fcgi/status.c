#include "status.h"

#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "totals.h"

/* A number of thousandths, or null. */
static void write_milli(struct app_response *out, const char *name, uint32_t value)
{
    if (value == HISTORY_NONE)
        app_printf(out, "\"%s\":null", name);
    else
        app_printf(out, "\"%s\":%" PRIu32 ".%03" PRIu32, name, value / 1000, value % 1000);
}

static void write_number(struct app_response *out, const char *name, uint32_t value)
{
    if (value == HISTORY_NONE)
        app_printf(out, "\"%s\":null", name);
    else
        app_printf(out, "\"%s\":%" PRIu32, name, value);
}

static void write_quantiles(struct app_response *out, const char *name, const _Atomic uint32_t value_us[QUANTILES])
{
    app_printf(out, "\"%s\":", name);
    for (size_t i = 0; i < QUANTILES; i++) {
        app_write(out, i > 0 ? "," : "{", 1);
        write_number(out, quantile_names[i], atomic_load(&value_us[i]));
    }
    app_write(out, "}", 1);
}

/* Whole units of that many nanoseconds; 0 where since_ns is none. */
static uint64_t elapsed(uint64_t since_ns, uint64_t now_ns, uint64_t unit_ns)
{
    return since_ns != 0 && now_ns > since_ns ? (now_ns - since_ns) / unit_ns : 0;
}

static void write_times(struct app_response *out, const struct scoreboard *board, uint64_t now_ns)
{
    const struct scoreboard_now *now = &board->master.now;
    uint64_t wall_ms = clock_wall_ms(), started_ms = board->master.started_ms;
    enum pool_state state = scoreboard_pool_state(board);
    /* It changed since the master last looked. */
    uint64_t since_ns = atomic_load(&now->state) == state ? atomic_load(&now->state_since_ns) : now_ns;
    app_printf(out, "\"version\":\"%s\",\"application\":\"%s\"", board->master.version, board->master.application);
    app_printf(out, ",\"state\":\"%s\",\"state_seconds\":%" PRIu64, pool_state_names[state],
               elapsed(since_ns, now_ns, CLOCK_NS_PER_S));
    app_printf(out, ",\"time\":%.3f,\"started_at\":%.3f,\"uptime_seconds\":%.3f", (double)wall_ms / 1e3,
               (double)started_ms / 1e3, wall_ms > started_ms ? (double)(wall_ms - started_ms) / 1e3 : 0);
}

static void write_cpu(struct app_response *out, const struct scoreboard *board)
{
    const struct scoreboard_now *now = &board->master.now;
    const struct scoreboard_cgroup *cgroup = &board->master.cgroup;
    int64_t limit = atomic_load(&board->master.cpu_limit_millicpu);
    write_milli(out, "cpu_limit_cores", limit < 0 ? HISTORY_NONE : limit < INT32_MAX ? (uint32_t)limit : INT32_MAX);
    app_printf(out, ",\"cpu\":{");
    write_milli(out, "used_cores", atomic_load(&now->cpu_millicores));
    app_printf(out, ",");
    write_milli(out, "throttled_ratio", atomic_load(&now->throttled_permille));
    app_printf(out, ",");
    write_milli(out, "pressure_ratio", atomic_load(&now->pressure_permille));
    if (atomic_load(&cgroup->has_throttling) != 0)
        app_printf(out, ",\"periods\":%" PRIu64 ",\"throttled_periods\":%" PRIu64 ",\"throttled_seconds\":%.6f}",
                   counter_read(&cgroup->periods), counter_read(&cgroup->throttled_periods),
                   (double)counter_read(&cgroup->throttled_us) / 1e6);
    else
        app_printf(out, ",\"periods\":null,\"throttled_periods\":null,\"throttled_seconds\":null}");
}

static void write_now(struct app_response *out, const struct scoreboard *board)
{
    const struct scoreboard_master *master = &board->master;
    uint32_t depth = atomic_load(&master->queue_depth), waiting = atomic_load(&master->connections_waiting);
    app_printf(out, "\"window_seconds\":%d,\"rate\":{", SCOREBOARD_WINDOW_S);
    write_milli(out, "requests", atomic_load(&master->now.requests_milli));
    app_printf(out, ",");
    write_milli(out, "errors", atomic_load(&master->now.errors_milli));
    app_printf(out, "},");
    write_quantiles(out, "latency_us", master->now.duration_us);
    app_printf(out, ",\"queue\":{");
    write_number(out, "depth", depth == HISTORY_NONE ? depth : depth + waiting);
    app_printf(out, ",");
    write_number(out, "capacity", atomic_load(&master->queue_capacity));
    app_printf(out, ",");
    write_quantiles(out, "wait_us", master->now.wait_us);
    app_printf(out, "},\"connections\":{\"open\":%" PRIu32 ",\"waiting\":%" PRIu32 ",\"kept_bytes\":%" PRIu64 "}",
               atomic_load(&master->connections_open), waiting, counter_read(&master->kept_bytes));
}

static void write_counts(struct app_response *out, const struct scoreboard *board, const struct totals *totals)
{
    app_printf(out, "\"requests\":{\"total\":%" PRIu64, totals->requests);
    for (size_t i = 0; i < SLOT_CODES - 1; i++)
        app_printf(out, ",\"%d\":%" PRIu64, slot_codes[i], totals->by_code[i]);
    app_printf(out, ",\"other\":%" PRIu64 "},\"refused\":{", totals->by_code[SLOT_CODES - 1]);
    for (size_t i = 0; i < REFUSALS; i++)
        app_printf(out, "\"%s\":%" PRIu64 ",", refusal_names[i], totals->refused[i]);
    app_printf(out, "\"timeout\":%" PRIu64 "},\"restarts\":{", counter_read(&board->master.timeouts));
    for (size_t i = 0; i < RESTART_CAUSES; i++)
        app_printf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", restart_cause_names[i],
                   counter_read(&board->master.restarts[i]));
    app_printf(out, "},\"replays\":%" PRIu64, counter_read(&board->master.replays));
}

static void write_history(struct app_response *out, const struct history *history, uint64_t since)
{
    uint64_t first = history_first(history, since), last = atomic_load(&history->last);
    app_printf(out, "\"history\":{\"last\":%" PRIu64 ",\"step_seconds\":1", last);
    for (size_t field = 0; field < HISTORY_FIELDS; field++) {
        app_printf(out, ",\"%s\":[", history_field_names[field]);
        for (uint64_t i = first; i <= last; i++) {
            uint32_t value = history_value(history, i, (enum history_field)field);
            if (value == HISTORY_NONE)
                app_printf(out, "%snull", i > first ? "," : "");
            else
                app_printf(out, "%s%" PRIu32, i > first ? "," : "", value);
        }
        app_write(out, "]", 1);
    }
    app_write(out, "}", 1);
}

static void write_last_restart(struct app_response *out, const struct watched *watched)
{
    uint32_t cause = atomic_load(&watched->last_cause), detail = atomic_load(&watched->last_detail);
    app_printf(out, ",\"restarts\":%" PRIu32 ",\"last_restart\":", atomic_load(&watched->restarts));
    if (cause == 0 || cause > RESTART_CAUSES)
        app_printf(out, "null");
    else if (cause - 1 == RESTART_EXIT || cause - 1 == RESTART_SIGNAL)
        app_printf(out, "\"%s %" PRIu32 "\"", restart_cause_names[cause - 1], detail);
    else
        app_printf(out, "\"%s\"", restart_cause_names[cause - 1]);
}

static void write_worker(struct app_response *out, const struct scoreboard *board, size_t i, uint64_t now_ns)
{
    const struct slot *slot = &board->slots[i];
    const struct watched *watched = &board->watched[i];
    uint64_t cpu_ms = counter_read(&watched->cpu_ns) / CLOCK_NS_PER_MS;
    uint64_t rss_bytes = counter_read(&watched->rss_bytes);
    uint32_t permille = atomic_load(&watched->cpu_permille);
    app_printf(out, "{\"worker\":%zu,\"pid\":%d,\"state\":\"%s\",\"requests\":%" PRIu64 ",\"busy_us\":%" PRIu64, i + 1,
               atomic_load(&board->master.pids[i]), slot_state_names[scoreboard_state_of(board, i)],
               counter_read(&slot->requests), elapsed(counter_read(&slot->busy_since_ns), now_ns, CLOCK_NS_PER_US));
    app_printf(out, ",\"age_seconds\":%" PRIu64 ",\"cpu_seconds\":%" PRIu64 ".%03" PRIu64,
               elapsed(counter_read(&watched->started_ns), now_ns, CLOCK_NS_PER_S), cpu_ms / 1000, cpu_ms % 1000);
    if (permille == HISTORY_NONE)
        app_printf(out, ",\"cpu_percent\":null");
    else
        app_printf(out, ",\"cpu_percent\":%" PRIu32 ".%" PRIu32, permille / 10, permille % 10);
    if (rss_bytes == 0)
        app_printf(out, ",\"rss_bytes\":null");
    else
        app_printf(out, ",\"rss_bytes\":%" PRIu64, rss_bytes);
    write_last_restart(out, watched);
    app_write(out, "}", 1);
}

static void write_workers(struct app_response *out, const struct scoreboard *board, uint64_t now_ns)
{
    const char *separator = "";
    size_t used = atomic_load(&board->master.slots_used);
    app_printf(out, "\"workers\":[");
    for (size_t i = 0; i < used; i++) {
        if (atomic_load(&board->master.pids[i]) == 0)
            continue;
        app_printf(out, "%s", separator);
        write_worker(out, board, i, now_ns);
        separator = ",";
    }
    app_write(out, "]", 1);
}

static void write_events(struct app_response *out, const struct events *events)
{
    const char *separator = "";
    struct event event;
    app_printf(out, "\"events\":[");
    uint64_t last = atomic_load(&events->last);
    for (uint64_t i = events_first(events); i <= last; i++) {
        if (!events_read(events, i, &event))
            continue;
        app_printf(out, "%s{\"number\":%" PRIu64 ",\"time\":%.3f,\"kind\":\"%s\",\"level\":\"%s\",\"text\":", separator,
                   i, (double)event.wall_ms / 1e3, event_kind_names[event.kind], event_level_names[event.level]);
        app_write_json_string(out, event.text);
        app_write(out, "}", 1);
        separator = ",";
    }
    app_write(out, "]", 1);
}

void status_write(const struct scoreboard *board, uint64_t since, uint64_t now_ns, struct app_response *out)
{
    struct totals totals;
    totals_add_up(&totals, board);
    app_write(out, "{", 1);
    write_times(out, board, now_ns);
    app_printf(out, ",\"workers_wanted\":%" PRIu32 ",\"workers_up\":%u,\"workers_busy\":%u,",
               atomic_load(&board->master.workers), scoreboard_workers_up(board), totals.by_state[SLOT_BUSY]);
    write_cpu(out, board);
    app_write(out, ",", 1);
    write_now(out, board);
    app_write(out, ",", 1);
    write_counts(out, board, &totals);
    app_write(out, ",", 1);
    write_history(out, &board->history, since);
    app_write(out, ",", 1);
    write_workers(out, board, now_ns);
    app_write(out, ",", 1);
    write_events(out, &board->events);
    app_write(out, "}\n", 2);
}
