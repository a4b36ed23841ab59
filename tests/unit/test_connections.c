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
#include <poll.h>
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

#include "clock.h"
#include "connections.h"

#define ACCEPTED_NS 12345
#define DEADLINE_NS 1000
#define MANY 64
#define RESERVE 16
#define KEPT_MAX 1000
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
/* taken where bytes have been copied that may or may not have left the socket: see inbox.h. */
#define PENDING(bytes) ((uint64_t)(bytes) << 32)

/* A table, as this process sees it, another worker and the master, and a connection with its peer. */
struct fixture {
    struct connections connections;
    struct connections other;
    struct connections master;
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
    if (connections_create(&fixture.connections, RESERVE, KEPT_MAX) != 0)
        return -1;
    fixture.connections.slot = 0;
    fixture.other = fixture.master = fixture.connections;
    fixture.other.slot = 7;
    fixture.master.slot = CONNECTIONS_MASTER;
    open_connection(&fixture.fd, &fixture.peer);
    *state = &fixture;
    return 0;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void destroy(struct connections *connections)
{
    close(connections->ready);
    close(connections->waiting);
    close(connections->refused);
    /* What lies behind the table fits in one more entry. */
    assert_int_equal(munmap(connections->table, sizeof(struct connection[CONNECTIONS_MAX + 1])), 0);
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    if (is_open(fixture->fd))
        close(fixture->fd);
    close(fixture->peer);
    destroy(&fixture->connections);
    return 0;
}

static struct connection *entry(const struct fixture *fixture)
{
    return connections_at(&fixture->connections, fixture->fd);
}

static uint32_t state_of(const struct fixture *fixture, int fd)
{
    return atomic_load(&connections_at(&fixture->connections, fd)->state);
}

static void set_stage(struct fixture *fixture, enum connection_stage stage)
{
    connections_set_stage(&fixture->connections, fixture->fd, stage);
}

static void hold(struct fixture *fixture)
{
    assert_true(connections_hold(&fixture->connections, fixture->fd, ACCEPTED_NS));
}

static void park(struct fixture *fixture)
{
    assert_int_equal(connections_park(&fixture->connections, fixture->fd, DEADLINE_NS, false), 0);
}

static void take(struct fixture *fixture)
{
    assert_int_equal(connections_take(&fixture->connections), fixture->fd);
}

/* Takes and closes all that want a worker; returns how many. */
static unsigned drop_all(struct fixture *fixture)
{
    unsigned dropped = 0;
    for (int fd; (fd = connections_take(&fixture->connections)) >= 0; dropped++)
        connections_drop(&fixture->connections, fd);
    return dropped;
}

static int take_waiting(struct connections *connections)
{
    bool has_left;
    return connections_take_waiting(connections, &has_left);
}

/* A new connection that is parked in that stage. */
static void open_parked(struct fixture *fixture, enum connection_stage stage, int *fd, int *peer)
{
    open_connection(fd, peer);
    assert_true(connections_hold(&fixture->connections, *fd, ACCEPTED_NS));
    connections_set_stage(&fixture->connections, *fd, stage);
    assert_int_equal(connections_park(&fixture->connections, *fd, DEADLINE_NS, false), 0);
}

static void send_from(int peer)
{
    assert_int_equal(send(peer, "x", 1, MSG_NOSIGNAL), 1);
}

/* A memory file, as a worker's inbox is. */
static int make_file(const char *text)
{
    int file = memfd_create("test", MFD_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    return file;
}

/* Puts what was taken of a held connection where it outlives the next request, as exchange.c does. */
static int store(const struct fixture *fixture, const char *text)
{
    int file = make_file(text);
    atomic_store(&entry(fixture)->store, file);
    atomic_store(&entry(fixture)->taken, strlen(text));
    return file;
}

static void expect_stored(const struct fixture *fixture, const char *text)
{
    char bytes[256] = "";
    uint64_t length = atomic_load(&entry(fixture)->taken);
    assert_int_equal(length, strlen(text));
    assert_int_equal(pread(atomic_load(&entry(fixture)->store), bytes, length, 0), length);
    assert_string_equal(bytes, text);
}

static void expect_left(const struct fixture *fixture, unsigned count)
{
    assert_int_equal(connections_left(&fixture->connections), count);
    assert_int_equal(connections_left(&fixture->other), count);
}

/* In an entry that is nobody's all is zero; check means nothing there. */
static void expect_clean(const struct connection *clean)
{
    assert_int_equal(atomic_load(&clean->stage), STAGE_RECEIVING);
    assert_int_equal(atomic_load(&clean->is_urgent), 0);
    assert_int_equal(atomic_load(&clean->after), AFTER_CLOSE);
    assert_int_equal(atomic_load(&clean->deaths), 0);
    assert_int_equal(atomic_load(&clean->store), 0);
    assert_int_equal(atomic_load(&clean->answer), 0);
    assert_int_equal(atomic_load(&clean->taken), 0);
    assert_int_equal(atomic_load(&clean->start), 0);
    assert_int_equal(atomic_load(&clean->end), 0);
    assert_int_equal(atomic_load(&clean->answer_length), 0);
    assert_int_equal(atomic_load(&clean->kept_bytes), 0);
    assert_false(clean->is_checked);
}

/* Fills every field with what the next connection of that number must not see; returns the files. */
static void soil(struct connection *connection, int files[2])
{
    files[0] = make_file("store");
    files[1] = make_file("answer");
    atomic_store(&connection->stage, STAGE_SENDING);
    atomic_store(&connection->is_urgent, 1);
    atomic_store(&connection->after, AFTER_KEEP);
    atomic_store(&connection->deaths, 1);
    atomic_store(&connection->store, files[0]);
    atomic_store(&connection->answer, files[1]);
    atomic_store(&connection->taken, PENDING(7) | 5);
    atomic_store(&connection->start, 2);
    atomic_store(&connection->end, 3);
    atomic_store(&connection->answer_length, 6);
    atomic_store(&connection->deadline_ns, DEADLINE_NS);
    connection->is_checked = true;
}

static void expect_nobodys(const struct fixture *fixture, int fd)
{
    assert_int_equal(state_of(fixture, fd), CONNECTION_NONE);
    expect_clean(connections_at(&fixture->connections, fd));
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

/* The master's part for a connection without files of its dead worker's. */
static void bequeath(struct fixture *fixture, int fd)
{
    int inbox = -1, outbox = -1;
    connections_bequeath(&fixture->master, fd, &inbox, &outbox, 1, DEADLINE_NS);
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
    assert_int_equal(atomic_load(&entry(fixture)->began_ns), ACCEPTED_NS);
    expect_clean(entry(fixture));
    assert_int_equal(connections_take(&fixture->connections), -1);
    assert_int_equal(connections_take(&fixture->other), -1);
    assert_int_equal(take_waiting(&fixture->other), -1);
    expect_left(fixture, 1);
}

static void what_somebody_has_is_not_held_again(void **state)
{
    struct fixture *fixture = *state;
    static const uint32_t states[] = {CONNECTION_PARKED, CONNECTION_HELD_BY(3), CONNECTION_HELD_BY(7)};
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        atomic_store(&entry(fixture)->state, states[i]);
        errno = 0;
        assert_false(connections_hold(&fixture->other, fixture->fd, ACCEPTED_NS));
        assert_int_equal(errno, EBUSY);
        assert_int_equal(state_of(fixture, fixture->fd), states[i]);
        assert_int_equal(atomic_load(&entry(fixture)->began_ns), 0);
        assert_true(is_open(fixture->fd));
    }
}

/* Between close(2) and the last word of who closed it, the number may be accepted again. */
static void a_number_that_another_worker_has_just_closed_can_be_held(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&entry(fixture)->state, CONNECTION_CLOSED_BY(3));
    hold(fixture);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(0));
    assert_int_equal(connections_closed_by(&fixture->master, 3, 0), -1);
}

static void a_parked_connection_waits_for_its_peer(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    park(fixture);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_PARKED);
    assert_int_equal(atomic_load(&entry(fixture)->deadline_ns), DEADLINE_NS);
    assert_int_equal(connections_take(&fixture->other), -1);
    expect_left(fixture, 1);
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(7));
    expect_left(fixture, 1);
    assert_int_equal(connections_take(&fixture->connections), -1);
}

static void a_parked_connection_is_taken_when_its_peer_ends_its_side_or_hangs_up(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    park(fixture);
    assert_int_equal(shutdown(fixture->peer, SHUT_WR), 0);
    take(fixture);
    connections_drop(&fixture->connections, fixture->fd);
    close(fixture->peer);
    open_connection(&fixture->fd, &fixture->peer);
    hold(fixture);
    park(fixture);
    close(fixture->peer);
    take(fixture);
    fixture->peer = -1;
}

static void a_connection_that_has_something_to_read_is_taken_as_soon_as_it_is_parked(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    send_from(fixture->peer);
    for (int i = 0; i < 3; i++) {
        park(fixture);
        take(fixture);
        assert_int_equal(connections_take(&fixture->connections), -1);
    }
}

