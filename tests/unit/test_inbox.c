/* inbox: a request is received byte for byte, in whatever pieces it comes and whoever dies on the way, and nothing of the next
 * one is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "inbox.h"
#include "killed.h"
#include "pair.h"
#include "wire.h"

#define PARAMS_MAX 4096
#define BODY_MAX 200000
#define KEPT 65536 /* what an inbox may hold on to between requests */
#define MAX_CONNS 8
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct record_limits limits = {.params_bytes = PARAMS_MAX, .params_count = 64, .body_bytes = BODY_MAX};

/* An inbox, a connection with its peer, and what that sends. */
struct fixture {
    struct inbox inbox;
    struct pair pair;
    _Atomic uint64_t *taken; /* shared with children, as start is */
    _Atomic uint64_t *start;
    int store; /* of the connection; 0: none */
    struct wire wire;
    uint8_t body[BODY_MAX + 1];
};

static int make_with(void **state, enum pair_kind kind)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL || inbox_open(&fixture->inbox, inbox_make_file(&limits), &limits, MAX_CONNS) != 0)
        return -1;
    fixture->taken = mmap(NULL, 2 * sizeof(*fixture->taken), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fixture->start = fixture->taken + 1;
    for (size_t i = 0; i < sizeof(fixture->body); i++)
        fixture->body[i] = (uint8_t)(i * 2654435761U >> 13);
    pair_open(&fixture->pair, kind);
    inbox_begin(&fixture->inbox, fixture->taken, fixture->start);
    *state = fixture;
    return 0;
}

static int make(void **state)
{
    return make_with(state, PAIR_UNIX);
}

static int make_tcp(void **state)
{
    return make_with(state, PAIR_TCP);
}

static int drop(void **state)
{
    struct fixture *fixture = *state;
    inbox_leave(&fixture->inbox);
    munmap(fixture->inbox.own_bytes, fixture->inbox.capacity);
    close(fixture->inbox.own);
    if (fixture->store > 0)
        close(fixture->store);
    munmap((void *)fixture->taken, 2 * sizeof(*fixture->taken));
    pair_close(&fixture->pair);
    free(fixture);
    return 0;
}

static int bytes_in_socket(const struct fixture *fixture)
{
    int unread = 0;
    assert_int_equal(ioctl(fixture->pair.connection, FIONREAD, &unread), 0);
    return unread;
}

/* They have arrived when this returns, over TCP too. */
static void send_bytes(const struct fixture *fixture, const uint8_t *bytes, size_t length)
{
    int before = bytes_in_socket(fixture);
    assert_int_equal(send(fixture->pair.peer, bytes, length, MSG_NOSIGNAL), length);
    for (int tries = 0; tries < 10000 && (size_t)(bytes_in_socket(fixture) - before) < length; tries++)
        poll(NULL, 0, 1);
}

static void end_sending(const struct fixture *fixture)
{
    struct pollfd connection = {.fd = fixture->pair.connection, .events = POLLRDHUP};
    assert_int_equal(shutdown(fixture->pair.peer, SHUT_WR), 0);
    assert_int_equal(poll(&connection, 1, 10000), 1);
}

/* Puts a request with that body behind what the peer is to send. */
static void put_request(struct fixture *fixture, uint16_t id, uint8_t flags, size_t body_length)
{
    wire_put_request(&fixture->wire, id, flags, "POST", "n=1", fixture->body, body_length);
}

static enum record_verdict receive(struct fixture *fixture, bool is_first)
{
    enum record_verdict verdict;
    int result = inbox_receive(&fixture->inbox, fixture->pair.connection, is_first, &verdict);
    if (result != 0)
        fail_msg("inbox_receive: %s", strerror(errno));
    return verdict;
}

static void expect_length(const struct fixture *fixture, size_t length)
{
    assert_int_equal(fixture->inbox.length, length);
    assert_int_equal(atomic_load(fixture->taken) - atomic_load(fixture->start), length);
}

/* The inbox holds these bytes as a whole request, in its file or the store, from the start on. */
static void expect_whole(struct fixture *fixture, const uint8_t *request, size_t length)
{
    struct inbox *inbox = &fixture->inbox;
    uint8_t *bytes = malloc(length);
    assert_non_null(bytes);
    assert_int_equal(inbox->check.offset, length);
    assert_int_equal(inbox->source, inbox->file);
    assert_int_equal(read(inbox->source, bytes, length), length);
    assert_memory_equal(bytes, request, length);
    assert_memory_equal(inbox->bytes, request, length);
    free(bytes);
}

