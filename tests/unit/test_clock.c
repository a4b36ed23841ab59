#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "clock.h"

/* What the C library makes of it. */
static void expect_as_libc(time_t seconds)
{
    char stamp[CLOCK_STAMP_SIZE], date[CLOCK_DATE_SIZE], expected[CLOCK_STAMP_SIZE];
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.007Z", &utc);
    clock_write_stamp(stamp, (uint64_t)seconds, 7);
    assert_string_equal(stamp, expected);
    strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    clock_write_date(date, (uint64_t)seconds);
    assert_string_equal(date, expected);
}

static void stamps_are_what_the_c_library_makes_of_every_day_until_2400(void **state)
{
    (void)state;
    for (time_t day = 0; day < 157000; day++)
        expect_as_libc(day * 86400 + day * 7919 % 86400);
}

static void stamps_are_right_on_both_sides_of_leap_days_and_of_the_end_of_a_year(void **state)
{
    (void)state;
    const time_t edges[] = {0,          68169600,   951782400,  951868800,   1709164800,
                            1709251200, 1735689600, 4107542400, 253402300799};
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        expect_as_libc(edges[i]);
        if (edges[i] > 0)
            expect_as_libc(edges[i] - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps_are_what_the_c_library_makes_of_every_day_until_2400),
        cmocka_unit_test(stamps_are_right_on_both_sides_of_leap_days_and_of_the_end_of_a_year),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