static void an_urgent_connection_is_taken_whatever_its_peer_does(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    assert_int_equal(connections_park(&fixture->connections, fixture->fd, DEADLINE_NS, true), 0);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    assert_int_equal(connections_take(&fixture->other), -1);
    /* Parked again, it waits for its peer. */
    assert_int_equal(connections_park(&fixture->other, fixture->fd, DEADLINE_NS, false), 0);
    assert_int_equal(connections_take(&fixture->other), -1);
}

/* Fills the socket; returns how many bytes lie in it. */
static size_t fill(int fd)
{
    static const char bytes[4096];
    size_t filled = 0;
    for (ssize_t sent; (sent = send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0;)
        filled += (size_t)sent;
    assert_int_equal(errno, EAGAIN);
    return filled;
}

static void an_answer_on_its_way_waits_for_its_reader_and_for_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    char bytes[4096];
    hold(fixture);
    size_t filled = fill(fixture->fd);
    set_stage(fixture, STAGE_SENDING);
    park(fixture);
    assert_int_equal(connections_take(&fixture->connections), -1);
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->connections), -1);
    for (ssize_t got; filled > 0; filled -= (size_t)got) {
        got = recv(fixture->peer, bytes, sizeof(bytes), 0);
        assert_true(got > 0);
    }
    take(fixture);
    fill(fixture->fd);
    park(fixture);
    assert_int_equal(connections_take(&fixture->connections), -1);
    close(fixture->peer);
    fixture->peer = -1;
    take(fixture);
}

static void a_connection_that_is_not_parked_any_more_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    int second, second_peer;
    hold(fixture);
    park(fixture);
    send_from(fixture->peer);
    open_parked(fixture, STAGE_RECEIVING, &second, &second_peer);
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
    static const enum connection_stage stages[] = {STAGE_RECEIVING, STAGE_WAITING};
    broken.ready = broken.waiting = -1;
    hold(fixture);
    for (size_t i = 0; i < COUNT_OF(stages); i++) {
        set_stage(fixture, stages[i]);
        errno = 0;
        assert_int_equal(connections_park(&broken, fixture->fd, DEADLINE_NS, false), -1);
        assert_int_equal(errno, EBADF);
        assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(0));
        assert_int_equal(connections_waiting(&fixture->connections), 0);
        assert_true(is_open(fixture->fd));
    }
}

static void descriptors_beyond_the_table_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const int beyond[] = {CONNECTIONS_MAX, CONNECTIONS_MAX + 1, INT_MAX};
    for (size_t i = 0; i < COUNT_OF(beyond); i++) {
        errno = 0;
        assert_false(connections_hold(&fixture->connections, beyond[i], ACCEPTED_NS));
        assert_int_equal(errno, EMFILE);
        assert_false(connections_adopt(&fixture->master, beyond[i], 0, DEADLINE_NS));
    }
    expect_left(fixture, 0);
    assert_true(connections_hold(&fixture->connections, CONNECTIONS_MAX - 1, ACCEPTED_NS));
    assert_int_equal(connections_held_by(&fixture->master, 0, 0), CONNECTIONS_MAX - 1);
}

static void what_is_parked_or_held_is_left_to_be_done(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        uint32_t state;
        unsigned left;
    } cases[] = {{CONNECTION_NONE, 0},         {CONNECTION_PARKED, 1},
                 {CONNECTION_HELD_BY(0), 1},   {CONNECTION_HELD_BY(7), 1},
                 {CONNECTION_HELD_BY(511), 1}, {CONNECTION_HELD_BY(CONNECTIONS_MASTER), 1},
                 {CONNECTION_CLOSED_BY(0), 0}, {CONNECTION_CLOSED_BY(511), 0}};
    hold(fixture);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        atomic_store(&entry(fixture)->state, cases[i].state);
        expect_left(fixture, cases[i].left);
    }
}

/* In the order of arrival. */

static void those_that_wait_for_a_worker_are_taken_in_their_order_and_apart_from_the_others(void **state)
{
    struct fixture *fixture = *state;
    int fds[MANY], peers[MANY];
    hold(fixture);
    park(fixture);
    for (int i = 0; i < MANY; i++) {
        open_parked(fixture, STAGE_WAITING, &fds[i], &peers[i]);
        assert_int_equal(connections_waiting(&fixture->other), i + 1);
    }
    assert_int_equal(connections_take(&fixture->connections), -1);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(take_waiting(&fixture->other), fds[i]);
        assert_int_equal(state_of(fixture, fds[i]), CONNECTION_HELD_BY(7));
        assert_int_equal(connections_waiting(&fixture->connections), MANY - 1 - i);
        connections_drop(&fixture->other, fds[i]);
        close(peers[i]);
    }
    assert_int_equal(take_waiting(&fixture->other), -1);
    send_from(fixture->peer);
    assert_int_equal(take_waiting(&fixture->other), -1);
    take(fixture);
}

static void those_that_were_refused_are_taken_apart_from_the_others_when_their_peer_sends(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    set_stage(fixture, STAGE_REFUSED);
    park(fixture);
    assert_int_equal(connections_take_refused(&fixture->connections), -1);
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->connections), -1);
    assert_int_equal(take_waiting(&fixture->connections), -1);
    assert_int_equal(connections_take_refused(&fixture->other), fixture->fd);
    assert_int_equal(connections_waiting(&fixture->connections), 0);
    /* After a death, too. */
    bequeath(fixture, fixture->fd);
    assert_int_equal(connections_take(&fixture->connections), -1);
    assert_int_equal(connections_take_refused(&fixture->other), fixture->fd);
}

static void one_that_has_waited_waits_for_its_peer_next(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    set_stage(fixture, STAGE_WAITING);
    park(fixture);
    assert_int_equal(take_waiting(&fixture->connections), fixture->fd);
    set_stage(fixture, STAGE_RECEIVING);
    park(fixture);
    assert_int_equal(take_waiting(&fixture->connections), -1);
    assert_int_equal(connections_take(&fixture->connections), -1);
    send_from(fixture->peer);
    assert_int_equal(take_waiting(&fixture->connections), -1);
    take(fixture);
}

static void one_whose_peer_left_while_it_waited_is_told_apart(void **state)
{
    struct fixture *fixture = *state;
    bool has_left = true;
    hold(fixture);
    for (int i = 0; i < 3; i++) {
        set_stage(fixture, STAGE_WAITING);
        park(fixture);
        /* With a request there; one that has only ended its side; one that has closed. */
        if (i == 0)
            send_from(fixture->peer);
        else if (i == 1)
            assert_int_equal(shutdown(fixture->peer, SHUT_WR), 0);
        else
            assert_int_equal(close(fixture->peer), 0);
        assert_int_equal(connections_take_waiting(&fixture->connections, &has_left), fixture->fd);
        assert_int_equal(has_left, i == 2);
    }
    fixture->peer = -1;
}

static void one_that_waits_is_not_given_up_without_a_deadline(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    set_stage(fixture, STAGE_WAITING);
    assert_int_equal(connections_park(&fixture->connections, fixture->fd, UINT64_MAX, false), 0);
    assert_int_equal(connections_sweep(&fixture->master, UINT64_MAX - 1), 0);
    assert_int_equal(connections_waiting(&fixture->connections), 1);
    assert_int_equal(take_waiting(&fixture->connections), fixture->fd);
}

static void many_that_leave_before_their_turn_have_the_newest_served_first(void **state)
{
    struct fixture *fixture = *state;
    struct connections *connections = &fixture->connections;
    for (int i = 0; i < 8; i++) {
        assert_false(connections_serve_newest(&fixture->other));
        connections_note_gone(connections);
    }
    assert_true(connections_serve_newest(&fixture->other));
    connections_note_served(connections);
    assert_false(connections_serve_newest(&fixture->other));
}

static void one_that_leaves_among_many_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 1000; i++) {
        connections_note_gone(&fixture->connections);
        for (int served = 0; served < 8; served++)
            connections_note_served(&fixture->connections);
        assert_false(connections_serve_newest(&fixture->other));
    }
}

static void however_many_have_left_the_queue_is_soon_in_order_again(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 100000; i++)
        connections_note_gone(&fixture->connections);
    for (int served = 0; served < 100; served++)
        connections_note_served(&fixture->connections);
    assert_false(connections_serve_newest(&fixture->connections));
}

/* What is short: descriptors and memory. */

/* Closes a connection, whoever has it, and makes its number nobody's. */
static void forget_one(struct fixture *fixture, int fd, int peer)
{
    connections_forget(&fixture->connections, fd);
    if (is_open(fd))
        close(fd);
    close(peer);
}

