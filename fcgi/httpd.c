#include "httpd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clock.h"
#include "outbox.h"
#include "request.h"

/* How long a peer that has its answer may take to hang up. */
#define LINGER_NS CLOCK_NS_PER_S
/* How many connections are dealt with, and taken, before the worker looks at what else there is. */
#define EVENTS_MAX 16
#define BURST_MAX 16
/* What of a body, which nobody wants, is dropped in one go. */
#define DROP_MAX 4096
/* The listener's mark among the events; the others are places in the table. */
#define LISTENER_MARK UINT32_MAX

/* Mostly a request comes in one piece and is answered at once: its bytes never get into shared memory, of which each place
 * would keep some pages for ever. */
struct httpd_memory {
    char head[HTTP_HEAD_MAX];
    struct http_request request;
};

struct shared {
    struct httpd_connection connections[HTTPD_CONNECTIONS_MAX];
    char heads[HTTPD_CONNECTIONS_MAX][HTTP_HEAD_MAX];
};

static int watch(const struct httpd_table *table, int operation, int fd, uint32_t mark, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = mark};
    return epoll_ctl(table->events, operation, fd, &event);
}

int httpd_create(struct httpd_table *table, const struct listener *listener)
{
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return -1;
    *table = (struct httpd_table){listener, shared->connections, shared->heads, epoll_create1(EPOLL_CLOEXEC)};
    return table->events < 0 ? -1 : watch(table, EPOLL_CTL_ADD, listener->fd, LISTENER_MARK, EPOLLIN);
}

static int fd_of(const struct httpd_connection *connection)
{
    return atomic_load(&connection->fd);
}

/* Closes what a place names. It is cleared first, for right after a close(2) the number may be another's. */
static void close_noted(_Atomic int32_t *place)
{
    int fd = atomic_exchange(place, 0);
    if (fd > 0)
        close(fd);
}

static void close_both(struct httpd_connection *connection)
{
    close_noted(&connection->answer);
    close_noted(&connection->fd);
}

void httpd_hang_up(const struct httpd_table *table)
{
    for (size_t i = 0; i < HTTPD_CONNECTIONS_MAX; i++)
        close_both(&table->connections[i]);
}

static bool knows(const struct httpd_table *table, int fd)
{
    for (size_t i = 0; i < HTTPD_CONNECTIONS_MAX; i++) {
        if (fd_of(&table->connections[i]) == fd)
            return true;
    }
    return false;
}

bool httpd_has_lost(const struct httpd_table *table, int fd)
{
    return !knows(table, fd) && listener_accepted(table->listener, fd);
}

bool httpd_refers_to(const struct httpd_table *table, int fd)
{
    for (size_t i = 0; i < HTTPD_CONNECTIONS_MAX; i++) {
        if (atomic_load(&table->connections[i].answer) == fd)
            return true;
    }
    return false;
}

int httpd_open(struct httpd *httpd, const struct httpd_config *config)
{
    *httpd = (struct httpd){.config = *config};
    if (config->table == NULL)
        return 0;
    httpd->memory = malloc(sizeof(*httpd->memory));
    return httpd->memory != NULL ? 0 : -1;
}

void httpd_close(struct httpd *httpd)
{
    app_response_free(&httpd->response);
    free(httpd->memory);
    httpd->memory = NULL;
}

/* Between the opening or closing of a descriptor and its note the master must not take it for one that was lost. */
static void begin_opening(const struct httpd *httpd)
{
    atomic_store(&httpd->config.slot->is_opening, 1);
}

static void end_opening(const struct httpd *httpd)
{
    atomic_store(&httpd->config.slot->is_opening, 0);
}

static void drop(const struct httpd *httpd, struct httpd_connection *connection)
{
    begin_opening(httpd);
    close_both(connection);
    end_opening(httpd);
}

/* What the peer still sends is read until it hangs up: what is unread when a socket is closed can cost it the answer. */
static void linger(const struct httpd *httpd, struct httpd_connection *connection)
{
    char piece[DROP_MAX];
    int fd = fd_of(connection);
    if (connection->stage != HTTPD_LINGERING) {
        connection->stage = HTTPD_LINGERING;
        connection->deadline_ns = clock_now_ns() + LINGER_NS;
        shutdown(fd, SHUT_WR);
    }
    ssize_t got = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        drop(httpd, connection);
}

