/* record: what the checker says about bytes, good and bad, and what it answers (FastCGI 1.0). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

#define RESPONDER 1
#define KEEP_CONN 1
#define BYTES_MAX ((size_t)96 * 1024)
#define WHOLE_IN_ONE_GO BYTES_MAX

struct bytes {
    size_t length;
    uint8_t data[BYTES_MAX];
};

static const struct record_limits limits = {.params_bytes = 65536, .params_count = 100, .body_bytes = 65536};

static void put(struct bytes *to, const void *bytes, size_t length)
{
    assert_true(length <= BYTES_MAX - to->length);
    if (length > 0)
        memcpy(to->data + to->length, bytes, length);
    to->length += length;
}

static void put_byte(struct bytes *to, unsigned byte)
{
    uint8_t value = (uint8_t)byte;
    put(to, &value, 1);
}

/* A record whose padding is not zero, as §3.3 allows. */
static void put_record(struct bytes *to, unsigned type, unsigned id, const void *content, size_t length,
                       unsigned padding)
{
    uint8_t header[] = {
        1, (uint8_t)type, (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(length >> 8), (uint8_t)length, (uint8_t)padding,
        0};
    put(to, header, sizeof(header));
    put(to, content, length);
    for (unsigned i = 0; i < padding; i++)
        put_byte(to, 0xee);
}

static void put_begin(struct bytes *to, unsigned id, unsigned role, unsigned flags)
{
    uint8_t content[8] = {(uint8_t)(role >> 8), (uint8_t)role, (uint8_t)flags, 0, 0, 0, 0, 0};
    put_record(to, RECORD_BEGIN_REQUEST, id, content, sizeof(content), 0);
}

static void put_empty(struct bytes *to, unsigned type, unsigned id)
{
    put_record(to, type, id, NULL, 0, 0);
}

static void put_long_length(struct bytes *to, uint32_t length)
{
    put_byte(to, 0x80 | length >> 24);
    put_byte(to, length >> 16 & 0xff);
    put_byte(to, length >> 8 & 0xff);
    put_byte(to, length & 0xff);
}

static void put_length(struct bytes *to, size_t length)
{
    if (length < 0x80)
        put_byte(to, (unsigned)length);
    else
        put_long_length(to, (uint32_t)length);
}

static void put_pair_bytes(struct bytes *to, const void *name, size_t name_length, const void *value,
                           size_t value_length)
{
    put_length(to, name_length);
    put_length(to, value_length);
    put(to, name, name_length);
    put(to, value, value_length);
}

static void put_pair(struct bytes *to, const char *name, const char *value)
{
    put_pair_bytes(to, name, strlen(name), value, strlen(value));
}

/* A request with id 1 whose PARAMS are these pairs and whose body is empty. */
static void put_request_with(struct bytes *to, const struct bytes *pairs)
{
    put_begin(to, 1, RESPONDER, 0);
    if (pairs->length > 0)
        put_record(to, RECORD_PARAMS, 1, pairs->data, pairs->length, 0);
    put_empty(to, RECORD_PARAMS, 1);
    put_empty(to, RECORD_STDIN, 1);
}

/* A request with everything that a web server sends: PARAMS and a body in two records each, padding, a long value. */
static void put_full_request(struct bytes *to, unsigned id)
{
    struct bytes pairs = {0};
    char cookie[200];
    memset(cookie, 'c', sizeof(cookie) - 1);
    cookie[sizeof(cookie) - 1] = '\0';
    put_pair(&pairs, "REQUEST_METHOD", "POST");
    put_pair(&pairs, "QUERY_STRING", "");
    put_pair(&pairs, "HTTP_COOKIE", cookie);
    put_begin(to, id, RESPONDER, KEEP_CONN);
    put_record(to, RECORD_PARAMS, id, pairs.data, 20, 4);
    put_record(to, RECORD_PARAMS, id, pairs.data + 20, pairs.length - 20, 7);
    put_empty(to, RECORD_PARAMS, id);
    put_record(to, RECORD_STDIN, id, "hello", 5, 3);
    put_record(to, RECORD_STDIN, id, "\0world", 6, 2);
    put_record(to, RECORD_STDIN, id, NULL, 0, 8);
}

/* A copy that ends where the bytes end, so that AddressSanitizer sees a read behind them. */
static uint8_t *exact_copy(const struct bytes *bytes)
{
    uint8_t *copy = malloc(bytes->length);
    if (bytes->length > 0) {
        assert_non_null(copy);
        memcpy(copy, bytes->data, bytes->length);
    }
    return copy;
}

static enum record_verdict check_exact(struct record_check *check, const struct bytes *bytes)
{
    uint8_t *copy = exact_copy(bytes);
    enum record_verdict verdict = record_check(check, copy, bytes->length);
    free(copy);
    assert_true(check->offset <= bytes->length);
    if (verdict == RECORD_ASIDE)
        assert_true(check->aside_end >= check->offset + RECORD_HEADER_SIZE && check->aside_end <= bytes->length);
    if (verdict == RECORD_BROKEN)
        assert_non_null(check->broken);
    return verdict;
}

static enum record_verdict judge_within(const struct bytes *request, struct record_limits within,
                                        struct record_check *check)
{
    record_check_init(check, &within);
    return check_exact(check, request);
}

static enum record_verdict judge(const struct bytes *request)
{
    struct record_check check;
    return judge_within(request, limits, &check);
}

/* Answers the record that was put aside, into replies, and returns the length of the answer. */
static size_t answer_exact(const struct record_check *check, const struct bytes *bytes, unsigned max_conns,
                           struct bytes *replies)
{
    uint8_t *copy = exact_copy(bytes), *reply = malloc(RECORD_ASIDE_REPLY_MAX);
    assert_non_null(reply);
    size_t length = record_answer_aside(check, copy, max_conns, reply);
    assert_true(length <= RECORD_ASIDE_REPLY_MAX);
    put(replies, reply, length);
    free(copy);
    free(reply);
    return length;
}

/* What became of a connection's bytes. */
struct walk {
    enum record_verdict verdict;
    struct record_check check;
    struct bytes kept; /* without what was cut out */
    struct bytes replies;
};

/* Feeds step bytes at a time and cuts out what is put aside, as an inbox does. */
static void walk(struct walk *walk, const struct bytes *input, size_t step)
{
    size_t fed = 0;
    walk->kept.length = walk->replies.length = 0;
    record_check_init(&walk->check, &limits);
    for (;;) {
        walk->verdict = check_exact(&walk->check, &walk->kept);
        if (walk->verdict == RECORD_ASIDE) {
            struct bytes *kept = &walk->kept;
            answer_exact(&walk->check, kept, 8, &walk->replies);
            memmove(kept->data + walk->check.offset, kept->data + walk->check.aside_end,
                    kept->length - walk->check.aside_end);
            kept->length -= walk->check.aside_end - walk->check.offset;
            continue;
        }
        if (walk->verdict != RECORD_MORE || fed == input->length)
            return;
        size_t piece = input->length - fed < step ? input->length - fed : step;
        put(&walk->kept, input->data + fed, piece);
        fed += piece;
    }
}

/* The oracle for WHOLE, in the plainest way: the length of the clean request that bytes start with, or 0. */
struct clean {
    struct bytes params;
    size_t body_bytes;
};

static bool read_plain_length(const struct bytes *from, size_t *at, size_t *length)
{
    size_t left = from->length - *at;
    const uint8_t *bytes = from->data + *at;
    if (left < 1 || (bytes[0] >= 0x80 && left < 4))
        return false;
    *length = bytes[0];
    if (bytes[0] >= 0x80)
        *length = (size_t)(bytes[0] - 0x80) * 0x1000000 + bytes[1] * 0x10000UL + bytes[2] * 0x100UL + bytes[3];
    *at += bytes[0] >= 0x80 ? 4 : 1;
    return true;
}

static bool pairs_are_clean(const struct bytes *params)
{
    size_t at = 0, count = 0, name_length, value_length;
    for (; at < params->length; count++) {
        if (!read_plain_length(params, &at, &name_length) || !read_plain_length(params, &at, &value_length) ||
            name_length + value_length > params->length - at)
            return false;
        for (size_t end = at + name_length + value_length; at < end; at++) {
            if (params->data[at] == 0)
                return false;
        }
    }
    return count <= limits.params_count;
}

static size_t clean_request_length(const struct bytes *bytes, struct clean *clean)
{
    unsigned id = 0, expected = RECORD_BEGIN_REQUEST;
    clean->params.length = clean->body_bytes = 0;
    for (size_t at = 0; at + 8 <= bytes->length;) {
        const uint8_t *record = bytes->data + at;
        size_t length = record[4] * 256U + record[5];
        at += 8 + length + record[6];
        if (at > bytes->length || record[0] != 1 || record[1] != expected)
            return 0;
        if (expected == RECORD_BEGIN_REQUEST) {
            id = record[2] * 256U + record[3];
            if (id == 0 || length != 8 || record[8] != 0 || record[9] != RESPONDER)
                return 0;
            expected = RECORD_PARAMS;
            continue;
        }
        if (record[2] * 256U + record[3] != id)
            return 0;
        if (expected == RECORD_PARAMS && length > 0)
            put(&clean->params, record + 8, length);
        else if (expected == RECORD_PARAMS)
            expected = RECORD_STDIN;
        else if (length > 0)
            clean->body_bytes += length;
        else
            return pairs_are_clean(&clean->params) && clean->params.length <= limits.params_bytes &&
                           clean->body_bytes <= limits.body_bytes
                       ? at
                       : 0;
    }
    return 0;
}

/* Whole requests. */

static void a_whole_request_is_whole_up_to_its_last_byte(void **state)
{
    (void)state;
    struct bytes request = {0};
    struct record_check check;
    put_full_request(&request, 1);
    assert_int_equal(judge_within(&request, limits, &check), RECORD_WHOLE);
    assert_int_equal(check.offset, request.length);
    assert_int_equal(check.request_id, 1);
    assert_int_equal(check.body_bytes, 11);
    assert_int_equal(check.pairs.count, 3);
}

static void bytes_behind_a_whole_request_are_left_alone(void **state)
{
    (void)state;
    struct bytes request = {0};
    struct record_check check;
    put_full_request(&request, 1);
    size_t length = request.length;
    put(&request, "GET / HTTP/1.1\r\n", 16);
    assert_int_equal(judge_within(&request, limits, &check), RECORD_WHOLE);
    assert_int_equal(check.offset, length);
}

static void a_request_with_neither_params_nor_a_body_is_whole(void **state)
{
    (void)state;
    struct bytes request = {0}, no_pairs = {0};
    put_request_with(&request, &no_pairs);
    assert_int_equal(judge(&request), RECORD_WHOLE);
}

static void a_whole_request_stays_whole_when_asked_again(void **state)
{
    (void)state;
    struct bytes request = {0};
    struct record_check check;
    put_full_request(&request, 1);
    assert_int_equal(judge_within(&request, limits, &check), RECORD_WHOLE);
    assert_int_equal(check_exact(&check, &request), RECORD_WHOLE);
    assert_int_equal(check.offset, request.length);
}

static void every_cut_of_a_valid_request_asks_for_more(void **state)
{
    (void)state;
    struct bytes request = {0};
    put_full_request(&request, 1);
    for (size_t whole = request.length; request.length > 0;) {
        request.length--;
        enum record_verdict verdict = judge(&request);
        if (verdict != RECORD_MORE)
            fail_msg("%zu of %zu bytes: verdict %d", request.length, whole, (int)verdict);
    }
}

static void a_request_id_can_be_any_but_zero(void **state)
{
    (void)state;
    static const unsigned ids[] = {1, 2, 127, 128, 255, 256, 32768, 65535};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        struct bytes request = {0};
        struct record_check check;
        put_full_request(&request, ids[i]);
        assert_int_equal(judge_within(&request, limits, &check), RECORD_WHOLE);
        assert_int_equal(check.request_id, ids[i]);
    }
}

