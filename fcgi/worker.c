#include "worker.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "inbox.h"
#include "request.h"

/* How long a peer that was turned away may take to hang up; nobody waits for it. */
#define LINGER_NS CLOCK_NS_PER_S
#define DRAIN_STEP_MS 50
#define SWEEP_STEP_MS 50
/* A request that was in hand when so many workers died is not tried again. */
#define DEATHS_MAX 2
/* How long the peer of a worker that died while answering may take to show that it has its answer. */
#define ANSWERED_MS 10
#define WARNING_INTERVAL_NS CLOCK_NS_PER_S
#define ACCEPT_PAUSE_MS 10

struct worker {
    const struct worker_config *config;
    struct inbox inbox;
    struct request request;
    struct app_response response;
    uint64_t served;
    uint64_t warned_ns;
    bool is_broken; /* libfcgi refused checked bytes: its state is not to be trusted */
};

int worker_open_files(struct worker_files *files, const struct record_limits *limits, bool is_alone)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    if (is_alone)
        sigaddset(&wanted, SIGINT);
    *files = (struct worker_files){
        .inbox = inbox_make_file(limits),
        .events = epoll_create1(EPOLL_CLOEXEC),
        .signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK),
    };
    if (files->inbox >= 0 && files->events >= 0 && files->signals >= 0)
        return 0;
    int saved_errno = errno;
    worker_close_files(files);
    errno = saved_errno;
    return -1;
}

void worker_close_files(struct worker_files *files)
{
    const int all[] = {files->inbox, files->events, files->signals};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] >= 0)
            close(all[i]);
    }
    *files = (struct worker_files){-1, -1, -1};
}

static int watch(const struct worker *worker, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(worker->config->files.events, EPOLL_CTL_ADD, fd, &event);
}

