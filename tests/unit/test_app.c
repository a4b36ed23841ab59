/* app: the tools that applications are given: paths, queries, bodies, headers, problem documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "body.h"
#include "json.h"

static int make(void **state)
{
    struct app_response *response = calloc(1, sizeof(*response));
    if (response == NULL)
        return -1;
    app_response_reset(response);
    *state = response;
    return 0;
}

static int drop(void **state)
{
    app_response_free(*state);
    free(*state);
    return 0;
}

/* Paths. */

static void path_info_is_the_path_where_there_is_one(void **state)
{
    (void)state;
    assert_string_equal(app_path("/compute", "/cgi-bin/fib.fcgi"), "/compute");
    assert_string_equal(app_path("/compute", ""), "/compute");
    assert_string_equal(app_path("/compute", NULL), "/compute");
    assert_string_equal(app_path("/", "/compute"), "/");
    assert_string_equal(app_path("/a//b/", NULL), "/a//b/");
}

static void without_path_info_the_scripts_last_segment_is_the_path(void **state)
{
    (void)state;
    assert_string_equal(app_path(NULL, "/compute"), "/compute");
    assert_string_equal(app_path("", "/compute"), "/compute");
    assert_string_equal(app_path("", "/some/prefix/compute"), "/compute");
    assert_string_equal(app_path(NULL, "/prefix/"), "/");
    assert_string_equal(app_path(NULL, "/"), "/");
}

static void without_both_the_path_is_the_root(void **state)
{
    (void)state;
    assert_string_equal(app_path(NULL, NULL), "/");
    assert_string_equal(app_path("", ""), "/");
    assert_string_equal(app_path(NULL, "no-slash"), "/");
}

/* Queries. */

static void expect_query(const char *query, enum app_query_result result, const char *expected)
{
    char value[16] = "untouched";
    enum app_query_result got = app_query(query, "n", value, sizeof(value));
    if (got != result)
        fail_msg("\"%s\": result %d", query, (int)got);
    if (result == APP_QUERY_FOUND && strcmp(value, expected) != 0)
        fail_msg("\"%s\": value \"%s\"", query, value);
}

static void a_query_without_the_name_has_none(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "",      "&",     "&&",    "=",    "=5",   "m=5",   "nn=5", "N=5",  "m=n",
        "m=n=5", "x&y&z", "m=&o=", "an=5", "%6=5", "n%3D5", " n=5", "n+=5",
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
        expect_query(queries[i], APP_QUERY_NONE, NULL);
}

static void a_value_is_found_wherever_it_stands(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "n=30",     "n=30&m=1",  "m=1&n=30", "m=1&n=30&o=2", "&n=30",    "n=30&",
        "&&n=30&&", "nn=1&n=30", "m&n=30",   "=&n=30",       "m=n&n=30",
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
        expect_query(queries[i], APP_QUERY_FOUND, "30");
}

static void a_name_without_a_value_is_found_empty(void **state)
{
    (void)state;
    expect_query("n", APP_QUERY_FOUND, "");
    expect_query("n=", APP_QUERY_FOUND, "");
    expect_query("m=1&n", APP_QUERY_FOUND, "");
    expect_query("n&m=1", APP_QUERY_FOUND, "");
    expect_query("n=&m=1", APP_QUERY_FOUND, "");
}

static void a_name_that_comes_twice_is_told_even_with_the_same_value(void **state)
{
    (void)state;
    expect_query("n=1&n=2", APP_QUERY_TWICE, NULL);
    expect_query("n=1&n=1", APP_QUERY_TWICE, NULL);
    expect_query("n=1&m=5&n=2&n=3", APP_QUERY_TWICE, NULL);
    expect_query("n&n", APP_QUERY_TWICE, NULL);
    expect_query("n=%zz&n=2", APP_QUERY_TWICE, NULL);
    expect_query("n=1&n=%zz", APP_QUERY_TWICE, NULL);
}

