#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "access.h"
#include "clock.h"
#include "json.h"
#include "log.h"

/* A log into a pipe, as a collector reads it. */
struct fixture {
    struct log log;
    int reader;
    struct log_flood floods[LOG_KINDS];
    char text[65536];
};

static int open_pipe(void **state)
{
    static struct fixture fixture;
    int ends[2];
    memset(&fixture, 0, sizeof(fixture));
    if (pipe(ends) != 0)
        return -1;
    fixture.reader = ends[0];
    fixture.log = (struct log){.fd = ends[1], .pid = 4711, .floods = fixture.floods};
    *state = &fixture;
    return 0;
}

static int close_pipe(void **state)
{
    struct fixture *fixture = *state;
    close(fixture->reader);
    close(fixture->log.fd);
    unsetenv("JOURNAL_STREAM");
    return 0;
}

/* What has been written since the last time. */
static const char *logged(struct fixture *fixture)
{
    size_t length = 0;
    struct stat status;
    assert_int_equal(fstat(fixture->reader, &status), 0);
    /* With a byte of our own there is always something to read. */
    assert_int_equal(write(fixture->log.fd, "", 1), 1);
    while (length == 0 || fixture->text[length - 1] != '\0') {
        ssize_t got = read(fixture->reader, fixture->text + length, sizeof(fixture->text) - length);
        assert_true(got > 0);
        length += (size_t)got;
    }
    return fixture->text;
}

