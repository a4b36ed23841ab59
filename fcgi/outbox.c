#include "outbox.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

int outbox_make_file(void)
{
    return memfd_create("fibcgi-outbox", MFD_CLOEXEC);
}

int outbox_begin(int file)
{
    /* sendfile(2) copies nothing: the last answer's pages may still lie in a socket. Cut off from the file they stay as they
     * are, and this answer gets its own. */
    return ftruncate(file, 0) != 0 || lseek(file, 0, SEEK_SET) < 0 ? -1 : 0;
}

int64_t outbox_finish(int file)
{
    off_t length = lseek(file, 0, SEEK_CUR);
    return length < 0 || lseek(file, 0, SEEK_SET) < 0 ? -1 : length;
}

uint64_t outbox_sent(int file)
{
    off_t position = lseek(file, 0, SEEK_CUR);
    return position < 0 ? 0 : (uint64_t)position;
}

int outbox_copy(int file, uint64_t length)
{
    int copy = outbox_make_file();
    off_t from = 0;
    while (copy >= 0 && (uint64_t)from < length) {
        ssize_t copied = sendfile(copy, file, &from, length - (uint64_t)from);
        if (copied == 0 || (copied < 0 && errno != EINTR)) {
            close(copy);
            return -1;
        }
    }
    if (copy >= 0 && lseek(copy, (off_t)outbox_sent(file), SEEK_SET) < 0) {
        close(copy);
        return -1;
    }
    return copy;
}

enum outbox_result outbox_send(int file, int connection, uint64_t length)
{
    for (;;) {
        uint64_t sent = outbox_sent(file);
        if (sent >= length)
            return OUTBOX_SENT;
        ssize_t taken = sendfile(connection, file, NULL, length - sent);
        /* An application may have signals of its own. */
        if (taken < 0 && errno == EINTR)
            continue;
        if (taken < 0 && errno == EAGAIN)
            return OUTBOX_MORE;
        if (taken <= 0)
            return OUTBOX_FAILED;
        if (sent + (uint64_t)taken == length)
            return OUTBOX_SENT;
    }
}