static void an_escaped_value_is_decoded(void **state)
{
    (void)state;
    expect_query("n=%33%30", APP_QUERY_FOUND, "30");
    expect_query("n=a%2Fb%2fc", APP_QUERY_FOUND, "a/b/c");
    expect_query("n=a+b%2Bc", APP_QUERY_FOUND, "a b+c");
    expect_query("n=+", APP_QUERY_FOUND, " ");
    expect_query("n=%26%3D%25", APP_QUERY_FOUND, "&=%");
    expect_query("n=%2541", APP_QUERY_FOUND, "%41");
    expect_query("n=%E2%82%ac", APP_QUERY_FOUND, "\xe2\x82\xac");
    expect_query("n=%ff%01", APP_QUERY_FOUND, "\xff\x01");
    expect_query("n=1=2", APP_QUERY_FOUND, "1=2");
}

static void a_broken_escape_is_bad(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "n=%",   "n=%4",   "n=%&m=41", "n=%4&1", "n=%zz", "n=%4g",   "n=%g4",
        "n=30%", "n=%%30", "n=%+1",    "n=% 1",  "n=%-1", "n=%0x41",
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
        expect_query(queries[i], APP_QUERY_BAD, NULL);
}

static void an_escaped_nul_is_bad(void **state)
{
    (void)state;
    expect_query("n=%00", APP_QUERY_BAD, NULL);
    expect_query("n=30%00", APP_QUERY_BAD, NULL);
    expect_query("n=%0030", APP_QUERY_BAD, NULL);
}

static void a_value_may_be_as_long_as_its_room_less_the_nul(void **state)
{
    (void)state;
    expect_query("n=123456789012345", APP_QUERY_FOUND, "123456789012345");
    expect_query("n=1234567890123456", APP_QUERY_BAD, NULL);
    expect_query("n=%31%32%33%34%35%36%37%38%39%30%31%32%33%34%35", APP_QUERY_FOUND, "123456789012345");
    expect_query("n=%31%32%33%34%35%36%37%38%39%30%31%32%33%34%35%36", APP_QUERY_BAD, NULL);
    expect_query("m=12345678901234567890&n=1", APP_QUERY_FOUND, "1");
}

static void a_value_with_room_for_nothing_must_be_empty(void **state)
{
    (void)state;
    char room[1] = {'x'};
    assert_int_equal(app_query("n=", "n", room, sizeof(room)), APP_QUERY_FOUND);
    assert_int_equal(room[0], '\0');
    assert_int_equal(app_query("n=1", "n", room, sizeof(room)), APP_QUERY_BAD);
}

static void names_may_have_any_length(void **state)
{
    (void)state;
    char value[8];
    assert_int_equal(app_query("json&format=x", "json", value, sizeof(value)), APP_QUERY_FOUND);
    assert_int_equal(app_query("json&format=x", "format", value, sizeof(value)), APP_QUERY_FOUND);
    assert_string_equal(value, "x");
    assert_int_equal(app_query("json&format=x", "form", value, sizeof(value)), APP_QUERY_NONE);
    assert_int_equal(app_query("n=1", "name", value, sizeof(value)), APP_QUERY_NONE);
    assert_int_equal(app_query("=x", "", value, sizeof(value)), APP_QUERY_FOUND);
}

/* Copies of exact size, so that AddressSanitizer sees a read behind the query or a write behind the value. */
static void a_query_is_read_within_its_bounds_whatever_is_in_it(void **state)
{
    (void)state;
    static const char alphabet[] = "nm=&%+0a4";
    uint32_t seed = 12345;
    for (unsigned round = 0; round < 50000; round++) {
        size_t length = round % 12U;
        char *query = malloc(length + 1), *value = malloc(3);
        assert_true(query != NULL && value != NULL);
        for (size_t i = 0; i < length; i++) {
            seed = seed * 1664525U + 1013904223U;
            query[i] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
        }
        query[length] = '\0';
        if (app_query(query, "n", value, 3) == APP_QUERY_FOUND)
            assert_true(memchr(value, '\0', 3) != NULL);
        free(query);
        free(value);
    }
}

/* Bodies. */

static void a_body_grows_over_several_megabytes(void **state)
{
    struct app_response *response = *state;
    char piece[1000];
    for (size_t i = 0; i < sizeof(piece); i++)
        piece[i] = (char)('a' + i % 26);
    for (size_t i = 0; i < 8000; i++)
        app_write(response, piece, sizeof(piece));
    assert_false(response->failed);
    assert_int_equal(response->body_length, 8000000);
    assert_true(response->body_capacity > response->body_length);
    for (size_t i = 0; i < 8000; i++)
        assert_memory_equal(response->body + i * sizeof(piece), piece, sizeof(piece));
}

