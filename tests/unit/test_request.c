/* request: what libfcgi makes of a request, and what it does to the descriptor that it answers to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "pair.h"
#include "request.h"
#include "wire.h"

#define BODY "a body"
#define ANSWER_MAX ((size_t)256 * 1024)

static const struct record_limits limits = {.params_bytes = 4096, .params_count = 64, .body_bytes = 65536};

struct fixture {
    struct inbox inbox;
    struct request request;
    struct app_response response;
    struct pair pair;
    _Atomic uint64_t taken, start;
    struct wire wire;
};

static int make(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    if (inbox_open(&fixture->inbox, inbox_make_file(&limits), &limits, 1) != 0 || request_init(&fixture->request) != 0)
        return -1;
    pair_open(&fixture->pair, PAIR_UNIX);
    *state = fixture;
    return 0;
}

static int drop(void **state)
{
    struct fixture *fixture = *state;
    /* What a test has not answered. */
    FCGX_Free(&fixture->request.fcgi, 0);
    munmap(fixture->inbox.own_bytes, fixture->inbox.capacity);
    close(fixture->inbox.own);
    pair_close(&fixture->pair);
    app_response_free(&fixture->response);
    free(fixture);
    return 0;
}

/* Has a request with that body come in and parsed. */
static void receive(struct fixture *fixture, const char *method, const char *body)
{
    enum record_verdict verdict;
    struct wire *wire = &fixture->wire;
    wire->length = 0;
    wire_put_request(wire, 7, 0, method, "n=1", (const uint8_t *)body, strlen(body));
    assert_int_equal(send(fixture->pair.peer, wire->bytes, wire->length, MSG_NOSIGNAL), wire->length);
    fixture->taken = 0;
    inbox_begin(&fixture->inbox, &fixture->taken, &fixture->start);
    assert_int_equal(inbox_receive(&fixture->inbox, fixture->pair.connection, true, &verdict), 0);
    assert_int_equal(verdict, RECORD_WHOLE);
    assert_int_equal(request_parse(&fixture->request, &fixture->inbox), 0);
}

/* A response with a body of that length. */
static void fill(struct fixture *fixture, size_t length)
{
    struct app_response *response = &fixture->response;
    app_response_reset(response);
    response->content_type = "text/plain";
    while (response->body_length < length)
        app_write(response, "x", 1);
}

static void a_request_is_what_was_sent(void **state)
{
    struct fixture *fixture = *state;
    const struct app_request *app = &fixture->request.app;
    char body[32];
    receive(fixture, "POST", BODY);
    assert_string_equal(app->method, "POST");
    assert_string_equal(app->path, "/compute");
    assert_string_equal(app->query, "n=1");
    assert_string_equal(app->variable(app, "SCRIPT_NAME"), "/compute");
    assert_null(app->variable(app, "SCRIPT"));
    assert_int_equal(app->body_length, strlen(BODY));
    assert_int_equal(app->read_body(app, body, sizeof(body)), strlen(BODY));
    assert_memory_equal(body, BODY, strlen(BODY));
    assert_int_equal(app->read_body(app, body, sizeof(body)), 0);
}

