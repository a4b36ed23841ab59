#include "connections.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#define WATCH_TRIES 8

/* What lies behind the table in the same shared mapping. */
struct shared {
    struct connection table[CONNECTIONS_MAX];
    _Atomic uint32_t highest;
};

int connections_create(struct connections *connections)
{
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return -1;
    *connections = (struct connections){.table = shared->table, .highest = &shared->highest, .ready = -1};
    connections->ready = epoll_create1(EPOLL_CLOEXEC);
    return connections->ready < 0 ? -1 : 0;
}

struct connection *connections_at(const struct connections *connections, int fd)
{
    return &connections->table[fd];
}

static void note_highest(struct connections *connections, int fd)
{
    uint32_t highest = atomic_load_explicit(connections->highest, memory_order_relaxed);
    while ((uint32_t)fd > highest && !atomic_compare_exchange_weak(connections->highest, &highest, (uint32_t)fd))
        ;
}

bool connections_hold(struct connections *connections, int fd, uint64_t accepted_ns)
{
    if (fd >= CONNECTIONS_MAX)
        return false;
    struct connection *connection = connections_at(connections, fd);
    /* First, so that whoever looks for what a dead worker held looks far enough. */
    note_highest(connections, fd);
    atomic_store_explicit(&connection->stage, STAGE_RECEIVING, memory_order_relaxed);
    atomic_store_explicit(&connection->deaths, 0, memory_order_relaxed);
    atomic_store_explicit(&connection->store, 0, memory_order_relaxed);
    atomic_store_explicit(&connection->length, 0, memory_order_relaxed);
    atomic_store_explicit(&connection->accepted_ns, accepted_ns, memory_order_relaxed);
    atomic_store_explicit(&connection->state, CONNECTION_HELD_BY(connections->slot), memory_order_release);
    return true;
}

/* Asks the shared epoll to report the connection once: when its peer does something, or at_once (EPOLLOUT is there
 * already), which is as soon as a worker is free. */
