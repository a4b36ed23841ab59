/* log: one line an event, as text or JSON, to stderr, stdout, a file or syslog. No request writes to it unless something went
 * wrong, or the operator wants to know (access). Floods are cut, and how much was left out is told. */
#ifndef FIBCGI_LOG_H
#define FIBCGI_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "line.h"
#include "trace.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO };

/* What a line is about, its field "event". */
enum log_kind {
    LOG_POOL,    /* the pool as a whole, from its start to its end */
    LOG_WORKER,  /* a process of it that starts, or ends as it should */
    LOG_DEATH,   /* one that does not */
    LOG_START,   /* one that cannot be started */
    LOG_ACCEPT,  /* connections that cannot be taken */
    LOG_PEER,    /* what peers send or do not read */
    LOG_REQUEST, /* a request that could not be answered as it should */
    LOG_ACCESS,  /* a request that was answered… */
    LOG_SLOW,    /* …and took long */
    LOG_FLOOD,   /* lines that were left out */
    LOG_KINDS
};

/* How many lines of a kind have been written in the second that began then; shared by all processes of a pool. */
struct log_flood {
    _Atomic uint64_t began_ns;
    _Atomic uint32_t written;
    _Atomic uint64_t left_out; /* since then… */
    _Atomic uint64_t told_ns;  /* …when that was last told */
};

enum log_target {
    LOG_TO_STREAM,  /* a file, a pipe, a terminal */
    LOG_TO_JOURNAL, /* stderr, which journald reads: it wants a priority, and has the time (sd-daemon(3)) */
    LOG_TO_SYSLOG,  /* /dev/log: the same (RFC 3164 §4.1 without TIMESTAMP, which the daemon adds) */
};

enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log {
    int fd;           /* -1: the log is off */
    const char *path; /* of a file; NULL: it cannot be reopened */
    enum log_target target;
    enum line_format format;
    pid_t pid;                /* of this process, which a worker is not to ask for with each line */
    bool bare;                /* no time and no level: messages of a command line, not of a service */
    struct log_flood *floods; /* LOG_KINDS of them; NULL: no line is ever left out */
};

/* Opens a log: target is "stderr", or NULL for the same; "stdout"; "syslog"; or a file's path, for appending (created 0640).
 * Returns 0, or -1 with errno of open(2), or of connect(2) to /dev/log. */
int log_open(struct log *log, const char *target);

/* auto: JSON where a program reads it, which is at the other end of a pipe; text where people do: at a terminal, in a file, in
 * syslog and in the journal. */
void log_set_format(struct log *log, enum log_format format);

/* Opens the same path again, for log rotation; keeps the old file where that fails. Returns 0, or -1 with errno. */
int log_reopen(struct log *log);

/* Write a line of the pool's in one write(2). errno is left as it was. */
void log_info(const struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_warning(const struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_error(const struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct log_event {
    enum log_level level;
    enum log_kind kind;
    const struct trace *trace; /* of the request that it is about; NULL: none */
};

/* The same for any kind; where there have been too many of it in this second, the line is left out. */
void log_event(const struct log *log, const struct log_event *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* For whoever has fields of its own: false where the line is to be left out; else its first fields are in it already. Then
 * log_send ends and writes it. */
bool log_begin(const struct log *log, const struct log_event *event, struct line *line);
void log_send(const struct log *log, struct line *line);

/* Writes how many lines were left out, at most once a second for each kind. Returns when there is more to tell; UINT64_MAX:
 * nothing. now_ns: UINT64_MAX to tell all of it, in the end. */
uint64_t log_tell_left_out(const struct log *log, uint64_t now_ns);

#endif
