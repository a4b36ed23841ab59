/* connections: who has a connection, from its accept to its end, also where the one who has it dies on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "connections.h"

#define MASTER 100
#define ACCEPTED_NS 12345
#define DEADLINE_NS 1000
#define MANY 64

/* A table, as this process sees it and as another worker does, and a connection with its peer. */
struct fixture {
    struct connections connections;
    struct connections other;
    int fd;
    int peer;
};

/* A process that takes part: what it returns becomes its exit status. An assertion there would go on with the tests. */
typedef int child_work(struct fixture *fixture, struct connections *connections);

static void open_connection(int *fd, int *peer)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    *fd = pair[0];
    *peer = pair[1];
}

static int make(void **state)
{
    static struct fixture fixture;
    if (connections_create(&fixture.connections) != 0)
        return -1;
    fixture.connections.slot = 0;
    fixture.other = fixture.connections;
    fixture.other.slot = 7;
    open_connection(&fixture.fd, &fixture.peer);
    *state = &fixture;
    return 0;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    if (is_open(fixture->fd))
        close(fixture->fd);
    close(fixture->peer);
    close(fixture->connections.ready);
    /* What lies behind the table fits in one more entry. */
    return munmap(fixture->connections.table, sizeof(struct connection[CONNECTIONS_MAX + 1]));
}

static struct connection *entry(const struct fixture *fixture)
{
    return connections_at(&fixture->connections, fixture->fd);
}

static uint32_t state_of(const struct fixture *fixture, int fd)
{
    return atomic_load(&connections_at(&fixture->connections, fd)->state);
}

static void set_stage(const struct fixture *fixture, enum connection_stage stage)
{
    atomic_store(&entry(fixture)->stage, (uint32_t)stage);
}

static void hold(struct fixture *fixture)
{
    assert_true(connections_hold(&fixture->connections, fixture->fd, ACCEPTED_NS));
}

static void park(struct fixture *fixture, const char *text)
{
    assert_int_equal(
        connections_park(&fixture->connections, fixture->fd, (const uint8_t *)text, strlen(text), DEADLINE_NS), 0);
}

static void send_from(int peer)
{
    assert_int_equal(send(peer, "x", 1, MSG_NOSIGNAL), 1);
}

/* A memory file, as a worker's inbox is. */
static int make_store(const char *text)
{
    int store = memfd_create("test", MFD_CLOEXEC);
    assert_true(store >= 0);
    assert_int_equal(write(store, text, strlen(text)), strlen(text));
    return store;
}

static void expect_stored(const struct fixture *fixture, const char *text)
{
    char bytes[256] = "";
    uint64_t length = atomic_load(&entry(fixture)->length);
    assert_int_equal(length, strlen(text));
    assert_int_equal(pread(atomic_load(&entry(fixture)->store), bytes, length, 0), length);
    assert_string_equal(bytes, text);
}

static void expect_parked(const struct fixture *fixture, unsigned count)
{
    assert_int_equal(connections_parked(&fixture->connections), count);
    assert_int_equal(connections_parked(&fixture->other), count);
}

static void expect_nobodys(const struct fixture *fixture, int fd)
{
    assert_int_equal(state_of(fixture, fd), CONNECTION_NONE);
    assert_false(is_open(fd));
    assert_int_equal(errno, EBADF);
}

/* The peer of a connection that is open sees nothing, that of a closed one its end. */
static void expect_peer_sees(int peer, bool is_closed)
{
    char byte;
    errno = 0;
    ssize_t received = recv(peer, &byte, 1, MSG_DONTWAIT);
    if (is_closed)
        assert_true(received == 0 || errno == ECONNRESET);
    else
        assert_true(received < 0 && errno == EAGAIN);
}

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

/* Starts a process with that slot: with a copy of the descriptors, or as a worker is made, with the same ones. */
static pid_t start(struct fixture *fixture, unsigned slot, bool shares_files, child_work *work)
{
    pid_t pid = shares_files ? (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL) : fork();
    if (pid == 0) {
        struct connections connections = fixture->connections;
        connections.slot = slot;
        alarm(30);
        _exit(work(fixture, &connections));
    }
    assert_true(pid > 0);
    return pid;
}

static int status_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static unsigned exit_of(pid_t pid)
{
    int status = status_of(pid);
    assert_true(WIFEXITED(status));
    return (unsigned)WEXITSTATUS(status);
}

