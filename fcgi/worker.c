#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "inbox.h"
#include "request.h"

#define REFUSAL_LINGER_NS (250 * CLOCK_NS_PER_MS)
#define WARNING_INTERVAL_NS CLOCK_NS_PER_S
#define ACCEPT_PAUSE_MS 10

struct worker {
    const struct worker_config *config;
    struct inbox inbox;
    struct request request;
    struct app_response response;
    int events;  /* epoll: the listeners and the signals */
    int signals; /* signalfd */
    uint64_t served;
    uint64_t warned_ns;
    bool is_broken; /* libfcgi refused checked bytes: its state is not to be trusted */
};

static int watch(struct worker *worker, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(worker->events, EPOLL_CTL_ADD, fd, &event);
}

static int open_signals(const struct worker *worker)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    if (worker->config->is_alone)
        sigaddset(&wanted, SIGINT);
    return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int open_all(struct worker *worker)
{
    const struct worker_config *config = worker->config;
    signal(SIGPIPE, SIG_IGN);
    if (inbox_open(&worker->inbox, &config->limits, config->max_conns) != 0)
        return -1;
    if (request_init(&worker->request, config->write_timeout_ns) != 0)
        return -1;
    worker->events = epoll_create1(EPOLL_CLOEXEC);
    worker->signals = open_signals(worker);
    if (worker->events < 0 || worker->signals < 0 || watch(worker, worker->signals, EPOLLIN) != 0)
        return -1;
    /* Exclusive: one connection wakes one of the workers that wait, not all. */
    for (unsigned i = 0; i < config->listener_count; i++) {
        if (watch(worker, config->listeners[i].fd, EPOLLIN | EPOLLEXCLUSIVE) != 0)
            return -1;
    }
    return config->app->open != NULL ? config->app->open(config->context) : 0;
}

static enum slot_order order_of(const struct worker *worker)
{
    return (enum slot_order)atomic_load_explicit(worker->config->order, memory_order_acquire);
}

/* Bad peers must not fill the log: a warning a second and worker, the rest is in the metrics. */
static void warn_of_peer(struct worker *worker, const char *what)
{
    uint64_t now_ns = clock_now_ns();
    if (worker->warned_ns != 0 && now_ns - worker->warned_ns < WARNING_INTERVAL_NS)
        return;
    worker->warned_ns = now_ns;
    log_warning(worker->config->log, "closed a connection without an answer: %s", what);
}

static void count_refused(struct worker *worker, enum refusal reason)
{
    counter_add(&worker->config->slot->refused[reason], 1);
}

static void refuse(struct worker *worker, int connection, int status, const char *detail, uint64_t accepted_ns)
{
    request_refuse(connection, worker->inbox.check.request_id, status, detail);
    uint64_t now_ns = clock_now_ns();
    inbox_drop_rest(&worker->inbox, connection, now_ns + REFUSAL_LINGER_NS);
    slot_count_request(worker->config->slot, status, now_ns - accepted_ns);
}

static void end_unserved(struct worker *worker, int connection, enum record_end_status status)
{
    uint8_t end[RECORD_END_SIZE];
    record_write_end(end, worker->inbox.check.request_id, status);
    if (write(connection, end, sizeof(end)) < 0)
        errno = 0;
    inbox_drop_rest(&worker->inbox, connection, clock_now_ns() + REFUSAL_LINGER_NS);
    count_refused(worker, status == RECORD_UNKNOWN_ROLE ? REFUSED_BROKEN : REFUSED_ABORTED);
}

/* A request that is whole but not to be served, or not a request. */
static void turn_away(struct worker *worker, int connection, enum record_verdict verdict, uint64_t accepted_ns)
{
    switch (verdict) {
    case RECORD_PARAMS_TOO_LARGE:
        refuse(worker, connection, 431, "The request's header is larger than this server takes.", accepted_ns);
        break;
    case RECORD_BODY_TOO_LARGE:
        refuse(worker, connection, 413, "The request's body is larger than this server takes.", accepted_ns);
        break;
    case RECORD_PARAMS_UNSAFE:
        refuse(worker, connection, 400, "The request has a NUL byte in its path or header.", accepted_ns);
        break;
    case RECORD_OTHER_ROLE:
        end_unserved(worker, connection, RECORD_UNKNOWN_ROLE);
        break;
    case RECORD_ABORTED:
        end_unserved(worker, connection, RECORD_REQUEST_COMPLETE);
        break;
    default:
        count_refused(worker, REFUSED_BROKEN);
        warn_of_peer(worker, worker->inbox.check.broken);
        break;
    }
}

