#include "sampler.h"

#include "clock.h"
#include "totals.h"

#define SECONDS (SCOREBOARD_WINDOW_S + 1)
/* Behind a pause of the whole machine the history goes on where it stopped. */
#define BEHIND_MAX_S 10

static struct sampler_counts *last_of(struct sampler *sampler)
{
    return &sampler->seconds[sampler->at];
}

/* The counts of so many seconds ago, at most as many as are there. */
static const struct sampler_counts *before(const struct sampler *sampler, unsigned seconds)
{
    unsigned back = seconds < sampler->filled ? seconds : sampler->filled - 1;
    return &sampler->seconds[(sampler->at + SECONDS - back) % SECONDS];
}

static uint64_t errors_in(const struct totals *totals)
{
    uint64_t errors = 0;
    for (size_t i = 0; i < SLOT_CODES - 1; i++)
        errors += slot_codes[i] >= 500 ? totals->by_code[i] : 0;
    return errors;
}

static void count(struct sampler *sampler, const struct cgroup_cpu *cpu, uint64_t now_ns)
{
    struct totals totals;
    struct sampler_counts *counts = last_of(sampler);
    totals_add_up(&totals, sampler->board);
    *counts = (struct sampler_counts){.at_ns = now_ns,
                                      .requests = totals.requests,
                                      .errors = errors_in(&totals),
                                      .cpu_ns = counter_read(&sampler->board->master.cpu_ns),
                                      .periods = cpu->periods,
                                      .throttled_periods = cpu->throttled_periods,
                                      .cpu_waiting_us = cpu->cpu_waiting_us};
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        counts->durations[i] = (uint32_t)totals.durations.counts[i];
        counts->waits[i] = (uint32_t)totals.waits.counts[i];
    }
}

void sampler_init(struct sampler *sampler, struct scoreboard *board, struct queue *queue, const struct cgroup_cpu *cpu,
                  uint64_t now_ns)
{
    *sampler = (struct sampler){.board = board,
                                .queue = queue,
                                .filled = 1,
                                .next_ns = now_ns + CLOCK_NS_PER_S,
                                .watch.master_cpu_ns = clock_cpu_ns(0)};
    count(sampler, cpu, now_ns);
    struct scoreboard_now *now = &board->master.now;
    for (size_t i = 0; i < QUANTILES; i++) {
        atomic_store(&now->duration_us[i], HISTORY_NONE);
        atomic_store(&now->wait_us[i], HISTORY_NONE);
    }
    atomic_store(&now->throttled_permille, HISTORY_NONE);
    atomic_store(&now->pressure_permille, HISTORY_NONE);
    atomic_store(&now->state_since_ns, now_ns);
}

/* Fewer than it was, where the cgroup is another one now. */
static uint64_t difference(uint64_t now, uint64_t then)
{
    return now > then ? now - then : 0;
}

/* The percentiles of what was counted in between; HISTORY_NONE where there is nothing. */
static void find_quantiles(const uint32_t now[HISTOGRAM_BUCKETS], const uint32_t then[HISTOGRAM_BUCKETS],
                           uint32_t quantile_us[QUANTILES])
{
    static const double shares[QUANTILES] = {0.5, 0.95, 0.99};
    uint32_t counts[HISTOGRAM_BUCKETS];
    bool has_any = false;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        counts[i] = now[i] - then[i];
        has_any = has_any || counts[i] > 0;
    }
    for (size_t i = 0; i < QUANTILES; i++)
        quantile_us[i] =
            has_any ? (uint32_t)(histogram_quantile_ns(counts, shares[i]) / CLOCK_NS_PER_US) : HISTORY_NONE;
}

static uint32_t find_throttled(const struct sampler_counts *now, const struct sampler_counts *then, bool has_throttling)
{
    uint64_t periods = difference(now->periods, then->periods);
    uint64_t throttled = difference(now->throttled_periods, then->throttled_periods);
    if (!has_throttling)
        return HISTORY_NONE;
    return periods > 0 ? (uint32_t)(throttled * 1000 / periods) : 0;
}

/* Thousandths, a second, of what has come to so much. */
static uint32_t rate_of(uint64_t amount, const struct sampler_counts *now, const struct sampler_counts *then)
{
    return (uint32_t)((double)amount * 1e12 / (double)(now->at_ns - then->at_ns));
}

static uint32_t find_millicores(const struct sampler_counts *now, const struct sampler_counts *then)
{
    return (uint32_t)(difference(now->cpu_ns, then->cpu_ns) * 1000 / (now->at_ns - then->at_ns));
}

/* The most and the least who waited in the last second, in the kernel's queues and the pool's own; HISTORY_NONE: not known. */
static uint32_t with_own(const struct sampler *sampler, uint32_t depth)
{
    return depth == HISTORY_NONE ? depth : depth + atomic_load(&sampler->board->master.connections_waiting);
}

static void add_to_history(struct sampler *sampler, const struct cgroup_cpu *cpu, unsigned seconds)
{
    const struct sampler_counts *now = last_of(sampler), *then = before(sampler, 1);
    uint32_t duration_us[QUANTILES], wait_us[QUANTILES];
    find_quantiles(now->durations, then->durations, duration_us);
    find_quantiles(now->waits, then->waits, wait_us);
    const uint32_t values[HISTORY_FIELDS] = {
        [HISTORY_REQUESTS] = (uint32_t)(difference(now->requests, then->requests) / seconds),
        [HISTORY_ERRORS] = (uint32_t)(difference(now->errors, then->errors) / seconds),
        [HISTORY_P50_US] = duration_us[QUANTILE_50],
        [HISTORY_P95_US] = duration_us[QUANTILE_95],
        [HISTORY_P99_US] = duration_us[QUANTILE_99],
        [HISTORY_QUEUE_DEPTH] = with_own(sampler, sampler->queue->most),
        [HISTORY_QUEUE_WAIT_US] = wait_us[QUANTILE_95],
        [HISTORY_CPU_MILLICORES] = find_millicores(now, then),
        [HISTORY_THROTTLED_PERMILLE] = find_throttled(now, then, cpu->has_throttling),
    };
    for (unsigned i = 0; i < seconds; i++)
        history_add(&sampler->board->history, values);
}

