#include "totals.h"

static void add_all(uint64_t *sums, const _Atomic uint64_t *counters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += counter_read(&counters[i]);
}

static void add_times(struct totals_times *sum, const struct times *times)
{
    add_all(sum->counts, times->counts, HISTOGRAM_BUCKETS);
    sum->sum_ns += counter_read(&times->sum_ns);
}

static void add_slot(struct totals *totals, const struct slot *slot)
{
    totals->requests += counter_read(&slot->requests);
    add_all(totals->by_code, slot->by_code, SLOT_CODES);
    add_all(totals->refused, slot->refused, REFUSALS);
    add_times(&totals->durations, &slot->durations);
    add_times(&totals->waits, &slot->waits);
}

void totals_add_up(struct totals *totals, const struct scoreboard *board)
{
    *totals = (struct totals){0};
    size_t used = atomic_load(&board->master.slots_used);
    for (size_t i = 0; i < used; i++) {
        add_slot(totals, &board->slots[i]);
        totals->by_state[scoreboard_state_of(board, i)]++;
    }
    /* It answers those for whom there is no place in the queue. */
    if (board->master.has_acceptor)
        add_slot(totals, &board->slots[SCOREBOARD_ACCEPTOR]);
    add_times(&totals->waits, &board->master.waits);
}
