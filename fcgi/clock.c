#include "clock.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

uint64_t clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CLOCK_NS_PER_S + (uint64_t)now.tv_nsec;
}

int clock_ms_until(uint64_t deadline_ns, uint64_t now_ns)
{
    if (deadline_ns <= now_ns)
        return 0;
    uint64_t left_ms = (deadline_ns - now_ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

double clock_wall_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / (double)CLOCK_NS_PER_S;
}

static unsigned days_in_year(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 366 : 365;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 1 && days_in_year(year) == 366 ? 29 : days[month];
}

/* gmtime_r(3) reads TZ and /etc/localtime, which UTC has no need of and a worker may not open, and with them come 100 KB of
 * the C library into the static program. */
void clock_write_stamp(char stamp[static CLOCK_STAMP_SIZE], uint64_t seconds, unsigned ms)
{
    unsigned year = 1970, month = 0;
    unsigned day = (unsigned)(seconds / 86400), second = (unsigned)(seconds % 86400);
    for (; day >= days_in_year(year); year++)
        day -= days_in_year(year);
    for (; day >= days_in_month(year, month); month++)
        day -= days_in_month(year, month);
    snprintf(stamp, CLOCK_STAMP_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year % 10000, month + 1, day + 1,
             second / 3600 % 24, second / 60 % 60, second % 60, ms % 1000);
}

void clock_stamp(char stamp[static CLOCK_STAMP_SIZE])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_write_stamp(stamp, (uint64_t)now.tv_sec, (unsigned)(now.tv_nsec / 1000000));
}

void clock_date(char date[static CLOCK_DATE_SIZE])
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, CLOCK_DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &utc);
}