static void send_rest(const struct httpd *httpd, struct httpd_connection *connection)
{
    int file = atomic_load(&connection->answer);
    uint64_t sent = outbox_sent(file);
    enum outbox_result result = outbox_send(file, fd_of(connection), connection->answer_length);
    if (result == OUTBOX_MORE && outbox_sent(file) > sent)
        connection->deadline_ns = clock_now_ns() + httpd->config.write_timeout_ns;
    if (result == OUTBOX_FAILED) {
        drop(httpd, connection);
    } else if (result == OUTBOX_SENT) {
        watch(httpd->config.table, EPOLL_CTL_MOD, fd_of(connection),
              (uint32_t)(connection - httpd->config.table->connections), EPOLLIN);
        linger(httpd, connection);
    }
}

/* Writes all of it; false where there is no memory. */
static bool write_all(int file, const struct iovec *parts, size_t skipped)
{
    for (size_t i = 0; i < 2; i++) {
        size_t from = skipped < parts[i].iov_len ? skipped : parts[i].iov_len;
        size_t left = parts[i].iov_len - from;
        skipped -= from;
        if (left > 0 && write(file, (const char *)parts[i].iov_base + from, left) != (ssize_t)left)
            return false;
    }
    return true;
}

/* Keeps what the peer does not take at once in a memory file. */
static void keep_rest(const struct httpd *httpd, struct httpd_connection *connection, const struct iovec *parts,
                      size_t sent)
{
    const struct httpd_table *table = httpd->config.table;
    begin_opening(httpd);
    int file = outbox_make_file();
    atomic_store(&connection->answer, file > 0 ? file : 0);
    end_opening(httpd);
    int64_t length = file >= 0 && write_all(file, parts, sent) ? outbox_finish(file) : -1;
    uint32_t place = (uint32_t)(connection - table->connections);
    if (length < 0 || watch(table, EPOLL_CTL_MOD, fd_of(connection), place, EPOLLOUT) != 0) {
        drop(httpd, connection);
        return;
    }
    connection->stage = HTTPD_SENDING;
    connection->answer_length = (uint64_t)length;
    connection->deadline_ns = clock_now_ns() + httpd->config.write_timeout_ns;
}