static void expect_killed(pid_t pid)
{
    int status = status_of(pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static int die(void)
{
    raise(SIGKILL);
    return 1;
}

/* Held and parked. */

static void a_new_connection_is_held_and_not_taken(void **state)
{
    struct fixture *fixture = *state;
    send_from(fixture->peer);
    hold(fixture);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(0));
    assert_int_equal(atomic_load(&entry(fixture)->accepted_ns), ACCEPTED_NS);
    assert_int_equal(connections_take(&fixture->connections), -1);
    assert_int_equal(connections_take(&fixture->other), -1);
    expect_parked(fixture, 0);
}

static void a_parked_connection_waits_for_its_peer(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    park(fixture, "");
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_PARKED);
    assert_int_equal(atomic_load(&entry(fixture)->deadline_ns), DEADLINE_NS);
    assert_int_equal(connections_take(&fixture->other), -1);
    expect_parked(fixture, 1);
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(7));
    expect_parked(fixture, 0);
    assert_int_equal(connections_take(&fixture->connections), -1);
}

static void a_parked_connection_is_taken_when_its_peer_ends_its_side_or_hangs_up(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    park(fixture, "");
    assert_int_equal(shutdown(fixture->peer, SHUT_WR), 0);
    assert_int_equal(connections_take(&fixture->connections), fixture->fd);
    connections_drop(&fixture->connections, fixture->fd);
    close(fixture->peer);
    open_connection(&fixture->fd, &fixture->peer);
    hold(fixture);
    park(fixture, "");
    close(fixture->peer);
    assert_int_equal(connections_take(&fixture->connections), fixture->fd);
    fixture->peer = -1;
}

static void a_connection_that_has_something_to_read_is_taken_as_soon_as_it_is_parked(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    send_from(fixture->peer);
    for (int i = 0; i < 3; i++) {
        park(fixture, "");
        assert_int_equal(connections_take(&fixture->connections), fixture->fd);
        assert_int_equal(connections_take(&fixture->connections), -1);
    }
}

static void a_connection_that_is_not_parked_any_more_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    int second, second_peer;
    open_connection(&second, &second_peer);
    hold(fixture);
    park(fixture, "");
    send_from(fixture->peer);
    assert_true(connections_hold(&fixture->other, second, 0));
    assert_int_equal(connections_park(&fixture->other, second, NULL, 0, DEADLINE_NS), 0);
    send_from(second_peer);
    /* As by a worker that had its event before. */
    atomic_store(&entry(fixture)->state, CONNECTION_HELD_BY(3));
    assert_int_equal(connections_take(&fixture->connections), second);
    assert_int_equal(connections_take(&fixture->connections), -1);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(3));
    connections_drop(&fixture->connections, second);
    close(second_peer);
}

static void a_connection_that_cannot_be_watched_stays_held(void **state)
{
    struct fixture *fixture = *state;
    struct connections broken = fixture->connections;
    broken.ready = -1;
    hold(fixture);
    errno = 0;
    assert_int_equal(connections_park(&broken, fixture->fd, NULL, 0, DEADLINE_NS), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(0));
    expect_parked(fixture, 0);
    assert_true(is_open(fixture->fd));
}

static void descriptors_beyond_the_table_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const int beyond[] = {CONNECTIONS_MAX, CONNECTIONS_MAX + 1, INT_MAX};
    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
        assert_false(connections_hold(&fixture->connections, beyond[i], ACCEPTED_NS));
        assert_false(connections_adopt(&fixture->connections, beyond[i], 0, DEADLINE_NS));
    }
    assert_int_equal(atomic_load(fixture->connections.highest), 0);
    expect_parked(fixture, 0);
    assert_true(connections_hold(&fixture->connections, CONNECTIONS_MAX - 1, ACCEPTED_NS));
    assert_int_equal(connections_held_by(&fixture->connections, 0, 0), CONNECTIONS_MAX - 1);
}

/* What is kept of a connection. */

