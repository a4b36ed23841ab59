#include "inbox.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* What libfcgi reads at once: a request of that size leaves nothing in the socket, also where its body is never asked for.
 * Closing a socket with bytes unread resets the peer. */
#define LIBFCGI_READ 8192

/* What stays resident between requests, and room for a record's headers. */
#define KEPT_BYTES INBOX_PIECE

/* Record headers and padding come on top of the content: web servers add 8 to 15 bytes to a record of kilobytes. */
static size_t capacity_for(const struct record_limits *limits)
{
    size_t content = limits->params_bytes + limits->body_bytes;
    return content + content / 8 + KEPT_BYTES;
}

int inbox_make_file(const struct record_limits *limits)
{
    int file = memfd_create("fibcgi-inbox", MFD_CLOEXEC);
    if (file >= 0 && ftruncate(file, (off_t)capacity_for(limits)) != 0) {
        close(file);
        return -1;
    }
    return file;
}

int inbox_open(struct inbox *inbox, int file, const struct record_limits *limits, unsigned max_conns)
{
    *inbox = (struct inbox){.limits = *limits, .max_conns = max_conns, .file = file, .capacity = capacity_for(limits)};
    inbox->bytes = mmap(NULL, inbox->capacity, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return inbox->bytes == MAP_FAILED ? -1 : 0;
}

static void note_taken(struct inbox *inbox)
{
    if (inbox->taken != NULL)
        atomic_store_explicit(inbox->taken, inbox->length, memory_order_release);
}

void inbox_begin(struct inbox *inbox)
{
    inbox->length = 0;
    note_taken(inbox);
    record_check_init(&inbox->check, &inbox->limits);
}

int inbox_resume(struct inbox *inbox, int store, size_t length)
{
    inbox_begin(inbox);
    if (length > inbox->capacity || (length > 0 && pread(store, inbox->bytes, length, 0) != (ssize_t)length)) {
        errno = EIO;
        return -1;
    }
    inbox->length = length;
    note_taken(inbox);
    return 0;
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
    note_taken(inbox);
}

/* Takes the bytes out of the socket until the request is whole or no more are there. */
static int collect(struct inbox *inbox, int connection, enum record_verdict *verdict)
{
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
        ssize_t got = recv(connection, inbox->bytes + inbox->length, inbox->capacity - inbox->length, 0);
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got == 0)
            errno = ECONNRESET;
        if (got <= 0)
            return -1;
        inbox->length += (size_t)got;
        note_taken(inbox);
    }
    inbox->source = inbox->file;
    return *verdict == RECORD_WHOLE && lseek(inbox->file, 0, SEEK_SET) < 0 ? -1 : 0;
}

int inbox_receive(struct inbox *inbox, int connection, enum record_verdict *verdict)
{
    ssize_t seen = inbox->length == 0 ? recv(connection, inbox->bytes, inbox->capacity, MSG_PEEK) : 0;
    if (seen > 0) {
        *verdict = record_check(&inbox->check, inbox->bytes, (size_t)seen);
        if (*verdict == RECORD_WHOLE && inbox->check.offset == (size_t)seen && seen <= LIBFCGI_READ) {
            inbox->length = (size_t)seen;
            note_taken(inbox);
            inbox->source = connection;
            return 0;
        }
        record_check_init(&inbox->check, &inbox->limits);
    }
    /* Bytes that are only looked at go on filling the sender's buffer, and one that sends small pieces would stall before
     * its request is whole: from here on they are taken. */
    return collect(inbox, connection, verdict);
}

bool inbox_drop_rest(struct inbox *inbox, int connection)
{
    for (;;) {
        ssize_t got = recv(connection, inbox->bytes, INBOX_PIECE, 0);
        if (got <= 0)
            return got == 0 || errno != EAGAIN;
    }
}

void inbox_shrink(struct inbox *inbox)
{
    if (inbox->length > KEPT_BYTES)
        madvise(inbox->bytes + KEPT_BYTES, inbox->capacity - KEPT_BYTES, MADV_REMOVE);
}