static void keep_connection_is_the_lowest_flag_alone(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 256; flags++) {
        struct bytes request = {0};
        struct record_check check;
        put_begin(&request, 1, RESPONDER, flags);
        assert_int_equal(judge_within(&request, limits, &check), RECORD_MORE);
        assert_int_equal(check.keep_connection, flags & KEEP_CONN);
    }
}

static void padding_of_any_length_is_skipped(void **state)
{
    (void)state;
    for (unsigned padding = 0; padding < 256; padding++) {
        struct bytes request = {0};
        struct record_check check;
        uint8_t begin[8] = {0, RESPONDER};
        put_record(&request, RECORD_BEGIN_REQUEST, 1, begin, 8, 0);
        put_record(&request, RECORD_PARAMS, 1, "\1\1ab", 4, padding);
        put_record(&request, RECORD_PARAMS, 1, NULL, 0, 0);
        put_record(&request, RECORD_STDIN, 1, "x", 1, padding);
        put_record(&request, RECORD_STDIN, 1, NULL, 0, padding);
        assert_int_equal(judge_within(&request, limits, &check), RECORD_WHOLE);
        assert_int_equal(check.offset, request.length);
        assert_int_equal(check.params_bytes, 4);
        assert_int_equal(check.body_bytes, 1);
    }
}

