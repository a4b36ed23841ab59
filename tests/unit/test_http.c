/* http: a request's head is taken as RFC 9112 has it or refused with the status that it wants, however its bytes come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"

#define HOST "Host: localhost:9180\r\n"

static struct http_request request;

/* In memory of just that size, so that a byte beyond is seen where there is an AddressSanitizer. */
static enum http_verdict check_bytes(const char *bytes, size_t length)
{
    char *exact = malloc(length > 0 ? length : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, length);
    memset(&request, 'x', sizeof(request));
    enum http_verdict verdict = http_check(&request, exact, length);
    free(exact);
    return verdict;
}

static enum http_verdict check(const char *head)
{
    return check_bytes(head, strlen(head));
}

static void assert_variable(const char *name, const char *value)
{
    const char *found = http_variable(&request, name);
    if (value == NULL)
        assert_null(found);
    else if (found == NULL)
        fail_msg("there is no %s", name);
    else
        assert_string_equal(found, value);
}

static void assert_refused(const char *head, int status)
{
    enum http_verdict verdict = check(head);
    if (verdict != HTTP_REFUSED || request.status != status)
        fail_msg("verdict %d, status %d, not %d, for: %s", verdict, request.status, status, head);
    assert_true(strlen(request.wrong) > 0);
}

static void a_request_is_taken_apart(void **state)
{
    (void)state;
    assert_int_equal(
        check("GET /status?json&a=%20 HTTP/1.1\r\n" HOST "Accept: text/html\r\nUser-Agent:kube-probe/1.34 \t\r\n\r\n"),
        HTTP_WHOLE);
    assert_string_equal(request.method, "GET");
    assert_string_equal(request.path, "/status");
    assert_string_equal(request.query, "json&a=%20");
    assert_variable("REQUEST_METHOD", "GET");
    assert_variable("PATH_INFO", "/status");
    assert_variable("QUERY_STRING", "json&a=%20");
    assert_variable("SERVER_PROTOCOL", "HTTP/1.1");
    assert_variable("HTTP_HOST", "localhost:9180");
    assert_variable("HTTP_ACCEPT", "text/html");
    assert_variable("HTTP_USER_AGENT", "kube-probe/1.34");
    assert_variable("HTTP_ACCEPT_LANGUAGE", NULL);
    assert_variable("HTTP", NULL);
    assert_variable("", NULL);
}

static void what_follows_the_head_is_not_looked_at(void **state)
{
    static const char head[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 4\r\nContent-Type: a/b\r\n\r\n\0\n\r\n";
    (void)state;
    assert_int_equal(check_bytes(head, sizeof(head) - 1), HTTP_WHOLE);
    assert_variable("CONTENT_LENGTH", "4");
    assert_variable("CONTENT_TYPE", "a/b");
    assert_variable("HTTP_CONTENT_TYPE", NULL);
}

static void each_form_of_a_target_gives_its_path(void **state)
{
    static const struct {
        const char *line, *path, *query;
    } cases[] = {
        {"GET / HTTP/1.1", "/", ""},
        {"GET /? HTTP/1.1", "/", ""},
        {"GET /a?b?c HTTP/1.1", "/a", "b?c"},
        {"GET /%68ealth%7A HTTP/1.1", "/healthz", ""},
        {"GET /a%2Fb%3fc HTTP/1.1", "/a/b?c", ""},
        {"GET //a HTTP/1.1", "//a", ""},
        {"GET http://localhost:9180/healthz?a HTTP/1.1", "/healthz", "a"},
        {"GET HTTP://localhost HTTP/1.1", "/", ""},
        {"GET https://localhost/ HTTP/1.1", "/", ""},
        {"OPTIONS * HTTP/1.1", "*", ""},
    };
    char head[256];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(head, sizeof(head), "%s\r\n" HOST "\r\n", cases[i].line);
        assert_int_equal(check(head), HTTP_WHOLE);
        assert_string_equal(request.path, cases[i].path);
        assert_string_equal(request.query, cases[i].query);
        assert_variable("PATH_INFO", cases[i].path);
        assert_variable("HTTP_HOST", "localhost:9180");
    }
}

