#include "cgi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "request.h"

struct body {
    uint64_t left; /* of CONTENT_LENGTH: RFC 3875 §4.2 promises no end of file behind it */
};

static const char *find_variable(const struct app_request *request, const char *name)
{
    (void)request;
    return getenv(name);
}

static ssize_t read_body(const struct app_request *request, void *buffer, size_t size)
{
    struct body *body = request->source;
    size_t wanted = size < body->left ? size : (size_t)body->left;
    ssize_t got = wanted > 0 ? read(STDIN_FILENO, buffer, wanted) : 0;
    if (got > 0)
        body->left -= (uint64_t)got;
    return got;
}

/* What of the body nobody wanted. Some web servers (Apache's mod_cgid) have one socket for it and the answer, and one that is
 * closed with bytes unread resets them, perhaps before they have read the answer. At most what a body may have. */
static void drop_body(struct body *body, uint64_t most)
{
    char piece[4096];
    const struct app_request request = {.source = body};
    ssize_t got = 1;
    for (uint64_t dropped = 0; dropped < most && got > 0; dropped += (uint64_t)got)
        got = read_body(&request, piece, sizeof(piece));
}

static const char *environment_or(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value != NULL ? value : otherwise;
}

static int write_all(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, length);
        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        }
    }
    return 0;
}

static int answer(const struct app_request *request, struct app_response *response)
{
    char head[REQUEST_HEAD_MAX];
    if (response->failed) {
        response->failed = false;
        app_problem(response, 500, "The server ran out of memory.", "");
    }
    size_t length = request_write_head(response, head);
    if (write_all(head, length) != 0)
        return -1;
    return request_sends_body(request, response) ? write_all(response->body, response->body_length) : 0;
}

int cgi_run(const struct app *app, void *context, const struct record_limits *limits,
            const struct confinement *confinement)
{
    struct body body = {.left = strtoull(environment_or("CONTENT_LENGTH", "0"), NULL, 10)};
    struct app_response response = {0};
    struct app_request request = {
        .method = environment_or("REQUEST_METHOD", "GET"),
        .path = app_path(getenv("PATH_INFO"), getenv("SCRIPT_NAME")),
        .query = environment_or("QUERY_STRING", ""),
        .body_length = body.left,
        .variable = find_variable,
        .read_body = read_body,
        .source = &body,
    };
    if (app->open != NULL && app->open(context) != 0)
        return -1;
    if (confine_enter(confinement) != 0)
        return -1;
    app_response_reset(&response);
    if (body.left > limits->body_bytes)
        app_problem(&response, 413, "The request's body is larger than this server takes.", "");
    else
        app->serve(context, &request, &response);
    int result = answer(&request, &response);
    drop_body(&body, limits->body_bytes);
    app_response_free(&response);
    return result;
}