static void publish_now(struct sampler *sampler, const struct cgroup_cpu *cpu)
{
    struct scoreboard_now *out = &sampler->board->master.now;
    const struct sampler_counts *now = last_of(sampler), *then = before(sampler, SCOREBOARD_WINDOW_S);
    uint32_t duration_us[QUANTILES], wait_us[QUANTILES];
    find_quantiles(now->durations, then->durations, duration_us);
    find_quantiles(now->waits, then->waits, wait_us);
    for (size_t i = 0; i < QUANTILES; i++) {
        atomic_store(&out->duration_us[i], duration_us[i]);
        atomic_store(&out->wait_us[i], wait_us[i]);
    }
    atomic_store(&out->requests_milli, rate_of(difference(now->requests, then->requests), now, then));
    atomic_store(&out->errors_milli, rate_of(difference(now->errors, then->errors), now, then));
    atomic_store(&out->cpu_millicores, find_millicores(now, then));
    atomic_store(&out->throttled_permille, find_throttled(now, then, cpu->has_throttling));
    /* Milliseconds a second. */
    uint64_t waited_ms = difference(now->cpu_waiting_us, then->cpu_waiting_us) / 1000;
    atomic_store(&out->pressure_permille, cpu->has_pressure ? rate_of(waited_ms, now, then) / 1000 : HISTORY_NONE);
}

static void publish_cgroup(struct scoreboard *board, const struct cgroup_cpu *cpu)
{
    struct scoreboard_cgroup *out = &board->master.cgroup;
    atomic_store(&out->has_throttling, cpu->has_throttling);
    atomic_store(&out->has_pressure, cpu->has_pressure);
    atomic_store(&out->periods, cpu->periods);
    atomic_store(&out->throttled_periods, cpu->throttled_periods);
    atomic_store(&out->throttled_us, cpu->throttled_us);
    atomic_store(&out->cpu_waiting_us, cpu->cpu_waiting_us);
    atomic_store(&out->memory_waiting_us, cpu->memory_waiting_us);
    atomic_store(&out->memory_stalled_us, cpu->memory_stalled_us);
}

/* Where the queue cannot be asked, all workers' being busy has to do. */
static bool is_crowded(const struct sampler *sampler)
{
    uint32_t least = with_own(sampler, sampler->queue->least);
    if (least != HISTORY_NONE)
        return least > 0;
    unsigned up = 0, busy = 0;
    for (size_t i = 0; i < atomic_load(&sampler->board->master.slots_used); i++) {
        up += scoreboard_state_of(sampler->board, i) >= SLOT_IDLE;
        busy += scoreboard_state_of(sampler->board, i) == SLOT_BUSY;
    }
    return up > 0 && busy == up;
}

static void judge_saturation(struct sampler *sampler)
{
    struct scoreboard *board = sampler->board;
    bool was_saturated = atomic_load(&board->master.now.is_saturated) != 0;
    bool crowded = is_crowded(sampler);
    sampler->crowded = crowded ? sampler->crowded + 1 : 0;
    sampler->relaxed = crowded ? 0 : sampler->relaxed + 1;
    if (!was_saturated && sampler->crowded >= SAMPLER_PATIENCE_S) {
        atomic_store(&board->master.now.is_saturated, 1);
        events_note(&board->events, EVENT_SATURATED, EVENT_WARNING,
                    "saturated: requests wait for a worker all the time");
    } else if (was_saturated && sampler->relaxed >= SAMPLER_PATIENCE_S) {
        atomic_store(&board->master.now.is_saturated, 0);
        events_note(&board->events, EVENT_RELIEVED, EVENT_INFO, "not saturated any more");
    }
}

static void judge_state(struct sampler *sampler, uint64_t now_ns)
{
    struct scoreboard_now *now = &sampler->board->master.now;
    judge_saturation(sampler);
    enum pool_state state = scoreboard_pool_state(sampler->board);
    if (atomic_load(&now->state) != (uint32_t)state) {
        atomic_store(&now->state_since_ns, now_ns);
        atomic_store(&now->state, (uint32_t)state);
    }
}

uint64_t sampler_tick(struct sampler *sampler, const struct cgroup_cpu *cpu, uint64_t now_ns)
{
    if (now_ns < sampler->next_ns)
        return sampler->next_ns;
    uint64_t elapsed_ns = now_ns - last_of(sampler)->at_ns;
    uint64_t seconds = 1 + (now_ns - sampler->next_ns) / CLOCK_NS_PER_S;
    sampler->next_ns += seconds * CLOCK_NS_PER_S;
    watch_look(&sampler->watch, sampler->board, elapsed_ns);
    sampler->at = (sampler->at + 1) % SECONDS;
    sampler->filled += sampler->filled < SECONDS;
    count(sampler, cpu, now_ns);
    add_to_history(sampler, cpu, seconds < BEHIND_MAX_S ? (unsigned)seconds : BEHIND_MAX_S);
    publish_now(sampler, cpu);
    publish_cgroup(sampler->board, cpu);
    judge_state(sampler, now_ns);
    queue_begin_second(sampler->queue);
    return sampler->next_ns;
}
