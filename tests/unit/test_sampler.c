/* sampler: what is made of the counters once a second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "sampler.h"

static struct scoreboard *board;
static struct queue queue;
static struct sampler sampler;
static struct cgroup_cpu cpu;
static uint64_t now_ns;

static int make(void **state)
{
    (void)state;
    board = scoreboard_create();
    if (board == NULL)
        return -1;
    now_ns = clock_now_ns();
    cpu = (struct cgroup_cpu){.limit_millicpu = 500};
    queue_init(&queue, board, NULL, 0);
    sampler_init(&sampler, board, &queue, &cpu, now_ns);
    atomic_store(&board->master.slots_used, 1);
    atomic_store(&board->master.pids[0], getpid());
    atomic_store(&board->master.phase, PHASE_SERVING);
    slot_set_state(&board->slots[0], SLOT_IDLE);
    watch_begin(board, 0, now_ns);
    return 0;
}

static int drop(void **state)
{
    (void)state;
    return munmap(board, sizeof(*board));
}

static void a_second_passes(void)
{
    now_ns += CLOCK_NS_PER_S;
    assert_int_equal(sampler_tick(&sampler, &cpu, now_ns), now_ns + CLOCK_NS_PER_S);
}

static void serve(unsigned requests, int status, uint64_t duration_ns)
{
    for (unsigned i = 0; i < requests; i++)
        slot_count_request(&board->slots[0], status, duration_ns);
}

static uint32_t last(enum history_field field)
{
    return history_value(&board->history, atomic_load(&board->history.last), field);
}

static void each_second_has_its_own_sample(void **state)
{
    (void)state;
    serve(80, 200, 700 * CLOCK_NS_PER_US);
    serve(20, 500, 30 * CLOCK_NS_PER_MS);
    a_second_passes();
    assert_int_equal(last(HISTORY_REQUESTS), 100);
    assert_int_equal(last(HISTORY_ERRORS), 20);
    assert_in_range(last(HISTORY_P50_US), 630, 710);
    assert_in_range(last(HISTORY_P95_US), 28000, 31500);
    a_second_passes();
    assert_int_equal(last(HISTORY_REQUESTS), 0);
    assert_int_equal(last(HISTORY_P50_US), HISTORY_NONE);
    assert_int_equal(atomic_load(&board->history.last), 2);
}

static void now_is_the_last_ten_seconds(void **state)
{
    (void)state;
    struct scoreboard_now *now = &board->master.now;
    serve(100, 200, 700 * CLOCK_NS_PER_US);
    a_second_passes();
    assert_int_equal(atomic_load(&now->requests_milli), 100000);
    for (int i = 0; i < 9; i++)
        a_second_passes();
    assert_int_equal(atomic_load(&now->requests_milli), 10000);
    assert_in_range(atomic_load(&now->duration_us[QUANTILE_99]), 630, 710);
    a_second_passes();
    assert_int_equal(atomic_load(&now->requests_milli), 0);
    assert_int_equal(atomic_load(&now->duration_us[QUANTILE_99]), HISTORY_NONE);
}

static void nothing_is_done_before_its_time(void **state)
{
    (void)state;
    assert_int_equal(sampler_tick(&sampler, &cpu, now_ns + CLOCK_NS_PER_S / 2), now_ns + CLOCK_NS_PER_S);
    assert_int_equal(atomic_load(&board->history.last), 0);
}

static void a_pause_is_spread_over_its_seconds(void **state)
{
    (void)state;
    serve(300, 200, CLOCK_NS_PER_MS);
    now_ns += 3 * CLOCK_NS_PER_S;
    assert_int_equal(sampler_tick(&sampler, &cpu, now_ns), now_ns + CLOCK_NS_PER_S);
    assert_int_equal(atomic_load(&board->history.last), 3);
    assert_int_equal(history_value(&board->history, 1, HISTORY_REQUESTS), 100);
    assert_int_equal(last(HISTORY_REQUESTS), 100);
    assert_int_equal(atomic_load(&board->master.now.requests_milli), 100000);
}

static void throttling_is_the_share_of_the_periods(void **state)
{
    (void)state;
    a_second_passes();
    assert_int_equal(last(HISTORY_THROTTLED_PERMILLE), HISTORY_NONE);
    cpu = (struct cgroup_cpu){.limit_millicpu = 500, .has_throttling = true, .periods = 10, .throttled_periods = 4};
    a_second_passes();
    assert_int_equal(last(HISTORY_THROTTLED_PERMILLE), 400);
    a_second_passes();
    assert_int_equal(last(HISTORY_THROTTLED_PERMILLE), 0);
    /* Another cgroup. */
    cpu.periods = cpu.throttled_periods = 1;
    a_second_passes();
    assert_int_equal(last(HISTORY_THROTTLED_PERMILLE), 0);
}