static void where_descriptors_are_short_and_nobody_is_silent_nothing_is_parked(void **state)
{
    struct fixture *fixture = *state;
    struct connections *connections = &fixture->connections;
    hold(fixture);
    connections->parked_max = 1;
    assert_false(connections_are_short(connections));
    park(fixture);
    assert_true(connections_are_short(connections));
    send_from(fixture->peer);
    take(fixture);
    assert_false(connections_are_short(connections));
    connections->parked_max = 0;
    errno = 0;
    assert_int_equal(connections_park(connections, fixture->fd, DEADLINE_NS, false), -1);
    assert_int_equal(errno, EMFILE);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(0));
}

static void the_files_of_a_parked_connection_count_as_well(void **state)
{
    struct fixture *fixture = *state;
    struct connections *connections = &fixture->connections;
    _Atomic int32_t *places[] = {&entry(fixture)->store, &entry(fixture)->answer};
    hold(fixture);
    connections->parked_max = 2;
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        assert_int_equal(connections_park(connections, fixture->fd, DEADLINE_NS, true), 0);
        assert_false(connections_are_short(connections));
        take(fixture);
        atomic_store(places[i], make_file("x"));
        assert_int_equal(connections_park(connections, fixture->fd, DEADLINE_NS, true), 0);
        assert_true(connections_are_short(connections));
        take(fixture);
        connections_close_file(connections, places[i]);
        assert_false(connections_are_short(connections));
    }
}

/* Parks the fixture's connection where there is room only in the place of another; says whether there was. */
static bool park_in_the_place_of_another(struct fixture *fixture)
{
    fixture->connections.parked_max = 0;
    bool is_parked = connections_park(&fixture->connections, fixture->fd, DEADLINE_NS, true) == 0;
    fixture->connections.parked_max = CONNECTIONS_MAX;
    if (is_parked)
        take(fixture);
    return is_parked;
}

static void where_descriptors_are_short_one_that_waits_for_its_peer_alone_makes_room(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        enum connection_stage stage;
        uint64_t age_ns;
        bool is_urgent, makes_room, counts;
    } cases[] = {
        {STAGE_IDLE, 0, false, true, false},
        {STAGE_LINGERING, 0, false, true, false},
        {STAGE_RECEIVING, 10 * CLOCK_NS_PER_S, false, true, true},
        {STAGE_RECEIVING, 0, false, true, true}, /* where there is none that has had its time */
        {STAGE_REFUSED, 10 * CLOCK_NS_PER_S, false, true, true},
        {STAGE_REFUSED, 0, false, true, true},
        {STAGE_IDLE, 0, true, false, false},
        {STAGE_SENDING, 10 * CLOCK_NS_PER_S, false, false, false},
        {STAGE_WAITING, 10 * CLOCK_NS_PER_S, false, false, false},
    };
    _Atomic uint64_t counted = 0;
    fixture->connections.short_count = &counted;
    hold(fixture);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int fd, peer;
        open_connection(&fd, &peer);
        assert_true(connections_hold(&fixture->other, fd, clock_now_ns() - cases[i].age_ns));
        connections_set_stage(&fixture->other, fd, cases[i].stage);
        assert_int_equal(connections_park(&fixture->other, fd, UINT64_MAX, cases[i].is_urgent), 0);
        assert_int_equal(park_in_the_place_of_another(fixture), cases[i].makes_room);
        assert_int_equal(is_open(fd), !cases[i].makes_room);
        assert_int_equal(atomic_exchange(&counted, 0), cases[i].counts);
        expect_peer_sees(peer, cases[i].makes_room);
        forget_one(fixture, fd, peer);
    }
}

static void one_that_has_had_its_time_makes_room_before_a_new_one(void **state)
{
    struct fixture *fixture = *state;
    int fds[2], peers[2];
    hold(fixture);
    for (size_t i = 0; i < 2; i++) {
        open_connection(&fds[i], &peers[i]);
        assert_true(connections_hold(&fixture->other, fds[i], clock_now_ns() - i * 10 * CLOCK_NS_PER_S));
        assert_int_equal(connections_park(&fixture->other, fds[i], UINT64_MAX, false), 0);
    }
    assert_true(park_in_the_place_of_another(fixture));
    assert_true(is_open(fds[0]));
    assert_false(is_open(fds[1]));
    for (size_t i = 0; i < 2; i++)
        forget_one(fixture, fds[i], peers[i]);
}

static void a_held_connection_makes_no_room(void **state)
{
    struct fixture *fixture = *state;
    int second, second_peer;
    hold(fixture);
    open_parked(fixture, STAGE_IDLE, &second, &second_peer);
    atomic_store(&connections_at(&fixture->connections, second)->state, CONNECTION_HELD_BY(3));
    assert_false(park_in_the_place_of_another(fixture));
    assert_true(is_open(second));
    forget_one(fixture, second, second_peer);
}

static void each_silent_connection_makes_room_once_and_in_turn(void **state)
{
    struct fixture *fixture = *state;
    int fds[MANY], peers[MANY];
    hold(fixture);
    for (int i = 0; i < MANY; i++)
        open_parked(fixture, STAGE_IDLE, &fds[i], &peers[i]);
    for (int i = 0; i < MANY; i++) {
        assert_true(park_in_the_place_of_another(fixture));
        expect_left(fixture, (unsigned)(MANY - i));
        for (int j = 0; j < MANY; j++)
            assert_int_equal(is_open(fds[j]), j > i);
    }
    assert_false(park_in_the_place_of_another(fixture));
    for (int i = 0; i < MANY; i++)
        close(peers[i]);
}

/* What a dead worker had in hand has no other place to go. */
static void a_bequeathed_connection_is_parked_also_where_descriptors_are_short(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    fixture->master.parked_max = 0;
    bequeath(fixture, fixture->fd);
    take(fixture);
}

static void some_descriptors_are_left_to_those_who_are_served_at_once(void **state)
{
    (void)state;
    struct rlimit before, limit;
    struct connections connections;
    static const struct {
        rlim_t files;
        int reserve, expected;
    } cases[] = {{1000, 100, 900}, {100, 100, 50}, {200, 100, 100}, {CONNECTIONS_MAX + 5, 128, CONNECTIONS_MAX - 128}};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        limit = (struct rlimit){.rlim_cur = cases[i].files, .rlim_max = before.rlim_max};
        if (cases[i].files > before.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) != 0)
            continue;
        assert_int_equal(connections_create(&connections, cases[i].reserve, KEPT_MAX), 0);
        assert_int_equal(connections.parked_max, cases[i].expected);
        destroy(&connections);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void what_connections_keep_has_a_bound_for_all_together(void **state)
{
    struct fixture *fixture = *state;
    struct connections *connections = &fixture->connections;
    int second, second_peer;
    hold(fixture);
    open_connection(&second, &second_peer);
    assert_true(connections_hold(&fixture->other, second, 0));
    assert_true(connections_keep(connections, fixture->fd, 600));
    assert_true(connections_keep(&fixture->other, second, 400));
    assert_false(connections_keep(connections, fixture->fd, 1));
    assert_int_equal(atomic_load(&entry(fixture)->kept_bytes), 600);
    connections_keep_nothing(connections, fixture->fd);
    assert_int_equal(atomic_load(&entry(fixture)->kept_bytes), 0);
    assert_false(connections_keep(connections, fixture->fd, 601));
    assert_true(connections_keep(connections, fixture->fd, 300));
    assert_true(connections_keep(connections, fixture->fd, 300));
    /* Its end gives it back, too. */
    connections_drop(connections, fixture->fd);
    assert_true(connections_keep(&fixture->other, second, 600));
    connections_drop(&fixture->other, second);
    close(second_peer);
}

static void what_a_dead_worker_miscounted_is_counted_anew(void **state)
{
    struct fixture *fixture = *state;
    struct connections *connections = &fixture->connections;
    hold(fixture);
    set_stage(fixture, STAGE_WAITING);
    assert_true(connections_keep(connections, fixture->fd, KEPT_MAX));
    park(fixture);
    /* As by one that had counted, and died before it noted whose they are. */
    atomic_store(&entry(fixture)->kept_bytes, 400);
    atomic_store(&entry(fixture)->state, CONNECTION_HELD_BY(3));
    assert_int_equal(connections_waiting(connections), 1);
    assert_false(connections_keep(connections, fixture->fd, 600));
    connections_sweep(&fixture->master, 0);
    assert_int_equal(connections_waiting(connections), 0);
    assert_true(connections_keep(connections, fixture->fd, 600));
    assert_false(connections_keep(connections, fixture->fd, 1));
}

/* What is kept of a connection. */

static void a_parked_connection_keeps_what_it_has(void **state)
{
    struct fixture *fixture = *state;
    struct connection *connection = entry(fixture);
    hold(fixture);
    int file = store(fixture, "a request");
    set_stage(fixture, STAGE_LINGERING);
    atomic_store(&connection->deaths, 1);
    atomic_store(&connection->after, AFTER_KEEP);
    connection->check.offset = 4;
    connection->is_checked = true;
    park(fixture);
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    expect_stored(fixture, "a request");
    assert_int_equal(atomic_load(&connection->store), file);
    assert_int_equal(connections_stage(&fixture->other, fixture->fd), STAGE_LINGERING);
    assert_int_equal(atomic_load(&connection->deaths), 1);
    assert_int_equal(atomic_load(&connection->after), AFTER_KEEP);
    assert_int_equal(atomic_load(&connection->began_ns), ACCEPTED_NS);
    assert_int_equal(connection->check.offset, 4);
    assert_true(connection->is_checked);
    connections_drop(&fixture->other, fixture->fd);
}

