/* status: the scoreboard as JSON. */
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
#include "json.h"
#include "page.h"
#include "status.h"

static const char *json(struct fixture *fixture, uint64_t now_ns)
{
    fixture->response.body_length = 0;
    status_write(fixture->board, 0, now_ns, &fixture->response);
    return body_text(&fixture->response);
}

static void expect_json_part(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("%s is not in %s", part, text);
}

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
    expect_json_part(json(fixture, 5 * CLOCK_NS_PER_S + 1234567), "\"busy_us\":1234,");
    /* It may have begun after the reader took the time. */
    expect_json_part(json(fixture, 5 * CLOCK_NS_PER_S - 1), "\"busy_us\":0,");
    atomic_store(&slot->busy_since_ns, 0);
    expect_json_part(json(fixture, 5 * CLOCK_NS_PER_S), "\"busy_us\":0,");
}

static void json_names_each_phase(void **state)
{
    struct fixture *fixture = *state;
    atomic_store(&fixture->board->master.phase, PHASE_STARTING);
    expect_json_part(json(fixture, 0), "\"state\":\"starting\"");
    atomic_store(&fixture->board->master.phase, PHASE_DRAINING);
    expect_json_part(json(fixture, 0), "\"state\":\"draining\"");
}

static void json_counts_what_the_acceptor_answers_and_does_not_list_it(void **state)
{
    struct fixture *fixture = *state;
    struct scoreboard *board = fixture->board;
    employ_some(board);
    board->master.has_acceptor = true;
    atomic_store(&board->master.pids[SCOREBOARD_ACCEPTOR], 1005);
    slot_count_request(&board->slots[SCOREBOARD_ACCEPTOR], 503, 10 * CLOCK_NS_PER_US);
    const char *text = json(fixture, 0);
    expect_json_part(text, "\"total\":7");
    expect_json_part(text, "\"503\":1");
    assert_null(strstr(text, "1005"));
}

static void json_tells_what_a_worker_uses_and_why_its_predecessor_left(void **state)
{
    struct fixture *fixture = *state;
    struct watched *watched = &fixture->board->watched[0];
    employ(fixture->board, 0, 1001, SLOT_IDLE);
    atomic_store(&watched->cpu_permille, HISTORY_NONE);
    expect_json_part(json(fixture, 0), "\"cpu_percent\":null,\"rss_bytes\":null,\"restarts\":0,\"last_restart\":null}");
    atomic_store(&watched->started_ns, 1 * CLOCK_NS_PER_S);
    atomic_store(&watched->cpu_ns, 1234567890);
    atomic_store(&watched->cpu_permille, 975);
    atomic_store(&watched->rss_bytes, 1572864);
    atomic_store(&watched->restarts, 2);
    atomic_store(&watched->last_cause, RESTART_SIGNAL + 1);
    atomic_store(&watched->last_detail, 9);
    expect_json_part(json(fixture, 61 * CLOCK_NS_PER_S),
                     "\"age_seconds\":60,\"cpu_seconds\":1.234,\"cpu_percent\":97.5,\"rss_bytes\":1572864,"
                     "\"restarts\":2,\"last_restart\":\"signal 9\"}");
    atomic_store(&watched->last_cause, RESTART_ROLL + 1);
    expect_json_part(json(fixture, 0), "\"last_restart\":\"roll\"}");
}

static void json_has_the_history_behind_a_number(void **state)
{
    struct fixture *fixture = *state;
    uint32_t values[HISTORY_FIELDS] = {0};
    values[HISTORY_P50_US] = HISTORY_NONE;
    for (uint32_t i = 1; i <= 3; i++) {
        values[HISTORY_REQUESTS] = i * 10;
        history_add(&fixture->board->history, values);
    }
    expect_json_part(json(fixture, 0), "\"history\":{\"last\":3,\"step_seconds\":1,\"requests\":[10,20,30],");
    expect_json_part(json(fixture, 0), "\"p50_us\":[null,null,null],");
    fixture->response.body_length = 0;
    status_write(fixture->board, 2, 0, &fixture->response);
    expect_json_part(body_text(&fixture->response), "\"last\":3,\"step_seconds\":1,\"requests\":[30],");
    fixture->response.body_length = 0;
    status_write(fixture->board, 3, 0, &fixture->response);
    expect_json_part(body_text(&fixture->response), "\"requests\":[],");
}

static void json_has_the_events_and_none_of_them_can_break_it(void **state)
{
    struct fixture *fixture = *state;
    events_note(&fixture->board->events, EVENT_WORKER_DIED, EVENT_WARNING, "worker %u \"quoted\"\n\\", 3U);
    const char *text = json(fixture, 0);
    assert_true(json_is_valid(text));
    expect_json_part(
        text, "\"kind\":\"worker-died\",\"level\":\"warning\",\"text\":\"worker 3 \\\"quoted\\\"\\u000a\\\\\"}]");
}

/* A pool that has been busy for long. */
static void remember_much(struct scoreboard *board)
{
    static const uint32_t values[HISTORY_FIELDS] = {812, 0, 640, 1310, 4520, 98, 121000, 498, 620};
    for (unsigned i = 0; i < 2 * HISTORY_SECONDS; i++)
        history_add(&board->history, values);
    for (unsigned i = 0; i < EVENTS_KEPT; i++)
        events_note(&board->events, EVENT_WORKER_DIED, EVENT_WARNING,
                    "worker 2 (pid %u) was killed by signal 9 (Killed)", i);
}

static void the_page_and_all_that_it_shows_first_weigh_less_than_30_kb(void **state)
{
    struct fixture *fixture = *state;
    employ_some(fixture->board);
    remember_much(fixture->board);
    size_t figures = strlen(json(fixture, 0));
    if (page_html_length + figures >= 30000)
        fail_msg("the page has %zu bytes, its figures %zu", page_html_length, figures);
}

#define WITH_A_BOARD(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_BOARD(json_is_valid_for_any_scoreboard),
        cmocka_unit_test(the_check_for_json_finds_mistakes),
        WITH_A_BOARD(json_tells_the_totals),
        WITH_A_BOARD(json_lists_workers_from_1_and_only_those_with_a_process),
        WITH_A_BOARD(json_tells_how_long_a_worker_has_been_busy),
        WITH_A_BOARD(json_names_each_phase),
        WITH_A_BOARD(json_counts_what_the_acceptor_answers_and_does_not_list_it),
        WITH_A_BOARD(json_tells_what_a_worker_uses_and_why_its_predecessor_left),
        WITH_A_BOARD(json_has_the_history_behind_a_number),
        WITH_A_BOARD(the_page_and_all_that_it_shows_first_weigh_less_than_30_kb),
        WITH_A_BOARD(json_has_the_events_and_none_of_them_can_break_it),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