static void expect_the_wire_whole(struct fixture *fixture)
{
    expect_length(fixture, fixture->wire.length);
    expect_whole(fixture, fixture->wire.bytes, fixture->wire.length);
}

/* Another connection has the inbox for a while. */
static void work_on_another(struct fixture *fixture)
{
    struct inbox *inbox = &fixture->inbox;
    struct pair other;
    _Atomic uint64_t taken = 0, start = 0;
    enum record_verdict verdict;
    struct wire *wire = calloc(1, sizeof(*wire));
    assert_non_null(wire);
    pair_open(&other, PAIR_UNIX);
    wire_put_begin(wire, 99, 0);
    wire_put_record(wire, RECORD_PARAMS, 99, "\3\3ABCdef", 8);
    assert_int_equal(send(other.peer, wire->bytes, wire->length, MSG_NOSIGNAL), wire->length);
    inbox_begin(inbox, &taken, &start);
    assert_int_equal(inbox_receive(inbox, other.connection, true, &verdict), 0);
    assert_int_equal(verdict, RECORD_MORE);
    assert_int_equal(taken, wire->length);
    inbox_leave(inbox);
    pair_close(&other);
    free(wire);
}

/* As exchange.c parks a connection. */
static struct record_check park(struct fixture *fixture)
{
    struct record_check check = fixture->inbox.check;
    if (fixture->store == 0 && fixture->inbox.length > 0) {
        fixture->store = inbox_copy(&fixture->inbox);
        assert_true(fixture->store > 0);
    }
    inbox_leave(&fixture->inbox);
    return check;
}

static void resume(struct fixture *fixture, const struct record_check *check)
{
    assert_int_equal(
        inbox_resume(&fixture->inbox, fixture->taken, fixture->start, fixture->pair.connection, fixture->store, check),
        0);
}

static void let_go_of_store(struct fixture *fixture)
{
    if (fixture->store > 0)
        close(fixture->store);
    fixture->store = 0;
}

/* The next connection, of which nothing has been taken. */
static void begin_anew(struct fixture *fixture)
{
    inbox_leave(&fixture->inbox);
    let_go_of_store(fixture);
    atomic_store(fixture->taken, 0);
    atomic_store(fixture->start, 0);
    inbox_begin(&fixture->inbox, fixture->taken, fixture->start);
}

/* At the first look. */

static void a_whole_request_stays_in_the_socket(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, 0, 100);
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length);
    assert_int_equal(receive(fixture, true), RECORD_WHOLE);
    assert_int_equal(fixture->inbox.source, fixture->pair.connection);
    assert_int_equal(bytes_in_socket(fixture), fixture->wire.length);
    assert_memory_equal(fixture->inbox.bytes, fixture->wire.bytes, fixture->wire.length);
    assert_int_equal(fixture->inbox.length, fixture->wire.length);
    /* Until libfcgi is to read it, whoever goes on reads it from there, too. */
    assert_int_equal(atomic_load(fixture->taken), 0);
    inbox_commit(&fixture->inbox);
    assert_int_equal(atomic_load(fixture->taken), fixture->wire.length);
}

static void a_request_that_libfcgi_would_not_read_at_once_is_taken(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, 0, 0);
    size_t overhead = fixture->wire.length + RECORD_HEADER_SIZE;
    for (size_t length = 8191; length <= 8193; length++) {
        fixture->wire.length = 0;
        put_request(fixture, 1, 0, length - overhead);
        assert_int_equal(fixture->wire.length, length);
        send_bytes(fixture, fixture->wire.bytes, length);
        assert_int_equal(receive(fixture, true), RECORD_WHOLE);
        if (length <= 8192)
            assert_int_equal(fixture->inbox.source, fixture->pair.connection);
        else
            expect_the_wire_whole(fixture);
        inbox_drop_rest(&fixture->inbox, fixture->pair.connection);
        begin_anew(fixture);
    }
}

static void a_request_after_which_another_may_come_is_taken(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, WIRE_KEEP, 100);
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length);
    assert_int_equal(receive(fixture, true), RECORD_WHOLE);
    expect_the_wire_whole(fixture);
    assert_int_equal(bytes_in_socket(fixture), 0);
}

static void where_nothing_has_come_there_is_more_to_come(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(receive(fixture, true), RECORD_MORE);
    expect_length(fixture, 0);
    put_request(fixture, 1, 0, 100);
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length);
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    expect_the_wire_whole(fixture);
}

/* In pieces. */

