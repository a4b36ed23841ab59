#include "scoreboard.h"

#include <stddef.h>
#include <sys/mman.h>

#include "clock.h"

const char *const slot_state_names[SLOT_STATES] = {"empty", "starting", "idle", "reading", "busy"};
const int slot_codes[SLOT_CODES - 1] = {200, 204, 400, 404, 405, 413, 431, 500, 503};
const uint32_t slot_bucket_us[SLOT_BUCKETS - 1] = {250,    500,    1000,   2500,    5000,    10000,   25000,   50000,
                                                   100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};
const char *const refusal_names[REFUSALS] = {"broken", "peer", "aborted", "gone", "short"};
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

static size_t bucket_index(uint64_t duration_us)
{
    size_t i = 0;
    while (i < SLOT_BUCKETS - 1 && duration_us > slot_bucket_us[i])
        i++;
    return i;
}

void slot_count_request(struct slot *slot, int status, uint64_t duration_ns)
{
    counter_add(&slot->by_code[code_index(status)], 1);
    counter_add(&slot->by_duration[bucket_index((duration_ns + CLOCK_NS_PER_US - 1) / CLOCK_NS_PER_US)], 1);
    counter_add(&slot->duration_sum_ns, duration_ns);
    counter_add(&slot->requests, 1);
}
