/* httpd: answers an application over HTTP/1.1 without a web server in front: the admin pages, for the kubelet, Prometheus and
 * curl. One request a connection. Nothing here waits for a peer: the connections are few, and where there is no place left the
 * oldest makes room for the newest, so that slow and silent ones cannot keep a health check waiting.
 *
 * What is known of a connection lies in shared memory, by its place in a table: the workers share one table of file descriptors
 * (see connections.h), so that a worker's successor goes on where it was told to leave, and the master closes what is open where
 * it died. */
#ifndef FIBCGI_HTTPD_H
#define FIBCGI_HTTPD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app.h"
#include "http.h"
#include "listener.h"
#include "scoreboard.h"

/* A health check takes a place for as long as its bytes are under way: a millisecond. */
#define HTTPD_CONNECTIONS_MAX 64

enum httpd_stage {
    HTTPD_RECEIVING,
    HTTPD_SENDING,   /* the rest of the answer lies in a memory file, whose position says how much of it is out */
    HTTPD_LINGERING, /* answered; what the peer still sends is dropped until it hangs up */
};

/* Written by the worker that serves, and by the master when there is none. */
struct httpd_connection {
    _Atomic int32_t fd;     /* 0: no connection */
    _Atomic int32_t answer; /* memory file; 0: none */
    enum httpd_stage stage;
    uint32_t length;        /* of what has come of the head */
    uint64_t answer_length; /* of the memory file */
    uint64_t began_ns;
    uint64_t deadline_ns; /* when it is given up */
};

/* What the master makes, once for all workers that come after each other. */
struct httpd_table {
    const struct listener *listener;
    struct httpd_connection *connections; /* HTTPD_CONNECTIONS_MAX of them */
    char (*heads)[HTTP_HEAD_MAX];         /* what has come of each one's head, while that is not complete */
    int events;                           /* epoll: readable when there is something to do */
};

/* Returns 0, or -1 with errno of mmap(2) or epoll(7). */
int httpd_create(struct httpd_table *table, const struct listener *listener);

/* For the master, after a worker has died: closes what it had open. */
void httpd_hang_up(const struct httpd_table *table);

/* For the master: true where fd is a connection from the listener of which nobody knows, for the worker died on the way. */
bool httpd_has_lost(const struct httpd_table *table, int fd);

/* True where fd is a connection's memory file. */
bool httpd_refers_to(const struct httpd_table *table, int fd);

struct httpd_config {
    const struct httpd_table *table; /* NULL: there is no such listener */
    const struct app *app;
    void *context;
    struct slot *slot;         /* where it counts */
    uint64_t read_timeout_ns;  /* for a whole head */
    uint64_t write_timeout_ns; /* for the reader of an answer to take some more of it */
};

struct httpd_memory;

struct httpd {
    struct httpd_config config;
    struct httpd_memory *memory; /* for the request in hand */
    struct app_response response;
};

/* Returns 0, or -1 with errno ENOMEM. */
int httpd_open(struct httpd *httpd, const struct httpd_config *config);
void httpd_close(struct httpd *httpd);

/* Does what there is to do: takes connections, and each a step further. Returns 0, or errno of accept4(2) where no connection
 * could be taken for want of something. */
int httpd_work(struct httpd *httpd);

/* Gives up the connections whose time is over. Returns when to be called again; UINT64_MAX where there is none. */
uint64_t httpd_sweep(const struct httpd *httpd, uint64_t now_ns);

#endif