static void one_write_may_be_larger_than_all_the_room(void **state)
{
    struct app_response *response = *state;
    size_t size = 3 * 1024 * 1024 + 7;
    char *piece = malloc(size);
    assert_non_null(piece);
    memset(piece, 'x', size);
    app_write(response, piece, size);
    assert_int_equal(response->body_length, size);
    assert_memory_equal(response->body, piece, size);
    free(piece);
}

static void a_body_may_hold_any_bytes(void **state)
{
    struct app_response *response = *state;
    app_write(response, "a\0b\xff", 4);
    app_write(response, "", 0);
    app_write(response, "\0", 1);
    assert_int_equal(response->body_length, 5);
    assert_memory_equal(response->body, "a\0b\xff\0", 5);
}

static void formatted_text_of_any_length_is_written_in_full(void **state)
{
    struct app_response *response = *state;
    for (size_t length = 0; length < 10000; length = length * 2 + (length < 600 ? 1 : 57)) {
        char *text = malloc(length + 1);
        assert_non_null(text);
        memset(text, 't', length);
        text[length] = '\0';
        response->body_length = 0;
        app_printf(response, "<%s|%d>", text, 42);
        assert_int_equal(response->body_length, length + 5);
        assert_memory_equal(response->body + 1, text, length);
        assert_memory_equal(response->body + 1 + length, "|42>", 4);
        free(text);
    }
}

