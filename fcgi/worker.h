/* worker: one process that takes connections, new ones and parked ones, and has each taken a step further; one at a time. */
#ifndef FIBCGI_WORKER_H
#define FIBCGI_WORKER_H

#include "confine.h"
#include "exchange.h"
#include "httpd.h"
#include "listener.h"

/* How a worker's process exits; anything else is a failure. */
enum worker_exit { WORKER_LEFT = 0, WORKER_MAX_REQUESTS = 10, WORKER_FAILED = 11, WORKER_CUT_SHORT = 12 };

/* What a worker's process needs, made by the master before it so that they can be closed after it. */
struct worker_files {
    int inbox; /* memory files */
    int outbox;
    int events;  /* epoll */
    int signals; /* signalfd; it reads the signals of whichever process reads it */
    int lookup;  /* for client_has_left; -1: none */
};
/* How many descriptors that are. */
#define WORKER_FILES ((int)(sizeof(struct worker_files) / sizeof(int)))

struct worker_config {
    struct exchange_config exchange; /* but for its files and order: those are below */
    const struct confinement *confinement;
    const struct listener *listeners; /* listener_count of them; connections are taken from each in turn */
    unsigned listener_count;
    const struct httpd_table *httpd; /* the same application is answered over HTTP there, too; NULL: nowhere */
    struct worker_files files;
    _Atomic uint32_t *order;   /* enum slot_order; set by the master, or by this worker's own SIGTERM */
    bool is_alone;             /* spawned, without a master: SIGTERM and SIGINT mean ORDER_DRAIN */
    bool is_acceptor;          /* takes connections for the others and serves none: where there is a queue_limit */
    unsigned queue_limit;      /* connections that may wait for a worker; 0: the kernel's queue is the only one */
    uint64_t drain_timeout_ns; /* of a worker alone; in a pool the master ends a drain that takes too long */
    uint64_t max_requests;     /* leave after this many; 0: never */
};

enum worker_needs { WORKER_IS_ALONE = 1, WORKER_LOOKS_AT_CLIENTS = 2 };

/* needs: any of enum worker_needs. Returns 0; or -1 with errno, and nothing is open. Without a lookup a worker can do. */
int worker_open_files(struct worker_files *files, const struct record_limits *limits, unsigned needs);
void worker_close_files(struct worker_files *files);

/* Serves until told to leave. SIGTERM must be blocked, for the pool's worker, and SIGTERM and SIGINT for one alone: they
 * are read from a signalfd between requests, so that none is lost and none interrupts a request. */
enum worker_exit worker_run(const struct worker_config *config);

#endif