static void see_waiting(uint32_t depth)
{
    const struct queue_counts counts = {0};
    queue_note(&queue, &counts, depth, now_ns);
    queue_begin_second(&queue);
    a_second_passes();
}

static void who_is_never_without_somebody_waiting_is_saturated(void **state)
{
    (void)state;
    struct event event;
    for (int i = 0; i < SAMPLER_PATIENCE_S; i++) {
        assert_int_equal(scoreboard_pool_state(board), STATE_SERVING);
        see_waiting(4);
    }
    assert_int_equal(scoreboard_pool_state(board), STATE_SATURATED);
    assert_int_equal(atomic_load(&board->master.now.state_since_ns), now_ns);
    assert_true(events_read(&board->events, 1, &event));
    assert_int_equal(event.kind, EVENT_SATURATED);
    for (int i = 0; i < SAMPLER_PATIENCE_S; i++) {
        assert_int_equal(scoreboard_pool_state(board), STATE_SATURATED);
        see_waiting(0);
    }
    assert_int_equal(scoreboard_pool_state(board), STATE_SERVING);
    assert_true(events_read(&board->events, 2, &event));
    assert_int_equal(event.kind, EVENT_RELIEVED);
}

static void an_empty_queue_in_between_is_no_saturation(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        see_waiting(4);
        see_waiting(4);
        see_waiting(0);
    }
    assert_int_equal(scoreboard_pool_state(board), STATE_SERVING);
}

static void where_the_queue_cannot_be_asked_busy_workers_tell(void **state)
{
    (void)state;
    slot_set_state(&board->slots[0], SLOT_BUSY);
    for (int i = 0; i < SAMPLER_PATIENCE_S; i++)
        see_waiting(HISTORY_NONE);
    assert_int_equal(scoreboard_pool_state(board), STATE_SATURATED);
}

static void a_process_is_seen_to_use_cpu_and_memory(void **state)
{
    (void)state;
    struct watched *watched = &board->watched[0];
    uint64_t begun_ns = clock_cpu_ns(0);
    while (clock_cpu_ns(0) - begun_ns < 20 * CLOCK_NS_PER_MS)
        continue;
    a_second_passes();
    assert_true(counter_read(&watched->cpu_ns) >= 10 * CLOCK_NS_PER_MS);
    assert_true(counter_read(&watched->rss_bytes) > 100000);
    assert_true(atomic_load(&watched->cpu_permille) <= 4000);
    assert_true(counter_read(&board->master.cpu_ns) >= 10 * CLOCK_NS_PER_MS);
}

static void what_a_process_used_before_its_end_is_not_lost(void **state)
{
    (void)state;
    a_second_passes();
    uint64_t before_ns = counter_read(&board->master.cpu_ns), seen_ns = counter_read(&board->watched[0].cpu_ns);
    watch_end(board, 0, seen_ns + 5 * CLOCK_NS_PER_MS);
    assert_int_equal(counter_read(&board->master.cpu_ns), before_ns + 5 * CLOCK_NS_PER_MS);
    watch_begin(board, 0, now_ns);
    assert_int_equal(counter_read(&board->watched[0].cpu_ns), 0);
}

#define WITH_A_SAMPLER(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_SAMPLER(each_second_has_its_own_sample),
        WITH_A_SAMPLER(now_is_the_last_ten_seconds),
        WITH_A_SAMPLER(nothing_is_done_before_its_time),
        WITH_A_SAMPLER(a_pause_is_spread_over_its_seconds),
        WITH_A_SAMPLER(throttling_is_the_share_of_the_periods),
        WITH_A_SAMPLER(who_is_never_without_somebody_waiting_is_saturated),
        WITH_A_SAMPLER(an_empty_queue_in_between_is_no_saturation),
        WITH_A_SAMPLER(where_the_queue_cannot_be_asked_busy_workers_tell),
        WITH_A_SAMPLER(a_process_is_seen_to_use_cpu_and_memory),
        WITH_A_SAMPLER(what_a_process_used_before_its_end_is_not_lost),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
