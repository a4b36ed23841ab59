#include "top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "report.h"
#include "terminal.h"

#define REFRESH_NS CLOCK_NS_PER_S
/* Samples of the history that may be shown. */
#define SAMPLES_MAX 300
#define EVENTS_SHOWN 4
/* A pool that does not answer must not keep the keyboard waiting for longer. */
#define PATIENCE_MS 1000

struct pool_view {
    const char *address;
    char *answer; /* NULL: none, and error says why */
    int error;
    struct report report;
};

struct top {
    struct terminal terminal;
    struct pool_view pools[TOP_POOLS_MAX];
    unsigned count;
    unsigned chosen;   /* whose workers are shown */
    unsigned scrolled; /* workers above the first that is shown */
    unsigned workers;  /* that there are, and how many have room */
    unsigned room;
    unsigned timeout_ms;
};

static void ask(struct pool_view *pool, unsigned timeout_ms)
{
    free(pool->answer);
    pool->answer = NULL;
    pool->error = report_ask(&pool->report, pool->address, timeout_ms, &pool->answer) == 0 ? 0 : errno;
}

static void show_pool(struct frame *frame, const struct pool_view *pool, bool is_chosen)
{
    char words[7][REPORT_WORD_MAX], address[32];
    const struct report *report = &pool->report;
    enum frame_style style = is_chosen ? FRAME_CHOSEN : FRAME_PLAIN;
    /* Also for who does not see the colours. */
    const char *mark = is_chosen ? ">" : " ";
    size_t length = strlen(pool->address);
    /* The end of an address tells more than its beginning. */
    snprintf(address, sizeof(address), "%s", length < 26 ? pool->address : pool->address + length - 25);
    if (pool->answer == NULL) {
        frame_line(frame, style, "%s%-25s no answer: %s", mark, address, strerror(pool->error));
        return;
    }
    frame_line(frame, style, "%s%-25s %-9s %3.0f/%-3.0f %6s %5s %7s %7s %6s", mark, address, report->state,
               report->workers_up, report->workers_wanted, report_number(words[0], report->requests_per_second, 0, ""),
               report_number(words[1], report->errors_per_second, 1, ""), report_time(words[2], report->p50_us),
               report_time(words[3], report->p99_us), report_number(words[4], report->queue_depth, 0, ""));
}

static void show_pools(struct frame *frame, const struct top *top)
{
    frame_line(frame, FRAME_BOLD, " %-25s %-9s %-7s %6s %5s %7s %7s %6s", "POOL", "STATE", "WORKERS", "REQ/S", "5XX/S",
               "P50", "P99", "QUEUE");
    for (unsigned i = 0; i < top->count; i++)
        show_pool(frame, &top->pools[i], top->count > 1 && i == top->chosen);
}

static void show_details(struct frame *frame, const struct report *report)
{
    char words[8][REPORT_WORD_MAX];
    frame_line(frame, FRAME_PLAIN, "%s for %s, up %s | %s requests, %s restarts | latency p95 %s", report->state,
               report_span(words[0], report->state_seconds), report_span(words[1], report->uptime_seconds),
               report_number(words[2], report->requests, 0, ""), report_number(words[3], report->restarts, 0, ""),
               report_time(words[4], report->p95_us));
    double throttled = report->throttled_ratio < 0 ? -1 : report->throttled_ratio * 100;
    frame_line(frame, FRAME_PLAIN, "queue %s of %s, wait p95 %s | CPU %s of %s cores, throttled %s",
               report_number(words[0], report->queue_depth, 0, ""),
               report_number(words[1], report->queue_capacity, 0, ""), report_time(words[2], report->queue_wait_us),
               report_number(words[3], report->cpu_cores, 2, ""),
               report->cpu_limit_cores < 0 ? "any" : report_number(words[4], report->cpu_limit_cores, 2, ""),
               report_number(words[5], throttled, 0, "%"));
}

static void show_history(struct frame *frame, const struct report *report, const char *name, const char *title)
{
    double values[SAMPLES_MAX];
    size_t count = 0;
    struct document samples = document_member(&report->history, name);
    for (struct document sample = document_first(&samples); sample.begin != NULL && count < SAMPLES_MAX;
         sample = document_next(&sample))
        values[count++] = document_number(&sample, -1);
    frame_bars(frame, title, values, count);
}

static double member_number(const struct document *object, const char *name)
{
    struct document value = document_member(object, name);
    return document_number(&value, -1);
}

static const char *member_text(const struct document *object, const char *name, char *text, size_t size)
{
    struct document value = document_member(object, name);
    return document_text(&value, text, size);
}

static void show_worker(struct frame *frame, const struct document *worker)
{
    char words[6][REPORT_WORD_MAX], state[12], reason[40];
    double busy_us = member_number(worker, "busy_us");
    frame_line(frame, FRAME_PLAIN, "%4.0f %8.0f %-8s %5s %10.0f %7s %5s %6s %4s  %s", member_number(worker, "worker"),
               member_number(worker, "pid"), member_text(worker, "state", state, sizeof(state)),
               report_span(words[0], member_number(worker, "age_seconds")), member_number(worker, "requests"),
               busy_us > 0 ? report_time(words[1], busy_us) : "",
               report_number(words[2], member_number(worker, "cpu_percent"), 0, "%"),
               report_size(words[3], member_number(worker, "rss_bytes")),
               report_number(words[4], member_number(worker, "restarts"), 0, ""),
               member_text(worker, "last_restart", reason, sizeof(reason)));
}

