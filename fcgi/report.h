/* report: what a pool says of itself at /status?json, asked for and put into words: one answer for a script or a person. */
#ifndef FIBCGI_REPORT_H
#define FIBCGI_REPORT_H

#include <stdio.h>

#include "document.h"

#define REPORT_ADDRESS_MAX 160

/* How a pool is, and the exit status of fibcgi status: what monitoring plugins use. */
enum report_health {
    REPORT_FINE = 0, /* serving */
    REPORT_STRAINED, /* starting, saturated or draining */
    REPORT_OUT,      /* no worker is up, or no answer came */
};

/* Durations in microseconds; a number below 0 is not known. */
struct report {
    char state[16];
    char version[16];
    double time, uptime_seconds, state_seconds;
    double workers_up, workers_wanted, workers_busy;
    double requests_per_second, errors_per_second, requests;
    double p50_us, p95_us, p99_us;
    double queue_depth, queue_capacity, queue_wait_us;
    double cpu_limit_cores, cpu_cores, throttled_ratio;
    double restarts;
    struct document history, workers, events; /* in the answer */
};

/* Asks a pool's admin socket: "unix:/path", "tcp:127.0.0.1:9000", or over HTTP "http://127.0.0.1:9180". Returns 0, with the answer's
 * text in *answer, which the caller frees, and the report points into; or -1 with errno: of the connection, EAGAIN where
 * timeout_ms passed, EPROTO where what came back is no report. */
int report_ask(struct report *report, const char *address, unsigned timeout_ms, char **answer);

/* The same from a text. Returns 0, or -1 with errno EPROTO. */
int report_read(struct report *report, const char *text, size_t length);

enum report_health report_health(const struct report *report);

/* Writes it for people: the first line says it all. */
void report_print(const struct report *report, const char *address, FILE *out);

/* Writes that there was no answer, and why (errno). */
void report_print_none(const char *address, int error, bool as_json, FILE *out);

#define REPORT_WORD_MAX 24
/* Write a figure with its unit, "-" where it is not known; return text. */
const char *report_time(char text[static REPORT_WORD_MAX], double us);
const char *report_span(char text[static REPORT_WORD_MAX], double seconds);
const char *report_size(char text[static REPORT_WORD_MAX], double bytes);
/* With so many decimal places where it is small; unit: "" or such as "%". */
const char *report_number(char text[static REPORT_WORD_MAX], double number, int places, const char *unit);

#endif