static void a_silent_peer_costs_no_descriptor(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    unsigned before = count_descriptors();
    park(fixture);
    assert_int_equal(count_descriptors(), before);
}

static void files_of_a_connection_are_known_by_their_number(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    int file = store(fixture, "x"), answer = make_file("y");
    atomic_store(&entry(fixture)->answer, answer);
    assert_true(connections_refer_to(&fixture->master, file));
    assert_true(connections_refer_to(&fixture->master, answer));
    assert_false(connections_refer_to(&fixture->master, answer + 1));
    connections_close_file(&fixture->connections, &entry(fixture)->answer);
    assert_false(is_open(answer));
    assert_false(connections_refer_to(&fixture->master, answer));
    /* As often as it is asked for. */
    connections_close_file(&fixture->connections, &entry(fixture)->answer);
    connections_drop(&fixture->connections, fixture->fd);
    assert_false(connections_refer_to(&fixture->master, file));
}

/* The end of a connection. */

static void a_dropped_connection_is_closed_with_its_files(void **state)
{
    struct fixture *fixture = *state;
    int files[2];
    hold(fixture);
    soil(entry(fixture), files);
    expect_peer_sees(fixture->peer, false);
    connections_drop(&fixture->connections, fixture->fd);
    expect_nobodys(fixture, fixture->fd);
    assert_false(is_open(files[0]));
    assert_false(is_open(files[1]));
    expect_peer_sees(fixture->peer, true);
    assert_int_equal(connections_held_by(&fixture->master, 0, 0), -1);
    assert_int_equal(connections_closed_by(&fixture->master, 0, 0), -1);
}

static void the_next_connection_of_the_same_number_starts_clean(void **state)
{
    struct fixture *fixture = *state;
    int number = fixture->fd, fd, peer, files[2];
    hold(fixture);
    soil(entry(fixture), files);
    bequeath(fixture, number);
    take(fixture);
    connections_drop(&fixture->connections, number);
    close(fixture->peer);
    open_connection(&fd, &peer);
    assert_true(fd == number || dup3(fd, number, O_CLOEXEC) == number);
    assert_true(fd == number || close(fd) == 0);
    assert_true(connections_hold(&fixture->other, number, 99));
    fixture->peer = peer;
    assert_int_equal(state_of(fixture, number), CONNECTION_HELD_BY(7));
    expect_clean(entry(fixture));
    assert_int_equal(atomic_load(&entry(fixture)->began_ns), 99);
    assert_int_equal(connections_take(&fixture->connections), -1);
}

static void only_connections_whose_time_is_over_are_given_up(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    int file = store(fixture, "a request");
    park(fixture);
    assert_int_equal(connections_sweep(&fixture->master, DEADLINE_NS - 1), 0);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_PARKED);
    expect_peer_sees(fixture->peer, false);
    assert_int_equal(connections_sweep(&fixture->master, DEADLINE_NS), 1);
    expect_nobodys(fixture, fixture->fd);
    assert_false(is_open(file));
    expect_peer_sees(fixture->peer, true);
    expect_left(fixture, 0);
    assert_int_equal(connections_sweep(&fixture->master, UINT64_MAX), 0);
}

static void a_held_connection_is_not_given_up_however_late(void **state)
{
    struct fixture *fixture = *state;
    int second, second_peer;
    hold(fixture);
    park(fixture);
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    open_parked(fixture, STAGE_RECEIVING, &second, &second_peer);
    assert_int_equal(connections_sweep(&fixture->master, UINT64_MAX), 1);
    expect_nobodys(fixture, second);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(7));
    assert_true(is_open(fixture->fd));
    close(second_peer);
}

static void giving_up_who_lingers_or_is_idle_costs_nobody_anything(void **state)
{
    struct fixture *fixture = *state;
    int fds[6], peers[6];
    static const enum connection_stage stages[] = {STAGE_LINGERING, STAGE_RECEIVING, STAGE_IDLE,
                                                   STAGE_UNSURE,    STAGE_LINGERING, STAGE_WAITING};
    for (size_t i = 0; i < COUNT_OF(stages); i++)
        open_parked(fixture, stages[i], &fds[i], &peers[i]);
    assert_int_equal(connections_sweep(&fixture->master, DEADLINE_NS + 1), 3);
    for (size_t i = 0; i < COUNT_OF(stages); i++) {
        expect_nobodys(fixture, fds[i]);
        close(peers[i]);
    }
    expect_left(fixture, 0);
    assert_int_equal(connections_waiting(&fixture->connections), 0);
}

static void one_that_waits_for_a_worker_is_not_given_up(void **state)
{
    struct fixture *fixture = *state;
    int fds[3], peers[3];
    /* It has sent the rest of its request; it has read what was sent; its worker died. */
    open_parked(fixture, STAGE_RECEIVING, &fds[0], &peers[0]);
    send_from(peers[0]);
    open_parked(fixture, STAGE_SENDING, &fds[1], &peers[1]);
    open_parked(fixture, STAGE_RECEIVING, &fds[2], &peers[2]);
    atomic_store(&connections_at(&fixture->connections, fds[2])->is_urgent, 1);
    assert_int_equal(connections_sweep(&fixture->master, DEADLINE_NS + 1), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(state_of(fixture, fds[i]), CONNECTION_PARKED);
        close(fds[i]);
        close(peers[i]);
    }
}

static void a_drain_has_idle_connections_looked_at_and_no_others(void **state)
{
    struct fixture *fixture = *state;
    int fds[4], peers[4];
    static const enum connection_stage stages[] = {STAGE_RECEIVING, STAGE_IDLE, STAGE_LINGERING, STAGE_IDLE};
    for (size_t i = 0; i < COUNT_OF(stages); i++)
        open_parked(fixture, stages[i], &fds[i], &peers[i]);
    hold(fixture);
    set_stage(fixture, STAGE_IDLE);
    connections_hurry(&fixture->connections);
    assert_int_equal(connections_take(&fixture->other), fds[1]);
    assert_int_equal(connections_take(&fixture->other), fds[3]);
    assert_int_equal(connections_take(&fixture->other), -1);
    for (size_t i = 0; i < COUNT_OF(stages); i++) {
        close(fds[i]);
        close(peers[i]);
    }
}

static void a_full_cycle_leaves_no_descriptor(void **state)
{
    struct fixture *fixture = *state;
    unsigned before = count_descriptors();
    for (int i = 0; i < 10; i++) {
        int number = fixture->fd, none = -1;
        hold(fixture);
        park(fixture);
        connections_watch_again(&fixture->master);
        assert_int_equal(connections_take(&fixture->other), -1);
        send_from(fixture->peer);
        assert_int_equal(connections_take(&fixture->other), number);
        int inbox = make_file("the whole request");
        atomic_store(&entry(fixture)->taken, 17);
        connections_bequeath(&fixture->master, number, &inbox, &none, 1, DEADLINE_NS);
        assert_int_equal(connections_take(&fixture->other), number);
        bequeath(fixture, number);
        expect_stored(fixture, "the whole request");
        if (i % 2 == 0) {
            assert_int_equal(drop_all(fixture), 1);
        } else {
            assert_int_equal(connections_take(&fixture->connections), number);
            connections_drop(&fixture->connections, number);
        }
        close(fixture->peer);
        open_connection(&fixture->fd, &fixture->peer);
        assert_true(connections_adopt(&fixture->master, fixture->fd, 0, DEADLINE_NS));
        take(fixture);
        connections_drop(&fixture->connections, fixture->fd);
        close(fixture->peer);
        open_connection(&fixture->fd, &fixture->peer);
        assert_int_equal(count_descriptors(), before);
        expect_left(fixture, 0);
    }
}

/* What a dead worker leaves. */

static void a_bequeathed_connection_is_taken_at_once(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    bequeath(fixture, fixture->fd);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_PARKED);
    assert_int_equal(atomic_load(&entry(fixture)->deadline_ns), DEADLINE_NS);
    expect_left(fixture, 1);
    expect_peer_sees(fixture->peer, false);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    assert_int_equal(connections_take(&fixture->other), -1);
    /* The next one who parks it waits for its peer again. */
    assert_int_equal(connections_park(&fixture->other, fixture->fd, DEADLINE_NS, false), 0);
    assert_int_equal(connections_take(&fixture->other), -1);
}

static void one_that_waited_when_its_worker_died_waits_again(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    set_stage(fixture, STAGE_WAITING);
    bequeath(fixture, fixture->fd);
    assert_int_equal(connections_waiting(&fixture->connections), 1);
    assert_int_equal(take_waiting(&fixture->connections), fixture->fd);
    assert_int_equal(connections_waiting(&fixture->connections), 0);
}

