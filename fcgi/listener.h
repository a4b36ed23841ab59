/* listener: a listening socket: a Unix path, a TCP address, or one that came from whoever started us. */
#ifndef FIBCGI_LISTENER_H
#define FIBCGI_LISTENER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "log.h"
#include "sandbox.h"

#define LISTENER_PEERS_MAX 64
/* Sockets that one pool listens on: each has a queue of its own, as long as the kernel allows one to be. */
#define LISTENERS_MAX 8

struct listener_config {
    int backlog;                   /* listen(2); the kernel cuts it to net.core.somaxconn */
    mode_t socket_mode;            /* of a Unix socket */
    struct sandbox_identity owner; /* of a Unix socket */
    const char *allowed_peers;     /* TCP: comma-separated addresses (FastCGI 1.0 §3.2); NULL or "": everybody */
    bool is_for_clients;           /* not for web servers: allowed_peers has no meaning there */
};

struct listener {
    int fd;
    bool is_inherited; /* its life is not ours: never unlinked, never shut */
    bool is_tcp;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* Unix path to remove in the end; "" for the others */
    dev_t device;                                           /* which file that path was */
    ino_t inode;
    struct in6_addr peers[LISTENER_PEERS_MAX]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned peer_count;                       /* 0: everybody */
};

/* Says whether address has a form that listener_open takes: "unix:/path", "tcp:127.0.0.1:9000", "tcp:[::1]:9000".
 * Returns NULL, or what is wrong with it and what to write instead. */
const char *listener_check_address(const char *address);

/* Reads the list of allowed peers. Returns 0; or -1, logged, with errno EINVAL. */
int listener_set_peers(struct listener *listener, const char *list, const struct log *log);

/* Warns where net.core.somaxconn is below the backlog: the kernel cuts the queue to it without a word, and an operator
 * should know before it overflows. */
void listener_check_queue(const struct listener_config *config, const struct log *log);

/* Opens, binds and listens; the socket is non-blocking and close-on-exec. A Unix path that nobody listens on any more
 * is taken over; one that somebody does is left alone. Each failure is logged with its reason and remedy. Returns 0, or
 * -1 with errno: EINVAL (address, peers), EADDRINUSE (taken), otherwise of the failed call. */
int listener_open(struct listener *listener, const char *address, const struct listener_config *config,
                  const struct log *log);

/* Connects to such an address as a client, blocking. Returns the connection, or -1 with errno of connect(2); EINVAL where
 * listener_check_address finds something wrong. */
int listener_connect(const char *address, unsigned timeout_ms);

/* Takes over a socket that already listens (fd 0 of FastCGI 1.0 §2.2, or systemd's). Returns 0; or -1 with
 * errno, ENOTSOCK (logged) where it does not listen. */
int listener_inherit(struct listener *listener, int fd, const struct listener_config *config, const struct log *log);

/* True where fd is a listening stream socket. */
bool listener_is_listening(int fd);

/* Takes the next connection, non-blocking and close-on-exec. Returns it; -1 with errno EAGAIN (none waits), EPERM (its
 * peer is not allowed; it is closed), or another of accept4(2). Once the intake has stopped, EAGAIN or EINVAL means for good. */
int listener_accept(const struct listener *listener);

/* True where fd is a connection that was accepted from this listener. */
bool listener_accepted(const struct listener *listener, int fd);

/* Ends the taking in of new connections, keeping those that are queued. A Unix socket's path is removed and the next
 * connect refused at once; a TCP client's SYN stays unanswered until the socket is closed, and is refused then. No effect on
 * inherited sockets. */
void listener_stop_intake(struct listener *listener);

/* Closes it, and removes the Unix path where that is still ours. */
void listener_close(struct listener *listener);

#endif