/* Around each doubling of the buffer a formatted text comes to lie across the end of the room. */
static void formatted_text_may_end_anywhere_in_the_room(void **state)
{
    struct app_response *response = *state;
    char filler[4096], text[400];
    memset(filler, 'f', sizeof(filler));
    memset(text, 't', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (size_t filled = 4096 - 800; filled <= 4096; filled++) {
        app_response_free(response);
        app_response_reset(response);
        app_write(response, filler, filled);
        app_printf(response, "%s", text);
        assert_int_equal(response->body_length, filled + sizeof(text) - 1);
        assert_memory_equal(response->body, filler, filled);
        assert_memory_equal(response->body + filled, text, sizeof(text) - 1);
    }
}

static void a_body_too_large_for_memory_fails_and_drops_the_rest(void **state)
{
    struct app_response *response = *state;
    app_write(response, "kept", 4);
    app_write(response, "x", SIZE_MAX / 2);
    assert_true(response->failed);
    app_write(response, "dropped", 7);
    app_printf(response, "dropped");
    assert_int_equal(response->body_length, 4);
    assert_memory_equal(response->body, "kept", 4);
}

static void a_reset_response_is_like_new_and_keeps_its_buffer(void **state)
{
    struct app_response *response = *state;
    app_write(response, "old", 3);
    app_write(response, "x", SIZE_MAX / 2);
    app_add_header(response, "X-Old", "1");
    response->status = 500;
    response->content_type = "text/plain";
    char *body = response->body;
    app_response_reset(response);
    assert_int_equal(response->status, 200);
    assert_null(response->content_type);
    assert_string_equal(response->headers, "");
    assert_int_equal(response->headers_length, 0);
    assert_int_equal(response->body_length, 0);
    assert_false(response->failed);
    assert_ptr_equal(response->body, body);
    app_write(response, "new", 3);
    assert_memory_equal(response->body, "new", 3);
}

/* Headers. */

static void headers_are_added_line_by_line(void **state)
{
    struct app_response *response = *state;
    assert_int_equal(app_add_header(response, "Allow", "GET, HEAD"), 0);
    assert_int_equal(app_add_header(response, "X-Empty", ""), 0);
    assert_int_equal(app_add_header(response, "X-UTF-8", "gr\xc3\xbc\xc3\x9f"), 0);
    assert_string_equal(response->headers, "Allow: GET, HEAD\r\nX-Empty: \r\nX-UTF-8: gr\xc3\xbc\xc3\x9f\r\n");
    assert_int_equal(response->headers_length, strlen(response->headers));
}

static void a_control_character_in_a_header_is_refused(void **state)
{
    struct app_response *response = *state;
    static const char *const wrong[] = {
        "\r", "\n", "a\r\nSet-Cookie: x=1", "a\nb", "a\rb", "end\r\n", "\x01", "\x7f", "\x1b[0m",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        errno = 0;
        assert_int_equal(app_add_header(response, "Location", wrong[i]), -1);
        assert_int_equal(errno, EINVAL);
        errno = 0;
        assert_int_equal(app_add_header(response, wrong[i], "value"), -1);
        assert_int_equal(errno, EINVAL);
    }
    assert_string_equal(response->headers, "");
    assert_int_equal(response->headers_length, 0);
}

static void a_header_that_does_not_fit_leaves_the_others_whole(void **state)
{
    struct app_response *response = *state;
    char value[APP_HEADERS_MAX];
    memset(value, 'v', sizeof(value));
    value[APP_HEADERS_MAX - 20] = '\0';
    assert_int_equal(app_add_header(response, "A", "b"), 0);
    assert_int_equal(app_add_header(response, "Much-Too-Long", value), -1);
    assert_int_equal(errno, ENOSPC);
    assert_string_equal(response->headers, "A: b\r\n");
    assert_int_equal(app_add_header(response, "C", "d"), 0);
    assert_string_equal(response->headers, "A: b\r\nC: d\r\n");
}

static void headers_may_fill_their_room_but_for_the_nul(void **state)
{
    struct app_response *response = *state;
    char value[APP_HEADERS_MAX];
    memset(value, 'v', sizeof(value));
    value[APP_HEADERS_MAX - strlen("A: \r\n") - 1] = '\0';
    assert_int_equal(app_add_header(response, "A", value), 0);
    assert_int_equal(response->headers_length, APP_HEADERS_MAX - 1);
    assert_int_equal(app_add_header(response, "B", ""), -1);
    app_response_reset(response);
    assert_int_equal(app_add_header(response, "AB", value), -1);
    assert_int_equal(errno, ENOSPC);
    assert_string_equal(response->headers, "");
}

/* Problem documents and methods. */

static void a_problem_is_a_json_document_with_its_status(void **state)
{
    struct app_response *response = *state;
    app_write(response, "half an answer", 14);
    app_problem(response, 404, "There is nothing here.", "");
    assert_int_equal(response->status, 404);
    assert_string_equal(response->content_type, "application/problem+json");
    assert_string_equal(body_text(response), "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
                                             "\"detail\":\"There is nothing here.\"}\n");
}

static void further_members_of_a_problem_follow_the_detail(void **state)
{
    struct app_response *response = *state;
    app_problem(response, 400, "No.", ",\"field\":\"n\",\"maximum\":30");
    assert_true(json_is_valid(body_text(response)));
    assert_non_null(strstr(body_text(response), "\"detail\":\"No.\",\"field\":\"n\",\"maximum\":30}"));
}

static void the_detail_of_a_problem_is_quoted_as_json(void **state)
{
    struct app_response *response = *state;
    app_problem(response, 400, "a \"quoted\" \\ and\n\t\x01\x1f gr\xc3\xbc\xc3\x9f </script> 100%s", "");
    assert_true(json_is_valid(body_text(response)));
    assert_non_null(strstr(body_text(response), "\"detail\":\"a \\\"quoted\\\" \\\\ and\\u000a\\u0009\\u0001\\u001f "
                                                "gr\xc3\xbc\xc3\x9f </script> 100%s\"}"));
}

static void any_ascii_character_in_a_detail_leaves_the_document_valid(void **state)
{
    struct app_response *response = *state;
    for (int c = 1; c < 128; c++) {
        char detail[] = {'a', (char)c, 'b', '\0'};
        app_problem(response, 400, detail, "");
        if (!json_is_valid(body_text(response)))
            fail_msg("character %d: %s", c, body_text(response));
    }
}

static bool allows(struct app_response *response, const char *method)
{
    struct app_request request = {.method = method, .path = "/", .query = ""};
    app_response_reset(response);
    return app_allows_reading(&request, response);
}

static void get_and_head_may_read(void **state)
{
    struct app_response *response = *state;
    assert_true(allows(response, "GET"));
    assert_true(allows(response, "HEAD"));
    assert_int_equal(response->status, 200);
    assert_string_equal(response->headers, "");
}

static void options_gets_204_and_the_methods_that_are_allowed(void **state)
{
    struct app_response *response = *state;
    assert_false(allows(response, "OPTIONS"));
    assert_int_equal(response->status, 204);
    assert_null(response->content_type);
    assert_int_equal(response->body_length, 0);
    assert_string_equal(response->headers, "Allow: GET, HEAD, OPTIONS\r\n");
}

static void another_method_gets_405_and_the_methods_that_are_allowed(void **state)
{
    struct app_response *response = *state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "GETX", "GE", ""};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        assert_false(allows(response, methods[i]));
        assert_int_equal(response->status, 405);
        assert_string_equal(response->headers, "Allow: GET, HEAD, OPTIONS\r\n");
        assert_true(json_is_valid(body_text(response)));
    }
}

