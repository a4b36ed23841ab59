#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

#define WINDOW_NS CLOCK_NS_PER_S
/* Facility daemon (RFC 5424 §6.2.1). */
#define SYSLOG_FACILITY (3 << 3)
#define PREFIX_MAX 48

static const char *const level_names[] = {"error", "warning", "info"};
/* Severities after RFC 5424 §6.2.1. */
static const int severities[] = {3, 4, 6};

static const struct kind {
    const char *name;
    uint32_t most; /* lines a second, of all processes; 0: as many as there are. Of workers 512 may start at once. */
    bool has_no_message;
} kinds[LOG_KINDS] = {
    [LOG_POOL] = {"pool", 0, false},        [LOG_WORKER] = {"worker", 1000, false}, [LOG_DEATH] = {"death", 100, false},
    [LOG_START] = {"start", 1, false},      [LOG_ACCEPT] = {"accept", 1, false},    [LOG_PEER] = {"peer", 5, false},
    [LOG_REQUEST] = {"request", 20, false}, [LOG_ACCESS] = {"access", 0, true},     [LOG_SLOW] = {"slow", 100, true},
    [LOG_FLOOD] = {"flood", 0, false},
};

static const struct sockaddr_un syslog_address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

/* Not connected: a daemon that is started anew is found again, also by workers, which may not connect. */
static int open_syslog(void)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int trial = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int failed =
        fd < 0 || trial < 0 || connect(trial, (const struct sockaddr *)&syslog_address, sizeof(syslog_address));
    int saved_errno = errno;
    if (trial >= 0)
        close(trial);
    if (failed != 0 && fd >= 0)
        close(fd);
    errno = saved_errno;
    return failed != 0 ? -1 : fd;
}

/* Whether what is written to stderr goes to the journal: systemd names the socket that it has made it (systemd.exec(5)). */
static bool is_journal(int fd)
{
    char name[64];
    struct stat status;
    const char *journal = getenv("JOURNAL_STREAM");
    if (journal == NULL || fstat(fd, &status) != 0)
        return false;
    snprintf(name, sizeof(name), "%llu:%llu", (unsigned long long)status.st_dev, (unsigned long long)status.st_ino);
    return strcmp(journal, name) == 0;
}

int log_open(struct log *log, const char *target)
{
    *log = (struct log){.fd = STDERR_FILENO, .pid = getpid()};
    if (target != NULL && strcmp(target, "stdout") == 0) {
        log->fd = STDOUT_FILENO;
    } else if (target != NULL && strcmp(target, "syslog") == 0) {
        log->target = LOG_TO_SYSLOG;
        log->fd = open_syslog();
    } else if (target != NULL && strcmp(target, "stderr") != 0) {
        log->path = target;
        log->fd = open_file(target);
    }
    if (log->fd >= 0 && log->path == NULL && log->target == LOG_TO_STREAM && is_journal(log->fd))
        log->target = LOG_TO_JOURNAL;
    return log->fd < 0 ? -1 : 0;
}

