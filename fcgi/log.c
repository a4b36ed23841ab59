#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

static int open_target(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

int log_open(struct log *log, const char *path)
{
    *log = (struct log){.fd = STDERR_FILENO, .path = path};
    if (path == NULL)
        return 0;
    int fd = open_target(path);
    if (fd < 0)
        return -1;
    log->fd = fd;
    return 0;
}

int log_reopen(struct log *log)
{
    if (log->path == NULL)
        return 0;
    int fd = open_target(log->path);
    if (fd < 0)
        return -1;
    /* dup2 keeps the number: whoever holds a copy of the struct goes on writing to the new file. */
    int moved = dup3(fd, log->fd, O_CLOEXEC);
    close(fd);
    return moved < 0 ? -1 : 0;
}

/* Copies text into line as printable characters; returns the new length. */
static size_t append_printable(char *line, size_t length, size_t size, const char *text)
{
    for (; *text != '\0' && length + 4 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != 0x7f)
            line[length++] = (char)c;
        else
            length += (size_t)snprintf(line + length, size - length, "\\x%02x", c);
    }
    return length;
}

__attribute__((format(printf, 3, 0))) static void write_line(const struct log *log, const char *level,
                                                             const char *format, va_list arguments)
{
    int saved_errno = errno;
    char message[LOG_LINE_MAX], line[LOG_LINE_MAX + 64], stamp[CLOCK_STAMP_SIZE];
    int wanted = vsnprintf(message, sizeof(message), format, arguments);
    if (wanted >= (int)sizeof(message))
        memcpy(message + sizeof(message) - 4, "...", 4);
    size_t length = 0;
    if (log->bare) {
        length = (size_t)snprintf(line, sizeof(line), "fibcgi: ");
    } else {
        clock_stamp(stamp);
        length = (size_t)snprintf(line, sizeof(line), "%s %s ", stamp, level);
    }
    length = append_printable(line, length, sizeof(line) - 1, message);
    line[length++] = '\n';
    /* A log that cannot be written (a full disk) must not stop the service. */
    if (write(log->fd, line, length) < 0)
        errno = 0;
    errno = saved_errno;
}

void log_info(const struct log *log, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(log, "info", format, arguments);
    va_end(arguments);
}

void log_warning(const struct log *log, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(log, "warning", format, arguments);
    va_end(arguments);
}

void log_error(const struct log *log, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(log, "error", format, arguments);
    va_end(arguments);
}