static void send_answer(struct httpd *httpd, struct httpd_connection *connection, bool has_body)
{
    char head[HTTP_ANSWER_HEAD_MAX];
    const struct app_response *response = &httpd->response;
    struct iovec parts[2] = {{head, http_write_head(response, head)},
                             {response->body, has_body ? response->body_length : 0}};
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    slot_count_request(httpd->config.slot, response->status, clock_now_ns() - connection->began_ns);
    ssize_t sent = sendmsg(fd_of(connection), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        drop(httpd, connection);
    else if (sent < 0 || (size_t)sent < parts[0].iov_len + parts[1].iov_len)
        keep_rest(httpd, connection, parts, sent > 0 ? (size_t)sent : 0);
    else
        linger(httpd, connection);
}

static const char *find_variable(const struct app_request *request, const char *name)
{
    return http_variable(request->source, name);
}

/* Of a body nothing is read. */
static ssize_t read_body(const struct app_request *request, void *buffer, size_t size)
{
    (void)request, (void)buffer, (void)size;
    return 0;
}

static void serve(struct httpd *httpd, struct httpd_connection *connection)
{
    const struct httpd_config *config = &httpd->config;
    struct app_response *response = &httpd->response;
    struct http_request *checked = &httpd->memory->request;
    struct app_request request = {
        .method = checked->method,
        .path = checked->path,
        .query = checked->query,
        .variable = find_variable,
        .read_body = read_body,
        .source = checked,
    };
    /* The master ends what hangs. */
    atomic_store_explicit(&config->slot->busy_since_ns, clock_now_ns(), memory_order_relaxed);
    config->app->serve(config->context, &request, response);
    atomic_store_explicit(&config->slot->busy_since_ns, 0, memory_order_relaxed);
    if (response->failed) {
        response->failed = false;
        app_problem(response, 500, "The server ran out of memory.", "");
    }
    send_answer(httpd, connection, request_sends_body(&request, response));
}

static void receive(struct httpd *httpd, struct httpd_connection *connection)
{
    char *kept = httpd->config.table->heads[connection - httpd->config.table->connections];
    char *head = httpd->memory->head;
    struct http_request *request = &httpd->memory->request;
    size_t length = connection->length;
    ssize_t got = recv(fd_of(connection), head + length, sizeof(httpd->memory->head) - length, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        drop(httpd, connection);
        return;
    }
    memcpy(head, kept, length);
    app_response_reset(&httpd->response);
    switch (http_check(request, head, length + (size_t)got)) {
    case HTTP_MORE:
        memcpy(kept + length, head + length, (size_t)got);
        connection->length += (uint32_t)got;
        break;
    case HTTP_WHOLE:
        serve(httpd, connection);
        break;
    case HTTP_REFUSED:
        app_problem(&httpd->response, request->status, request->wrong, "");
        send_answer(httpd, connection, true);
        break;
    }
}

static void step(struct httpd *httpd, struct httpd_connection *connection)
{
    /* It may have been closed since the event, and another be in its place, which loses nothing by being looked at. */
    if (fd_of(connection) == 0)
        return;
    switch (connection->stage) {
    case HTTPD_RECEIVING:
        receive(httpd, connection);
        break;
    case HTTPD_SENDING:
        send_rest(httpd, connection);
        break;
    case HTTPD_LINGERING:
        linger(httpd, connection);
        break;
    }
}

/* Whether one is to make room rather than the other: those that have their answer first, then the oldest. */
static bool goes_before(const struct httpd_connection *one, const struct httpd_connection *other)
{
    bool has_answer = one->stage == HTTPD_LINGERING, other_has = other->stage == HTTPD_LINGERING;
    return has_answer != other_has ? has_answer : one->began_ns < other->began_ns;
}

/* A place without a connection; where there is none, somebody has to go. */
static struct httpd_connection *find_place(const struct httpd_table *table)
{
    struct httpd_connection *oldest = &table->connections[0];
    for (size_t i = 0; i < HTTPD_CONNECTIONS_MAX; i++) {
        struct httpd_connection *connection = &table->connections[i];
        if (fd_of(connection) == 0)
            return connection;
        if (goes_before(connection, oldest))
            oldest = connection;
    }
    close_both(oldest);
    return oldest;
}

/* Accepts a connection and notes it. Returns its place; NULL with errno of accept4(2) where there is none. */
static struct httpd_connection *take(const struct httpd *httpd)
{
    const struct httpd_table *table = httpd->config.table;
    struct httpd_connection *connection = NULL;
    begin_opening(httpd);
    int fd = listener_accept(table->listener);
    int error = errno;
    if (fd >= 0) {
        connection = find_place(table);
        connection->stage = HTTPD_RECEIVING;
        connection->length = 0;
        connection->began_ns = clock_now_ns();
        connection->deadline_ns = connection->began_ns + httpd->config.read_timeout_ns;
        atomic_store(&connection->fd, fd);
    }
    end_opening(httpd);
    errno = error;
    return connection;
}

static void begin(struct httpd *httpd, struct httpd_connection *connection)
{
    const struct httpd_table *table = httpd->config.table;
    uint32_t place = (uint32_t)(connection - table->connections);
    if (watch(table, EPOLL_CTL_ADD, fd_of(connection), place, EPOLLIN) != 0)
        drop(httpd, connection);
    else
        /* Mostly the request has come with its connection. */
        receive(httpd, connection);
}

static int take_new(struct httpd *httpd)
{
    struct httpd_connection *connection;
    for (int i = 0; i < BURST_MAX; i++) {
        connection = take(httpd);
        if (connection != NULL)
            begin(httpd, connection);
        else if (errno != ECONNABORTED && errno != EINTR)
            return errno == EAGAIN ? 0 : errno;
    }
    return 0;
}

int httpd_work(struct httpd *httpd)
{
    struct epoll_event ready[EVENTS_MAX];
    int error = 0;
    int count = epoll_wait(httpd->config.table->events, ready, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        if (ready[i].data.u32 == LISTENER_MARK)
            error = take_new(httpd);
        else
            step(httpd, &httpd->config.table->connections[ready[i].data.u32]);
    }
    return error;
}

uint64_t httpd_sweep(const struct httpd *httpd, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;
    for (size_t i = 0; i < HTTPD_CONNECTIONS_MAX; i++) {
        struct httpd_connection *connection = &httpd->config.table->connections[i];
        if (fd_of(connection) == 0)
            continue;
        if (connection->deadline_ns <= now_ns)
            drop(httpd, connection);
        else if (connection->deadline_ns < next_ns)
            next_ns = connection->deadline_ns;
    }
    return next_ns;
}