static unsigned count_elements(const struct document *array)
{
    unsigned count = 0;
    for (struct document element = document_first(array); element.begin != NULL; element = document_next(&element))
        count++;
    return count;
}

/* The workers that have room, from the one on to which the user has scrolled. */
static void show_workers(struct frame *frame, struct top *top, const struct report *report, unsigned room)
{
    unsigned index = 0;
    frame_line(frame, FRAME_BOLD, "%4s %8s %-8s %5s %10s %7s %5s %6s %4s  %s", "#", "PID", "STATE", "AGE", "REQUESTS",
               "BUSY", "CPU", "MEMORY", "DIED", "OF");
    top->workers = count_elements(&report->workers);
    top->room = room;
    if (top->scrolled + room > top->workers)
        top->scrolled = top->workers > room ? top->workers - room : 0;
    for (struct document worker = document_first(&report->workers);
         worker.begin != NULL && index < top->scrolled + room; worker = document_next(&worker)) {
        if (index++ >= top->scrolled)
            show_worker(frame, &worker);
    }
}

/* The last ones, the newest below. */
static void show_events(struct frame *frame, const struct report *report, unsigned count)
{
    unsigned all = count_elements(&report->events), index = 0;
    char stamp[CLOCK_STAMP_SIZE], text[200];
    for (struct document event = document_first(&report->events); event.begin != NULL; event = document_next(&event)) {
        double at = member_number(&event, "time");
        if (index++ + count < all)
            continue;
        clock_write_stamp(stamp, at > 0 && at < 2e11 ? (uint64_t)at : 0, 0);
        frame_line(frame, FRAME_PLAIN, "%.8s %s", stamp + strlen("2026-01-01T"),
                   member_text(&event, "text", text, sizeof(text)));
    }
}

static void show_chosen(struct frame *frame, struct top *top)
{
    const struct pool_view *pool = &top->pools[top->chosen];
    if (pool->answer == NULL)
        return;
    frame_line(frame, FRAME_PLAIN, "%s", "");
    show_details(frame, &pool->report);
    show_history(frame, &pool->report, "requests", "req/s ");
    show_history(frame, &pool->report, "p99_us", "p99   ");
    show_history(frame, &pool->report, "queue_depth", "queue ");
    unsigned events = count_elements(&pool->report.events);
    events = events < EVENTS_SHOWN ? events : EVENTS_SHOWN;
    /* Of what is left, the workers have what the events do not need; two lines are their titles. */
    unsigned left = frame_left(frame);
    show_workers(frame, top, &pool->report, left > events + 2 ? left - events - 2 : 0);
    if (events > 0)
        frame_line(frame, FRAME_BOLD, "%s", "EVENTS (UTC)");
    show_events(frame, &pool->report, events);
}

static int show(struct top *top)
{
    struct frame frame;
    char stamp[CLOCK_STAMP_SIZE];
    if (frame_begin(&frame, &top->terminal) != 0)
        return -1;
    clock_stamp(stamp);
    frame_line(&frame, FRAME_BOLD, "fibcgi top  %.19sZ  q: quit  up, down: workers%s", stamp,
               top->count > 1 ? "  tab: next pool" : "");
    show_pools(&frame, top);
    show_chosen(&frame, top);
    frame_show(&frame);
    return 0;
}

/* False where the key says to leave. */
static bool obey(struct top *top, int key)
{
    unsigned step = key == TERMINAL_PAGE_UP || key == TERMINAL_PAGE_DOWN ? top->room : 1;
    switch (key) {
    case TERMINAL_LEAVE:
    case TERMINAL_OTHER + 'q':
    case TERMINAL_OTHER + 'Q':
        return false;
    case TERMINAL_UP:
    case TERMINAL_PAGE_UP:
    case TERMINAL_OTHER + 'k':
        top->scrolled -= step < top->scrolled ? step : top->scrolled;
        break;
    case TERMINAL_DOWN:
    case TERMINAL_PAGE_DOWN:
    case TERMINAL_OTHER + 'j':
        top->scrolled += step;
        break;
    case TERMINAL_TAB:
        top->chosen = (top->chosen + 1) % top->count;
        top->scrolled = 0;
        break;
    default:
        break;
    }
    return true;
}

/* Shows what is known, and again after each key, until it is time to ask again. False where it is time to leave. */
static bool show_until(struct top *top, uint64_t until_ns, int *signal_number)
{
    do {
        if (show(top) != 0 || !obey(top, terminal_wait(&top->terminal, until_ns, signal_number)))
            return false;
    } while (clock_now_ns() < until_ns);
    return true;
}

int top_run(const char *const *addresses, unsigned count, unsigned timeout_ms, int *signal_number)
{
    struct top top = {.count = count, .timeout_ms = timeout_ms < PATIENCE_MS ? timeout_ms : PATIENCE_MS};
    uint64_t next_ns;
    for (unsigned i = 0; i < count; i++)
        top.pools[i].address = addresses[i];
    if (terminal_open(&top.terminal) != 0)
        return -1;
    do {
        next_ns = clock_now_ns() + REFRESH_NS;
        for (unsigned i = 0; i < count; i++)
            ask(&top.pools[i], top.timeout_ms);
    } while (show_until(&top, next_ns, signal_number));
    terminal_close(&top.terminal);
    for (unsigned i = 0; i < count; i++)
        free(top.pools[i].answer);
    return 0;
}
