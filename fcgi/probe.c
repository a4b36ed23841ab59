#include "probe.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"
#include "record.h"

#define PATH_LONGEST 100
#define REQUEST_ID 1
#define REQUEST_MAX (PATH_LONGEST + 256) /* with its head, over FastCGI or HTTP */
#define ANSWER_MAX ((size_t)1024 * 1024)

/* Appends a name-value pair whose lengths fit a byte each (FastCGI 1.0 §3.4). */
static size_t append_pair(uint8_t *to, size_t used, const char *name, const char *value)
{
    to[used++] = (uint8_t)strlen(name);
    to[used++] = (uint8_t)strlen(value);
    for (; *name != '\0'; name++)
        to[used++] = (uint8_t)*name;
    for (; *value != '\0'; value++)
        to[used++] = (uint8_t)*value;
    return used;
}

static size_t append_record(uint8_t *to, size_t used, enum record_type type, const uint8_t *content, size_t length)
{
    record_write_header(to + used, type, REQUEST_ID, length);
    memcpy(to + used + RECORD_HEADER_SIZE, content, length);
    return used + RECORD_HEADER_SIZE + length;
}

/* Returns the request's length. */
static size_t write_request(uint8_t request[static REQUEST_MAX], const char *target)
{
    char path[PATH_LONGEST + 1];
    size_t path_length = strcspn(target, "?");
    snprintf(path, sizeof(path), "%.*s", (int)path_length, target);
    static const uint8_t begin[8] = {0, 1}; /* responder, the connection is closed after the answer */
    uint8_t pairs[PATH_LONGEST + 128];
    size_t length = append_pair(pairs, 0, "REQUEST_METHOD", "GET");
    length = append_pair(pairs, length, "SCRIPT_NAME", "");
    length = append_pair(pairs, length, "PATH_INFO", path);
    length = append_pair(pairs, length, "QUERY_STRING", target + path_length + (target[path_length] == '?'));
    size_t used = append_record(request, 0, RECORD_BEGIN_REQUEST, begin, sizeof(begin));
    used = append_record(request, used, RECORD_PARAMS, pairs, length);
    used = append_record(request, used, RECORD_PARAMS, pairs, 0);
    return append_record(request, used, RECORD_STDIN, pairs, 0);
}

/* Reads until the peer closes; returns the bytes' number, or -1. */
static ssize_t receive_all(int connection, uint8_t *bytes, size_t size)
{
    size_t used = 0;
    while (used < size) {
        ssize_t got = recv(connection, bytes + used, size - used, 0);
        if (got < 0)
            return -1;
        if (got == 0)
            return (ssize_t)used;
        used += (size_t)got;
    }
    errno = EPROTO;
    return -1;
}

/* Moves the content of the STDOUT records together to the front, as a C string. */
static void join_stdout(uint8_t *bytes, size_t length)
{
    size_t used = 0;
    for (size_t at = 0; length - at >= RECORD_HEADER_SIZE;) {
        size_t content = (size_t)bytes[at + 4] << 8 | bytes[at + 5];
        size_t size = RECORD_HEADER_SIZE + content + bytes[at + 6];
        if (size > length - at)
            break;
        bool is_output = bytes[at + 1] == RECORD_STDOUT;
        memmove(bytes + used, bytes + at + RECORD_HEADER_SIZE, is_output ? content : 0);
        used += is_output ? content : 0;
        at += size;
    }
    bytes[used] = '\0';
}

/* Takes the line that the answer begins with, "Status: 200 …" or "HTTP/1.1 200 …", and the head; what is left is the body.
 * Returns the status, or -1. */
static int read_answer(char *answer, const char *before_status)
{
    const char *body = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, before_status, strlen(before_status)) != 0 || body == NULL) {
        errno = EPROTO;
        return -1;
    }
    int status = (int)strtol(answer + strlen(before_status), NULL, 10);
    memmove(answer, body + 4, strlen(body + 4) + 1);
    return status;
}

/* Sends the request to an address and reads what comes back into a text that the caller frees; NULL with errno. */
static char *talk(const char *address, const uint8_t *request, size_t length, bool is_fastcgi, unsigned timeout_ms)
{
    uint8_t *bytes = malloc(ANSWER_MAX + 1);
    int connection = bytes != NULL ? listener_connect(address, timeout_ms) : -1;
    ssize_t got = -1;
    if (connection >= 0 && send(connection, request, length, MSG_NOSIGNAL) == (ssize_t)length)
        got = receive_all(connection, bytes, ANSWER_MAX);
    int saved_errno = errno;
    if (connection >= 0)
        close(connection);
    if (got < 0) {
        free(bytes);
        errno = saved_errno;
        return NULL;
    }
    bytes[got] = '\0';
    if (is_fastcgi)
        join_stdout(bytes, (size_t)got);
    return (char *)bytes;
}

/* Gives the answer's body away, or frees it. */
static int give_answer(char *answer, const char *before_status, char **body)
{
    int status = answer != NULL ? read_answer(answer, before_status) : -1;
    if (status >= 0)
        *body = answer;
    else
        free(answer);
    return status;
}

int probe_ask(const char *address, const char *path, unsigned timeout_ms, char **body)
{
    uint8_t request[REQUEST_MAX];
    if (strlen(path) > PATH_LONGEST) {
        errno = ENAMETOOLONG;
        return -1;
    }
    size_t length = write_request(request, path);
    return give_answer(talk(address, request, length, true, timeout_ms), "Status: ", body);
}

int probe_get(const char *url, unsigned timeout_ms, char **body)
{
    static const char scheme[] = "http://";
    char address[80], request[REQUEST_MAX];
    const char *host = url + strlen(scheme);
    if (strncmp(url, scheme, strlen(scheme)) != 0 || strchr(host, '/') == NULL) {
        errno = EINVAL;
        return -1;
    }
    const char *path = strchr(host, '/');
    if ((size_t)(path - host) + sizeof("tcp:") > sizeof(address) || strlen(path) > PATH_LONGEST) {
        errno = ENAMETOOLONG;
        return -1;
    }
    snprintf(address, sizeof(address), "tcp:%.*s", (int)(path - host), host);
    int length = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path,
                          address + strlen("tcp:"));
    return give_answer(talk(address, (const uint8_t *)request, (size_t)length, false, timeout_ms), "HTTP/1.1 ", body);
}
