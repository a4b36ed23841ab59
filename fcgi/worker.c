#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "diag.h"
#include "outbox.h"

#define DRAIN_STEP_MS 50
#define SWEEP_STEP_MS 50
#define ACCEPT_PAUSE_MS 10
/* All that a worker can wait for: its listeners, what is parked, who waits or was refused, who asks over HTTP, its signals. */
#define EVENTS_MAX (LISTENERS_MAX + 5)
/* How many older connections are set aside, at most, to get at the newest. */
#define BURST_MAX 256
/* The kernel lets a descriptor wake no more than 500 through an epoll instance that is in theirs (fs/eventpoll.c), and refuses to have
 * it watched beyond that. Workers above this number take only what is new. */
#define PARKED_WATCHERS_MAX 480
/* The web server decides how long a request may wait for a worker. */
#define NO_DEADLINE UINT64_MAX

struct worker {
    const struct worker_config *config;
    struct exchange_config exchange_config;
    struct exchange exchange;
    struct connections *connections;
    struct httpd httpd;
    unsigned turn; /* among events that are there at the same time */
};

int worker_open_files(struct worker_files *files, const struct record_limits *limits, unsigned needs)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    if ((needs & WORKER_IS_ALONE) != 0)
        sigaddset(&wanted, SIGINT);
    *files = (struct worker_files){
        .inbox = inbox_make_file(limits),
        .outbox = outbox_make_file(),
        .events = epoll_create1(EPOLL_CLOEXEC),
        .signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK),
        .lookup = (needs & WORKER_LOOKS_AT_CLIENTS) != 0 ? diag_open() : -1,
    };
    if (files->inbox >= 0 && files->outbox >= 0 && files->events >= 0 && files->signals >= 0)
        return 0;
    int saved_errno = errno;
    worker_close_files(files);
    errno = saved_errno;
    return -1;
}

void worker_close_files(struct worker_files *files)
{
    const int all[] = {files->inbox, files->outbox, files->events, files->signals, files->lookup};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] >= 0)
            close(all[i]);
    }
    *files = (struct worker_files){-1, -1, -1, -1, -1};
}

static int watch(const struct worker *worker, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(worker->config->files.events, EPOLL_CTL_ADD, fd, &event);
}

/* With a limit on the queue, the acceptor takes what is new, and the workers what it puts in order. */
static bool takes_new(const struct worker_config *config)
{
    return config->queue_limit == 0 || config->is_acceptor;
}

static bool is_beyond_watchers(unsigned slot)
{
    return slot >= PARKED_WATCHERS_MAX && slot < SCOREBOARD_WORKERS_MAX;
}

static int watch_all(struct worker *worker)
{
    const struct worker_config *config = worker->config;
    if (watch(worker, config->files.signals, EPOLLIN) != 0)
        return -1;
    bool watches_parked = !config->is_acceptor && !is_beyond_watchers(worker->connections->slot);
    if (watches_parked && (watch(worker, worker->connections->ready, EPOLLIN) != 0 ||
                           watch(worker, worker->connections->waiting, EPOLLIN) != 0))
        return -1;
    if (config->is_acceptor && watch(worker, worker->connections->refused, EPOLLIN) != 0)
        return -1;
    if (config->httpd != NULL && watch(worker, config->httpd->events, EPOLLIN) != 0)
        return -1;
    /* Exclusive: one connection wakes one of the workers that wait, not all. */
    for (unsigned i = 0; i < config->listener_count && takes_new(config); i++) {
        if (watch(worker, config->listeners[i].fd, EPOLLIN | EPOLLEXCLUSIVE) != 0)
            return -1;
    }
    return 0;
}

static struct httpd_config httpd_config_of(const struct worker_config *config)
{
    return (struct httpd_config){
        .table = config->httpd,
        .app = config->exchange.app,
        .context = config->exchange.context,
        .slot = config->exchange.slot,
        .read_timeout_ns = config->exchange.read_timeout_ns,
        .write_timeout_ns = config->exchange.write_timeout_ns,
    };
}

