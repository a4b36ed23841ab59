/* outbox: an answer reaches its reader once and whole, however slowly that reads and whoever dies on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "outbox.h"
#include "pair.h"

#define LARGE ((size_t)3 * 1024 * 1024) /* more than any socket buffer takes */
#define KILLS 60

static uint8_t answer[LARGE], received[LARGE];
static volatile sig_atomic_t signals;

/* No two places of it look alike, so that a piece which comes twice or never shows. */
static int fill_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < LARGE / 4; i++) {
        uint32_t word = (uint32_t)i * 2654435761U;
        memcpy(answer + 4 * i, &word, 4);
    }
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static void write_answer(int file, const uint8_t *bytes, size_t length)
{
    assert_int_equal(outbox_begin(file), 0);
    assert_int_equal(write(file, bytes, length), length);
    assert_int_equal(outbox_finish(file), length);
    assert_int_equal(outbox_sent(file), 0);
}

static int make_answer(const uint8_t *bytes, size_t length)
{
    int file = outbox_make_file();
    assert_true(file >= 0);
    write_answer(file, bytes, length);
    return file;
}

/* What the peer can read now, behind what it has; returns the new length. */
static size_t read_more(int peer, size_t length, size_t most)
{
    while (most > 0) {
        ssize_t got = recv(peer, received + length, most < LARGE - length ? most : LARGE - length, MSG_DONTWAIT);
        if (got <= 0)
            break;
        length += (size_t)got;
        most -= (size_t)got;
    }
    return length;
}

static void expect_nothing_more(int peer)
{
    char byte;
    assert_int_equal(recv(peer, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static void wait_until_readable(int peer)
{
    struct pollfd readable = {.fd = peer, .events = POLLIN};
    int ready;
    do
        ready = poll(&readable, 1, 10000);
    while (ready < 0 && errno == EINTR);
    assert_int_equal(ready, 1);
}

/* The peer, which has got of it already, gets the whole answer and nothing else. */
static void expect_received(int peer, size_t length, size_t got)
{
    while (got < length) {
        wait_until_readable(peer);
        got = read_more(peer, got, SIZE_MAX);
    }
    assert_int_equal(got, length);
    assert_memory_equal(received, answer, length);
    expect_nothing_more(peer);
}

/* Sends on and reads on until all of it is there. */
static void expect_the_rest(int file, const struct pair *pair, size_t length, size_t got)
{
    enum outbox_result result;
    while ((result = outbox_send(file, pair->connection, length)) == OUTBOX_MORE)
        got = read_more(pair->peer, got, SIZE_MAX);
    assert_int_equal(result, OUTBOX_SENT);
    assert_int_equal(outbox_sent(file), length);
    expect_received(pair->peer, length, got);
}

static void expect_lowest_free(int wanted)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    close(fd);
    assert_int_equal(fd, wanted);
}

static void an_answer_of_any_length_arrives_byte_for_byte(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 2, 4095, 4096, 4097, 65535, 65536, 200001, LARGE};
    for (size_t i = 0; i < PAIR_KINDS * sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct pair pair;
        size_t length = lengths[i / PAIR_KINDS];
        int file = make_answer(answer, length);
        pair_open(&pair, (enum pair_kind)(i % PAIR_KINDS));
        expect_the_rest(file, &pair, length, 0);
        pair_close(&pair);
        close(file);
    }
}

static void an_empty_answer_is_sent_at_once(void **state)
{
    (void)state;
    struct pair pair;
    int file = make_answer(answer, 0), copy = outbox_copy(file, 0);
    pair_open(&pair, PAIR_UNIX);
    assert_int_equal(outbox_send(file, pair.connection, 0), OUTBOX_SENT);
    assert_true(copy >= 0);
    assert_int_equal(outbox_send(copy, pair.connection, 0), OUTBOX_SENT);
    expect_nothing_more(pair.peer);
    pair_close(&pair);
    close(file);
    close(copy);
}

static void a_peer_that_does_not_read_stops_it_and_gets_the_rest_later(void **state)
{
    (void)state;
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        struct pair pair;
        int file = make_answer(answer, LARGE);
        pair_open(&pair, (enum pair_kind)kind);
        assert_int_equal(outbox_send(file, pair.connection, LARGE), OUTBOX_MORE);
        uint64_t sent = outbox_sent(file);
        assert_in_range(sent, 1, LARGE - 1);
        /* As often as somebody tries. */
        assert_int_equal(outbox_send(file, pair.connection, LARGE), OUTBOX_MORE);
        assert_true(outbox_sent(file) >= sent);
        expect_the_rest(file, &pair, LARGE, 0);
        pair_close(&pair);
        close(file);
    }
}

