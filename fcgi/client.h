/* client: whether the client of a request is still there. A web server has its own connection with the client and does not
 * watch it all the time (lighttpd 1.4.69: not before it has looked a second time), so a client that has long left may seem to
 * wait still. The web server says with the request which connection it is; where that is a TCP connection of this network
 * namespace (the same machine, the same pod), the kernel tells its state: sock_diag(7). */
#ifndef FIBCGI_CLIENT_H
#define FIBCGI_CLIENT_H

#include <stdbool.h>

/* The two ends of the connection as the PARAMS have them: numbers as text. NULL where there is none. */
struct client_ends {
    const char *remote_address;
    const char *remote_port;
    const char *server_address;
    const char *server_port;
};

/* lookup: from diag_open. True where the client has closed its sending side, or all, which cannot be told apart. False for any connection that is not
 * found: it is elsewhere, a proxy has put other addresses in, or the kernel cannot be asked. Does not wait. */
bool client_has_left(int lookup, const struct client_ends *ends);

#endif
