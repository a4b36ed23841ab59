#include "inbox.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

/* What stays resident between requests. */
#define KEPT_BYTES ((size_t)64 * 1024)

int inbox_open(struct inbox *inbox, const struct record_limits *limits, unsigned max_conns)
{
    /* Record headers and padding come on top of the content: web servers add 8 to 15 bytes to a record of kilobytes. */
    size_t content = limits->params_bytes + limits->body_bytes;
    *inbox = (struct inbox){.limits = *limits, .max_conns = max_conns, .capacity = content + content / 8 + KEPT_BYTES};
    inbox->file = memfd_create("fibcgi-inbox", MFD_CLOEXEC);
    if (inbox->file < 0 || ftruncate(inbox->file, (off_t)inbox->capacity) != 0)
        return -1;
    inbox->bytes = mmap(NULL, inbox->capacity, PROT_READ | PROT_WRITE, MAP_SHARED, inbox->file, 0);
    return inbox->bytes == MAP_FAILED ? -1 : 0;
}

static int wait_readable(int connection, uint64_t deadline_ns)
{
    struct pollfd wanted = {.fd = connection, .events = POLLIN};
    int ready = poll(&wanted, 1, clock_ms_until(deadline_ns, clock_now_ns()));
    if (ready == 0)
        errno = ETIMEDOUT;
    return ready > 0 ? 0 : -1;
}

/* Receives at least one byte behind those that are there. */
static int receive_some(struct inbox *inbox, int connection, uint64_t deadline_ns)
{
    for (;;) {
        ssize_t got = recv(connection, inbox->bytes + inbox->length, inbox->capacity - inbox->length, 0);
        if (got > 0) {
            inbox->length += (size_t)got;
            return 0;
        }
        if (got == 0)
            errno = ECONNRESET;
        if (errno != EAGAIN || wait_readable(connection, deadline_ns) != 0)
            return -1;
    }
}

/* Answers the record that the checker put aside and closes the gap. A peer that does not read its reply loses it. */
static void settle_aside(struct inbox *inbox, int connection)
{
    uint8_t reply[RECORD_ASIDE_REPLY_MAX];
    struct record_check *check = &inbox->check;
    size_t length = record_answer_aside(check, inbox->bytes, inbox->max_conns, reply);
    if (length > 0 && send(connection, reply, length, MSG_NOSIGNAL) < 0)
        errno = 0;
    memmove(inbox->bytes + check->offset, inbox->bytes + check->aside_end, inbox->length - check->aside_end);
    inbox->length -= check->aside_end - check->offset;
}

static int collect(struct inbox *inbox, int connection, uint64_t deadline_ns, enum record_verdict *verdict)
{
    inbox->length = 0;
    record_check_init(&inbox->check, &inbox->limits);
    for (;;) {
        *verdict = record_check(&inbox->check, inbox->bytes, inbox->length);
        if (*verdict == RECORD_ASIDE) {
            settle_aside(inbox, connection);
            continue;
        }
        if (*verdict != RECORD_MORE)
            break;
        if (inbox->length == inbox->capacity) {
            *verdict = RECORD_BODY_TOO_LARGE;
            break;
        }
        if (receive_some(inbox, connection, deadline_ns) != 0)
            return -1;
        /* A peer that trickles bytes must not outlast its time by always having one ready. */
        if (clock_now_ns() >= deadline_ns) {
            errno = ETIMEDOUT;
            return -1;
        }
    }
    inbox->source = inbox->file;
    return *verdict == RECORD_WHOLE && lseek(inbox->file, 0, SEEK_SET) < 0 ? -1 : 0;
}

int inbox_receive(struct inbox *inbox, int connection, uint64_t deadline_ns, enum record_verdict *verdict)
{
    ssize_t seen = recv(connection, inbox->bytes, inbox->capacity, MSG_PEEK);
    if (seen > 0) {
        inbox->length = (size_t)seen;
        record_check_init(&inbox->check, &inbox->limits);
        *verdict = record_check(&inbox->check, inbox->bytes, inbox->length);
        if (*verdict == RECORD_WHOLE && inbox->check.offset == inbox->length) {
            inbox->source = connection;
            return 0;
        }
    }
    /* Bytes that are only looked at go on filling the sender's buffer, and one that sends small pieces would stall before
     * its request is whole: from here on they are taken. */
    return collect(inbox, connection, deadline_ns, verdict);
}

void inbox_drop_rest(struct inbox *inbox, int connection, uint64_t deadline_ns)
{
    shutdown(connection, SHUT_WR);
    for (;;) {
        ssize_t got = recv(connection, inbox->bytes, KEPT_BYTES, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN) || clock_now_ns() >= deadline_ns)
            return;
        if (got < 0 && wait_readable(connection, deadline_ns) != 0)
            return;
    }
}

void inbox_shrink(struct inbox *inbox)
{
    if (inbox->length > KEPT_BYTES)
        madvise(inbox->bytes + KEPT_BYTES, inbox->capacity - KEPT_BYTES, MADV_REMOVE);
}
