#include "connections.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"

#define WATCH_TRIES 8
/* The weight of a client that has left against one that was served: when every ninth leaves, the queue is too long. */
#define GONE_WEIGHT 8
#define GONE_ENOUGH 64
#define GONE_MAX 128
/* A request may take so long to follow its connection before that has to make room for others. */
#define GRACE_NS (100 * CLOCK_NS_PER_MS)

struct connections_shared {
    _Atomic uint32_t highest; /* no descriptor above this has been used */
    _Atomic int32_t parked;   /* descriptors of parked connections and their files; rough, as those below */
    _Atomic uint32_t hand;    /* where to look next for one that can make room */
    _Atomic int32_t gone;     /* how strongly leaving clients outweigh served ones */
    /* Rough: counted anew while others count, they may be a little too high or low until the next time; below 0 is none. */
    _Atomic int32_t waiting;
    _Atomic int64_t kept_bytes;
};

struct shared {
    struct connection table[CONNECTIONS_MAX];
    struct connections_shared counts;
};

static int find_parked_max(int reserve)
{
    struct rlimit limit;
    int most = CONNECTIONS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)most)
        most = (int)limit.rlim_cur;
    return most > 2 * reserve ? most - reserve : most / 2;
}

int connections_create(struct connections *connections, int reserve, uint64_t kept_bytes_max)
{
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return -1;
    *connections = (struct connections){.table = shared->table,
                                        .shared = &shared->counts,
                                        .ready = epoll_create1(EPOLL_CLOEXEC),
                                        .waiting = epoll_create1(EPOLL_CLOEXEC),
                                        .refused = epoll_create1(EPOLL_CLOEXEC),
                                        .parked_max = find_parked_max(reserve),
                                        .kept_bytes_max = kept_bytes_max};
    return connections->ready < 0 || connections->waiting < 0 || connections->refused < 0 ? -1 : 0;
}

struct connection *connections_at(const struct connections *connections, int fd)
{
    return &connections->table[fd];
}

static int highest(const struct connections *connections)
{
    return (int)atomic_load(&connections->shared->highest);
}

static uint32_t state_of(const struct connections *connections, int fd)
{
    return atomic_load(&connections_at(connections, fd)->state);
}

enum connection_stage connections_stage(const struct connections *connections, int fd)
{
    return (enum connection_stage)atomic_load_explicit(&connections_at(connections, fd)->stage, memory_order_acquire);
}

void connections_set_stage(struct connections *connections, int fd, enum connection_stage stage)
{
    atomic_store_explicit(&connections_at(connections, fd)->stage, (uint32_t)stage, memory_order_release);
}

static void note_highest(struct connections *connections, int fd)
{
    uint32_t known = atomic_load_explicit(&connections->shared->highest, memory_order_relaxed);
    while ((uint32_t)fd > known && !atomic_compare_exchange_weak(&connections->shared->highest, &known, (uint32_t)fd))
        ;
}

static bool change_state(struct connections *connections, int fd, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&connections_at(connections, fd)->state, &from, to);
}

bool connections_hold(struct connections *connections, int fd, uint64_t now_ns)
{
    if (fd >= CONNECTIONS_MAX) {
        errno = EMFILE;
        return false;
    }
    /* First, so that whoever looks for what a dead worker held looks far enough. */
    note_highest(connections, fd);
    for (;;) {
        uint32_t state = state_of(connections, fd);
        if (state == CONNECTION_HELD_BY(CONNECTIONS_MASTER)) {
            /* After a death it has found an open connection that nobody holds; in a moment it is parked, or nobody's. */
            poll(NULL, 0, 1);
            continue;
        }
        if (state == CONNECTION_PARKED || (state & CONNECTION_HELD_BY(0)) != 0) {
            errno = EBUSY;
            return false;
        }
        if (change_state(connections, fd, state, CONNECTION_HELD_BY(connections->slot)))
            break;
    }
    atomic_store_explicit(&connections_at(connections, fd)->began_ns, now_ns, memory_order_relaxed);
    return true;
}

