/* metrics: the scoreboard as Prometheus text and as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "body.h"
#include "clock.h"
#include "json.h"
#include "metrics.h"

#define NAME_MAX_LENGTH 128

struct fixture {
    struct scoreboard *board;
    struct app_response response;
};

static int make(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    fixture->board = scoreboard_create();
    atomic_store(&fixture->board->master.cpu_limit_millicpu, -1);
    app_response_reset(&fixture->response);
    *state = fixture;
    return fixture->board != NULL ? 0 : -1;
}

static int drop(void **state)
{
    struct fixture *fixture = *state;
    app_response_free(&fixture->response);
    munmap(fixture->board, sizeof(*fixture->board));
    free(fixture);
    return 0;
}

/* Puts a worker into a slot. */
static struct slot *employ(struct scoreboard *board, unsigned index, int pid, enum slot_state slot_state)
{
    if (atomic_load(&board->master.slots_used) <= index)
        atomic_store(&board->master.slots_used, index + 1);
    atomic_store(&board->master.pids[index], pid);
    slot_set_state(&board->slots[index], slot_state);
    return &board->slots[index];
}

/* A pool in the middle of its work: three workers, and a slot that once had a fourth. */
static void employ_some(struct scoreboard *board)
{
    struct slot *first = employ(board, 0, 1001, SLOT_IDLE), *second = employ(board, 1, 1002, SLOT_BUSY);
    struct slot *left = employ(board, 2, 0, SLOT_IDLE), *last = employ(board, 3, 1004, SLOT_STARTING);
    slot_count_request(first, 200, 700 * CLOCK_NS_PER_US);
    slot_count_request(first, 200, 700 * CLOCK_NS_PER_US);
    slot_count_request(second, 200, 3 * CLOCK_NS_PER_MS);
    slot_count_request(second, 404, 10 * CLOCK_NS_PER_US);
    slot_count_request(left, 200, 60 * CLOCK_NS_PER_S);
    slot_count_request(left, 418, 1 * CLOCK_NS_PER_S);
    counter_add(&first->refused[REFUSED_BROKEN], 2);
    counter_add(&last->refused[REFUSED_BROKEN], 3);
    counter_add(&second->refused[REFUSED_GONE], 1);
    counter_add(&last->refused[REFUSED_SHORT], 6);
    counter_add(&board->master.timeouts, 7);
    counter_add(&board->master.restarts[RESTART_SIGNAL], 4);
    atomic_store(&board->master.workers, 3);
    atomic_store(&board->master.phase, PHASE_SERVING);
    board->master.started_at = 1700000000.25;
}

static const char *prometheus(struct fixture *fixture)
{
    fixture->response.body_length = 0;
    metrics_prometheus(fixture->board, &fixture->response);
    return body_text(&fixture->response);
}

static const char *json(struct fixture *fixture, uint64_t now_ns)
{
    fixture->response.body_length = 0;
    metrics_json(fixture->board, now_ns, &fixture->response);
    return body_text(&fixture->response);
}

/* The text behind "SERIES " at the start of a line, or NULL. */
static const char *find_sample(const char *text, const char *series)
{
    size_t length = strlen(series);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, series, length) == 0 && line[length] == ' ')
            return line + length + 1;
    }
    return NULL;
}

static double sample(const char *text, const char *series)
{
    const char *value = find_sample(text, series);
    if (value == NULL)
        fail_msg("there is no %s", series);
    return value != NULL ? strtod(value, NULL) : 0;
}

static void expect_sample(const char *text, const char *series, double expected)
{
    double value = sample(text, series);
    if (value < expected - 1e-9 || value > expected + 1e-9)
        fail_msg("%s is %g, not %g", series, value, expected);
}

static void expect_json_part(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("%s is not in %s", part, text);
}

/* Prometheus text. */

static size_t count_lines_that_start(const char *text, const char *start)
{
    size_t count = 0;
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n')
        count += strncmp(line, start, strlen(start)) == 0;
    return count;
}

/* The name that HELP and TYPE give to a sample: a histogram's samples have suffixes. */
static void family_of(const char *text, const char *line, char family[static NAME_MAX_LENGTH])
{
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    char histogram[NAME_MAX_LENGTH + 32];
    snprintf(family, NAME_MAX_LENGTH, "%.*s", (int)strcspn(line, "{ \n"), line);
    for (size_t i = 0; i < 3; i++) {
        size_t length = strlen(family), cut = strlen(suffixes[i]);
        if (length <= cut || strcmp(family + length - cut, suffixes[i]) != 0)
            continue;
        snprintf(histogram, sizeof(histogram), "# TYPE %.*s histogram\n", (int)(length - cut), family);
        if (count_lines_that_start(text, histogram) == 1)
            family[length - cut] = '\0';
        return;
    }
}

