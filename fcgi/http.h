/* http: the head of an HTTP/1.1 request, checked as a pure function over bytes, and the head of its answer (RFC 9110, RFC 9112).
 * Each answer is the last of its connection, so a body is neither waited for nor read. */
#ifndef FIBCGI_HTTP_H
#define FIBCGI_HTTP_H

#include <stddef.h>

#include "app.h"

/* Bytes of a request's head: as much as lighttpd takes. */
#define HTTP_HEAD_MAX 8192
#define HTTP_FIELDS_MAX 100
/* All of a head as variables: each field's name can become longer by HTTP_ and its separators, and four stand before them. */
#define HTTP_VARIABLES_MAX (HTTP_HEAD_MAX + 5 * HTTP_FIELDS_MAX + 128)

enum http_verdict {
    HTTP_MORE,    /* not complete, and nothing wrong with it so far */
    HTTP_WHOLE,   /* a request to be served */
    HTTP_REFUSED, /* to be answered with the status and the sentence in it */
};

struct http_request {
    const char *method; /* these three point into variables, and are never NULL in one that is whole */
    const char *path;   /* decoded */
    const char *query;
    int status;        /* HTTP_REFUSED: 400, 414, 431, 501 or 505 */
    const char *wrong; /* HTTP_REFUSED: a sentence */
    size_t used;
    char variables[HTTP_VARIABLES_MAX]; /* "NAME=value", a NUL after each; used of it */
};

/* Looks at length bytes, at most HTTP_HEAD_MAX, the first that came on a connection. It begins anew each time. What follows the
 * head is not looked at. */
enum http_verdict http_check(struct http_request *request, const char *bytes, size_t length);

/* A variable of a whole request as CGI has it (RFC 3875 §4.1): REQUEST_METHOD, PATH_INFO, QUERY_STRING, SERVER_PROTOCOL,
 * CONTENT_TYPE, CONTENT_LENGTH, and HTTP_ with a field's name; fields of the same name are joined by ", ". NULL: there is none. */
const char *http_variable(const struct http_request *request, const char *name);

#define HTTP_ANSWER_HEAD_MAX (APP_HEADERS_MAX + 768)
/* Writes the status line and the fields of an answer, with the empty line; returns its length. */
size_t http_write_head(const struct app_response *response, char head[static HTTP_ANSWER_HEAD_MAX]);

#endif