static void bytes_that_were_taken_come_back(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    park(fixture, "a request");
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    expect_stored(fixture, "a request");
    assert_int_equal(fcntl(atomic_load(&entry(fixture)->store), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    connections_drop(&fixture->other, fixture->fd);
}

static void more_bytes_go_to_the_same_store(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    send_from(fixture->peer);
    park(fixture, "a request");
    assert_int_equal(connections_take(&fixture->connections), fixture->fd);
    int store = atomic_load(&entry(fixture)->store);
    park(fixture, "a request that goes on");
    assert_int_equal(atomic_load(&entry(fixture)->store), store);
    expect_stored(fixture, "a request that goes on");
    assert_int_equal(connections_take(&fixture->connections), fixture->fd);
    park(fixture, "less");
    expect_stored(fixture, "less");
    assert_int_equal(connections_take(&fixture->connections), fixture->fd);
    park(fixture, "");
    assert_int_equal(atomic_load(&entry(fixture)->length), 0);
    assert_int_equal(connections_take(&fixture->connections), fixture->fd);
    connections_drop(&fixture->connections, fixture->fd);
}

static void a_silent_peer_costs_no_store(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    unsigned before = count_descriptors();
    park(fixture, "");
    assert_int_equal(count_descriptors(), before);
    assert_int_equal(atomic_load(&entry(fixture)->store), 0);
}

static void a_connection_whose_bytes_cannot_be_kept_stays_held(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before, none;
    hold(fixture);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int result = connections_park(&fixture->connections, fixture->fd, (const uint8_t *)"x", 1, DEADLINE_NS);
    int error = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(result, -1);
    assert_int_equal(error, EMFILE);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(0));
    expect_parked(fixture, 0);
    /* The next try may do better. */
    park(fixture, "x");
    expect_stored(fixture, "x");
    assert_int_equal(connections_sweep(&fixture->connections, DEADLINE_NS), 1);
}

static void stage_deaths_and_age_stay_while_it_is_parked(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    set_stage(fixture, STAGE_LINGERING);
    atomic_store(&entry(fixture)->deaths, 1);
    park(fixture, "");
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    assert_int_equal(atomic_load(&entry(fixture)->stage), STAGE_LINGERING);
    assert_int_equal(atomic_load(&entry(fixture)->deaths), 1);
    assert_int_equal(atomic_load(&entry(fixture)->accepted_ns), ACCEPTED_NS);
}

/* The end of a connection. */

static void a_dropped_connection_is_closed_with_its_store(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    park(fixture, "a request");
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->connections), fixture->fd);
    int store = atomic_load(&entry(fixture)->store);
    expect_peer_sees(fixture->peer, false);
    connections_drop(&fixture->connections, fixture->fd);
    expect_nobodys(fixture, fixture->fd);
    assert_false(is_open(store));
    expect_peer_sees(fixture->peer, true);
    assert_int_equal(connections_held_by(&fixture->connections, 0, 0), -1);
}

static void the_next_connection_of_the_same_number_starts_clean(void **state)
{
    struct fixture *fixture = *state;
    int number = fixture->fd, fd, peer;
    hold(fixture);
    set_stage(fixture, STAGE_ANSWERING);
    connections_bequeath(&fixture->connections, fixture->fd, make_store("old"), 3, DEADLINE_NS);
    assert_int_equal(connections_take(&fixture->connections), fixture->fd);
    connections_drop(&fixture->connections, fixture->fd);
    close(fixture->peer);
    open_connection(&fd, &peer);
    assert_true(fd == number || dup3(fd, number, O_CLOEXEC) == number);
    assert_true(fd == number || close(fd) == 0);
    assert_true(connections_hold(&fixture->other, number, 99));
    fixture->peer = peer;
    assert_int_equal(state_of(fixture, number), CONNECTION_HELD_BY(7));
    assert_int_equal(atomic_load(&entry(fixture)->stage), STAGE_RECEIVING);
    assert_int_equal(atomic_load(&entry(fixture)->deaths), 0);
    assert_int_equal(atomic_load(&entry(fixture)->store), 0);
    assert_int_equal(atomic_load(&entry(fixture)->length), 0);
    assert_int_equal(atomic_load(&entry(fixture)->accepted_ns), 99);
    assert_int_equal(connections_take(&fixture->connections), -1);
}

static void only_connections_whose_time_is_over_are_given_up(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    park(fixture, "a request");
    int store = atomic_load(&entry(fixture)->store);
    assert_int_equal(connections_sweep(&fixture->connections, DEADLINE_NS - 1), 0);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_PARKED);
    expect_peer_sees(fixture->peer, false);
    assert_int_equal(connections_sweep(&fixture->connections, DEADLINE_NS), 1);
    expect_nobodys(fixture, fixture->fd);
    assert_false(is_open(store));
    expect_peer_sees(fixture->peer, true);
    expect_parked(fixture, 0);
    assert_int_equal(connections_sweep(&fixture->connections, UINT64_MAX), 0);
}

static void a_held_connection_is_not_given_up_however_late(void **state)
{
    struct fixture *fixture = *state;
    int second, second_peer;
    hold(fixture);
    park(fixture, "");
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    open_connection(&second, &second_peer);
    assert_true(connections_hold(&fixture->connections, second, 0));
    assert_int_equal(connections_park(&fixture->connections, second, NULL, 0, DEADLINE_NS), 0);
    assert_int_equal(connections_sweep(&fixture->connections, UINT64_MAX), 1);
    expect_nobodys(fixture, second);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(7));
    assert_true(is_open(fixture->fd));
    close(second_peer);
}

