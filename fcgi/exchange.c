#include "exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "outbox.h"

/* How long a peer that was turned away may take to hang up; nobody waits for it. */
#define LINGER_NS CLOCK_NS_PER_S
/* A request that was in hand when so many workers died is not tried again. */
#define DEATHS_MAX 2
/* How long the peer of a worker that died while answering may take to show that it has its answer. */
#define ANSWERED_MS 10
/* Of so many requests one has its client looked at, at two system calls; all of them while clients leave. */
#define WATCH_EVERY 16
/* A reader has its write timeout for so much of an answer. */
#define ANSWER_PIECE ((uint64_t)64 * 1024)
/* What of a path or a query is in a message. */
#define WORD_MAX 208

/* The header field's name as CGI has it. */
#define TRACEPARENT "HTTP_TRACEPARENT"

static const struct log_event request_event = {.level = LOG_LEVEL_ERROR, .kind = LOG_REQUEST};

int exchange_open(struct exchange *exchange, const struct exchange_config *config)
{
    *exchange = (struct exchange){.config = config, .access = {.config = config->access}};
    if (inbox_open(&exchange->inbox, config->inbox, &config->limits, config->max_conns) != 0)
        return -1;
    return request_init(&exchange->request);
}

void exchange_close(struct exchange *exchange)
{
    app_response_free(&exchange->response);
}

void exchange_warn_of_peer(struct exchange *exchange, const char *what)
{
    static const struct log_event event = {.level = LOG_LEVEL_WARNING, .kind = LOG_PEER};
    log_event(exchange->config->log, &event, "closed a connection without an answer: %s", what);
}

static void count_refused(struct exchange *exchange, enum refusal reason)
{
    counter_add(&exchange->config->slot->refused[reason], 1);
}

static struct connection *entry_of(const struct exchange *exchange, int connection)
{
    return connections_at(exchange->config->connections, connection);
}

static void set_stage(const struct exchange *exchange, int connection, enum connection_stage stage)
{
    connections_set_stage(exchange->config->connections, connection, stage);
}

static void drop(struct exchange *exchange, int connection)
{
    connections_drop(exchange->config->connections, connection);
}

static bool is_draining(const struct exchange *exchange)
{
    return atomic_load_explicit(exchange->config->order, memory_order_relaxed) == ORDER_DRAIN;
}

/* Too many descriptors or bytes are with peers that keep us waiting: this one has to go. */
static void give_up(struct exchange *exchange, int connection, const char *why)
{
    count_refused(exchange, REFUSED_SHORT);
    exchange_warn_of_peer(exchange, why);
    drop(exchange, connection);
}

static void park(struct exchange *exchange, int connection, uint64_t deadline_ns, bool is_urgent)
{
    if (connections_park(exchange->config->connections, connection, deadline_ns, is_urgent) != 0)
        give_up(exchange, connection, "its peer keeps us waiting, and descriptors are short");
}

/* Gives a memory file to a connection, as its store or answer. Noted before anything else can happen to it, or found by the
 * master if not. */
static bool give_file(struct exchange *exchange, int connection, _Atomic int32_t *place, int file, uint64_t bytes)
{
    if (file < 0 || !connections_keep(exchange->config->connections, connection, bytes)) {
        if (file >= 0)
            close(file);
        return false;
    }
    atomic_store(place, file);
    return true;
}

static void begin_opening(const struct exchange *exchange)
{
    atomic_store(exchange->config->connections->is_opening, 1);
}

static void end_opening(const struct exchange *exchange)
{
    atomic_store(exchange->config->connections->is_opening, 0);
}

/* Puts what the inbox holds where it outlives the next request. */
static bool store(struct exchange *exchange, int connection)
{
    struct connection *entry = entry_of(exchange, connection);
    const struct inbox *inbox = &exchange->inbox;
    uint64_t counted = atomic_load(&entry->kept_bytes);
    if (atomic_load(&entry->store) != 0)
        return inbox->length <= counted ||
               connections_keep(exchange->config->connections, connection, inbox->length - counted);
    if (inbox->length == 0)
        return true;
    begin_opening(exchange);
    bool is_stored = give_file(exchange, connection, &entry->store, inbox_copy(inbox), inbox->length);
    end_opening(exchange);
    return is_stored;
}

