/* httpd: slow readers, silent peers and those too many hold nobody up and leave nothing open; also after a worker's death. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "httpd.h"

#define BODY_BYTES ((size_t)1024 * 1024)
#define READ_TIMEOUT_NS (5 * CLOCK_NS_PER_S)
#define WRITE_TIMEOUT_NS (3 * CLOCK_NS_PER_S)
/* The buffers of a connection, so that a large answer does not fit. */
#define BUFFER_BYTES 16384

#define ASK_SMALL "GET /small HTTP/1.1\r\nHost: x\r\n\r\n"
#define ASK_LARGE "GET /large HTTP/1.1\r\nHost: x\r\n\r\n"

struct fixture {
    struct listener listener;
    struct httpd_table table;
    struct slot slot;
    struct httpd httpd;
    struct sockaddr_in address;
    int descriptors; /* open before any connection */
};

static void serve(void *context, const struct app_request *request, struct app_response *response)
{
    (void)context;
    response->content_type = "text/plain";
    if (strcmp(request->path, "/small") == 0)
        app_printf(response, "accept: %s", request->variable(request, "HTTP_ACCEPT"));
    for (size_t i = 0; strcmp(request->path, "/large") == 0 && i < BODY_BYTES / 8; i++)
        app_printf(response, "%07zu\n", i);
}

static const struct app app = {.name = "test", .serve = serve};

static int count_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void open_worker(struct fixture *fixture)
{
    const struct httpd_config config = {
        .table = &fixture->table,
        .app = &app,
        .slot = &fixture->slot,
        .read_timeout_ns = READ_TIMEOUT_NS,
        .write_timeout_ns = WRITE_TIMEOUT_NS,
    };
    assert_int_equal(httpd_open(&fixture->httpd, &config), 0);
}