static void peers_that_linger_are_given_up_but_not_counted(void **state)
{
    struct fixture *fixture = *state;
    int fds[4], peers[4];
    static const enum connection_stage stages[] = {STAGE_LINGERING, STAGE_RECEIVING, STAGE_LINGERING, STAGE_UNSURE};
    for (int i = 0; i < 4; i++) {
        open_connection(&fds[i], &peers[i]);
        assert_true(connections_hold(&fixture->connections, fds[i], 0));
        atomic_store(&connections_at(&fixture->connections, fds[i])->stage, (uint32_t)stages[i]);
        assert_int_equal(connections_park(&fixture->connections, fds[i], NULL, 0, DEADLINE_NS), 0);
    }
    assert_int_equal(connections_sweep(&fixture->connections, DEADLINE_NS + 1), 2);
    for (int i = 0; i < 4; i++) {
        expect_nobodys(fixture, fds[i]);
        close(peers[i]);
    }
    expect_parked(fixture, 0);
}

static void a_full_cycle_leaves_no_descriptor(void **state)
{
    struct fixture *fixture = *state;
    unsigned before = count_descriptors();
    for (int i = 0; i < 10; i++) {
        int number = fixture->fd;
        hold(fixture);
        park(fixture, "a request");
        connections_watch_again(&fixture->connections);
        assert_int_equal(connections_take(&fixture->other), number);
        set_stage(fixture, STAGE_SERVING);
        connections_bequeath(&fixture->connections, number, make_store("the whole request"), 17, DEADLINE_NS);
        assert_int_equal(connections_take(&fixture->other), number);
        connections_bequeath(&fixture->connections, number, 0, 0, DEADLINE_NS);
        expect_stored(fixture, "the whole request");
        if (i % 2 == 0) {
            assert_int_equal(connections_sweep(&fixture->connections, DEADLINE_NS), 1);
        } else {
            assert_int_equal(connections_take(&fixture->connections), number);
            connections_drop(&fixture->connections, number);
        }
        close(fixture->peer);
        open_connection(&fixture->fd, &fixture->peer);
        assert_true(connections_adopt(&fixture->connections, fixture->fd, 0, DEADLINE_NS));
        assert_int_equal(connections_take(&fixture->connections), fixture->fd);
        assert_int_equal(count_descriptors(), before);
        expect_parked(fixture, 0);
    }
}

/* What a dead worker leaves. */

static void a_bequeathed_connection_is_taken_at_once(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    fixture->connections.slot = MASTER;
    connections_bequeath(&fixture->connections, fixture->fd, 0, 0, DEADLINE_NS);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_PARKED);
    assert_int_equal(atomic_load(&entry(fixture)->deadline_ns), DEADLINE_NS);
    expect_parked(fixture, 1);
    expect_peer_sees(fixture->peer, false);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    assert_int_equal(connections_take(&fixture->other), -1);
    expect_parked(fixture, 0);
    /* The next one who parks it waits for its peer again. */
    assert_int_equal(connections_park(&fixture->other, fixture->fd, NULL, 0, DEADLINE_NS), 0);
    assert_int_equal(connections_take(&fixture->other), -1);
}

static void a_death_counts_only_while_the_application_has_the_request(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        enum connection_stage stage;
        uint32_t deaths;
    } expected[] = {{STAGE_RECEIVING, 0}, {STAGE_SERVING, 1},   {STAGE_UNSURE, 1},
                    {STAGE_ANSWERING, 2}, {STAGE_LINGERING, 2}, {STAGE_SERVING, 3}};
    hold(fixture);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        set_stage(fixture, expected[i].stage);
        connections_bequeath(&fixture->connections, fixture->fd, 0, 0, DEADLINE_NS);
        assert_int_equal(atomic_load(&entry(fixture)->deaths), expected[i].deaths);
        assert_int_equal(atomic_load(&entry(fixture)->stage), expected[i].stage);
        assert_int_equal(connections_take(&fixture->other), fixture->fd);
    }
    assert_int_equal(atomic_load(&entry(fixture)->accepted_ns), ACCEPTED_NS);
}

static void a_worker_that_had_taken_nothing_leaves_the_store_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    send_from(fixture->peer);
    park(fixture, "half a request");
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    int store = atomic_load(&entry(fixture)->store);
    connections_bequeath(&fixture->connections, fixture->fd, 0, 0, DEADLINE_NS);
    assert_int_equal(atomic_load(&entry(fixture)->store), store);
    expect_stored(fixture, "half a request");
    assert_int_equal(connections_sweep(&fixture->connections, DEADLINE_NS), 1);
}

static void what_a_dead_worker_had_taken_replaces_the_store(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    send_from(fixture->peer);
    park(fixture, "half a request");
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    int old = atomic_load(&entry(fixture)->store), inbox = make_store("half a request and more");
    /* An inbox may be longer than what was taken: the rest is of requests before. */
    connections_bequeath(&fixture->connections, fixture->fd, inbox, 18, DEADLINE_NS);
    assert_false(is_open(old));
    assert_int_equal(atomic_load(&entry(fixture)->store), inbox);
    expect_stored(fixture, "half a request and");
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    connections_drop(&fixture->other, fixture->fd);
    assert_false(is_open(inbox));
}