static void padding_that_libfcgi_would_take_for_records_is_refused(void **state)
{
    (void)state;
    const uint8_t begin[8] = {0, RESPONDER};
    struct record_check check;
    struct bytes padded_begin = {0}, padded_end = {0};
    put_record(&padded_begin, RECORD_BEGIN_REQUEST, 1, begin, 8, 8);
    assert_int_equal(judge_within(&padded_begin, limits, &check), RECORD_BROKEN);
    put_record(&padded_end, RECORD_BEGIN_REQUEST, 1, begin, 8, 0);
    put_record(&padded_end, RECORD_PARAMS, 1, NULL, 0, 1);
    assert_int_equal(judge_within(&padded_end, limits, &check), RECORD_BROKEN);
}

static void reserved_bytes_are_ignored(void **state)
{
    (void)state;
    struct bytes request = {0}, no_pairs = {0};
    put_request_with(&request, &no_pairs);
    request.data[7] = 0xff;
    memset(request.data + RECORD_HEADER_SIZE + 3, 0xff, 5);
    assert_int_equal(judge(&request), RECORD_WHOLE);
}

static void a_record_of_the_largest_size_is_taken(void **state)
{
    (void)state;
    struct bytes request = {0}, body = {.length = RECORD_CONTENT_MAX};
    struct record_check check;
    put_begin(&request, 1, RESPONDER, 0);
    put_empty(&request, RECORD_PARAMS, 1);
    put_record(&request, RECORD_STDIN, 1, body.data, body.length, 255);
    put_empty(&request, RECORD_STDIN, 1);
    assert_int_equal(judge_within(&request, limits, &check), RECORD_WHOLE);
    assert_int_equal(check.body_bytes, RECORD_CONTENT_MAX);
}

/* PARAMS. */

static void pairs_may_be_split_by_records_at_any_byte(void **state)
{
    (void)state;
    struct bytes pairs = {0};
    char value[130];
    memset(value, 'v', sizeof(value));
    put_pair(&pairs, "A", "b");
    put_pair_bytes(&pairs, "LONG", 4, value, sizeof(value));
    put_pair(&pairs, "", "");
    put_pair(&pairs, "Z", "");
    for (size_t cut = 1; cut < pairs.length; cut++) {
        struct bytes request = {0};
        struct record_check check;
        put_begin(&request, 1, RESPONDER, 0);
        put_record(&request, RECORD_PARAMS, 1, pairs.data, cut, 1);
        put_record(&request, RECORD_PARAMS, 1, pairs.data + cut, pairs.length - cut, 2);
        put_empty(&request, RECORD_PARAMS, 1);
        put_empty(&request, RECORD_STDIN, 1);
        if (judge_within(&request, limits, &check) != RECORD_WHOLE || check.pairs.count != 4)
            fail_msg("cut behind byte %zu", cut);
    }
}

static void pairs_may_come_one_byte_a_record(void **state)
{
    (void)state;
    struct bytes pairs = {0}, request = {0};
    struct record_check check;
    put_pair(&pairs, "REQUEST_METHOD", "GET");
    put_long_length(&pairs, 1);
    put_long_length(&pairs, 2);
    put(&pairs, "nvv", 3);
    put_begin(&request, 1, RESPONDER, 0);
    for (size_t i = 0; i < pairs.length; i++)
        put_record(&request, RECORD_PARAMS, 1, pairs.data + i, 1, 7);
    put_empty(&request, RECORD_PARAMS, 1);
    put_empty(&request, RECORD_STDIN, 1);
    assert_int_equal(judge_within(&request, limits, &check), RECORD_WHOLE);
    assert_int_equal(check.pairs.count, 2);
}

static void lengths_of_one_and_four_bytes_mean_the_same(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 126, 127, 128, 129, 255, 256, 1000, 20000};
    struct bytes text = {.length = 20003};
    memset(text.data, 't', text.length);
    for (size_t i = 0; i < 100; i++) {
        struct bytes pairs = {0}, request = {0};
        struct record_check check;
        size_t name_length = lengths[i / 10], value_length = lengths[i % 10];
        put_pair_bytes(&pairs, text.data, name_length, text.data, value_length);
        put_long_length(&pairs, (uint32_t)name_length);
        put_long_length(&pairs, 3);
        put(&pairs, text.data, name_length + 3);
        put_pair(&pairs, "LAST", "pair");
        put_request_with(&request, &pairs);
        if (judge_within(&request, limits, &check) != RECORD_WHOLE || check.pairs.count != 3)
            fail_msg("name of %zu, value of %zu bytes", name_length, value_length);
    }
}

/* The lengths of the pairs' stream at which a pair has just ended. */
static bool is_end_of_a_pair(size_t at, const size_t *ends, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (at == ends[i])
            return true;
    }
    return at == 0;
}

static void params_cut_inside_a_pair_are_not_served(void **state)
{
    (void)state;
    struct bytes pairs = {0};
    char value[150];
    size_t ends[5];
    memset(value, 'v', sizeof(value));
    put_pair(&pairs, "REQUEST_METHOD", "GET");
    ends[0] = pairs.length;
    put_pair_bytes(&pairs, "LONG", 4, value, sizeof(value));
    ends[1] = pairs.length;
    put_pair(&pairs, "EMPTY", "");
    ends[2] = pairs.length;
    put_pair(&pairs, "", "");
    ends[3] = pairs.length;
    put_pair_bytes(&pairs, value, sizeof(value), "v", 1);
    ends[4] = pairs.length;
    for (; pairs.length > 0; pairs.length--) {
        struct bytes request = {0};
        put_request_with(&request, &pairs);
        enum record_verdict verdict = judge(&request);
        if (verdict != (is_end_of_a_pair(pairs.length, ends, 5) ? RECORD_WHOLE : RECORD_BROKEN))
            fail_msg("PARAMS end behind byte %zu: verdict %d", pairs.length, (int)verdict);
    }
}

static void a_pair_that_claims_two_gigabytes_is_not_served(void **state)
{
    (void)state;
    struct bytes pairs = {0}, request = {0};
    put_long_length(&pairs, 0x7fffffff);
    put_long_length(&pairs, 0x7fffffff);
    put(&pairs, "name", 4);
    put_request_with(&request, &pairs);
    assert_int_equal(judge(&request), RECORD_BROKEN);
}