static void every_name_has_one_help_and_one_type_before_it(void **state)
{
    const char *text = NULL;
    struct fixture *fixture = *state;
    employ_some(fixture->board);
    atomic_store(&fixture->board->master.cpu_limit_millicpu, 500);
    text = prometheus(fixture);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        char family[NAME_MAX_LENGTH], help[NAME_MAX_LENGTH + 16], type[NAME_MAX_LENGTH + 16];
        if (*line == '#')
            continue;
        family_of(text, line, family);
        snprintf(help, sizeof(help), "# HELP %s ", family);
        snprintf(type, sizeof(type), "# TYPE %s ", family);
        if (count_lines_that_start(text, help) != 1 || count_lines_that_start(text, type) != 1)
            fail_msg("%s has not one HELP and one TYPE", family);
        assert_true(strstr(text, help) < line && strstr(text, type) < line);
    }
}

/* NAME or NAME{label="value"}, a space, a number, a newline. */
static bool is_sample_line(const char *line)
{
    static const char name_characters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    size_t name_length = strspn(line, name_characters);
    const char *at = line + name_length;
    if (name_length == 0 || (*line >= '0' && *line <= '9'))
        return false;
    if (*at == '{') {
        at += 1 + strspn(at + 1, name_characters);
        if (strncmp(at, "=\"", 2) != 0)
            return false;
        at += 2 + strcspn(at + 2, "\"\\\n");
        if (strncmp(at, "\"}", 2) != 0)
            return false;
        at += 2;
    }
    char *end;
    if (*at != ' ' || at[1] == ' ')
        return false;
    strtod(at + 1, &end);
    return end > at + 1 && *end == '\n';
}

static void every_line_is_a_comment_or_a_sample(void **state)
{
    struct fixture *fixture = *state;
    employ_some(fixture->board);
    const char *text = prometheus(fixture);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        assert_non_null(strchr(line, '\n'));
        if (strncmp(line, "# HELP ", 7) != 0 && strncmp(line, "# TYPE ", 7) != 0 && !is_sample_line(line))
            fail_msg("not a sample: %.*s", (int)strcspn(line, "\n"), line);
    }
}

static void no_series_comes_twice(void **state)
{
    struct fixture *fixture = *state;
    employ_some(fixture->board);
    const char *text = prometheus(fixture);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        char series[256];
        snprintf(series, sizeof(series), "%.*s ", (int)strcspn(line, " "), line);
        if (*line != '#' && count_lines_that_start(text, series) != 1)
            fail_msg("%s comes more than once", series);
    }
}

static void counters_add_up_over_all_slots_even_those_whose_worker_left(void **state)
{
    struct fixture *fixture = *state;
    employ_some(fixture->board);
    const char *text = prometheus(fixture);
    expect_sample(text, "fibcgi_requests_total{code=\"200\"}", 4);
    expect_sample(text, "fibcgi_requests_total{code=\"404\"}", 1);
    expect_sample(text, "fibcgi_requests_total{code=\"other\"}", 1);
    expect_sample(text, "fibcgi_requests_total{code=\"503\"}", 0);
    expect_sample(text, "fibcgi_connections_refused_total{reason=\"broken\"}", 5);
    expect_sample(text, "fibcgi_connections_refused_total{reason=\"gone\"}", 1);
    expect_sample(text, "fibcgi_connections_refused_total{reason=\"short\"}", 6);
    expect_sample(text, "fibcgi_connections_refused_total{reason=\"timeout\"}", 7);
    expect_sample(text, "fibcgi_connections_refused_total{reason=\"peer\"}", 0);
    expect_sample(text, "fibcgi_worker_restarts_total{cause=\"signal\"}", 4);
    expect_sample(text, "fibcgi_worker_restarts_total{cause=\"roll\"}", 0);
    expect_sample(text, "fibcgi_workers_wanted", 3);
    expect_sample(text, "fibcgi_start_time_seconds", 1700000000.25);
}

