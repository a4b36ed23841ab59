#include "events.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"

const char *const event_kind_names[EVENT_KINDS] = {"pool-started", "worker-died", "worker-failed", "roll",  "resize",
                                                   "cpu-limit",    "saturated",   "relieved",      "drain", "stop"};
const char *const event_level_names[EVENT_LEVELS] = {"info", "warning", "error"};

void events_note(struct events *events, enum event_kind kind, enum event_level level, const char *format, ...)
{
    va_list arguments;
    uint64_t number = atomic_load_explicit(&events->last, memory_order_relaxed) + 1;
    struct event *event = &events->kept[number % EVENTS_KEPT];
    atomic_store_explicit(&event->number, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    event->wall_ms = clock_wall_ms();
    event->kind = (uint32_t)kind;
    event->level = (uint32_t)level;
    va_start(arguments, format);
    vsnprintf(event->text, sizeof(event->text), format, arguments);
    va_end(arguments);
    atomic_store_explicit(&event->number, number, memory_order_release);
    atomic_store_explicit(&events->last, number, memory_order_release);
}

uint64_t events_first(const struct events *events)
{
    uint64_t last = atomic_load_explicit(&events->last, memory_order_acquire);
    return last > EVENTS_KEPT ? last - EVENTS_KEPT + 1 : 1;
}

bool events_read(const struct events *events, uint64_t number, struct event *copy)
{
    const struct event *event = &events->kept[number % EVENTS_KEPT];
    if (atomic_load_explicit(&event->number, memory_order_acquire) != number)
        return false;
    copy->wall_ms = event->wall_ms;
    copy->kind = event->kind;
    copy->level = event->level;
    memcpy(copy->text, event->text, sizeof(copy->text));
    copy->text[sizeof(copy->text) - 1] = '\0';
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&event->number, memory_order_relaxed) == number && copy->kind < EVENT_KINDS &&
           copy->level < EVENT_LEVELS;
}