static void a_nul_in_a_name_or_value_is_unsafe_wherever_it_stands(void **state)
{
    (void)state;
    for (size_t at = 0; at < 10; at++) {
        struct bytes pairs = {0}, request = {0};
        put_pair(&pairs, "before", "");
        put_pair(&pairs, "name1", "value");
        pairs.data[pairs.length - 10 + at] = 0;
        put_pair(&pairs, "behind", "");
        put_request_with(&request, &pairs);
        enum record_verdict verdict = judge(&request);
        if (verdict != RECORD_PARAMS_UNSAFE)
            fail_msg("NUL as byte %zu: verdict %d", at, (int)verdict);
    }
}

static void a_nul_is_found_in_a_pair_that_records_split(void **state)
{
    (void)state;
    struct bytes request = {0};
    put_begin(&request, 1, RESPONDER, 0);
    put_record(&request, RECORD_PARAMS, 1, "\2\2n", 3, 0);
    put_record(&request, RECORD_PARAMS, 1, "n\0", 2, 0);
    put_record(&request, RECORD_PARAMS, 1, "v", 1, 0);
    put_empty(&request, RECORD_PARAMS, 1);
    put_empty(&request, RECORD_STDIN, 1);
    assert_int_equal(judge(&request), RECORD_PARAMS_UNSAFE);
}

static void nuls_in_lengths_padding_and_body_are_no_nuls_of_a_name(void **state)
{
    (void)state;
    struct bytes request = {0}, pairs = {0};
    put_long_length(&pairs, 1);
    put_long_length(&pairs, 0);
    put(&pairs, "n", 1);
    put_begin(&request, 1, RESPONDER, 0);
    put_record(&request, RECORD_PARAMS, 1, pairs.data, pairs.length, 8);
    memset(request.data + request.length - 8, 0, 8);
    put_empty(&request, RECORD_PARAMS, 1);
    put_record(&request, RECORD_STDIN, 1, "\0\0\0", 3, 0);
    put_empty(&request, RECORD_STDIN, 1);
    assert_int_equal(judge(&request), RECORD_WHOLE);
}

/* Limits. */

static void params_may_have_exactly_the_allowed_bytes(void **state)
{
    (void)state;
    struct bytes pairs = {0}, request = {0};
    struct record_check check;
    struct record_limits within = limits;
    put_pair(&pairs, "NAME", "value");
    put_request_with(&request, &pairs);
    within.params_bytes = pairs.length;
    assert_int_equal(judge_within(&request, within, &check), RECORD_WHOLE);
    within.params_bytes = pairs.length - 1;
    assert_int_equal(judge_within(&request, within, &check), RECORD_PARAMS_TOO_LARGE);
    assert_int_equal(check.request_id, 1);
}

static void params_bytes_add_up_over_records_and_without_padding(void **state)
{
    (void)state;
    struct bytes request = {0};
    struct record_check check;
    struct record_limits within = limits;
    put_begin(&request, 1, RESPONDER, 0);
    put_record(&request, RECORD_PARAMS, 1, "\1\1ab", 4, 200);
    put_record(&request, RECORD_PARAMS, 1, "\1\1cd", 4, 200);
    put_record(&request, RECORD_PARAMS, 1, "\1\1ef", 4, 200);
    put_empty(&request, RECORD_PARAMS, 1);
    put_empty(&request, RECORD_STDIN, 1);
    within.params_bytes = 12;
    assert_int_equal(judge_within(&request, within, &check), RECORD_WHOLE);
    within.params_bytes = 11;
    assert_int_equal(judge_within(&request, within, &check), RECORD_PARAMS_TOO_LARGE);
}

static void there_may_be_exactly_the_allowed_number_of_pairs(void **state)
{
    (void)state;
    struct record_limits within = limits;
    within.params_count = 16;
    for (size_t count = 15; count <= 17; count++) {
        struct bytes pairs = {0}, request = {0};
        struct record_check check;
        for (size_t i = 0; i < count; i++)
            put_pair(&pairs, i % 2 == 0 ? "N" : "", "");
        put_request_with(&request, &pairs);
        assert_int_equal(judge_within(&request, within, &check), count <= 16 ? RECORD_WHOLE : RECORD_PARAMS_TOO_LARGE);
    }
}

static void a_body_may_have_exactly_the_allowed_bytes(void **state)
{
    (void)state;
    struct record_limits within = limits;
    within.body_bytes = 10;
    for (size_t last = 0; last <= 7; last++) {
        struct bytes request = {0};
        struct record_check check;
        put_begin(&request, 1, RESPONDER, 0);
        put_empty(&request, RECORD_PARAMS, 1);
        put_record(&request, RECORD_STDIN, 1, "1234", 4, 100);
        if (last > 0)
            put_record(&request, RECORD_STDIN, 1, "5678901", last, 100);
        put_empty(&request, RECORD_STDIN, 1);
        assert_int_equal(judge_within(&request, within, &check), last <= 6 ? RECORD_WHOLE : RECORD_BODY_TOO_LARGE);
    }
}

static void where_no_body_is_allowed_an_empty_one_still_is(void **state)
{
    (void)state;
    struct bytes request = {0}, no_pairs = {0}, with_body = {0};
    struct record_check check;
    struct record_limits within = limits;
    within.body_bytes = 0;
    put_request_with(&request, &no_pairs);
    assert_int_equal(judge_within(&request, within, &check), RECORD_WHOLE);
    put_full_request(&with_body, 1);
    assert_int_equal(judge_within(&with_body, within, &check), RECORD_BODY_TOO_LARGE);
}

/* What is against the protocol. */

static void another_version_is_broken_in_any_record(void **state)
{
    (void)state;
    struct bytes request = {0};
    size_t starts[8], count = 0;
    put_full_request(&request, 1);
    for (size_t at = 0; at < request.length; count++) {
        starts[count] = at;
        at += 8U + request.data[at + 4] * 256U + request.data[at + 5] + request.data[at + 6];
    }
    assert_int_equal(count, 7);
    for (size_t i = 0; i < count * 3; i++) {
        static const uint8_t versions[] = {0, 2, 255};
        struct record_check check;
        request.data[starts[i / 3]] = versions[i % 3];
        assert_int_equal(judge_within(&request, limits, &check), RECORD_BROKEN);
        assert_int_equal(check.offset, starts[i / 3]);
        request.data[starts[i / 3]] = 1;
    }
}

