/* metrics: the scoreboard as Prometheus text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "body.h"
#include "metrics.h"

#define NAME_MAX_LENGTH 128

static const char *prometheus(struct fixture *fixture)
{
    fixture->response.body_length = 0;
    metrics_write(fixture->board, METRICS_TEXT, &fixture->response);
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
        if (strncmp(at, "\",application=\"compute\"}", 24) == 0)
            at += 22;
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
    assert_int_equal(buckets, 16);
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
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"1.0\"}", 5);
    expect_sample(text, "fibcgi_request_duration_seconds_bucket{le=\"10.0\"}", 5);
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
    assert_int_equal(scoreboard_workers_up(fixture->board), 3);
}

static void a_state_that_does_not_exist_counts_as_empty(void **state)
{
    struct fixture *fixture = *state;
    struct slot *slot = employ(fixture->board, 0, 1001, SLOT_IDLE);
    atomic_store(&slot->state, 12345);
    expect_sample(prometheus(fixture), "fibcgi_workers{state=\"idle\"}", 0);
    assert_int_equal(scoreboard_workers_up(fixture->board), 0);
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
    assert_int_equal(scoreboard_workers_up(board), 1);
}

static void what_the_acceptor_answers_counts_but_it_is_no_worker(void **state)
{
    struct fixture *fixture = *state;
    struct scoreboard *board = fixture->board;
    struct slot *acceptor = &board->slots[SCOREBOARD_ACCEPTOR];
    employ_some(board);
    board->master.has_acceptor = true;
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
    assert_int_equal(scoreboard_workers_up(board), 2);
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

static void what_the_kernel_does_not_tell_is_absent(void **state)
{
    struct fixture *fixture = *state;
    struct scoreboard_master *master = &fixture->board->master;
    atomic_store(&master->queue_depth, HISTORY_NONE);
    atomic_store(&master->queue_capacity, HISTORY_NONE);
    const char *text = prometheus(fixture);
    assert_null(strstr(text, "fibcgi_queue_depth"));
    assert_null(strstr(text, "fibcgi_queue_capacity"));
    assert_null(strstr(text, "fibcgi_cgroup_"));
    atomic_store(&master->queue_depth, 40);
    atomic_store(&master->connections_waiting, 2);
    atomic_store(&master->queue_capacity, 8192);
    atomic_store(&master->cgroup.has_throttling, 1);
    atomic_store(&master->cgroup.throttled_us, 2500000);
    atomic_store(&master->cgroup.has_pressure, 1);
    atomic_store(&master->cgroup.cpu_waiting_us, 1);
    text = prometheus(fixture);
    expect_sample(text, "fibcgi_queue_depth", 42);
    expect_sample(text, "fibcgi_queue_capacity", 8192);
    expect_sample(text, "fibcgi_cgroup_cpu_throttled_seconds_total", 2.5);
    expect_sample(text, "fibcgi_cgroup_pressure_cpu_waiting_seconds_total", 0.000001);
}

static void waits_in_the_kernels_queue_and_in_our_own_are_one_histogram(void **state)
{
    struct fixture *fixture = *state;
    struct slot *slot = employ(fixture->board, 0, 1, SLOT_IDLE);
    times_add(&fixture->board->master.waits, 100 * CLOCK_NS_PER_MS, 3);
    times_add(&slot->waits, 20 * CLOCK_NS_PER_S, 1);
    const char *text = prometheus(fixture);
    expect_sample(text, "fibcgi_queue_wait_seconds_bucket{le=\"0.05\"}", 0);
    expect_sample(text, "fibcgi_queue_wait_seconds_bucket{le=\"0.1\"}", 3);
    expect_sample(text, "fibcgi_queue_wait_seconds_bucket{le=\"25.0\"}", 4);
    expect_sample(text, "fibcgi_queue_wait_seconds_sum", 20.3);
}

static void exactly_one_state_holds(void **state)
{
    struct fixture *fixture = *state;
    struct scoreboard *board = fixture->board;
    expect_sample(prometheus(fixture), "fibcgi_state{state=\"starting\"}", 1);
    atomic_store(&board->master.phase, PHASE_SERVING);
    expect_sample(prometheus(fixture), "fibcgi_state{state=\"no-worker\"}", 1);
    employ(board, 0, 1, SLOT_IDLE);
    expect_sample(prometheus(fixture), "fibcgi_state{state=\"serving\"}", 1);
    expect_sample(prometheus(fixture), "fibcgi_state{state=\"no-worker\"}", 0);
    atomic_store(&board->master.now.is_saturated, 1);
    expect_sample(prometheus(fixture), "fibcgi_state{state=\"saturated\"}", 1);
    atomic_store(&board->master.phase, PHASE_DRAINING);
    expect_sample(prometheus(fixture), "fibcgi_state{state=\"draining\"}", 1);
    expect_sample(prometheus(fixture), "fibcgi_state{state=\"saturated\"}", 0);
}

static void openmetrics_is_for_those_who_ask_for_it(void **state)
{
    (void)state;
    assert_int_equal(metrics_format_for(NULL), METRICS_TEXT);
    assert_int_equal(metrics_format_for("*/*"), METRICS_TEXT);
    assert_int_equal(metrics_format_for("text/plain;version=0.0.4"), METRICS_TEXT);
    assert_int_equal(metrics_format_for("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
                     METRICS_OPENMETRICS);
    assert_int_equal(metrics_format_for("text/plain,application/openmetrics-text;q=0"), METRICS_TEXT);
}

static void openmetrics_names_counters_without_their_suffix_and_marks_the_end(void **state)
{
    struct fixture *fixture = *state;
    employ_some(fixture->board);
    metrics_write(fixture->board, METRICS_OPENMETRICS, &fixture->response);
    const char *text = body_text(&fixture->response);
    assert_int_equal(count_lines_that_start(text, "# TYPE fibcgi_requests counter"), 1);
    expect_sample(text, "fibcgi_requests_total{code=\"200\"}", 4);
    assert_string_equal(text + strlen(text) - strlen("\n# EOF\n"), "\n# EOF\n");
    assert_non_null(strstr(fixture->response.content_type, "application/openmetrics-text"));
}

static void an_empty_scoreboard_is_all_zeros(void **state)
{
    struct fixture *fixture = *state;
    const char *text = prometheus(fixture);
    expect_sample(text, "fibcgi_request_duration_seconds_count", 0);
    expect_sample(text, "fibcgi_request_duration_seconds_sum", 0);
    expect_sample(text, "fibcgi_requests_total{code=\"200\"}", 0);
    assert_int_equal(scoreboard_workers_up(fixture->board), 0);
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
        WITH_A_BOARD(what_the_kernel_does_not_tell_is_absent),
        WITH_A_BOARD(waits_in_the_kernels_queue_and_in_our_own_are_one_histogram),
        WITH_A_BOARD(exactly_one_state_holds),
        cmocka_unit_test(openmetrics_is_for_those_who_ask_for_it),
        WITH_A_BOARD(openmetrics_names_counters_without_their_suffix_and_marks_the_end),
        WITH_A_BOARD(counters_of_every_size_are_written_in_full),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