static void a_death_counts_only_while_the_application_has_the_request(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        enum connection_stage stage;
        uint32_t deaths;
    } expected[] = {{STAGE_RECEIVING, 0}, {STAGE_SERVING, 1},   {STAGE_UNSURE, 1},
                    {STAGE_ANSWERING, 2}, {STAGE_ANSWERED, 2},  {STAGE_SENDING, 2},
                    {STAGE_IDLE, 2},      {STAGE_LINGERING, 2}, {STAGE_SERVING, 3}};
    hold(fixture);
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        set_stage(fixture, expected[i].stage);
        bequeath(fixture, fixture->fd);
        assert_int_equal(atomic_load(&entry(fixture)->deaths), expected[i].deaths);
        assert_int_equal(connections_stage(&fixture->connections, fixture->fd), expected[i].stage);
        assert_int_equal(connections_take(&fixture->other), fixture->fd);
    }
    assert_int_equal(atomic_load(&entry(fixture)->began_ns), ACCEPTED_NS);
}

static void what_has_no_beginning_yet_begins_when_it_is_bequeathed(void **state)
{
    struct fixture *fixture = *state;
    int none = -1;
    assert_true(connections_hold(&fixture->connections, fixture->fd, 0));
    connections_bequeath(&fixture->master, fixture->fd, &none, &none, 77, DEADLINE_NS);
    assert_int_equal(atomic_load(&entry(fixture)->began_ns), 77);
}

static void an_inbox_from_which_nothing_was_taken_stays_with_the_master(void **state)
{
    struct fixture *fixture = *state;
    int inbox = make_file("of requests before"), outbox = make_file(""), kept[] = {inbox, outbox};
    hold(fixture);
    connections_bequeath(&fixture->master, fixture->fd, &inbox, &outbox, 1, DEADLINE_NS);
    assert_int_equal(inbox, kept[0]);
    assert_int_equal(outbox, kept[1]);
    assert_int_equal(atomic_load(&entry(fixture)->store), 0);
    assert_int_equal(atomic_load(&entry(fixture)->answer), 0);
    close(inbox);
    close(outbox);
}

static void what_a_dead_worker_had_taken_passes_to_the_connection_with_its_inbox(void **state)
{
    struct fixture *fixture = *state;
    static const uint64_t taken[] = {4, PENDING(4), PENDING(2) | 2};
    for (size_t i = 0; i < COUNT_OF(taken); i++) {
        int inbox = make_file("half and of a request before"), none = -1, file = inbox;
        hold(fixture);
        atomic_store(&entry(fixture)->taken, taken[i]);
        connections_bequeath(&fixture->master, fixture->fd, &inbox, &none, 1, DEADLINE_NS);
        assert_int_equal(inbox, -1);
        assert_int_equal(atomic_load(&entry(fixture)->store), file);
        assert_int_equal(atomic_load(&entry(fixture)->taken), taken[i]);
        take(fixture);
        connections_drop(&fixture->connections, fixture->fd);
        assert_false(is_open(file));
        close(fixture->peer);
        open_connection(&fixture->fd, &fixture->peer);
    }
}

static void a_store_stays_with_its_connection(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    int file = store(fixture, "half a request"), inbox = make_file("another's"), kept = inbox, none = -1;
    park(fixture);
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    connections_bequeath(&fixture->master, fixture->fd, &inbox, &none, 1, DEADLINE_NS);
    assert_int_equal(inbox, kept);
    assert_int_equal(atomic_load(&entry(fixture)->store), file);
    expect_stored(fixture, "half a request");
    assert_int_equal(drop_all(fixture), 1);
    close(inbox);
}

static void an_answer_on_its_way_passes_to_the_connection_with_its_outbox(void **state)
{
    struct fixture *fixture = *state;
    for (int stage = STAGE_RECEIVING; stage <= STAGE_LINGERING; stage++) {
        int outbox = make_file("an answer"), file = outbox, none = -1;
        hold(fixture);
        set_stage(fixture, (enum connection_stage)stage);
        connections_bequeath(&fixture->master, fixture->fd, &none, &outbox, 1, DEADLINE_NS);
        assert_int_equal(outbox, stage == STAGE_SENDING ? -1 : file);
        assert_int_equal(atomic_load(&entry(fixture)->answer), stage == STAGE_SENDING ? file : 0);
        if (stage != STAGE_SENDING)
            close(outbox);
        if (stage == STAGE_WAITING)
            connections_drop(&fixture->connections, take_waiting(&fixture->connections));
        else if (stage == STAGE_REFUSED)
            connections_drop(&fixture->connections, connections_take_refused(&fixture->connections));
        else
            assert_int_equal(drop_all(fixture), 1);
        close(fixture->peer);
        open_connection(&fixture->fd, &fixture->peer);
    }
}

static void an_answer_of_its_own_stays_with_its_connection(void **state)
{
    struct fixture *fixture = *state;
    int answer = make_file("an answer"), outbox = make_file("another's"), kept = outbox, none = -1;
    hold(fixture);
    set_stage(fixture, STAGE_SENDING);
    atomic_store(&entry(fixture)->answer, answer);
    connections_bequeath(&fixture->master, fixture->fd, &none, &outbox, 1, DEADLINE_NS);
    assert_int_equal(outbox, kept);
    assert_int_equal(atomic_load(&entry(fixture)->answer), answer);
    assert_int_equal(drop_all(fixture), 1);
    assert_false(is_open(answer));
    close(outbox);
}

static void of_two_that_a_worker_held_the_one_in_hand_gets_the_inbox(void **state)
{
    struct fixture *fixture = *state;
    int second, second_peer, inbox = make_file("half"), file = inbox, none = -1;
    hold(fixture);
    open_connection(&second, &second_peer);
    assert_true(connections_hold(&fixture->connections, second, 0));
    atomic_store(&connections_at(&fixture->connections, second)->taken, 4);
    for (int fd = -1; (fd = connections_held_by(&fixture->master, 0, fd + 1)) >= 0;)
        connections_bequeath(&fixture->master, fd, &inbox, &none, 1, DEADLINE_NS);
    assert_int_equal(atomic_load(&entry(fixture)->store), 0);
    assert_int_equal(atomic_load(&connections_at(&fixture->connections, second)->store), file);
    assert_int_equal(drop_all(fixture), 2);
    close(second_peer);
}

static void what_a_slot_holds_or_closes_is_found_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct connections *connections = &fixture->connections, *master = &fixture->master;
    static const uint32_t states[] = {CONNECTION_HELD_BY(3),   CONNECTION_HELD_BY(4), CONNECTION_NONE,
                                      CONNECTION_PARKED,       CONNECTION_HELD_BY(3), CONNECTION_CLOSED_BY(3),
                                      CONNECTION_CLOSED_BY(4), CONNECTION_HELD_BY(3), CONNECTION_HELD_BY(0)};
    enum { first = 50, count = COUNT_OF(states) };
    assert_true(connections_hold(connections, first + count - 1, 0));
    for (int i = 0; i < count; i++)
        atomic_store(&connections_at(connections, first + i)->state, states[i]);
    assert_int_equal(connections_held_by(master, 3, 0), first);
    assert_int_equal(connections_held_by(master, 3, first), first);
    assert_int_equal(connections_held_by(master, 3, first + 1), first + 4);
    assert_int_equal(connections_held_by(master, 3, first + 5), first + 7);
    assert_int_equal(connections_held_by(master, 3, first + 8), -1);
    assert_int_equal(connections_held_by(master, 5, 0), -1);
    assert_int_equal(connections_held_by(master, 0, 0), first + count - 1);
    assert_int_equal(connections_held_by(master, 3, CONNECTIONS_MAX), -1);
    assert_int_equal(connections_closed_by(master, 5, 0), -1);
    assert_int_equal(connections_closed_by(master, 3, first + 6), -1);
    assert_int_equal(connections_closed_by(master, 3, 0), first + 5);
    for (int i = 0; i < count; i++)
        assert_int_equal(state_of(fixture, first + i), i == 5 ? CONNECTION_HELD_BY(CONNECTIONS_MASTER) : states[i]);
}

static void what_a_dead_worker_was_closing_is_held_as_a_new_one(void **state)
{
    struct fixture *fixture = *state;
    int files[2];
    hold(fixture);
    soil(entry(fixture), files);
    atomic_store(&entry(fixture)->state, CONNECTION_CLOSED_BY(0));
    assert_false(connections_adopt(&fixture->master, fixture->fd, 0, DEADLINE_NS));
    assert_int_equal(connections_held_by(&fixture->master, 0, 0), -1);
    assert_int_equal(connections_closed_by(&fixture->master, 0, 0), fixture->fd);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(CONNECTIONS_MASTER));
    expect_clean(entry(fixture));
    assert_false(is_open(files[0]));
    assert_false(is_open(files[1]));
    bequeath(fixture, fixture->fd);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
}