bool connections_keep(struct connections *connections, int fd, uint64_t bytes)
{
    struct connections_shared *shared = connections->shared;
    int64_t more = (int64_t)bytes;
    if (atomic_fetch_add(&shared->kept_bytes, more) + more > (int64_t)connections->kept_bytes_max) {
        atomic_fetch_sub(&shared->kept_bytes, more);
        return false;
    }
    atomic_fetch_add_explicit(&connections_at(connections, fd)->kept_bytes, bytes, memory_order_relaxed);
    return true;
}

void connections_keep_nothing(struct connections *connections, int fd)
{
    uint64_t kept = atomic_exchange_explicit(&connections_at(connections, fd)->kept_bytes, 0, memory_order_relaxed);
    if (kept > 0)
        atomic_fetch_sub(&connections->shared->kept_bytes, (int64_t)kept);
}

static uint32_t interest_of(enum connection_stage stage, bool is_urgent)
{
    if (stage == STAGE_SENDING)
        return EPOLLOUT | EPOLLONESHOT;
    /* What can be written to is reported at once. */
    return EPOLLIN | EPOLLRDHUP | EPOLLONESHOT | (is_urgent || stage == STAGE_WAITING ? EPOLLOUT : 0U);
}

static int epoll_for(const struct connections *connections, enum connection_stage stage)
{
    if (stage == STAGE_WAITING)
        return connections->waiting;
    return stage == STAGE_REFUSED ? connections->refused : connections->ready;
}

/* Asks the shared epoll to report the connection once. */
static int watch(struct connections *connections, int fd)
{
    const struct connection *connection = connections_at(connections, fd);
    enum connection_stage stage = connections_stage(connections, fd);
    int epoll = epoll_for(connections, stage);
    struct epoll_event event = {.events = interest_of(stage, atomic_load(&connection->is_urgent) != 0), .data.fd = fd};
    /* The master may watch it anew at the same moment, so that it is there already when it was not just before. */
    for (int tries = 0; tries < WATCH_TRIES; tries++) {
        if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) == 0)
            return 0;
        if (errno != ENOENT)
            return -1;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0)
            return 0;
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

/* PARKED → HELD, by one process only. */
static bool claim(struct connections *connections, int fd)
{
    if (!change_state(connections, fd, CONNECTION_PARKED, CONNECTION_HELD_BY(connections->slot)))
        return false;
    if (connections_stage(connections, fd) == STAGE_WAITING)
        atomic_fetch_sub(&connections->shared->waiting, 1);
    atomic_fetch_sub(&connections->shared->parked, atomic_load(&connections_at(connections, fd)->weight));
    return true;
}

static int park(struct connections *connections, int fd, uint64_t deadline_ns, bool is_urgent)
{
    struct connection *connection = connections_at(connections, fd);
    atomic_store(&connection->deadline_ns, deadline_ns);
    atomic_store(&connection->is_urgent, is_urgent);
    int32_t weight = 1 + (atomic_load(&connection->store) > 0) + (atomic_load(&connection->answer) > 0);
    atomic_store(&connection->weight, weight);
    atomic_fetch_add(&connections->shared->parked, weight);
    if (connections_stage(connections, fd) == STAGE_WAITING)
        atomic_fetch_add(&connections->shared->waiting, 1);
    /* Parked first, watched then: whoever gets the event must find it parked. */
    atomic_store_explicit(&connection->state, CONNECTION_PARKED, memory_order_release);
    return watch(connections, fd);
}

void connections_close_file(struct connections *connections, _Atomic int32_t *place)
{
    _Atomic uint32_t *is_opening = connections->is_opening;
    if (is_opening != NULL)
        atomic_store(is_opening, 1);
    int file = atomic_exchange(place, 0);
    if (file > 0)
        close(file);
    if (is_opening != NULL)
        atomic_store(is_opening, 0);
}