static void a_request_of_any_size_is_received(void **state)
{
    struct fixture *fixture = *state;
    static const size_t bodies[] = {0, 1, 4096, 8192, 65535, 65536, 100000, BODY_MAX};
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        fixture->wire.length = 0;
        put_request(fixture, 1, WIRE_KEEP, bodies[i]);
        for (size_t sent = 0; sent < fixture->wire.length;) {
            size_t left = fixture->wire.length - sent, piece = left < 30000 ? left : 30000;
            send_bytes(fixture, fixture->wire.bytes + sent, piece);
            sent += piece;
            enum record_verdict expected = sent < fixture->wire.length ? RECORD_MORE : RECORD_WHOLE;
            assert_int_equal(receive(fixture, false), expected);
        }
        expect_the_wire_whole(fixture);
        inbox_next(&fixture->inbox);
        expect_length(fixture, 0);
    }
}

static void a_request_that_comes_byte_by_byte_is_received(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, 0, 300);
    for (size_t i = 0; i < fixture->wire.length; i++) {
        assert_int_equal(receive(fixture, i == 0), RECORD_MORE);
        expect_length(fixture, i);
        send_bytes(fixture, fixture->wire.bytes + i, 1);
    }
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    expect_the_wire_whole(fixture);
}

/* Bytes that are only looked at go on filling the sender's buffer: a byte costs a whole packet of it. */
static void bytes_that_come_one_by_one_do_not_stop_their_sender(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, 0, 5000);
    for (size_t i = 0; i < fixture->wire.length; i++) {
        assert_int_equal(send(fixture->pair.peer, fixture->wire.bytes + i, 1, MSG_NOSIGNAL | MSG_DONTWAIT), 1);
        receive(fixture, false);
    }
    expect_the_wire_whole(fixture);
}

/* Byte by byte, with another connection's request in the inbox between two of them. */
static void receive_between_others(struct fixture *fixture, bool keeps_check)
{
    put_request(fixture, 1, 0, 300);
    for (size_t i = 0; i < fixture->wire.length; i++) {
        assert_int_equal(receive(fixture, false), RECORD_MORE);
        struct record_check check = park(fixture);
        work_on_another(fixture);
        resume(fixture, keeps_check ? &check : NULL);
        expect_length(fixture, i);
        if (keeps_check)
            assert_int_equal(fixture->inbox.check.offset, check.offset);
        send_bytes(fixture, fixture->wire.bytes + i, 1);
    }
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    assert_int_equal(fixture->inbox.source, fixture->store);
    expect_the_wire_whole(fixture);
}

static void a_parked_request_goes_on_where_its_check_was(void **state)
{
    receive_between_others(*state, true);
}

static void a_parked_request_without_a_check_is_checked_anew(void **state)
{
    receive_between_others(*state, false);
}

static void a_check_of_more_than_there_is_does_not_count(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, 0, 300);
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length - 1);
    assert_int_equal(receive(fixture, false), RECORD_MORE);
    struct record_check check = park(fixture);
    check.offset = fixture->wire.length;
    resume(fixture, &check);
    assert_int_equal(fixture->inbox.check.offset, 0);
    send_bytes(fixture, fixture->wire.bytes + fixture->wire.length - 1, 1);
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    expect_the_wire_whole(fixture);
}

static void what_is_no_memory_file_is_not_resumed(void **state)
{
    struct fixture *fixture = *state;
    struct inbox *inbox = &fixture->inbox;
    atomic_store(fixture->taken, 10);
    assert_int_equal(
        inbox_resume(inbox, fixture->taken, fixture->start, fixture->pair.connection, fixture->pair.connection, NULL),
        -1);
    assert_int_equal(inbox->file, inbox->own);
    inbox_leave(inbox);
    work_on_another(fixture);
}

static void a_peer_that_closes_before_the_end_has_broken_off(void **state)
{
    struct fixture *fixture = *state;
    enum record_verdict verdict;
    put_request(fixture, 1, 0, 0);
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length - 1);
    assert_int_equal(receive(fixture, true), RECORD_MORE);
    end_sending(fixture);
    assert_int_equal(inbox_receive(&fixture->inbox, fixture->pair.connection, false, &verdict), -1);
    assert_int_equal(errno, ECONNRESET);
    /* What had come is still noted: an end is no reason to forget anything. */
    expect_length(fixture, fixture->wire.length - 1);
}

static void a_peer_that_closes_behind_its_request_has_sent_it(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, WIRE_KEEP, 10);
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length);
    end_sending(fixture);
    assert_int_equal(receive(fixture, true), RECORD_WHOLE);
    expect_the_wire_whole(fixture);
}

/* Records aside. */

