/* client: only a client that has really left is taken for gone, and never one of which nothing is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "diag.h"

/* A web server's connection with a client, and what it says of it in PARAMS. */
struct fixture {
    int lookup, listener, client, server;
    char remote_port[8], server_port[8];
    struct client_ends ends;
};

static void write_port(int fd, char text[static 8], bool is_peers)
{
    struct sockaddr_in6 address;
    socklen_t length = sizeof(address);
    int failed = is_peers ? getpeername(fd, (struct sockaddr *)&address, &length)
                          : getsockname(fd, (struct sockaddr *)&address, &length);
    assert_int_equal(failed, 0);
    /* It is at the same place in both families. */
    snprintf(text, 8, "%u", ntohs(address.sin6_port));
}

static void open_connection(struct fixture *fixture, int server_family, int client_family, const char *address)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(six);
    const struct sockaddr *any = server_family == AF_INET6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    fixture->lookup = diag_open();
    fixture->listener = socket(server_family, SOCK_STREAM, 0);
    fixture->client = socket(client_family, SOCK_STREAM, 0);
    assert_true(fixture->lookup >= 0 && fixture->listener >= 0 && fixture->client >= 0);
    assert_int_equal(bind(fixture->listener, any, server_family == AF_INET6 ? sizeof(six) : sizeof(four)), 0);
    assert_int_equal(listen(fixture->listener, 8), 0);
    assert_int_equal(getsockname(fixture->listener, (struct sockaddr *)&six, &length), 0);
    four.sin_port = six.sin6_port;
    six.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    const struct sockaddr *to = client_family == AF_INET6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    assert_int_equal(connect(fixture->client, to, client_family == AF_INET6 ? sizeof(six) : sizeof(four)), 0);
    fixture->server = accept(fixture->listener, NULL, NULL);
    assert_true(fixture->server >= 0);
    write_port(fixture->server, fixture->remote_port, true);
    write_port(fixture->server, fixture->server_port, false);
    fixture->ends = (struct client_ends){address, fixture->remote_port, address, fixture->server_port};
}

static void close_connection(const struct fixture *fixture)
{
    close(fixture->lookup);
    close(fixture->listener);
    close(fixture->server);
    if (fixture->client >= 0)
        close(fixture->client);
}

static bool has_left(const struct fixture *fixture)
{
    return client_has_left(fixture->lookup, &fixture->ends);
}

static void leave(struct fixture *fixture)
{
    close(fixture->client);
    fixture->client = -1;
}

