/* connections: what the whole pool holds of its peers, so that a connection outlives the worker that has it in hand.
 *
 * The workers share one table of file descriptors (clone(2) with CLONE_FILES), so the kernel does not close a connection
 * when its worker dies, and its number means the same to all. The entries, by that number, lie in shared memory. A
 * connection is held by one worker, or parked: then it is watched by an epoll instance that all workers share, and the
 * next free one takes it as soon as there is something to do. Parked are requests that are not complete yet, answers that
 * their reader has not taken yet, connections kept for a next request, those that wait for a worker, refused peers that
 * have not hung up, and those whose worker died. */
#ifndef FIBCGI_CONNECTIONS_H
#define FIBCGI_CONNECTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

/* Descriptors from this number on are closed at once; the limit on open files (RLIMIT_NOFILE) is mostly lower. */
#define CONNECTIONS_MAX 65536

/* The state of an entry: nobody's, parked, or with the slot of the process that holds or closes it. */
#define CONNECTION_NONE 0U
#define CONNECTION_PARKED 1U
#define CONNECTION_HELD_BY(slot) (0x10000U | (slot))
#define CONNECTION_CLOSED_BY(slot) (0x20000U | (slot))
/* The slot of the master, as a holder. */
#define CONNECTIONS_MASTER 0xffffU

enum connection_stage {
    STAGE_RECEIVING, /* the request is not complete */
    STAGE_SERVING,   /* the whole request is there, and the application has it */
    STAGE_ANSWERING, /* the answer, one write(2), may be out */
    STAGE_UNSURE,    /* its worker died while answering; another one finds out whether the answer is out */
    STAGE_SENDING,   /* the answer lies in a file, whose position says how much of it is out */
    STAGE_ANSWERED,  /* all of the answer is out */
    STAGE_IDLE,      /* kept for the peer's next request, of which nothing has come */
    STAGE_WAITING,   /* accepted, but not looked at: it waits for a worker in the order of arrival */
    STAGE_REFUSED,   /* accepted, but there was no place in the queue: that is the answer once its request is there */
    STAGE_LINGERING, /* what the peer still sends is dropped until it hangs up */
};

/* What becomes of a connection when the answer is out. With FCGI_KEEP_CONN the next request may come on it, but not behind one
 * that was refused before its end. */
enum connection_after { AFTER_CLOSE, AFTER_KEEP, AFTER_LINGER };

/* Written by whoever holds it. In an entry that is nobody's all of it is zero. */
struct connection {
    _Alignas(64) _Atomic uint32_t state;
    _Atomic uint32_t stage;     /* enum connection_stage */
    _Atomic uint32_t is_urgent; /* parked: wants a worker also where its peer does nothing */
    _Atomic uint32_t after;     /* enum connection_after: what follows the answer */
    _Atomic uint32_t deaths;    /* workers that died while they served it */
    _Atomic int32_t weight;     /* parked: its descriptors, with those of its files */
    _Atomic int32_t store;      /* memory file with the bytes that were taken; 0: they lie in its holder's inbox */
    _Atomic int32_t answer;     /* memory file with the answer on its way; 0: it lies in its holder's outbox */
    _Atomic uint64_t taken;     /* bytes that have left the socket: see inbox.h */
    _Atomic uint64_t start;     /* so many of them have been dealt with */
    _Atomic uint64_t end;       /* where the request ends among them whose answer is on its way */
    _Atomic uint64_t answer_length;
    _Atomic uint64_t kept_bytes;  /* its part of what connections_keep counts */
    _Atomic uint64_t began_ns;    /* when it was accepted, or the first byte of a further request came */
    _Atomic uint64_t deadline_ns; /* when a parked one is given up */
    struct record_check check;    /* parked in the middle of a request: how far it is checked */
    bool is_checked;              /* that check means something */
};

struct connections {
    struct connection *table;          /* CONNECTIONS_MAX of them */
    struct connections_shared *shared; /* counts */
    int ready;                         /* the shared epoll instance: readable when a parked connection wants a worker */
    int waiting;                       /* the same for those that wait for a worker in the order of arrival */
    int refused;                       /* and for those that were refused */
    unsigned slot;                     /* of this process, as holder */
    int parked_max;                    /* descriptors of parked ones; beyond, one is parked in the place of another */
    uint64_t kept_bytes_max;           /* of incomplete requests and unread answers together */
    _Atomic uint32_t *is_opening;      /* of this process: it may have open what is not noted */
    _Atomic uint64_t *short_count;     /* of this process: counts connections that had to make room */
};