static void serve(struct worker *worker, int connection, uint64_t accepted_ns)
{
    const struct worker_config *config = worker->config;
    struct slot *slot = config->slot;
    if (request_parse(&worker->request, &worker->inbox, connection) != 0) {
        log_error(config->log, "libfcgi refused a request that was checked; this worker ends. Please report it");
        worker->is_broken = true;
        return;
    }
    atomic_store_explicit(&slot->busy_since_ns, clock_now_ns(), memory_order_relaxed);
    slot_set_state(slot, SLOT_BUSY);
    app_response_reset(&worker->response);
    if (request_is_truncated(&worker->request))
        app_problem(&worker->response, 400, "The request's body is shorter than its Content-Length.", "");
    else
        config->app->serve(config->context, &worker->request.app, &worker->response);
    request_answer(&worker->request, &worker->response);
    atomic_store_explicit(&slot->busy_since_ns, 0, memory_order_relaxed);
    slot_count_request(slot, worker->response.status, clock_now_ns() - accepted_ns);
}

static void handle(struct worker *worker, int connection)
{
    enum record_verdict verdict;
    uint64_t accepted_ns = clock_now_ns();
    slot_set_state(worker->config->slot, SLOT_READING);
    if (inbox_receive(&worker->inbox, connection, accepted_ns + worker->config->read_timeout_ns, &verdict) != 0) {
        count_refused(worker, errno == ETIMEDOUT ? REFUSED_TIMEOUT : REFUSED_ABORTED);
        if (errno == ETIMEDOUT)
            warn_of_peer(worker, "its request was not complete within --read-timeout");
    } else if (verdict == RECORD_WHOLE) {
        serve(worker, connection, accepted_ns);
    } else {
        turn_away(worker, connection, verdict, accepted_ns);
    }
    /* libfcgi closes its descriptor itself where it fails. */
    if (!worker->is_broken)
        close(connection);
    inbox_shrink(&worker->inbox);
    worker->served++;
}

/* Takes and serves one connection; false where none waits. */
static bool take_connection(struct worker *worker, const struct listener *listener)
{
    int connection = listener_accept(listener);
    if (connection >= 0) {
        handle(worker, connection);
        return true;
    }
    if (errno == EPERM) {
        count_refused(worker, REFUSED_PEER);
        warn_of_peer(worker, "its address is not among the allowed peers");
        return true;
    }
    if (errno == EAGAIN || errno == EINVAL)
        return false;
    if (errno != ECONNABORTED && errno != EINTR) {
        log_error(worker->config->log, "cannot accept a connection: %s; trying again", strerror(errno));
        poll(NULL, 0, ACCEPT_PAUSE_MS);
    }
    return true;
}

static void read_signals(struct worker *worker)
{
    struct signalfd_siginfo info;
    while (read(worker->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (worker->config->is_alone)
            atomic_store(worker->config->order, ORDER_DRAIN);
    }
}

/* Waits for a connection or a signal; returns the listener that may have a connection, or NULL. */
static const struct listener *wait_for_work(struct worker *worker)
{
    struct epoll_event ready;
    /* One event a call: epoll then hands out those that are ready in turn, and no listener's queue starves. */
    if (epoll_wait(worker->events, &ready, 1, -1) != 1)
        return NULL;
    for (unsigned i = 0; i < worker->config->listener_count; i++) {
        if (worker->config->listeners[i].fd == ready.data.fd)
            return &worker->config->listeners[i];
    }
    read_signals(worker);
    return NULL;
}

static bool has_reached_its_end(const struct worker *worker)
{
    return worker->is_broken || (worker->config->max_requests > 0 && worker->served >= worker->config->max_requests);
}

/* Answers what was queued when the drain began; on a shut socket nothing can come after it. On one that outlives us new
 * connections may never end, so a worker without a master stops by itself. Returns false where it ran out of time. */
static bool drain(struct worker *worker)
{
    const struct worker_config *config = worker->config;
    uint64_t deadline_ns = config->is_alone ? clock_now_ns() + config->drain_timeout_ns : UINT64_MAX;
    for (unsigned i = 0; i < config->listener_count; i++) {
        while (order_of(worker) == ORDER_DRAIN && !has_reached_its_end(worker)) {
            if (clock_now_ns() >= deadline_ns)
                return false;
            if (!take_connection(worker, &config->listeners[i]))
                break;
        }
    }
    return true;
}

enum worker_exit worker_run(const struct worker_config *config)
{
    struct worker worker = {.config = config};
    if (open_all(&worker) != 0) {
        log_error(config->log, "a worker cannot start: %s", strerror(errno));
        return WORKER_FAILED;
    }
    slot_set_state(config->slot, SLOT_IDLE);
    while (order_of(&worker) == ORDER_SERVE && !has_reached_its_end(&worker)) {
        const struct listener *listener = wait_for_work(&worker);
        if (listener != NULL)
            take_connection(&worker, listener);
        slot_set_state(config->slot, SLOT_IDLE);
    }
    bool has_drained = drain(&worker);
    app_response_free(&worker.response);
    if (worker.is_broken)
        return WORKER_FAILED;
    if (!has_drained)
        return WORKER_CUT_SHORT;
    return has_reached_its_end(&worker) ? WORKER_MAX_REQUESTS : WORKER_LEFT;
}