static void what_a_slot_holds_is_found_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct connections *connections = &fixture->connections;
    static const uint32_t states[] = {CONNECTION_HELD_BY(3),   CONNECTION_HELD_BY(4), CONNECTION_NONE,
                                      CONNECTION_PARKED,       CONNECTION_HELD_BY(3), CONNECTION_CLOSED_BY(3),
                                      CONNECTION_CLOSED_BY(4), CONNECTION_HELD_BY(3), CONNECTION_HELD_BY(0)};
    enum { first = 50, count = sizeof(states) / sizeof(states[0]) };
    assert_true(connections_hold(connections, first + count - 1, 0));
    for (int i = 0; i < count; i++)
        atomic_store(&connections_at(connections, first + i)->state, states[i]);
    assert_int_equal(connections_held_by(connections, 3, 0), first);
    assert_int_equal(connections_held_by(connections, 3, first), first);
    assert_int_equal(connections_held_by(connections, 3, first + 1), first + 4);
    assert_int_equal(connections_held_by(connections, 3, first + 5), first + 7);
    assert_int_equal(connections_held_by(connections, 3, first + 8), -1);
    assert_int_equal(connections_held_by(connections, 5, 0), -1);
    assert_int_equal(connections_held_by(connections, 0, 0), first + count - 1);
    assert_int_equal(connections_held_by(connections, 3, CONNECTIONS_MAX), -1);
    for (int i = 0; i < count; i++)
        assert_int_equal(state_of(fixture, first + i), i == 5 ? CONNECTION_NONE : states[i]);
}

static void what_a_dead_worker_was_closing_is_anybodys_again(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    atomic_store(&entry(fixture)->state, CONNECTION_CLOSED_BY(0));
    assert_false(connections_adopt(&fixture->connections, fixture->fd, 0, DEADLINE_NS));
    assert_int_equal(connections_held_by(&fixture->connections, 0, 0), -1);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_NONE);
    assert_true(connections_adopt(&fixture->connections, fixture->fd, 0, DEADLINE_NS));
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
}

static void an_adopted_connection_is_a_new_one_and_taken_at_once(void **state)
{
    struct fixture *fixture = *state;
    assert_true(connections_adopt(&fixture->connections, fixture->fd, 77, DEADLINE_NS));
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_PARKED);
    assert_int_equal(atomic_load(&entry(fixture)->stage), STAGE_RECEIVING);
    assert_int_equal(atomic_load(&entry(fixture)->accepted_ns), 77);
    assert_int_equal(atomic_load(&entry(fixture)->deadline_ns), DEADLINE_NS);
    expect_parked(fixture, 1);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    assert_int_equal(connections_held_by(&fixture->connections, 7, 0), fixture->fd);
}

static void what_somebody_has_is_not_adopted(void **state)
{
    struct fixture *fixture = *state;
    static const uint32_t states[] = {CONNECTION_PARKED, CONNECTION_HELD_BY(0), CONNECTION_HELD_BY(7),
                                      CONNECTION_CLOSED_BY(0), CONNECTION_CLOSED_BY(7)};
    hold(fixture);
    set_stage(fixture, STAGE_SERVING);
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        atomic_store(&entry(fixture)->state, states[i]);
        assert_false(connections_adopt(&fixture->connections, fixture->fd, 77, DEADLINE_NS));
        assert_int_equal(state_of(fixture, fixture->fd), states[i]);
    }
    assert_int_equal(atomic_load(&entry(fixture)->stage), STAGE_SERVING);
    assert_int_equal(atomic_load(&entry(fixture)->accepted_ns), ACCEPTED_NS);
    expect_parked(fixture, 0);
}

static void a_connection_whose_worker_died_before_it_was_watched_is_reported(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    atomic_store(&entry(fixture)->state, CONNECTION_PARKED);
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->other), -1);
    connections_watch_again(&fixture->connections);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    expect_parked(fixture, 0);
}

static void a_connection_whose_event_died_with_a_worker_is_reported_again(void **state)
{
    struct fixture *fixture = *state;
    struct epoll_event event;
    hold(fixture);
    park(fixture, "");
    send_from(fixture->peer);
    assert_int_equal(epoll_wait(fixture->connections.ready, &event, 1, 0), 1);
    assert_int_equal(connections_take(&fixture->other), -1);
    connections_watch_again(&fixture->connections);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
}

