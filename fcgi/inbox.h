/* inbox: where a worker receives a request's bytes and has them checked before libfcgi may parse them.
 *
 * libfcgi reads only from a file descriptor, waits without limit for bytes that do not come, and trusts what it reads.
 * So the whole request is looked at first. Nearly always it lies in the socket at the first look: then libfcgi reads it
 * from there. A slow, fragmented or odd one, and one after which another may follow on the same connection, is taken into
 * a memory file, and libfcgi reads that. */
#ifndef FIBCGI_INBOX_H
#define FIBCGI_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

/* Bytes that inbox_drop_rest reads at a time, over the beginning of the inbox. */
#define INBOX_PIECE ((size_t)64 * 1024)

struct inbox {
    struct record_limits limits;
    unsigned max_conns; /* what GET_VALUES is told of FCGI_MAX_CONNS and FCGI_MAX_REQS */
    size_t capacity;    /* of each file */
    int own;            /* the worker's memory file… */
    uint8_t *own_bytes; /* …and its bytes */
    size_t written;     /* how many of them may be in memory */
    int file;           /* the one in use: its own, or the store of the connection in hand… */
    uint8_t *file_bytes;
    uint8_t *bytes;            /* …those of the request in hand and behind it, which begins somewhere in there… */
    size_t length;             /* …and how many */
    struct record_check check; /* what was found out about them */
    int source;                /* the descriptor from which libfcgi is to read a whole request */
    /* Where it notes for whoever goes on after the worker's death what has left the socket: in the low half the bytes that lie
     * in the file, in the high half those behind them that have been copied and may or may not have left it; and how many of
     * them, from the start of the file on, have been dealt with. So nothing is moved that a death could leave half moved. */
    _Atomic uint64_t *taken;
    _Atomic uint64_t *start;
};

/* Makes a memory file, large enough for a request at the limits; it takes memory only where it is written to. Returns its
 * descriptor, or -1 with errno of memfd_create(2) or ftruncate(2). */
int inbox_make_file(const struct record_limits *limits);

/* Uses such a file as its own. Returns 0, or -1 with mmap(2)'s errno. */
int inbox_open(struct inbox *inbox, int file, const struct record_limits *limits, unsigned max_conns);

/* Begins with a connection of which nothing has been taken. */
void inbox_begin(struct inbox *inbox, _Atomic uint64_t *taken, _Atomic uint64_t *start);

/* Goes on with a connection of which *taken bytes lie in store, such a file, or nowhere where that is 0. check: how far those from
 * *start on are checked; NULL: not at all. Returns 0, or -1 with errno. */
int inbox_resume(struct inbox *inbox, _Atomic uint64_t *taken, _Atomic uint64_t *start, int connection, int store,
                 const struct record_check *check);

/* Receives what is there of the request from a non-blocking connection and checks it; management records on the way are
 * answered. is_first: this is the first look at the connection, so that it may be enough. Returns 0 with the verdict in
 * *verdict: RECORD_MORE, try again when there is more; RECORD_WHOLE, inbox->source holds the request, at its position. Or -1
 * with errno: ECONNRESET where the peer closed before the end, or another of recv(2). */
int inbox_receive(struct inbox *inbox, int connection, bool is_first, enum record_verdict *verdict);

/* Before libfcgi reads a whole request: from here on what lies in the file counts, not what is left in the socket. */
void inbox_commit(const struct inbox *inbox);

/* Drops the request that has been dealt with; what came behind it is the beginning of the next one. */
void inbox_next(struct inbox *inbox);

/* Where that request ends in the file, and the same for who knows no more than that: once or twice makes no difference. */
size_t inbox_end(const struct inbox *inbox);
void inbox_drop_to(struct inbox *inbox, size_t end);

/* Copies what it holds into a new memory file, at the same place. Returns its descriptor, or -1 with errno. */
int inbox_copy(const struct inbox *inbox);

/* Reads and drops what a peer still sends. True once it has hung up. A Unix socket that is closed with bytes unread resets
 * its peer, perhaps before that has read its answer. */
bool inbox_drop_rest(struct inbox *inbox, int connection);

/* Ends the work on a connection: lets go of its store, and gives memory that a large request took back to the system. */
void inbox_leave(struct inbox *inbox);

#endif
