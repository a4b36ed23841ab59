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

uint64_t clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / CLOCK_NS_PER_MS;
}

/* How the kernel numbers the clock of a process (clock_getcpuclockid(3) asks whether there is one first, which is one call more). */
static clockid_t cpu_clock_of(pid_t pid)
{
    return (clockid_t)(~(unsigned)pid << 3 | 2);
}

uint64_t clock_cpu_ns(pid_t pid)
{
    struct timespec used;
    if (clock_gettime(cpu_clock_of(pid), &used) != 0)
        return 0;
    return (uint64_t)used.tv_sec * CLOCK_NS_PER_S + (uint64_t)used.tv_nsec;
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

struct date {
    unsigned year, month, day; /* month and day from 0 */
    unsigned hour, minute, second;
    unsigned weekday; /* from Sunday, 0 */
};

/* gmtime_r(3) reads TZ and /etc/localtime, which UTC has no need of and a worker may not open, and with them come 100 KB of
 * the C library into the static program. */
static struct date date_of(uint64_t seconds)
{
    unsigned days = (unsigned)(seconds / 86400), second = (unsigned)(seconds % 86400);
    struct date date = {.year = 1970,
                        .hour = second / 3600,
                        .minute = second / 60 % 60,
                        .second = second % 60,
                        .weekday = (days + 4) % 7};
    for (; days >= days_in_year(date.year); date.year++)
        days -= days_in_year(date.year);
    for (; days >= days_in_month(date.year, date.month); date.month++)
        days -= days_in_month(date.year, date.month);
    date.day = days;
    return date;
}

void clock_write_stamp(char stamp[static CLOCK_STAMP_SIZE], uint64_t seconds, unsigned ms)
{
    struct date date = date_of(seconds);
    snprintf(stamp, CLOCK_STAMP_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", date.year % 10000, date.month + 1,
             date.day + 1, date.hour % 24, date.minute, date.second, ms % 1000);
}

void clock_stamp(char stamp[static CLOCK_STAMP_SIZE])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_write_stamp(stamp, (uint64_t)now.tv_sec, (unsigned)(now.tv_nsec / 1000000));
}

void clock_write_date(char date[static CLOCK_DATE_SIZE], uint64_t seconds)
{
    static const char weekdays[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct date at = date_of(seconds);
    snprintf(date, CLOCK_DATE_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT", weekdays[at.weekday], (at.day + 1) % 100,
             months[at.month], at.year % 10000, at.hour % 24, at.minute, at.second);
}

void clock_date(char date[static CLOCK_DATE_SIZE])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_write_date(date, (uint64_t)now.tv_sec);
}