static int open_all(struct worker *worker)
{
    const struct worker_config *config = worker->config;
    signal(SIGPIPE, SIG_IGN);
    if (inbox_open(&worker->inbox, config->files.inbox, &config->limits, config->max_conns) != 0)
        return -1;
    worker->inbox.taken = &config->slot->taken;
    if (request_init(&worker->request, config->write_timeout_ns) != 0)
        return -1;
    if (watch(worker, config->files.signals, EPOLLIN) != 0 || watch(worker, config->connections->ready, EPOLLIN) != 0)
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

/* What peers do must not fill the log: a line a second and worker, the rest is in the metrics. */
static bool may_warn(struct worker *worker)
{
    uint64_t now_ns = clock_now_ns();
    if (worker->warned_ns != 0 && now_ns - worker->warned_ns < WARNING_INTERVAL_NS)
        return false;
    worker->warned_ns = now_ns;
    return true;
}

static void warn_of_peer(struct worker *worker, const char *what)
{
    if (may_warn(worker))
        log_warning(worker->config->log, "closed a connection without an answer: %s", what);
}

static void count_refused(struct worker *worker, enum refusal reason)
{
    counter_add(&worker->config->slot->refused[reason], 1);
}

static struct connection *entry_of(const struct worker *worker, int connection)
{
    return connections_at(worker->config->connections, connection);
}

static void set_stage(const struct worker *worker, int connection, enum connection_stage stage)
{
    atomic_store_explicit(&entry_of(worker, connection)->stage, (uint32_t)stage, memory_order_release);
}

static void drop(struct worker *worker, int connection)
{
    connections_drop(worker->config->connections, connection);
}

/* Leaves the connection to whoever is free when there is more to do for it. */
static void park(struct worker *worker, int connection, size_t length, uint64_t deadline_ns)
{
    if (connections_park(worker->config->connections, connection, worker->inbox.bytes, length, deadline_ns) == 0)
        return;
    log_error(worker->config->log, "cannot keep a connection that waits for its peer: %s; it is closed",
              strerror(errno));
    drop(worker, connection);
}

/* The peer has its answer, or none is due. What it still sends is read until it hangs up, but nobody waits for that. */
static void linger(struct worker *worker, int connection)
{
    struct connection *entry = entry_of(worker, connection);
    /* Counted from the first time: who goes on sending must not put it off. */
    uint64_t deadline_ns = clock_now_ns() + LINGER_NS;
    if (atomic_load(&entry->stage) == STAGE_LINGERING)
        deadline_ns = atomic_load(&entry->deadline_ns);
    set_stage(worker, connection, STAGE_LINGERING);
    shutdown(connection, SHUT_WR);
    if (inbox_drop_rest(&worker->inbox, connection) || clock_now_ns() >= deadline_ns)
        drop(worker, connection);
    else
        park(worker, connection, 0, deadline_ns);
}

static void count_answer(struct worker *worker, int connection, int status)
{
    uint64_t accepted_ns = atomic_load_explicit(&entry_of(worker, connection)->accepted_ns, memory_order_relaxed);
    slot_count_request(worker->config->slot, status, clock_now_ns() - accepted_ns);
    worker->served++;
}

static void refuse(struct worker *worker, int connection, int status, const char *detail)
{
    request_refuse(connection, worker->inbox.check.request_id, status, detail);
    count_answer(worker, connection, status);
    linger(worker, connection);
}

static void end_unserved(struct worker *worker, int connection, enum record_end_status status)
{
    uint8_t end[RECORD_END_SIZE];
    record_write_end(end, worker->inbox.check.request_id, status);
    if (send(connection, end, sizeof(end), MSG_NOSIGNAL) < 0)
        errno = 0;
    count_refused(worker, status == RECORD_UNKNOWN_ROLE ? REFUSED_BROKEN : REFUSED_ABORTED);
    linger(worker, connection);
}

/* A request that is whole but not to be served, or not a request. */
static void turn_away(struct worker *worker, int connection, enum record_verdict verdict)
{
    switch (verdict) {
    case RECORD_PARAMS_TOO_LARGE:
        refuse(worker, connection, 431, "The request's header is larger than this server takes.");
        break;
    case RECORD_BODY_TOO_LARGE:
        refuse(worker, connection, 413, "The request's body is larger than this server takes.");
        break;
    case RECORD_PARAMS_UNSAFE:
        refuse(worker, connection, 400, "The request has a NUL byte in its path or header.");
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
        drop(worker, connection);
        break;
    }
}

/* The client has given up: the web server has closed the connection, or passed the client's FIN on. A client that only
 * closes its sending side is taken for gone as well, as most web servers do. */
static bool is_gone(int connection)
{
    struct pollfd peer = {.fd = connection, .events = POLLRDHUP};
    return poll(&peer, 1, 0) == 1;
}

/* Nothing is computed. A web server that is still there gets an answer for its log rather than a broken connection. */
static void turn_away_gone(struct worker *worker, int connection)
{
    request_refuse(connection, worker->inbox.check.request_id, 503, "The client has left.");
    count_refused(worker, REFUSED_GONE);
    linger(worker, connection);
}

static bool may_be_repeated(const struct app_request *request)
{
    return strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
}

/* Lets the application answer; or answers for it where the request must not reach it (again). */
static void fill_response(struct worker *worker, int connection, struct app_response *response)
{
    const struct worker_config *config = worker->config;
    const struct app_request *request = &worker->request.app;
    uint32_t deaths = atomic_load(&entry_of(worker, connection)->deaths);
    if (deaths >= DEATHS_MAX) {
        log_error(config->log, "%s %.200s?%.200s was in hand when %u workers died; it is answered with 500",
                  request->method, request->path, request->query, deaths);
        app_problem(response, 500, "The workers that served this request died.", "");
    } else if (deaths > 0 && !may_be_repeated(request)) {
        log_error(config->log,
                  "%s %.200s was in hand when a worker died, and may not be repeated; it is answered with 500",
                  request->method, request->path);
        app_problem(response, 500, "The worker that served this request died.", "");
    } else if (request_is_truncated(&worker->request)) {
        app_problem(response, 400, "The request's body is shorter than its Content-Length.", "");
    } else {
        config->app->serve(config->context, request, response);
    }
}

static void serve(struct worker *worker, int connection)
{
    struct slot *slot = worker->config->slot;
    /* Before libfcgi: a request that brings down its parser counts as one that kills workers, too. */
    set_stage(worker, connection, STAGE_SERVING);
    if (request_parse(&worker->request, &worker->inbox, connection) != 0) {
        log_error(worker->config->log,
                  "libfcgi refused a request that was checked; this worker ends. Please report it");
        worker->is_broken = true;
        return;
    }
    atomic_store_explicit(&slot->busy_since_ns, clock_now_ns(), memory_order_relaxed);
    slot_set_state(slot, SLOT_BUSY);
    app_response_reset(&worker->response);
    fill_response(worker, connection, &worker->response);
    set_stage(worker, connection, STAGE_ANSWERING);
    request_answer(&worker->request, &worker->response);
    atomic_store_explicit(&slot->busy_since_ns, 0, memory_order_relaxed);
    count_answer(worker, connection, worker->response.status);
    drop(worker, connection);
}

/* Receives what is there of the request; serves it when it is whole. */
static void proceed(struct worker *worker, int connection)
{
    enum record_verdict verdict;
    uint64_t accepted_ns = atomic_load_explicit(&entry_of(worker, connection)->accepted_ns, memory_order_relaxed);
    slot_set_state(worker->config->slot, SLOT_READING);
    if (inbox_receive(&worker->inbox, connection, &verdict) != 0) {
        count_refused(worker, REFUSED_ABORTED);
        drop(worker, connection);
    } else if (verdict == RECORD_MORE) {
        park(worker, connection, worker->inbox.length, accepted_ns + worker->config->read_timeout_ns);
    } else if (verdict != RECORD_WHOLE) {
        turn_away(worker, connection, verdict);
    } else if (is_gone(connection)) {
        turn_away_gone(worker, connection);
    } else {
        serve(worker, connection);
    }
    inbox_shrink(&worker->inbox);
}

/* Whether the worker that died while it answered had sent the answer: it is one write, so all of it or nothing is out. It
 * lies unread in the peer's queue, or the peer has read it and hangs up in a moment, or asks for the next. */
static bool has_been_answered(int connection)
{
    int unread = 0;
    struct pollfd peer = {.fd = connection, .events = POLLIN | POLLRDHUP};
    return (ioctl(connection, SIOCOUTQ, &unread) == 0 && unread > 0) || poll(&peer, 1, ANSWERED_MS) == 1;
}

/* Goes on with a parked connection. */
static void resume(struct worker *worker, int connection)
{
    struct connection *entry = entry_of(worker, connection);
    enum connection_stage stage = (enum connection_stage)atomic_load(&entry->stage);
    if (stage == STAGE_LINGERING) {
        linger(worker, connection);
        return;
    }
    if (stage == STAGE_ANSWERING || stage == STAGE_UNSURE) {
        set_stage(worker, connection, STAGE_UNSURE);
        if (has_been_answered(connection)) {
            linger(worker, connection);
            return;
        }
    }
    if (inbox_resume(&worker->inbox, atomic_load(&entry->store), atomic_load(&entry->length)) != 0) {
        log_error(worker->config->log, "cannot read a parked request: %s; its connection is closed", strerror(errno));
        drop(worker, connection);
        return;
    }
    /* The whole request is in the store then; what lies in the socket is the same again, or nothing. */
    if (stage != STAGE_RECEIVING) {
        struct inbox scratch = worker->inbox;
        scratch.bytes += scratch.length;
        if (scratch.capacity - scratch.length >= INBOX_PIECE)
            inbox_drop_rest(&scratch, connection);
        /* Until it is with the application again, a death is not on its account. */
        set_stage(worker, connection, STAGE_RECEIVING);
    }
    proceed(worker, connection);
}

/* Mostly there is no descriptor left; a pause gives others the time to close some. */
static void pause_accepting(struct worker *worker, int error)
{
    if (may_warn(worker))
        log_error(worker->config->log, "cannot accept a connection: %s; trying again", strerror(error));
    poll(NULL, 0, ACCEPT_PAUSE_MS);
}

/* Takes and serves one connection; false where none waits. */
static bool take_connection(struct worker *worker, const struct listener *listener)
{
    struct slot *slot = worker->config->slot;
    /* Before it is held: who inherits it must not take the last request's bytes for this one's. */
    inbox_begin(&worker->inbox);
    atomic_store(&slot->is_accepting, 1);
    int connection = listener_accept(listener);
    int error = errno;
    bool is_held = connection >= 0 && connections_hold(worker->config->connections, connection, clock_now_ns());
    atomic_store(&slot->is_accepting, 0);
    if (is_held) {
        proceed(worker, connection);
        return true;
    }
    if (connection >= 0) {
        close(connection);
        pause_accepting(worker, EMFILE);
        return true;
    }
    if (error == EPERM) {
        count_refused(worker, REFUSED_PEER);
        warn_of_peer(worker, "its address is not among the allowed peers");
        return true;
    }
    if (error == EAGAIN || error == EINVAL)
        return false;
    if (error != ECONNABORTED && error != EINTR)
        pause_accepting(worker, error);
    return true;
}

static void read_signals(struct worker *worker)
{
    struct signalfd_siginfo info;
    while (read(worker->config->files.signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (worker->config->is_alone)
            atomic_store(worker->config->order, ORDER_DRAIN);
    }
}

static void take_parked(struct worker *worker)
{
    inbox_begin(&worker->inbox);
    int connection = connections_take(worker->config->connections);
    if (connection >= 0)
        resume(worker, connection);
}

/* Waits for one event and does what it asks for. */
static void wait_and_work(struct worker *worker, int timeout_ms)
{
    const struct worker_config *config = worker->config;
    struct epoll_event ready;
    /* In a pool the master gives up the connections whose time is over. */
    if (config->is_alone && connections_parked(config->connections) > 0) {
        connections_sweep(config->connections, clock_now_ns());
        timeout_ms = SWEEP_STEP_MS;
    }
    /* One event a call: epoll then hands out those that are ready in turn, and nothing starves. */
    if (epoll_wait(config->files.events, &ready, 1, timeout_ms) != 1)
        return;
    for (unsigned i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].fd == ready.data.fd)
            take_connection(worker, &config->listeners[i]);
    }
    if (ready.data.fd == config->connections->ready)
        take_parked(worker);
    else if (ready.data.fd == config->files.signals)
        read_signals(worker);
}

