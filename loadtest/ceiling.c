/* ceiling: what the CPU can do at best: fib(30) in a loop, in as many processes as asked for, for so many seconds.
 * Usage: ceiling SECONDS PROCESSES; prints the computations a second of all together. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fib.h"

#define PROCESSES_MAX 64

static double measure(double seconds)
{
    uint64_t start_ns = clock_now_ns(), end_ns = start_ns + (uint64_t)(seconds * 1e9), now_ns = start_ns, count = 0;
    volatile unsigned n = 30; /* not known when this is compiled */
    volatile uint64_t result;
    while (now_ns < end_ns) {
        result = fib(n);
        (void)result;
        count++;
        now_ns = clock_now_ns();
    }
    return (double)count * 1e9 / (double)(now_ns - start_ns);
}

int main(int argc, char **argv)
{
    int results[2];
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0, total = 0, one;
    long processes = argc > 2 ? strtol(argv[2], NULL, 10) : 1;
    if (seconds <= 0 || processes < 1 || processes > PROCESSES_MAX || pipe(results) != 0) {
        fprintf(stderr, "usage: ceiling SECONDS PROCESSES (at most %d)\n", PROCESSES_MAX);
        return 100;
    }
    for (long i = 0; i < processes; i++) {
        if (fork() == 0) {
            one = measure(seconds);
            _exit(write(results[1], &one, sizeof(one)) == (ssize_t)sizeof(one) ? 0 : 1);
        }
    }
    for (long i = 0; i < processes && read(results[0], &one, sizeof(one)) == (ssize_t)sizeof(one); i++)
        total += one;
    while (wait(NULL) > 0)
        ;
    printf("%.3f\n", total);
    return 0;
}