/* Makes the entry what it was before its connection. */
static void clear(struct connections *connections, int fd)
{
    struct connection *connection = connections_at(connections, fd);
    if (atomic_load_explicit(&connection->kept_bytes, memory_order_relaxed) > 0)
        connections_keep_nothing(connections, fd);
    if (atomic_load_explicit(&connection->store, memory_order_relaxed) > 0)
        connections_close_file(connections, &connection->store);
    if (atomic_load_explicit(&connection->answer, memory_order_relaxed) > 0)
        connections_close_file(connections, &connection->answer);
    atomic_store_explicit(&connection->stage, STAGE_RECEIVING, memory_order_relaxed);
    atomic_store_explicit(&connection->is_urgent, 0, memory_order_relaxed);
    atomic_store_explicit(&connection->after, AFTER_CLOSE, memory_order_relaxed);
    atomic_store_explicit(&connection->deaths, 0, memory_order_relaxed);
    atomic_store_explicit(&connection->taken, 0, memory_order_relaxed);
    atomic_store_explicit(&connection->start, 0, memory_order_relaxed);
    atomic_store_explicit(&connection->end, 0, memory_order_relaxed);
    atomic_store_explicit(&connection->answer_length, 0, memory_order_relaxed);
    atomic_store_explicit(&connection->began_ns, 0, memory_order_relaxed);
    connection->is_checked = false;
}

void connections_drop(struct connections *connections, int fd)
{
    uint32_t closed = CONNECTION_CLOSED_BY(connections->slot);
    /* Cleared before the close: right after it the number may be another's, whose entry must not be written to. */
    atomic_store(&connections_at(connections, fd)->state, closed);
    clear(connections, fd);
    close(fd);
    change_state(connections, fd, closed, CONNECTION_NONE);
}

bool connections_are_short(const struct connections *connections)
{
    return atomic_load_explicit(&connections->shared->parked, memory_order_relaxed) >= connections->parked_max;
}

/* Whether giving it up costs its peer something. */
static bool is_loss(enum connection_stage stage)
{
    return stage != STAGE_LINGERING && stage != STAGE_IDLE;
}

/* Whether the next step is ours: it wants a worker, and all of them are busy. */
static bool waits_for_us(const struct connections *connections, int fd)
{
    bool is_sending = connections_stage(connections, fd) == STAGE_SENDING;
    struct pollfd peer = {.fd = fd, .events = is_sending ? POLLOUT : POLLIN};
    return atomic_load(&connections_at(connections, fd)->is_urgent) != 0 || poll(&peer, 1, 0) == 1;
}

/* Whether one that is parked waits for nothing but its peer's next byte, and has done so since before_ns. */
static bool is_silent(const struct connections *connections, int fd, uint64_t before_ns)
{
    const struct connection *connection = connections_at(connections, fd);
    enum connection_stage stage = connections_stage(connections, fd);
    if (state_of(connections, fd) != CONNECTION_PARKED || atomic_load(&connection->is_urgent) != 0)
        return false;
    return stage == STAGE_IDLE || stage == STAGE_LINGERING ||
           ((stage == STAGE_RECEIVING || stage == STAGE_REFUSED) && atomic_load(&connection->began_ns) < before_ns);
}

/* Closes one that has been silent since before_ns. The hand goes round: it is each one's turn some time. */
static bool close_silent(struct connections *connections, uint64_t before_ns)
{
    uint32_t count = (uint32_t)highest(connections) + 1;
    for (uint32_t steps = 0; steps < count; steps++) {
        int fd = (int)(atomic_fetch_add(&connections->shared->hand, 1) % count);
        if (!is_silent(connections, fd, before_ns) || waits_for_us(connections, fd) || !claim(connections, fd))
            continue;
        if (is_loss(connections_stage(connections, fd)) && connections->short_count != NULL)
            atomic_fetch_add(connections->short_count, 1);
        connections_drop(connections, fd);
        return true;
    }
    return false;
}

/* Closes a silent connection, so that another can be parked: one that has had its time, or else any, for it is more likely one
 * of many that keep us waiting than the newest is. */
