/* inbox: where a worker receives a request's bytes and has them checked before libfcgi may parse them.
 *
 * libfcgi reads only from a file descriptor, waits without limit for bytes that do not come, and trusts what it reads.
 * So the whole request is looked at first. Nearly always it lies in the socket at the first look: then libfcgi reads it
 * from there. A slow, fragmented or odd one is taken into a memory file, and libfcgi reads that. */
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
    int file;           /* the memory file… */
    uint8_t *bytes;     /* …and its bytes */
    size_t capacity;
    size_t length;             /* bytes of the request in hand */
    struct record_check check; /* what was found out about them */
    int source;                /* the descriptor from which libfcgi is to read a whole request */
    _Atomic uint64_t *taken;   /* where to note how many bytes have left the socket, for a successor; may be NULL */
};

/* Makes the memory file, large enough for a request at the limits; it takes memory only where it is written to. Returns
 * its descriptor, or -1 with errno of memfd_create(2) or ftruncate(2). */
int inbox_make_file(const struct record_limits *limits);

/* Uses such a file. Returns 0, or -1 with mmap(2)'s errno. */
int inbox_open(struct inbox *inbox, int file, const struct record_limits *limits, unsigned max_conns);

/* Begins a request of which nothing has been taken from its connection. */
void inbox_begin(struct inbox *inbox);

/* Begins one of which length bytes lie in store already. Returns 0, or -1 with errno. */
int inbox_resume(struct inbox *inbox, int store, size_t length);

/* Receives what is there of the request from a non-blocking connection and checks it; management records on the way are
 * answered. Returns 0 with the verdict in *verdict: RECORD_MORE, try again when there is more; RECORD_WHOLE,
 * inbox->source holds exactly the request. Or -1 with errno: ECONNRESET where the peer closed before the end, or another
 * of recv(2). */
int inbox_receive(struct inbox *inbox, int connection, enum record_verdict *verdict);

/* Reads and drops what a peer still sends. True once it has hung up. A Unix socket that is closed with bytes unread resets
 * its peer, perhaps before that has read its answer. */
bool inbox_drop_rest(struct inbox *inbox, int connection);

/* Gives memory that a large request took back to the system. */
void inbox_shrink(struct inbox *inbox);

#endif
