/* A whole request through inbox, libfcgi, the compute application and back, over a socket pair. The input is what the peer
 * sends before it shuts its sending side; it arrives in pieces, and between two of them the worker may have parked the
 * connection and served another. Follows proceed, serve and turn_away of worker.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "../unit/json.h"
#include "compute.h"
#include "conversation.h"
#include "fuzz.h"
#include "request.h"

#define MAX_N 5
#define ANSWER_MAX ((size_t)256 * 1024)
/* A peer that reads nothing of what it is answered fills the socket after some 250 replies, and its answer is lost. */
#define SKIPPED_MAX 200

/* The web servers in the corpus are within. */
static const struct record_limits limits = {.params_bytes = 4096, .params_count = 128, .body_bytes = 4096};

static struct {
    struct inbox inbox;
    struct request request;
    struct app_response response;
    int store; /* where a parked request's bytes lie */
} worker;

/* What the peer got, and what is in it. */
struct answer {
    uint8_t bytes[ANSWER_MAX];
    size_t length;
    char text[ANSWER_MAX]; /* of STDOUT */
    size_t text_length;
    unsigned ends; /* of the request in hand */
    int status;    /* 0: none came */
};

static void open_worker(void)
{
    int file = inbox_make_file(&limits);
    assert(file > 0 && inbox_open(&worker.inbox, file, &limits, 4) == 0);
    assert(request_init(&worker.request, 1000000000) == 0);
    worker.store = memfd_create("store", MFD_CLOEXEC);
    assert(worker.store >= 0);
}

/* Another request has used the inbox before this one is taken up again. */
static void park_and_resume(void)
{
    struct inbox *inbox = &worker.inbox;
    size_t length = inbox->length;
    assert(pwrite(worker.store, inbox->bytes, length, 0) == (ssize_t)length);
    memset(inbox->bytes, 0x01, length + 64);
    assert(inbox_resume(inbox, worker.store, length) == 0);
}

/* Sends the input in pieces and has each received. Returns what inbox_receive returned last. */
static int receive(int peer, int connection, const uint8_t *data, size_t size, enum record_verdict *verdict)
{
    static const size_t largest[] = {1 << 20, 2000, 200, 30};
    struct dice dice = dice_from(data, size);
    size_t most = largest[dice_roll(&dice, 4)];
    int result = 0;
    *verdict = RECORD_MORE;
    inbox_begin(&worker.inbox);
    for (size_t sent = 0, piece; sent < size && result == 0 && *verdict == RECORD_MORE; sent += piece) {
        piece = most < size ? dice_piece(&dice, most, size - sent) : size;
        assert(send(peer, data + sent, piece, MSG_NOSIGNAL) == (ssize_t)piece);
        if (sent + piece == size)
            shutdown(peer, SHUT_WR);
        result = inbox_receive(&worker.inbox, connection, verdict);
        if (result == 0 && *verdict == RECORD_MORE && dice_roll(&dice, 2) == 0)
            park_and_resume();
    }
    return result;
}

/* libfcgi has to have read the very request that was checked: these variables in this order… */
static void check_variables(const struct conversation *conversation)
{
    struct wire_pair pair;
    char **variable = worker.request.fcgi.envp;
    assert(*variable != NULL && strcmp(*variable, "FCGI_ROLE=RESPONDER") == 0);
    variable++; /* libfcgi's own */
    for (size_t at = 0; at < conversation->params_length; variable++) {
        at += wire_read_pair(&pair, conversation->params + at, conversation->params_length - at);
        const char *equals = *variable != NULL ? *variable + pair.name_length : NULL;
        assert(equals != NULL && strlen(*variable) == pair.name_length + 1 + pair.value_length);
        assert(memcmp(*variable, pair.name, pair.name_length) == 0 && *equals == '=');
        assert(memcmp(equals + 1, pair.value, pair.value_length) == 0);
    }
    assert(*variable == NULL);
}

/* …and this body. */
static void check_body(const struct conversation *conversation)
{
    static uint8_t body[CONVERSATION_MAX];
    const struct app_request *app = &worker.request.app;
    assert(app->body_length == conversation->body_length);
    assert(app->read_body(app, body, sizeof(body)) == (ssize_t)conversation->body_length);
    assert(memcmp(body, conversation->body, conversation->body_length) == 0);
    assert(app->read_body(app, body, sizeof(body)) == 0);
}

static void serve(int connection, const struct conversation *conversation)
{
    struct compute_context context = {.max_n = MAX_N};
    int result = request_parse(&worker.request, &worker.inbox, connection);
    assert(result == 0);
    assert(conversation->is_whole);
    check_variables(conversation);
    /* Applications may leave the body alone. */
    if (conversation->body_length % 2 == 0)
        check_body(conversation);
    app_response_reset(&worker.response);
    if (request_is_truncated(&worker.request))
        app_problem(&worker.response, 400, "The request's body is shorter than its Content-Length.", "");
    else
        compute_app.serve(&context, &worker.request.app, &worker.response);
    request_answer(&worker.request, &worker.response);
}

static void end_unserved(int connection, enum record_end_status status)
{
    uint8_t end[RECORD_END_SIZE];
    record_write_end(end, worker.inbox.check.request_id, status);
    assert(send(connection, end, sizeof(end), MSG_NOSIGNAL) == sizeof(end));
}

