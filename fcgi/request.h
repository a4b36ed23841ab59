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
};

/* Prepares libfcgi in this process. Signal dispositions are as before when it returns. Returns 0, or -1. */
int request_init(struct request *request);

/* Has libfcgi parse the whole request that the inbox received. Returns 0; or -1, after which inbox and request cannot be used
 * any more, with errno EIO where it could not read all of it, or EPROTO where it refuses what the checker let through, a bug;
 * then it has closed what it was reading from. */
int request_parse(struct request *request, const struct inbox *inbox);

/* The value of one of the PARAMS; NULL: there is none. */
const char *request_variable(const struct request *request, const char *name);

/* True where the body is shorter than the web server's own CONTENT_LENGTH said: the request was cut off on its way. */
bool request_is_truncated(const struct request *request);

/* True where the response with its head leaves libfcgi in one write(2). */
bool request_fits_one_write(const struct request *request, const struct app_response *response);

/* Has libfcgi write the response, and the end of the request, to a descriptor, which stays open whatever happens. Returns 0;
 * or -1 where not all of it was written. */
int request_answer(struct request *request, struct app_response *response, int to);

/* Instead of request_answer: nothing is written. Else libfcgi would end this request, on whatever has its descriptor's number
 * by then, when it is given the next one. */
void request_abandon(struct request *request);

#define REQUEST_HEAD_MAX (APP_HEADERS_MAX + 512)
#define REQUEST_REFUSAL_MAX (REQUEST_HEAD_MAX + 1024)
/* Writes the answer to a request that libfcgi is not to see, a problem document and the end of the request: 400, 413, 431, 503
 * (with Retry-After). detail: a short sentence. Returns its length; 0 where there is no memory. */
size_t request_write_refusal(uint8_t refusal[static REQUEST_REFUSAL_MAX], uint16_t request_id, int status,
                             const char *detail);

/* Writes the CGI header block of a response (RFC 3875 §6.2) with its closing empty line; returns its length. */
size_t request_write_head(const struct app_response *response, char head[static REQUEST_HEAD_MAX]);

/* Says whether the response's body goes out: not to HEAD, not with 204, not where there is no content type. */
bool request_sends_body(const struct app_request *request, const struct app_response *response);

#endif