static void each_status_of_the_table_is_counted_by_its_own_code(void **state)
{
    struct fixture *fixture = *state;
    struct slot *slot = employ(fixture->board, 0, 1, SLOT_IDLE);
    for (size_t i = 0; i < SLOT_CODES - 1; i++) {
        for (size_t times = 0; times <= i; times++)
            slot_count_request(slot, slot_codes[i], 1);
    }
    const char *text = prometheus(fixture);
    for (size_t i = 0; i < SLOT_CODES - 1; i++) {
        char series[64];
        snprintf(series, sizeof(series), "fibcgi_requests_total{code=\"%d\"}", slot_codes[i]);
        expect_sample(text, series, (double)(i + 1));
    }
    expect_sample(text, "fibcgi_requests_total{code=\"other\"}", 0);
}

static void buckets_are_cumulative_and_the_last_equals_the_count(void **state)
{
    static const char bucket[] = "fibcgi_request_duration_seconds_bucket{le=\"";
    struct fixture *fixture = *state;
    double last_bound = 0, last_count = 0;
    size_t buckets = 0;
    employ_some(fixture->board);
    const char *text = prometheus(fixture);
    for (const char *at = strstr(text, bucket); at != NULL; at = strstr(at + 1, bucket), buckets++) {
        double bound = strtod(at + strlen(bucket), NULL), count = strtod(strstr(at, "} ") + 2, NULL);
        if (bound <= last_bound || count < last_count)
            fail_msg("bucket %g with %g follows bucket %g with %g", bound, count, last_bound, last_count);
        last_bound = bound;
        last_count = count;
    }
    assert_int_equal(buckets, SLOT_BUCKETS);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"+Inf\"}", last_count);
    expect_sample(text, "fibcgi_request_duration_seconds_count", last_count);
    expect_sample(text, "fibcgi_request_duration_seconds_count", 6);
}

static void a_duration_is_in_the_first_bucket_that_is_not_below_it(void **state)
{
    struct fixture *fixture = *state;
    employ_some(fixture->board);
    const char *text = prometheus(fixture);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"0.00025\"}", 1);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"0.0005\"}", 1);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"0.001\"}", 3);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"0.0025\"}", 3);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"0.005\"}", 4);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"0.5\"}", 4);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"1\"}", 5);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"10\"}", 5);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"+Inf\"}", 6);
    expect_sample(text, "fibcgi_request_duration_seconds_sum", 61.00441);
}

static void a_duration_equal_to_a_bound_is_within_it(void **state)
{
    struct fixture *fixture = *state;
    struct slot *slot = employ(fixture->board, 0, 1, SLOT_IDLE);
    slot_count_request(slot, 200, 250 * CLOCK_NS_PER_US);
    slot_count_request(slot, 200, 250 * CLOCK_NS_PER_US + 1);
    const char *text = prometheus(fixture);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"0.00025\"}", 1);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"0.0005\"}", 2);
}

static void workers_are_counted_by_state_and_a_slot_without_pid_is_empty(void **state)
{
    struct fixture *fixture = *state;
    employ_some(fixture->board);
    employ(fixture->board, 4, 0, SLOT_BUSY);
    employ(fixture->board, 5, 1006, SLOT_READING);
    const char *text = prometheus(fixture);
    expect_sample(text, "fibcgi_workers{state=\"starting\"}", 1);
    expect_sample(text, "fibcgi_workers{state=\"idle\"}", 1);
    expect_sample(text, "fibcgi_workers{state=\"reading\"}", 1);
    expect_sample(text, "fibcgi_workers{state=\"busy\"}", 1);
    assert_int_equal(metrics_workers_up(fixture->board), 3);
}

static void a_state_that_does_not_exist_counts_as_empty(void **state)
{
    struct fixture *fixture = *state;
    struct slot *slot = employ(fixture->board, 0, 1001, SLOT_IDLE);
    atomic_store(&slot->state, 12345);
    expect_sample(prometheus(fixture), "fibcgi_workers{state=\"idle\"}", 0);
    assert_int_equal(metrics_workers_up(fixture->board), 0);
    assert_true(json_is_valid(json(fixture, 0)));
}

static void the_admin_worker_is_not_counted(void **state)
{
    struct fixture *fixture = *state;
    struct scoreboard *board = fixture->board;
    employ(board, 0, 1001, SLOT_IDLE);
    atomic_store(&board->master.pids[SCOREBOARD_ADMIN], 1002);
    slot_set_state(&board->slots[SCOREBOARD_ADMIN], SLOT_BUSY);
    slot_count_request(&board->slots[SCOREBOARD_ADMIN], 200, 1);
    const char *text = prometheus(fixture);
    expect_sample(text, "fibcgi_requests_total{code=\"200\"}", 0);
    expect_sample(text, "fibcgi_workers{state=\"busy\"}", 0);
    assert_int_equal(metrics_workers_up(board), 1);
}