static void a_peer_that_reads_in_small_pieces_gets_it_whole(void **state)
{
    (void)state;
    struct pair pair;
    size_t got = 0;
    int file = make_answer(answer, LARGE);
    pair_open(&pair, PAIR_UNIX);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(outbox_send(file, pair.connection, LARGE), OUTBOX_MORE);
        got = read_more(pair.peer, got, 1 + (size_t)i % 997);
    }
    expect_the_rest(file, &pair, LARGE, got);
    pair_close(&pair);
    close(file);
}

static void an_answer_that_is_out_is_not_sent_again(void **state)
{
    (void)state;
    struct pair pair;
    int file = make_answer(answer, 5000);
    pair_open(&pair, PAIR_UNIX);
    expect_the_rest(file, &pair, 5000, 0);
    assert_int_equal(outbox_send(file, pair.connection, 5000), OUTBOX_SENT);
    expect_nothing_more(pair.peer);
    pair_close(&pair);
    close(file);
}

static void a_peer_that_has_gone_is_told_by_epipe(void **state)
{
    (void)state;
    struct pair pair;
    int file = make_answer(answer, LARGE);
    pair_open(&pair, PAIR_UNIX);
    close(pair.peer);
    assert_int_equal(outbox_send(file, pair.connection, LARGE), OUTBOX_FAILED);
    assert_int_equal(errno, EPIPE);
    close(pair.connection);
    /* Also where it leaves in the middle. */
    pair_open(&pair, PAIR_UNIX);
    assert_int_equal(outbox_send(file, pair.connection, LARGE), OUTBOX_MORE);
    close(pair.peer);
    assert_int_equal(outbox_send(file, pair.connection, LARGE), OUTBOX_FAILED);
    assert_true(errno == EPIPE || errno == ECONNRESET);
    close(pair.connection);
    close(file);
}

static void an_answer_that_ends_before_its_length_fails_and_does_not_hang(void **state)
{
    (void)state;
    struct pair pair;
    int file = make_answer(answer, 100);
    pair_open(&pair, PAIR_UNIX);
    assert_int_equal(outbox_send(file, pair.connection, 101), OUTBOX_FAILED);
    assert_int_equal(outbox_copy(file, 101), -1);
    pair_close(&pair);
    close(file);
}

/* The kernel sends the file's own pages. */
static void what_a_peer_has_not_read_yet_does_not_change_with_the_next_answer(void **state)
{
    (void)state;
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        struct pair first, second;
        int file = make_answer(answer, 20000);
        pair_open(&first, (enum pair_kind)kind);
        pair_open(&second, (enum pair_kind)kind);
        assert_int_equal(outbox_send(file, first.connection, 20000), OUTBOX_SENT);
        write_answer(file, answer + 1, 10000);
        assert_int_equal(outbox_send(file, second.connection, 10000), OUTBOX_SENT);
        write_answer(file, answer + 2, 20000);
        expect_received(first.peer, 20000, 0);
        pair_close(&first);
        pair_close(&second);
        close(file);
    }
}

static void a_copy_goes_on_where_the_answer_was(void **state)
{
    (void)state;
    struct pair pair;
    int file = make_answer(answer, LARGE);
    pair_open(&pair, PAIR_UNIX);
    assert_int_equal(outbox_send(file, pair.connection, LARGE), OUTBOX_MORE);
    uint64_t sent = outbox_sent(file);
    int copy = outbox_copy(file, LARGE);
    assert_true(copy >= 0);
    assert_int_equal(outbox_sent(copy), sent);
    assert_int_equal(outbox_sent(file), sent);
    write_answer(file, answer + 1, 100000);
    expect_the_rest(copy, &pair, LARGE, 0);
    assert_int_equal(outbox_sent(file), 0);
    pair_close(&pair);
    close(file);
    close(copy);
}