/* Parks a connection with what has come of its request. */
static void park_request(struct exchange *exchange, int connection, uint64_t deadline_ns, bool is_urgent)
{
    struct connection *entry = entry_of(exchange, connection);
    if (!store(exchange, connection)) {
        give_up(exchange, connection, "its peer keeps us waiting, and there is no room to keep what it has sent");
        return;
    }
    entry->check = exchange->inbox.check;
    /* In this order also for who comes after a death. */
    atomic_signal_fence(memory_order_release);
    entry->is_checked = exchange->inbox.length > 0;
    park(exchange, connection, deadline_ns, is_urgent);
}

/* The peer has its answer, or none is due. What it still sends is read until it hangs up, but nobody waits for that. */
static void linger(struct exchange *exchange, int connection)
{
    struct connection *entry = entry_of(exchange, connection);
    /* Counted from the first time: who goes on sending must not put it off. */
    uint64_t deadline_ns = clock_now_ns() + LINGER_NS;
    if (atomic_load(&entry->stage) == STAGE_LINGERING)
        deadline_ns = atomic_load(&entry->deadline_ns);
    set_stage(exchange, connection, STAGE_LINGERING);
    shutdown(connection, SHUT_WR);
    if (inbox_drop_rest(&exchange->inbox, connection) || clock_now_ns() >= deadline_ns ||
        connections_park(exchange->config->connections, connection, deadline_ns, false) != 0)
        drop(exchange, connection);
}

/* Since its connection was accepted, or the first byte of a further request came. */
static uint64_t duration_of(const struct exchange *exchange, int connection, uint64_t now_ns)
{
    return now_ns - atomic_load_explicit(&entry_of(exchange, connection)->began_ns, memory_order_relaxed);
}

static void count_answer(struct exchange *exchange, int status, uint64_t duration_ns)
{
    slot_count_request(exchange->config->slot, status, duration_ns);
    exchange->served++;
}

static void serve(struct exchange *exchange, int connection);

/* Receives what is there of a next request. False where the web server has closed the connection, which is its right. */
static bool receive_next(struct exchange *exchange, int connection, enum record_verdict *verdict)
{
    return inbox_receive(&exchange->inbox, connection, false, verdict) == 0;
}

/* Nothing has come, and a drain has begun: from now on nothing can, and what came until now is there to be read. */
static void end_idle(struct exchange *exchange, int connection)
{
    enum record_verdict verdict;
    shutdown(connection, SHUT_RD);
    if (receive_next(exchange, connection, &verdict) && verdict == RECORD_WHOLE)
        serve(exchange, connection);
    else
        drop(exchange, connection);
}

/* Keeps a connection for the next request; what has come of that already is in the inbox. */
static void keep(struct exchange *exchange, int connection)
{
    struct connections *connections = exchange->config->connections;
    struct connection *entry = entry_of(exchange, connection);
    uint64_t now_ns = clock_now_ns();
    inbox_next(&exchange->inbox);
    connections_keep_nothing(connections, connection);
    atomic_store(&entry->deaths, 0);
    if (exchange->inbox.length > 0) {
        /* Behind those who have waited longer. */
        atomic_store(&entry->began_ns, now_ns);
        set_stage(exchange, connection, STAGE_RECEIVING);
        park_request(exchange, connection, now_ns + exchange->config->read_timeout_ns, true);
        return;
    }
    connections_close_file(connections, &entry->store);
    set_stage(exchange, connection, STAGE_IDLE);
    if (is_draining(exchange))
        end_idle(exchange, connection);
    else if (connections_park(connections, connection, now_ns + exchange->config->idle_timeout_ns, false) != 0)
        drop(exchange, connection);
}

/* All of the answer is out. */
static void conclude(struct exchange *exchange, int connection)
{
    struct connection *entry = entry_of(exchange, connection);
    set_stage(exchange, connection, STAGE_ANSWERED);
    switch ((enum connection_after)atomic_load_explicit(&entry->after, memory_order_relaxed)) {
    case AFTER_CLOSE:
        drop(exchange, connection);
        break;
    case AFTER_KEEP:
        connections_close_file(exchange->config->connections, &entry->answer);
        keep(exchange, connection);
        break;
    case AFTER_LINGER:
        linger(exchange, connection);
        break;
    }
}

