/* history: what the pool did in each of the last seconds, for the curves of the status page. In shared memory; the master writes,
 * and everybody reads without locks. */
#ifndef FIBCGI_HISTORY_H
#define FIBCGI_HISTORY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_SECONDS 300
/* A few more places than are shown, so that nobody reads the one that is being written. */
#define HISTORY_PLACES (HISTORY_SECONDS + 4)
/* A value that is not known, or that there is none of. */
#define HISTORY_NONE UINT32_MAX

enum history_field {
    HISTORY_REQUESTS, /* answered */
    HISTORY_ERRORS,   /* of those: by 5xx */
    HISTORY_P50_US,   /* of their durations */
    HISTORY_P95_US,
    HISTORY_P99_US,
    HISTORY_QUEUE_DEPTH,   /* the most that was seen */
    HISTORY_QUEUE_WAIT_US, /* 95 of 100 waited no longer */
    HISTORY_CPU_MILLICORES,
    HISTORY_THROTTLED_PERMILLE, /* of the cgroup's periods */
    HISTORY_FIELDS
};
extern const char *const history_field_names[HISTORY_FIELDS];

struct history_sample {
    _Atomic uint32_t values[HISTORY_FIELDS];
};

struct history {
    _Atomic uint64_t last; /* number of the last sample, from 1; 0: there is none */
    struct history_sample samples[HISTORY_PLACES];
};

void history_add(struct history *history, const uint32_t values[static HISTORY_FIELDS]);

/* The number of the oldest sample that is behind number since and may be read, up to history->last; greater than that where there
 * is none. */
uint64_t history_first(const struct history *history, uint64_t since);

uint32_t history_value(const struct history *history, uint64_t number, enum history_field field);

#endif