static const uint8_t question[] = {1,   RECORD_GET_VALUES,
                                   0,   0,
                                   0,   17,
                                   1,   0,
                                   15,  0,
                                   'F', 'C',
                                   'G', 'I',
                                   '_', 'M',
                                   'P', 'X',
                                   'S', '_',
                                   'C', 'O',
                                   'N', 'N',
                                   'S', 0};

static void expect_reply(const struct fixture *fixture, enum record_type type)
{
    uint8_t reply[RECORD_ASIDE_REPLY_MAX];
    assert_true(recv(fixture->pair.peer, reply, sizeof(reply), 0) >= 16);
    assert_int_equal(reply[1], type);
}

static void records_aside_are_answered_and_leave_no_trace(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, 0, 40);
    for (size_t at = 0; at < fixture->wire.length;) {
        const uint8_t *record = fixture->wire.bytes + at;
        size_t size = RECORD_HEADER_SIZE + record[4] * 256U + record[5];
        send_bytes(fixture, question, sizeof(question));
        send_bytes(fixture, record, size);
        at += size;
        assert_int_equal(receive(fixture, false), at < fixture->wire.length ? RECORD_MORE : RECORD_WHOLE);
        expect_length(fixture, at);
        expect_reply(fixture, RECORD_GET_VALUES_RESULT);
    }
    expect_the_wire_whole(fixture);
}

static void records_aside_that_come_byte_by_byte_are_answered_once(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(question); i++) {
        expect_length(fixture, i);
        send_bytes(fixture, question + i, 1);
        assert_int_equal(receive(fixture, i == 0), RECORD_MORE);
    }
    expect_length(fixture, 0);
    expect_reply(fixture, RECORD_GET_VALUES_RESULT);
    put_request(fixture, 1, 0, 40);
    wire_put_begin(&fixture->wire, 2, 0);
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length);
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    assert_int_equal(recv(fixture->pair.peer, fixture->body, 1, MSG_DONTWAIT), -1);
}

static void a_second_request_before_the_first_has_ended_is_told_off_and_cut_out(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, 0, 40);
    struct wire *other = calloc(1, sizeof(*other));
    assert_non_null(other);
    wire_put_request(other, 2, 0, "GET", "", NULL, 0);
    send_bytes(fixture, fixture->wire.bytes, 16);
    send_bytes(fixture, other->bytes, other->length);
    send_bytes(fixture, fixture->wire.bytes + 16, fixture->wire.length - 16);
    assert_int_equal(receive(fixture, true), RECORD_WHOLE);
    expect_the_wire_whole(fixture);
    expect_reply(fixture, RECORD_END_REQUEST);
    free(other);
}

/* One request after the other. */

static void requests_that_come_at_once_are_received_one_after_the_other(void **state)
{
    struct fixture *fixture = *state;
    size_t starts[21] = {0};
    for (uint16_t id = 1; id <= 20; id++) {
        put_request(fixture, id, WIRE_KEEP, id * 97U % 1000);
        starts[id] = fixture->wire.length;
    }
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length);
    for (uint16_t id = 1; id <= 20; id++) {
        assert_int_equal(receive(fixture, id == 1), RECORD_WHOLE);
        assert_int_equal(fixture->inbox.check.request_id, id);
        expect_whole(fixture, fixture->wire.bytes + starts[id - 1], starts[id] - starts[id - 1]);
        inbox_next(&fixture->inbox);
        expect_length(fixture, fixture->wire.length - starts[id]);
    }
    assert_int_equal(receive(fixture, false), RECORD_MORE);
    expect_length(fixture, 0);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed >> 16;
}

/* Takes one request after the other out of the inbox; returns where the next one begins on the wire. */
static size_t receive_all(struct fixture *fixture, const size_t *ends, unsigned *next, size_t start)
{
    while (receive(fixture, false) == RECORD_WHOLE) {
        expect_whole(fixture, fixture->wire.bytes + start, ends[*next] - start);
        start = ends[(*next)++];
        inbox_next(&fixture->inbox);
    }
    return start;
}