static void only_parked_connections_are_watched_anew(void **state)
{
    struct fixture *fixture = *state;
    int second, second_peer;
    open_connection(&second, &second_peer);
    hold(fixture);
    assert_true(connections_hold(&fixture->connections, second, 0));
    assert_int_equal(connections_park(&fixture->connections, second, NULL, 0, DEADLINE_NS), 0);
    connections_watch_again(&fixture->connections);
    /* Not even once: whoever holds it would be the first to be woken. */
    assert_int_equal(epoll_ctl(fixture->connections.ready, EPOLL_CTL_DEL, fixture->fd, NULL), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(connections_take(&fixture->other), second);
    assert_int_equal(connections_take(&fixture->other), -1);
    connections_drop(&fixture->other, second);
    close(second_peer);
}

/* With other processes. */

/* Children that are to meet wait for a sign, which the entry of the fixture's connection carries. */
static void wait_for_go(const struct fixture *fixture)
{
    while (atomic_load(&entry(fixture)->accepted_ns) == 0)
        sched_yield();
}

static void let_go(const struct fixture *fixture, bool is_go)
{
    atomic_store(&entry(fixture)->accepted_ns, is_go);
}

static int take_all(struct fixture *fixture, struct connections *connections)
{
    int taken = 0;
    wait_for_go(fixture);
    for (int fd; (fd = connections_take(connections)) >= 0; taken++) {
        if (atomic_load(&connections_at(connections, fd)->state) != CONNECTION_HELD_BY(connections->slot))
            return 255;
    }
    return taken;
}

static int sweep_all(struct fixture *fixture, struct connections *connections)
{
    wait_for_go(fixture);
    return (int)connections_sweep(connections, DEADLINE_NS);
}

/* Lets two processes do their work at the same time. */
static void run_both(struct fixture *fixture, child_work *first, child_work *second, unsigned done[2])
{
    let_go(fixture, false);
    pid_t one = start(fixture, 1, true, first), two = start(fixture, 2, true, second);
    let_go(fixture, true);
    done[0] = exit_of(one);
    done[1] = exit_of(two);
}

/* Parks MANY connections whose peers have sent. */
static void park_many(struct fixture *fixture, int fds[MANY], int peers[MANY])
{
    for (int i = 0; i < MANY; i++) {
        open_connection(&fds[i], &peers[i]);
        assert_true(connections_hold(&fixture->connections, fds[i], 0));
        assert_int_equal(connections_park(&fixture->connections, fds[i], NULL, 0, DEADLINE_NS), 0);
        send_from(peers[i]);
    }
}

static unsigned count_in_state(const struct fixture *fixture, const int fds[MANY], uint32_t wanted)
{
    unsigned count = 0;
    for (int i = 0; i < MANY; i++)
        count += state_of(fixture, fds[i]) == wanted;
    return count;
}

static void close_many(const int fds[MANY])
{
    for (int i = 0; i < MANY; i++) {
        if (is_open(fds[i]))
            close(fds[i]);
    }
}

static void of_two_processes_that_try_one_takes_a_connection(void **state)
{
    struct fixture *fixture = *state;
    int fds[MANY], peers[MANY];
    for (int round = 0; round < 50; round++) {
        unsigned taken[2];
        park_many(fixture, fds, peers);
        run_both(fixture, take_all, take_all, taken);
        assert_int_equal(taken[0] + taken[1], MANY);
        assert_int_equal(count_in_state(fixture, fds, CONNECTION_HELD_BY(1)), taken[0]);
        assert_int_equal(count_in_state(fixture, fds, CONNECTION_HELD_BY(2)), taken[1]);
        expect_parked(fixture, 0);
        assert_int_equal(connections_take(&fixture->connections), -1);
        close_many(fds);
        close_many(peers);
    }
}

static int take_one(struct fixture *fixture, struct connections *connections)
{
    return connections_take(connections) == fixture->fd ? 0 : 1;
}

static void a_process_with_descriptors_of_its_own_takes_a_connection_for_all(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    park(fixture, "");
    send_from(fixture->peer);
    assert_int_equal(exit_of(start(fixture, 1, false, take_one)), 0);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(1));
    assert_int_equal(connections_take(&fixture->connections), -1);
    expect_parked(fixture, 0);
}

static void a_connection_is_taken_or_given_up_but_not_both(void **state)
{
    struct fixture *fixture = *state;
    int fds[MANY], peers[MANY];
    for (int round = 0; round < 50; round++) {
        unsigned done[2];
        park_many(fixture, fds, peers);
        run_both(fixture, take_all, sweep_all, done);
        assert_int_equal(done[0] + done[1], MANY);
        assert_int_equal(count_in_state(fixture, fds, CONNECTION_HELD_BY(1)), done[0]);
        assert_int_equal(count_in_state(fixture, fds, CONNECTION_NONE), done[1]);
        for (int i = 0; i < MANY; i++)
            assert_true(is_open(fds[i]) == (state_of(fixture, fds[i]) != CONNECTION_NONE));
        expect_parked(fixture, 0);
        close_many(fds);
        close_many(peers);
    }
}

