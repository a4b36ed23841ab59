#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "line.h"
#include "probe.h"

#define UNKNOWN (-1.0)
#define PATH "/status?json"

static double number_in(const struct document *object, const char *name)
{
    struct document value = document_member(object, name);
    return document_number(&value, UNKNOWN);
}

static void text_in(const struct document *object, const char *name, char *text, size_t size)
{
    struct document value = document_member(object, name);
    document_text(&value, text, size);
}

/* Adds up the members of an object that are whole numbers of restarts. */
static double sum_restarts(const struct document *all)
{
    static const char *const causes[] = {"exit", "signal", "timeout", "max_requests", "roll"};
    struct document restarts = document_member(all, "restarts");
    double sum = 0;
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        struct document value = document_member(&restarts, causes[i]);
        sum += document_number(&value, 0);
    }
    return sum;
}

static void read_traffic(struct report *report, const struct document *all)
{
    struct document rate = document_member(all, "rate"), requests = document_member(all, "requests");
    struct document latency = document_member(all, "latency_us"), queue = document_member(all, "queue");
    struct document wait = document_member(&queue, "wait_us");
    report->requests_per_second = number_in(&rate, "requests");
    report->errors_per_second = number_in(&rate, "errors");
    report->requests = number_in(&requests, "total");
    report->p50_us = number_in(&latency, "p50");
    report->p95_us = number_in(&latency, "p95");
    report->p99_us = number_in(&latency, "p99");
    report->queue_depth = number_in(&queue, "depth");
    report->queue_capacity = number_in(&queue, "capacity");
    report->queue_wait_us = number_in(&wait, "p95");
}

static void read_cpu(struct report *report, const struct document *all)
{
    struct document cpu = document_member(all, "cpu");
    report->cpu_limit_cores = number_in(all, "cpu_limit_cores");
    report->cpu_cores = number_in(&cpu, "used_cores");
    report->throttled_ratio = number_in(&cpu, "throttled_ratio");
}

int report_read(struct report *report, const char *text, size_t length)
{
    struct document all = document_open(text, length);
    *report = (struct report){.time = number_in(&all, "time"),
                              .uptime_seconds = number_in(&all, "uptime_seconds"),
                              .state_seconds = number_in(&all, "state_seconds"),
                              .workers_up = number_in(&all, "workers_up"),
                              .workers_wanted = number_in(&all, "workers_wanted"),
                              .workers_busy = number_in(&all, "workers_busy"),
                              .restarts = sum_restarts(&all),
                              .history = document_member(&all, "history"),
                              .workers = document_member(&all, "workers"),
                              .events = document_member(&all, "events")};
    text_in(&all, "state", report->state, sizeof(report->state));
    text_in(&all, "version", report->version, sizeof(report->version));
    read_traffic(report, &all);
    read_cpu(report, &all);
    if (report->state[0] != '\0' && report->workers_up >= 0)
        return 0;
    errno = EPROTO;
    return -1;
}

static int ask_over_http(const char *address, unsigned timeout_ms, char **answer)
{
    char url[REPORT_ADDRESS_MAX + sizeof(PATH)];
    const char *host = address + strlen("http://");
    int length = (int)strcspn(host, "/") + (int)strlen("http://");
    snprintf(url, sizeof(url), "%.*s" PATH, length, address);
    return probe_get(url, timeout_ms, answer);
}

int report_ask(struct report *report, const char *address, unsigned timeout_ms, char **answer)
{
    char *text = NULL;
    int status = strncmp(address, "http://", strlen("http://")) == 0 ? ask_over_http(address, timeout_ms, &text)
                                                                     : probe_ask(address, PATH, timeout_ms, &text);
    int result = status < 0 ? -1 : report_read(report, text, strlen(text));
    int saved_errno = errno;
    if (result != 0)
        free(text);
    else
        *answer = text;
    errno = saved_errno;
    return result;
}

enum report_health report_health(const struct report *report)
{
    if (report->workers_up == 0 || strcmp(report->state, "no-worker") == 0)
        return REPORT_OUT;
    return strcmp(report->state, "serving") == 0 ? REPORT_FINE : REPORT_STRAINED;
}

