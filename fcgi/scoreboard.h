/* scoreboard: shared memory in which each worker counts and says what it does, in a slot of its own.
 *
 * A slot has one writer, the worker that holds it; everybody reads without locks. A worker's successor in a slot counts
 * on from where it stopped, so that totals never fall. What the master says (orders, pids, causes) has its own part. */
#ifndef FIBCGI_SCOREBOARD_H
#define FIBCGI_SCOREBOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "events.h"
#include "histogram.h"
#include "history.h"
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

enum refusal { REFUSED_BROKEN, REFUSED_PEER, REFUSED_ABORTED, REFUSED_GONE, REFUSED_SHORT, REFUSALS };
extern const char *const refusal_names[REFUSALS];

/* Times that were counted; not cumulative. */
struct times {
    _Atomic uint64_t counts[HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum_ns;
};

/* Written by the worker alone. */
struct slot {
    _Alignas(64) _Atomic uint32_t state; /* enum slot_state */
    _Atomic uint64_t busy_since_ns;      /* clock_now_ns when the request in hand went to the application; 0: none */
    _Atomic uint32_t is_opening;         /* it may have opened a descriptor that is not noted anywhere yet */
    _Atomic uint32_t is_inbox_closed; /* its inbox has been closed by accident: it is not there to be closed any more */
    _Atomic uint64_t requests;        /* answered, of every status */
    _Atomic uint64_t by_code[SLOT_CODES];
    _Atomic uint64_t refused[REFUSALS]; /* connections that were closed without an answer */
    _Atomic uint64_t accepted;          /* connections taken from the kernel's queue */
    _Atomic uint64_t set_aside;         /* of those: left to wait in the pool's own */
    struct times durations;             /* from the accepted connection to the answer */
    struct times waits;                 /* in the pool's own queue */
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

/* The same for those who look from outside, with what the workers make of it. */
enum pool_state { STATE_STARTING, STATE_SERVING, STATE_SATURATED, STATE_NO_WORKER, STATE_DRAINING, POOL_STATES };
extern const char *const pool_state_names[POOL_STATES];

/* What the master saw of a slot's process. */
struct watched {
    _Atomic uint64_t started_ns;
    _Atomic uint64_t cpu_ns;       /* that it has used, at the last look */
    _Atomic uint64_t rss_bytes;    /* 0: not known yet */
    _Atomic uint32_t cpu_permille; /* of a CPU, in the last second; HISTORY_NONE: not known yet */
    _Atomic uint32_t restarts;     /* processes in this slot that had a successor */
    _Atomic uint32_t last_cause;   /* enum restart_cause of the last one and 1; 0: there was none */
    _Atomic uint32_t last_detail;  /* its signal or exit status */
};

/* The percentiles that are told. */
enum scoreboard_quantile { QUANTILE_50, QUANTILE_95, QUANTILE_99, QUANTILES };
extern const char *const quantile_names[QUANTILES];

/* How things are now, which is over the last SCOREBOARD_WINDOW_S seconds. Once a second the master works it out. HISTORY_NONE stands
 * for what is not known, or what there is none of. */
#define SCOREBOARD_WINDOW_S 10
struct scoreboard_now {
    _Atomic uint32_t requests_milli; /* thousandths of a request a second */
    _Atomic uint32_t errors_milli;
    _Atomic uint32_t duration_us[QUANTILES];
    _Atomic uint32_t wait_us[QUANTILES];
    _Atomic uint32_t cpu_millicores;
    _Atomic uint32_t throttled_permille; /* of the cgroup's periods */
    _Atomic uint32_t pressure_permille;  /* of the time in which somebody in the cgroup waited for a CPU */
    _Atomic uint32_t is_saturated;       /* for some seconds somebody has waited for a worker at each look */
    _Atomic uint32_t state;              /* enum pool_state */
    _Atomic uint64_t state_since_ns;
};

/* Totals of the cgroup that has the CPU limit. */
struct scoreboard_cgroup {
    _Atomic uint32_t has_throttling;
    _Atomic uint32_t has_pressure;
    _Atomic uint64_t periods;
    _Atomic uint64_t throttled_periods;
    _Atomic uint64_t throttled_us;
    _Atomic uint64_t cpu_waiting_us;
    _Atomic uint64_t memory_waiting_us;
    _Atomic uint64_t memory_stalled_us;
};

/* Written by the master alone. */
struct scoreboard_master {
    _Atomic uint32_t phase;             /* enum pool_phase */
    _Atomic uint32_t workers;           /* how many there should be now */
    _Atomic uint32_t slots_used;        /* slots [0, slots_used) have held a worker at some time */
    _Atomic int64_t cpu_limit_millicpu; /* -1: none */
    _Atomic uint64_t restarts[RESTART_CAUSES];
    _Atomic uint64_t timeouts;            /* connections given up because their request did not come in time */
    _Atomic uint64_t replays;             /* connections taken over from a worker that died */
    _Atomic uint32_t connections_open;    /* parked or in hand; these three are up to a second old */
    _Atomic uint32_t connections_waiting; /* of those: accepted, and waiting for a worker */
    _Atomic uint64_t kept_bytes;          /* of incomplete requests and unread answers */
    _Atomic uint32_t queue_depth;         /* of the kernel's queues; HISTORY_NONE: it cannot be asked */
    _Atomic uint32_t queue_capacity;      /* the same */
    _Atomic uint64_t cpu_ns;              /* of all processes there were */
    uint64_t started_ms;                  /* since 1970; these four are set before the first worker */
    const char *version;                  /* of fibcgi */
    const char *application;              /* its name */
    bool has_acceptor;
    struct scoreboard_now now;
    struct scoreboard_cgroup cgroup;
    struct times waits;                        /* in the kernel's queues: worked out, see queue.h */
    _Atomic uint32_t orders[SCOREBOARD_SLOTS]; /* enum slot_order */
    _Atomic int32_t pids[SCOREBOARD_SLOTS];    /* 0: no process */
};

struct scoreboard {
    struct scoreboard_master master;
    struct history history;
    struct events events;
    struct watched watched[SCOREBOARD_SLOTS];
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

/* Counts a time, weight times. */
static inline void times_add(struct times *times, uint64_t time_ns, uint64_t weight)
{
    counter_add(&times->counts[histogram_bucket(time_ns)], weight);
    counter_add(&times->sum_ns, time_ns * weight);
}

/* Counts one answered request. */
void slot_count_request(struct slot *slot, int status, uint64_t duration_ns);

/* The state of a slot's process; SLOT_EMPTY where there is none. */
enum slot_state scoreboard_state_of(const struct scoreboard *board, size_t slot);

/* Workers that can take a request: those that have started and have not left. */
unsigned scoreboard_workers_up(const struct scoreboard *board);

/* What is to be told of the whole pool. */
enum pool_state scoreboard_pool_state(const struct scoreboard *board);

static inline void slot_set_state(struct slot *slot, enum slot_state state)
{
    atomic_store_explicit(&slot->state, (uint32_t)state, memory_order_relaxed);
}

#endif
