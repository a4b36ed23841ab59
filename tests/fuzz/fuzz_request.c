/* A whole connection through a worker's part: exchange, inbox, libfcgi, the compute application, outbox and back, over a socket
 * pair. The input is what the peer sends: one request, or several, for it may have the connection kept. It arrives in pieces;
 * between two of them one of two workers may have gone on with it, or have served another connection, and the peer may have read
 * what it was answered or not. Each request gets its own answer, in its turn. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "../unit/json.h"
#include "clock.h"
#include "compute.h"
#include "conversation.h"
#include "exchange.h"
#include "fuzz.h"
#include "outbox.h"

#define MAX_N 5
#define WORKERS 2
#define REQUESTS_MAX 40
#define ANSWERS_MAX ((size_t)256 * 1024)
#define SOON_NS (3600 * CLOCK_NS_PER_S)

/* The web servers in the corpus are within. */
static const struct record_limits limits = {.params_bytes = 4096, .params_count = 128, .body_bytes = 4096};

static struct {
    struct connections connections[WORKERS];
    struct exchange_config config[WORKERS];
    struct exchange exchange[WORKERS];
    struct scoreboard *board;
    struct log log;
} pool;

/* What the peer gets for a request. */
enum outcome { OUTCOME_ANSWER, OUTCOME_END };

/* What the input says, to a second parser. */
static struct {
    struct conversation requests[REQUESTS_MAX];
    enum outcome outcomes[REQUESTS_MAX];
    unsigned count;
    unsigned served;  /* of those the application has seen, or had no need to */
    bool is_open;     /* all of the input is taken up, and the next request may come */
    bool has_tail;    /* behind the last of them there is something that is no request, or not yet */
    bool is_doubtful; /* what comes of the tail depends on the pieces */
} story;

/* What the peer got. */
static struct {
    uint8_t bytes[ANSWERS_MAX];
    size_t length;
    size_t at; /* so much of it has been looked at */
    char text[ANSWERS_MAX];
    size_t text_length;
} answers;

/* The story. */

static bool is_within_limits(const struct conversation *request)
{
    return !request->has_nul && request->params_length <= limits.params_bytes &&
           request->pair_count <= limits.params_count && request->body_length <= limits.body_bytes;
}

/* Reads the request at the start of the bytes into the story; returns its length, or 0. */
static size_t tell_one(const uint8_t *data, size_t size)
{
    struct conversation *request = &story.requests[story.count];
    conversation_read(request, data, size);
    story.is_doubtful = story.is_doubtful || request->skipped > 64;
    /* What is given up while a NUL has come, but not the end of the PARAMS, is just given up. */
    bool is_ended = request->is_aborted && request->params_length <= limits.params_bytes &&
                    request->pair_count <= limits.params_count && request->body_length <= limits.body_bytes;
    if (!is_ended && (!request->is_whole || !is_within_limits(request)))
        return 0;
    story.outcomes[story.count++] = is_ended ? OUTCOME_END : OUTCOME_ANSWER;
    return request->end;
}

/* False where there are more requests than there is room for. */
static bool tell(const uint8_t *data, size_t size)
{
    size_t at = 0, length = 1;
    story.count = story.served = 0;
    story.is_open = true;
    story.is_doubtful = false;
    while (at < size && story.is_open && story.count < REQUESTS_MAX && (length = tell_one(data + at, size - at)) > 0) {
        at += length;
        story.is_open = story.requests[story.count - 1].is_kept;
    }
    story.has_tail = story.is_open && at < size;
    return story.count < REQUESTS_MAX;
}

static bool is_truncated(const struct conversation *request)
{
    char length[32];
    conversation_variable(request, "CONTENT_LENGTH", length, sizeof(length));
    return strtoull(length, NULL, 10) > request->body_length;
}

/* The application: it has to see the very requests that were sent, in their order. */

static bool has_variables(const struct request *seen, const struct conversation *request)
{
    struct wire_pair pair;
    char **variable = seen->fcgi.envp;
    assert(*variable != NULL && strcmp(*variable, "FCGI_ROLE=RESPONDER") == 0);
    variable++; /* libfcgi's own */
    for (size_t at = 0; at < request->params_length; variable++) {
        at += wire_read_pair(&pair, request->params + at, request->params_length - at);
        const char *equals = *variable != NULL ? *variable + pair.name_length : NULL;
        if (equals == NULL || strlen(*variable) != pair.name_length + 1 + pair.value_length || *equals != '=' ||
            memcmp(*variable, pair.name, pair.name_length) != 0 ||
            memcmp(equals + 1, pair.value, pair.value_length) != 0)
            return false;
    }
    return *variable == NULL;
}

