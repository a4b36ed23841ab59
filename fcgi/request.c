#include "request.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libfcgi's own buffer is 8,192 bytes; an answer below this leaves it in one write. */
#define ONE_WRITE_MAX 7500
/* A guess: the queue may be shorter in a second. */
#define RETRY_AFTER_S "1"

int request_init(struct request *request)
{
    static const int touched[] = {SIGTERM, SIGUSR1, SIGPIPE};
    struct sigaction saved[3];
    *request = (struct request){0};
    /* FCGX_Init puts its own handlers on these, which would swallow them. */
    for (size_t i = 0; i < 3; i++)
        sigaction(touched[i], NULL, &saved[i]);
    int failed = FCGX_Init() != 0 || FCGX_InitRequest(&request->fcgi, -1, 0) != 0;
    for (size_t i = 0; i < 3; i++)
        sigaction(touched[i], &saved[i], NULL);
    return failed ? -1 : 0;
}

const char *request_variable(const struct request *request, const char *name)
{
    return FCGX_GetParam(name, request->fcgi.envp);
}

static const char *find_variable(const struct app_request *app, const char *name)
{
    return request_variable(app->source, name);
}

static ssize_t read_body(const struct app_request *app, void *buffer, size_t size)
{
    const struct request *request = app->source;
    int wanted = size > INT32_MAX ? INT32_MAX : (int)size;
    int got = FCGX_GetStr(buffer, wanted, request->fcgi.in);
    return got == 0 && FCGX_GetError(request->fcgi.in) != 0 ? -1 : got;
}

static const char *text_or(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise;
}

int request_parse(struct request *request, const struct inbox *inbox)
{
    FCGX_Request *fcgi = &request->fcgi;
    fcgi->ipcFd = inbox->source;
    fcgi->keepConnection = 1; /* libfcgi's way of closing can wait 2 s; the worker closes */
    fcgi->listen_sock = -1;   /* after an error it would accept the next connection by itself */
    if (FCGX_Accept_r(fcgi) != 0) {
        errno = EPROTO;
        return -1;
    }
    /* It serves PARAMS that it could not read to their end as if they had ended there; only the error tells. */
    if (FCGX_GetError(fcgi->in) != 0) {
        errno = EIO;
        return -1;
    }
    /* It takes this from the request's FCGI_KEEP_CONN flag; see above. */
    fcgi->keepConnection = 1;
    request->app = (struct app_request){
        .method = text_or(FCGX_GetParam("REQUEST_METHOD", fcgi->envp), "GET"),
        .path = app_path(FCGX_GetParam("PATH_INFO", fcgi->envp), FCGX_GetParam("SCRIPT_NAME", fcgi->envp)),
        .query = text_or(FCGX_GetParam("QUERY_STRING", fcgi->envp), ""),
        .body_length = inbox->check.body_bytes,
        .variable = find_variable,
        .read_body = read_body,
        .source = request,
    };
    return 0;
}

bool request_is_truncated(const struct request *request)
{
    const char *text = FCGX_GetParam("CONTENT_LENGTH", request->fcgi.envp);
    return text != NULL && strtoull(text, NULL, 10) > request->app.body_length;
}

size_t request_write_head(const struct app_response *response, char head[static REQUEST_HEAD_MAX])
{
    int length = snprintf(head, REQUEST_HEAD_MAX, "Status: %d %s\r\n%s", response->status,
                          app_status_title(response->status), response->headers);
    if (response->content_type != NULL)
        length +=
            snprintf(head + length, REQUEST_HEAD_MAX - (size_t)length,
                     "Content-Type: %.128s\r\nContent-Length: %zu\r\n", response->content_type, response->body_length);
    length += snprintf(head + length, REQUEST_HEAD_MAX - (size_t)length, "\r\n");
    return (size_t)length;
}

bool request_sends_body(const struct app_request *request, const struct app_response *response)
{
    return response->content_type != NULL && response->status != 204 && strcmp(request->method, "HEAD") != 0;
}

bool request_fits_one_write(const struct request *request, const struct app_response *response)
{
    size_t body_length = request_sends_body(&request->app, response) ? response->body_length : 0;
    return response->headers_length + body_length <= ONE_WRITE_MAX;
}

/* As FCGX_Finish_r, which after an error would close the descriptor as well. It is not libfcgi's to close: in the table that
 * all workers share, its number may be another connection's before we close it ourselves. */
static int finish(FCGX_Request *fcgi)
{
    int failed = FCGX_FClose(fcgi->err);
    failed |= FCGX_FClose(fcgi->out);
    FCGX_Free(fcgi, 0);
    return failed != 0 ? -1 : 0;
}

int request_answer(struct request *request, struct app_response *response, int to)
{
    char head[REQUEST_HEAD_MAX];
    FCGX_Stream *out = request->fcgi.out;
    if (response->failed) {
        response->failed = false;
        app_problem(response, 500, "The server ran out of memory.", "");
    }
    size_t head_length = request_write_head(response, head);
    size_t body_length = request_sends_body(&request->app, response) ? response->body_length : 0;
    /* libfcgi reads from and writes to the same descriptor; the request's last byte has been read. */
    request->fcgi.ipcFd = to;
    FCGX_PutStr(head, (int)head_length, out);
    for (size_t sent = 0; sent < body_length;) {
        int piece = body_length - sent > INT32_MAX ? INT32_MAX : (int)(body_length - sent);
        if (FCGX_PutStr(response->body + sent, piece, out) < 0)
            break;
        sent += (size_t)piece;
    }
    return finish(&request->fcgi);
}

void request_abandon(struct request *request)
{
    FCGX_Free(&request->fcgi, 0);
}

size_t request_write_refusal(uint8_t refusal[static REQUEST_REFUSAL_MAX], uint16_t request_id, int status,
                             const char *detail)
{
    struct app_response response = {0};
    char head[REQUEST_HEAD_MAX];
    uint8_t *at = refusal;
    app_response_reset(&response);
    if (status == 503)
        app_add_header(&response, "Retry-After", RETRY_AFTER_S);
    app_problem(&response, status, detail, "");
    size_t head_length = request_write_head(&response, head);
    size_t length = head_length + response.body_length;
    if (!response.failed && length <= REQUEST_REFUSAL_MAX - 2 * RECORD_HEADER_SIZE - RECORD_END_SIZE) {
        record_write_header(at, RECORD_STDOUT, request_id, length);
        memcpy(at + RECORD_HEADER_SIZE, head, head_length);
        memcpy(at + RECORD_HEADER_SIZE + head_length, response.body, response.body_length);
        at += RECORD_HEADER_SIZE + length;
        record_write_header(at, RECORD_STDOUT, request_id, 0);
        record_write_end(at + RECORD_HEADER_SIZE, request_id, RECORD_REQUEST_COMPLETE);
        at += RECORD_HEADER_SIZE + RECORD_END_SIZE;
    }
    app_response_free(&response);
    return (size_t)(at - refusal);
}
