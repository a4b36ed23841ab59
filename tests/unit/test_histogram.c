/* histogram: buckets and percentiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock.h"
#include "histogram.h"

static void each_bound_is_the_last_time_of_its_bucket(void **state)
{
    (void)state;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        uint64_t bound_ns = histogram_bound_ns(i);
        assert_int_equal(histogram_bucket(bound_ns), i);
        assert_int_equal(histogram_bucket(bound_ns + 1), i + 1);
    }
}

static void no_bucket_is_wider_than_an_eighth(void **state)
{
    (void)state;
    for (size_t i = 1; i < HISTOGRAM_BUCKETS - 1; i++) {
        uint64_t low_ns = histogram_bound_ns(i - 1), high_ns = histogram_bound_ns(i);
        assert_true(low_ns < high_ns);
        assert_true((high_ns - low_ns) * 8 <= high_ns);
    }
}

static void times_beyond_the_bounds_have_a_bucket(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket(0), 0);
    assert_int_equal(histogram_bucket(101 * CLOCK_NS_PER_S), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    assert_int_equal(histogram_bound_ns(HISTOGRAM_BUCKETS - 1), 100 * CLOCK_NS_PER_S);
}

static void one_two_and_a_half_and_five_are_bounds(void **state)
{
    (void)state;
    assert_int_equal(histogram_bound_ns(HISTOGRAM_AT(0, HISTOGRAM_1)), 10 * CLOCK_NS_PER_US);
    assert_int_equal(histogram_bound_ns(HISTOGRAM_AT(1, HISTOGRAM_2_5)), 250 * CLOCK_NS_PER_US);
    assert_int_equal(histogram_bound_ns(HISTOGRAM_AT(4, HISTOGRAM_5)), 500 * CLOCK_NS_PER_MS);
    assert_int_equal(histogram_bound_ns(HISTOGRAM_AT(7, HISTOGRAM_1)), 100 * CLOCK_NS_PER_S);
}

static void percentiles_are_within_a_bucket_of_the_truth(void **state)
{
    (void)state;
    uint32_t counts[HISTOGRAM_BUCKETS] = {0};
    static const double shares[] = {0.01, 0.25, 0.5, 0.95, 0.99, 1};
    for (uint64_t us = 1; us <= 100000; us++)
        counts[histogram_bucket(us * CLOCK_NS_PER_US)]++;
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        double found_us = (double)histogram_quantile_ns(counts, shares[i]) / 1e3, true_us = shares[i] * 100000;
        if (found_us < true_us * 0.88 || found_us > true_us * 1.12)
            fail_msg("the %g quantile is %g, not %g", shares[i], found_us, true_us);
    }
}

static void of_nothing_there_is_no_percentile(void **state)
{
    (void)state;
    const uint32_t counts[HISTOGRAM_BUCKETS] = {0};
    assert_int_equal(histogram_quantile_ns(counts, 0.5), 0);
}

static void what_has_no_bound_counts_as_the_last_one(void **state)
{
    (void)state;
    uint32_t counts[HISTOGRAM_BUCKETS] = {0};
    counts[HISTOGRAM_BUCKETS - 1] = 5;
    assert_int_equal(histogram_quantile_ns(counts, 0.5), 100 * CLOCK_NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bound_is_the_last_time_of_its_bucket),
        cmocka_unit_test(no_bucket_is_wider_than_an_eighth),
        cmocka_unit_test(times_beyond_the_bounds_have_a_bucket),
        cmocka_unit_test(one_two_and_a_half_and_five_are_bounds),
        cmocka_unit_test(percentiles_are_within_a_bucket_of_the_truth),
        cmocka_unit_test(of_nothing_there_is_no_percentile),
        cmocka_unit_test(what_has_no_bound_counts_as_the_last_one),
    };
    return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