/* Whoever was killed in the middle of a close has left a peer that waits for the end of file, or a new connection's. */
static void what_was_being_closed_is_closed_when_its_time_is_over_unless_its_peer_sends(void **state)
{
    struct fixture *fixture = *state;
    for (int sends = 0; sends < 2; sends++) {
        hold(fixture);
        atomic_store(&entry(fixture)->state, CONNECTION_CLOSED_BY(0));
        assert_int_equal(connections_closed_by(&fixture->master, 0, 0), fixture->fd);
        connections_park_closed(&fixture->master, fixture->fd, ACCEPTED_NS, DEADLINE_NS);
        assert_int_equal(atomic_load(&entry(fixture)->began_ns), ACCEPTED_NS);
        assert_int_equal(connections_take(&fixture->other), -1);
        assert_int_equal(connections_sweep(&fixture->master, DEADLINE_NS - 1), 0);
        if (sends)
            send_from(fixture->peer);
        connections_sweep(&fixture->master, DEADLINE_NS);
        assert_int_equal(is_open(fixture->fd), sends);
        expect_peer_sees(fixture->peer, !sends);
        if (sends)
            assert_int_equal(connections_take(&fixture->other), fixture->fd);
        else {
            close(fixture->peer);
            open_connection(&fixture->fd, &fixture->peer);
        }
    }
}

static void what_turns_out_to_be_closed_is_anybodys_again(void **state)
{
    struct fixture *fixture = *state;
    int files[2];
    hold(fixture);
    soil(entry(fixture), files);
    connections_forget(&fixture->connections, fixture->fd);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_NONE);
    expect_clean(entry(fixture));
    /* The number may be another's by now. */
    assert_true(is_open(fixture->fd));
    assert_false(is_open(files[0]));
    assert_true(connections_hold(&fixture->other, fixture->fd, 5));
}

static void an_adopted_connection_is_a_new_one_and_taken_at_once(void **state)
{
    struct fixture *fixture = *state;
    assert_true(connections_adopt(&fixture->master, fixture->fd, 77, DEADLINE_NS));
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_PARKED);
    assert_int_equal(connections_stage(&fixture->other, fixture->fd), STAGE_RECEIVING);
    assert_int_equal(atomic_load(&entry(fixture)->began_ns), 77);
    assert_int_equal(atomic_load(&entry(fixture)->deadline_ns), DEADLINE_NS);
    expect_left(fixture, 1);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
    assert_int_equal(connections_held_by(&fixture->master, 7, 0), fixture->fd);
}

static void what_somebody_has_is_not_adopted(void **state)
{
    struct fixture *fixture = *state;
    static const uint32_t states[] = {CONNECTION_PARKED, CONNECTION_HELD_BY(0), CONNECTION_HELD_BY(7),
                                      CONNECTION_CLOSED_BY(0), CONNECTION_CLOSED_BY(7)};
    hold(fixture);
    set_stage(fixture, STAGE_SERVING);
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        atomic_store(&entry(fixture)->state, states[i]);
        assert_false(connections_adopt(&fixture->master, fixture->fd, 77, DEADLINE_NS));
        assert_int_equal(state_of(fixture, fixture->fd), states[i]);
    }
    assert_int_equal(connections_stage(&fixture->other, fixture->fd), STAGE_SERVING);
    assert_int_equal(atomic_load(&entry(fixture)->began_ns), ACCEPTED_NS);
}

static void a_connection_whose_worker_died_before_it_was_watched_is_reported(void **state)
{
    struct fixture *fixture = *state;
    hold(fixture);
    atomic_store(&entry(fixture)->state, CONNECTION_PARKED);
    send_from(fixture->peer);
    assert_int_equal(connections_take(&fixture->other), -1);
    connections_watch_again(&fixture->master);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
}

static void a_connection_whose_event_died_with_a_worker_is_reported_again(void **state)
{
    struct fixture *fixture = *state;
    struct epoll_event event;
    hold(fixture);
    park(fixture);
    send_from(fixture->peer);
    assert_int_equal(epoll_wait(fixture->connections.ready, &event, 1, 0), 1);
    assert_int_equal(connections_take(&fixture->other), -1);
    connections_watch_again(&fixture->master);
    assert_int_equal(connections_take(&fixture->other), fixture->fd);
}

static void one_that_waits_and_whose_event_died_with_a_worker_is_reported_again(void **state)
{
    struct fixture *fixture = *state;
    struct epoll_event event;
    hold(fixture);
    set_stage(fixture, STAGE_WAITING);
    park(fixture);
    assert_int_equal(epoll_wait(fixture->connections.waiting, &event, 1, 0), 1);
    assert_int_equal(take_waiting(&fixture->other), -1);
    connections_watch_again(&fixture->master);
    assert_int_equal(connections_take(&fixture->other), -1);
    assert_int_equal(take_waiting(&fixture->other), fixture->fd);
}

static void only_parked_connections_are_watched_anew(void **state)
{
    struct fixture *fixture = *state;
    int second, second_peer;
    hold(fixture);
    open_parked(fixture, STAGE_RECEIVING, &second, &second_peer);
    connections_watch_again(&fixture->master);
    /* Not even once: whoever holds it would be the first to be woken. */
    assert_int_equal(epoll_ctl(fixture->connections.ready, EPOLL_CTL_DEL, fixture->fd, NULL), -1);
    assert_int_equal(errno, ENOENT);
    send_from(second_peer);
    assert_int_equal(connections_take(&fixture->other), second);
    assert_int_equal(connections_take(&fixture->other), -1);
    connections_drop(&fixture->other, second);
    close(second_peer);
}

/* With other processes. */

/* Children that are to meet wait for a sign, which the entry of the fixture's connection carries. */
static void wait_for_go(const struct fixture *fixture)
{
    while (atomic_load(&entry(fixture)->began_ns) == 0)
        sched_yield();
}

