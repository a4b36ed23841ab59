/* probe: asks a running pool for one path over FastCGI, as a web server would, or any server over HTTP. The first needs no web
 * server, so a health check gets its answer also while that one is at its limit of connections. */
#ifndef FIBCGI_PROBE_H
#define FIBCGI_PROBE_H

/* Asks the responder at address ("unix:/path", "tcp:host:port") for a path, perhaps with a ?query, of at most 100 characters.
 * Returns the HTTP status, with the answer's body in *body, which the caller frees; or -1 with errno: of connect(2), send(2) or
 * recv(2), EAGAIN where timeout_ms passed, EPROTO where what came back is no answer. */
int probe_ask(const char *address, const char *path, unsigned timeout_ms, char **body);

/* The same for a url "http://192.0.2.1:8080/path" or "http://[2001:db8::1]:8080/path": numbers only, for names need files that
 * an image may not have. EINVAL where it has another form. A chunked body comes with the sizes of its chunks in it. */
int probe_get(const char *url, unsigned timeout_ms, char **body);

#endif