static bool make_room(struct connections *connections)
{
    uint64_t now_ns = clock_now_ns();
    if (close_silent(connections, now_ns - GRACE_NS) || close_silent(connections, now_ns))
        return true;
    errno = EMFILE;
    return false;
}

int connections_park(struct connections *connections, int fd, uint64_t deadline_ns, bool is_urgent)
{
    if (connections_are_short(connections) && !make_room(connections))
        return -1;
    return park(connections, fd, deadline_ns, is_urgent) == 0 || !claim(connections, fd) ? 0 : -1;
}

static int take_from(struct connections *connections, int epoll, bool *has_left)
{
    struct epoll_event event;
    while (epoll_wait(epoll, &event, 1, 0) == 1) {
        if (!claim(connections, event.data.fd))
            continue;
        *has_left = (event.events & EPOLLHUP) != 0;
        return event.data.fd;
    }
    return -1;
}

int connections_take(struct connections *connections)
{
    bool has_left;
    return take_from(connections, connections->ready, &has_left);
}

int connections_take_refused(struct connections *connections)
{
    bool has_left;
    return take_from(connections, connections->refused, &has_left);
}

int connections_take_waiting(struct connections *connections, bool *has_left)
{
    return take_from(connections, connections->waiting, has_left);
}

void connections_hurry(struct connections *connections)
{
    for (int fd = 0; fd <= highest(connections); fd++) {
        if (state_of(connections, fd) != CONNECTION_PARKED || connections_stage(connections, fd) != STAGE_IDLE)
            continue;
        atomic_store(&connections_at(connections, fd)->is_urgent, 1);
        watch(connections, fd);
    }
}

unsigned connections_left(const struct connections *connections)
{
    unsigned left = 0;
    for (int fd = 0; fd <= highest(connections); fd++) {
        uint32_t state = state_of(connections, fd);
        left += state == CONNECTION_PARKED || (state & CONNECTION_HELD_BY(0)) != 0;
    }
    return left;
}

unsigned connections_waiting(const struct connections *connections)
{
    int32_t waiting = atomic_load_explicit(&connections->shared->waiting, memory_order_relaxed);
    return waiting > 0 ? (unsigned)waiting : 0;
}

uint64_t connections_kept_bytes(const struct connections *connections)
{
    int64_t kept = atomic_load_explicit(&connections->shared->kept_bytes, memory_order_relaxed);
    return kept > 0 ? (uint64_t)kept : 0;
}

/* These three may miss each other's writes: a rough count is enough. */
void connections_note_gone(struct connections *connections)
{
    int32_t gone = atomic_load_explicit(&connections->shared->gone, memory_order_relaxed) + GONE_WEIGHT;
    atomic_store_explicit(&connections->shared->gone, gone < GONE_MAX ? gone : GONE_MAX, memory_order_relaxed);
}

void connections_note_served(struct connections *connections)
{
    int32_t gone = atomic_load_explicit(&connections->shared->gone, memory_order_relaxed);
    if (gone > 0)
        atomic_store_explicit(&connections->shared->gone, gone - 1, memory_order_relaxed);
}

bool connections_some_left(const struct connections *connections)
{
    return atomic_load_explicit(&connections->shared->gone, memory_order_relaxed) > 0;
}

bool connections_serve_newest(const struct connections *connections)
{
    return atomic_load_explicit(&connections->shared->gone, memory_order_relaxed) >= GONE_ENOUGH;
}

int connections_held_by(struct connections *connections, unsigned slot, int fd)
{
    for (; fd <= highest(connections); fd++) {
        if (state_of(connections, fd) == CONNECTION_HELD_BY(slot))
            return fd;
    }
    return -1;
}

int connections_closed_by(struct connections *connections, unsigned slot, int fd)
{
    for (; fd <= highest(connections); fd++) {
        if (state_of(connections, fd) != CONNECTION_CLOSED_BY(slot) ||
            !change_state(connections, fd, CONNECTION_CLOSED_BY(slot), CONNECTION_HELD_BY(connections->slot)))
            continue;
        clear(connections, fd);
        return fd;
    }
    return -1;
}