static void check_body(const struct app_request *app, const struct conversation *request)
{
    static uint8_t body[CONVERSATION_MAX];
    assert(app->body_length == request->body_length);
    /* Applications may leave the body alone. */
    if (request->body_length % 2 != 0)
        return;
    assert(app->read_body(app, body, sizeof(body)) == (ssize_t)request->body_length);
    assert(memcmp(body, request->body, request->body_length) == 0);
    assert(app->read_body(app, body, sizeof(body)) == 0);
}

static bool is_passed_over(unsigned i)
{
    return story.outcomes[i] == OUTCOME_END || is_truncated(&story.requests[i]);
}

static void serve(void *context, const struct app_request *request_app, struct app_response *response)
{
    const struct request *seen = request_app->source;
    while (story.served < story.count && is_passed_over(story.served))
        story.served++;
    if (story.served < story.count) {
        const struct conversation *request = &story.requests[story.served++];
        bool is_the_one = has_variables(seen, request);
        assert(is_the_one);
        check_body(request_app, request);
    } else {
        assert(story.is_doubtful);
    }
    compute_app.serve(context, request_app, response);
}

/* One that another connection asks in between. */
static void serve_other(void *context, const struct app_request *request_app, struct app_response *response)
{
    (void)context;
    response->content_type = "text/plain";
    app_printf(response, "%s", request_app->query);
}

static struct app app = {.name = "fuzz", .serve = serve};

/* The pool. */

static void open_worker(unsigned slot)
{
    struct exchange_config *config = &pool.config[slot];
    pool.connections[slot].slot = slot;
    pool.connections[slot].is_opening = &pool.board->slots[slot].is_opening;
    *config = (struct exchange_config){
        .app = &app,
        .log = &pool.log,
        .connections = &pool.connections[slot],
        .slot = &pool.board->slots[slot],
        .order = &pool.board->master.orders[slot],
        .inbox = inbox_make_file(&limits),
        .outbox = outbox_make_file(),
        .lookup = -1,
        .limits = limits,
        .max_conns = 4,
        .read_timeout_ns = SOON_NS,
        .write_timeout_ns = SOON_NS,
        .idle_timeout_ns = SOON_NS,
    };
    assert(exchange_open(&pool.exchange[slot], config) == 0);
}

static void open_pool(void)
{
    static struct compute_context compute = {.max_n = MAX_N};
    pool.log.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pool.board = scoreboard_create();
    assert(pool.log.fd >= 0 && pool.board != NULL);
    assert(connections_create(&pool.connections[0], 16, 1 << 20) == 0);
    for (unsigned slot = 0; slot < WORKERS; slot++) {
        pool.connections[slot] = pool.connections[0];
        open_worker(slot);
        pool.config[slot].context = &compute;
    }
}

/* Lets one of the workers do all that is to be done now. */
static bool work_off(struct dice *dice)
{
    size_t slot = dice_roll(dice, WORKERS);
    bool has_left;
    int connection, count = 0;
    while ((connection = connections_take(&pool.connections[slot])) >= 0 ||
           (connection = connections_take_waiting(&pool.connections[slot], &has_left)) >= 0) {
        exchange_resume(&pool.exchange[slot], connection);
        assert(++count < 1000);
    }
    return count > 0;
}

/* A new connection: taken up at once, put into the queue, or found by the master after a death. */
static void begin(int connection, struct dice *dice)
{
    struct connections *connections = &pool.connections[0];
    size_t way = dice_roll(dice, 4);
    if (way == 0) {
        assert(connections_adopt(connections, connection, clock_now_ns(), clock_now_ns() + SOON_NS));
        return;
    }
    assert(connections_hold(connections, connection, clock_now_ns()));
    if (way == 1) {
        connections_set_stage(connections, connection, STAGE_WAITING);
        assert(connections_park(connections, connection, UINT64_MAX, false) == 0);
    } else {
        exchange_begin(&pool.exchange[0], connection);
    }
}

