/* fib: the work of the demonstration application, alone in its file so that its compiler flags are its own. */
#ifndef FIBCGI_FIB_H
#define FIBCGI_FIB_H

#include <stdint.h>

/* The largest n whose result fits: fib(93) is 12,200,160,415,121,876,738. */
#define FIB_N_MAX 93

/* The nth Fibonacci number by plain recursion (2·F(n+1)−1 calls); n from 0 to FIB_N_MAX. Time grows 1.618-fold with
 * each n. Nothing is remembered between calls or within one. */
uint64_t fib(unsigned n);

#endif