/* reserve: descriptors that parked connections leave to others. Returns 0, or -1 with errno of mmap(2) or epoll_create1(2).
 * Call before the workers are made. */
int connections_create(struct connections *connections, int reserve, uint64_t kept_bytes_max);

/* The entry of a descriptor below CONNECTIONS_MAX. */
struct connection *connections_at(const struct connections *connections, int fd);

enum connection_stage connections_stage(const struct connections *connections, int fd);
void connections_set_stage(struct connections *connections, int fd, enum connection_stage stage);

/* A new connection, just accepted, is held by the caller. False where somebody else has taken care of it already (errno
 * EBUSY) or its number is too large (errno EMFILE). */
bool connections_hold(struct connections *connections, int fd, uint64_t now_ns);

/* Counts bytes more that a connection keeps in memory files. False where all together would then be too many. */
bool connections_keep(struct connections *connections, int fd, uint64_t bytes);

/* It keeps none any more. */
void connections_keep_nothing(struct connections *connections, int fd);

/* Parks a held connection, by its stage: until its peer sends, hangs up or reads on, or for a worker at once.
 * deadline_ns: when it is given up. Where descriptors are short, one that has been silent for longer is closed for it.
 * Returns 0; or -1 with errno, EMFILE where there is none: it is still held. */
int connections_park(struct connections *connections, int fd, uint64_t deadline_ns, bool is_urgent);

/* Take a parked connection that wants a worker; it is held by the caller then. Return its descriptor, or -1: none.
 * has_left: its peer has closed it. */
int connections_take(struct connections *connections);
int connections_take_waiting(struct connections *connections, bool *has_left);
int connections_take_refused(struct connections *connections);

/* Forgets a held connection and closes it, and its files. */
void connections_drop(struct connections *connections, int fd);

/* Closes the file in *place, an entry's store or answer. Meanwhile it is noted nowhere, as one that is being opened: the master,
 * which closes what it finds so, must not close it as well, for its number may be another's by then. */
void connections_close_file(struct connections *connections, _Atomic int32_t *place);

/* Has idle connections looked at, since a drain has begun. */
void connections_hurry(struct connections *connections);

/* How many are parked or held now; how many wait in the order of arrival. */
unsigned connections_left(const struct connections *connections);
unsigned connections_waiting(const struct connections *connections);
/* The bytes that connections_keep has counted. */
uint64_t connections_kept_bytes(const struct connections *connections);

/* True where so many descriptors are with parked connections that no further one is parked but in the place of another. */
bool connections_are_short(const struct connections *connections);

/* Clients that leave before it is their turn show that the queue is longer than their patience. Then the newest is to be
 * served first: who has waited longest would leave, too, before it is served. */
void connections_note_gone(struct connections *connections);
void connections_note_served(struct connections *connections);
bool connections_serve_newest(const struct connections *connections);
/* Weaker: some left of late. */
bool connections_some_left(const struct connections *connections);

/* The rest is for the master. */

/* The next descriptor from fd on that a dead worker held; -1: no further one. */
int connections_held_by(struct connections *connections, unsigned slot, int fd);

/* The same for those that it was about to close; the caller holds it then, as a new one. */
int connections_closed_by(struct connections *connections, unsigned slot, int fd);

/* Parks one of those that is open until its peer sends, at most until deadline_ns: mostly that only waits for the end. */
void connections_park_closed(struct connections *connections, int fd, uint64_t now_ns, uint64_t deadline_ns);

/* Lets go of a held descriptor that turned out to be closed. */
void connections_forget(struct connections *connections, int fd);

/* Parks a connection that a dead worker held, to be taken at once. Where the request's bytes or the answer lie in the
 * worker's own files, those pass to the connection, and *inbox or *outbox becomes -1. */
void connections_bequeath(struct connections *connections, int fd, int *inbox, int *outbox, uint64_t now_ns,
                          uint64_t deadline_ns);

/* Watches every parked connection anew, for a worker may have died in the middle of parking one. */
void connections_watch_again(struct connections *connections);

/* Gives up the parked connections whose peer's time is over (not those that wait for a worker), and counts anew what kills
 * may have miscounted. Returns how many had something to lose. */
unsigned connections_sweep(struct connections *connections, uint64_t now_ns);

/* Takes care of a connection that a worker accepted and died before it could hold it. True where nobody had it. */
bool connections_adopt(struct connections *connections, int fd, uint64_t now_ns, uint64_t deadline_ns);

/* Whether a connection has that memory file. */
bool connections_refer_to(const struct connections *connections, int file);

#endif
