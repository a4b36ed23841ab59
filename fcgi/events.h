/* events: the last things that happened to the pool, for the status page. In shared memory; the master writes, and everybody
 * reads without locks. */
#ifndef FIBCGI_EVENTS_H
#define FIBCGI_EVENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define EVENTS_KEPT 20
#define EVENT_TEXT_MAX 120

enum event_kind {
    EVENT_POOL_STARTED,
    EVENT_WORKER_DIED,
    EVENT_WORKER_FAILED, /* could not be started */
    EVENT_ROLL,
    EVENT_RESIZE,
    EVENT_CPU_LIMIT,
    EVENT_SATURATED,
    EVENT_RELIEVED,
    EVENT_DRAIN,
    EVENT_STOP,
    EVENT_KINDS
};
extern const char *const event_kind_names[EVENT_KINDS];

enum event_level { EVENT_INFO, EVENT_WARNING, EVENT_ERROR, EVENT_LEVELS };
extern const char *const event_level_names[EVENT_LEVELS];

struct event {
    _Atomic uint64_t number; /* from 1; 0: none, or it is being written */
    uint64_t wall_ms;        /* since 1970 */
    uint32_t kind;
    uint32_t level;
    char text[EVENT_TEXT_MAX];
};

struct events {
    _Atomic uint64_t last; /* number of the last one; 0: there is none */
    struct event kept[EVENTS_KEPT];
};

/* Longer texts are cut. */
void events_note(struct events *events, enum event_kind kind, enum event_level level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The oldest that is kept; greater than events->last where there is none. */
uint64_t events_first(const struct events *events);

/* Copies the event of that number; false where it is not there any more. */
bool events_read(const struct events *events, uint64_t number, struct event *copy);

#endif
