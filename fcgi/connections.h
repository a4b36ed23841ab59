/* connections: what the whole pool holds of its peers, so that a connection outlives the worker that has it in hand.
 *
 * The workers share one table of file descriptors (clone(2) with CLONE_FILES), so the kernel does not close a connection
 * when its worker dies, and its number means the same to all. The entries, by that number, lie in shared memory. A
 * connection is held by one worker, or parked: then it is watched by an epoll instance that all workers share, and the
 * next free one takes it as soon as there is something to do. Parked are requests that are not complete yet, refused peers
 * that have not hung up, and those whose worker died. */
#ifndef FIBCGI_CONNECTIONS_H
#define FIBCGI_CONNECTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptors from this number on are closed at once; the limit on open files (RLIMIT_NOFILE) is mostly lower. */
#define CONNECTIONS_MAX 65536

/* The state of an entry: nobody's, parked, or with the slot of the process that holds or closes it. */
#define CONNECTION_NONE 0U
#define CONNECTION_PARKED 1U
#define CONNECTION_HELD_BY(slot) (0x10000U | (slot))
#define CONNECTION_CLOSED_BY(slot) (0x20000U | (slot))

enum connection_stage {
    STAGE_RECEIVING, /* the request is not complete; bytes that were taken are in the store */
    STAGE_SERVING,   /* the whole request is in the store, and the application has it */
    STAGE_ANSWERING, /* the answer may be out */
    STAGE_UNSURE,    /* its worker died while answering; another one finds out whether the answer is out */
    STAGE_LINGERING, /* answered; what the peer still sends is dropped until it hangs up */
};

struct connection {
    _Alignas(64) _Atomic uint32_t state;
    _Atomic uint32_t stage;  /* enum connection_stage */
    _Atomic uint32_t deaths; /* workers that died while they served it */
    _Atomic int32_t store;   /* parked: memory file with the bytes that were taken; 0: none */
    _Atomic uint64_t length; /* of those bytes */
    _Atomic uint64_t accepted_ns;
    _Atomic uint64_t deadline_ns; /* when a parked one is given up */
};

struct connections {
    struct connection *table;  /* CONNECTIONS_MAX of them */
    _Atomic uint32_t *highest; /* no descriptor above this has been used; shared */
    int ready;                 /* the shared epoll instance: readable when a parked connection wants a worker */
    unsigned slot;             /* of this process, as holder */
};

/* Returns 0, or -1 with errno of mmap(2) or epoll_create1(2). Call before the workers are made. */
int connections_create(struct connections *connections);

/* The entry of a descriptor below CONNECTIONS_MAX. */
struct connection *connections_at(const struct connections *connections, int fd);

/* A new connection, just accepted, is held by the caller. False where its number is too large. */
bool connections_hold(struct connections *connections, int fd, uint64_t accepted_ns);

/* Parks a held connection until its peer sends or hangs up, with length bytes kept. deadline_ns: when it is given up.
 * Returns 0, or -1 with errno: it is still held then. */
int connections_park(struct connections *connections, int fd, const uint8_t *bytes, size_t length,
                     uint64_t deadline_ns);

/* Takes a parked connection that wants a worker; it is held by the caller then. Returns its descriptor, or -1: none. */
int connections_take(struct connections *connections);

/* Forgets a held connection and closes it, and its store. */
void connections_drop(struct connections *connections, int fd);

/* For the master: the next descriptor from fd on that a dead worker held; -1: no further one. What it was about to close is
 * nobody's from then on: closed already, or left to connections_adopt. */
int connections_held_by(struct connections *connections, unsigned slot, int fd);

/* For the master, of a worker that died: parks the connection that it held, to be taken at once. store is the memory file
 * with the length bytes that it had taken from the socket (ownership passes; 0: none). */
void connections_bequeath(struct connections *connections, int fd, int store, uint64_t length, uint64_t deadline_ns);

/* For the master: watches every parked connection anew, for a worker may have died in the middle of parking one. */
void connections_watch_again(struct connections *connections);

/* For the master: gives up the parked connections whose time is over. Returns how many. */
unsigned connections_sweep(struct connections *connections, uint64_t now_ns);

/* For the master: takes care of a connection that a worker accepted and died before it could hold it. True where nobody
 * had it. */
bool connections_adopt(struct connections *connections, int fd, uint64_t now_ns, uint64_t deadline_ns);

/* How many are parked now. */
unsigned connections_parked(const struct connections *connections);

#endif
