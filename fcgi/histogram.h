/* histogram: times counted in buckets, fine enough for percentiles and with bounds that Prometheus' buckets share.
 *
 * The bounds are preferred numbers (Renard's R20), 20 to each power of ten: no bucket is wider than an eighth of its upper
 * bound. The numbers 1, 2.5 and 5 are among them. */
#ifndef FIBCGI_HISTOGRAM_H
#define FIBCGI_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_STEPS 20  /* bounds to a power of ten */
#define HISTOGRAM_DECADES 7 /* from 10 us to 100 s */
/* The first bucket is for all below the first bound as well, the last for all above the last bound. */
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * HISTOGRAM_DECADES + 2)
/* The bucket that ends at 1, 2.5 or 5 times 10 us times ten to that power: STEP is one of those below. */
#define HISTOGRAM_AT(decade, step) (HISTOGRAM_STEPS * (decade) + (step))
enum histogram_step { HISTOGRAM_1 = 0, HISTOGRAM_2_5 = 8, HISTOGRAM_5 = 14 };

/* The upper bound of a bucket, which belongs to it; of the last, which has none, that of the one before. */
uint64_t histogram_bound_ns(size_t bucket);

/* The bucket for a time. */
size_t histogram_bucket(uint64_t time_ns);

/* The time below which that share (0 to 1) of what was counted lies; within a bucket as if it were spread evenly. 0 where nothing
 * was counted. */
uint64_t histogram_quantile_ns(const uint32_t counts[static HISTOGRAM_BUCKETS], double share);

#endif
