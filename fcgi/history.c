#include "history.h"

const char *const history_field_names[HISTORY_FIELDS] = {"requests",      "errors",         "p50_us",
                                                         "p95_us",        "p99_us",         "queue_depth",
                                                         "queue_wait_us", "cpu_millicores", "throttled_permille"};

void history_add(struct history *history, const uint32_t values[static HISTORY_FIELDS])
{
    uint64_t number = atomic_load_explicit(&history->last, memory_order_relaxed) + 1;
    struct history_sample *sample = &history->samples[number % HISTORY_PLACES];
    for (size_t i = 0; i < HISTORY_FIELDS; i++)
        atomic_store_explicit(&sample->values[i], values[i], memory_order_relaxed);
    atomic_store_explicit(&history->last, number, memory_order_release);
}

uint64_t history_first(const struct history *history, uint64_t since)
{
    uint64_t last = atomic_load_explicit(&history->last, memory_order_acquire);
    uint64_t oldest = last > HISTORY_SECONDS ? last - HISTORY_SECONDS + 1 : 1;
    return since + 1 > oldest && since <= last ? since + 1 : oldest;
}

uint32_t history_value(const struct history *history, uint64_t number, enum history_field field)
{
    return atomic_load_explicit(&history->samples[number % HISTORY_PLACES].values[field], memory_order_relaxed);
}