static void of_many_requests_in_random_pieces_no_byte_is_lost_or_doubled(void **state)
{
    struct fixture *fixture = *state;
    enum { requests = 400 };
    size_t ends[requests], start = 0;
    unsigned next = 0;
    uint64_t seed = 0x1234567;
    for (uint16_t id = 1; id <= requests; id++) {
        put_request(fixture, id, WIRE_KEEP, id % 50 == 0 ? 8000 : next_random(&seed) % 200);
        ends[id - 1] = fixture->wire.length;
    }
    for (size_t sent = 0, piece; sent < fixture->wire.length; sent += piece) {
        size_t left = fixture->wire.length - sent;
        piece = 1 + next_random(&seed) % (next_random(&seed) % 8 == 0 ? 6000 : 60);
        piece = piece < left ? piece : left;
        send_bytes(fixture, fixture->wire.bytes + sent, piece);
        start = receive_all(fixture, ends, &next, start);
        expect_length(fixture, sent + piece - start);
        if (next_random(&seed) % 2 == 0)
            continue;
        struct record_check check = park(fixture);
        work_on_another(fixture);
        resume(fixture, next_random(&seed) % 2 == 0 ? &check : NULL);
        if (fixture->inbox.length > 0)
            continue;
        inbox_leave(&fixture->inbox);
        let_go_of_store(fixture);
        resume(fixture, NULL);
    }
    assert_int_equal(next, requests);
    expect_length(fixture, 0);
}

static void a_request_is_dropped_once_however_often_it_is_said(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, WIRE_KEEP, 30);
    size_t end = fixture->wire.length;
    put_request(fixture, 2, WIRE_KEEP, 500);
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length);
    assert_int_equal(receive(fixture, true), RECORD_WHOLE);
    assert_int_equal(inbox_end(&fixture->inbox), end);
    inbox_next(&fixture->inbox);
    for (int i = 0; i < 3; i++) {
        park(fixture);
        resume(fixture, NULL);
        inbox_drop_to(&fixture->inbox, end);
        expect_length(fixture, fixture->wire.length - end);
    }
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    expect_whole(fixture, fixture->wire.bytes + end, fixture->wire.length - end);
    inbox_drop_to(&fixture->inbox, fixture->wire.length);
    inbox_drop_to(&fixture->inbox, fixture->wire.length);
    expect_length(fixture, 0);
}

static void where_nothing_is_left_a_start_from_before_counts_for_nothing(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, 0, 30);
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length);
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    park(fixture);
    /* As by one that died between the two. */
    atomic_store(fixture->taken, 0);
    atomic_store(fixture->start, fixture->wire.length);
    resume(fixture, NULL);
    expect_length(fixture, 0);
    assert_int_equal(atomic_load(fixture->start), 0);
}

/* At the bounds. */

/* Puts a request whose records have that much padding altogether. */
static void put_padded_request(struct fixture *fixture, size_t padding)
{
    static const uint8_t nothing[255] = {0};
    struct wire *wire = &fixture->wire;
    wire_put_begin(wire, 1, WIRE_KEEP);
    wire_put_record(wire, RECORD_PARAMS, 1, NULL, 0);
    while (padding > 0) {
        size_t piece = padding < 255 ? padding : 255, header = wire->length;
        wire_put_record(wire, RECORD_STDIN, 1, "x", 1);
        wire->bytes[header + 6] = (uint8_t)piece;
        wire_put(wire, nothing, piece);
        padding -= piece;
    }
    wire_put_record(wire, RECORD_STDIN, 1, NULL, 0);
}

/* Makes the wire a request of that length. */
static void put_request_of(struct fixture *fixture, size_t length)
{
    size_t padding = length;
    do {
        fixture->wire.length = 0;
        put_padded_request(fixture, padding--);
    } while (fixture->wire.length > length);
    assert_int_equal(fixture->wire.length, length);
}

static enum record_verdict send_and_receive(struct fixture *fixture)
{
    enum record_verdict verdict = RECORD_MORE;
    for (size_t sent = 0; sent < fixture->wire.length && verdict == RECORD_MORE;) {
        size_t left = fixture->wire.length - sent, piece = left < 50000 ? left : 50000;
        send_bytes(fixture, fixture->wire.bytes + sent, piece);
        sent += piece;
        verdict = receive(fixture, false);
    }
    return verdict;
}

static void a_request_may_fill_the_inbox_and_not_more(void **state)
{
    struct fixture *fixture = *state;
    size_t capacity = fixture->inbox.capacity;
    put_request_of(fixture, capacity);
    assert_int_equal(send_and_receive(fixture), RECORD_WHOLE);
    expect_the_wire_whole(fixture);
    inbox_next(&fixture->inbox);
    put_request_of(fixture, capacity + 1);
    assert_int_equal(send_and_receive(fixture), RECORD_BODY_TOO_LARGE);
    expect_length(fixture, capacity);
    assert_int_equal(bytes_in_socket(fixture), 1);
}

