/* access: a line of the log for a request that was answered: for each, for one of so many, or for those that took long. It is put
 * together before libfcgi forgets the request and written when the answer is out: one write(2), or none. */
#ifndef FIBCGI_ACCESS_H
#define FIBCGI_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "line.h"
#include "log.h"

/* Set up once for all workers; log is NULL where requests are not logged, and slow_ns 0 where slow ones are not. */
struct access_config {
    const struct log *log;
    uint32_t sample;            /* one of so many, counted by each worker */
    const struct log *slow_log; /* where slow ones go, each of them; the same as log where there is one */
    uint64_t slow_ns;
};

/* What is known of a request; NULL where it was answered before it was read. */
struct access_request {
    const char *method, *path, *query, *client, *traceparent;
    int status;
    uint64_t bytes;       /* of the answer's body */
    uint64_t duration_ns; /* from its connection's accept, or its first byte on a kept one, to the answer */
    uint64_t app_ns;      /* of that with the application; 0: it has not seen it */
    unsigned worker;      /* from 1 */
};

struct access {
    const struct access_config *config; /* NULL: nothing is logged */
    uint32_t seen;                      /* requests since the last that was logged as one of so many */
    const struct log *log;              /* where the line below goes; NULL: there is none */
    struct line line;
};

/* Gets the line ready where there is to be one. */
void access_note(struct access *access, const struct access_request *request);

/* Writes it. */
void access_write(struct access *access);

#endif