static void a_connection_is_given_up_once(void **state)
{
    struct fixture *fixture = *state;
    int fds[MANY], peers[MANY];
    for (int round = 0; round < 100; round++) {
        unsigned swept[2];
        park_many(fixture, fds, peers);
        run_both(fixture, sweep_all, sweep_all, swept);
        assert_int_equal(swept[0] + swept[1], MANY);
        assert_int_equal(count_in_state(fixture, fds, CONNECTION_NONE), MANY);
        expect_parked(fixture, 0);
        close_many(peers);
    }
}

static int park_and_die(struct fixture *fixture, struct connections *connections)
{
    if (!connections_hold(connections, fixture->fd, ACCEPTED_NS) ||
        connections_park(connections, fixture->fd, (const uint8_t *)"half", 4, DEADLINE_NS) != 0)
        return 1;
    return die();
}

static void a_parked_connection_and_its_bytes_outlive_the_worker_that_parked_it(void **state)
{
    struct fixture *fixture = *state;
    expect_killed(start(fixture, 3, true, park_and_die));
    assert_int_equal(connections_held_by(&fixture->connections, 3, 0), -1);
    expect_peer_sees(fixture->peer, false);
    assert_int_equal(connections_take(&fixture->other), -1);
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    expect_stored(fixture, "half");
    connections_drop(&fixture->other, fixture->fd);
    expect_peer_sees(fixture->peer, true);
}

static int serve_and_die(struct fixture *fixture, struct connections *connections)
{
    if (!connections_hold(connections, fixture->fd, ACCEPTED_NS))
        return 1;
    set_stage(fixture, STAGE_SERVING);
    return die();
}

static int take_and_drop(struct fixture *fixture, struct connections *connections)
{
    int fd = connections_take(connections);
    if (fd != fixture->fd || atomic_load(&entry(fixture)->deaths) != 1)
        return 1;
    connections_drop(connections, fd);
    return 0;
}

static void a_connection_outlives_its_worker_and_goes_to_the_next(void **state)
{
    struct fixture *fixture = *state;
    int inbox = make_store("a whole request");
    expect_killed(start(fixture, 3, true, serve_and_die));
    expect_peer_sees(fixture->peer, false);
    assert_int_equal(connections_held_by(&fixture->connections, 3, 0), fixture->fd);
    connections_bequeath(&fixture->connections, fixture->fd, inbox, 15, DEADLINE_NS);
    expect_stored(fixture, "a whole request");
    assert_int_equal(connections_held_by(&fixture->connections, 3, 0), -1);
    assert_int_equal(exit_of(start(fixture, 4, true, take_and_drop)), 0);
    expect_nobodys(fixture, fixture->fd);
    assert_false(is_open(inbox));
    expect_peer_sees(fixture->peer, true);
    expect_parked(fixture, 0);
}

/* Takes the lowest free number again and again, as accept(2) does. */
static int hold_and_drop(struct fixture *fixture, struct connections *connections)
{
    wait_for_go(fixture);
    for (int i = 0; i < 5000; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || !connections_hold(connections, fd, 0))
            return 1;
        for (int look = 0; look < 2000; look++) {
            if (atomic_load(&connections_at(connections, fd)->state) != CONNECTION_HELD_BY(connections->slot))
                return 2;
        }
        connections_drop(connections, fd);
    }
    return 0;
}

static void a_number_that_is_used_again_at_once_stays_with_its_new_holder(void **state)
{
    struct fixture *fixture = *state;
    unsigned before = count_descriptors(), result[2];
    run_both(fixture, hold_and_drop, hold_and_drop, result);
    assert_int_equal(result[0], 0);
    assert_int_equal(result[1], 0);
    assert_int_equal(count_descriptors(), before);
    assert_int_equal(connections_held_by(&fixture->connections, 1, 0), -1);
    assert_int_equal(connections_held_by(&fixture->connections, 2, 0), -1);
}

/* The numbers of a connection that is opened and dropped again and again, and of its store. */
#define BRIEF 200
#define BRIEF_STORE 201

static int drop_until_killed(struct fixture *fixture, struct connections *connections)
{
    for (uint64_t i = 1;; i++) {
        if (dup3(fixture->peer, BRIEF_STORE, O_CLOEXEC) < 0 || dup3(fixture->fd, BRIEF, O_CLOEXEC) < 0 ||
            !connections_hold(connections, BRIEF, i))
            return 1;
        atomic_store(&connections_at(connections, BRIEF)->store, BRIEF_STORE);
        connections_drop(connections, BRIEF);
    }
}

