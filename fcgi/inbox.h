/* inbox: where a worker receives a request's bytes and has them checked before libfcgi may parse them.
 *
 * libfcgi reads only from a file descriptor, waits without limit for bytes that do not come, and trusts what it reads.
 * So the whole request is looked at first. Nearly always it lies in the socket at the first look: then libfcgi reads it
 * from there. A slow, fragmented or odd one is taken into a memory file, and libfcgi reads that. */
#ifndef FIBCGI_INBOX_H
#define FIBCGI_INBOX_H

#include <stddef.h>
#include <stdint.h>

#include "record.h"

struct inbox {
    struct record_limits limits;
    unsigned max_conns; /* what GET_VALUES is told of FCGI_MAX_CONNS and FCGI_MAX_REQS */
    int file;           /* the memory file… */
    uint8_t *bytes;     /* …and its bytes */
    size_t capacity;
    size_t length;             /* bytes of the request in hand */
    struct record_check check; /* what was found out about them */
    int source;                /* the descriptor from which libfcgi is to read a whole request */
};

/* Makes the memory file, large enough for a request at the limits; it takes memory only where it is written to.
 * Returns 0, or -1 with errno of memfd_create(2), ftruncate(2) or mmap(2). */
int inbox_open(struct inbox *inbox, const struct record_limits *limits, unsigned max_conns);

/* Receives one request from a non-blocking connection and checks it; management records on the way are answered.
 * Returns 0 with the verdict in *verdict (RECORD_WHOLE: inbox->source holds exactly the request), or -1 with errno:
 * ETIMEDOUT at deadline_ns (clock_now_ns), ECONNRESET where the peer closed before the end, or another of recv(2). */
int inbox_receive(struct inbox *inbox, int connection, uint64_t deadline_ns, enum record_verdict *verdict);

/* Reads and drops what a refused peer still sends, until it closes or deadline_ns: closing a Unix socket with bytes
 * unread would reset the peer before it has read the refusal. */
void inbox_drop_rest(struct inbox *inbox, int connection, uint64_t deadline_ns);

/* Gives memory that a large request took back to the system. */
void inbox_shrink(struct inbox *inbox);

#endif