static void the_first_line_is_one_of_http_1(void **state)
{
    static const struct {
        const char *line;
        int status;
    } cases[] = {
        {"GET / HTTP/2.0", 505},
        {"PRI * HTTP/2.0", 505},
        {"GET / HTTP/0.9", 505},
        {"GET / HTTP/1.10", 400},
        {"GET / http/1.1", 400},
        {"GET / HTTP/1,1", 400},
        {"GET / HTTP/1.x", 400},
        {"GET /", 400},
        {"GET", 400},
        {"GET  / HTTP/1.1", 400},
        {"GET /  HTTP/1.1", 400},
        {"GET / HTTP/1.1 ", 400},
        {" GET / HTTP/1.1", 400},
        {"GET\t/ HTTP/1.1", 400},
        {"G@T / HTTP/1.1", 400},
        {"GET healthz HTTP/1.1", 400},
        {"GET * HTTP/1.1", 400},
        {"GET /a#b HTTP/1.1", 400},
        {"GET /\xc3\xa4 HTTP/1.1", 400},
        {"GET /%2 HTTP/1.1", 400},
        {"GET /%00 HTTP/1.1", 400},
        {"GET /%zz HTTP/1.1", 400},
        {"GET /a\rb HTTP/1.1", 400},
        {"GET ?a HTTP/1.1", 400},
        {"CONNECT localhost:80 HTTP/1.1", 400},
        {"GET ftp://localhost/ HTTP/1.1", 400},
        {"SSH-2.0-OpenSSH_9.2", 400},
    };
    char head[256];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(head, sizeof(head), "%s\r\n" HOST "\r\n", cases[i].line);
        assert_refused(head, cases[i].status);
        /* Its fields are not waited for. */
        snprintf(head, sizeof(head), "%s\r\n", cases[i].line);
        assert_refused(head, cases[i].status);
    }
}