static void a_worker_killed_while_it_drops_leaves_no_closed_number_behind(void **state)
{
    struct fixture *fixture = *state;
    struct connection *brief = connections_at(&fixture->connections, BRIEF);
    for (uint64_t round = 0; round < 200; round++) {
        atomic_store(&brief->accepted_ns, 0);
        pid_t pid = start(fixture, 3, true, drop_until_killed);
        while (atomic_load(&brief->accepted_ns) < 20 + round)
            sched_yield();
        kill(pid, SIGKILL);
        expect_killed(pid);
        if (connections_held_by(&fixture->connections, 3, 0) == BRIEF) {
            assert_true(is_open(BRIEF));
            assert_true(atomic_load(&brief->store) == 0 || is_open(BRIEF_STORE));
            atomic_store(&brief->state, CONNECTION_NONE);
        }
        assert_int_equal(atomic_load(&brief->state), CONNECTION_NONE);
        close(BRIEF);
        close(BRIEF_STORE);
    }
}

static void the_shared_epoll_is_closed_on_exec(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(fcntl(fixture->connections.ready, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

#define WITH_A_TABLE(test) cmocka_unit_test_setup_teardown(test, make, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_TABLE(a_new_connection_is_held_and_not_taken),
        WITH_A_TABLE(a_parked_connection_waits_for_its_peer),
        WITH_A_TABLE(a_parked_connection_is_taken_when_its_peer_ends_its_side_or_hangs_up),
        WITH_A_TABLE(a_connection_that_has_something_to_read_is_taken_as_soon_as_it_is_parked),
        WITH_A_TABLE(a_connection_that_is_not_parked_any_more_is_passed_over),
        WITH_A_TABLE(a_connection_that_cannot_be_watched_stays_held),
        WITH_A_TABLE(descriptors_beyond_the_table_are_refused),
        WITH_A_TABLE(bytes_that_were_taken_come_back),
        WITH_A_TABLE(more_bytes_go_to_the_same_store),
        WITH_A_TABLE(a_silent_peer_costs_no_store),
        WITH_A_TABLE(a_connection_whose_bytes_cannot_be_kept_stays_held),
        WITH_A_TABLE(stage_deaths_and_age_stay_while_it_is_parked),
        WITH_A_TABLE(a_dropped_connection_is_closed_with_its_store),
        WITH_A_TABLE(the_next_connection_of_the_same_number_starts_clean),
        WITH_A_TABLE(only_connections_whose_time_is_over_are_given_up),
        WITH_A_TABLE(a_held_connection_is_not_given_up_however_late),
        WITH_A_TABLE(peers_that_linger_are_given_up_but_not_counted),
        WITH_A_TABLE(a_full_cycle_leaves_no_descriptor),
        WITH_A_TABLE(a_bequeathed_connection_is_taken_at_once),
        WITH_A_TABLE(a_death_counts_only_while_the_application_has_the_request),
        WITH_A_TABLE(a_worker_that_had_taken_nothing_leaves_the_store_as_it_was),
        WITH_A_TABLE(what_a_dead_worker_had_taken_replaces_the_store),
        WITH_A_TABLE(what_a_slot_holds_is_found_and_nothing_else),
        WITH_A_TABLE(what_a_dead_worker_was_closing_is_anybodys_again),
        WITH_A_TABLE(an_adopted_connection_is_a_new_one_and_taken_at_once),
        WITH_A_TABLE(what_somebody_has_is_not_adopted),
        WITH_A_TABLE(a_connection_whose_worker_died_before_it_was_watched_is_reported),
        WITH_A_TABLE(a_connection_whose_event_died_with_a_worker_is_reported_again),
        WITH_A_TABLE(only_parked_connections_are_watched_anew),
        WITH_A_TABLE(of_two_processes_that_try_one_takes_a_connection),
        WITH_A_TABLE(a_process_with_descriptors_of_its_own_takes_a_connection_for_all),
        WITH_A_TABLE(a_connection_is_given_up_once),
        WITH_A_TABLE(a_connection_is_taken_or_given_up_but_not_both),
        WITH_A_TABLE(a_parked_connection_and_its_bytes_outlive_the_worker_that_parked_it),
        WITH_A_TABLE(a_connection_outlives_its_worker_and_goes_to_the_next),
        WITH_A_TABLE(a_number_that_is_used_again_at_once_stays_with_its_new_holder),
        WITH_A_TABLE(a_worker_killed_while_it_drops_leaves_no_closed_number_behind),
        WITH_A_TABLE(the_shared_epoll_is_closed_on_exec),
    };
    return cmocka_run_group_tests_name("connections", tests, NULL, NULL);
}