static int open_all(struct worker *worker, const struct worker_config *config)
{
    signal(SIGPIPE, SIG_IGN);
    *worker = (struct worker){
        .config = config, .exchange_config = config->exchange, .connections = config->exchange.connections};
    worker->exchange_config.inbox = config->files.inbox;
    worker->exchange_config.outbox = config->files.outbox;
    worker->exchange_config.lookup = config->files.lookup;
    worker->exchange_config.order = config->order;
    worker->connections->is_opening = &config->exchange.slot->is_opening;
    worker->connections->short_count = &config->exchange.slot->refused[REFUSED_SHORT];
    const struct httpd_config httpd_config = httpd_config_of(config);
    if (exchange_open(&worker->exchange, &worker->exchange_config) != 0 ||
        httpd_open(&worker->httpd, &httpd_config) != 0 || watch_all(worker) != 0)
        return -1;
    const struct app *app = config->exchange.app;
    if (app->open != NULL && !config->is_acceptor && app->open(config->exchange.context) != 0)
        return -1;
    return confine_enter(config->confinement);
}

static enum slot_order order_of(const struct worker *worker)
{
    return (enum slot_order)atomic_load_explicit(worker->config->order, memory_order_acquire);
}

/* Mostly there is no descriptor left; a pause gives others the time to close some. */
static void pause_accepting(struct worker *worker, int error)
{
    static const struct log_event event = {.level = LOG_LEVEL_ERROR, .kind = LOG_ACCEPT};
    log_event(worker->config->exchange.log, &event, "cannot accept a connection: %s; trying again", strerror(error));
    poll(NULL, 0, ACCEPT_PAUSE_MS);
}

enum taking { TOOK_ONE, TOOK_NONE, TOOK_OTHER };

/* Deals with a connection that could not be accepted, or is not to be. */
static enum taking explain_failure(struct worker *worker, int error)
{
    if (error == EAGAIN || error == EINVAL)
        return TOOK_NONE;
    if (error == EPERM) {
        counter_add(&worker->config->exchange.slot->refused[REFUSED_PEER], 1);
        exchange_warn_of_peer(&worker->exchange, "its address is not among the allowed peers");
    } else if (error != ECONNABORTED && error != EINTR) {
        pause_accepting(worker, error);
    }
    return TOOK_OTHER;
}

/* Accepts a connection and holds it. TOOK_OTHER: there was one, but there is nothing to be done for it. */
static enum taking take_new(struct worker *worker, const struct listener *listener, int *connection)
{
    struct slot *slot = worker->config->exchange.slot;
    atomic_store(&slot->is_opening, 1);
    *connection = listener_accept(listener);
    int error = errno;
    bool is_held = *connection >= 0 && connections_hold(worker->connections, *connection, clock_now_ns());
    int reason = errno;
    atomic_store(&slot->is_opening, 0);
    if (*connection >= 0)
        counter_add(&slot->accepted, 1);
    if (is_held)
        return TOOK_ONE;
    if (*connection < 0)
        return explain_failure(worker, error);
    if (reason == EMFILE) {
        close(*connection);
        pause_accepting(worker, EMFILE);
    }
    return TOOK_OTHER;
}

/* Leaves a connection to whoever is free, behind those that came before it. */
static bool set_aside(struct worker *worker, int connection)
{
    connections_set_stage(worker->connections, connection, STAGE_WAITING);
    if (connections_park(worker->connections, connection, NO_DEADLINE, false) == 0) {
        counter_add(&worker->config->exchange.slot->set_aside, 1);
        return true;
    }
    connections_set_stage(worker->connections, connection, STAGE_RECEIVING);
    return false;
}

/* Goes on taking connections until it has the newest; the others wait. */
static int find_newest(struct worker *worker, const struct listener *listener, int connection)
{
    int next;
    for (int i = 0; i < BURST_MAX && !connections_are_short(worker->connections); i++) {
        if (take_new(worker, listener, &next) != TOOK_ONE)
            break;
        if (!set_aside(worker, connection))
            exchange_begin(&worker->exchange, connection);
        connection = next;
    }
    return connection;
}

