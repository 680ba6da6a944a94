/* Demodulation with AVX-512 VNNI: vpdpwssd multiplies 32 samples, adds them in pairs and to sixteen 32-bit lanes, in one.
 *
 * As demodulate_avx2.c, twice as wide; what is left after the last whole vector is one more step under a mask. (vpdpwssd and not
 * vpdpwssds: the saturating form would hide an overflow, and headroom excludes it.)
 */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vnni")
#include <immintrin.h>
#include "checks.h"
#include "demodulate.h"

#define STEP 32      /* samples of one vector */
#define UNROLL 4     /* independent accumulators */
#define PREFETCH 512 /* samples ahead, where captures stream from memory: 0.87 of the read floor instead of 0.84 */

typedef struct {
    __m512i i;
    __m512i q;
} pair;

static inline __m512i widened(__m512i sum64, __m512i lanes)
{
    __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(lanes));
    __m512i high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(lanes, 1));
    return _mm512_add_epi64(sum64, _mm512_add_epi64(low, high));
}

static inline void step(pair *lanes, const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q)
{
    __m512i x = _mm512_loadu_si512(samples);
    lanes->i = _mm512_dpwssd_epi32(lanes->i, x, _mm512_loadu_si512(weights_i));
    lanes->q = _mm512_dpwssd_epi32(lanes->q, x, _mm512_loadu_si512(weights_q));
}

static inline void masked_step(pair *lanes, const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q,
                               size_t sample_count)
{
    __mmask32 mask = (__mmask32)((1ULL << sample_count) - 1);
    __m512i x = _mm512_maskz_loadu_epi16(mask, samples);
    lanes->i = _mm512_dpwssd_epi32(lanes->i, x, _mm512_maskz_loadu_epi16(mask, weights_i));
    lanes->q = _mm512_dpwssd_epi32(lanes->q, x, _mm512_maskz_loadu_epi16(mask, weights_q));
}

static inline void demodulate_one(int64_t iq_out[2], const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q,
                                  size_t sample_count, uint32_t headroom, size_t prefetch)
{
    const __m512i zero = _mm512_setzero_si512();
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
    iq_out[0] = _mm512_reduce_add_epi64(sum64.i);
    iq_out[1] = _mm512_reduce_add_epi64(sum64.q);
}

/* Up to two vectors, one accumulator for each: what is left of a capture that was demodulated as it came. */
static inline void demodulate_short(int64_t iq_out[2], const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q,
                                    size_t sample_count)
{
    const __m512i zero = _mm512_setzero_si512();
    pair lanes[2] = {{zero, zero}, {zero, zero}};
    size_t k = 0;
    if (sample_count > STEP) {
        step(&lanes[0], samples, weights_i, weights_q);
        k = STEP;
    }
    masked_step(&lanes[1], samples + k, weights_i + k, weights_q + k, sample_count - k);
    iq_out[0] = _mm512_reduce_add_epi64(widened(widened(zero, lanes[0].i), lanes[1].i));
    iq_out[1] = _mm512_reduce_add_epi64(widened(widened(zero, lanes[0].q), lanes[1].q));
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
    const __m512i ones = _mm512_set1_epi16(1);
    __m512i sum64 = _mm512_setzero_si512();
    size_t k = 0;
    while (k + STEP * UNROLL <= sample_count) {
        size_t rounds = (sample_count - k) / (STEP * UNROLL);
        rounds = rounds < 16384 ? rounds : 16384; /* a lane gains up to 65536 a step */
        __m512i lanes[UNROLL] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
        for (size_t round = 0; round < rounds; round++) {
            for (int j = 0; j < UNROLL; j++, k += STEP) {
                lanes[j] = _mm512_dpwssd_epi32(lanes[j], _mm512_loadu_si512(samples + k), ones);
            }
        }
        for (int j = 0; j < UNROLL; j++) {
            sum64 = widened(sum64, lanes[j]);
        }
    }
    int64_t sum = _mm512_reduce_add_epi64(sum64);
    for (; k < sample_count; k++) {
        sum += samples[k];
    }
    return sum;
}

const qrt_isa qrt_isa_avx512 = {"avx512", demodulate, demodulate_many, read_floor};
#endif
