/* Counts of durations in buckets whose width grows with the value: constant memory, a few instructions an entry, integers only.
 *
 * The rule is in qrt_core.h. A bucket is never wider than 1/128 of the values in it, and values below 256 ns are exact, so
 * that a quantile is as good as the clock. The largest value is kept exactly. Who adds what, and when, is the caller's business.
 */
#include "checks.h"

#define FINE_BITS 7 /* 2^7 buckets an octave */
#define FINE_COUNT (1 << FINE_BITS)
#define MILLION 1000000

uint32_t qrt_histogram_bucket(int64_t value_ns)
{
    if (value_ns < 2 * FINE_COUNT) {
        return value_ns > 0 ? (uint32_t)value_ns : 0;
    }
    uint32_t shift = (uint32_t)(63 - __builtin_clzll((uint64_t)value_ns)) - FINE_BITS;
    return shift * FINE_COUNT + (uint32_t)(value_ns >> shift);
}

int64_t qrt_histogram_end(uint32_t bucket)
{
    QRT_ASSERT(bucket < QRT_HISTOGRAM_BUCKETS);
    uint32_t shift = bucket < 2 * FINE_COUNT ? 0 : bucket / FINE_COUNT - 1;
    uint64_t next = (uint64_t)(bucket - shift * FINE_COUNT + 1) << shift; /* 2^63 behind the last bucket */
    return (int64_t)(next - 1);
}

void qrt_histogram_add(qrt_histogram *histogram, int64_t value_ns)
{
    histogram->buckets[qrt_histogram_bucket(value_ns)]++;
    histogram->count++;
    histogram->maximum = value_ns > histogram->maximum ? value_ns : histogram->maximum;
}

int64_t qrt_histogram_quantile(const qrt_histogram *histogram, uint32_t per_million)
{
    if (histogram->count == 0) {
        return 0;
    }
    int64_t rank = (int64_t)(((__int128)histogram->count * per_million + MILLION - 1) / MILLION);
    rank = rank > 0 ? rank : 1;
    int64_t below = 0;
    uint32_t bucket = 0;
    while (below + histogram->buckets[bucket] < rank && bucket + 1 < QRT_HISTOGRAM_BUCKETS) {
        below += histogram->buckets[bucket++];
    }
    int64_t end = qrt_histogram_end(bucket);
    return end < histogram->maximum ? end : histogram->maximum;
}

void qrt_histogram_age(qrt_histogram *histogram)
{
    histogram->count = 0;
    for (uint32_t bucket = 0; bucket < QRT_HISTOGRAM_BUCKETS; bucket++) {
        histogram->buckets[bucket] /= 2;
        histogram->count += histogram->buckets[bucket];
    }
}
