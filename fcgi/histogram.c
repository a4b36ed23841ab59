#include "histogram.h"

#include "clock.h"

#define FIRST_BOUND_NS (10 * CLOCK_NS_PER_US)

/* In hundredths. */
static const uint16_t renard[HISTOGRAM_STEPS] = {100, 112, 125, 140, 160, 180, 200, 224, 250, 280,
                                                 315, 355, 400, 450, 500, 560, 630, 710, 800, 900};

uint64_t histogram_bound_ns(size_t bucket)
{
    if (bucket > HISTOGRAM_BUCKETS - 2)
        bucket = HISTOGRAM_BUCKETS - 2;
    uint64_t bound_ns = FIRST_BOUND_NS / 100 * renard[bucket % HISTOGRAM_STEPS];
    for (size_t i = 0; i < bucket / HISTOGRAM_STEPS; i++)
        bound_ns *= 10;
    return bound_ns;
}

/* Each request comes by here. */
size_t histogram_bucket(uint64_t time_ns)
{
    size_t decade = 0, low = 0, high = HISTOGRAM_STEPS;
    uint64_t unit_ns = FIRST_BOUND_NS;
    while (decade < HISTOGRAM_DECADES && time_ns > unit_ns * 10) {
        unit_ns *= 10;
        decade++;
    }
    if (decade == HISTOGRAM_DECADES)
        return HISTOGRAM_BUCKETS - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (time_ns > unit_ns / 100 * renard[middle])
            low = middle + 1;
        else
            high = middle;
    }
    return decade * HISTOGRAM_STEPS + low;
}

uint64_t histogram_quantile_ns(const uint32_t counts[static HISTOGRAM_BUCKETS], double share)
{
    uint64_t total = 0, before = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        total += counts[i];
    double rank = share * (double)total;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (counts[i] > 0 && (double)(before + counts[i]) >= rank) {
            uint64_t low_ns = i > 0 ? histogram_bound_ns(i - 1) : 0;
            double part = (rank - (double)before) / counts[i];
            return low_ns + (uint64_t)(part * (double)(histogram_bound_ns(i) - low_ns));
        }
        before += counts[i];
    }
    return 0;
}
