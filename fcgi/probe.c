#include "probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"
#include "record.h"

#define PATH_LONGEST 100
#define REQUEST_ID 1
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

static int send_request(int connection, const char *path)
{
    static const uint8_t begin[8] = {0, 1}; /* responder, the connection is closed after the answer */
    uint8_t pairs[PATH_LONGEST + 128], request[sizeof(pairs) + 64];
    size_t length = append_pair(pairs, 0, "REQUEST_METHOD", "GET");
    length = append_pair(pairs, length, "SCRIPT_NAME", "");
    length = append_pair(pairs, length, "PATH_INFO", path);
    size_t used = append_record(request, 0, RECORD_BEGIN_REQUEST, begin, sizeof(begin));
    used = append_record(request, used, RECORD_PARAMS, pairs, length);
    used = append_record(request, used, RECORD_PARAMS, pairs, 0);
    used = append_record(request, used, RECORD_STDIN, pairs, 0);
    return send(connection, request, used, MSG_NOSIGNAL) == (ssize_t)used ? 0 : -1;
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

/* Moves the content of the STDOUT records together to the front, as a C string; returns its length. */
static size_t join_stdout(uint8_t *bytes, size_t length)
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
    return used;
}

static int read_answer(const char *answer, FILE *out)
{
    static const char status[] = "Status: ";
    const char *body = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, status, strlen(status)) != 0 || body == NULL) {
        errno = EPROTO;
        return -1;
    }
    fputs(body + 4, out);
    return (int)strtol(answer + strlen(status), NULL, 10);
}

int probe_ask(const char *address, const char *path, unsigned timeout_ms, FILE *out)
{
    int result = -1;
    if (strlen(path) > PATH_LONGEST) {
        errno = ENAMETOOLONG;
        return -1;
    }
    uint8_t *bytes = malloc(ANSWER_MAX + 1);
    int connection = bytes != NULL ? listener_connect(address, timeout_ms) : -1;
    if (connection >= 0 && send_request(connection, path) == 0) {
        ssize_t length = receive_all(connection, bytes, ANSWER_MAX);
        if (length >= 0) {
            join_stdout(bytes, (size_t)length);
            result = read_answer((const char *)bytes, out);
        }
    }
    int saved_errno = errno;
    if (connection >= 0)
        close(connection);
    free(bytes);
    errno = saved_errno;
    return result;
}