static void what_does_not_fit_behind_a_request_is_received_after_it(void **state)
{
    struct fixture *fixture = *state;
    size_t capacity = fixture->inbox.capacity;
    put_request_of(fixture, capacity - 10);
    size_t end = fixture->wire.length;
    put_request(fixture, 2, WIRE_KEEP, 40000);
    for (size_t sent = 0; sent < fixture->wire.length; sent += 50000) {
        size_t left = fixture->wire.length - sent;
        send_bytes(fixture, fixture->wire.bytes + sent, left < 50000 ? left : 50000);
        if (sent + 50000 < end)
            assert_int_equal(receive(fixture, false), RECORD_MORE);
    }
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    expect_whole(fixture, fixture->wire.bytes, end);
    inbox_next(&fixture->inbox);
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    expect_whole(fixture, fixture->wire.bytes + end, fixture->wire.length - end);
}

static void a_body_or_header_beyond_the_limits_is_told(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, 0, BODY_MAX + 1);
    assert_int_equal(send_and_receive(fixture), RECORD_BODY_TOO_LARGE);
    inbox_drop_rest(&fixture->inbox, fixture->pair.connection);
    begin_anew(fixture);
    fixture->wire.length = 0;
    wire_put_begin(&fixture->wire, 1, 0);
    wire_put_record(&fixture->wire, RECORD_PARAMS, 1, fixture->body, PARAMS_MAX + 1);
    assert_int_equal(send_and_receive(fixture), RECORD_PARAMS_TOO_LARGE);
}

/* Copies, and what is left over. */

static void a_copy_is_what_the_inbox_holds_and_its_own(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[600];
    put_request(fixture, 1, 0, 300);
    send_bytes(fixture, fixture->wire.bytes, 200);
    assert_int_equal(receive(fixture, true), RECORD_MORE);
    int copy = inbox_copy(&fixture->inbox);
    assert_true(copy >= 0);
    assert_int_equal(fcntl(copy, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    memset(fixture->inbox.bytes, 0, 200);
    assert_int_equal(pread(copy, bytes, 200, 0), 200);
    assert_memory_equal(bytes, fixture->wire.bytes, 200);
    close(copy);
}

static void without_a_descriptor_there_is_no_copy(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before, none;
    send_bytes(fixture, fixture->body, 100);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int copy = inbox_copy(&fixture->inbox), error = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(copy, -1);
    assert_int_equal(error, EMFILE);
}

/* The master knows the files that workers make by that name: see FILE_NAME in pool.c. */
static void a_file_has_a_name_that_tells_whose_it_is(void **state)
{
    struct fixture *fixture = *state;
    char link[64], name[64] = "";
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fixture->inbox.own);
    assert_true(readlink(link, name, sizeof(name) - 1) > 0);
    assert_memory_equal(name, "/memfd:fibcgi-", 14);
}

static void what_a_peer_still_sends_is_dropped_until_it_hangs_up(void **state)
{
    struct fixture *fixture = *state;
    struct inbox *inbox = &fixture->inbox;
    assert_false(inbox_drop_rest(inbox, fixture->pair.connection));
    send_bytes(fixture, fixture->body, 150000);
    assert_false(inbox_drop_rest(inbox, fixture->pair.connection));
    assert_int_equal(bytes_in_socket(fixture), 0);
    send_bytes(fixture, fixture->body, 5);
    end_sending(fixture);
    assert_true(inbox_drop_rest(inbox, fixture->pair.connection));
}

static void what_is_dropped_does_not_touch_the_request_that_was_resumed(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, 0, 300);
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length);
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    park(fixture);
    send_bytes(fixture, fixture->body, 150000);
    resume(fixture, NULL);
    assert_false(inbox_drop_rest(&fixture->inbox, fixture->pair.connection));
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    expect_the_wire_whole(fixture);
}

static size_t resident_bytes(const struct inbox *inbox)
{
    struct stat status;
    assert_int_equal(fstat(inbox->own, &status), 0);
    return (size_t)status.st_blocks * 512;
}

static void a_large_request_gives_its_memory_back(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, 0, BODY_MAX);
    assert_int_equal(send_and_receive(fixture), RECORD_WHOLE);
    assert_true(resident_bytes(&fixture->inbox) >= BODY_MAX);
    inbox_leave(&fixture->inbox);
    assert_true(resident_bytes(&fixture->inbox) <= KEPT);
}

static void a_large_request_on_a_kept_connection_gives_its_memory_back_too(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, WIRE_KEEP, BODY_MAX);
    assert_int_equal(send_and_receive(fixture), RECORD_WHOLE);
    inbox_next(&fixture->inbox);
    inbox_leave(&fixture->inbox);
    assert_true(resident_bytes(&fixture->inbox) <= KEPT);
}

