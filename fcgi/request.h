/* request: between FastCGI and the application; the only user of fcgiapp.h. Checked bytes in, a request; a response out. */
#ifndef FIBCGI_REQUEST_H
#define FIBCGI_REQUEST_H

#include <fcgiapp.h>
#include <stdint.h>

#include "app.h"
#include "inbox.h"

struct request {
    FCGX_Request fcgi;
    struct app_request app; /* what the application sees; valid from request_parse to request_answer */
    int connection;         /* where the answer goes */
    uint64_t write_timeout_ns;
};

/* Prepares libfcgi in this process. Signal dispositions are as before when it returns. Returns 0, or -1. */
int request_init(struct request *request, uint64_t write_timeout_ns);

/* Has libfcgi parse the whole request that the inbox received from connection. Returns 0; or -1 with errno EPROTO where
 * libfcgi refuses what the checker let through, a bug after which inbox and request cannot be used any more. */
int request_parse(struct request *request, const struct inbox *inbox, int connection);

/* True where the body is shorter than the web server's own CONTENT_LENGTH said: the request was cut off on its way. */
bool request_is_truncated(const struct request *request);

/* Sends the response and ends the request; the caller closes the connection. A small answer is one write(2). An answer
 * larger than the socket takes at once waits for its reader, at most the write timeout for each piece of 8 KB. */
void request_answer(struct request *request, struct app_response *response);

/* Answers a request that libfcgi is not to see with a problem document: 400, 413 or 431. */
void request_refuse(int connection, uint16_t request_id, int status, const char *detail);

#define REQUEST_HEAD_MAX (APP_HEADERS_MAX + 512)
/* Writes the CGI header block of a response (RFC 3875 §6.2) with its closing empty line; returns its length. */
size_t request_write_head(const struct app_response *response, char head[static REQUEST_HEAD_MAX]);

/* Says whether the response's body goes out: not to HEAD, not with 204, not where there is no content type. */
bool request_sends_body(const struct app_request *request, const struct app_response *response);

#endif