static void a_status_has_its_title_or_is_unknown(void **state)
{
    (void)state;
    assert_string_equal(app_status_title(200), "OK");
    assert_string_equal(app_status_title(405), "Method Not Allowed");
    assert_string_equal(app_status_title(431), "Request Header Fields Too Large");
    assert_string_equal(app_status_title(503), "Service Unavailable");
    assert_string_equal(app_status_title(299), "Unknown");
    assert_string_equal(app_status_title(0), "Unknown");
    assert_string_equal(app_status_title(-1), "Unknown");
}

#define WITH_A_RESPONSE(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_info_is_the_path_where_there_is_one),
        cmocka_unit_test(without_path_info_the_scripts_last_segment_is_the_path),
        cmocka_unit_test(without_both_the_path_is_the_root),
        cmocka_unit_test(a_query_without_the_name_has_none),
        cmocka_unit_test(a_value_is_found_wherever_it_stands),
        cmocka_unit_test(a_name_without_a_value_is_found_empty),
        cmocka_unit_test(a_name_that_comes_twice_is_told_even_with_the_same_value),
        cmocka_unit_test(an_escaped_value_is_decoded),
        cmocka_unit_test(a_broken_escape_is_bad),
        cmocka_unit_test(an_escaped_nul_is_bad),
        cmocka_unit_test(a_value_may_be_as_long_as_its_room_less_the_nul),
        cmocka_unit_test(a_value_with_room_for_nothing_must_be_empty),
        cmocka_unit_test(names_may_have_any_length),
        cmocka_unit_test(a_query_is_read_within_its_bounds_whatever_is_in_it),
        WITH_A_RESPONSE(a_body_grows_over_several_megabytes),
        WITH_A_RESPONSE(one_write_may_be_larger_than_all_the_room),
        WITH_A_RESPONSE(a_body_may_hold_any_bytes),
        WITH_A_RESPONSE(formatted_text_of_any_length_is_written_in_full),
        WITH_A_RESPONSE(formatted_text_may_end_anywhere_in_the_room),
        WITH_A_RESPONSE(a_body_too_large_for_memory_fails_and_drops_the_rest),
        WITH_A_RESPONSE(a_reset_response_is_like_new_and_keeps_its_buffer),
        WITH_A_RESPONSE(headers_are_added_line_by_line),
        WITH_A_RESPONSE(a_control_character_in_a_header_is_refused),
        WITH_A_RESPONSE(a_header_that_does_not_fit_leaves_the_others_whole),
        WITH_A_RESPONSE(headers_may_fill_their_room_but_for_the_nul),
        WITH_A_RESPONSE(a_problem_is_a_json_document_with_its_status),
        WITH_A_RESPONSE(further_members_of_a_problem_follow_the_detail),
        WITH_A_RESPONSE(the_detail_of_a_problem_is_quoted_as_json),
        WITH_A_RESPONSE(any_ascii_character_in_a_detail_leaves_the_document_valid),
        WITH_A_RESPONSE(get_and_head_may_read),
        WITH_A_RESPONSE(options_gets_204_and_the_methods_that_are_allowed),
        WITH_A_RESPONSE(another_method_gets_405_and_the_methods_that_are_allowed),
        cmocka_unit_test(a_status_has_its_title_or_is_unknown),
    };
    return cmocka_run_group_tests_name("app", tests, NULL, NULL);
}