static void another_version_is_broken_before_its_content_has_come(void **state)
{
    (void)state;
    struct bytes request = {0};
    put(&request, "GET / HTTP/1.1\r\n\r\n", 8);
    assert_int_equal(judge(&request), RECORD_BROKEN);
}

static void a_begin_whose_content_is_not_eight_bytes_is_broken(void **state)
{
    (void)state;
    static const uint8_t content[16] = {0, RESPONDER};
    for (size_t length = 0; length <= 16; length++) {
        struct bytes request = {0};
        put_record(&request, RECORD_BEGIN_REQUEST, 1, content, length, 0);
        assert_int_equal(judge(&request), length == 8 ? RECORD_MORE : RECORD_BROKEN);
    }
}

static void a_begin_with_id_zero_is_broken(void **state)
{
    (void)state;
    struct bytes request = {0};
    put_begin(&request, 0, RESPONDER, 0);
    assert_int_equal(judge(&request), RECORD_BROKEN);
}

static void a_role_other_than_responder_is_told_apart(void **state)
{
    (void)state;
    static const unsigned roles[] = {0, 2, 3, 4, 256, 257, 65535};
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        struct bytes request = {0};
        struct record_check check;
        put_begin(&request, 513, roles[i], 0);
        assert_int_equal(judge_within(&request, limits, &check), RECORD_OTHER_ROLE);
        assert_int_equal(check.request_id, 513);
        assert_int_equal(check.role, roles[i]);
    }
}

static void nothing_is_whole_that_does_not_start_with_begin(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        struct bytes request = {0};
        if (type == RECORD_BEGIN_REQUEST)
            continue;
        put_record(&request, type, 1, "\1\1ab", 4, 0);
        put_empty(&request, RECORD_PARAMS, 1);
        put_empty(&request, RECORD_STDIN, 1);
        struct walk result;
        walk(&result, &request, WHOLE_IN_ONE_GO);
        assert_int_not_equal(result.verdict, RECORD_WHOLE);
    }
}

static void only_params_may_come_before_the_params_have_ended(void **state)
{
    (void)state;
    static const uint8_t content[8] = {0, RESPONDER};
    for (unsigned type = RECORD_BEGIN_REQUEST; type <= RECORD_UNKNOWN_TYPE; type++) {
        struct bytes request = {0};
        if (type == RECORD_ABORT_REQUEST || type == RECORD_PARAMS)
            continue;
        put_begin(&request, 1, RESPONDER, 0);
        put_record(&request, RECORD_PARAMS, 1, "\1\1ab", 4, 0);
        put_record(&request, type, 1, content, sizeof(content), 0);
        assert_int_equal(judge(&request), RECORD_BROKEN);
    }
}

static void only_stdin_may_come_after_the_params(void **state)
{
    (void)state;
    static const uint8_t content[8] = {0, RESPONDER};
    for (unsigned type = RECORD_BEGIN_REQUEST; type <= RECORD_UNKNOWN_TYPE; type++) {
        struct bytes request = {0};
        if (type == RECORD_ABORT_REQUEST || type == RECORD_STDIN)
            continue;
        put_begin(&request, 1, RESPONDER, 0);
        put_empty(&request, RECORD_PARAMS, 1);
        put_record(&request, RECORD_STDIN, 1, "x", 1, 0);
        put_record(&request, type, 1, content, sizeof(content), 0);
        assert_int_equal(judge(&request), RECORD_BROKEN);
    }
}

static void an_abort_gives_the_request_up_at_any_time_before_its_end(void **state)
{
    (void)state;
    struct bytes request = {0};
    struct record_check check;
    put_begin(&request, 1, RESPONDER, 0);
    for (int step = 0; step < 4; step++) {
        struct bytes aborted = request;
        put_empty(&aborted, RECORD_ABORT_REQUEST, 1);
        assert_int_equal(judge_within(&aborted, limits, &check), RECORD_ABORTED);
        assert_int_equal(check.request_id, 1);
        assert_int_equal(check.offset, aborted.length);
        if (step == 0)
            put_record(&request, RECORD_PARAMS, 1, "\1\5a", 3, 0);
        else if (step == 1)
            put_record(&request, RECORD_PARAMS, 1, "bcdef", 5, 0);
        else
            put_empty(&request, RECORD_PARAMS, 1);
    }
}

/* Records that are put aside. */

static void expect_answer(const struct bytes *record, unsigned max_conns, const struct bytes *expected)
{
    struct bytes reply = {0};
    struct record_check check;
    assert_int_equal(judge_within(record, limits, &check), RECORD_ASIDE);
    assert_int_equal(check.offset, 0);
    assert_int_equal(check.aside_end, record->length);
    answer_exact(&check, record, max_conns, &reply);
    assert_int_equal(reply.length, expected->length);
    assert_memory_equal(reply.data, expected->data, expected->length);
}

/* Asks with these contents and expects these values back; without padding, a read behind the contents is one too far. */
static void expect_values(const struct bytes *asked, unsigned max_conns, const struct bytes *values)
{
    for (unsigned padding = 0; padding <= 5; padding += 5) {
        struct bytes record = {0}, expected = {0};
        put_record(&record, RECORD_GET_VALUES, 0, asked->data, asked->length, padding);
        put_record(&expected, RECORD_GET_VALUES_RESULT, 0, values->data, values->length, 0);
        expect_answer(&record, max_conns, &expected);
    }
}

static void get_values_tells_the_three_values_that_a_responder_knows(void **state)
{
    (void)state;
    struct bytes asked = {0}, values = {0};
    put_pair(&asked, "FCGI_MPXS_CONNS", "");
    put_pair(&asked, "FCGI_MAX_CONNS", "");
    put_pair(&asked, "FCGI_MAX_REQS", "");
    put_pair(&values, "FCGI_MPXS_CONNS", "0");
    put_pair(&values, "FCGI_MAX_CONNS", "12");
    put_pair(&values, "FCGI_MAX_REQS", "12");
    expect_values(&asked, 12, &values);
}

static void get_values_leaves_out_what_it_does_not_know(void **state)
{
    (void)state;
    struct bytes asked = {0}, values = {0};
    put_pair(&asked, "FCGI_MAX_CONN", "");
    put_pair(&asked, "FCGI_MAX_CONNSS", "");
    put_pair(&asked, "fcgi_max_conns", "");
    put_pair(&asked, "", "");
    put_pair(&asked, "FCGI_MAX_REQS", "");
    put_pair(&values, "FCGI_MAX_REQS", "1");
    expect_values(&asked, 1, &values);
}

