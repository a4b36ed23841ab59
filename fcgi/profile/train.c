/* Runs fib once, built to record a profile; see the Makefile. */
#include "../fib.h"

int main(void)
{
    volatile unsigned n = 30; /* not known when this is compiled */
    volatile uint64_t result = fib(n);
    return result == 832040 ? 0 : 1;
}
