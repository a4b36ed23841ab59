/* exchange: each request gets its answer, once, in its turn and on its own connection, whenever the worker dies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "clock.h"
#include "exchange.h"
#include "killed.h"
#include "outbox.h"
#include "pair.h"
#include "wire.h"

#define LARGE 300000 /* an answer that no socket takes at once */
#define BODY_MAX 100000
#define ANSWERS_MAX ((size_t)1024 * 1024)
#define REQUESTS_MAX 8
#define FD_MAX 64 /* no descriptor here comes near this */
#define TIMEOUT_NS (600 * CLOCK_NS_PER_S)
static const struct record_limits limits = {.params_bytes = 4096, .params_count = 64, .body_bytes = BODY_MAX};

/* A worker: what its process is started with, and its files. */
struct worker {
    struct connections connections;
    struct exchange_config config;
    struct exchange exchange;
};

/* What the peer is to get for a request. */
struct due {
    uint16_t id;
    int status;
    int or_status; /* where a worker has died, this is right as well; 0: it is not */
    size_t body_length;
};

struct fixture {
    struct worker worker; /* the one that is killed */
    struct worker heir;   /* in this process */
    struct scoreboard *board;
    struct connections master;
    struct log log;
    struct pair pair;
    bool is_listening; /* the connection has not been accepted yet */
    bool is_full;      /* there is no place in the queue */
    bool ends_idle;    /* the connection is kept in the end, and nothing of a next request has come */
    int first_fd;      /* of all that is opened */
    const char *unit;  /* at what the worker is killed, and at which of it */
    unsigned long moment;
    /* What the peer sends, in two goes: the second one after the first worker's end. */
    struct wire wire;
    size_t first_length;
    struct due due[REQUESTS_MAX];
    unsigned due_count;
    uint8_t answers[ANSWERS_MAX];
    size_t answers_length;
    uint8_t body[BODY_MAX + 1];
};

/* The application: n bytes, or what the body is long. */

#define ALPHABET 23
static char letters[ALPHABET * 100];

static char letter_at(size_t at)
{
    return (char)('a' + at % ALPHABET);
}

static void serve(void *context, const struct app_request *request, struct app_response *response)
{
    (void)context;
    char text[16];
    char piece[4096];
    app_query(request->query, "n", text, sizeof(text));
    size_t length = strtoul(text, NULL, 10);
    response->content_type = "text/plain";
    if (strcmp(request->method, "POST") == 0) {
        length = 0;
        for (ssize_t got; (got = request->read_body(request, piece, sizeof(piece))) > 0;)
            length += (size_t)got;
    }
    for (size_t i = 0, size; i < length; i += size) {
        size = length - i < sizeof(letters) ? length - i : sizeof(letters);
        app_write(response, letters, size);
    }
}

static const struct app app = {.name = "test", .serve = serve};

/* Workers. */