static void let_go(const struct fixture *fixture, bool is_go)
{
    atomic_store(&entry(fixture)->began_ns, is_go);
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

static int take_all_waiting(struct fixture *fixture, struct connections *connections)
{
    int taken = 0;
    wait_for_go(fixture);
    while (take_waiting(connections) >= 0)
        taken++;
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
static void park_many(struct fixture *fixture, enum connection_stage stage, int fds[MANY], int peers[MANY])
{
    for (int i = 0; i < MANY; i++) {
        open_parked(fixture, stage, &fds[i], &peers[i]);
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

/* Closes them and makes their numbers nobody's. */
static void forget_many(struct fixture *fixture, const int fds[MANY], const int peers[MANY])
{
    for (int i = 0; i < MANY; i++)
        forget_one(fixture, fds[i], peers[i]);
}

static void of_two_processes_that_try_one_takes_a_connection(void **state)
{
    struct fixture *fixture = *state;
    int fds[MANY], peers[MANY];
    for (int round = 0; round < 50; round++) {
        unsigned taken[2];
        bool is_waiting = round % 2 != 0;
        child_work *work = is_waiting ? take_all_waiting : take_all;
        park_many(fixture, is_waiting ? STAGE_WAITING : STAGE_RECEIVING, fds, peers);
        run_both(fixture, work, work, taken);
        assert_int_equal(taken[0] + taken[1], MANY);
        assert_int_equal(count_in_state(fixture, fds, CONNECTION_HELD_BY(1)), taken[0]);
        assert_int_equal(count_in_state(fixture, fds, CONNECTION_HELD_BY(2)), taken[1]);
        assert_int_equal(connections_waiting(&fixture->connections), 0);
        assert_int_equal(connections_take(&fixture->connections), -1);
        assert_int_equal(take_waiting(&fixture->connections), -1);
        forget_many(fixture, fds, peers);
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
    park(fixture);
    send_from(fixture->peer);
    assert_int_equal(exit_of(start(fixture, 1, false, take_one)), 0);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(1));
    assert_int_equal(connections_take(&fixture->connections), -1);
}

static void a_connection_is_taken_or_given_up_but_not_both(void **state)
{
    struct fixture *fixture = *state;
    int fds[MANY], peers[MANY];
    for (int round = 0; round < 50; round++) {
        unsigned done[2];
        for (int i = 0; i < MANY; i++) {
            open_parked(fixture, STAGE_RECEIVING, &fds[i], &peers[i]);
            if (i % 2 == 0)
                send_from(peers[i]);
        }
        run_both(fixture, take_all, sweep_all, done);
        assert_int_equal(done[0], MANY / 2);
        assert_int_equal(done[1], MANY / 2);
        assert_int_equal(count_in_state(fixture, fds, CONNECTION_HELD_BY(1)), done[0]);
        assert_int_equal(count_in_state(fixture, fds, CONNECTION_NONE), done[1]);
        for (int i = 0; i < MANY; i++)
            assert_true(is_open(fds[i]) == (state_of(fixture, fds[i]) != CONNECTION_NONE));
        forget_many(fixture, fds, peers);
    }
}

static void a_connection_is_given_up_once(void **state)
{
    struct fixture *fixture = *state;
    int fds[MANY], peers[MANY];
    for (int round = 0; round < 100; round++) {
        unsigned swept[2];
        for (int i = 0; i < MANY; i++)
            open_parked(fixture, STAGE_RECEIVING, &fds[i], &peers[i]);
        run_both(fixture, sweep_all, sweep_all, swept);
        assert_int_equal(swept[0] + swept[1], MANY);
        assert_int_equal(count_in_state(fixture, fds, CONNECTION_NONE), MANY);
        forget_many(fixture, fds, peers);
    }
}

/* Numbers that two processes want at the same time, without a connection behind them. */
#define FIRST_WANTED 1000
#define WANTED 200

static int hold_all(struct fixture *fixture, struct connections *connections)
{
    int held = 0;
    wait_for_go(fixture);
    for (int fd = FIRST_WANTED; fd < FIRST_WANTED + WANTED; fd++)
        held += connections_hold(connections, fd, 1);
    return held;
}

static int adopt_all(struct fixture *fixture, struct connections *connections)
{
    int adopted = 0;
    wait_for_go(fixture);
    for (int fd = FIRST_WANTED; fd < FIRST_WANTED + WANTED; fd++)
        adopted += connections_adopt(connections, fd, 1, DEADLINE_NS);
    return adopted;
}

static void a_connection_is_held_by_its_worker_or_adopted_but_not_both(void **state)
{
    struct fixture *fixture = *state;
    for (int round = 0; round < 100; round++) {
        unsigned done[2], held = 0, parked = 0;
        run_both(fixture, hold_all, adopt_all, done);
        for (int fd = FIRST_WANTED; fd < FIRST_WANTED + WANTED; fd++) {
            held += state_of(fixture, fd) == CONNECTION_HELD_BY(1);
            parked += state_of(fixture, fd) == CONNECTION_PARKED;
            connections_forget(&fixture->connections, fd);
        }
        assert_int_equal(done[0], held);
        assert_int_equal(done[1], parked);
        assert_int_equal(held + parked, WANTED);
    }
}

/* 0: held; 1: somebody else has it; 2: came back although the master was still at it. */
static int hold_one(struct fixture *fixture, struct connections *connections)
{
    bool is_held = connections_hold(connections, fixture->fd, ACCEPTED_NS);
    int error = errno;
    if (state_of(fixture, fixture->fd) == CONNECTION_HELD_BY(CONNECTIONS_MASTER))
        return 2;
    if (is_held)
        return 0;
    return error == EBUSY ? 1 : 3;
}

static void who_has_just_accepted_waits_for_the_master_to_decide(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&entry(fixture)->state, CONNECTION_HELD_BY(CONNECTIONS_MASTER));
    pid_t pid = start(fixture, 1, true, hold_one);
    /* One that does not wait is back within this time, mostly, and tells. */
    poll(NULL, 0, 20);
    bequeath(fixture, fixture->fd);
    assert_int_equal(exit_of(pid), 1);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_PARKED);
    atomic_store(&entry(fixture)->state, CONNECTION_HELD_BY(CONNECTIONS_MASTER));
    pid = start(fixture, 1, true, hold_one);
    poll(NULL, 0, 20);
    connections_forget(&fixture->master, fixture->fd);
    assert_int_equal(exit_of(pid), 0);
    assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_HELD_BY(1));
}

/* A process counts and takes back its own while the master counts anew: it may not find the count at its bound. */
static int keep_and_let_go(struct fixture *fixture, struct connections *connections)
{
    if (!connections_hold(connections, fixture->fd, 1))
        return 1;
    for (uint64_t i = 0; i < 5000000; i++) {
        if (!connections_keep(connections, fixture->fd, KEPT_MAX / 2 - i % (KEPT_MAX / 2)))
            return 2;
        connections_keep_nothing(connections, fixture->fd);
    }
    return 0;
}

static int wait_and_take(struct fixture *fixture, struct connections *connections)
{
    if (!connections_hold(connections, fixture->fd, 1))
        return 1;
    for (int i = 0; i < 300000; i++) {
        connections_set_stage(connections, fixture->fd, STAGE_WAITING);
        if (connections_park(connections, fixture->fd, UINT64_MAX, false) != 0 || connections_waiting(connections) > 2)
            return 2;
        if (take_waiting(connections) != fixture->fd || connections_waiting(connections) > 1)
            return 3;
    }
    return 0;
}

/* Counts anew while a process works, which has to find all well. The table is in use to its end, so that it takes a while. */
static void sweep_meanwhile(struct fixture *fixture, child_work *work)
{
    int status;
    assert_true(connections_hold(&fixture->other, CONNECTIONS_MAX - 1, 1));
    pid_t pid = start(fixture, 1, true, work);
    while (waitpid(pid, &status, WNOHANG) == 0)
        connections_sweep(&fixture->master, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void counting_anew_does_not_make_the_kept_bytes_too_many(void **state)
{
    sweep_meanwhile(*state, keep_and_let_go);
}

static void counting_anew_does_not_make_the_queue_too_long(void **state)
{
    sweep_meanwhile(*state, wait_and_take);
}

static int park_and_die(struct fixture *fixture, struct connections *connections)
{
    if (!connections_hold(connections, fixture->fd, ACCEPTED_NS))
        return 1;
    int file = memfd_create("test", MFD_CLOEXEC);
    if (write(file, "half", 4) != 4)
        return 1;
    atomic_store(&entry(fixture)->store, file);
    atomic_store(&entry(fixture)->taken, 4);
    return connections_park(connections, fixture->fd, DEADLINE_NS, false) != 0 ? 1 : die();
}

static void a_parked_connection_and_its_bytes_outlive_the_worker_that_parked_it(void **state)
{
    struct fixture *fixture = *state;
    expect_killed(start(fixture, 3, true, park_and_die));
    assert_int_equal(connections_held_by(&fixture->master, 3, 0), -1);
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
    atomic_store(&entry(fixture)->taken, 15);
    connections_set_stage(connections, fixture->fd, STAGE_SERVING);
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
    int inbox = make_file("a whole request"), file = inbox, none = -1;
    expect_killed(start(fixture, 3, true, serve_and_die));
    expect_peer_sees(fixture->peer, false);
    assert_int_equal(connections_held_by(&fixture->master, 3, 0), fixture->fd);
    connections_bequeath(&fixture->master, fixture->fd, &inbox, &none, 1, DEADLINE_NS);
    expect_stored(fixture, "a whole request");
    assert_int_equal(connections_held_by(&fixture->master, 3, 0), -1);
    assert_int_equal(exit_of(start(fixture, 4, true, take_and_drop)), 0);
    expect_nobodys(fixture, fixture->fd);
    assert_false(is_open(file));
    expect_peer_sees(fixture->peer, true);
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
    assert_int_equal(connections_held_by(&fixture->master, 1, 0), -1);
    assert_int_equal(connections_held_by(&fixture->master, 2, 0), -1);
    assert_int_equal(connections_closed_by(&fixture->master, 1, 0), -1);
    assert_int_equal(connections_closed_by(&fixture->master, 2, 0), -1);
}

/* Lets a child work until its rounds, which it counts as the beginning of some entry, have come to least; and kills it. */
static void kill_at_work(struct fixture *fixture, struct connection *counted, uint64_t least, child_work *work)
{
    atomic_store(&counted->began_ns, 0);
    pid_t pid = start(fixture, 3, true, work);
    while (atomic_load(&counted->began_ns) < least)
        sched_yield();
    kill(pid, SIGKILL);
    expect_killed(pid);
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
        atomic_store(&connections_at(connections, BRIEF)->end, 5);
        connections_drop(connections, BRIEF);
    }
}

static void a_worker_killed_while_it_drops_leaves_a_connection_or_a_number_that_is_nobodys(void **state)
{
    struct fixture *fixture = *state;
    struct connection *brief = connections_at(&fixture->connections, BRIEF);
    for (uint64_t round = 0; round < 300; round++) {
        kill_at_work(fixture, brief, 20 + round, drop_until_killed);
        if (connections_held_by(&fixture->master, 3, 0) == BRIEF) {
            assert_true(is_open(BRIEF));
            assert_true(atomic_load(&brief->store) == 0 || is_open(BRIEF_STORE));
            connections_forget(&fixture->master, BRIEF);
        } else if (connections_closed_by(&fixture->master, 3, 0) == BRIEF) {
            expect_clean(brief);
            connections_forget(&fixture->master, BRIEF);
        }
        assert_int_equal(atomic_load(&brief->state), CONNECTION_NONE);
        expect_clean(brief);
        close(BRIEF);
        close(BRIEF_STORE);
    }
}

/* Parks the connection and takes it again, in one stage after the other. */
static int park_until_killed(struct fixture *fixture, struct connections *connections)
{
    static const enum connection_stage stages[] = {STAGE_RECEIVING, STAGE_WAITING, STAGE_SENDING};
    for (uint64_t i = 1;; i++) {
        enum connection_stage stage = stages[i % COUNT_OF(stages)];
        atomic_store(&entry(fixture)->began_ns, i);
        connections_set_stage(connections, fixture->fd, stage);
        if (connections_park(connections, fixture->fd, UINT64_MAX, i % 2 == 0) != 0)
            return 1;
        int taken = stage == STAGE_WAITING ? take_waiting(connections) : connections_take(connections);
        if (taken != fixture->fd)
            return 2;
    }
}

static void a_worker_killed_while_it_parks_or_takes_leaves_a_connection_that_the_next_one_gets(void **state)
{
    struct fixture *fixture = *state;
    send_from(fixture->peer);
    for (uint64_t round = 0; round < 300; round++) {
        connections_forget(&fixture->master, fixture->fd);
        assert_true(connections_hold(&fixture->master, fixture->fd, 0));
        atomic_store(&entry(fixture)->state, CONNECTION_HELD_BY(3));
        kill_at_work(fixture, entry(fixture), 20 + round, park_until_killed);
        int held = connections_held_by(&fixture->master, 3, 0);
        assert_true(held == -1 || held == fixture->fd);
        if (held >= 0)
            bequeath(fixture, held);
        connections_watch_again(&fixture->master);
        assert_int_equal(state_of(fixture, fixture->fd), CONNECTION_PARKED);
        bool is_waiting = connections_stage(&fixture->other, fixture->fd) == STAGE_WAITING;
        connections_sweep(&fixture->master, 0);
        assert_int_equal(connections_waiting(&fixture->other), is_waiting);
        assert_int_equal(is_waiting ? take_waiting(&fixture->other) : connections_take(&fixture->other), fixture->fd);
        assert_int_equal(connections_waiting(&fixture->other), 0);
    }
}

static void the_shared_epolls_are_closed_on_exec(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(fcntl(fixture->connections.ready, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fixture->connections.waiting, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

#define WITH_A_TABLE(test) cmocka_unit_test_setup_teardown(test, make, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_TABLE(a_new_connection_is_held_and_not_taken),
        WITH_A_TABLE(what_somebody_has_is_not_held_again),
        WITH_A_TABLE(a_number_that_another_worker_has_just_closed_can_be_held),
        WITH_A_TABLE(a_parked_connection_waits_for_its_peer),
        WITH_A_TABLE(a_parked_connection_is_taken_when_its_peer_ends_its_side_or_hangs_up),
        WITH_A_TABLE(a_connection_that_has_something_to_read_is_taken_as_soon_as_it_is_parked),
        WITH_A_TABLE(an_urgent_connection_is_taken_whatever_its_peer_does),
        WITH_A_TABLE(an_answer_on_its_way_waits_for_its_reader_and_for_nothing_else),
        WITH_A_TABLE(a_connection_that_is_not_parked_any_more_is_passed_over),
        WITH_A_TABLE(a_connection_that_cannot_be_watched_stays_held),
        WITH_A_TABLE(descriptors_beyond_the_table_are_refused),
        WITH_A_TABLE(what_is_parked_or_held_is_left_to_be_done),
        WITH_A_TABLE(those_that_wait_for_a_worker_are_taken_in_their_order_and_apart_from_the_others),
        WITH_A_TABLE(those_that_were_refused_are_taken_apart_from_the_others_when_their_peer_sends),
        WITH_A_TABLE(one_that_has_waited_waits_for_its_peer_next),
        WITH_A_TABLE(one_whose_peer_left_while_it_waited_is_told_apart),
        WITH_A_TABLE(one_that_waits_is_not_given_up_without_a_deadline),
        WITH_A_TABLE(many_that_leave_before_their_turn_have_the_newest_served_first),
        WITH_A_TABLE(one_that_leaves_among_many_changes_nothing),
        WITH_A_TABLE(however_many_have_left_the_queue_is_soon_in_order_again),
        WITH_A_TABLE(where_descriptors_are_short_and_nobody_is_silent_nothing_is_parked),
        WITH_A_TABLE(the_files_of_a_parked_connection_count_as_well),
        WITH_A_TABLE(where_descriptors_are_short_one_that_waits_for_its_peer_alone_makes_room),
        WITH_A_TABLE(one_that_has_had_its_time_makes_room_before_a_new_one),
        WITH_A_TABLE(a_held_connection_makes_no_room),
        WITH_A_TABLE(each_silent_connection_makes_room_once_and_in_turn),
        WITH_A_TABLE(a_bequeathed_connection_is_parked_also_where_descriptors_are_short),
        cmocka_unit_test(some_descriptors_are_left_to_those_who_are_served_at_once),
        WITH_A_TABLE(what_connections_keep_has_a_bound_for_all_together),
        WITH_A_TABLE(what_a_dead_worker_miscounted_is_counted_anew),
        WITH_A_TABLE(a_parked_connection_keeps_what_it_has),
        WITH_A_TABLE(a_silent_peer_costs_no_descriptor),
        WITH_A_TABLE(files_of_a_connection_are_known_by_their_number),
        WITH_A_TABLE(a_dropped_connection_is_closed_with_its_files),
        WITH_A_TABLE(the_next_connection_of_the_same_number_starts_clean),
        WITH_A_TABLE(only_connections_whose_time_is_over_are_given_up),
        WITH_A_TABLE(a_held_connection_is_not_given_up_however_late),
        WITH_A_TABLE(giving_up_who_lingers_or_is_idle_costs_nobody_anything),
        WITH_A_TABLE(one_that_waits_for_a_worker_is_not_given_up),
        WITH_A_TABLE(a_drain_has_idle_connections_looked_at_and_no_others),
        WITH_A_TABLE(a_full_cycle_leaves_no_descriptor),
        WITH_A_TABLE(a_bequeathed_connection_is_taken_at_once),
        WITH_A_TABLE(one_that_waited_when_its_worker_died_waits_again),
        WITH_A_TABLE(a_death_counts_only_while_the_application_has_the_request),
        WITH_A_TABLE(what_has_no_beginning_yet_begins_when_it_is_bequeathed),
        WITH_A_TABLE(an_inbox_from_which_nothing_was_taken_stays_with_the_master),
        WITH_A_TABLE(what_a_dead_worker_had_taken_passes_to_the_connection_with_its_inbox),
        WITH_A_TABLE(a_store_stays_with_its_connection),
        WITH_A_TABLE(an_answer_on_its_way_passes_to_the_connection_with_its_outbox),
        WITH_A_TABLE(an_answer_of_its_own_stays_with_its_connection),
        WITH_A_TABLE(of_two_that_a_worker_held_the_one_in_hand_gets_the_inbox),
        WITH_A_TABLE(what_a_slot_holds_or_closes_is_found_and_nothing_else),
        WITH_A_TABLE(what_a_dead_worker_was_closing_is_held_as_a_new_one),
        WITH_A_TABLE(what_was_being_closed_is_closed_when_its_time_is_over_unless_its_peer_sends),
        WITH_A_TABLE(what_turns_out_to_be_closed_is_anybodys_again),
        WITH_A_TABLE(an_adopted_connection_is_a_new_one_and_taken_at_once),
        WITH_A_TABLE(what_somebody_has_is_not_adopted),
        WITH_A_TABLE(a_connection_whose_worker_died_before_it_was_watched_is_reported),
        WITH_A_TABLE(a_connection_whose_event_died_with_a_worker_is_reported_again),
        WITH_A_TABLE(one_that_waits_and_whose_event_died_with_a_worker_is_reported_again),
        WITH_A_TABLE(only_parked_connections_are_watched_anew),
        WITH_A_TABLE(of_two_processes_that_try_one_takes_a_connection),
        WITH_A_TABLE(a_process_with_descriptors_of_its_own_takes_a_connection_for_all),
        WITH_A_TABLE(a_connection_is_taken_or_given_up_but_not_both),
        WITH_A_TABLE(a_connection_is_given_up_once),
        WITH_A_TABLE(a_connection_is_held_by_its_worker_or_adopted_but_not_both),
        WITH_A_TABLE(who_has_just_accepted_waits_for_the_master_to_decide),
        WITH_A_TABLE(counting_anew_does_not_make_the_kept_bytes_too_many),
        WITH_A_TABLE(counting_anew_does_not_make_the_queue_too_long),
        WITH_A_TABLE(a_parked_connection_and_its_bytes_outlive_the_worker_that_parked_it),
        WITH_A_TABLE(a_connection_outlives_its_worker_and_goes_to_the_next),
        WITH_A_TABLE(a_number_that_is_used_again_at_once_stays_with_its_new_holder),
        WITH_A_TABLE(a_worker_killed_while_it_drops_leaves_a_connection_or_a_number_that_is_nobodys),
        WITH_A_TABLE(a_worker_killed_while_it_parks_or_takes_leaves_a_connection_that_the_next_one_gets),
        WITH_A_TABLE(the_shared_epolls_are_closed_on_exec),
    };
    return cmocka_run_group_tests_name("connections", tests, NULL, NULL);
}