static bool has_reached_its_end(const struct worker *worker)
{
    return worker->is_broken || (worker->config->max_requests > 0 && worker->served >= worker->config->max_requests);
}

static bool is_draining(const struct worker *worker, uint64_t deadline_ns)
{
    return order_of(worker) == ORDER_DRAIN && !has_reached_its_end(worker) && clock_now_ns() < deadline_ns;
}

/* Answers what was queued when the drain began, and what is parked; on a shut socket nothing can come after it. On one
 * that outlives us new connections may never end, so a worker without a master stops by itself. Returns false where it ran
 * out of time. */
static bool drain(struct worker *worker)
{
    const struct worker_config *config = worker->config;
    uint64_t deadline_ns = config->is_alone ? clock_now_ns() + config->drain_timeout_ns : UINT64_MAX;
    for (unsigned i = 0; i < config->listener_count; i++) {
        while (is_draining(worker, deadline_ns) && take_connection(worker, &config->listeners[i]))
            ;
        /* A shut socket is readable for ever. */
        epoll_ctl(config->files.events, EPOLL_CTL_DEL, config->listeners[i].fd, NULL);
    }
    while (is_draining(worker, deadline_ns) && connections_parked(config->connections) > 0)
        wait_and_work(worker, DRAIN_STEP_MS);
    return clock_now_ns() < deadline_ns;
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
        wait_and_work(&worker, -1);
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
