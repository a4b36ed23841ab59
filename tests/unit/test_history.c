/* history and events: what is kept of the past, and what is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "events.h"
#include "history.h"

static void add(struct history *history, uint32_t requests)
{
    uint32_t values[HISTORY_FIELDS] = {[HISTORY_REQUESTS] = requests};
    history_add(history, values);
}

static void an_empty_history_has_no_first(void **state)
{
    (void)state;
    const struct history history = {0};
    assert_true(history_first(&history, 0) > history.last);
}

static void the_last_seconds_are_kept_and_older_ones_forgotten(void **state)
{
    (void)state;
    static struct history history;
    for (uint32_t i = 1; i <= 3 * HISTORY_SECONDS; i++) {
        add(&history, i);
        uint64_t first = history_first(&history, 0);
        assert_int_equal(first, i > HISTORY_SECONDS ? i - HISTORY_SECONDS + 1 : 1);
        assert_int_equal(history_value(&history, first, HISTORY_REQUESTS), first);
        assert_int_equal(history_value(&history, i, HISTORY_REQUESTS), i);
    }
}

static void what_somebody_has_already_is_left_out(void **state)
{
    (void)state;
    static struct history history;
    for (uint32_t i = 1; i <= 2 * HISTORY_SECONDS; i++)
        add(&history, i);
    uint64_t last = 2 * HISTORY_SECONDS, oldest = HISTORY_SECONDS + 1;
    assert_int_equal(history_first(&history, last - 2), last - 1);
    assert_int_equal(history_first(&history, last), last + 1);
    assert_int_equal(history_first(&history, 3), oldest);
    /* Of another pool, which was here before. */
    assert_int_equal(history_first(&history, last + 100), oldest);
    assert_int_equal(history_first(&history, UINT64_MAX), oldest);
}

static void the_last_events_are_kept_in_their_order(void **state)
{
    (void)state;
    static struct events events;
    struct event event;
    assert_true(events_first(&events) > events.last);
    for (unsigned i = 1; i <= 3 * EVENTS_KEPT; i++)
        events_note(&events, EVENT_ROLL, EVENT_INFO, "number %u", i);
    assert_int_equal(events_first(&events), 2 * EVENTS_KEPT + 1);
    assert_false(events_read(&events, 2 * EVENTS_KEPT, &event));
    assert_false(events_read(&events, 3 * EVENTS_KEPT + 1, &event));
    assert_true(events_read(&events, 3 * EVENTS_KEPT, &event));
    assert_string_equal(event.text, "number 60");
    assert_int_equal(event.kind, EVENT_ROLL);
    assert_true(event.wall_ms > 1700000000000);
}

static void an_event_that_is_too_long_is_cut(void **state)
{
    (void)state;
    static struct events events;
    struct event event;
    events_note(&events, EVENT_STOP, EVENT_ERROR, "%0500d", 1);
    assert_true(events_read(&events, 1, &event));
    assert_int_equal(strlen(event.text), EVENT_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_history_has_no_first),
        cmocka_unit_test(the_last_seconds_are_kept_and_older_ones_forgotten),
        cmocka_unit_test(what_somebody_has_already_is_left_out),
        cmocka_unit_test(the_last_events_are_kept_in_their_order),
        cmocka_unit_test(an_event_that_is_too_long_is_cut),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
