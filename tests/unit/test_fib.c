/* fib: the right numbers, and the work really done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "clock.h"
#include "fib.h"

static void small_numbers_are_those_of_the_table(void **state)
{
    (void)state;
    static const uint64_t table[] = {0,  1,   1,   2,   3,   5,   8,    13,   21,   34,  55,
                                     89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765};
    for (unsigned n = 0; n <= 20; n++)
        assert_int_equal(fib(n), table[n]);
}

static void thirty_and_forty_give_their_numbers(void **state)
{
    (void)state;
    assert_int_equal(fib(30), 832040);
    assert_int_equal(fib(40), 102334155);
}

static uint64_t process_cpu_ns(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * CLOCK_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* CPU time of fib(n), the best of some runs. */
static double cost_ns(unsigned n, unsigned runs)
{
    uint64_t best_ns = UINT64_MAX;
    volatile uint64_t result;
    for (unsigned i = 0; i < runs; i++) {
        uint64_t start_ns = process_cpu_ns();
        result = fib(n);
        uint64_t cost = process_cpu_ns() - start_ns;
        best_ns = cost < best_ns ? cost : best_ns;
    }
    (void)result;
    return (double)best_ns;
}

/* Eight steps of n cost 1.618⁸ = 47 times more where every call is made. A remembered result, a loop or a formula would
 * cost the same for both. */
static void time_grows_as_the_number_of_calls_does(void **state)
{
    (void)state;
    double growth = 0;
    for (int attempt = 0; attempt < 5; attempt++) {
        double small_ns = cost_ns(26, 40);
        growth = cost_ns(34, 5) / (small_ns > 0 ? small_ns : 1);
        if (growth >= 35 && growth <= 60)
            return;
    }
    fail_msg("fib(34) costs %.1f times as much as fib(26)", growth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_numbers_are_those_of_the_table),
        cmocka_unit_test(thirty_and_forty_give_their_numbers),
        cmocka_unit_test(time_grows_as_the_number_of_calls_does),
    };
    return cmocka_run_group_tests_name("fib", tests, NULL, NULL);
}