static void get_values_that_asks_for_nothing_gets_nothing(void **state)
{
    (void)state;
    struct bytes asked = {0}, values = {0};
    expect_values(&asked, 1, &values);
}

static void get_values_answers_a_repeated_name_once(void **state)
{
    (void)state;
    struct bytes asked = {0}, values = {0};
    while (asked.length < RECORD_CONTENT_MAX - 64) {
        put_pair(&asked, "FCGI_MAX_REQS", "");
        put_pair(&asked, "FCGI_MAX_CONNS", "");
        put_pair(&asked, "FCGI_MPXS_CONNS", "");
    }
    put_pair(&values, "FCGI_MAX_REQS", "4294967295");
    put_pair(&values, "FCGI_MAX_CONNS", "4294967295");
    put_pair(&values, "FCGI_MPXS_CONNS", "0");
    expect_values(&asked, UINT_MAX, &values);
}

static void get_values_takes_lengths_of_four_bytes_and_values_that_should_be_empty(void **state)
{
    (void)state;
    struct bytes asked = {0}, values = {0};
    put_long_length(&asked, 14);
    put_long_length(&asked, 3);
    put(&asked, "FCGI_MAX_CONNS123", 17);
    put_pair(&asked, "FCGI_MPXS_CONNS", "1");
    put_pair(&values, "FCGI_MAX_CONNS", "7");
    put_pair(&values, "FCGI_MPXS_CONNS", "0");
    expect_values(&asked, 7, &values);
}

static void get_values_answers_what_came_before_a_malformed_pair(void **state)
{
    (void)state;
    static const struct {
        size_t length;
        const char *bytes;
    } tails[] = {
        {1, "\x0e"},
        {2, "\x0e\x00"},
        {15, "\x0e\x00"
             "FCGI_MAX_CONN"},
        {16, "\x0e\x01"
             "FCGI_MAX_CONNS"},
        {3, "\x80\x00\x00"},
        {5, "\x01\x80\x00\x00\x00"},
        {8, "\xff\xff\xff\xff\xff\xff\xff\xff"},
        {9, "\x00\xff\xff\xff\xff"
            "abcd"},
        {9, "\xff\xff\xff\xff\x00"
            "abcd"},
    };
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        struct bytes asked = {0}, values = {0};
        put(&asked, tails[i].bytes, tails[i].length);
        expect_values(&asked, 3, &values);
        asked.length = 0;
        put_pair(&asked, "FCGI_MAX_REQS", "");
        put(&asked, tails[i].bytes, tails[i].length);
        put_pair(&values, "FCGI_MAX_REQS", "3");
        expect_values(&asked, 3, &values);
    }
}

static void a_management_record_of_unknown_type_is_answered_with_that_type(void **state)
{
    (void)state;
    for (unsigned type = RECORD_UNKNOWN_TYPE + 1; type <= 256; type++) {
        struct bytes record = {0}, expected = {0};
        uint8_t content[8] = {(uint8_t)type};
        put_record(&record, type & 0xff, 0, "what is this", type % 13, type & 0xff);
        put_record(&expected, RECORD_UNKNOWN_TYPE, 0, content, sizeof(content), 0);
        expect_answer(&record, 1, &expected);
    }
}

/* Puts this record between the records of a valid request and expects the request whole, and that answer. */
static void expect_cut_out(const struct bytes *stray, const struct bytes *answer)
{
    struct bytes clean = {0};
    put_full_request(&clean, 1);
    for (size_t at = 16; at < clean.length;) {
        struct bytes input = {0};
        struct walk result;
        put(&input, clean.data, at);
        put(&input, stray->data, stray->length);
        put(&input, clean.data + at, clean.length - at);
        walk(&result, &input, WHOLE_IN_ONE_GO);
        assert_int_equal(result.verdict, RECORD_WHOLE);
        assert_int_equal(result.check.offset, clean.length);
        assert_memory_equal(result.kept.data, clean.data, clean.length);
        assert_int_equal(result.replies.length, answer->length);
        assert_memory_equal(result.replies.data, answer->data, answer->length);
        at += 8U + clean.data[at + 4] * 256U + clean.data[at + 5] + clean.data[at + 6];
    }
}

static void management_records_are_answered_and_cut_out_of_a_request(void **state)
{
    (void)state;
    struct bytes stray = {0}, answer = {0}, values = {0};
    put_pair(&values, "FCGI_MAX_CONNS", "");
    put_record(&stray, RECORD_GET_VALUES, 0, values.data, values.length, 3);
    values.length = 0;
    put_pair(&values, "FCGI_MAX_CONNS", "8");
    put_record(&answer, RECORD_GET_VALUES_RESULT, 0, values.data, values.length, 0);
    put_empty(&stray, 77, 0);
    put_record(&answer, RECORD_UNKNOWN_TYPE, 0, "\x4d\0\0\0\0\0\0", 8, 0);
    expect_cut_out(&stray, &answer);
}

static void a_management_record_before_the_request_is_answered_too(void **state)
{
    (void)state;
    struct bytes input = {0};
    struct walk result;
    put_empty(&input, RECORD_GET_VALUES, 0);
    put_full_request(&input, 1);
    walk(&result, &input, WHOLE_IN_ONE_GO);
    assert_int_equal(result.verdict, RECORD_WHOLE);
    assert_int_equal(result.replies.length, RECORD_HEADER_SIZE);
    assert_int_equal(result.check.offset, input.length - RECORD_HEADER_SIZE);
}

static void a_second_request_on_the_connection_is_told_that_there_is_no_multiplexing(void **state)
{
    (void)state;
    struct bytes stray = {0}, answer = {0};
    put_begin(&stray, 0x1234, RESPONDER, KEEP_CONN);
    put_record(&answer, RECORD_END_REQUEST, 0x1234, "\0\0\0\0\1\0\0", 8, 0);
    expect_cut_out(&stray, &answer);
}

static void records_of_a_request_that_is_not_there_are_dropped(void **state)
{
    (void)state;
    struct bytes nothing = {0};
    for (unsigned type = RECORD_ABORT_REQUEST; type <= RECORD_UNKNOWN_TYPE; type++) {
        struct bytes stray = {0};
        put_record(&stray, type, 2, "\1\1ab", 4, 1);
        expect_cut_out(&stray, &nothing);
    }
}

