#include "scoreboard.h"

#include <stddef.h>
#include <sys/mman.h>

const char *const slot_state_names[SLOT_STATES] = {"empty", "starting", "idle", "reading", "busy"};
const int slot_codes[SLOT_CODES - 1] = {200, 204, 400, 404, 405, 413, 431, 500, 503};
const char *const refusal_names[REFUSALS] = {"broken", "peer", "aborted", "gone", "short"};
const char *const quantile_names[QUANTILES] = {"p50", "p95", "p99"};
const char *const pool_state_names[POOL_STATES] = {"starting", "serving", "saturated", "no-worker", "draining"};
const char *const restart_cause_names[RESTART_CAUSES] = {"exit", "signal", "timeout", "max_requests", "roll"};

struct scoreboard *scoreboard_create(void)
{
    void *memory = mmap(NULL, sizeof(struct scoreboard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static size_t code_index(int status)
{
    for (size_t i = 0; i < SLOT_CODES - 1; i++) {
        if (slot_codes[i] == status)
            return i;
    }
    return SLOT_CODES - 1;
}

void slot_count_request(struct slot *slot, int status, uint64_t duration_ns)
{
    counter_add(&slot->by_code[code_index(status)], 1);
    times_add(&slot->durations, duration_ns, 1);
    counter_add(&slot->requests, 1);
}

/* The state is the dead worker's last word until its successor writes: without a process the slot counts as empty. */
enum slot_state scoreboard_state_of(const struct scoreboard *board, size_t slot)
{
    if (atomic_load(&board->master.pids[slot]) == 0)
        return SLOT_EMPTY;
    uint32_t state = atomic_load_explicit(&board->slots[slot].state, memory_order_relaxed);
    return state < SLOT_STATES ? (enum slot_state)state : SLOT_EMPTY;
}

unsigned scoreboard_workers_up(const struct scoreboard *board)
{
    unsigned up = 0;
    size_t used = atomic_load(&board->master.slots_used);
    for (size_t i = 0; i < used; i++)
        up += scoreboard_state_of(board, i) >= SLOT_IDLE;
    return up;
}

enum pool_state scoreboard_pool_state(const struct scoreboard *board)
{
    uint32_t phase = atomic_load(&board->master.phase);
    if (phase != PHASE_SERVING)
        return phase == PHASE_DRAINING ? STATE_DRAINING : STATE_STARTING;
    if (scoreboard_workers_up(board) == 0)
        return STATE_NO_WORKER;
    return atomic_load(&board->master.now.is_saturated) != 0 ? STATE_SATURATED : STATE_SERVING;
}