static void who_has_closed_has_left(void **state)
{
    (void)state;
    static const struct {
        int server, client;
        const char *address;
    } cases[] = {{AF_INET, AF_INET, "127.0.0.1"},
                 {AF_INET6, AF_INET6, "::1"},
                 /* A server for both families, which may show the address in either form. */
                 {AF_INET6, AF_INET, "127.0.0.1"},
                 {AF_INET6, AF_INET, "::ffff:127.0.0.1"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture;
        open_connection(&fixture, cases[i].server, cases[i].client, cases[i].address);
        assert_false(has_left(&fixture));
        leave(&fixture);
        assert_true(has_left(&fixture));
        close_connection(&fixture);
    }
}

static void who_only_closed_the_sending_side_is_taken_for_gone(void **state)
{
    struct fixture fixture;
    (void)state;
    open_connection(&fixture, AF_INET, AF_INET, "127.0.0.1");
    shutdown(fixture.client, SHUT_WR);
    assert_true(has_left(&fixture));
    close_connection(&fixture);
}

/* A reset leaves nothing to be found, as a client elsewhere does; by the same question the listening socket is found. */
static void a_connection_that_is_not_found_counts_as_there(void **state)
{
    struct fixture fixture;
    struct linger at_once = {.l_onoff = 1};
    (void)state;
    open_connection(&fixture, AF_INET, AF_INET, "127.0.0.1");
    setsockopt(fixture.client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    leave(&fixture);
    assert_false(has_left(&fixture));
    fixture.ends.server_port = "1";
    assert_false(has_left(&fixture));
    close_connection(&fixture);
}

/* The other end of a connection whose client has closed: the web server has not, and nothing may be mixed up. */
static void the_ends_are_not_mixed_up(void **state)
{
    struct fixture fixture, other;
    (void)state;
    open_connection(&fixture, AF_INET, AF_INET, "127.0.0.1");
    open_connection(&other, AF_INET, AF_INET, "127.0.0.1");
    leave(&fixture);
    assert_false(has_left(&other));
    struct client_ends mixed = {"127.0.0.1", other.remote_port, "127.0.0.1", fixture.server_port};
    assert_false(client_has_left(fixture.lookup, &mixed));
    assert_true(has_left(&fixture));
    close_connection(&fixture);
    close_connection(&other);
}

static void what_is_no_address_counts_as_there(void **state)
{
    struct fixture fixture;
    (void)state;
    static const char *const addresses[] = {NULL, "", "127.0.0", "127.0.0.1 ", "localhost", "::g", "[::1]", "::1"};
    static const char *const ports[] = {NULL, "", "0", "-1", "65536", "99999999999999999999", "80x", " 80", "+80"};
    open_connection(&fixture, AF_INET, AF_INET, "127.0.0.1");
    leave(&fixture);
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct client_ends one = fixture.ends, two = fixture.ends;
        one.remote_address = addresses[i];
        two.server_address = addresses[i];
        assert_false(client_has_left(fixture.lookup, &one) || client_has_left(fixture.lookup, &two));
    }
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        struct client_ends one = fixture.ends, two = fixture.ends;
        one.remote_port = ports[i];
        two.server_port = ports[i];
        assert_false(client_has_left(fixture.lookup, &one) || client_has_left(fixture.lookup, &two));
    }
    assert_true(has_left(&fixture));
    close_connection(&fixture);
}

/* None, and a socket of another kind. */
static void a_lookup_that_cannot_tell_says_that_the_client_is_there(void **state)
{
    struct fixture fixture;
    (void)state;
    open_connection(&fixture, AF_INET, AF_INET, "127.0.0.1");
    leave(&fixture);
    assert_false(client_has_left(-1, &fixture.ends));
    assert_false(client_has_left(fixture.listener, &fixture.ends));
    assert_true(has_left(&fixture));
    close_connection(&fixture);
}

static void an_answer_that_was_never_read_is_not_taken_for_the_next_one(void **state)
{
    struct fixture fixture, other;
    uint8_t question[128];
    int pair[2];
    (void)state;
    open_connection(&fixture, AF_INET, AF_INET, "127.0.0.1");
    open_connection(&other, AF_INET, AF_INET, "127.0.0.1");
    leave(&fixture);
    /* Its own question of one who left, asked again behind its back. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    client_has_left(pair[0], &fixture.ends);
    ssize_t length = recv(pair[1], question, sizeof(question), 0);
    assert_true(length > 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send(other.lookup, question, (size_t)length, 0), length);
    assert_false(has_left(&other));
    fixture.ends.remote_port = fixture.remote_port;
    assert_true(client_has_left(other.lookup, &fixture.ends));
    close(pair[0]);
    close(pair[1]);
    close_connection(&fixture);
    close_connection(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_closed_has_left),
        cmocka_unit_test(who_only_closed_the_sending_side_is_taken_for_gone),
        cmocka_unit_test(a_connection_that_is_not_found_counts_as_there),
        cmocka_unit_test(the_ends_are_not_mixed_up),
        cmocka_unit_test(what_is_no_address_counts_as_there),
        cmocka_unit_test(a_lookup_that_cannot_tell_says_that_the_client_is_there),
        cmocka_unit_test(an_answer_that_was_never_read_is_not_taken_for_the_next_one),
    };
    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