void log_set_format(struct log *log, enum log_format format)
{
    struct stat status;
    bool is_pipe = log->target == LOG_TO_STREAM && fstat(log->fd, &status) == 0 &&
                   (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
    if (format == LOG_FORMAT_AUTO)
        log->format = is_pipe ? LINE_JSON : LINE_TEXT;
    else
        log->format = format == LOG_FORMAT_JSON ? LINE_JSON : LINE_TEXT;
}

int log_reopen(struct log *log)
{
    if (log->path == NULL)
        return 0;
    int fd = open_file(log->path);
    if (fd < 0)
        return -1;
    /* dup2 keeps the number: whoever holds a copy of the struct goes on writing to the new file. */
    int moved = dup3(fd, log->fd, O_CLOEXEC);
    close(fd);
    return moved < 0 ? -1 : 0;
}

/* What the reader of that target wants before the line. */
static void write_prefix(const struct log *log, enum log_level level, char prefix[static PREFIX_MAX])
{
    prefix[0] = '\0';
    if (log->bare)
        snprintf(prefix, PREFIX_MAX, "fibcgi: ");
    else if (log->target == LOG_TO_JOURNAL)
        snprintf(prefix, PREFIX_MAX, "<%d>", severities[level]);
    else if (log->target == LOG_TO_SYSLOG)
        snprintf(prefix, PREFIX_MAX, "<%d>fibcgi[%d]: ", SYSLOG_FACILITY | severities[level], log->pid);
}

/* Whose reader has no time and level of its own. */
static bool needs_head(const struct log *log)
{
    return log->format == LINE_JSON || (log->target == LOG_TO_STREAM && !log->bare);
}

static bool may_write(struct log_flood *flood, uint32_t most, uint64_t now_ns)
{
    uint64_t began_ns = atomic_load(&flood->began_ns);
    if (now_ns >= began_ns + WINDOW_NS && atomic_compare_exchange_strong(&flood->began_ns, &began_ns, now_ns))
        atomic_store(&flood->written, 0);
    if (atomic_fetch_add(&flood->written, 1) < most)
        return true;
    atomic_fetch_add(&flood->left_out, 1);
    return false;
}

bool log_begin(const struct log *log, const struct log_event *event, struct line *line)
{
    char prefix[PREFIX_MAX], stamp[CLOCK_STAMP_SIZE];
    const struct kind *kind = &kinds[event->kind];
    if (kind->most > 0 && log->floods != NULL && !may_write(&log->floods[event->kind], kind->most, clock_now_ns()))
        return false;
    write_prefix(log, event->level, prefix);
    line_begin(line, log->bare ? LINE_TEXT : log->format, prefix);
    if (needs_head(log)) {
        clock_stamp(stamp);
        line_add_word(line, "time", stamp);
        line_add_word(line, "level", level_names[event->level]);
    }
    if (line->format == LINE_JSON || kind->has_no_message)
        line_add_word(line, "event", kind->name);
    if (line->format == LINE_JSON)
        line_add_number(line, "pid", (uint64_t)log->pid);
    return true;
}

/* A log that cannot be written (a full disk, a daemon that is gone) must not stop the service. */
void log_send(const struct log *log, struct line *line)
{
    int saved_errno = errno;
    ssize_t written;
    line_end(line);
    if (log->target == LOG_TO_SYSLOG)
        written = sendto(log->fd, line->bytes, line->length - 1, MSG_NOSIGNAL, (const struct sockaddr *)&syslog_address,
                         sizeof(syslog_address));
    else
        written = write(log->fd, line->bytes, line->length);
    if (written < 0 && log->floods != NULL)
        atomic_fetch_add(&log->floods[LOG_FLOOD].left_out, 1);
    errno = saved_errno;
}

__attribute__((format(printf, 3, 0))) static void write_event(const struct log *log, const struct log_event *event,
                                                              const char *format, va_list arguments)
{
    int saved_errno = errno;
    struct line line;
    /* One more than fits, so that what is too long is seen to be cut. */
    char message[LINE_MESSAGE_MAX + 2];
    vsnprintf(message, sizeof(message), format, arguments);
    if (log->fd >= 0 && log_begin(log, event, &line)) {
        line_add_message(&line, "message", message);
        if (event->trace != NULL) {
            line_add_text(&line, "trace_id", event->trace->trace_id);
            line_add_text(&line, "parent_id", event->trace->parent_id);
        }
        log_send(log, &line);
    }
    errno = saved_errno;
}

void log_event(const struct log *log, const struct log_event *event, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_event(log, event, format, arguments);
    va_end(arguments);
}

void log_info(const struct log *log, const char *format, ...)
{
    static const struct log_event event = {.level = LOG_LEVEL_INFO};
    va_list arguments;
    va_start(arguments, format);
    write_event(log, &event, format, arguments);
    va_end(arguments);
}

void log_warning(const struct log *log, const char *format, ...)
{
    static const struct log_event event = {.level = LOG_LEVEL_WARNING};
    va_list arguments;
    va_start(arguments, format);
    write_event(log, &event, format, arguments);
    va_end(arguments);
}

void log_error(const struct log *log, const char *format, ...)
{
    static const struct log_event event = {.level = LOG_LEVEL_ERROR};
    va_list arguments;
    va_start(arguments, format);
    write_event(log, &event, format, arguments);
    va_end(arguments);
}

static void tell(const struct log *log, enum log_kind kind, uint64_t count)
{
    static const struct log_event event = {.level = LOG_LEVEL_WARNING, .kind = LOG_FLOOD};
    char message[LINE_VALUE_MAX];
    struct line line;
    if (kind == LOG_FLOOD)
        snprintf(message, sizeof(message), "%llu lines could not be written; what reads the log is gone or full",
                 (unsigned long long)count);
    else
        snprintf(message, sizeof(message), "%llu more lines of the kind \"%s\" were left out, beyond %u a second",
                 (unsigned long long)count, kinds[kind].name, kinds[kind].most);
    log_begin(log, &event, &line);
    line_add_message(&line, "message", message);
    line_add_number(&line, "left_out", count);
    log_send(log, &line);
}

uint64_t log_tell_left_out(const struct log *log, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;
    for (int i = 0; i < LOG_KINDS && log->floods != NULL; i++) {
        struct log_flood *flood = &log->floods[i];
        uint64_t at_ns = atomic_load(&flood->told_ns) + WINDOW_NS;
        if (atomic_load(&flood->left_out) == 0)
            continue;
        if (now_ns >= at_ns) {
            atomic_store(&flood->told_ns, now_ns);
            tell(log, (enum log_kind)i, atomic_exchange(&flood->left_out, 0));
        } else if (at_ns < next_ns) {
            next_ns = at_ns;
        }
    }
    return next_ns;
}
