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

#define TAKEN(length, pending) ((uint64_t)(pending) << 32 | (uint64_t)(length))
#define TAKEN_LENGTH(taken) ((size_t)((taken)&UINT32_MAX))
#define TAKEN_PENDING(taken) ((size_t)((taken) >> 32))

/* Record headers and padding come on top of the content: web servers add 8 to 15 bytes to a record of kilobytes. */
static size_t capacity_for(const struct record_limits *limits)
{
    size_t content = limits->params_bytes + limits->body_bytes;
    return content + content / 8 + KEPT_BYTES;
}

static int make_file(size_t capacity)
{
    int file = memfd_create("fibcgi-inbox", MFD_CLOEXEC);
    if (file >= 0 && ftruncate(file, (off_t)capacity) != 0) {
        close(file);
        return -1;
    }
    return file;
}

int inbox_make_file(const struct record_limits *limits)
{
    return make_file(capacity_for(limits));
}

static uint8_t *map(int file, size_t capacity)
{
    uint8_t *bytes = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return bytes == MAP_FAILED ? NULL : bytes;
}

int inbox_open(struct inbox *inbox, int file, const struct record_limits *limits, unsigned max_conns)
{
    *inbox = (struct inbox){.limits = *limits, .max_conns = max_conns, .own = file, .capacity = capacity_for(limits)};
    inbox->own_bytes = map(file, inbox->capacity);
    inbox->file = file;
    inbox->file_bytes = inbox->bytes = inbox->own_bytes;
    return inbox->own_bytes == NULL ? -1 : 0;
}

/* Where in the file the request in hand begins. */
static size_t start_of(const struct inbox *inbox)
{
    return (size_t)(inbox->bytes - inbox->file_bytes);
}

static size_t room(const struct inbox *inbox)
{
    return inbox->capacity - start_of(inbox) - inbox->length;
}

static void note(const struct inbox *inbox, size_t pending)
{
    atomic_store_explicit(inbox->taken, TAKEN(start_of(inbox) + inbox->length, pending), memory_order_release);
}

static void note_written(struct inbox *inbox, size_t length)
{
    if (inbox->file == inbox->own && start_of(inbox) + length > inbox->written)
        inbox->written = start_of(inbox) + length;
}

/* Begins at the start of the file again. *start counts only where it is below *taken: in this order nothing comes back. */
static void rewind_file(struct inbox *inbox)
{
    inbox->bytes = inbox->file_bytes;
    note(inbox, 0);
    atomic_store_explicit(inbox->start, 0, memory_order_release);
}

/* Drops so many bytes; one store says so to whoever goes on. */
static void drop_front(struct inbox *inbox, size_t count)
{
    inbox->bytes += count;
    inbox->length -= count;
    if (inbox->length == 0)
        rewind_file(inbox);
    else
        atomic_store_explicit(inbox->start, start_of(inbox), memory_order_release);
}

void inbox_begin(struct inbox *inbox, _Atomic uint64_t *taken, _Atomic uint64_t *start)
{
    inbox->taken = taken;
    inbox->start = start;
    inbox->bytes = inbox->file_bytes;
    inbox->length = 0;
    record_check_init(&inbox->check, &inbox->limits);
}

/* What the kernel says of the bytes that were copied just before the worker died: with SO_PEEK_OFF a look moves the offset
 * forward and taking them moves it back. */
static bool have_left(int connection)
{
    int offset = 0;
    socklen_t size = sizeof(offset);
    return getsockopt(connection, SOL_SOCKET, SO_PEEK_OFF, &offset, &size) == 0 && offset <= 0;
}

int inbox_resume(struct inbox *inbox, _Atomic uint64_t *taken, _Atomic uint64_t *start, int connection, int store,
                 const struct record_check *check)
{
    uint64_t noted = atomic_load(taken);
    size_t from = (size_t)atomic_load(start), end = TAKEN_LENGTH(noted);
    inbox_begin(inbox, taken, start);
    if (store == 0)
        return 0;
    uint8_t *bytes = map(store, inbox->capacity);
    if (bytes == NULL)
        return -1;
    if (TAKEN_PENDING(noted) > 0 && have_left(connection))
        end += TAKEN_PENDING(noted);
    inbox->file = store;
    inbox->file_bytes = inbox->bytes = bytes;
    if (from < end) {
        inbox->bytes += from;
        inbox->length = end - from;
        note(inbox, 0);
    } else {
        rewind_file(inbox);
    }
    if (check != NULL && check->offset <= inbox->length)
        inbox->check = *check;
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
    if (check->offset == 0) {
        drop_front(inbox, check->aside_end);
        return;
    }
    memmove(inbox->bytes + check->offset, inbox->bytes + check->aside_end, inbox->length - check->aside_end);
    inbox->length -= check->aside_end - check->offset;
    note(inbox, 0);
}

/* Makes room for the end of a request that began behind others. */
static void move_to_front(struct inbox *inbox)
{
    memmove(inbox->file_bytes, inbox->bytes, inbox->length);
    rewind_file(inbox);
}

