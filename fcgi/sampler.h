/* sampler: once a second the master looks at all that is counted and writes down how things are: the percentiles of now, the history
 * for the curves, what each process uses, and whether the pool is saturated. So a request costs no more than its counting, and a page
 * no more than its reading. */
#ifndef FIBCGI_SAMPLER_H
#define FIBCGI_SAMPLER_H

#include "cgroup.h"
#include "queue.h"
#include "scoreboard.h"
#include "watch.h"

/* For so many seconds in a row somebody has to have waited at each look before the pool counts as saturated, and nobody, before it
 * does not any more. */
#define SAMPLER_PATIENCE_S 3

/* What is compared with its earlier self. */
struct sampler_counts {
    uint64_t at_ns;
    uint64_t requests;
    uint64_t errors;
    uint64_t cpu_ns;
    uint64_t periods;
    uint64_t throttled_periods;
    uint64_t cpu_waiting_us;
    uint32_t durations
        [HISTOGRAM_BUCKETS]; /* these two may pass their greatest number, which their differences do not mind */
    uint32_t waits[HISTOGRAM_BUCKETS];
};

struct sampler {
    struct scoreboard *board;
    struct queue *queue;
    struct sampler_counts seconds[SCOREBOARD_WINDOW_S + 1]; /* in a circle: the last ones */
    unsigned filled;
    unsigned at; /* where the last one is */
    uint64_t next_ns;
    struct watch watch;
    unsigned crowded; /* seconds in a row in which somebody waited at each look */
    unsigned relaxed; /* and in which nobody did at one of them */
};

void sampler_init(struct sampler *sampler, struct scoreboard *board, struct queue *queue, const struct cgroup_cpu *cpu,
                  uint64_t now_ns);

/* Looks, where it is time to. Returns when to be called again. */
uint64_t sampler_tick(struct sampler *sampler, const struct cgroup_cpu *cpu, uint64_t now_ns);

#endif