static void open_pair(int ends[2])
{
    static const int small = 1;
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    /* A few answers that nobody reads fill it. */
    assert(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
}

/* Another connection has the workers for a while. */
static void serve_another(struct dice *dice)
{
    static const uint8_t request[] = {1,   1,   0,   9,   0,   8,   0,   0,   0,   1,   0,   0,   0,   0,   0,
                                      0,   1,   4,   0,   9,   0,   19,  0,   0,   12,  5,   'Q', 'U', 'E', 'R',
                                      'Y', '_', 'S', 'T', 'R', 'I', 'N', 'G', 'o', 't', 'h', 'e', 'r', 1,   4,
                                      0,   9,   0,   0,   0,   0,   1,   5,   0,   9,   0,   0,   0,   0};
    uint8_t bytes[512];
    int ends[2];
    open_pair(ends);
    app.serve = serve_other;
    assert(send(ends[0], request, sizeof(request), MSG_NOSIGNAL) == sizeof(request));
    size_t slot = dice_roll(dice, WORKERS);
    assert(connections_hold(&pool.connections[slot], ends[1], clock_now_ns()));
    exchange_begin(&pool.exchange[slot], ends[1]);
    app.serve = serve;
    ssize_t got = recv(ends[0], bytes, sizeof(bytes), 0);
    assert(got > 0 && memmem(bytes, (size_t)got, "\r\n\r\nother", 9) != NULL);
    close(ends[0]);
}

/* The peer. */

static bool read_answers(int peer)
{
    size_t before = answers.length;
    ssize_t got;
    while ((got = recv(peer, answers.bytes + answers.length, ANSWERS_MAX - answers.length, 0)) > 0)
        answers.length += (size_t)got;
    /* A connection that is closed with bytes unread resets its peer once that has read all that was sent. */
    assert(got == 0 || errno == EAGAIN || errno == ECONNRESET);
    return answers.length > before;
}

/* Both go on until neither has anything left to do. */
static void settle(int peer, struct dice *dice)
{
    bool goes_on;
    do {
        goes_on = work_off(dice);
        goes_on = read_answers(peer) || goes_on;
    } while (goes_on);
}

/* Sends a piece; false where the worker has closed the connection. */
static bool send_piece(int peer, const uint8_t *piece, size_t length, struct dice *dice)
{
    for (size_t sent = 0; sent < length;) {
        ssize_t taken = send(peer, piece + sent, length - sent, MSG_NOSIGNAL);
        if (taken < 0 && errno != EAGAIN)
            return false;
        if (taken < 0)
            settle(peer, dice);
        else
            sent += (size_t)taken;
    }
    return true;
}

/* Sends the input in pieces, and lets all others do something between two of them. */
static void talk(const int ends[2], const uint8_t *data, size_t size)
{
    static const size_t largest[] = {1 << 20, 2000, 200, 30};
    struct dice dice = dice_from(data, size);
    size_t most = largest[dice_roll(&dice, 4)], piece = 0;
    bool begins_early = dice_roll(&dice, 4) == 0 || size == 0;
    if (begins_early)
        begin(ends[1], &dice);
    for (size_t sent = 0; sent < size; sent += piece) {
        piece = most < size ? dice_piece(&dice, most, size - sent) : size;
        if (!send_piece(ends[0], data + sent, piece, &dice))
            break;
        if (sent == 0 && !begins_early)
            begin(ends[1], &dice);
        if (dice_roll(&dice, 2) == 0)
            work_off(&dice);
        if (dice_roll(&dice, 8) == 0)
            serve_another(&dice);
        if (dice_roll(&dice, 4) == 0)
            read_answers(ends[0]);
    }
    settle(ends[0], &dice);
}

/* The peer ends its side, and nothing is left. */
static void finish(const int ends[2])
{
    struct dice dice = dice_from(NULL, 0);
    shutdown(ends[0], SHUT_WR);
    settle(ends[0], &dice);
    close(ends[0]);
    assert(connections_left(&pool.connections[0]) == 0);
    assert(connections_waiting(&pool.connections[0]) == 0);
    assert(connections_kept_bytes(&pool.connections[0]) == 0);
    for (unsigned slot = 0; slot < WORKERS; slot++)
        assert(!pool.exchange[slot].is_broken && !pool.exchange[slot].response.failed);
}

/* What the peer got. */

/* The next record of an answer; those of the connection itself, and those that end a request which came while another one was in
 * hand, may stand anywhere. False at the end. */
static bool next_record(struct wire_record *record)
{
    while (answers.at < answers.length) {
        bool is_record = wire_read(record, answers.bytes + answers.at, answers.length - answers.at);
        assert(is_record && record->version == 1);
        answers.at += record->size;
        if (record->id == 0)
            assert(record->type == RECORD_GET_VALUES_RESULT || record->type == RECORD_UNKNOWN_TYPE);
        else if (record->type == RECORD_END_REQUEST)
            assert(record->content_length == 8 && record->content[4] <= RECORD_UNKNOWN_ROLE);
        else
            assert(record->type == RECORD_STDOUT);
        bool is_answer =
            record->id != 0 && (record->type == RECORD_STDOUT || record->content[4] != RECORD_CANT_MPX_CONN);
        if (is_answer)
            return true;
    }
    return false;
}

/* Puts the next answer together; false where there is none. */
static bool next_answer(unsigned *id)
{
    struct wire_record record;
    answers.text_length = 0;
    if (!next_record(&record))
        return false;
    *id = record.id;
    while (record.type == RECORD_STDOUT) {
        assert(record.id == *id);
        memcpy(answers.text + answers.text_length, record.content, record.content_length);
        answers.text_length += record.content_length;
        bool goes_on = next_record(&record);
        assert(goes_on);
    }
    assert(record.id == *id);
    answers.text[answers.text_length] = '\0';
    assert(strlen(answers.text) == answers.text_length);
    return true;
}

/* A head as RFC 3875 §6.2 has it, and a body of the length that it says. Returns the status. */
static int check_text(const char *method)
{
    int status;
    size_t promised = 0;
    const char *body = strstr(answers.text, "\r\n\r\n");
    assert(body != NULL && sscanf(answers.text, "Status: %3d ", &status) == 1);
    body += 4;
    const char *length = strstr(answers.text, "\r\nContent-Length: ");
    if (length != NULL && length < body)
        assert(sscanf(length, "\r\nContent-Length: %zu\r\n", &promised) == 1);
    if (strcmp(method, "HEAD") == 0)
        assert(*body == '\0');
    else
        assert(strlen(body) == promised && (promised == 0 || json_is_valid(body)));
    return status;
}

/* The number that was asked for, where the query is as plain as that. */
static void check_result(const struct conversation *request)
{
    static const unsigned results[MAX_N + 1] = {0, 1, 1, 2, 3, 5};
    char query[8];
    unsigned n, result;
    const char *body = strstr(answers.text, "\r\n\r\n");
    assert(sscanf(body + 4, "{\"n\":%u,\"result\":%u,", &n, &result) == 2);
    assert(n <= MAX_N && result == results[n]);
    conversation_variable(request, "QUERY_STRING", query, sizeof(query));
    if (strlen(query) == 3 && strncmp(query, "n=", 2) == 0)
        assert(query[2] - '0' == (int)n);
}

static void check_answer(const struct conversation *request)
{
    char method[8];
    conversation_variable(request, "REQUEST_METHOD", method, sizeof(method));
    int status = check_text(method);
    if (is_truncated(request))
        assert(status == 400);
    else
        assert(status == 200 || status == 204 || status == 400 || status == 404 || status == 405);
    if (status == 200 && strcmp(method, "HEAD") != 0)
        check_result(request);
}

static void check_outcome(unsigned i)
{
    unsigned id;
    const struct conversation *request = &story.requests[i];
    bool is_there = next_answer(&id);
    /* The last word on a connection that is closed is not worth waiting for. */
    if (!is_there) {
        assert(story.outcomes[i] != OUTCOME_ANSWER && !request->is_kept);
        return;
    }
    assert(id == request->id);
    if (answers.text_length > 0)
        check_answer(request);
    assert((answers.text_length > 0) == (story.outcomes[i] == OUTCOME_ANSWER));
}

/* What is no request gets no answer but the word that it is refused. */
static void check_tail(void)
{
    unsigned id;
    if (!next_answer(&id))
        return;
    assert(story.has_tail);
    if (answers.text_length > 0) {
        int status = check_text("");
        assert(status == 400 || status == 413 || status == 431);
    }
    assert(!next_answer(&id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ends[2];
    if (pool.board == NULL)
        open_pool();
    if (size > CONVERSATION_MAX || !tell(data, size))
        return 0;
    int fd = lowest_free_fd();
    answers.length = answers.at = 0;
    open_pair(ends);
    talk(ends, data, size);
    /* Where the next request may come, it can. */
    if (story.is_open && !story.has_tail)
        assert(connections_stage(&pool.connections[0], ends[1]) == (story.count > 0 ? STAGE_IDLE : STAGE_RECEIVING));
    finish(ends);
    for (unsigned i = 0; i < story.count; i++)
        check_outcome(i);
    if (!story.is_doubtful)
        check_tail();
    assert(lowest_free_fd() == fd);
    return 0;
}