void connections_park_closed(struct connections *connections, int fd, uint64_t now_ns, uint64_t deadline_ns)
{
    atomic_store(&connections_at(connections, fd)->began_ns, now_ns);
    park(connections, fd, deadline_ns, false);
}

void connections_forget(struct connections *connections, int fd)
{
    clear(connections, fd);
    atomic_store(&connections_at(connections, fd)->state, CONNECTION_NONE);
}

static void pass_on(_Atomic int32_t *place, int *file)
{
    if (atomic_load(place) != 0 || *file < 0)
        return;
    atomic_store(place, *file);
    *file = -1;
}

void connections_bequeath(struct connections *connections, int fd, int *inbox, int *outbox, uint64_t now_ns,
                          uint64_t deadline_ns)
{
    struct connection *connection = connections_at(connections, fd);
    enum connection_stage stage = connections_stage(connections, fd);
    uint64_t unset = 0;
    if (stage == STAGE_SERVING || stage == STAGE_ANSWERING)
        atomic_fetch_add(&connection->deaths, 1);
    if (atomic_load(&connection->taken) != 0)
        pass_on(&connection->store, inbox);
    if (stage == STAGE_SENDING)
        pass_on(&connection->answer, outbox);
    atomic_compare_exchange_strong(&connection->began_ns, &unset, now_ns);
    park(connections, fd, deadline_ns, true);
}

void connections_watch_again(struct connections *connections)
{
    for (int fd = 0; fd <= highest(connections); fd++) {
        if (state_of(connections, fd) == CONNECTION_PARKED)
            watch(connections, fd);
    }
}

/* Gives one up where its peer's time is over; true where that costs its peer something. */
static bool sweep_one(struct connections *connections, int fd, uint64_t now_ns)
{
    const struct connection *connection = connections_at(connections, fd);
    if (atomic_load(&connection->deadline_ns) > now_ns || waits_for_us(connections, fd) || !claim(connections, fd))
        return false;
    /* It may have been taken and parked again since. */
    uint64_t deadline_ns = atomic_load(&connection->deadline_ns);
    if (deadline_ns > now_ns) {
        park(connections, fd, deadline_ns, true);
        return false;
    }
    bool is_lost = is_loss(connections_stage(connections, fd));
    connections_drop(connections, fd);
    return is_lost;
}

unsigned connections_sweep(struct connections *connections, uint64_t now_ns)
{
    unsigned swept = 0;
    int32_t waiting = 0, parked = 0;
    int64_t kept = 0;
    for (int fd = 0; fd <= highest(connections); fd++) {
        const struct connection *connection = connections_at(connections, fd);
        if (state_of(connections, fd) == CONNECTION_PARKED)
            swept += sweep_one(connections, fd, now_ns);
        kept += (int64_t)atomic_load(&connection->kept_bytes);
        if (state_of(connections, fd) == CONNECTION_PARKED)
            parked += atomic_load(&connection->weight);
        waiting +=
            state_of(connections, fd) == CONNECTION_PARKED && connections_stage(connections, fd) == STAGE_WAITING;
    }
    atomic_store(&connections->shared->kept_bytes, kept);
    atomic_store(&connections->shared->waiting, waiting);
    atomic_store(&connections->shared->parked, parked);
    return swept;
}

bool connections_adopt(struct connections *connections, int fd, uint64_t now_ns, uint64_t deadline_ns)
{
    if (fd >= CONNECTIONS_MAX || !change_state(connections, fd, CONNECTION_NONE, CONNECTION_HELD_BY(connections->slot)))
        return false;
    note_highest(connections, fd);
    clear(connections, fd);
    atomic_store(&connections_at(connections, fd)->began_ns, now_ns);
    park(connections, fd, deadline_ns, true);
    return true;
}

bool connections_refer_to(const struct connections *connections, int file)
{
    for (int fd = 0; fd <= highest(connections); fd++) {
        const struct connection *connection = connections_at(connections, fd);
        if (atomic_load(&connection->store) == file || atomic_load(&connection->answer) == file)
            return true;
    }
    return false;
}