/* Takes what is there out of the socket. In two steps, and noted between them, so that it can be told afterwards where a
 * worker that was killed on the way had got to. Where the kernel cannot tell (can_tell), in one. Returns as recv(2). */
static ssize_t take(struct inbox *inbox, int connection, bool can_tell)
{
    uint8_t *to = inbox->bytes + inbox->length;
    size_t most = room(inbox);
    if (can_tell) {
        ssize_t seen = recv(connection, to, most, MSG_PEEK);
        if (seen <= 0)
            return seen;
        most = (size_t)seen;
        note(inbox, most);
    }
    ssize_t got = recv(connection, to, most, 0);
    if (got > 0)
        inbox->length += (size_t)got;
    note(inbox, 0);
    note_written(inbox, inbox->length);
    return got;
}

/* Takes the bytes out of the socket until the request is whole or no more are there. */
static int collect(struct inbox *inbox, int connection, enum record_verdict *verdict)
{
    static const int start = 0;
    bool can_tell = setsockopt(connection, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start)) == 0;
    for (;;) {
        *verdict = record_check(&inbox->check, inbox->bytes, inbox->length);
        if (*verdict == RECORD_ASIDE) {
            settle_aside(inbox, connection);
            continue;
        }
        if (*verdict != RECORD_MORE)
            break;
        if (room(inbox) == 0 && start_of(inbox) > 0)
            move_to_front(inbox);
        if (room(inbox) == 0) {
            *verdict = RECORD_BODY_TOO_LARGE;
            break;
        }
        ssize_t got = take(inbox, connection, can_tell);
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got == 0)
            errno = ECONNRESET;
        if (got <= 0)
            return -1;
    }
    inbox->source = inbox->file;
    return *verdict == RECORD_WHOLE && lseek(inbox->file, (off_t)start_of(inbox), SEEK_SET) < 0 ? -1 : 0;
}

/* Looks whether the whole request, and nothing else, lies in the socket, small enough for libfcgi to take all of it. */
static bool is_whole_in_socket(struct inbox *inbox, int connection)
{
    ssize_t seen = recv(connection, inbox->bytes, inbox->capacity, MSG_PEEK);
    if (seen > 0)
        note_written(inbox, (size_t)seen);
    if (seen <= 0 || seen > LIBFCGI_READ)
        return false;
    enum record_verdict verdict = record_check(&inbox->check, inbox->bytes, (size_t)seen);
    /* Where a next request may follow, libfcgi could read a part of that, too, and lose it. */
    if (verdict == RECORD_WHOLE && inbox->check.offset == (size_t)seen && !inbox->check.keep_connection) {
        inbox->length = (size_t)seen;
        inbox->source = connection;
        return true;
    }
    record_check_init(&inbox->check, &inbox->limits);
    return false;
}

int inbox_receive(struct inbox *inbox, int connection, bool is_first, enum record_verdict *verdict)
{
    if (is_first && is_whole_in_socket(inbox, connection)) {
        *verdict = RECORD_WHOLE;
        return 0;
    }
    /* Bytes that are only looked at go on filling the sender's buffer, and one that sends small pieces would stall before
     * its request is whole: from here on they are taken. */
    return collect(inbox, connection, verdict);
}

void inbox_commit(const struct inbox *inbox)
{
    note(inbox, 0);
}

void inbox_next(struct inbox *inbox)
{
    drop_front(inbox, inbox->check.offset);
    record_check_init(&inbox->check, &inbox->limits);
}

size_t inbox_end(const struct inbox *inbox)
{
    return start_of(inbox) + inbox->check.offset;
}

void inbox_drop_to(struct inbox *inbox, size_t end)
{
    size_t start = start_of(inbox), most = start + inbox->length;
    if (end > start)
        drop_front(inbox, (end < most ? end : most) - start);
    record_check_init(&inbox->check, &inbox->limits);
}

int inbox_copy(const struct inbox *inbox)
{
    int file = make_file(inbox->capacity);
    if (file >= 0 && pwrite(file, inbox->bytes, inbox->length, (off_t)start_of(inbox)) != (ssize_t)inbox->length) {
        close(file);
        errno = ENOSPC;
        return -1;
    }
    return file;
}

bool inbox_drop_rest(struct inbox *inbox, int connection)
{
    for (;;) {
        ssize_t got = recv(connection, inbox->own_bytes, INBOX_PIECE, 0);
        if (got <= 0)
            return got == 0 || errno != EAGAIN;
    }
}

void inbox_leave(struct inbox *inbox)
{
    if (inbox->file != inbox->own) {
        munmap(inbox->file_bytes, inbox->capacity);
        inbox->file = inbox->own;
        inbox->file_bytes = inbox->own_bytes;
    }
    inbox->bytes = inbox->file_bytes;
    if (inbox->written > KEPT_BYTES)
        madvise(inbox->own_bytes + KEPT_BYTES, inbox->capacity - KEPT_BYTES, MADV_REMOVE);
    inbox->written = 0;
    inbox->length = 0;
}