static unsigned count_lines(const char *text)
{
    unsigned count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

static void a_line_of_text_has_time_level_and_message(void **state)
{
    struct fixture *fixture = *state;
    log_warning(&fixture->log, "it is %s", "late");
    const char *text = logged(fixture);
    assert_string_equal(text + CLOCK_STAMP_SIZE - 8, " warning it is late\n");
    assert_int_equal(text[23], 'Z');
}

static void a_line_of_json_has_the_pid_and_what_it_is_about(void **state)
{
    struct fixture *fixture = *state;
    fixture->log.format = LINE_JSON;
    log_error(&fixture->log, "a \"quote\"");
    const char *text = logged(fixture);
    assert_non_null(
        strstr(text, "\"level\":\"error\",\"event\":\"pool\",\"pid\":4711,\"message\":\"a \\\"quote\\\"\"}\n"));
}

static void a_long_message_is_cut(void **state)
{
    struct fixture *fixture = *state;
    char message[3000];
    memset(message, 'x', sizeof(message));
    message[sizeof(message) - 1] = '\0';
    log_info(&fixture->log, "%s", message);
    const char *text = logged(fixture);
    assert_int_equal(strlen(text), 24 + strlen(" info ") + LINE_MESSAGE_MAX + 1);
    assert_string_equal(text + strlen(text) - 5, "x...\n");
}

static void the_journal_gets_a_priority_and_no_time(void **state)
{
    struct fixture *fixture = *state;
    fixture->log.target = LOG_TO_JOURNAL;
    log_info(&fixture->log, "x");
    log_warning(&fixture->log, "y");
    log_error(&fixture->log, "z");
    assert_string_equal(logged(fixture), "<6>x\n<4>y\n<3>z\n");
}

static void the_journal_gets_whole_json(void **state)
{
    struct fixture *fixture = *state;
    fixture->log.target = LOG_TO_JOURNAL;
    fixture->log.format = LINE_JSON;
    log_info(&fixture->log, "x");
    assert_int_equal(strncmp(logged(fixture), "<6>{\"time\":\"", strlen("<6>{\"time\":\"")), 0);
}

static void the_journal_is_known_by_the_name_of_its_socket(void **state)
{
    (void)state;
    char name[64];
    struct stat status;
    struct log log;
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    snprintf(name, sizeof(name), "%llu:%llu", (unsigned long long)status.st_dev, (unsigned long long)status.st_ino);
    setenv("JOURNAL_STREAM", name, 1);
    assert_int_equal(log_open(&log, NULL), 0);
    assert_int_equal(log.target, LOG_TO_JOURNAL);
    assert_int_equal(log_open(&log, "stderr"), 0);
    assert_int_equal(log.target, LOG_TO_JOURNAL);
    /* Another one's: stderr has been redirected since. */
    setenv("JOURNAL_STREAM", "1:2", 1);
    assert_int_equal(log_open(&log, NULL), 0);
    assert_int_equal(log.target, LOG_TO_STREAM);
}

static void auto_is_json_in_a_pipe_or_socket_and_text_elsewhere(void **state)
{
    struct fixture *fixture = *state;
    struct log log = fixture->log;
    int ends[2];
    log_set_format(&log, LOG_FORMAT_AUTO);
    assert_int_equal(log.format, LINE_JSON);
    log_set_format(&log, LOG_FORMAT_TEXT);
    assert_int_equal(log.format, LINE_TEXT);
    log.target = LOG_TO_JOURNAL;
    log_set_format(&log, LOG_FORMAT_AUTO);
    assert_int_equal(log.format, LINE_TEXT);
    log.target = LOG_TO_STREAM;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    log.fd = ends[0];
    log_set_format(&log, LOG_FORMAT_AUTO);
    assert_int_equal(log.format, LINE_JSON);
    close(ends[0]);
    close(ends[1]);
    FILE *file = tmpfile();
    assert_non_null(file);
    log.fd = fileno(file);
    log_set_format(&log, LOG_FORMAT_AUTO);
    assert_int_equal(log.format, LINE_TEXT);
    log_set_format(&log, LOG_FORMAT_JSON);
    assert_int_equal(log.format, LINE_JSON);
    fclose(file);
}

static void a_trace_is_in_the_line_of_its_request(void **state)
{
    struct fixture *fixture = *state;
    const struct trace trace = {"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"};
    const struct log_event event = {.level = LOG_LEVEL_ERROR, .kind = LOG_REQUEST, .trace = &trace};
    log_event(&fixture->log, &event, "gone");
    assert_non_null(
        strstr(logged(fixture), " error gone trace_id=4bf92f3577b34da6a3ce929d0e0e4736 parent_id=00f067aa0ba902b7\n"));
}

static const struct log_event of_peer = {.level = LOG_LEVEL_WARNING, .kind = LOG_PEER};

/* So many lines of one second. */
static void flood(struct fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        log_event(&fixture->log, &of_peer, "closed");
}

static void a_flood_is_cut_and_counted(void **state)
{
    struct fixture *fixture = *state;
    flood(fixture, 1000);
    unsigned written = count_lines(logged(fixture));
    /* The test may have lasted for more than a second. */
    assert_in_range(written, 5, 50);
    uint64_t now_ns = clock_now_ns();
    assert_true(log_tell_left_out(&fixture->log, now_ns) == UINT64_MAX);
    const char *text = logged(fixture);
    char expected[80];
    snprintf(expected, sizeof(expected), " warning %u more lines of the kind \"peer\"", 1000 - written);
    assert_non_null(strstr(text, expected));
    snprintf(expected, sizeof(expected), " left_out=%u\n", 1000 - written);
    assert_non_null(strstr(text, expected));
    assert_int_equal(count_lines(text), 1);
}

static void what_was_left_out_is_told_once_a_second_and_in_the_end(void **state)
{
    struct fixture *fixture = *state;
    uint64_t now_ns = clock_now_ns();
    flood(fixture, 100);
    log_tell_left_out(&fixture->log, now_ns);
    logged(fixture);
    flood(fixture, 100);
    logged(fixture);
    assert_true(log_tell_left_out(&fixture->log, now_ns + 1) == now_ns + CLOCK_NS_PER_S);
    assert_string_equal(logged(fixture), "");
    log_tell_left_out(&fixture->log, UINT64_MAX);
    assert_non_null(strstr(logged(fixture), "left_out="));
    log_tell_left_out(&fixture->log, UINT64_MAX);
    assert_string_equal(logged(fixture), "");
}

static void one_kind_of_lines_does_not_push_out_another(void **state)
{
    struct fixture *fixture = *state;
    flood(fixture, 1000);
    logged(fixture);
    const struct log_event other = {.level = LOG_LEVEL_ERROR, .kind = LOG_ACCEPT};
    log_event(&fixture->log, &other, "cannot accept");
    log_info(&fixture->log, "of the pool");
    assert_int_equal(count_lines(logged(fixture)), 2);
}

static void lines_that_cannot_be_written_are_counted(void **state)
{
    struct fixture *fixture = *state;
    struct log full = fixture->log;
    full.fd = -1;
    struct line line;
    assert_true(log_begin(&fixture->log, &of_peer, &line));
    log_send(&full, &line);
    log_tell_left_out(&fixture->log, UINT64_MAX);
    assert_non_null(strstr(logged(fixture), " warning 1 lines could not be written"));
}

/* Requests. */

static struct access_request request = {.method = "GET",
                                        .path = "/a b",
                                        .query = "x=\"1\"",
                                        .client = "192.0.2.1",
                                        .status = 200,
                                        .bytes = 42,
                                        .duration_ns = 1500999,
                                        .app_ns = 1400000,
                                        .worker = 3};

static void write_requests(struct access *access, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        access_note(access, &request);
        access_write(access);
    }
}