/* Parks a connection whose answer is on its way, with the answer, and what has come of the next request. */
static void park_answer(struct exchange *exchange, int connection, int file, uint64_t deadline_ns)
{
    struct connection *entry = entry_of(exchange, connection);
    uint64_t length = atomic_load(&entry->answer_length);
    bool is_stored = store(exchange, connection);
    if (is_stored && atomic_load(&entry->answer) == 0) {
        begin_opening(exchange);
        is_stored = give_file(exchange, connection, &entry->answer, outbox_copy(file, length), length);
        end_opening(exchange);
    }
    if (is_stored)
        park(exchange, connection, deadline_ns, false);
    else
        give_up(exchange, connection, "its peer does not read its answer, and there is no room to keep it");
}

/* Sends on; parks the connection where its peer does not read as fast. */
static void send_on(struct exchange *exchange, int connection, int file, uint64_t deadline_ns)
{
    uint64_t pieces = outbox_sent(file) / ANSWER_PIECE;
    switch (outbox_send(file, connection, atomic_load(&entry_of(exchange, connection)->answer_length))) {
    case OUTBOX_SENT:
        conclude(exchange, connection);
        break;
    case OUTBOX_FAILED:
        count_refused(exchange, REFUSED_ABORTED);
        drop(exchange, connection);
        break;
    case OUTBOX_MORE:
        if (outbox_sent(file) / ANSWER_PIECE > pieces)
            deadline_ns = clock_now_ns() + exchange->config->write_timeout_ns;
        park_answer(exchange, connection, file, deadline_ns);
        break;
    }
}

/* Sends length bytes out of the outbox as the answer to the request in hand; a length below 0: they could not be written. Whoever
 * goes on after a death sends the rest and nothing twice, which on a kept connection would be taken for the next answer. */
static void send_file(struct exchange *exchange, int connection, int64_t length)
{
    struct connection *entry = entry_of(exchange, connection);
    if (length < 0) {
        log_event(exchange->config->log, &request_event, "no memory for an answer; its connection is closed");
        drop(exchange, connection);
        return;
    }
    atomic_store(&entry->answer_length, (uint64_t)length);
    atomic_store(&entry->end, inbox_end(&exchange->inbox));
    set_stage(exchange, connection, STAGE_SENDING);
    inbox_next(&exchange->inbox);
    send_on(exchange, connection, exchange->config->outbox, clock_now_ns() + exchange->config->write_timeout_ns);
}

/* Answers a request that libfcgi has not seen. */
static void reply(struct exchange *exchange, int connection, const uint8_t *bytes, size_t length,
                  enum connection_after after)
{
    int file = exchange->config->outbox;
    if (exchange->inbox.check.keep_connection) {
        atomic_store(&entry_of(exchange, connection)->after, after);
        bool is_written = outbox_begin(file) == 0 && write(file, bytes, length) == (ssize_t)length;
        send_file(exchange, connection, is_written ? outbox_finish(file) : -1);
        return;
    }
    if (send(connection, bytes, length, MSG_NOSIGNAL) < 0)
        errno = 0;
    if (after != AFTER_CLOSE) {
        linger(exchange, connection);
        return;
    }
    /* What is left unread when a socket is closed can cost its peer the answer. */
    inbox_drop_rest(&exchange->inbox, connection);
    drop(exchange, connection);
}

static void refuse(struct exchange *exchange, int connection, int status, const char *detail)
{
    uint8_t refusal[REQUEST_REFUSAL_MAX];
    size_t length = request_write_refusal(refusal, exchange->inbox.check.request_id, status, detail);
    const struct access_request what = {.status = status,
                                        .duration_ns = duration_of(exchange, connection, clock_now_ns()),
                                        .worker = exchange->config->connections->slot + 1};
    count_answer(exchange, status, what.duration_ns);
    access_note(&exchange->access, &what);
    access_write(&exchange->access);
    reply(exchange, connection, refusal, length, AFTER_LINGER);
}

static void end_unserved(struct exchange *exchange, int connection, enum record_end_status status,
                         enum connection_after after)
{
    uint8_t end[RECORD_END_SIZE];
    record_write_end(end, exchange->inbox.check.request_id, status);
    count_refused(exchange, status == RECORD_UNKNOWN_ROLE ? REFUSED_BROKEN : REFUSED_ABORTED);
    reply(exchange, connection, end, sizeof(end), after);
}