static void what_the_acceptor_answers_counts_but_it_is_no_worker(void **state)
{
    struct fixture *fixture = *state;
    struct scoreboard *board = fixture->board;
    struct slot *acceptor = &board->slots[SCOREBOARD_ACCEPTOR];
    employ_some(board);
    atomic_store(&board->master.pids[SCOREBOARD_ACCEPTOR], 1005);
    slot_set_state(acceptor, SLOT_BUSY);
    slot_count_request(acceptor, 503, 10 * CLOCK_NS_PER_US);
    counter_add(&acceptor->refused[REFUSED_GONE], 2);
    const char *text = prometheus(fixture);
    expect_sample(text, "fibcgi_requests_total{code=\"503\"}", 1);
    expect_sample(text, "fibcgi_requests_total{code=\"200\"}", 4);
    expect_sample(text, "fibcgi_request_duration_seconds_count", 7);
    expect_sample(text, "fibcgi_connections_refused_total{reason=\"gone\"}", 3);
    expect_sample(text, "fibcgi_workers{state=\"busy\"}", 1);
    assert_int_equal(metrics_workers_up(board), 2);
    text = json(fixture, 0);
    expect_json_part(text, "\"total\":7");
    expect_json_part(text, "\"503\":1");
    assert_null(strstr(text, "1005"));
}

static void what_is_open_waits_and_is_kept_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct scoreboard_master *master = &fixture->board->master;
    atomic_store(&master->connections_open, 20);
    atomic_store(&master->connections_waiting, 12);
    atomic_store(&master->kept_bytes, 5000000000);
    const char *text = prometheus(fixture);
    expect_sample(text, "fibcgi_connections_open", 20);
    expect_sample(text, "fibcgi_connections_waiting", 12);
    expect_sample(text, "fibcgi_kept_bytes", 5e9);
}

static void the_cpu_limit_is_in_cores_and_absent_without_one(void **state)
{
    struct fixture *fixture = *state;
    assert_null(strstr(prometheus(fixture), "fibcgi_cpu_limit_cores"));
    atomic_store(&fixture->board->master.cpu_limit_millicpu, 50);
    expect_sample(prometheus(fixture), "fibcgi_cpu_limit_cores", 0.05);
    atomic_store(&fixture->board->master.cpu_limit_millicpu, 2500);
    expect_sample(prometheus(fixture), "fibcgi_cpu_limit_cores", 2.5);
}

static void an_empty_scoreboard_is_all_zeros(void **state)
{
    struct fixture *fixture = *state;
    const char *text = prometheus(fixture);
    expect_sample(text, "fibcgi_request_duration_seconds_count", 0);
    expect_sample(text, "fibcgi_request_duration_seconds_sum", 0);
    expect_sample(text, "fibcgi_requests_total{code=\"200\"}", 0);
    assert_int_equal(metrics_workers_up(fixture->board), 0);
}

static void counters_of_every_size_are_written_in_full(void **state)
{
    struct fixture *fixture = *state;
    struct slot *slot = employ(fixture->board, 0, 1, SLOT_IDLE);
    counter_add(&slot->by_code[0], 18446744073709551615ULL);
    const char *value = find_sample(prometheus(fixture), "fibcgi_requests_total{code=\"200\"}");
    assert_non_null(value);
    assert_memory_equal(value, "18446744073709551615\n", 21);
}

/* JSON. */

static void json_is_valid_for_any_scoreboard(void **state)
{
    struct fixture *fixture = *state;
    assert_true(json_is_valid(json(fixture, 0)));
    employ_some(fixture->board);
    assert_true(json_is_valid(json(fixture, clock_now_ns())));
    atomic_store(&fixture->board->master.cpu_limit_millicpu, 1234567890);
    assert_true(json_is_valid(json(fixture, clock_now_ns())));
    for (unsigned i = 0; i < SCOREBOARD_WORKERS_MAX; i++)
        employ(fixture->board, i, i % 3 == 0 ? 0 : 4000000 + (int)i, SLOT_IDLE);
    assert_true(json_is_valid(json(fixture, clock_now_ns())));
}

/* A checker that lets everything pass would prove nothing. */
static void the_check_for_json_finds_mistakes(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",      "{",          "{}}",    "[1,]",        "[1 2]", "{\"a\"}", "{\"a\":}",
        "{a:1}", "{\"a\":1,}", "\"\n\"", "\"\\x\"",     "\"a",   "01",      "1.",
        "-",     "nan",        "[}",     "\"\\u12g4\"", "inf",   "1e",      "{\"a\":1 \"b\":2}",
    };
    assert_true(json_is_valid(" {\"a\\u00e9\\n\":[1,-2.5e+3,{},[],null,true,\"\"]}\n"));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (json_is_valid(wrong[i]))
            fail_msg("%s passes for JSON", wrong[i]);
    }
}