/* Deaths. */

/* How a worker's part ends does not matter: the next one finds out. */
static void receive_in_child(void *context)
{
    struct fixture *fixture = context;
    enum record_verdict verdict;
    inbox_receive(&fixture->inbox, fixture->pair.connection, true, &verdict);
}

/* What the master and the next worker do: where something has been taken the dead one's inbox is the store. */
static void inherit(struct fixture *fixture)
{
    struct inbox heir;
    assert_int_equal(inbox_open(&heir, inbox_make_file(&limits), &limits, MAX_CONNS), 0);
    if (atomic_load(fixture->taken) != 0 && fixture->store == 0)
        fixture->store = fixture->inbox.own;
    else
        close(fixture->inbox.own);
    munmap(fixture->inbox.own_bytes, fixture->inbox.capacity);
    fixture->inbox = heir;
    resume(fixture, NULL);
}

/* Has a worker killed at that moment while it receives these pieces: the first has come before it begins, the second comes after
 * its death. Returns 0; or, where it had done its work before, how many moments there were. */
static unsigned long kill_while_receiving(struct fixture *fixture, unsigned long at, enum killed_unit unit,
                                          const size_t *pieces)
{
    const uint8_t *bytes = fixture->wire.bytes;
    begin_anew(fixture);
    send_bytes(fixture, bytes, pieces[0]);
    unsigned long moments = killed_at(at, unit, false, receive_in_child, NULL, fixture);
    inherit(fixture);
    if (pieces[1] > 0)
        send_bytes(fixture, bytes + pieces[0], pieces[1]);
    if (receive(fixture, false) != RECORD_WHOLE)
        fail_msg("killed at stop %lu: not whole", at);
    expect_whole(fixture, bytes, fixture->wire.length);
    assert_int_equal(bytes_in_socket(fixture), 0);
    return moments;
}

/* Takes a request, drops it, and takes the next. */
static void receive_two_in_child(void *context)
{
    struct fixture *fixture = context;
    enum record_verdict verdict;
    receive_in_child(fixture);
    inbox_next(&fixture->inbox);
    inbox_receive(&fixture->inbox, fixture->pair.connection, false, &verdict);
}

static unsigned long kill_between_requests(struct fixture *fixture, unsigned long at, size_t end)
{
    begin_anew(fixture);
    send_bytes(fixture, question, sizeof(question));
    send_bytes(fixture, fixture->wire.bytes, fixture->wire.length);
    unsigned long moments = killed_at(at, AT_INSTRUCTION, false, receive_two_in_child, NULL, fixture);
    inherit(fixture);
    assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    if (fixture->inbox.check.request_id == 1) {
        expect_whole(fixture, fixture->wire.bytes, end);
        inbox_next(&fixture->inbox);
        assert_int_equal(receive(fixture, false), RECORD_WHOLE);
    }
    expect_whole(fixture, fixture->wire.bytes + end, fixture->wire.length - end);
    return moments;
}

static void a_worker_killed_between_two_requests_leaves_the_one_or_the_other(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, WIRE_KEEP, 20);
    size_t end = fixture->wire.length;
    put_request(fixture, 2, WIRE_KEEP, 300);
    unsigned long moments = kill_between_requests(fixture, ULONG_MAX, end);
    for (unsigned long at = 0; at < moments; at += killed_step(moments))
        kill_between_requests(fixture, at, end);
}

static bool kernel_tells_what_was_taken(const struct fixture *fixture)
{
    static const int start = 0;
    return setsockopt(fixture->pair.connection, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start)) == 0;
}

static void a_worker_killed_at_any_system_call_of_a_request_loses_none_of_it(void **state)
{
    struct fixture *fixture = *state;
    if (!kernel_tells_what_was_taken(fixture))
        skip();
    put_request(fixture, 1, WIRE_KEEP, 300);
    size_t length = fixture->wire.length;
    const size_t pieces[][2] = {{length, 0}, {length - 1, 1}, {10, length - 10}};
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        unsigned long moments = kill_while_receiving(fixture, ULONG_MAX, AT_SYSTEM_CALL, pieces[i]);
        assert_true(moments > 8);
        for (unsigned long at = 0; at < moments; at++)
            kill_while_receiving(fixture, at, AT_SYSTEM_CALL, pieces[i]);
    }
}

