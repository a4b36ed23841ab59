/* queue: how long connections waited, from how many did and how many were taken: against queues of which that is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "diag.h"
#include "queue.h"

struct fixture {
    struct scoreboard *board;
    struct queue queue;
};

static struct fixture fixture;

static int make(void **state)
{
    (void)state;
    fixture.board = scoreboard_create();
    queue_init(&fixture.queue, fixture.board, NULL, 0);
    return fixture.board != NULL ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    return munmap(fixture.board, sizeof(*fixture.board));
}

static uint64_t counted(void)
{
    uint64_t count = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += counter_read(&fixture.board->master.waits.counts[i]);
    return count;
}

static double mean_ms(void)
{
    return (double)counter_read(&fixture.board->master.waits.sum_ns) / (double)counted() / 1e6;
}

static uint64_t bucket_of_share(double share)
{
    uint32_t counts[HISTOGRAM_BUCKETS];
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        counts[i] = (uint32_t)counter_read(&fixture.board->master.waits.counts[i]);
    return histogram_quantile_ns(counts, share) / CLOCK_NS_PER_MS;
}

static void look(uint64_t accepted, uint64_t set_aside, uint32_t depth, uint64_t at_ms)
{
    const struct queue_counts counts = {accepted, set_aside};
    queue_note(&fixture.queue, &counts, depth, CLOCK_NS_PER_S + at_ms * CLOCK_NS_PER_MS);
}

/* A server that takes `rate` a second from a queue in which there are always `depth`. */
static void a_steady_queue_has_the_wait_of_littles_law(void **state)
{
    (void)state;
    for (uint64_t i = 0; i <= 200; i++)
        look(i * 40, 0, 98, i * 50);
    /* 98 / (800 a second) = 122.5 ms; the first ones were there before the first look. */
    assert_int_equal(counted(), 200 * 40);
    if (mean_ms() < 115 || mean_ms() > 123)
        fail_msg("the mean wait is %g ms", mean_ms());
    assert_in_range(bucket_of_share(0.5), 112, 132);
}

static void who_is_taken_at_once_has_not_waited(void **state)
{
    (void)state;
    for (uint64_t i = 0; i <= 100; i++)
        look(i * 10, 0, 0, i * 50);
    assert_int_equal(counted(), 1000);
    assert_int_equal(counter_read(&fixture.board->master.waits.counts[0]), 1000);
}

/* 100 come at once, and one is taken each 10 ms: they wait 0 to 1 s, evenly. */
static void a_crowd_that_comes_at_once_waits_longer_from_one_to_the_next(void **state)
{
    (void)state;
    look(0, 0, 0, 0);
    look(0, 0, 100, 1);
    for (uint64_t i = 1; i <= 20; i++)
        look(i * 5, 0, (uint32_t)(100 - i * 5), 1 + i * 50);
    assert_int_equal(counted(), 100);
    if (mean_ms() < 480 || mean_ms() > 520)
        fail_msg("the mean wait is %g ms", mean_ms());
    assert_in_range(bucket_of_share(0.25), 220, 280);
    assert_in_range(bucket_of_share(0.95), 880, 1010);
}

/* Ten wait, two a look are taken, nobody comes; one look falls between an accept and its counting, and sees one too few. */
static void a_look_that_misses_one_does_no_harm(void **state)
{
    (void)state;
    look(0, 0, 0, 0);
    look(0, 0, 10, 50);
    look(1, 0, 8, 100);
    look(4, 0, 6, 150);
    look(6, 0, 4, 200);
    look(8, 0, 2, 250);
    look(10, 0, 0, 300);
    assert_int_equal(counted(), 10);
    if (mean_ms() < 125 || mean_ms() > 165)
        fail_msg("the mean wait is %g ms", mean_ms());
}

static void a_queue_longer_than_the_looks_that_are_kept_is_known_less_exactly(void **state)
{
    (void)state;
    look(0, 0, 0, 0);
    /* 20 come in each 50 ms, one of them is taken: the wait grows to 19/20 of the time. */
    for (uint64_t i = 1; i <= 1000; i++)
        look(i, 0, (uint32_t)(19 * i), i * 50);
    assert_true(fixture.queue.look_count <= QUEUE_LOOKS_MAX);
    assert_int_equal(counted(), 1000);
    assert_in_range(bucket_of_share(0.99), 40000, 50000);
}

static void who_is_set_aside_is_not_counted_here(void **state)
{
    (void)state;
    look(0, 0, 0, 0);
    look(100, 60, 0, 50);
    assert_int_equal(counted(), 40);
}

