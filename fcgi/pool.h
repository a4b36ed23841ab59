/* pool: the worker processes in their slots: spawn, reap, back off, resize, drain, roll. The master calls it between
 * two waits; nothing here blocks. */
#ifndef FIBCGI_POOL_H
#define FIBCGI_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "connections.h"
#include "listener.h"
#include "log.h"
#include "scoreboard.h"
#include "worker.h"

/* A worker that dies without having answered a request, sooner than this, counts as dying young: then its successor
 * waits, from the first figure, doubling, up to the second. */
#define POOL_YOUNG_NS (1000 * CLOCK_NS_PER_MS)
#define POOL_BACKOFF_FIRST_NS (100 * CLOCK_NS_PER_MS)
#define POOL_BACKOFF_MAX_NS (5000 * CLOCK_NS_PER_MS)
/* One that could not even be made, for want of a process or a descriptor, is tried again at least so often: that costs little,
 * and the want may be over at any moment. */
#define POOL_START_RETRY_MAX_NS (400 * CLOCK_NS_PER_MS)

/* The listeners of one kind of worker, and the connections that came from them. */
struct pool_service {
    const struct listener *listeners;
    unsigned listener_count;
    struct connections *connections;
};

struct pool_config {
    struct scoreboard *board;
    const struct log *log;
    uint64_t request_timeout_ns; /* the application may take this long for a request */
    bool has_admin;
    bool has_acceptor;
    bool watches_clients;
    struct pool_service work;
    struct pool_service admin;
    const struct httpd_table *httpd; /* where the admin worker answers over HTTP; NULL: nowhere */
    struct record_limits limits;
    uint64_t read_timeout_ns; /* for a whole request */
    /* Becomes the worker (or the admin worker, or the acceptor) of that slot, in the new process; never returns. */
    void (*run)(void *context, unsigned slot, const struct worker_files *files);
    void *run_context;
};

struct pool_worker {
    pid_t pid; /* 0: none */
    struct worker_files files;
    uint64_t started_ns;
    uint64_t requests_at_start;
    unsigned deaths_in_youth; /* in a row */
    unsigned failed_starts;   /* in a row */
    uint64_t spawn_at_ns;     /* with pid 0: when to start it again; 0: not at all */
    unsigned generation;      /* which roll it belongs to */
    bool was_told_to_leave;
    bool was_killed_for_time;
};

struct pool {
    struct pool_config config;
    struct pool_worker workers[SCOREBOARD_SLOTS];
    unsigned wanted;     /* workers there should be; without admin and acceptor */
    unsigned generation; /* workers of an older one are replaced, one at a time */
    bool is_draining;
    uint64_t warned_ns;     /* when an event was last made of a worker that cannot be started */
    uint64_t scan_at_ns;    /* when to look for connections that nobody holds, after a death; 0: no need */
    uint64_t scan_until_ns; /* when to give that up */
};

void pool_init(struct pool *pool, const struct pool_config *config);

/* Changes how many workers there are: new ones are spawned by the next pool_tick, those too many finish what they have
 * in hand. count from 1 to SCOREBOARD_WORKERS_MAX. */
void pool_resize(struct pool *pool, unsigned count);

/* Replaces every worker by a new one, one at a time, none while its predecessor's successor is not up. */
void pool_roll(struct pool *pool);

/* True while workers are left that a roll is to replace. */
bool pool_is_rolling(const struct pool *pool);

/* Tells all workers to answer what is queued and leave; the admin worker follows when they have. */
void pool_drain(struct pool *pool);

/* Kills every process at once. */
void pool_kill(struct pool *pool);

/* Collects dead children: logs each, counts its cause and plans its successor. */
void pool_reap(struct pool *pool);

/* Does what is due at now_ns: spawns, kills requests that took too long, gives up connections whose time is over, goes on
 * with a roll. Returns when it wants to be called again. */
uint64_t pool_tick(struct pool *pool, uint64_t now_ns);

/* True once no process is left and none is to be started. */
bool pool_is_empty(const struct pool *pool);

#endif