static int watch(struct connections *connections, int fd, bool at_once)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.fd = fd};
    if (at_once)
        event.events |= EPOLLOUT;
    /* The master may watch it anew at the same moment, so that it is there already when it was not just before. */
    for (int tries = 0; tries < WATCH_TRIES; tries++) {
        if (epoll_ctl(connections->ready, EPOLL_CTL_MOD, fd, &event) == 0)
            return 0;
        if (errno != ENOENT)
            return -1;
        if (epoll_ctl(connections->ready, EPOLL_CTL_ADD, fd, &event) == 0)
            return 0;
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

static int park(struct connections *connections, int fd, uint64_t deadline_ns, bool at_once)
{
    struct connection *connection = connections_at(connections, fd);
    atomic_store(&connection->deadline_ns, deadline_ns);
    /* Parked first, watched then: whoever gets the event must find it parked. */
    atomic_store_explicit(&connection->state, CONNECTION_PARKED, memory_order_release);
    return watch(connections, fd, at_once);
}

/* PARKED → HELD, by one process only. */
static bool claim(struct connections *connections, int fd)
{
    uint32_t parked = CONNECTION_PARKED;
    if (!atomic_compare_exchange_strong(&connections_at(connections, fd)->state, &parked,
                                        CONNECTION_HELD_BY(connections->slot)))
        return false;
    return true;
}

static int write_store(struct connection *connection, const uint8_t *bytes, size_t length)
{
    int store = atomic_load(&connection->store);
    if (length > 0 && store == 0) {
        store = memfd_create("fibcgi-parked", MFD_CLOEXEC);
        if (store < 0)
            return -1;
        atomic_store(&connection->store, store);
    }
    if (length > 0 && pwrite(store, bytes, length, 0) != (ssize_t)length) {
        errno = ENOSPC;
        return -1;
    }
    atomic_store(&connection->length, length);
    return 0;
}

int connections_park(struct connections *connections, int fd, const uint8_t *bytes, size_t length, uint64_t deadline_ns)
{
    if (write_store(connections_at(connections, fd), bytes, length) != 0)
        return -1;
    return park(connections, fd, deadline_ns, false) == 0 || !claim(connections, fd) ? 0 : -1;
}

int connections_take(struct connections *connections)
{
    struct epoll_event event;
    while (epoll_wait(connections->ready, &event, 1, 0) == 1) {
        if (claim(connections, event.data.fd))
            return event.data.fd;
    }
    return -1;
}

void connections_drop(struct connections *connections, int fd)
{
    struct connection *connection = connections_at(connections, fd);
    int store = atomic_exchange_explicit(&connection->store, 0, memory_order_relaxed);
    if (store > 0)
        close(store);
    /* Right after the close the number may be another's, which must not be overwritten. */
    uint32_t closed = CONNECTION_CLOSED_BY(connections->slot);
    atomic_store_explicit(&connection->state, closed, memory_order_release);
    close(fd);
    atomic_compare_exchange_strong(&connection->state, &closed, CONNECTION_NONE);
}

int connections_held_by(struct connections *connections, unsigned slot, int fd)
{
    for (; fd <= (int)atomic_load(connections->highest); fd++) {
        uint32_t closed = CONNECTION_CLOSED_BY(slot);
        struct connection *connection = connections_at(connections, fd);
        if (atomic_load(&connection->state) == CONNECTION_HELD_BY(slot))
            return fd;
        atomic_compare_exchange_strong(&connection->state, &closed, CONNECTION_NONE);
    }
    return -1;
}

void connections_bequeath(struct connections *connections, int fd, int store, uint64_t length, uint64_t deadline_ns)
{
    struct connection *connection = connections_at(connections, fd);
    uint32_t stage = atomic_load(&connection->stage);
    if (stage == STAGE_SERVING || stage == STAGE_ANSWERING)
        atomic_fetch_add(&connection->deaths, 1);
    if (store > 0) {
        int old = atomic_exchange(&connection->store, store);
        if (old > 0)
            close(old);
        atomic_store(&connection->length, length);
    }
    park(connections, fd, deadline_ns, true);
}

void connections_watch_again(struct connections *connections)
{
    for (int fd = 0; fd <= (int)atomic_load(connections->highest); fd++) {
        if (atomic_load(&connections_at(connections, fd)->state) == CONNECTION_PARKED)
            watch(connections, fd, true);
    }
}

unsigned connections_parked(const struct connections *connections)
{
    unsigned parked = 0;
    for (int fd = 0; fd <= (int)atomic_load(connections->highest); fd++)
        parked +=
            atomic_load_explicit(&connections_at(connections, fd)->state, memory_order_relaxed) == CONNECTION_PARKED;
    return parked;
}

unsigned connections_sweep(struct connections *connections, uint64_t now_ns)
{
    unsigned swept = 0;
    for (int fd = 0; fd <= (int)atomic_load(connections->highest); fd++) {
        const struct connection *connection = connections_at(connections, fd);
        if (atomic_load(&connection->state) != CONNECTION_PARKED || atomic_load(&connection->deadline_ns) > now_ns)
            continue;
        if (!claim(connections, fd))
            continue;
        /* It may have been taken and parked again since. */
        uint64_t deadline_ns = atomic_load(&connection->deadline_ns);
        if (deadline_ns > now_ns) {
            park(connections, fd, deadline_ns, true);
            continue;
        }
        swept += atomic_load(&connection->stage) != STAGE_LINGERING;
        connections_drop(connections, fd);
    }
    return swept;
}

bool connections_adopt(struct connections *connections, int fd, uint64_t now_ns, uint64_t deadline_ns)
{
    uint32_t none = CONNECTION_NONE;
    if (fd >= CONNECTIONS_MAX)
        return false;
    uint32_t mine = CONNECTION_HELD_BY(connections->slot);
    if (!atomic_compare_exchange_strong(&connections_at(connections, fd)->state, &none, mine))
        return false;
    connections_hold(connections, fd, now_ns);
    park(connections, fd, deadline_ns, true);
    return true;
}