static void json_tells_the_totals(void **state)
{
    struct fixture *fixture = *state;
    employ_some(fixture->board);
    const char *text = json(fixture, 0);
    expect_json_part(text, "\"state\":\"serving\"");
    expect_json_part(text, "\"workers_wanted\":3");
    expect_json_part(text, "\"workers_up\":2");
    expect_json_part(text, "\"cpu_limit_cores\":null");
    expect_json_part(text, "\"total\":6");
    expect_json_part(text, "\"200\":4");
    expect_json_part(text, "\"other\":1");
    expect_json_part(text, "\"signal\":4");
}

static void json_lists_workers_from_1_and_only_those_with_a_process(void **state)
{
    struct fixture *fixture = *state;
    employ_some(fixture->board);
    const char *text = json(fixture, 0);
    expect_json_part(text, "{\"worker\":1,\"pid\":1001,\"state\":\"idle\",\"requests\":2,");
    expect_json_part(text, "{\"worker\":2,\"pid\":1002,\"state\":\"busy\",\"requests\":2,");
    expect_json_part(text, "{\"worker\":4,\"pid\":1004,\"state\":\"starting\",\"requests\":0,");
    assert_null(strstr(text, "\"worker\":3"));
}

static void json_tells_how_long_a_worker_has_been_busy(void **state)
{
    struct fixture *fixture = *state;
    struct slot *slot = employ(fixture->board, 0, 1001, SLOT_BUSY);
    atomic_store(&slot->busy_since_ns, 5 * CLOCK_NS_PER_S);
    expect_json_part(json(fixture, 5 * CLOCK_NS_PER_S + 1234567), "\"busy_us\":1234}");
    /* It may have begun after the reader took the time. */
    expect_json_part(json(fixture, 5 * CLOCK_NS_PER_S - 1), "\"busy_us\":0}");
    atomic_store(&slot->busy_since_ns, 0);
    expect_json_part(json(fixture, 5 * CLOCK_NS_PER_S), "\"busy_us\":0}");
}

static void json_names_each_phase(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&fixture->board->master.phase, PHASE_STARTING);
    expect_json_part(json(fixture, 0), "\"state\":\"starting\"");
    atomic_store(&fixture->board->master.phase, PHASE_DRAINING);
    expect_json_part(json(fixture, 0), "\"state\":\"draining\"");
}

#define WITH_A_BOARD(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_BOARD(every_name_has_one_help_and_one_type_before_it),
        WITH_A_BOARD(every_line_is_a_comment_or_a_sample),
        WITH_A_BOARD(no_series_comes_twice),
        WITH_A_BOARD(counters_add_up_over_all_slots_even_those_whose_worker_left),
        WITH_A_BOARD(each_status_of_the_table_is_counted_by_its_own_code),
        WITH_A_BOARD(buckets_are_cumulative_and_the_last_equals_the_count),
        WITH_A_BOARD(a_duration_is_in_the_first_bucket_that_is_not_below_it),
        WITH_A_BOARD(a_duration_equal_to_a_bound_is_within_it),
        WITH_A_BOARD(workers_are_counted_by_state_and_a_slot_without_pid_is_empty),
        WITH_A_BOARD(a_state_that_does_not_exist_counts_as_empty),
        WITH_A_BOARD(the_admin_worker_is_not_counted),
        WITH_A_BOARD(what_the_acceptor_answers_counts_but_it_is_no_worker),
        WITH_A_BOARD(what_is_open_waits_and_is_kept_is_told),
        WITH_A_BOARD(the_cpu_limit_is_in_cores_and_absent_without_one),
        WITH_A_BOARD(an_empty_scoreboard_is_all_zeros),
        WITH_A_BOARD(counters_of_every_size_are_written_in_full),
        WITH_A_BOARD(json_is_valid_for_any_scoreboard),
        cmocka_unit_test(the_check_for_json_finds_mistakes),
        WITH_A_BOARD(json_tells_the_totals),
        WITH_A_BOARD(json_lists_workers_from_1_and_only_those_with_a_process),
        WITH_A_BOARD(json_tells_how_long_a_worker_has_been_busy),
        WITH_A_BOARD(json_names_each_phase),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
