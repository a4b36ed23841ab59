/* master: the loop that owns the pool: signals, timers, changes of the CPU limit. It blocks on nothing else. */
#ifndef FIBCGI_MASTER_H
#define FIBCGI_MASTER_H

#include <signal.h>

#include "listener.h"
#include "log.h"
#include "notify.h"
#include "pool.h"

struct master_config {
    struct pool_config pool;
    struct log *log;            /* reopened on SIGUSR1… */
    struct log *access_log;     /* …as this is; its path is NULL where there is none */
    struct notify *notify;      /* opened; is told how the pool is */
    struct listener *listeners; /* the workers'; their intake stops when a drain begins */
    unsigned listener_count;
    unsigned fixed_workers; /* 0: as many as the CPU limit asks for, followed while it changes */
    uint64_t drain_timeout_ns;
    uint16_t drain_after; /* TCP port: a drain waits until nobody is there any more; 0: for nobody */
};

enum master_end {
    MASTER_DONE,      /* drained, or told to stop at once */
    MASTER_CUT_SHORT, /* the drain was ended by its timeout or by a second signal */
    MASTER_FAILED,    /* could not start; errno is set */
};

/* Blocks the signals that the master reads. Call before anything else can send one; old gets the mask for children. */
void master_block_signals(sigset_t *old);

/* Runs the pool until a signal ends it. SIGTERM, SIGINT: drain, once the web server has left, the second one stops at once; SIGQUIT: stop at once;
 * SIGHUP: replace the workers one by one; SIGUSR1: reopen the log; SIGUSR2: log the status. The service manager is told that
 * the pool is ready once a worker is up. */
enum master_end master_run(const struct master_config *config);

#endif
