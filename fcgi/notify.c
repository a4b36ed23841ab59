#include "notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#define MESSAGE_MAX (NOTIFY_STATUS_MAX + 160)
/* When to try again what the manager did not take. */
#define RETRY_NS (100 * CLOCK_NS_PER_MS)
/* How often more time is asked for. Once is not enough: systemd 252 sets its time anew when ExecReload= has ended, and has then
 * heard of the reload already. */
#define EXTEND_STEP_NS (10 * CLOCK_NS_PER_S)

/* A path, or "@name" for one in the abstract namespace. Returns 0, or -1 with errno. */
static int parse_address(struct notify *notify, const char *text)
{
    size_t length = strlen(text);
    bool is_abstract = text[0] == '@';
    notify->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((text[0] != '/' && !is_abstract) || length < 2) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    /* A path keeps room for its NUL. */
    if (length + !is_abstract > sizeof(notify->address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(notify->address.sun_path, text, length);
    if (is_abstract)
        notify->address.sun_path[0] = '\0';
    notify->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + !is_abstract);
    return 0;
}

static int connect_to_manager(const struct notify *notify)
{
    return connect(notify->fd, (const struct sockaddr *)&notify->address, notify->address_size);
}

/* How often a sign of life is due: twice in the time after which its lack means trouble. */
static uint64_t read_watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid()))
        return 0;
    char *end;
    errno = 0;
    uint64_t value = strtoull(usec, &end, 10);
    if (usec[0] < '0' || usec[0] > '9' || *end != '\0' || errno != 0 || value > UINT64_MAX / CLOCK_NS_PER_US)
        return 0;
    return value * CLOCK_NS_PER_US / 2;
}

void notify_open(struct notify *notify, const struct log *log)
{
    const char *name = getenv("NOTIFY_SOCKET");
    *notify = (struct notify){.fd = -1};
    if (name != NULL && name[0] != '\0') {
        notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (notify->fd < 0 || parse_address(notify, name) != 0 || connect_to_manager(notify) != 0) {
            log_warning(log, "cannot tell the service manager anything at NOTIFY_SOCKET=%s: %s; going on without", name,
                        strerror(errno));
            notify_close(notify);
        } else {
            notify->watchdog_ns = read_watchdog();
        }
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

/* The manager may have made its socket anew since: then ours must find it again. */
static bool send_message(const struct notify *notify, const char *message, size_t length)
{
    if (send(notify->fd, message, length, MSG_NOSIGNAL) == (ssize_t)length)
        return true;
    return errno != EAGAIN && connect_to_manager(notify) == 0 &&
           send(notify->fd, message, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static void write_phase(char *text, size_t size, const struct notify_news *news, uint64_t now_ns)
{
    switch (news->phase) {
    case NOTIFY_READY:
        snprintf(text, size, "READY=1\n");
        break;
    case NOTIFY_RELOADING:
        /* Managers that know the kind of service "notify-reload" want the time with it. */
        snprintf(text, size, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n", (uint64_t)(now_ns / CLOCK_NS_PER_US));
        break;
    case NOTIFY_STOPPING:
        snprintf(text, size, "STOPPING=1\n");
        break;
    default:
        text[0] = '\0';
        break;
    }
}

static bool takes_its_time(const struct notify_news *news)
{
    return news->phase == NOTIFY_RELOADING || news->phase == NOTIFY_STOPPING;
}

static bool is_phase_new(const struct notify *notify, const struct notify_news *news)
{
    return news->phase != notify->phase || (news->phase == NOTIFY_RELOADING && notify->has_new_reload);
}

/* What is due at now_ns, as lines; returns their length. */
static size_t write_message(const struct notify *notify, const struct notify_news *news, const char *status,
                            uint64_t now_ns, char message[static MESSAGE_MAX])
{
    char phase[80] = "", extend[48] = "";
    bool has_status = strcmp(status, notify->status) != 0;
    bool is_alive_due = notify->watchdog_ns != 0 && now_ns >= notify->watchdog_at_ns;
    if (is_phase_new(notify, news))
        write_phase(phase, sizeof(phase), news, now_ns);
    if (takes_its_time(news) && (is_phase_new(notify, news) || now_ns >= notify->extend_at_ns))
        snprintf(extend, sizeof(extend), "EXTEND_TIMEOUT_USEC=%" PRIu64 "\n",
                 (uint64_t)(news->time_ns / CLOCK_NS_PER_US));
    int length = snprintf(message, MESSAGE_MAX, "%s%s%s%s%s%s", phase, extend, has_status ? "STATUS=" : "",
                          has_status ? status : "", has_status ? "\n" : "", is_alive_due ? "WATCHDOG=1\n" : "");
    return (size_t)length;
}

/* Notes that all that was due has been told. */
static void note_told(struct notify *notify, const struct notify_news *news, const char *status, uint64_t now_ns)
{
    if (is_phase_new(notify, news) || now_ns >= notify->extend_at_ns)
        notify->extend_at_ns = now_ns + EXTEND_STEP_NS;
    if (now_ns >= notify->watchdog_at_ns)
        notify->watchdog_at_ns = now_ns + notify->watchdog_ns;
    if (news->phase == NOTIFY_RELOADING)
        notify->has_new_reload = false;
    notify->phase = news->phase;
    snprintf(notify->status, sizeof(notify->status), "%s", status);
}

uint64_t notify_tell(struct notify *notify, const struct notify_news *news, uint64_t now_ns)
{
    char status[NOTIFY_STATUS_MAX], message[MESSAGE_MAX];
    uint64_t next_ns = UINT64_MAX;
    if (notify->fd < 0)
        return UINT64_MAX;
    snprintf(status, sizeof(status), "%s", news->status);
    size_t length = write_message(notify, news, status, now_ns, message);
    if (length > 0 && !send_message(notify, message, length))
        return now_ns + RETRY_NS;
    note_told(notify, news, status, now_ns);
    if (notify->watchdog_ns != 0)
        next_ns = notify->watchdog_at_ns;
    return takes_its_time(news) && notify->extend_at_ns < next_ns ? notify->extend_at_ns : next_ns;
}

void notify_reload(struct notify *notify)
{
    notify->has_new_reload = true;
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}