static void what_cannot_be_asked_is_not_made_up(void **state)
{
    (void)state;
    look(0, 0, 50, 0);
    look(10, 0, HISTORY_NONE, 50);
    look(20, 0, HISTORY_NONE, 100);
    assert_int_equal(counted(), 0);
    look(30, 0, 0, 150);
    look(40, 0, 0, 200);
    assert_int_equal(counted(), 10);
}

static void the_least_and_the_most_are_those_since_the_second_began(void **state)
{
    (void)state;
    look(0, 0, 7, 0);
    queue_begin_second(&fixture.queue);
    look(0, 0, 3, 50);
    look(0, 0, 9, 100);
    look(0, 0, 5, 150);
    assert_int_equal(fixture.queue.least, 3);
    assert_int_equal(fixture.queue.most, 9);
    queue_begin_second(&fixture.queue);
    assert_int_equal(fixture.queue.least, 5);
    assert_int_equal(fixture.queue.most, 5);
}

/* The kernel's own word. */

#define WAITING 5

static int listen_unix(struct sockaddr_un *address)
{
    socklen_t size = sizeof(*address);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const sa_family_t family = AF_UNIX;
    /* The kernel finds a name for it. */
    assert_int_equal(bind(listener, (const struct sockaddr *)&family, sizeof(family)), 0);
    assert_int_equal(listen(listener, 20), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)address, &size), 0);
    return listener;
}

static void the_kernel_tells_the_depth_of_a_unix_queue(void **state)
{
    (void)state;
    struct sockaddr_un address = {0};
    struct listener listeners[2] = {{.fd = listen_unix(&address)}, {.fd = listen_unix(&(struct sockaddr_un){0})}};
    int diag = diag_open(), clients[WAITING];
    for (size_t i = 0; i < WAITING; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(clients[i], (struct sockaddr *)&address, sizeof(sa_family_t) + 6), 0);
    }
    queue_init(&fixture.queue, fixture.board, listeners, 2);
    assert_int_equal(queue_tick(&fixture.queue, diag, 1000), 1000 + QUEUE_STEP_NS);
    assert_int_equal(atomic_load(&fixture.board->master.queue_depth), WAITING);
    assert_int_equal(atomic_load(&fixture.board->master.queue_capacity), 40);
    for (size_t i = 0; i < WAITING; i++)
        close(clients[i]);
    close(listeners[0].fd);
    close(listeners[1].fd);
    close(diag);
}

static void without_diag_the_depth_of_a_unix_queue_is_not_known(void **state)
{
    (void)state;
    struct sockaddr_un address = {0};
    const struct listener listener = {.fd = listen_unix(&address)};
    queue_init(&fixture.queue, fixture.board, &listener, 1);
    assert_int_equal(queue_tick(&fixture.queue, -1, 1000), 1000 + CLOCK_NS_PER_S);
    assert_int_equal(atomic_load(&fixture.board->master.queue_depth), HISTORY_NONE);
    assert_int_equal(atomic_load(&fixture.board->master.queue_capacity), HISTORY_NONE);
    close(listener.fd);
}

static void the_kernel_tells_the_depth_of_a_tcp_queue(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    struct diag_queue queue;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 20), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, size), 0);
    assert_int_equal(diag_read_tcp_queue(listener, &queue), 0);
    assert_int_equal(queue.depth, 1);
    assert_int_equal(queue.capacity, 20);
    close(client);
    close(listener);
}

#define WITH_A_QUEUE(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_QUEUE(a_steady_queue_has_the_wait_of_littles_law),
        WITH_A_QUEUE(who_is_taken_at_once_has_not_waited),
        WITH_A_QUEUE(a_crowd_that_comes_at_once_waits_longer_from_one_to_the_next),
        WITH_A_QUEUE(a_look_that_misses_one_does_no_harm),
        WITH_A_QUEUE(a_queue_longer_than_the_looks_that_are_kept_is_known_less_exactly),
        WITH_A_QUEUE(who_is_set_aside_is_not_counted_here),
        WITH_A_QUEUE(what_cannot_be_asked_is_not_made_up),
        WITH_A_QUEUE(the_least_and_the_most_are_those_since_the_second_began),
        WITH_A_QUEUE(the_kernel_tells_the_depth_of_a_unix_queue),
        WITH_A_QUEUE(without_diag_the_depth_of_a_unix_queue_is_not_known),
        WITH_A_QUEUE(the_kernel_tells_the_depth_of_a_tcp_queue),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