/* Takes and serves a new connection; false where none waits. */
static bool serve_new(struct worker *worker, const struct listener *listener)
{
    int connection;
    enum taking taking = take_new(worker, listener, &connection);
    if (taking == TOOK_ONE && connections_serve_newest(worker->connections))
        connection = find_newest(worker, listener, connection);
    if (taking == TOOK_ONE)
        exchange_begin(&worker->exchange, connection);
    return taking != TOOK_NONE;
}

/* The acceptor's part: a place in the queue, or at once the word that there is none. */
static void admit(struct worker *worker, const struct listener *listener)
{
    int connection;
    if (take_new(worker, listener, &connection) != TOOK_ONE)
        return;
    if (connections_waiting(worker->connections) >= worker->config->queue_limit || !set_aside(worker, connection))
        exchange_refuse(&worker->exchange, connection);
}

static bool serve_waiting(struct worker *worker)
{
    bool has_left;
    int connection = connections_take_waiting(worker->connections, &has_left);
    if (connection >= 0 && has_left)
        exchange_abandon(&worker->exchange, connection);
    else if (connection >= 0)
        exchange_resume(&worker->exchange, connection);
    return connection >= 0;
}

static bool serve_parked(struct worker *worker)
{
    int connection = connections_take(worker->connections);
    if (connection >= 0)
        exchange_resume(&worker->exchange, connection);
    return connection >= 0;
}

static void serve_refused(struct worker *worker)
{
    int connection = connections_take_refused(worker->connections);
    if (connection >= 0)
        exchange_resume(&worker->exchange, connection);
}

/* A listener is ready. What waits came before it, and goes first; but not where the newest is to. */
static void serve_next(struct worker *worker, const struct listener *listener)
{
    if (worker->config->is_acceptor)
        admit(worker, listener);
    else if (connections_waiting(worker->connections) == 0 || connections_serve_newest(worker->connections) ||
             !serve_waiting(worker))
        serve_new(worker, listener);
}

static void serve_http(struct worker *worker)
{
    int error = httpd_work(&worker->httpd);
    if (error != 0)
        pause_accepting(worker, error);
}

static void read_signals(struct worker *worker)
{
    struct signalfd_siginfo info;
    while (read(worker->config->files.signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (worker->config->is_alone)
            atomic_store(worker->config->order, ORDER_DRAIN);
    }
}

static const struct listener *listener_of(const struct worker_config *config, int fd)
{
    for (unsigned i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].fd == fd)
            return &config->listeners[i];
    }
    return NULL;
}

/* Each in turn, so that nothing starves; but who waits comes after those that are new where the newest is to go first. */
static int choose(struct worker *worker, const struct epoll_event *ready, unsigned count)
{
    int chosen = ready[worker->turn++ % count].data.fd;
    if (chosen != worker->connections->waiting || !connections_serve_newest(worker->connections))
        return chosen;
    for (unsigned i = 0; i < count; i++) {
        if (listener_of(worker->config, ready[i].data.fd) != NULL)
            return ready[i].data.fd;
    }
    return chosen;
}

/* What the master does in a pool: gives up the peers whose time is over, and tells what the log has left out. */
static int sweep_alone(struct worker *worker, int timeout_ms)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t next_ns = log_tell_left_out(worker->config->exchange.log, now_ns);
    if (connections_left(worker->connections) > 0) {
        connections_sweep(worker->connections, now_ns);
        return SWEEP_STEP_MS;
    }
    return next_ns != UINT64_MAX ? clock_ms_until(next_ns, now_ns) : timeout_ms;
}

/* Does what is due. Returns for how long there may be nothing to do, at most timeout_ms; -1: no matter how long. */
static int sweep(struct worker *worker, int timeout_ms)
{
    const struct worker_config *config = worker->config;
    if (config->is_alone)
        return sweep_alone(worker, timeout_ms);
    if (config->httpd == NULL)
        return timeout_ms;
    uint64_t now_ns = clock_now_ns();
    uint64_t next_ns = httpd_sweep(&worker->httpd, now_ns);
    return next_ns != UINT64_MAX ? clock_ms_until(next_ns, now_ns) : timeout_ms;
}