static void a_request_has_a_line_with_its_fields(void **state)
{
    struct fixture *fixture = *state;
    const struct access_config config = {.log = &fixture->log, .sample = 1, .slow_log = &fixture->log};
    static struct access access;
    access = (struct access){.config = &config};
    request.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    write_requests(&access, 1);
    request.traceparent = NULL;
    assert_non_null(strstr(logged(fixture), " info access worker=3 client=192.0.2.1 method=GET path=\"/a b\" "
                                            "query=\"x=\\\"1\\\"\" status=200 bytes=42 duration_us=1500 app_us=1400 "
                                            "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 parent_id=00f067aa0ba902b7\n"));
    fixture->log.format = LINE_JSON;
    write_requests(&access, 1);
    const char *text = logged(fixture);
    assert_true(json_is_valid(text));
    assert_non_null(strstr(text, "\"event\":\"access\""));
    assert_null(strstr(text, "message"));
}

static void one_of_so_many_requests_has_a_line_that_says_so(void **state)
{
    struct fixture *fixture = *state;
    const struct access_config config = {.log = &fixture->log, .sample = 10, .slow_log = &fixture->log};
    static struct access access;
    access = (struct access){.config = &config};
    write_requests(&access, 95);
    const char *text = logged(fixture);
    assert_int_equal(count_lines(text), 10);
    assert_non_null(strstr(text, " sample=10\n"));
}

static void a_slow_request_has_a_line_also_without_an_access_log(void **state)
{
    struct fixture *fixture = *state;
    const struct access_config config = {.sample = 1, .slow_log = &fixture->log, .slow_ns = 1500999};
    static struct access access;
    access = (struct access){.config = &config};
    write_requests(&access, 1);
    assert_non_null(strstr(logged(fixture), " warning slow worker=3 "));
    request.duration_ns--;
    write_requests(&access, 1);
    request.duration_ns++;
    assert_string_equal(logged(fixture), "");
}

static void a_request_has_one_line_at_most(void **state)
{
    struct fixture *fixture = *state;
    const struct access_config config = {.log = &fixture->log, .sample = 3, .slow_log = &fixture->log, .slow_ns = 1};
    static struct access access;
    access = (struct access){.config = &config};
    write_requests(&access, 9);
    const char *text = logged(fixture);
    assert_int_equal(count_lines(text), 9);
    assert_null(strstr(text, " access "));
}

static void a_flood_of_slow_requests_leaves_those_of_the_sample(void **state)
{
    struct fixture *fixture = *state;
    const struct access_config config = {.log = &fixture->log, .sample = 2, .slow_log = &fixture->log, .slow_ns = 1};
    static struct access access;
    access = (struct access){.config = &config};
    /* As if a hundred of this second had been written. */
    fixture->floods[LOG_SLOW].began_ns = clock_now_ns() + 60 * CLOCK_NS_PER_S;
    fixture->floods[LOG_SLOW].written = 100;
    write_requests(&access, 10);
    const char *text = logged(fixture);
    assert_int_equal(count_lines(text), 5);
    assert_null(strstr(text, " slow "));
    assert_int_equal(fixture->floods[LOG_SLOW].left_out, 10);
}

static void without_a_log_there_is_nothing(void **state)
{
    (void)state;
    static struct access access;
    write_requests(&access, 3);
    assert_null(access.log);
}

#define PIPED(test) cmocka_unit_test_setup_teardown(test, open_pipe, close_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PIPED(a_line_of_text_has_time_level_and_message),
        PIPED(a_line_of_json_has_the_pid_and_what_it_is_about),
        PIPED(a_long_message_is_cut),
        PIPED(the_journal_gets_a_priority_and_no_time),
        PIPED(the_journal_gets_whole_json),
        PIPED(the_journal_is_known_by_the_name_of_its_socket),
        PIPED(auto_is_json_in_a_pipe_or_socket_and_text_elsewhere),
        PIPED(a_trace_is_in_the_line_of_its_request),
        PIPED(a_flood_is_cut_and_counted),
        PIPED(what_was_left_out_is_told_once_a_second_and_in_the_end),
        PIPED(one_kind_of_lines_does_not_push_out_another),
        PIPED(lines_that_cannot_be_written_are_counted),
        PIPED(a_request_has_a_line_with_its_fields),
        PIPED(one_of_so_many_requests_has_a_line_that_says_so),
        PIPED(a_slow_request_has_a_line_also_without_an_access_log),
        PIPED(a_request_has_one_line_at_most),
        PIPED(a_flood_of_slow_requests_leaves_those_of_the_sample),
        PIPED(without_a_log_there_is_nothing),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
