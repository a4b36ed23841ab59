/* notify: tells the service manager how the pool is: sd_notify(3)'s protocol, datagrams to the Unix socket that NOTIFY_SOCKET
 * names. Nothing here blocks, and nothing that goes wrong in it stops the pool. */
#ifndef FIBCGI_NOTIFY_H
#define FIBCGI_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "log.h"

#define NOTIFY_STATUS_MAX 160

enum notify_phase {
    NOTIFY_STARTING, /* nothing is told */
    NOTIFY_READY,
    NOTIFY_RELOADING,
    NOTIFY_STOPPING,
};

struct notify {
    int fd; /* -1: nobody wants to be told */
    struct sockaddr_un address;
    socklen_t address_size;
    uint64_t watchdog_ns;    /* between two signs of life; 0: nobody waits for them */
    uint64_t watchdog_at_ns; /* when the next one is due */
    uint64_t extend_at_ns;   /* when to ask for more time again */
    enum notify_phase phase; /* what was told last, and so is status */
    char status[NOTIFY_STATUS_MAX];
    bool has_new_reload; /* one was asked for, and not told yet */
};

/* What there is to tell. */
struct notify_news {
    enum notify_phase phase;
    const char *status; /* a line for people; cut to NOTIFY_STATUS_MAX */
    uint64_t time_ns;   /* a manager that would wait less for the end of a reload or of the program is asked for this */
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes them from the environment, so that no child speaks in our
 * name. Call it while still root: the socket may be out of reach later. A socket that cannot be used is logged. */
void notify_open(struct notify *notify, const struct log *log);

/* Tells what differs from what was told last, and gives a sign of life where one is due. What the manager does not take now is
 * told again by the next call. Returns when that is to be at the latest. */
uint64_t notify_tell(struct notify *notify, const struct notify_news *news, uint64_t now_ns);

/* A reload has been asked for: NOTIFY_RELOADING is told also where it was told last. */
void notify_reload(struct notify *notify);

void notify_close(struct notify *notify);

#endif