static void records_of_unknown_type_with_a_request_id_are_dropped(void **state)
{
    (void)state;
    struct bytes stray = {0}, nothing = {0};
    put_record(&stray, 0, 1, "zero", 4, 0);
    put_record(&stray, RECORD_UNKNOWN_TYPE + 1, 1, "own", 3, 0);
    put_record(&stray, 255, 1, NULL, 0, 9);
    put_record(&stray, 255, 2, "other", 5, 9);
    expect_cut_out(&stray, &nothing);
}

static void an_aside_record_is_not_touched_before_all_of_it_is_there(void **state)
{
    (void)state;
    struct bytes record = {0};
    put_record(&record, RECORD_GET_VALUES, 0, "\3\0abc", 5, 6);
    for (record.length--; record.length > 0; record.length--)
        assert_int_equal(judge(&record), RECORD_MORE);
}

/* Byte by byte. */

static void expect_same_in_pieces(const struct bytes *input, const char *what)
{
    struct walk one_go, pieces;
    walk(&one_go, input, WHOLE_IN_ONE_GO);
    for (size_t step = 1; step <= 9; step += 4) {
        walk(&pieces, input, step);
        if (pieces.verdict != one_go.verdict || pieces.check.offset != one_go.check.offset)
            fail_msg("%s, by %zu: verdict %d at %zu instead of %d at %zu", what, step, (int)pieces.verdict,
                     pieces.check.offset, (int)one_go.verdict, one_go.check.offset);
        assert_memory_equal(pieces.kept.data, one_go.kept.data, one_go.check.offset);
        assert_int_equal(pieces.replies.length, one_go.replies.length);
        assert_memory_equal(pieces.replies.data, one_go.replies.data, one_go.replies.length);
    }
}

static void a_good_request_in_pieces_gets_the_same_verdict_at_the_same_offset(void **state)
{
    (void)state;
    struct bytes request = {0}, many = {0};
    put_full_request(&request, 1);
    expect_same_in_pieces(&request, "a full request");
    put_empty(&many, RECORD_GET_VALUES, 0);
    put(&many, request.data, 16);
    put_begin(&many, 9, RESPONDER, 0);
    put_record(&many, RECORD_STDIN, 9, "stray", 5, 3);
    put_record(&many, 200, 0, "?", 1, 0);
    put(&many, request.data + 16, request.length - 16);
    expect_same_in_pieces(&many, "with records to put aside");
}

static void a_bad_request_in_pieces_gets_the_same_verdict_at_the_same_offset(void **state)
{
    (void)state;
    struct bytes request = {0};
    put_full_request(&request, 1);
    for (size_t at = 0; at < request.length; at++) {
        struct bytes bad = request;
        char what[64];
        snprintf(what, sizeof(what), "bit flipped in byte %zu", at);
        bad.data[at] ^= (uint8_t)(1U << at % 8);
        expect_same_in_pieces(&bad, what);
    }
}

/* Random bytes. */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static size_t random_below(uint64_t *seed, size_t bound)
{
    return bound > 0 ? (size_t)(next_random(seed) % bound) : 0;
}

/* Cuts out, doubles or overwrites a stretch, or changes a byte. */
static void mutate(struct bytes *bytes, uint64_t *seed)
{
    static const uint8_t telling[] = {0, 1, 2, 3, 4, 5, 8, 9, 11, 12, 0x7f, 0x80, 0xff};
    size_t at = random_below(seed, bytes->length), left = bytes->length - at;
    size_t span = random_below(seed, left < 40 ? left : 40);
    if (left == 0)
        return;
    switch (random_below(seed, 8)) {
    case 0:
        bytes->length -= span;
        memmove(bytes->data + at, bytes->data + at + span, left - span);
        break;
    case 1:
        if (bytes->length + span > 2048)
            return;
        memmove(bytes->data + at + span, bytes->data + at, left);
        bytes->length += span;
        break;
    case 2:
        bytes->length = at;
        break;
    case 3:
        bytes->data[at] = (uint8_t)next_random(seed);
        break;
    default:
        bytes->data[at] = telling[random_below(seed, sizeof(telling))];
    }
}

static void start_random_request(struct bytes *bytes, uint64_t *seed)
{
    bytes->length = 0;
    switch (random_below(seed, 4)) {
    case 0:
        put_record(bytes, RECORD_GET_VALUES, 0, "\x0e\0FCGI_MAX_CONNS\x0d\0FCGI_MAX_REQS", 31, 1);
        break;
    case 1:
        put_begin(bytes, 1, RESPONDER, 0);
        put_begin(bytes, 2, RESPONDER, 0);
        put_record(bytes, RECORD_PARAMS, 1, "\3\3abcdef\1\0z", 11, 0);
        put_empty(bytes, RECORD_PARAMS, 1);
        put_empty(bytes, RECORD_STDIN, 1);
        return;
    default:
        break;
    }
    put_full_request(bytes, 1);
}

/* Whole exactly where the plain oracle says so, too; and check_exact looks at the offset and, with AddressSanitizer, at
 * every read. */
static void mutated_requests_are_whole_only_where_they_are_clean(void **state)
{
    (void)state;
    static struct bytes input;
    static struct walk one_go, pieces;
    static struct clean clean;
    uint64_t seed = 0x5eed5eed5eedULL;
    unsigned whole = 0;
    for (unsigned round = 0; round < 200000; round++) {
        start_random_request(&input, &seed);
        for (size_t i = random_below(&seed, 5); i > 0; i--)
            mutate(&input, &seed);
        walk(&one_go, &input, WHOLE_IN_ONE_GO);
        size_t length = clean_request_length(&one_go.kept, &clean);
        if ((one_go.verdict == RECORD_WHOLE ? one_go.check.offset : 0) != length)
            fail_msg("round %u: verdict %d at %zu, clean to %zu", round, (int)one_go.verdict, one_go.check.offset,
                     length);
        whole += one_go.verdict == RECORD_WHOLE;
        walk(&pieces, &input, 1 + random_below(&seed, 200));
        if (pieces.verdict != one_go.verdict || pieces.check.offset != one_go.check.offset)
            fail_msg("round %u: another verdict in pieces", round);
    }
    /* Else the mutations would be too wild or too tame to say anything. */
    assert_in_range(whole, 20000, 180000);
}

