/* log: one line an event, to stderr or a file. No request writes to it unless something went wrong. */
#ifndef FIBCGI_LOG_H
#define FIBCGI_LOG_H

#include <stdbool.h>

/* A line longer than this is cut and ends in "...". */
#define LOG_LINE_MAX 1024

struct log {
    int fd;
    const char *path; /* NULL: stderr, which cannot be reopened */
    bool bare;        /* no time and no level: messages of a command line, not of a service */
};

/* Opens path for appending (created 0640), or stderr where path is NULL. Returns 0, or -1 with open(2)'s errno. */
int log_open(struct log *log, const char *path);

/* Opens the same path again, for log rotation; keeps the old file where that fails. Returns 0, or -1 with errno. */
int log_reopen(struct log *log);

/* Write "TIME LEVEL MESSAGE\n" in one write(2). Control characters in the message come out as \xNN, so that nothing
 * from outside can forge a line. errno is left as it was. */
void log_info(const struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_warning(const struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_error(const struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
