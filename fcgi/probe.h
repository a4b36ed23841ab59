/* probe: asks a running pool for one path over FastCGI, as a web server would. It needs no web server, so a health check
 * gets its answer also while that one is at its limit of connections. */
#ifndef FIBCGI_PROBE_H
#define FIBCGI_PROBE_H

#include <stdio.h>

/* Asks the responder at address ("unix:/path", "tcp:host:port") for a path of at most 100 characters and writes the body of
 * its answer to out. Returns the HTTP status; or -1 with errno: of connect(2), send(2) or recv(2), EAGAIN where timeout_ms
 * passed, EPROTO where what came back is no answer. */
int probe_ask(const char *address, const char *path, unsigned timeout_ms, FILE *out);

#endif
