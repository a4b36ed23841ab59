#include "activation.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define ADMIN_NAME "admin"
#define HTTP_NAME "admin-http"

/* A decimal number and nothing else, at least low. */
static bool parse_number(const char *text, long low, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *value >= low;
}

static unsigned count_names(const char *names)
{
    unsigned count = 1;
    for (; *names != '\0'; names++)
        count += *names == ':';
    return count;
}

/* One of the two that there is one of. */
static int take_single(int *place, int fd, const char *name, const struct log *log)
{
    if (*place >= 0) {
        log_error(
            log,
            "two of the passed sockets are named %s (LISTEN_FDNAMES), but the pool has one socket for that; give a "
            "single ListenStream= to the socket unit with FileDescriptorName=%s",
            name, name);
        return -1;
    }
    *place = fd;
    return 0;
}

static int take(struct activation *activation, int fd, const char *name, const struct log *log)
{
    if (strcmp(name, ADMIN_NAME) == 0)
        return take_single(&activation->admin, fd, name, log);
    if (strcmp(name, HTTP_NAME) == 0)
        return take_single(&activation->admin_http, fd, name, log);
    if (activation->work_count == LISTENERS_MAX) {
        log_error(log, "more than %d sockets for work were passed (LISTEN_FDS); pass fewer", LISTENERS_MAX);
        return -1;
    }
    activation->work[activation->work_count++] = fd;
    return 0;
}

static int take_by_name(struct activation *activation, unsigned count, const char *names, const struct log *log)
{
    for (unsigned i = 0; i < count; i++) {
        size_t length = strcspn(names, ":");
        /* What is cut is for work, whatever follows. */
        char name[sizeof(HTTP_NAME) + 1];
        snprintf(name, sizeof(name), "%.*s", (int)(length < sizeof(name) ? length : sizeof(name)), names);
        if (take(activation, FIRST_FD + (int)i, name, log) != 0)
            return -1;
        names += length + (names[length] == ':');
    }
    return 0;
}

static int take_by_place(struct activation *activation, unsigned count, const struct log *log)
{
    if (count > 2) {
        log_error(log,
                  "%u sockets were passed without names, and only the first two have a meaning; name them "
                  "(FileDescriptorName=, LISTEN_FDNAMES): " ADMIN_NAME " is for admin, all others are for work",
                  count);
        return -1;
    }
    for (unsigned i = 0; i < count; i++) {
        if (take(activation, FIRST_FD + (int)i, i == 1 ? ADMIN_NAME : "", log) != 0)
            return -1;
    }
    return 0;
}

static int take_all(struct activation *activation, const char *count_text, const char *names, const struct log *log)
{
    long count;
    if (!parse_number(count_text, 0, &count)) {
        log_error(log, "LISTEN_FDS=\"%s\" is not a number of sockets; look at what started us", count_text);
        return -1;
    }
    /* Before the names are counted: no list of them is longer than this. */
    if (count > LISTENERS_MAX + 2) {
        log_error(log,
                  "%ld sockets were passed (LISTEN_FDS), and the pool takes %d for work and two for admin; pass fewer",
                  count, LISTENERS_MAX);
        return -1;
    }
    if (count == 0)
        return 0;
    if (names == NULL)
        return take_by_place(activation, (unsigned)count, log);
    if (count_names(names) != (unsigned)count) {
        log_error(log, "LISTEN_FDNAMES=\"%s\" does not have the %ld names of LISTEN_FDS; look at what started us",
                  names, count);
        return -1;
    }
    return take_by_name(activation, (unsigned)count, names, log);
}

int activation_read(struct activation *activation, const struct log *log)
{
    long pid;
    int result = 0;
    const char *pid_text = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    *activation = (struct activation){.admin = -1, .admin_http = -1};
    if (pid_text != NULL && count != NULL && parse_number(pid_text, 1, &pid) && pid == getpid())
        result = take_all(activation, count, getenv("LISTEN_FDNAMES"), log);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (result != 0)
        errno = EINVAL;
    return result;
}
