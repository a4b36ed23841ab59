/* exchange: takes a connection that is held one step further: receive, check, let the application answer, send; then it is
 * closed, or parked. Nothing here waits for a peer. */
#ifndef FIBCGI_EXCHANGE_H
#define FIBCGI_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "access.h"
#include "app.h"
#include "connections.h"
#include "inbox.h"
#include "log.h"
#include "record.h"
#include "request.h"
#include "scoreboard.h"

struct exchange_config {
    const struct app *app;
    void *context; /* of the application */
    const struct log *log;
    const struct access_config *access; /* which requests are logged; NULL: none */
    bool tells_timing;                  /* Server-Timing in each answer of the application's */
    struct connections *connections;
    struct slot *slot;             /* where it counts */
    const _Atomic uint32_t *order; /* enum slot_order: in a drain no connection is kept */
    int inbox;                     /* memory files of this worker */
    int outbox;
    int lookup; /* for client_has_left; -1: none */
    struct record_limits limits;
    unsigned max_conns;        /* connections that the whole pool serves at once, for GET_VALUES */
    uint64_t read_timeout_ns;  /* for a whole request, from its first byte (or its connection's accept) on */
    uint64_t write_timeout_ns; /* for the taking of a piece of an answer */
    uint64_t idle_timeout_ns;  /* between two requests */
};

struct exchange {
    const struct exchange_config *config;
    struct inbox inbox;
    struct request request;
    struct app_response response;
    uint64_t served;    /* requests answered, of every status */
    unsigned unwatched; /* requests since a client was looked at */
    struct access access;
    bool is_broken; /* libfcgi refused checked bytes: its state is not to be trusted */
};

/* Returns 0, or -1 with errno. */
int exchange_open(struct exchange *exchange, const struct exchange_config *config);
void exchange_close(struct exchange *exchange);

/* Begins with a connection that has just been accepted. */
void exchange_begin(struct exchange *exchange, int connection);

/* Goes on with one that was parked. */
void exchange_resume(struct exchange *exchange, int connection);

/* Closes one whose peer has left before it was its turn. */
void exchange_abandon(struct exchange *exchange, int connection);

/* Answers one that has just been accepted with 503, for the queue is full. */
void exchange_refuse(struct exchange *exchange, int connection);

void exchange_warn_of_peer(struct exchange *exchange, const char *what);

#endif