static void a_request_after_another_has_nothing_of_it(void **state)
{
    struct fixture *fixture = *state;
    const struct app_request *app = &fixture->request.app;
    char body[32];
    receive(fixture, "POST", BODY);
    fill(fixture, 10);
    assert_int_equal(request_answer(&fixture->request, &fixture->response, fixture->pair.connection), 0);
    receive(fixture, "GET", "");
    assert_string_equal(app->method, "GET");
    assert_int_equal(app->read_body(app, body, sizeof(body)), 0);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* Its number would be another connection's in a moment, and the worker would close that. */
static void a_connection_whose_peer_has_gone_is_not_closed_by_libfcgi(void **state)
{
    struct fixture *fixture = *state;
    receive(fixture, "GET", "");
    shutdown(fixture->pair.peer, SHUT_RDWR);
    fill(fixture, 10);
    assert_int_equal(request_answer(&fixture->request, &fixture->response, fixture->pair.connection), -1);
    assert_true(is_open(fixture->pair.connection));
}

static void an_answer_that_is_not_written_whole_is_told_and_its_descriptor_stays_open(void **state)
{
    struct fixture *fixture = *state;
    receive(fixture, "GET", "");
    /* More than the socket takes. */
    fill(fixture, 2000000);
    assert_int_equal(request_answer(&fixture->request, &fixture->response, fixture->pair.connection), -1);
    assert_true(is_open(fixture->pair.connection));
}

/* Over a socket that keeps writes apart. */
static void an_answer_that_fits_one_write_leaves_in_one(void **state)
{
    struct fixture *fixture = *state;
    static char answer[ANSWER_MAX];
    int ends[2], header = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    receive(fixture, "GET", "");
    fill(fixture, 0);
    while (app_add_header(&fixture->response, "X-Header-Line", "with some value in it") == 0)
        header++;
    assert_in_range(header, 10, 100);
    do
        app_write(&fixture->response, "x", 1);
    while (request_fits_one_write(&fixture->request, &fixture->response));
    fixture->response.body_length--;
    assert_true(request_fits_one_write(&fixture->request, &fixture->response));
    assert_int_equal(request_answer(&fixture->request, &fixture->response, ends[0]), 0);
    ssize_t length = recv(ends[1], answer, sizeof(answer), 0);
    assert_in_range(length, 7500, 8192);
    assert_int_equal(recv(ends[1], answer, sizeof(answer), MSG_DONTWAIT), -1);
    /* All of it, to the end of the request. */
    assert_int_equal(answer[length - 15], RECORD_END_REQUEST);
    close(ends[0]);
    close(ends[1]);
}

static void a_body_that_is_shorter_than_it_said_is_truncated(void **state)
{
    struct fixture *fixture = *state;
    struct wire *wire = &fixture->wire;
    enum record_verdict verdict;
    static const struct {
        const char *length;
        bool is_truncated;
    } cases[] = {{"6", false}, {"7", true}, {"5", false}, {"", false}, {"18446744073709551615", true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wire->length = 0;
        wire_put_begin(wire, 1, 0);
        wire_put_variable(wire, 1, "CONTENT_LENGTH", cases[i].length);
        wire_put_record(wire, RECORD_PARAMS, 1, NULL, 0);
        wire_put_body(wire, 1, (const uint8_t *)BODY, strlen(BODY));
        assert_int_equal(send(fixture->pair.peer, wire->bytes, wire->length, MSG_NOSIGNAL), wire->length);
        inbox_begin(&fixture->inbox, &fixture->taken, &fixture->start);
        assert_int_equal(inbox_receive(&fixture->inbox, fixture->pair.connection, true, &verdict), 0);
        assert_int_equal(request_parse(&fixture->request, &fixture->inbox), 0);
        assert_int_equal(request_is_truncated(&fixture->request), cases[i].is_truncated);
        fill(fixture, 1);
        assert_int_equal(request_answer(&fixture->request, &fixture->response, fixture->pair.connection), 0);
    }
}

/* The text of a refusal, which has a NUL behind it then. */
static void read_refusal(const uint8_t *bytes, size_t size, char *text, size_t text_size)
{
    assert_true(size > 32);
    size_t length = bytes[4] * 256U + bytes[5];
    assert_true(length < text_size);
    assert_int_equal(bytes[1], RECORD_STDOUT);
    assert_int_equal(bytes[2] * 256 + bytes[3], 0x1234);
    memcpy(text, bytes + 8, length);
    text[length] = '\0';
    /* STDOUT's end and the request's. */
    assert_int_equal(size, 8 + length + 8 + 16);
    assert_int_equal(bytes[8 + length + 1], RECORD_STDOUT);
    assert_int_equal(bytes[8 + length + 8 + 1], RECORD_END_REQUEST);
}

static void a_refusal_is_whole_and_503_says_when_to_come_again(void **state)
{
    (void)state;
    uint8_t refusal[REQUEST_REFUSAL_MAX];
    char text[2048], status[16];
    static const int statuses[] = {400, 413, 431, 503};
    for (size_t i = 0; i < 4; i++) {
        size_t length = request_write_refusal(refusal, 0x1234, statuses[i], "A reason.");
        read_refusal(refusal, length, text, sizeof(text));
        snprintf(status, sizeof(status), "Status: %d ", statuses[i]);
        assert_memory_equal(text, status, strlen(status));
        assert_non_null(strstr(text, "A reason."));
        assert_int_equal(strstr(text, "\r\nRetry-After: ") != NULL, statuses[i] == 503);
    }
}

static void signals_are_handled_as_before_once_libfcgi_is_ready(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGUSR1, SIGPIPE};
    struct request request;
    struct sigaction action;
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(request_init(&request), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sigaction(signals[i], NULL, &action), 0);
        assert_true(action.sa_handler == SIG_DFL);
    }
    signal(SIGPIPE, SIG_IGN);
}

#define WITH_A_CONNECTION(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_CONNECTION(a_request_is_what_was_sent),
        WITH_A_CONNECTION(a_request_after_another_has_nothing_of_it),
        WITH_A_CONNECTION(a_connection_whose_peer_has_gone_is_not_closed_by_libfcgi),
        WITH_A_CONNECTION(an_answer_that_is_not_written_whole_is_told_and_its_descriptor_stays_open),
        WITH_A_CONNECTION(an_answer_that_fits_one_write_leaves_in_one),
        WITH_A_CONNECTION(a_body_that_is_shorter_than_it_said_is_truncated),
        WITH_A_CONNECTION(a_refusal_is_whole_and_503_says_when_to_come_again),
        WITH_A_CONNECTION(signals_are_handled_as_before_once_libfcgi_is_ready),
    };
    return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
