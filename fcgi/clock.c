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

void clock_stamp(char stamp[static CLOCK_STAMP_SIZE])
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t length = strftime(stamp, CLOCK_STAMP_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + length, CLOCK_STAMP_SIZE - length, ".%03uZ", (unsigned)(now.tv_nsec / 1000000) % 1000U);
}

void clock_date(char date[static CLOCK_DATE_SIZE])
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, CLOCK_DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &utc);
}