static void http_1_0_and_later_versions_of_1_are_served(void **state)
{
    (void)state;
    assert_int_equal(check("GET / HTTP/1.0\r\n\r\n"), HTTP_WHOLE);
    assert_variable("SERVER_PROTOCOL", "HTTP/1.0");
    assert_int_equal(check("GET / HTTP/1.2\r\n" HOST "\r\n"), HTTP_WHOLE);
    assert_int_equal(check("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), HTTP_WHOLE);
    assert_string_equal(request.method, "GET");
}

static void a_field_that_is_none_is_refused(void **state)
{
    static const char *const fields[] = {
        "no colon",    ": no name",  "Name : x",    " folded: x", "\tfolded",
        "Na\x01me: x", "Name: a\rb", "Name: a\x7f", "N\xc3me: x", "Name: a\nOther: b",
    };
    char head[256];
    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n" HOST "%s\r\n\r\n", fields[i]);
        assert_refused(head, 400);
    }
    assert_int_equal(check("GET / HTTP/1.1\r\n" HOST "Name:\r\nOther: \xc3\xa4\t: x\r\n\r\n"), HTTP_WHOLE);
    assert_variable("HTTP_NAME", "");
    assert_variable("HTTP_OTHER", "\xc3\xa4\t: x");
}

static void fields_of_one_name_are_joined_and_ambiguous_names_left_out(void **state)
{
    (void)state;
    assert_int_equal(check("GET / HTTP/1.1\r\nAccept: a\r\n" HOST "accept: b\r\nX-Y: 1\r\nX_Y: 2\r\nACCEPT:c\r\n\r\n"),
                     HTTP_WHOLE);
    assert_variable("HTTP_ACCEPT", "a, b, c");
    assert_variable("HTTP_HOST", "localhost:9180");
    assert_variable("HTTP_X_Y", "1");
    assert_string_equal(request.path, "/");
}

static void a_message_whose_length_or_host_is_not_clear_is_refused(void **state)
{
    static const struct {
        const char *fields;
        int status;
    } cases[] = {
        {"", 400},
        {HOST HOST, 400},
        {"Host: a b\r\n", 400},
        {"Host: a/b\r\n", 400},
        {"Host: a,b@c\r\n", 400},
        {HOST "Content-Length: \r\n", 400},
        {HOST "Content-Length: -1\r\n", 400},
        {HOST "Content-Length: +1\r\n", 400},
        {HOST "Content-Length: 1, 1\r\n", 400},
        {HOST "Content-Length: 0x1\r\n", 400},
        {HOST "Content-Length: 1\r\nContent-Length: 1\r\n", 400},
        {HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400},
        {HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400},
        {HOST "Transfer-Encoding: gzip\r\n", 501},
        {HOST "Transfer-Encoding: gzip, chunked\r\n", 501},
    };
    char head[256];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n%s\r\n", cases[i].fields);
        assert_refused(head, cases[i].status);
    }
    assert_refused("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    assert_refused("GET / HTTP/1.0\r\n" HOST HOST "\r\n", 400);
    assert_int_equal(check("GET / HTTP/1.1\r\nHost:\r\n\r\n"), HTTP_WHOLE);
    assert_int_equal(check("GET / HTTP/1.1\r\nHost: [::1]:9180\r\nTransfer-Encoding: Chunked\r\n\r\n"), HTTP_WHOLE);
}

static void a_head_may_come_in_any_pieces(void **state)
{
    static const char head[] = "\r\nGET /healthz HTTP/1.1\r\n" HOST "Accept: */*\r\n\r\n";
    (void)state;
    for (size_t length = 0; length < sizeof(head) - 1; length++)
        assert_int_equal(check_bytes(head, length), HTTP_MORE);
    assert_int_equal(check(head), HTTP_WHOLE);
}

static void what_cannot_become_http_is_refused_before_its_end(void **state)
{
    static const char tls[] = "\x16\x03\x01\x02\x00\x01";
    (void)state;
    assert_int_equal(check_bytes(tls, sizeof(tls) - 1), HTTP_REFUSED);
    assert_int_equal(request.status, 400);
    assert_refused("GET / HTTP/1.1\n", 400);
    assert_refused("GET / HTTP/1.1\r\nHost: x\n", 400);
    assert_int_equal(check("GET / HTTP/1.1\r\nHost: x\r"), HTTP_MORE);
}

/* A head of just that many bytes: the rest is in the path, or in a field. */
static size_t make_head(char *head, size_t length, bool is_path)
{
    size_t used = (size_t)sprintf(head, is_path ? "GET /" : "GET / HTTP/1.1\r\n" HOST "A: ");
    const char *end = is_path ? " HTTP/1.1\r\n" HOST "\r\n" : "\r\n\r\n";
    while (used + strlen(end) < length)
        head[used++] = 'a';
    memcpy(head + used, end, strlen(end));
    return used + strlen(end);
}

static void a_head_of_the_largest_size_is_served_and_a_larger_one_refused(void **state)
{
    static char head[HTTP_HEAD_MAX + 2];
    (void)state;
    for (int is_path = 0; is_path < 2; is_path++) {
        assert_int_equal(make_head(head, HTTP_HEAD_MAX, is_path), HTTP_HEAD_MAX);
        assert_int_equal(check_bytes(head, HTTP_HEAD_MAX), HTTP_WHOLE);
        assert_int_equal(make_head(head, HTTP_HEAD_MAX + 1, is_path), HTTP_HEAD_MAX + 1);
        assert_int_equal(check_bytes(head, HTTP_HEAD_MAX - 1), HTTP_MORE);
        assert_int_equal(check_bytes(head, HTTP_HEAD_MAX), HTTP_REFUSED);
        assert_int_equal(request.status, 431);
    }
    memset(head, 'a', HTTP_HEAD_MAX);
    assert_int_equal(check_bytes(head, HTTP_HEAD_MAX), HTTP_REFUSED);
    assert_int_equal(request.status, 414);
}

static void as_many_fields_as_there_may_be_are_served_and_one_more_refused(void **state)
{
    char head[HTTP_HEAD_MAX];
    (void)state;
    size_t used = (size_t)sprintf(head, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 1; i < HTTP_FIELDS_MAX; i++)
        used += (size_t)sprintf(head + used, "%c%c:%d\r\n", 'a' + i % 26, 'a' + i / 26, i);
    strcpy(head + used, "\r\n");
    assert_int_equal(check(head), HTTP_WHOLE);
    assert_variable("HTTP_BA", "1");
    assert_variable("HTTP_VD", "99");
    strcpy(head + used, "one:more\r\n\r\n");
    assert_refused(head, 431);
}

/* All that can grow a head on its way into variables: the bound must hold. */
static void the_head_that_grows_most_fits(void **state)
{
    static char head[HTTP_HEAD_MAX + 1];
    (void)state;
    size_t used = (size_t)sprintf(head, "G http://a HTTP/1.1\r\nHost:\r\n");
    for (int i = 1; i < HTTP_FIELDS_MAX - 1; i++)
        used += (size_t)sprintf(head + used, "%c%c:\r\n", 'a' + i % 26, 'a' + i / 26);
    used += (size_t)sprintf(head + used, "z:");
    while (used < HTTP_HEAD_MAX - 4)
        head[used++] = 'v';
    strcpy(head + used, "\r\n\r\n");
    assert_int_equal(check(head), HTTP_WHOLE);
    assert_true(request.used <= HTTP_VARIABLES_MAX);
    assert_true(request.used > HTTP_HEAD_MAX);
}

static void assert_head(const struct app_response *response, const char *start, const char *end)
{
    char head[HTTP_ANSWER_HEAD_MAX];
    size_t length = http_write_head(response, head);
    assert_int_equal(length, strlen(head));
    assert_true(strncmp(head, start, strlen(start)) == 0);
    assert_string_equal(head + length - strlen(end), end);
    assert_non_null(strstr(head, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(head, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(head, "\r\nCache-Control: no-store\r\n"));
    assert_non_null(strstr(head, "\r\nDate: "));
}

static void an_answer_says_how_long_it_is(void **state)
{
    struct app_response response = {.status = 200, .content_type = "text/plain", .body_length = 3};
    (void)state;
    assert_head(&response, "HTTP/1.1 200 OK\r\n", "\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n");
    assert_int_equal(app_add_header(&response, "Allow", "GET"), 0);
    response.status = 405;
    assert_head(&response, "HTTP/1.1 405 Method Not Allowed\r\n",
                "\r\nAllow: GET\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n");
    response.status = 204;
    assert_head(&response, "HTTP/1.1 204 No Content\r\n", "\r\nAllow: GET\r\n\r\n");
    response.status = 200;
    response.content_type = NULL;
    assert_head(&response, "HTTP/1.1 200 OK\r\n", "\r\nAllow: GET\r\nContent-Length: 0\r\n\r\n");
}

static void the_longest_head_of_an_answer_fits(void **state)
{
    static struct app_response response = {.status = 431, .body_length = SIZE_MAX};
    static char type[400];
    char value[APP_HEADERS_MAX];
    (void)state;
    memset(type, 't', sizeof(type) - 1);
    response.content_type = type;
    memset(value, 'v', sizeof(value));
    value[APP_HEADERS_MAX - strlen("N: \r\n") - 1] = '\0';
    assert_int_equal(app_add_header(&response, "N", value), 0);
    assert_head(&response, "HTTP/1.1 431 Request Header Fields Too Large\r\n", "\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_taken_apart),
        cmocka_unit_test(what_follows_the_head_is_not_looked_at),
        cmocka_unit_test(each_form_of_a_target_gives_its_path),
        cmocka_unit_test(the_first_line_is_one_of_http_1),
        cmocka_unit_test(http_1_0_and_later_versions_of_1_are_served),
        cmocka_unit_test(a_field_that_is_none_is_refused),
        cmocka_unit_test(fields_of_one_name_are_joined_and_ambiguous_names_left_out),
        cmocka_unit_test(a_message_whose_length_or_host_is_not_clear_is_refused),
        cmocka_unit_test(a_head_may_come_in_any_pieces),
        cmocka_unit_test(what_cannot_become_http_is_refused_before_its_end),
        cmocka_unit_test(a_head_of_the_largest_size_is_served_and_a_larger_one_refused),
        cmocka_unit_test(as_many_fields_as_there_may_be_are_served_and_one_more_refused),
        cmocka_unit_test(the_head_that_grows_most_fits),
        cmocka_unit_test(an_answer_says_how_long_it_is),
        cmocka_unit_test(the_longest_head_of_an_answer_fits),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