static void turn_away(int connection, enum record_verdict verdict)
{
    uint16_t id = worker.inbox.check.request_id;
    if (verdict == RECORD_PARAMS_TOO_LARGE)
        request_refuse(connection, id, 431, "The request's header is larger than this server takes.");
    else if (verdict == RECORD_BODY_TOO_LARGE)
        request_refuse(connection, id, 413, "The request's body is larger than this server takes.");
    else if (verdict == RECORD_PARAMS_UNSAFE)
        request_refuse(connection, id, 400, "The request has a NUL byte in its path or header.");
    else if (verdict == RECORD_OTHER_ROLE)
        end_unserved(connection, RECORD_UNKNOWN_ROLE);
    else if (verdict == RECORD_ABORTED)
        end_unserved(connection, RECORD_REQUEST_COMPLETE);
    else
        assert(verdict == RECORD_BROKEN && worker.inbox.check.broken != NULL);
}

/* The worker's part from the first byte to the last. Returns whether it went through libfcgi. */
static bool work(const int ends[2], const uint8_t *data, size_t size, const struct conversation *conversation)
{
    enum record_verdict verdict;
    int peer = ends[0], connection = ends[1];
    int result = receive(peer, connection, data, size, &verdict);
    /* The end of the input is the end of what the peer sends: no more can come, and the inbox has to see that. */
    if (result == 0 && verdict == RECORD_MORE) {
        shutdown(peer, SHUT_WR);
        result = inbox_receive(&worker.inbox, connection, &verdict);
        assert(result == -1 && errno == ECONNRESET);
    }
    bool is_served = result == 0 && verdict == RECORD_WHOLE;
    if (is_served)
        serve(connection, conversation);
    else if (result == 0)
        turn_away(connection, verdict);
    else
        assert(errno == ECONNRESET);
    if (result == 0)
        assert(!is_served || !worker.response.failed);
    inbox_shrink(&worker.inbox);
    return is_served;
}

static void read_answer(struct answer *answer, int peer)
{
    ssize_t got;
    answer->length = answer->text_length = answer->ends = 0;
    answer->status = 0;
    while ((got = recv(peer, answer->bytes + answer->length, ANSWER_MAX - answer->length, 0)) > 0)
        answer->length += (size_t)got;
    /* A connection that is closed with bytes unread resets its peer once that has read all that was sent. */
    assert(got == 0 || errno == ECONNRESET);
}

static void take_record(struct answer *answer, const struct wire_record *record)
{
    unsigned id = worker.inbox.check.request_id;
    assert(record->version == 1);
    if (record->id == 0) {
        assert(record->type == RECORD_GET_VALUES_RESULT || record->type == RECORD_UNKNOWN_TYPE);
        return;
    }
    if (record->type == RECORD_END_REQUEST) {
        assert(record->content_length == 8 && record->content[4] <= RECORD_UNKNOWN_ROLE);
        assert(record->id == id || record->content[4] == RECORD_CANT_MPX_CONN);
        answer->ends += record->id == id;
        return;
    }
    assert(record->type == RECORD_STDOUT && record->id == id && answer->ends == 0);
    memcpy(answer->text + answer->text_length, record->content, record->content_length);
    answer->text_length += record->content_length;
}

/* A head as RFC 3875 §6.2 has it, and a body of the length that it says. */
static void check_text(struct answer *answer, const char *method)
{
    size_t promised = 0;
    answer->text[answer->text_length] = '\0';
    assert(strlen(answer->text) == answer->text_length);
    const char *body = strstr(answer->text, "\r\n\r\n");
    assert(body != NULL && sscanf(answer->text, "Status: %3d ", &answer->status) == 1);
    body += 4;
    const char *length = strstr(answer->text, "\r\nContent-Length: ");
    if (length != NULL && length < body)
        assert(sscanf(length, "\r\nContent-Length: %zu\r\n", &promised) == 1);
    /* A request that was turned away has no method that anybody knows. */
    if (method != NULL && strcmp(method, "HEAD") == 0)
        assert(*body == '\0');
    else
        assert(strlen(body) == promised && (promised == 0 || json_is_valid(body)));
}

static void check_answer(struct answer *answer, const char *method)
{
    struct wire_record record;
    for (size_t at = 0; at < answer->length; at += record.size) {
        bool is_record = wire_read(&record, answer->bytes + at, answer->length - at);
        assert(is_record);
        take_record(answer, &record);
    }
    assert(answer->ends <= 1);
    assert(answer->text_length == 0 || answer->ends == 1);
    if (answer->text_length > 0)
        check_text(answer, method);
}

/* Only a request that came whole, as the second parser sees it, may be served, and with 200 only if its body is. */
static void check_served(const struct answer *answer, const struct conversation *conversation, bool is_served)
{
    char length[32];
    bool is_acceptable =
        conversation->is_whole && !conversation->has_nul && conversation->params_length <= limits.params_bytes &&
        conversation->pair_count <= limits.params_count && conversation->body_length <= limits.body_bytes;
    assert(is_served == is_acceptable);
    if (!is_served) {
        assert(answer->status != 200);
        return;
    }
    assert(answer->ends == 1 && answer->status != 0);
    conversation_variable(conversation, "CONTENT_LENGTH", length, sizeof(length));
    if (strtoull(length, NULL, 10) > conversation->body_length)
        assert(answer->status == 400);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct conversation conversation;
    static struct answer answer;
    char method[8];
    int ends[2];
    if (worker.inbox.bytes == NULL)
        open_worker();
    if (size > CONVERSATION_MAX)
        return 0;
    conversation_read(&conversation, data, size);
    if (conversation.skipped > SKIPPED_MAX)
        return 0;
    int fd = lowest_free_fd();
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    assert(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    bool is_served = work(ends, data, size, &conversation);
    close(ends[1]);
    read_answer(&answer, ends[0]);
    close(ends[0]);
    conversation_variable(&conversation, "REQUEST_METHOD", method, sizeof(method));
    check_answer(&answer, is_served ? method : NULL);
    check_served(&answer, &conversation, is_served);
    app_response_free(&worker.response);
    assert(lowest_free_fd() == fd);
    return 0;
}
