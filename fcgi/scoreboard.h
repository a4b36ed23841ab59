/* scoreboard: shared memory in which each worker counts and says what it does, in a slot of its own.
 *
 * A slot has one writer, the worker that holds it; everybody reads without locks. A worker's successor in a slot counts
 * on from where it stopped, so that totals never fall. What the master says (orders, pids, causes) has its own part. */
#ifndef FIBCGI_SCOREBOARD_H
#define FIBCGI_SCOREBOARD_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "log.h"

#define SCOREBOARD_WORKERS_MAX 512
/* Behind the workers' slots, one for the admin worker, and one for the acceptor that a limit on the queue needs. */
#define SCOREBOARD_ADMIN SCOREBOARD_WORKERS_MAX
#define SCOREBOARD_ACCEPTOR (SCOREBOARD_WORKERS_MAX + 1)
#define SCOREBOARD_SLOTS (SCOREBOARD_WORKERS_MAX + 2)

enum slot_state { SLOT_EMPTY, SLOT_STARTING, SLOT_IDLE, SLOT_READING, SLOT_BUSY, SLOT_STATES };
extern const char *const slot_state_names[SLOT_STATES];

/* What the master wants of a worker; it looks after each request and when SIGTERM arrives. */
enum slot_order {
    ORDER_SERVE,
    ORDER_RETIRE, /* finish what is in hand, leave the queue to others, exit 0 */
    ORDER_DRAIN,  /* answer what is queued, then exit 0 */
};

/* The statuses that are counted one by one; the last is for all others. */
#define SLOT_CODES 10
extern const int slot_codes[SLOT_CODES - 1];

/* Upper bounds of the duration histogram in microseconds; the last bucket has none. */
#define SLOT_BUCKETS 16
extern const uint32_t slot_bucket_us[SLOT_BUCKETS - 1];

enum refusal { REFUSED_BROKEN, REFUSED_PEER, REFUSED_ABORTED, REFUSED_GONE, REFUSED_SHORT, REFUSALS };
extern const char *const refusal_names[REFUSALS];

/* Written by the worker alone. */
struct slot {
    _Alignas(64) _Atomic uint32_t state; /* enum slot_state */
    _Atomic uint64_t busy_since_ns;      /* clock_now_ns when the request in hand went to the application; 0: none */
    _Atomic uint32_t is_opening;         /* it may have opened a descriptor that is not noted anywhere yet */
    _Atomic uint32_t is_inbox_closed; /* its inbox has been closed by accident: it is not there to be closed any more */
    _Atomic uint64_t requests;        /* answered, of every status */
    _Atomic uint64_t by_code[SLOT_CODES];
    _Atomic uint64_t by_duration[SLOT_BUCKETS]; /* not cumulative */
    _Atomic uint64_t duration_sum_ns;
    _Atomic uint64_t refused[REFUSALS]; /* connections that were closed without an answer */
};

enum restart_cause {
    RESTART_EXIT,
    RESTART_SIGNAL,
    RESTART_TIMEOUT,
    RESTART_MAX_REQUESTS,
    RESTART_ROLL,
    RESTART_CAUSES
};
extern const char *const restart_cause_names[RESTART_CAUSES];

enum pool_phase { PHASE_STARTING, PHASE_SERVING, PHASE_DRAINING };

/* Written by the master alone. */
struct scoreboard_master {
    _Atomic uint32_t phase;             /* enum pool_phase */
    _Atomic uint32_t workers;           /* how many there should be now */
    _Atomic uint32_t slots_used;        /* slots [0, slots_used) have held a worker at some time */
    _Atomic int64_t cpu_limit_millicpu; /* -1: none */
    _Atomic uint64_t restarts[RESTART_CAUSES];
    _Atomic uint64_t timeouts;                 /* connections given up because their request did not come in time */
    _Atomic uint64_t replays;                  /* connections taken over from a worker that died */
    _Atomic uint32_t connections_open;         /* parked or in hand; these three are up to a second old */
    _Atomic uint32_t connections_waiting;      /* of those: accepted, and waiting for a worker */
    _Atomic uint64_t kept_bytes;               /* of incomplete requests and unread answers */
    double started_at;                         /* seconds since 1970; set before the first worker */
    _Atomic uint32_t orders[SCOREBOARD_SLOTS]; /* enum slot_order */
    _Atomic int32_t pids[SCOREBOARD_SLOTS];    /* 0: no process */
};

struct scoreboard {
    struct scoreboard_master master;
    struct log_flood floods[LOG_KINDS]; /* log.h says who writes them */
    struct slot slots[SCOREBOARD_SLOTS];
};

/* Shared between this process and those it forks. Untouched slots take no memory. Returns NULL with mmap(2)'s errno. */
struct scoreboard *scoreboard_create(void);

/* Add to a counter of which the caller is the only writer: no locked instruction. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + amount, memory_order_relaxed);
}

static inline uint64_t counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Counts one answered request. */
void slot_count_request(struct slot *slot, int status, uint64_t duration_ns);

static inline void slot_set_state(struct slot *slot, enum slot_state state)
{
    atomic_store_explicit(&slot->state, (uint32_t)state, memory_order_relaxed);
}

#endif