const char *report_number(char text[static REPORT_WORD_MAX], double number, int places, const char *unit)
{
    if (number < 0)
        snprintf(text, REPORT_WORD_MAX, "-");
    else
        snprintf(text, REPORT_WORD_MAX, "%.*f%s", number < 1000 ? places : 0, number, unit);
    return text;
}

const char *report_time(char text[static REPORT_WORD_MAX], double us)
{
    if (us < 0)
        snprintf(text, REPORT_WORD_MAX, "-");
    else if (us < 1e6)
        snprintf(text, REPORT_WORD_MAX, us < 1e4 ? "%.2fms" : us < 1e5 ? "%.1fms" : "%.0fms", us / 1e3);
    else
        snprintf(text, REPORT_WORD_MAX, us < 1e7 ? "%.2fs" : us < 1e8 ? "%.1fs" : "%.0fs", us / 1e6);
    return text;
}

const char *report_span(char text[static REPORT_WORD_MAX], double seconds)
{
    unsigned long long whole = seconds >= 0 && seconds < 1e12 ? (unsigned long long)seconds : 0;
    if (seconds < 0)
        snprintf(text, REPORT_WORD_MAX, "-");
    else if (whole < 120)
        snprintf(text, REPORT_WORD_MAX, "%llus", whole);
    else if (whole < 7200)
        snprintf(text, REPORT_WORD_MAX, "%llum", whole / 60);
    else if (whole < 172800)
        snprintf(text, REPORT_WORD_MAX, "%lluh", whole / 3600);
    else
        snprintf(text, REPORT_WORD_MAX, "%llud", whole / 86400);
    return text;
}

const char *report_size(char text[static REPORT_WORD_MAX], double bytes)
{
    static const char *const units[] = {"B", "K", "M", "G", "T"};
    size_t unit = 0;
    for (; bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        bytes /= 1024;
    return report_number(text, bytes, unit > 0 && bytes < 10 ? 1 : 0, units[unit]);
}

static void print_traffic(const struct report *report, FILE *out)
{
    char words[4][REPORT_WORD_MAX];
    fprintf(out, "requests  %s a second, %s errors a second, %s in all\n",
            report_number(words[0], report->requests_per_second, 1, ""),
            report_number(words[1], report->errors_per_second, 1, ""),
            report_number(words[2], report->requests, 0, ""));
    fprintf(out, "latency   p50 %s, p95 %s, p99 %s\n", report_time(words[0], report->p50_us),
            report_time(words[1], report->p95_us), report_time(words[2], report->p99_us));
    fprintf(out, "queue     %s of %s places taken, p95 of the wait %s\n",
            report_number(words[0], report->queue_depth, 0, ""), report_number(words[1], report->queue_capacity, 0, ""),
            report_time(words[2], report->queue_wait_us));
}

void report_print(const struct report *report, const char *address, FILE *out)
{
    char words[4][REPORT_WORD_MAX];
    fprintf(out, "%s: %s for %s, %.0f of %.0f workers up, %s requests a second, p99 %s\n", address, report->state,
            report_span(words[0], report->state_seconds), report->workers_up, report->workers_wanted,
            report_number(words[1], report->requests_per_second, 1, ""), report_time(words[2], report->p99_us));
    print_traffic(report, out);
    fprintf(out, "workers   %s busy, %s restarts since the start %s ago\n",
            report_number(words[0], report->workers_busy, 0, ""), report_number(words[1], report->restarts, 0, ""),
            report_span(words[2], report->uptime_seconds));
    fprintf(out, "CPU       %s cores of %s, %s of its periods cut short\n",
            report_number(words[0], report->cpu_cores, 2, ""),
            report->cpu_limit_cores < 0 ? "no limit" : report_number(words[1], report->cpu_limit_cores, 2, ""),
            report_number(words[2], report->throttled_ratio < 0 ? UNKNOWN : report->throttled_ratio * 100, 0, "%"));
}

void report_print_none(const char *address, int error, bool as_json, FILE *out)
{
    struct line line;
    line_begin(&line, LINE_JSON, "");
    line_add_text(&line, "state", "no-answer");
    line_add_text(&line, "address", address);
    line_add_text(&line, "error", strerror(error));
    line_end(&line);
    if (as_json)
        fwrite(line.bytes, 1, line.length, out);
    else
        fprintf(out, "%s: no answer: %s\n", address, strerror(error));
}
