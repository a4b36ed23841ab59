/* totals: sums over the slots of all workers. Counters are read one after the other while workers count on: each is right, their sums
 * may differ by the requests of that moment. */
#ifndef FIBCGI_TOTALS_H
#define FIBCGI_TOTALS_H

#include "scoreboard.h"

struct totals_times {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t sum_ns;
};

struct totals {
    uint64_t requests;
    uint64_t by_code[SLOT_CODES];
    uint64_t refused[REFUSALS];
    struct totals_times durations;
    struct totals_times waits; /* in the kernel's queues and the pool's own */
    unsigned by_state[SLOT_STATES];
};

void totals_add_up(struct totals *totals, const struct scoreboard *board);

#endif