static void a_worker_killed_at_an_instruction_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    put_request(fixture, 1, WIRE_KEEP, 20);
    size_t length = fixture->wire.length;
    const size_t pieces[][2] = {{length, 0}, {10, length - 10}};
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        unsigned long moments = kill_while_receiving(fixture, ULONG_MAX, AT_INSTRUCTION, pieces[i]);
        for (unsigned long at = 0; at < moments; at += killed_step(moments))
            kill_while_receiving(fixture, at, AT_INSTRUCTION, pieces[i]);
    }
}

#define WITH_AN_INBOX(test) cmocka_unit_test_setup_teardown(test, make, drop)
/* As over a Unix socket. */
#define OVER_TCP(test)                                                                                                 \
    {                                                                                                                  \
        "over_tcp_" #test, test, make_tcp, drop, NULL                                                                  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AN_INBOX(a_whole_request_stays_in_the_socket),
        WITH_AN_INBOX(a_request_that_libfcgi_would_not_read_at_once_is_taken),
        WITH_AN_INBOX(a_request_after_which_another_may_come_is_taken),
        WITH_AN_INBOX(where_nothing_has_come_there_is_more_to_come),
        WITH_AN_INBOX(a_request_of_any_size_is_received),
        WITH_AN_INBOX(a_request_that_comes_byte_by_byte_is_received),
        WITH_AN_INBOX(bytes_that_come_one_by_one_do_not_stop_their_sender),
        WITH_AN_INBOX(a_parked_request_goes_on_where_its_check_was),
        WITH_AN_INBOX(a_parked_request_without_a_check_is_checked_anew),
        WITH_AN_INBOX(a_check_of_more_than_there_is_does_not_count),
        WITH_AN_INBOX(what_is_no_memory_file_is_not_resumed),
        WITH_AN_INBOX(a_peer_that_closes_before_the_end_has_broken_off),
        WITH_AN_INBOX(a_peer_that_closes_behind_its_request_has_sent_it),
        WITH_AN_INBOX(records_aside_are_answered_and_leave_no_trace),
        WITH_AN_INBOX(records_aside_that_come_byte_by_byte_are_answered_once),
        WITH_AN_INBOX(a_second_request_before_the_first_has_ended_is_told_off_and_cut_out),
        WITH_AN_INBOX(requests_that_come_at_once_are_received_one_after_the_other),
        WITH_AN_INBOX(of_many_requests_in_random_pieces_no_byte_is_lost_or_doubled),
        WITH_AN_INBOX(a_request_is_dropped_once_however_often_it_is_said),
        WITH_AN_INBOX(where_nothing_is_left_a_start_from_before_counts_for_nothing),
        WITH_AN_INBOX(a_request_may_fill_the_inbox_and_not_more),
        WITH_AN_INBOX(what_does_not_fit_behind_a_request_is_received_after_it),
        WITH_AN_INBOX(a_body_or_header_beyond_the_limits_is_told),
        WITH_AN_INBOX(a_copy_is_what_the_inbox_holds_and_its_own),
        WITH_AN_INBOX(without_a_descriptor_there_is_no_copy),
        WITH_AN_INBOX(a_file_has_a_name_that_tells_whose_it_is),
        WITH_AN_INBOX(what_a_peer_still_sends_is_dropped_until_it_hangs_up),
        WITH_AN_INBOX(what_is_dropped_does_not_touch_the_request_that_was_resumed),
        WITH_AN_INBOX(a_large_request_gives_its_memory_back),
        WITH_AN_INBOX(a_large_request_on_a_kept_connection_gives_its_memory_back_too),
        WITH_AN_INBOX(a_worker_killed_between_two_requests_leaves_the_one_or_the_other),
        WITH_AN_INBOX(a_worker_killed_at_any_system_call_of_a_request_loses_none_of_it),
        WITH_AN_INBOX(a_worker_killed_at_an_instruction_loses_nothing),
        OVER_TCP(a_whole_request_stays_in_the_socket),
        OVER_TCP(a_request_of_any_size_is_received),
        OVER_TCP(a_request_that_comes_byte_by_byte_is_received),
        OVER_TCP(a_peer_that_closes_before_the_end_has_broken_off),
        OVER_TCP(a_peer_that_closes_behind_its_request_has_sent_it),
        OVER_TCP(records_aside_that_come_byte_by_byte_are_answered_once),
        OVER_TCP(of_many_requests_in_random_pieces_no_byte_is_lost_or_doubled),
        OVER_TCP(a_worker_killed_between_two_requests_leaves_the_one_or_the_other),
        OVER_TCP(a_worker_killed_at_any_system_call_of_a_request_loses_none_of_it),
        OVER_TCP(a_worker_killed_at_an_instruction_loses_nothing),
    };
    return cmocka_run_group_tests_name("inbox", tests, NULL, NULL);
}