/* The web server goes on using the connection on which it gave up one request. */
static void end_aborted(struct exchange *exchange, int connection)
{
    end_unserved(exchange, connection, RECORD_REQUEST_COMPLETE, AFTER_KEEP);
}

/* A request that is whole but not to be served, or not a request. */
static void turn_away(struct exchange *exchange, int connection, enum record_verdict verdict)
{
    switch (verdict) {
    case RECORD_PARAMS_TOO_LARGE:
        refuse(exchange, connection, 431, "The request's header is larger than this server takes.");
        break;
    case RECORD_BODY_TOO_LARGE:
        refuse(exchange, connection, 413, "The request's body is larger than this server takes.");
        break;
    case RECORD_PARAMS_UNSAFE:
        refuse(exchange, connection, 400, "The request has a NUL byte in its path or header.");
        break;
    case RECORD_OTHER_ROLE:
        end_unserved(exchange, connection, RECORD_UNKNOWN_ROLE, AFTER_LINGER);
        break;
    case RECORD_ABORTED:
        end_aborted(exchange, connection);
        break;
    default:
        count_refused(exchange, REFUSED_BROKEN);
        exchange_warn_of_peer(exchange, exchange->inbox.check.broken);
        drop(exchange, connection);
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
static void turn_away_gone(struct exchange *exchange, int connection, enum connection_after after)
{
    uint8_t refusal[REQUEST_REFUSAL_MAX];
    size_t length = request_write_refusal(refusal, exchange->inbox.check.request_id, 503, "The client has left.");
    connections_note_gone(exchange->config->connections);
    count_refused(exchange, REFUSED_GONE);
    reply(exchange, connection, refusal, length, after);
}

/* The web server is still there, but whom it asks for may have left without its noticing. */
static bool has_client_left(struct exchange *exchange)
{
    const struct request *request = &exchange->request;
    if (exchange->config->lookup < 0 ||
        (!connections_some_left(exchange->config->connections) && ++exchange->unwatched < WATCH_EVERY))
        return false;
    exchange->unwatched = 0;
    struct client_ends ends = {
        .remote_address = request_variable(request, "REMOTE_ADDR"),
        .remote_port = request_variable(request, "REMOTE_PORT"),
        .server_address = request_variable(request, "SERVER_ADDR"),
        .server_port = request_variable(request, "SERVER_PORT"),
    };
    return client_has_left(exchange->config->lookup, &ends);
}

static bool may_be_repeated(const struct app_request *request)
{
    return strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
}

/* A request that has brought down whoever served it, or cannot be repeated. */
static void log_deaths(const struct exchange *exchange, uint32_t deaths)
{
    char method[WORD_MAX / 4], path[WORD_MAX], query[WORD_MAX];
    struct trace trace;
    struct log_event event = request_event;
    const struct app_request *request = &exchange->request.app;
    if (trace_read(&trace, request_variable(&exchange->request, TRACEPARENT)))
        event.trace = &trace;
    line_quote_word(method, sizeof(method), request->method);
    line_quote_word(path, sizeof(path), request->path);
    line_quote_word(query, sizeof(query), request->query);
    if (deaths >= DEATHS_MAX)
        log_event(exchange->config->log, &event, "%s %s?%s was in hand when %u workers died; it is answered with 500",
                  method, path, query, deaths);
    else
        log_event(exchange->config->log, &event,
                  "%s %s was in hand when a worker died, and may not be repeated; it is answered with 500", method,
                  path);
}

/* Lets the application answer; or answers for it where the request must not reach it (again). */
static void fill_response(struct exchange *exchange, int connection, struct app_response *response)
{
    const struct exchange_config *config = exchange->config;
    const struct app_request *request = &exchange->request.app;
    uint32_t deaths = atomic_load(&entry_of(exchange, connection)->deaths);
    if (deaths >= DEATHS_MAX) {
        log_deaths(exchange, deaths);
        app_problem(response, 500, "The workers that served this request died.", "");
    } else if (deaths > 0 && !may_be_repeated(request)) {
        log_deaths(exchange, deaths);
        app_problem(response, 500, "The worker that served this request died.", "");
    } else if (request_is_truncated(&exchange->request)) {
        app_problem(response, 400, "The request's body is shorter than its Content-Length.", "");
    } else {
        config->app->serve(config->context, request, response);
    }
}

/* The application's time, and all from the first byte on, in milliseconds (Server-Timing §3). Where the application has filled the
 * headers' room there is none. */
static void add_timing(struct app_response *response, uint64_t app_ns, uint64_t total_ns)
{
    char value[80];
    uint64_t app_us = app_ns / CLOCK_NS_PER_US, total_us = total_ns / CLOCK_NS_PER_US;
    snprintf(value, sizeof(value), "app;dur=%" PRIu64 ".%03u, total;dur=%" PRIu64 ".%03u", app_us / 1000,
             (unsigned)(app_us % 1000), total_us / 1000, (unsigned)(total_us % 1000));
    app_add_header(response, "Server-Timing", value);
}

/* Gets the request's line for the log ready, while libfcgi still has the request. */
static void note_access(struct exchange *exchange, uint64_t app_ns, uint64_t duration_ns)
{
    const struct request *request = &exchange->request;
    const struct app_response *response = &exchange->response;
    const struct access_request what = {
        .method = request->app.method,
        .path = request->app.path,
        .query = request->app.query,
        .client = request_variable(request, "REMOTE_ADDR"),
        .traceparent = request_variable(request, TRACEPARENT),
        .status = response->status,
        .bytes = request_sends_body(&request->app, response) ? response->body_length : 0,
        .duration_ns = duration_ns,
        .app_ns = app_ns,
        .worker = exchange->config->connections->slot + 1,
    };
    access_note(&exchange->access, &what);
}

static void answer(struct exchange *exchange, int connection)
{
    struct request *request = &exchange->request;
    int file = exchange->config->outbox;
    int64_t length = -1;
    connections_note_served(exchange->config->connections);
    /* Straight from the socket, so this is all that is ever sent on the connection: see has_been_answered. */
    if (exchange->inbox.source == connection && request_fits_one_write(request, &exchange->response)) {
        set_stage(exchange, connection, STAGE_ANSWERING);
        request_answer(request, &exchange->response, connection);
        access_write(&exchange->access);
        conclude(exchange, connection);
        return;
    }
    if (outbox_begin(file) != 0)
        request_abandon(request);
    else if (request_answer(request, &exchange->response, file) == 0)
        length = outbox_finish(file);
    access_write(&exchange->access);
    send_file(exchange, connection, length);
}

/* libfcgi has closed the memory file that it was reading from, and its number may be another's by now. The bytes are still
 * mapped: they go into a new file, for whoever serves the request after us. */
static void replace_source(struct exchange *exchange, int connection)
{
    struct connection *entry = entry_of(exchange, connection);
    const struct inbox *inbox = &exchange->inbox;
    bool is_own = inbox->source == inbox->own;
    if (is_own)
        atomic_store(&exchange->config->slot->is_inbox_closed, 1);
    else
        atomic_store(&entry->store, 0);
    begin_opening(exchange);
    bool is_stored = give_file(exchange, connection, &entry->store, inbox_copy(inbox), is_own ? inbox->length : 0);
    end_opening(exchange);
    if (is_stored)
        set_stage(exchange, connection, STAGE_RECEIVING);
    else
        drop(exchange, connection);
}

/* Bytes that were checked could not be read. This worker ends, and another one serves the request. */
static void fail_to_parse(struct exchange *exchange, int connection, int error)
{
    log_event(exchange->config->log, &request_event,
              "libfcgi cannot read a request that was checked (%s); this worker ends", strerror(error));
    exchange->is_broken = true;
    if (error == EPROTO && exchange->inbox.source == connection)
        connections_forget(exchange->config->connections, connection);
    else if (error == EPROTO)
        replace_source(exchange, connection);
}

/* Says of a request that is about to be answered how long it took: in the counters, to its client, in the log. */
static void account(struct exchange *exchange, int connection, uint64_t busy_since_ns)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t duration_ns = duration_of(exchange, connection, now_ns);
    count_answer(exchange, exchange->response.status, duration_ns);
    if (exchange->config->tells_timing)
        add_timing(&exchange->response, now_ns - busy_since_ns, duration_ns);
    if (exchange->config->access != NULL)
        note_access(exchange, now_ns - busy_since_ns, duration_ns);
}

static void serve(struct exchange *exchange, int connection)
{
    struct slot *slot = exchange->config->slot;
    struct connection *entry = entry_of(exchange, connection);
    enum connection_after after = exchange->inbox.check.keep_connection ? AFTER_KEEP : AFTER_CLOSE;
    atomic_store_explicit(&entry->after, after, memory_order_relaxed);
    /* Before libfcgi: a request that brings down its parser counts as one that kills workers, too. */
    set_stage(exchange, connection, STAGE_SERVING);
    inbox_commit(&exchange->inbox);
    if (request_parse(&exchange->request, &exchange->inbox) != 0) {
        fail_to_parse(exchange, connection, errno);
        return;
    }
    if (has_client_left(exchange)) {
        request_abandon(&exchange->request);
        turn_away_gone(exchange, connection, after);
        return;
    }
    uint64_t busy_since_ns = clock_now_ns();
    atomic_store_explicit(&slot->busy_since_ns, busy_since_ns, memory_order_relaxed);
    slot_set_state(slot, SLOT_BUSY);
    app_response_reset(&exchange->response);
    fill_response(exchange, connection, &exchange->response);
    atomic_store_explicit(&slot->busy_since_ns, 0, memory_order_relaxed);
    account(exchange, connection, busy_since_ns);
    answer(exchange, connection);
}

static void take_up(struct exchange *exchange, int connection, enum record_verdict verdict)
{
    const struct inbox *inbox = &exchange->inbox;
    const struct connection *entry = entry_of(exchange, connection);
    uint64_t began_ns = atomic_load_explicit(&entry->began_ns, memory_order_relaxed);
    /* What came behind a request was none. An ABORT_REQUEST for a whole one is such: HAProxy sends it for each request in
     * flight when it is told to stop, though its clients still wait, and for nobody who has left (24-haproxy.bats). */
    if (verdict == RECORD_MORE && inbox->length == 0 && atomic_load(&entry->after) == AFTER_KEEP)
        keep(exchange, connection);
    else if (verdict == RECORD_MORE)
        park_request(exchange, connection, began_ns + exchange->config->read_timeout_ns, false);
    else if (verdict != RECORD_WHOLE)
        turn_away(exchange, connection, verdict);
    else
        serve(exchange, connection);
}

/* Receives what is there of the request; serves it when it is whole and its client is still there. */
static void proceed(struct exchange *exchange, int connection, bool is_first)
{
    enum record_verdict verdict;
    slot_set_state(exchange->config->slot, SLOT_READING);
    if (inbox_receive(&exchange->inbox, connection, is_first, &verdict) != 0) {
        count_refused(exchange, REFUSED_ABORTED);
        drop(exchange, connection);
    } else if (verdict == RECORD_WHOLE && is_gone(connection)) {
        turn_away_gone(exchange, connection, AFTER_LINGER);
    } else {
        take_up(exchange, connection, verdict);
    }
}

void exchange_begin(struct exchange *exchange, int connection)
{
    struct connection *entry = entry_of(exchange, connection);
    inbox_begin(&exchange->inbox, &entry->taken, &entry->start);
    proceed(exchange, connection, true);
    inbox_leave(&exchange->inbox);
}

/* Something has come on a kept connection, or a drain has begun. */
static void wake(struct exchange *exchange, int connection)
{
    struct connection *entry = entry_of(exchange, connection);
    enum record_verdict verdict;
    atomic_store(&entry->began_ns, clock_now_ns());
    if (!receive_next(exchange, connection, &verdict)) {
        drop(exchange, connection);
    } else if (exchange->inbox.length > 0) {
        set_stage(exchange, connection, STAGE_RECEIVING);
        if (verdict == RECORD_WHOLE && is_gone(connection))
            turn_away_gone(exchange, connection, AFTER_LINGER);
        else
            take_up(exchange, connection, verdict);
    } else if (is_draining(exchange)) {
        end_idle(exchange, connection);
    } else {
        park(exchange, connection, atomic_load(&entry->deadline_ns), false);
    }
}

/* Whether the worker that died while it answered had sent the answer: it is one write, so all of it or nothing is out. It
 * lies unread in the peer's queue, or the peer has read it and hangs up in a moment. */
static bool has_been_answered(int connection)
{
    int unread = 0;
    struct pollfd peer = {.fd = connection, .events = POLLIN | POLLRDHUP};
    return (ioctl(connection, SIOCOUTQ, &unread) == 0 && unread > 0) || poll(&peer, 1, ANSWERED_MS) == 1;
}

/* Takes up the request that a worker had in hand when it died. */
static void repeat(struct exchange *exchange, int connection)
{
    const struct connection *entry = entry_of(exchange, connection);
    /* If the whole request is in the store, what lies in the socket is the same again, or nothing. */
    if (exchange->inbox.length > 0 && atomic_load(&entry->after) != AFTER_KEEP)
        inbox_drop_rest(&exchange->inbox, connection);
    /* Until it is with the application again, a death is not on its account. */
    set_stage(exchange, connection, STAGE_RECEIVING);
    proceed(exchange, connection, false);
}

/* Goes on where the answer may be out, or is. */
static void resume_answer(struct exchange *exchange, int connection, enum connection_stage stage)
{
    struct connection *entry = entry_of(exchange, connection);
    switch (stage) {
    case STAGE_SENDING:
        inbox_drop_to(&exchange->inbox, (size_t)atomic_load(&entry->end));
        send_on(exchange, connection, atomic_load(&entry->answer), atomic_load(&entry->deadline_ns));
        break;
    case STAGE_ANSWERED:
        conclude(exchange, connection);
        break;
    case STAGE_LINGERING:
        linger(exchange, connection);
        break;
    default:
        set_stage(exchange, connection, STAGE_UNSURE);
        if (has_been_answered(connection))
            linger(exchange, connection);
        else
            repeat(exchange, connection);
        break;
    }
}

/* There is no place in the queue. The word that there is none is an answer, and needs the request. */
static void refuse_for_want_of_room(struct exchange *exchange, int connection, bool is_first)
{
    enum record_verdict verdict;
    uint64_t began_ns = atomic_load(&entry_of(exchange, connection)->began_ns);
    if (inbox_receive(&exchange->inbox, connection, is_first, &verdict) != 0)
        drop(exchange, connection);
    else if (verdict == RECORD_WHOLE)
        refuse(exchange, connection, 503, "Too many requests are waiting; try again in a moment.");
    else if (verdict == RECORD_MORE)
        park_request(exchange, connection, began_ns + exchange->config->read_timeout_ns, false);
    else
        turn_away(exchange, connection, verdict);
}

/* Its time in the pool's own queue is over, and that of its request begins. */
static void count_wait(const struct exchange *exchange, int connection)
{
    struct connection *entry = entry_of(exchange, connection);
    uint64_t now_ns = clock_now_ns();
    times_add(&exchange->config->slot->waits, now_ns - atomic_load(&entry->began_ns), 1);
    atomic_store(&entry->began_ns, now_ns);
}

static void resume(struct exchange *exchange, int connection)
{
    enum connection_stage stage = connections_stage(exchange->config->connections, connection);
    switch (stage) {
    case STAGE_RECEIVING:
        proceed(exchange, connection, false);
        break;
    case STAGE_WAITING:
        count_wait(exchange, connection);
        set_stage(exchange, connection, STAGE_RECEIVING);
        proceed(exchange, connection, true);
        break;
    case STAGE_REFUSED:
        refuse_for_want_of_room(exchange, connection, false);
        break;
    case STAGE_SERVING:
        repeat(exchange, connection);
        break;
    case STAGE_IDLE:
        wake(exchange, connection);
        break;
    default:
        resume_answer(exchange, connection, stage);
        break;
    }
}

void exchange_resume(struct exchange *exchange, int connection)
{
    struct connection *entry = entry_of(exchange, connection);
    if (inbox_resume(&exchange->inbox, &entry->taken, &entry->start, connection, atomic_load(&entry->store),
                     entry->is_checked ? &entry->check : NULL) != 0) {
        log_event(exchange->config->log, &request_event, "cannot read a parked request: %s; its connection is closed",
                  strerror(errno));
        drop(exchange, connection);
        return;
    }
    entry->is_checked = false;
    resume(exchange, connection);
    inbox_leave(&exchange->inbox);
}

void exchange_abandon(struct exchange *exchange, int connection)
{
    connections_note_gone(exchange->config->connections);
    count_refused(exchange, REFUSED_GONE);
    drop(exchange, connection);
}

void exchange_refuse(struct exchange *exchange, int connection)
{
    struct connection *entry = entry_of(exchange, connection);
    set_stage(exchange, connection, STAGE_REFUSED);
    inbox_begin(&exchange->inbox, &entry->taken, &entry->start);
    refuse_for_want_of_room(exchange, connection, true);
    inbox_leave(&exchange->inbox);
}