static int set_up(void **state)
{
    static struct fixture fixture;
    static const int buffer = BUFFER_BYTES;
    socklen_t size = sizeof(fixture.address);
    fixture = (struct fixture){.address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    fixture.listener =
        (struct listener){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), .is_tcp = true};
    signal(SIGPIPE, SIG_IGN);
    /* Which its connections inherit. */
    setsockopt(fixture.listener.fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    if (bind(fixture.listener.fd, (struct sockaddr *)&fixture.address, size) != 0 ||
        listen(fixture.listener.fd, 512) != 0 ||
        getsockname(fixture.listener.fd, (struct sockaddr *)&fixture.address, &size) != 0 ||
        httpd_create(&fixture.table, &fixture.listener) != 0)
        return -1;
    open_worker(&fixture);
    fixture.descriptors = count_descriptors();
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    httpd_hang_up(&fixture->table);
    httpd_close(&fixture->httpd);
    close(fixture->table.events);
    close(fixture->listener.fd);
    return 0;
}

static int connect_client(const struct fixture *fixture)
{
    static const int buffer = BUFFER_BYTES;
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client >= 0);
    setsockopt(client, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    assert_int_equal(connect(client, (const struct sockaddr *)&fixture->address, sizeof(fixture->address)), 0);
    return client;
}

static void send_text(int client, const char *text)
{
    assert_int_equal(send(client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The worker does what there is to do, as often as there is something within a moment. */
static void work(struct fixture *fixture)
{
    struct pollfd events = {.fd = fixture->table.events, .events = POLLIN};
    while (poll(&events, 1, 20) == 1)
        assert_int_equal(httpd_work(&fixture->httpd), 0);
}

static unsigned count_open(const struct fixture *fixture)
{
    unsigned count = 0;
    for (size_t i = 0; i < HTTPD_CONNECTIONS_MAX; i++)
        count += atomic_load(&fixture->table.connections[i].fd) != 0;
    return count;
}

static bool has_ended(int client)
{
    char byte;
    ssize_t got = recv(client, &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN);
}

/* Reads an answer to its end while the worker goes on; returns its length, with the head. */
static size_t read_all(struct fixture *fixture, int client, char *bytes, size_t size)
{
    size_t used = 0;
    for (ssize_t got = 1; got != 0;) {
        work(fixture);
        got = recv(client, bytes + used, size - used, 0);
        assert_true(got >= 0);
        used += (size_t)got;
    }
    return used;
}

static void assert_large(const char *answer, size_t length)
{
    const char *body = memmem(answer, length, "\r\n\r\n", 4);
    char line[16];
    assert_non_null(body);
    body += 4;
    assert_int_equal(answer + length - body, BODY_BYTES);
    for (size_t i = 0; i < BODY_BYTES / 8; i++) {
        snprintf(line, sizeof(line), "%07zu\n", i);
        assert_memory_equal(body + i * 8, line, 8);
    }
}

static void a_request_is_answered_and_its_connection_closed(void **state)
{
    struct fixture *fixture = *state;
    char answer[1024] = "";
    int client = connect_client(fixture);
    send_text(client, "GET /small HTTP/1.1\r\nHost: x\r\nAccept: a/b\r\n\r\n");
    assert_true(read_all(fixture, client, answer, sizeof(answer) - 1) > 0);
    assert_non_null(strstr(answer, "\r\n\r\naccept: a/b"));
    close(client);
    work(fixture);
    assert_int_equal(count_open(fixture), 0);
    assert_int_equal(count_descriptors(), fixture->descriptors);
    assert_int_equal(counter_read(&fixture->slot.requests), 1);
}

static void a_large_answer_goes_out_as_its_reader_takes_it_and_others_are_answered_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    char small[1024];
    char *large = malloc(2 * BODY_BYTES);
    int slow = connect_client(fixture), other;
    assert_non_null(large);
    send_text(slow, ASK_LARGE);
    work(fixture);
    assert_int_equal(fixture->table.connections[0].stage, HTTPD_SENDING);
    other = connect_client(fixture);
    send_text(other, ASK_SMALL);
    assert_true(read_all(fixture, other, small, sizeof(small)) > 0);
    close(other);
    assert_large(large, read_all(fixture, slow, large, 2 * BODY_BYTES));
    close(slow);
    work(fixture);
    assert_int_equal(count_descriptors(), fixture->descriptors);
    free(large);
}

/* One that left as told: the next one has the same table. */
static void a_successor_goes_on_with_what_has_come_and_with_what_is_not_out(void **state)
{
    struct fixture *fixture = *state;
    char *large = malloc(2 * BODY_BYTES), small[1024] = "";
    int reader = connect_client(fixture), sender = connect_client(fixture);
    assert_non_null(large);
    send_text(reader, ASK_LARGE);
    send_text(sender, "GET /small HTTP/1.1\r\nHo");
    work(fixture);
    httpd_close(&fixture->httpd);
    open_worker(fixture);
    send_text(sender, "st: x\r\nAccept: c\r\n\r\n");
    assert_large(large, read_all(fixture, reader, large, 2 * BODY_BYTES));
    assert_true(read_all(fixture, sender, small, sizeof(small) - 1) > 0);
    assert_non_null(strstr(small, "accept: c"));
    close(reader);
    close(sender);
    free(large);
}

static void what_a_dead_worker_had_open_is_closed_with_its_files(void **state)
{
    struct fixture *fixture = *state;
    int reader = connect_client(fixture), silent = connect_client(fixture);
    send_text(reader, ASK_LARGE);
    work(fixture);
    assert_int_equal(count_open(fixture), 2);
    int file = atomic_load(&fixture->table.connections[0].answer);
    assert_true(file > 0 && httpd_refers_to(&fixture->table, file));
    httpd_hang_up(&fixture->table);
    assert_false(httpd_refers_to(&fixture->table, file));
    assert_true(has_ended(silent));
    close(reader);
    close(silent);
    assert_int_equal(count_descriptors(), fixture->descriptors);
}

/* It died between accept4(2) and the note of what it had accepted. */
static void a_connection_that_nobody_noted_is_known_as_lost(void **state)
{
    struct fixture *fixture = *state;
    int client = connect_client(fixture), other = connect_client(fixture);
    int lost = accept4(fixture->listener.fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(lost >= 0);
    work(fixture);
    int held = atomic_load(&fixture->table.connections[0].fd);
    assert_true(httpd_has_lost(&fixture->table, lost));
    assert_false(httpd_has_lost(&fixture->table, held));
    assert_false(httpd_has_lost(&fixture->table, client));
    assert_false(httpd_has_lost(&fixture->table, fixture->listener.fd));
    close(lost);
    close(client);
    close(other);
}

static void for_one_too_many_the_oldest_goes_but_first_those_that_have_their_answer(void **state)
{
    struct fixture *fixture = *state;
    char answer[1024];
    int clients[HTTPD_CONNECTIONS_MAX + 2];
    for (int i = 0; i < HTTPD_CONNECTIONS_MAX; i++) {
        clients[i] = connect_client(fixture);
        work(fixture);
    }
    assert_int_equal(count_open(fixture), HTTPD_CONNECTIONS_MAX);
    assert_false(has_ended(clients[0]));
    /* The youngest gets its answer and stays. */
    send_text(clients[HTTPD_CONNECTIONS_MAX - 1], ASK_SMALL);
    work(fixture);
    clients[HTTPD_CONNECTIONS_MAX] = connect_client(fixture);
    work(fixture);
    assert_false(has_ended(clients[0]));
    assert_true(read_all(fixture, clients[HTTPD_CONNECTIONS_MAX - 1], answer, sizeof(answer)) > 0);
    clients[HTTPD_CONNECTIONS_MAX + 1] = connect_client(fixture);
    work(fixture);
    assert_true(has_ended(clients[0]));
    assert_false(has_ended(clients[1]));
    assert_int_equal(count_open(fixture), HTTPD_CONNECTIONS_MAX);
    for (int i = 0; i < HTTPD_CONNECTIONS_MAX + 2; i++)
        close(clients[i]);
    work(fixture);
    assert_int_equal(count_descriptors(), fixture->descriptors);
}

static void each_is_given_up_when_its_time_is_over(void **state)
{
    struct fixture *fixture = *state;
    struct httpd *httpd = &fixture->httpd;
    assert_true(httpd_sweep(httpd, clock_now_ns()) == UINT64_MAX);
    uint64_t began_ns = clock_now_ns();
    int silent = connect_client(fixture), reader = connect_client(fixture), lingering = connect_client(fixture);
    send_text(reader, ASK_LARGE);
    send_text(lingering, ASK_SMALL);
    work(fixture);
    uint64_t now_ns = clock_now_ns();
    uint64_t next_ns = httpd_sweep(httpd, now_ns);
    assert_int_equal(count_open(fixture), 3);
    assert_true(next_ns > began_ns + CLOCK_NS_PER_S && next_ns <= now_ns + CLOCK_NS_PER_S);
    assert_true(httpd_sweep(httpd, now_ns + CLOCK_NS_PER_S) <= now_ns + WRITE_TIMEOUT_NS);
    assert_int_equal(count_open(fixture), 2);
    assert_true(httpd_sweep(httpd, now_ns + WRITE_TIMEOUT_NS) <= now_ns + READ_TIMEOUT_NS);
    assert_int_equal(count_open(fixture), 1);
    assert_false(has_ended(silent));
    assert_true(httpd_sweep(httpd, now_ns + READ_TIMEOUT_NS) == UINT64_MAX);
    assert_true(has_ended(silent));
    close(silent);
    close(reader);
    close(lingering);
    assert_int_equal(count_descriptors(), fixture->descriptors);
}

/* Some bytes put nothing off: the time is for the whole head. */
static void a_sender_of_a_byte_at_a_time_gets_no_more_time_and_a_reader_that_reads_does(void **state)
{
    struct fixture *fixture = *state;
    char piece[200000];
    int sender = connect_client(fixture), reader = connect_client(fixture);
    send_text(reader, ASK_LARGE);
    work(fixture);
    uint64_t sender_ns = fixture->table.connections[0].deadline_ns,
             reader_ns = fixture->table.connections[1].deadline_ns;
    send_text(sender, "G");
    /* The kernel has its own mind about when a sender has room again. */
    for (size_t taken = 0; taken < BODY_BYTES / 2;) {
        ssize_t got = recv(reader, piece, sizeof(piece), 0);
        assert_true(got > 0);
        taken += (size_t)got;
        work(fixture);
    }
    assert_true(fixture->table.connections[0].deadline_ns == sender_ns);
    assert_true(fixture->table.connections[1].deadline_ns > reader_ns);
    close(sender);
    close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_is_answered_and_its_connection_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_large_answer_goes_out_as_its_reader_takes_it_and_others_are_answered_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_successor_goes_on_with_what_has_come_and_with_what_is_not_out, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_a_dead_worker_had_open_is_closed_with_its_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_connection_that_nobody_noted_is_known_as_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(for_one_too_many_the_oldest_goes_but_first_those_that_have_their_answer, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(each_is_given_up_when_its_time_is_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sender_of_a_byte_at_a_time_gets_no_more_time_and_a_reader_that_reads_does,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests_name("httpd", tests, NULL, NULL);
}
