/* cgi: one request from the environment and standard input, one answer to standard output (CGI/1.1, RFC 3875). */
#ifndef FIBCGI_CGI_H
#define FIBCGI_CGI_H

#include "app.h"
#include "confine.h"
#include "record.h"

/* Serves the request that the environment describes; confined once the application is open. Returns 0; or -1 with errno
 * where the application cannot open or the answer cannot be written. */
int cgi_run(const struct app *app, void *context, const struct record_limits *limits,
            const struct confinement *confinement);

#endif