static void without_a_descriptor_there_is_no_copy_and_nothing_is_left_open(void **state)
{
    (void)state;
    struct rlimit before, none;
    int file = make_answer(answer, 5000), lowest = file + 1;
    expect_lowest_free(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int copy = outbox_copy(file, 5000), error = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(copy, -1);
    assert_int_equal(error, EMFILE);
    assert_int_equal(outbox_copy(file, LARGE), -1);
    expect_lowest_free(lowest);
    close(file);
}

/* The master knows the files that workers make by that name: see FILE_NAME in pool.c. */
static void a_file_is_closed_on_exec_and_its_name_tells_whose_it_is(void **state)
{
    (void)state;
    char link[64], name[64] = "";
    int file = outbox_make_file();
    assert_int_equal(fcntl(file, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
    assert_true(readlink(link, name, sizeof(name) - 1) > 0);
    assert_memory_equal(name, "/memfd:fibcgi-", 14);
    close(file);
}

static void count_signal(int signal_number)
{
    (void)signal_number;
    signals++;
}

/* An application may have a timer. */
static void signals_in_the_middle_do_no_harm(void **state)
{
    (void)state;
    const struct itimerval often = {{0, 100}, {0, 100}}, never = {0};
    const struct sigaction action = {.sa_handler = count_signal};
    int file = make_answer(answer, LARGE);
    signals = 0;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    while (signals < 1000) {
        struct pair pair;
        pair_open(&pair, PAIR_UNIX);
        int copy = outbox_copy(file, LARGE);
        assert_true(copy >= 0);
        expect_the_rest(copy, &pair, LARGE, 0);
        close(copy);
        pair_close(&pair);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    signal(SIGALRM, SIG_DFL);
    close(file);
}

/* Sends until all is out, as a worker would that is woken when the peer has read. */
static pid_t start_sender(int file, int connection)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct pollfd writable = {.fd = connection, .events = POLLOUT};
        alarm(30);
        while (outbox_send(file, connection, LARGE) == OUTBOX_MORE)
            poll(&writable, 1, -1);
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void whoever_goes_on_after_a_death_sends_the_rest_and_nothing_twice(void **state)
{
    (void)state;
    for (int kind = 0; kind < PAIR_KINDS; kind++) {
        struct pair pair;
        size_t got = 0;
        int file = make_answer(answer, LARGE);
        pair_open(&pair, (enum pair_kind)kind);
        for (int i = 0; i < KILLS && outbox_sent(file) < LARGE; i++) {
            pid_t pid = start_sender(file, pair.connection);
            wait_until_readable(pair.peer);
            got = read_more(pair.peer, got, 1000 + (size_t)i * 977 % 50000);
            kill(pid, SIGKILL);
            assert_int_equal(waitpid(pid, NULL, 0), pid);
        }
        expect_the_rest(file, &pair, LARGE, got);
        pair_close(&pair);
        close(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_of_any_length_arrives_byte_for_byte),
        cmocka_unit_test(an_empty_answer_is_sent_at_once),
        cmocka_unit_test(a_peer_that_does_not_read_stops_it_and_gets_the_rest_later),
        cmocka_unit_test(a_peer_that_reads_in_small_pieces_gets_it_whole),
        cmocka_unit_test(an_answer_that_is_out_is_not_sent_again),
        cmocka_unit_test(a_peer_that_has_gone_is_told_by_epipe),
        cmocka_unit_test(an_answer_that_ends_before_its_length_fails_and_does_not_hang),
        cmocka_unit_test(what_a_peer_has_not_read_yet_does_not_change_with_the_next_answer),
        cmocka_unit_test(a_copy_goes_on_where_the_answer_was),
        cmocka_unit_test(without_a_descriptor_there_is_no_copy_and_nothing_is_left_open),
        cmocka_unit_test(a_file_is_closed_on_exec_and_its_name_tells_whose_it_is),
        cmocka_unit_test(signals_in_the_middle_do_no_harm),
        cmocka_unit_test(whoever_goes_on_after_a_death_sends_the_rest_and_nothing_twice),
    };
    return cmocka_run_group_tests_name("outbox", tests, fill_answer, NULL);
}