static void work_on(struct worker *worker, int chosen)
{
    const struct worker_config *config = worker->config;
    const struct listener *listener = listener_of(config, chosen);
    if (listener != NULL)
        serve_next(worker, listener);
    else if (chosen == worker->connections->ready)
        serve_parked(worker);
    else if (chosen == worker->connections->waiting)
        serve_waiting(worker);
    else if (chosen == worker->connections->refused)
        serve_refused(worker);
    else if (config->httpd != NULL && chosen == config->httpd->events)
        serve_http(worker);
    else if (chosen == config->files.signals)
        read_signals(worker);
}

/* Waits for events and does what one of them asks for. */
static void wait_and_work(struct worker *worker, int timeout_ms)
{
    struct epoll_event ready[EVENTS_MAX];
    int count = epoll_wait(worker->config->files.events, ready, EVENTS_MAX, sweep(worker, timeout_ms));
    if (count > 0)
        work_on(worker, choose(worker, ready, (unsigned)count));
}

static bool has_reached_its_end(const struct worker *worker)
{
    return worker->exchange.is_broken ||
           (worker->config->max_requests > 0 && worker->exchange.served >= worker->config->max_requests);
}

static bool is_draining(const struct worker *worker, uint64_t deadline_ns)
{
    return order_of(worker) == ORDER_DRAIN && !has_reached_its_end(worker) && clock_now_ns() < deadline_ns;
}

/* A socket that outlives the pool is served by the next one; a worker alone does not know of any. */
static bool drains(const struct worker_config *config, const struct listener *listener)
{
    return config->is_alone || !listener->is_inherited;
}

/* What the pool has in hand goes before what is queued. False where nothing is there. */
static bool serve_any(struct worker *worker)
{
    const struct worker_config *config = worker->config;
    if (serve_parked(worker) || serve_waiting(worker))
        return true;
    for (unsigned i = 0; i < config->listener_count; i++) {
        if (drains(config, &config->listeners[i]) && serve_new(worker, &config->listeners[i]))
            return true;
    }
    return false;
}

/* Answers what was queued when the drain began, and what the pool holds; on a shut socket nothing can come after it. On one
 * that outlives us new connections may never end, so a worker without a master stops by itself. Returns false where it ran
 * out of time. */
static bool drain(struct worker *worker)
{
    const struct worker_config *config = worker->config;
    uint64_t deadline_ns = config->is_alone ? clock_now_ns() + config->drain_timeout_ns : UINT64_MAX;
    /* A shut socket is readable for ever. */
    for (unsigned i = 0; i < config->listener_count; i++)
        epoll_ctl(config->files.events, EPOLL_CTL_DEL, config->listeners[i].fd, NULL);
    /* The acceptor has left. */
    watch(worker, worker->connections->refused, EPOLLIN);
    if (is_draining(worker, deadline_ns))
        connections_hurry(worker->connections);
    while (is_draining(worker, deadline_ns)) {
        if (serve_any(worker))
            continue;
        if (connections_left(worker->connections) == 0)
            break;
        wait_and_work(worker, DRAIN_STEP_MS);
    }
    return clock_now_ns() < deadline_ns;
}

enum worker_exit worker_run(const struct worker_config *config)
{
    struct worker worker;
    if (open_all(&worker, config) != 0) {
        log_error(config->exchange.log, "a worker cannot start: %s", strerror(errno));
        return WORKER_FAILED;
    }
    slot_set_state(config->exchange.slot, SLOT_IDLE);
    while (order_of(&worker) == ORDER_SERVE && !has_reached_its_end(&worker)) {
        wait_and_work(&worker, -1);
        slot_set_state(config->exchange.slot, SLOT_IDLE);
    }
    bool has_drained = config->is_acceptor || drain(&worker);
    exchange_close(&worker.exchange);
    httpd_close(&worker.httpd);
    if (worker.exchange.is_broken)
        return WORKER_FAILED;
    if (!has_drained)
        return WORKER_CUT_SHORT;
    return has_reached_its_end(&worker) ? WORKER_MAX_REQUESTS : WORKER_LEFT;
}