static void noise_is_never_whole(void **state)
{
    (void)state;
    static struct bytes input;
    static struct walk result;
    uint64_t seed = 42;
    for (unsigned round = 0; round < 20000; round++) {
        input.length = random_below(&seed, 300);
        for (size_t i = 0; i < input.length; i++)
            input.data[i] = (uint8_t)(next_random(&seed) >> 32);
        if (input.length > 0 && round % 2 == 0)
            input.data[0] = 1;
        walk(&result, &input, WHOLE_IN_ONE_GO);
        assert_int_not_equal(result.verdict, RECORD_WHOLE);
    }
}

/* Records that are written. */

static void an_end_record_holds_its_id_and_status(void **state)
{
    (void)state;
    static const uint8_t expected[RECORD_END_SIZE] = {1, 3, 0xab, 0xcd, 0, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0};
    uint8_t end[RECORD_END_SIZE];
    memset(end, 0xff, sizeof(end));
    record_write_end(end, 0xabcd, RECORD_UNKNOWN_ROLE);
    assert_memory_equal(end, expected, sizeof(end));
}

static void a_stdout_header_holds_its_id_and_length(void **state)
{
    (void)state;
    static const uint8_t expected[] = {1, 6, 0x01, 0x02, 0xff, 0xff, 0, 0}, empty[] = {1, 6, 0, 9, 0, 0, 0, 0};
    uint8_t header[RECORD_HEADER_SIZE];
    memset(header, 0xff, sizeof(header));
    record_write_header(header, RECORD_STDOUT, 0x0102, RECORD_CONTENT_MAX);
    assert_memory_equal(header, expected, sizeof(header));
    record_write_header(header, RECORD_STDOUT, 9, 0);
    assert_memory_equal(header, empty, sizeof(header));
}

static void a_flood_of_records_outside_the_request_is_broken_off(void **state)
{
    (void)state;
    static const uint8_t management[RECORD_HEADER_SIZE] = {1, RECORD_GET_VALUES};
    struct record_check check;
    record_check_init(&check, &limits);
    /* The caller cuts each out, and the next one lies in its place. */
    for (int i = 0; i < RECORD_ASIDES_MAX; i++)
        assert_int_equal(record_check(&check, management, sizeof(management)), RECORD_ASIDE);
    assert_int_equal(record_check(&check, management, sizeof(management)), RECORD_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_of_records_outside_the_request_is_broken_off),
        cmocka_unit_test(a_whole_request_is_whole_up_to_its_last_byte),
        cmocka_unit_test(bytes_behind_a_whole_request_are_left_alone),
        cmocka_unit_test(a_request_with_neither_params_nor_a_body_is_whole),
        cmocka_unit_test(a_whole_request_stays_whole_when_asked_again),
        cmocka_unit_test(every_cut_of_a_valid_request_asks_for_more),
        cmocka_unit_test(a_request_id_can_be_any_but_zero),
        cmocka_unit_test(keep_connection_is_the_lowest_flag_alone),
        cmocka_unit_test(padding_of_any_length_is_skipped),
        cmocka_unit_test(padding_that_libfcgi_would_take_for_records_is_refused),
        cmocka_unit_test(reserved_bytes_are_ignored),
        cmocka_unit_test(a_record_of_the_largest_size_is_taken),
        cmocka_unit_test(pairs_may_be_split_by_records_at_any_byte),
        cmocka_unit_test(pairs_may_come_one_byte_a_record),
        cmocka_unit_test(lengths_of_one_and_four_bytes_mean_the_same),
        cmocka_unit_test(params_cut_inside_a_pair_are_not_served),
        cmocka_unit_test(a_pair_that_claims_two_gigabytes_is_not_served),
        cmocka_unit_test(a_nul_in_a_name_or_value_is_unsafe_wherever_it_stands),
        cmocka_unit_test(a_nul_is_found_in_a_pair_that_records_split),
        cmocka_unit_test(nuls_in_lengths_padding_and_body_are_no_nuls_of_a_name),
        cmocka_unit_test(params_may_have_exactly_the_allowed_bytes),
        cmocka_unit_test(params_bytes_add_up_over_records_and_without_padding),
        cmocka_unit_test(there_may_be_exactly_the_allowed_number_of_pairs),
        cmocka_unit_test(a_body_may_have_exactly_the_allowed_bytes),
        cmocka_unit_test(where_no_body_is_allowed_an_empty_one_still_is),
        cmocka_unit_test(another_version_is_broken_in_any_record),
        cmocka_unit_test(another_version_is_broken_before_its_content_has_come),
        cmocka_unit_test(a_begin_whose_content_is_not_eight_bytes_is_broken),
        cmocka_unit_test(a_begin_with_id_zero_is_broken),
        cmocka_unit_test(a_role_other_than_responder_is_told_apart),
        cmocka_unit_test(nothing_is_whole_that_does_not_start_with_begin),
        cmocka_unit_test(only_params_may_come_before_the_params_have_ended),
        cmocka_unit_test(only_stdin_may_come_after_the_params),
        cmocka_unit_test(an_abort_gives_the_request_up_at_any_time_before_its_end),
        cmocka_unit_test(get_values_tells_the_three_values_that_a_responder_knows),
        cmocka_unit_test(get_values_leaves_out_what_it_does_not_know),
        cmocka_unit_test(get_values_that_asks_for_nothing_gets_nothing),
        cmocka_unit_test(get_values_answers_a_repeated_name_once),
        cmocka_unit_test(get_values_takes_lengths_of_four_bytes_and_values_that_should_be_empty),
        cmocka_unit_test(get_values_answers_what_came_before_a_malformed_pair),
        cmocka_unit_test(a_management_record_of_unknown_type_is_answered_with_that_type),
        cmocka_unit_test(management_records_are_answered_and_cut_out_of_a_request),
        cmocka_unit_test(a_management_record_before_the_request_is_answered_too),
        cmocka_unit_test(a_second_request_on_the_connection_is_told_that_there_is_no_multiplexing),
        cmocka_unit_test(records_of_a_request_that_is_not_there_are_dropped),
        cmocka_unit_test(records_of_unknown_type_with_a_request_id_are_dropped),
        cmocka_unit_test(an_aside_record_is_not_touched_before_all_of_it_is_there),
        cmocka_unit_test(a_good_request_in_pieces_gets_the_same_verdict_at_the_same_offset),
        cmocka_unit_test(a_bad_request_in_pieces_gets_the_same_verdict_at_the_same_offset),
        cmocka_unit_test(mutated_requests_are_whole_only_where_they_are_clean),
        cmocka_unit_test(noise_is_never_whole),
        cmocka_unit_test(an_end_record_holds_its_id_and_status),
        cmocka_unit_test(a_stdout_header_holds_its_id_and_length),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
