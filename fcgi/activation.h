/* activation: the sockets that whoever starts the program passes to it, as systemd's socket units do (sd_listen_fds(3)). */
#ifndef FIBCGI_ACTIVATION_H
#define FIBCGI_ACTIVATION_H

#include "listener.h"
#include "log.h"

struct activation {
    int work[LISTENERS_MAX]; /* descriptors */
    unsigned work_count;
    int admin;      /* -1: none */
    int admin_http; /* -1: none */
};

/* Reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, and removes them from the environment, so that no child takes them for its
 * own. Sockets for another process (LISTEN_PID) are none. Where they have names, the one named "admin" is for admin, "admin-http" for
 * the same over HTTP, and all others are for work; without names the first is for work, the second for admin. Returns 0, also where
 * nothing was passed; or -1, logged, with errno EINVAL: more than LISTENERS_MAX for work or one of the others, or variables that
 * contradict each other. What the descriptors are is not looked at: listener_inherit does that. */
int activation_read(struct activation *activation, const struct log *log);

#endif
