/* clock: the time, as nanoseconds that only grow and as a text for logs and for HTTP. */
#ifndef FIBCGI_CLOCK_H
#define FIBCGI_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CLOCK_NS_PER_US 1000ULL
#define CLOCK_NS_PER_MS 1000000ULL
#define CLOCK_NS_PER_S 1000000000ULL

/* Nanoseconds since boot (CLOCK_MONOTONIC): the same clock in every process of the pool. */
uint64_t clock_now_ns(void);

/* Milliseconds from now_ns until deadline_ns, rounded up: 0 when it has passed, at most INT_MAX (what poll takes). */
int clock_ms_until(uint64_t deadline_ns, uint64_t now_ns);

/* Milliseconds since 1970, for what people and programs elsewhere are told. */
uint64_t clock_wall_ms(void);

/* The CPU time that a process has used, of which only the pid needs to be known (0: this one); 0 where there is none. */
uint64_t clock_cpu_ns(pid_t pid);

#define CLOCK_STAMP_SIZE 32
/* Writes so many seconds since 1970 (years up to 9999) and ms, 0 to 999, as RFC 3339 in UTC: 24 characters and a NUL. */
void clock_write_stamp(char stamp[static CLOCK_STAMP_SIZE], uint64_t seconds, unsigned ms);
/* Writes the time now in the same form. */
void clock_stamp(char stamp[static CLOCK_STAMP_SIZE]);

#define CLOCK_DATE_SIZE 30
/* Writes so many seconds since 1970 (years up to 9999) as HTTP has it (RFC 9110 §5.6.7): 29 characters and a NUL. */
void clock_write_date(char date[static CLOCK_DATE_SIZE], uint64_t seconds);
/* Writes the time now in the same form. */
void clock_date(char date[static CLOCK_DATE_SIZE]);

#endif
