/* diag: who is on a port: its listeners and the connections that its end has not closed, and nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "diag.h"

#define MANY 300

struct fixture {
    int diag, listener;
    uint16_t port;
    struct sockaddr_in6 address; /* as one would connect to it */
};

static struct sockaddr_in6 loopback(int family, uint16_t port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(port)};
    struct sockaddr_in four = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    if (family == AF_INET)
        memcpy(&six, &four, sizeof(four));
    return six;
}

static int listen_on(int family, struct sockaddr_in6 *address)
{
    socklen_t size = sizeof(*address);
    int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)address, size), 0);
    assert_int_equal(listen(listener, 512), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)address, &size), 0);
    return listener;
}

static void open_fixture(struct fixture *fixture, int family, const struct in6_addr *any)
{
    struct sockaddr_in6 bound = loopback(family, 0);
    if (any != NULL)
        bound.sin6_addr = *any;
    fixture->diag = diag_open();
    assert_true(fixture->diag >= 0);
    fixture->listener = listen_on(family, &bound);
    /* It is at the same place in both families. */
    fixture->port = ntohs(bound.sin6_port);
    fixture->address = loopback(family, fixture->port);
}

static int connect_to(const struct sockaddr_in6 *address)
{
    int client = socket(address->sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client >= 0);
    assert_int_equal(connect(client, (const struct sockaddr *)address, sizeof(*address)), 0);
    return client;
}

static int accept_from(const struct fixture *fixture)
{
    int server = accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    return server;
}

static int count(const struct fixture *fixture)
{
    return diag_count_on_port(fixture->diag, fixture->port);
}

static void follow_a_connection(int family)
{
    struct fixture fixture;
    open_fixture(&fixture, family, NULL);
    assert_int_equal(count(&fixture), 1);
    int client = connect_to(&fixture.address);
    int server = accept_from(&fixture);
    /* The client's end has the port as its peer's. */
    assert_int_equal(count(&fixture), 2);
    close(fixture.listener);
    assert_int_equal(count(&fixture), 1);
    shutdown(client, SHUT_WR);
    assert_int_equal(count(&fixture), 1);
    close(server);
    assert_int_equal(count(&fixture), 0);
    close(client);
    assert_int_equal(count(&fixture), 0);
    close(fixture.diag);
}

static void listeners_and_connections_count_until_they_are_closed(void **state)
{
    (void)state;
    follow_a_connection(AF_INET);
    follow_a_connection(AF_INET6);
}

/* The web server has closed; its peer has not, and has not read what was sent. */
static void an_end_that_is_closed_does_not_count_although_its_peer_is_there(void **state)
{
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, AF_INET, NULL);
    int client = connect_to(&fixture.address);
    int server = accept_from(&fixture);
    assert_int_equal(send(server, "x", 1, 0), 1);
    close(fixture.listener);
    close(server);
    assert_int_equal(count(&fixture), 0);
    close(client);
    close(fixture.diag);
}

static void a_listener_for_both_families_has_the_connections_of_both(void **state)
{
    static const struct in6_addr any = IN6ADDR_ANY_INIT;
    struct fixture fixture;
    (void)state;
    open_fixture(&fixture, AF_INET6, &any);
    struct sockaddr_in6 four = loopback(AF_INET, fixture.port), six = loopback(AF_INET6, fixture.port);
    int clients[] = {connect_to(&four), connect_to(&six)};
    int servers[] = {accept_from(&fixture), accept_from(&fixture)};
    assert_int_equal(count(&fixture), 3);
    close(fixture.listener);
    close(servers[0]);
    assert_int_equal(count(&fixture), 1);
    close(servers[1]);
    assert_int_equal(count(&fixture), 0);
    close(clients[0]);
    close(clients[1]);
    close(fixture.diag);
}

static void a_list_of_many_parts_is_read_to_its_end(void **state)
{
    struct fixture fixture;
    int clients[MANY], servers[MANY];
    (void)state;
    open_fixture(&fixture, AF_INET, NULL);
    for (int i = 0; i < MANY; i++) {
        clients[i] = connect_to(&fixture.address);
        servers[i] = accept_from(&fixture);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(count(&fixture), MANY + 1);
    close(fixture.listener);
    for (int i = 0; i < MANY; i++)
        close(servers[i]);
    assert_int_equal(count(&fixture), 0);
    for (int i = 0; i < MANY; i++)
        close(clients[i]);
    close(fixture.diag);
}

static void other_ports_do_not_count(void **state)
{
    struct fixture fixture, other;
    (void)state;
    open_fixture(&fixture, AF_INET, NULL);
    open_fixture(&other, AF_INET, NULL);
    close(fixture.listener);
    assert_int_equal(count(&fixture), 0);
    assert_int_equal(count(&other), 1);
    close(other.listener);
    close(other.diag);
    close(fixture.diag);
}

/* None, and sockets of other kinds. */
static void what_cannot_be_told_is_not_told(void **state)
{
    int pair[2];
    (void)state;
    assert_int_equal(diag_count_on_port(-1, 80), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(diag_count_on_port(pair[0], 80), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(send(pair[1], "no message of netlink", 21, 0), 21);
    assert_int_equal(diag_count_on_port(pair[0], 80), -1);
    assert_int_equal(errno, EPROTO);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_and_connections_count_until_they_are_closed),
        cmocka_unit_test(an_end_that_is_closed_does_not_count_although_its_peer_is_there),
        cmocka_unit_test(a_listener_for_both_families_has_the_connections_of_both),
        cmocka_unit_test(a_list_of_many_parts_is_read_to_its_end),
        cmocka_unit_test(other_ports_do_not_count),
        cmocka_unit_test(what_cannot_be_told_is_not_told),
    };
    return cmocka_run_group_tests_name("diag", tests, NULL, NULL);
}
