/* Demodulation with AVX2: pmaddwd multiplies sixteen samples and adds them in pairs, into eight 32-bit lanes.
 *
 * Four accumulators for I and four for Q: with fewer, each addition waits for the one before it. Lanes are widened when their
 * headroom is used up (demodulate.c). What is left after the last whole vector is one more step under a mask.
 */
#if defined(__x86_64__)
#pragma GCC target("avx2")
#include <immintrin.h>
#include "checks.h"
#include "demodulate.h"

#define STEP 16      /* samples of one vector */
#define UNROLL 4     /* independent accumulators */
#define PREFETCH 512 /* samples ahead, where captures stream from memory: 0.87 of the read floor instead of 0.84 */

typedef struct {
    __m256i i;
    __m256i q;
} pair;

static inline __m256i load(const int16_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

static inline __m256i widened(__m256i sum64, __m256i lanes)
{
    __m256i low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(lanes));
    __m256i high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(lanes, 1));
    return _mm256_add_epi64(sum64, _mm256_add_epi64(low, high));
}

static inline int64_t reduced(__m256i sum64)
{
    __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sum64), _mm256_extracti128_si256(sum64, 1));
    return _mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1);
}

static inline void step(pair *lanes, const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q)
{
    __m256i x = load(samples);
    lanes->i = _mm256_add_epi32(lanes->i, _mm256_madd_epi16(x, load(weights_i)));
    lanes->q = _mm256_add_epi32(lanes->q, _mm256_madd_epi16(x, load(weights_q)));
}

/* Up to sixteen samples: whole pairs under a mask, which reads nothing beyond them, and an odd one alone. */
static inline void masked_step(pair *lanes, const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q,
                               size_t sample_count)
{
    static const int32_t masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    size_t pairs = sample_count / 2;
    __m256i mask = _mm256_loadu_si256((const __m256i *)(const void *)(masks + 8 - pairs));
    __m256i x = _mm256_maskload_epi32((const int *)(const void *)samples, mask);
    __m256i w_i = _mm256_maskload_epi32((const int *)(const void *)weights_i, mask);
    __m256i w_q = _mm256_maskload_epi32((const int *)(const void *)weights_q, mask);
    if (sample_count % 2 > 0) { /* the last lane is free: pairs <= 7 then */
        x = _mm256_insert_epi16(x, samples[sample_count - 1], 15);
        w_i = _mm256_insert_epi16(w_i, weights_i[sample_count - 1], 15);
        w_q = _mm256_insert_epi16(w_q, weights_q[sample_count - 1], 15);
    }
    lanes->i = _mm256_add_epi32(lanes->i, _mm256_madd_epi16(x, w_i));
    lanes->q = _mm256_add_epi32(lanes->q, _mm256_madd_epi16(x, w_q));
}

static inline void demodulate_one(int64_t iq_out[2], const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q,
                                  size_t sample_count, uint32_t headroom, size_t prefetch)
{
    const __m256i zero = _mm256_setzero_si256();
    pair sum64 = {zero, zero};
    size_t steps_left = sample_count / STEP;
    size_t k = 0;
    bool last = false;
    while (!last) {
        size_t rounds = steps_left / UNROLL < headroom ? steps_left / UNROLL : headroom;
        pair lanes[UNROLL] = {{zero, zero}, {zero, zero}, {zero, zero}, {zero, zero}};
        for (size_t round = 0; round < rounds; round++) {
            for (size_t j = 0; prefetch > 0 && j < STEP * UNROLL; j += 32) {
                _mm_prefetch((const char *)(samples + k + prefetch + j), _MM_HINT_T1);
            }
            for (int j = 0; j < UNROLL; j++, k += STEP) {
                step(&lanes[j], samples + k, weights_i + k, weights_q + k);
            }
        }
        steps_left -= rounds * UNROLL;
        last = rounds < headroom; /* then each lane has room for one step more */
        for (size_t j = 0; j < UNROLL - 1; j++) {
            if (last && j < steps_left) {
                step(&lanes[j], samples + k, weights_i + k, weights_q + k);
                k += STEP;
            }
        }
        if (last) {
            masked_step(&lanes[UNROLL - 1], samples + k, weights_i + k, weights_q + k, sample_count - k);
        }
        for (int j = 0; j < UNROLL; j++) {
            sum64.i = widened(sum64.i, lanes[j].i);
            sum64.q = widened(sum64.q, lanes[j].q);
        }
    }
    iq_out[0] = reduced(sum64.i);
    iq_out[1] = reduced(sum64.q);
}

/* Up to two vectors, one accumulator for each: what is left of a capture that was demodulated as it came. */
static inline void demodulate_short(int64_t iq_out[2], const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q,
                                    size_t sample_count)
{
    const __m256i zero = _mm256_setzero_si256();
    pair lanes[2] = {{zero, zero}, {zero, zero}};
    size_t k = 0;
    if (sample_count > STEP) {
        step(&lanes[0], samples, weights_i, weights_q);
        k = STEP;
    }
    masked_step(&lanes[1], samples + k, weights_i + k, weights_q + k, sample_count - k);
    iq_out[0] = reduced(widened(widened(zero, lanes[0].i), lanes[1].i));
    iq_out[1] = reduced(widened(widened(zero, lanes[0].q), lanes[1].q));
}

static void demodulate(int64_t iq_out[2], const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q,
                       size_t sample_count, uint32_t headroom)
{
    if (sample_count <= 2 * STEP) {
        demodulate_short(iq_out, samples, weights_i, weights_q, sample_count);
    } else {
        demodulate_one(iq_out, samples, weights_i, weights_q, sample_count, headroom, 0);
    }
}

static void demodulate_many(int64_t *iq_out, const int16_t *captures, size_t capture_count, const int16_t *weights_i,
                            const int16_t *weights_q, size_t sample_count, uint32_t headroom)
{
    for (size_t capture = 0; capture < capture_count; capture++) {
        demodulate_one(iq_out + 2 * capture, captures + capture * sample_count, weights_i, weights_q, sample_count, headroom,
                       PREFETCH);
    }
}

static int64_t read_floor(const int16_t *samples, size_t sample_count)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum64 = _mm256_setzero_si256();
    size_t k = 0;
    while (k + STEP * UNROLL <= sample_count) {
        size_t rounds = (sample_count - k) / (STEP * UNROLL);
        rounds = rounds < 16384 ? rounds : 16384; /* a lane gains up to 65536 a step */
        __m256i lanes[UNROLL];
        for (int j = 0; j < UNROLL; j++) {
            lanes[j] = _mm256_setzero_si256();
        }
        for (size_t round = 0; round < rounds; round++) {
            for (int j = 0; j < UNROLL; j++, k += STEP) {
                lanes[j] = _mm256_add_epi32(lanes[j], _mm256_madd_epi16(load(samples + k), ones));
            }
        }
        for (int j = 0; j < UNROLL; j++) {
            sum64 = widened(sum64, lanes[j]);
        }
    }
    int64_t sum = reduced(sum64);
    for (; k < sample_count; k++) {
        sum += samples[k];
    }
    return sum;
}

const qrt_isa qrt_isa_avx2 = {"avx2", demodulate, demodulate_many, read_floor};
#endif