static void open_worker(struct fixture *fixture, struct worker *worker, unsigned slot)
{
    worker->connections = fixture->master;
    worker->connections.slot = slot;
    worker->connections.is_opening = &fixture->board->slots[slot].is_opening;
    worker->config = (struct exchange_config){
        .app = &app,
        .log = &fixture->log,
        .connections = &worker->connections,
        .slot = &fixture->board->slots[slot],
        .order = &fixture->board->master.orders[slot],
        .inbox = inbox_make_file(&limits),
        .outbox = outbox_make_file(),
        .lookup = -1,
        .limits = limits,
        .max_conns = 4,
        .read_timeout_ns = TIMEOUT_NS,
        .write_timeout_ns = TIMEOUT_NS,
        .idle_timeout_ns = 2 * TIMEOUT_NS,
    };
    assert_int_equal(exchange_open(&worker->exchange, &worker->config), 0);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void close_worker(struct worker *worker)
{
    exchange_close(&worker->exchange);
    munmap(worker->exchange.inbox.own_bytes, worker->exchange.inbox.capacity);
    close_if_open(worker->config.inbox);
    close_if_open(worker->config.outbox);
}

/* Takes up what is to be done until nothing is; true where there was something. */
static bool work_off(struct worker *worker)
{
    int connection, count = 0;
    while ((connection = connections_take(&worker->connections)) >= 0 ||
           (connection = connections_take_refused(&worker->connections)) >= 0) {
        exchange_resume(&worker->exchange, connection);
        count++;
    }
    return count > 0;
}

/* All that a worker does for a new connection, from its accept on. */
static void work(void *context)
{
    struct fixture *fixture = context;
    struct worker *worker = &fixture->worker;
    if (!connections_hold(&worker->connections, fixture->pair.connection, clock_now_ns()))
        _exit(1);
    if (fixture->is_full)
        exchange_refuse(&worker->exchange, fixture->pair.connection);
    else
        exchange_begin(&worker->exchange, fixture->pair.connection);
    work_off(worker);
}

/* The master's part: see settle_estate, settle_closed and adopt_unheld in pool.c. */

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void settle_estate(struct fixture *fixture)
{
    struct connections *master = &fixture->master;
    struct exchange_config *dead = &fixture->worker.config;
    uint64_t now_ns = clock_now_ns();
    int fd = -1;
    while ((fd = connections_held_by(master, 0, fd + 1)) >= 0)
        connections_bequeath(master, fd, &dead->inbox, &dead->outbox, now_ns, now_ns + TIMEOUT_NS);
    while ((fd = connections_closed_by(master, 0, fd + 1)) >= 0) {
        if (is_open(fd))
            connections_park_closed(master, fd, now_ns, now_ns);
        else
            connections_forget(master, fd);
    }
    connections_watch_again(master);
    /* The second is over that the peer of a closed one gets. */
    connections_sweep(master, now_ns);
    atomic_store(&fixture->board->slots[0].is_opening, 0);
    if (fixture->is_listening && is_open(fixture->pair.connection))
        connections_adopt(master, fixture->pair.connection, now_ns, now_ns + TIMEOUT_NS);
}

static bool is_unknown_file(const struct fixture *fixture, int fd)
{
    char link[64], name[64] = "";
    const struct exchange_config *one = &fixture->worker.config, *other = &fixture->heir.config;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return readlink(link, name, sizeof(name) - 1) > 0 && strncmp(name, "/memfd:fibcgi-", 14) == 0 && fd != one->inbox &&
           fd != one->outbox && fd != other->inbox && fd != other->outbox &&
           !connections_refer_to(&fixture->master, fd);
}

/* The next memory file from fd on of which nobody knows; -1: there is none. */
static int find_unknown_file(const struct fixture *fixture, int fd)
{
    for (; fd < FD_MAX; fd++) {
        if (is_unknown_file(fixture, fd))
            return fd;
    }
    return -1;
}

/* The master closes such files where no worker says that it is opening one. */
static void look_for_unknown_files(pid_t pid, void *context)
{
    const struct fixture *fixture = context;
    (void)pid;
    if (atomic_load(&fixture->board->slots[0].is_opening) == 0)
        assert_int_equal(find_unknown_file(fixture, 0), -1);
}

/* The peer. */

static void send_all(const struct fixture *fixture, const uint8_t *bytes, size_t length)
{
    assert_int_equal(send(fixture->pair.peer, bytes, length, MSG_NOSIGNAL), length);
}

static bool read_answers(struct fixture *fixture)
{
    ssize_t got;
    size_t before = fixture->answers_length;
    while ((got = recv(fixture->pair.peer, fixture->answers + fixture->answers_length,
                       ANSWERS_MAX - fixture->answers_length, MSG_DONTWAIT)) > 0)
        fixture->answers_length += (size_t)got;
    return fixture->answers_length > before;
}

/* One answer out of what the peer has got, without the records around it. */
struct answer {
    char text[LARGE + 4096];
    size_t length;
    unsigned id;
};

/* Reads records up to an END_REQUEST; returns where the next one begins. */
static size_t read_answer(const struct fixture *fixture, size_t at, struct answer *answer)
{
    answer->length = 0;
    for (;;) {
        const uint8_t *record = fixture->answers + at;
        size_t length = record[4] * 256U + record[5];
        at += 8 + length + record[6];
        if (at > fixture->answers_length)
            fail_msg("killed at %s %lu: no whole answer", fixture->unit, fixture->moment);
        answer->id = record[2] * 256U + record[3];
        if (record[1] == RECORD_END_REQUEST)
            return at;
        if (record[1] == RECORD_GET_VALUES_RESULT)
            continue;
        assert_int_equal(record[1], RECORD_STDOUT);
        assert_true(answer->length + length < sizeof(answer->text));
        memcpy(answer->text + answer->length, record + 8, length);
        answer->length += length;
    }
}

static bool is_body(const struct answer *answer, size_t length)
{
    const char *body = memmem(answer->text, answer->length, "\r\n\r\n", 4);
    if (body == NULL || (size_t)(answer->text + answer->length - (body + 4)) != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (body[4 + i] != letter_at(i))
            return false;
    }
    return true;
}

static bool is_due(const struct answer *answer, const struct due *due)
{
    int status = 0;
    if (answer->id != due->id)
        return false;
    if (due->status == 0)
        return answer->length == 0;
    if (sscanf(answer->text, "Status: %d", &status) != 1)
        return false;
    return status == 200 && due->status == 200 ? is_body(answer, due->body_length)
                                               : status == due->status || status == due->or_status;
}

static void expect_all_answers(const struct fixture *fixture)
{
    static struct answer answer;
    size_t at = 0;
    for (unsigned i = 0; i < fixture->due_count; i++) {
        at = read_answer(fixture, at, &answer);
        if (!is_due(&answer, &fixture->due[i]))
            fail_msg("killed at %s %lu: answer %u is: %u, %.40s", fixture->unit, fixture->moment, i + 1, answer.id,
                     answer.text);
    }
    while (at + 8 <= fixture->answers_length && fixture->answers[at + 1] == RECORD_GET_VALUES_RESULT)
        at += 8U + fixture->answers[at + 4] * 256U + fixture->answers[at + 5];
    if (at != fixture->answers_length)
        fail_msg("killed at %s %lu: there is more than the answers", fixture->unit, fixture->moment);
}

/* Setting up. */

static int make(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    fixture->first_fd = fixture->log.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fixture->board = scoreboard_create();
    for (size_t i = 0; i < sizeof(fixture->body); i++)
        fixture->body[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(letters); i++)
        letters[i] = letter_at(i);
    *state = fixture;
    return fixture->board != NULL && connections_create(&fixture->master, 16, 4 * ANSWERS_MAX) == 0 ? 0 : -1;
}

static int drop(void **state)
{
    struct fixture *fixture = *state;
    /* After a failure there is more than the log and the epolls. */
    for (int fd = fixture->first_fd; fd < FD_MAX; fd++)
        close(fd);
    munmap(fixture->board, sizeof(*fixture->board));
    munmap(fixture->master.table, sizeof(struct connection[CONNECTIONS_MAX + 1]));
    free(fixture);
    return 0;
}

static void open_all(struct fixture *fixture)
{
    fixture->master.slot = CONNECTIONS_MASTER;
    fixture->master.is_opening = NULL;
    open_worker(fixture, &fixture->worker, 0);
    open_worker(fixture, &fixture->heir, 1);
    pair_open(&fixture->pair, PAIR_UNIX);
    fixture->is_listening = true;
    fixture->answers_length = 0;
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

/* The heir and the peer go on until both have nothing left to do. */
static void finish_work(struct fixture *fixture)
{
    bool goes_on;
    do {
        goes_on = work_off(&fixture->heir);
        goes_on = read_answers(fixture) || goes_on;
    } while (goes_on);
}

/* The peer hangs up, and nothing is left. */
static void finish(struct fixture *fixture)
{
    close(fixture->pair.peer);
    work_off(&fixture->heir);
    assert_int_equal(connections_left(&fixture->master), 0);
    assert_false(is_open(fixture->pair.connection));
    for (int fd = 0; (fd = find_unknown_file(fixture, fd)) >= 0;)
        close(fd);
    close_worker(&fixture->worker);
    close_worker(&fixture->heir);
}

/* What becomes of the requests where the worker is killed at that moment. Returns 0; or, where it had done its work before, how
 * many moments there were. */
static unsigned long try_moment(struct fixture *fixture, unsigned long at, enum killed_unit unit)
{
    /* Once for each kind of work: it is the same until the death. */
    killed_look *look = unit == AT_SYSTEM_CALL && at == ULONG_MAX ? look_for_unknown_files : NULL;
    unsigned before = count_descriptors();
    fixture->unit = unit == AT_SYSTEM_CALL ? "system call" : "instruction";
    fixture->moment = at;
    open_all(fixture);
    send_all(fixture, fixture->wire.bytes, fixture->first_length);
    unsigned long moments = killed_at(at, unit, true, work, look, fixture);
    fixture->is_listening = is_open(fixture->pair.connection);
    settle_estate(fixture);
    if (fixture->wire.length > fixture->first_length)
        send_all(fixture, fixture->wire.bytes + fixture->first_length, fixture->wire.length - fixture->first_length);
    finish_work(fixture);
    expect_all_answers(fixture);
    if (fixture->ends_idle)
        assert_int_equal(connections_stage(&fixture->master, fixture->pair.connection), STAGE_IDLE);
    finish(fixture);
    assert_int_equal(count_descriptors(), before);
    return moments;
}

static void try_all_system_calls(struct fixture *fixture)
{
    unsigned long moments = try_moment(fixture, ULONG_MAX, AT_SYSTEM_CALL);
    assert_true(moments >= 8);
    for (unsigned long at = 0; at < moments; at++)
        try_moment(fixture, at, AT_SYSTEM_CALL);
}

static void try_instructions(struct fixture *fixture)
{
    unsigned long moments = try_moment(fixture, ULONG_MAX, AT_INSTRUCTION);
    unsigned long step = killed_step(moments);
    for (unsigned long at = step / 2; at < moments; at += step)
        try_moment(fixture, at, AT_INSTRUCTION);
}

/* For what is short enough. */
static void try_all_moments(struct fixture *fixture)
{
    try_all_system_calls(fixture);
    try_instructions(fixture);
}

/* What the peer sends and is to get. */

static struct due *add_due(struct fixture *fixture, uint16_t id, int status, size_t body_length)
{
    struct due *due = &fixture->due[fixture->due_count++];
    assert_true(fixture->due_count <= REQUESTS_MAX);
    *due = (struct due){.id = id, .status = status, .body_length = body_length};
    return due;
}

static void put_get(struct fixture *fixture, uint16_t id, uint8_t flags, size_t length)
{
    char query[32];
    snprintf(query, sizeof(query), "n=%zu", length);
    wire_put_request(&fixture->wire, id, flags, "GET", query, NULL, 0);
    fixture->first_length = fixture->wire.length;
    add_due(fixture, id, 200, length);
}

static void put_post(struct fixture *fixture, uint16_t id, uint8_t flags, size_t length)
{
    wire_put_request(&fixture->wire, id, flags, "POST", "", fixture->body, length);
    fixture->first_length = fixture->wire.length;
    /* It may not be repeated. */
    add_due(fixture, id, 200, length)->or_status = 500;
}

static void put_abort(struct fixture *fixture, uint16_t id)
{
    wire_put_record(&fixture->wire, RECORD_ABORT_REQUEST, id, NULL, 0);
    fixture->first_length = fixture->wire.length;
    add_due(fixture, id, 0, 0);
}

static void a_request_is_answered_once(void **state)
{
    struct fixture *fixture = *state;
    put_get(fixture, 1, 0, 100);
    try_all_moments(fixture);
}

static void a_request_on_a_kept_connection_is_answered_once(void **state)
{
    struct fixture *fixture = *state;
    put_get(fixture, 1, WIRE_KEEP, 100);
    fixture->ends_idle = true;
    try_all_moments(fixture);
}

static void a_request_whose_answer_is_larger_than_the_socket_takes_is_answered_once(void **state)
{
    struct fixture *fixture = *state;
    put_get(fixture, 1, 0, LARGE);
    try_all_system_calls(fixture);
}

static void requests_that_come_at_once_are_answered_in_their_order(void **state)
{
    struct fixture *fixture = *state;
    put_get(fixture, 1, WIRE_KEEP, 10);
    put_get(fixture, 2, WIRE_KEEP, 2000);
    put_get(fixture, 3, 0, 30);
    try_all_moments(fixture);
}

static void large_answers_on_a_kept_connection_come_in_their_order(void **state)
{
    struct fixture *fixture = *state;
    put_get(fixture, 1, WIRE_KEEP, LARGE);
    put_get(fixture, 2, WIRE_KEEP, 10);
    put_get(fixture, 3, WIRE_KEEP, LARGE);
    fixture->ends_idle = true;
    try_all_system_calls(fixture);
}

static void a_request_that_comes_in_two_pieces_is_answered_once(void **state)
{
    struct fixture *fixture = *state;
    put_get(fixture, 1, 0, 100);
    fixture->first_length = 50;
    try_all_moments(fixture);
}

static void a_second_request_that_comes_in_two_pieces_is_answered_once(void **state)
{
    struct fixture *fixture = *state;
    put_get(fixture, 1, WIRE_KEEP, 100);
    put_get(fixture, 2, WIRE_KEEP, 50);
    fixture->first_length -= 20;
    try_all_moments(fixture);
}

/* It must not be held against the next request, which may take its time. */
static void what_is_no_request_leaves_a_kept_connection_idle(void **state)
{
    struct fixture *fixture = *state;
    put_get(fixture, 1, WIRE_KEEP, 10);
    wire_put_record(&fixture->wire, RECORD_GET_VALUES, 0, "\x0f\0FCGI_MPXS_CONNS", 17);
    /* Behind the request, and cut in two. */
    for (size_t cut = 0; cut <= RECORD_HEADER_SIZE + 17; cut += 5) {
        fixture->first_length = fixture->wire.length - cut;
        fixture->ends_idle = true;
        try_moment(fixture, ULONG_MAX, AT_SYSTEM_CALL);
    }
    try_all_system_calls(fixture);
}

static void a_body_is_received_once_or_told_to_be_lost(void **state)
{
    struct fixture *fixture = *state;
    put_post(fixture, 1, 0, 100);
    try_all_moments(fixture);
}

static void a_large_body_on_a_kept_connection_is_received_once_or_told_to_be_lost(void **state)
{
    struct fixture *fixture = *state;
    put_post(fixture, 1, WIRE_KEEP, BODY_MAX);
    put_get(fixture, 2, WIRE_KEEP, 50);
    try_all_system_calls(fixture);
}

static void a_body_that_is_too_large_is_refused_once(void **state)
{
    struct fixture *fixture = *state;
    wire_put_request(&fixture->wire, 1, WIRE_KEEP, "POST", "", fixture->body, BODY_MAX + 1);
    fixture->first_length = fixture->wire.length;
    add_due(fixture, 1, 413, 0);
    try_all_system_calls(fixture);
}

static void records_aside_change_nothing(void **state)
{
    struct fixture *fixture = *state;
    wire_put_record(&fixture->wire, RECORD_GET_VALUES, 0, "\x0f\0FCGI_MPXS_CONNS", 17);
    put_get(fixture, 1, WIRE_KEEP, 100);
    try_all_moments(fixture);
}

static void a_request_that_is_given_up_is_ended_once_and_the_next_one_is_answered(void **state)
{
    struct fixture *fixture = *state;
    wire_put_begin(&fixture->wire, 1, WIRE_KEEP);
    put_abort(fixture, 1);
    put_get(fixture, 1, WIRE_KEEP, 50);
    try_all_moments(fixture);
}

static void a_whole_request_that_is_given_up_is_answered_once_and_the_next_one_too(void **state)
{
    struct fixture *fixture = *state;
    put_get(fixture, 1, WIRE_KEEP, 100);
    wire_put_record(&fixture->wire, RECORD_ABORT_REQUEST, 1, NULL, 0);
    put_get(fixture, 1, WIRE_KEEP, 50);
    fixture->ends_idle = true;
    try_all_moments(fixture);
}

/* Where its worker dies before it holds the connection, that counts as a new one. */
static void without_a_place_in_the_queue_a_request_is_refused_once(void **state)
{
    struct fixture *fixture = *state;
    fixture->is_full = true;
    put_get(fixture, 1, WIRE_KEEP, 100);
    fixture->due[0].status = 503;
    fixture->due[0].or_status = 200;
    try_all_system_calls(fixture);
}

static void a_request_that_comes_after_it_was_refused_is_told_so(void **state)
{
    struct fixture *fixture = *state;
    fixture->is_full = true;
    put_get(fixture, 1, WIRE_KEEP, 100);
    fixture->first_length = 0;
    fixture->due[0].status = 503;
    try_moment(fixture, ULONG_MAX, AT_SYSTEM_CALL);
    fixture->first_length = 50;
    try_moment(fixture, ULONG_MAX, AT_SYSTEM_CALL);
    fixture->due[0].or_status = 200;
    try_all_system_calls(fixture);
}

#define WITH_A_POOL(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_POOL(a_request_is_answered_once),
        WITH_A_POOL(a_request_on_a_kept_connection_is_answered_once),
        WITH_A_POOL(a_request_whose_answer_is_larger_than_the_socket_takes_is_answered_once),
        WITH_A_POOL(requests_that_come_at_once_are_answered_in_their_order),
        WITH_A_POOL(large_answers_on_a_kept_connection_come_in_their_order),
        WITH_A_POOL(a_request_that_comes_in_two_pieces_is_answered_once),
        WITH_A_POOL(a_second_request_that_comes_in_two_pieces_is_answered_once),
        WITH_A_POOL(what_is_no_request_leaves_a_kept_connection_idle),
        WITH_A_POOL(a_body_is_received_once_or_told_to_be_lost),
        WITH_A_POOL(a_large_body_on_a_kept_connection_is_received_once_or_told_to_be_lost),
        WITH_A_POOL(a_body_that_is_too_large_is_refused_once),
        WITH_A_POOL(records_aside_change_nothing),
        WITH_A_POOL(a_request_that_is_given_up_is_ended_once_and_the_next_one_is_answered),
        WITH_A_POOL(a_whole_request_that_is_given_up_is_answered_once_and_the_next_one_too),
        WITH_A_POOL(without_a_place_in_the_queue_a_request_is_refused_once),
        WITH_A_POOL(a_request_that_comes_after_it_was_refused_is_told_so),
    };
    return cmocka_run_group_tests_name("exchange", tests, NULL, NULL);
}
