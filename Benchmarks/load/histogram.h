// Latencies in log-linear buckets, as HdrHistogram keeps them: 128 steps per power of two, so a value
// is known within 0.8 %. Nanoseconds from 0 to 2^37 (137 s); longer ones count in the last bucket.
#pragma once

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

enum { HISTOGRAM_STEPS = 128, HISTOGRAM_STEP_BITS = 7, HISTOGRAM_TOP_BIT = 36,
       HISTOGRAM_BUCKETS = HISTOGRAM_STEPS * (HISTOGRAM_TOP_BIT - HISTOGRAM_STEP_BITS + 2) };

typedef struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total, maximum;
} histogram;

static inline unsigned histogram_bucket(uint64_t value) {
    if (value < HISTOGRAM_STEPS) return (unsigned)value;
    unsigned top = 63 - (unsigned)__builtin_clzll(value);
    if (top > HISTOGRAM_TOP_BIT) return HISTOGRAM_BUCKETS - 1;
    unsigned shift = top - HISTOGRAM_STEP_BITS;
    return HISTOGRAM_STEPS * (shift + 1) + (unsigned)((value >> shift) - HISTOGRAM_STEPS);
}

// The smallest value that the bucket holds.
static inline uint64_t histogram_value(unsigned bucket) {
    if (bucket < HISTOGRAM_STEPS) return bucket;
    unsigned shift = bucket / HISTOGRAM_STEPS - 1;
    return (uint64_t)(bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS) << shift;
}

static inline void histogram_add(histogram *h, uint64_t value) {
    h->counts[histogram_bucket(value)]++;
    h->total++;
    if (value > h->maximum) h->maximum = value;
}

// As members of a JSON object that others stand before.
static inline void histogram_print(const histogram *h) {
    const char *separator = "";
    printf(", \"latency_max_ns\": %" PRIu64 ", \"latency_histogram\": [", h->maximum);
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        if (!h->counts[bucket]) continue;
        printf("%s[%" PRIu64 ",%" PRIu64 "]", separator, histogram_value(bucket), h->counts[bucket]);
        separator = ",";
    }
    printf("]");
}
