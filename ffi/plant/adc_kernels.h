/* The arithmetic of a capture, written once and compiled once per instruction set (see adc_baseline.c and its siblings).
 *
 * The including file defines SUFFIX, BYTES (of a vector), MULTIPLY (low halves of 64-bit lanes to full products), SQUARE_ROOT,
 * MINIMUM and MAXIMUM of vectors of floats, and NARROW (int32 to int16, values known to fit).
 * Elementwise + - * and sqrt in float32 only, one order of operations: the same bits for every width.
 *
 * Noise comes in groups of 64 samples from 16 Philox blocks: sample 16k + b of a group is Gaussian k of block b. Words 0 and 1
 * of a block make Gaussians 0 and 1 by Box-Muller, words 2 and 3 make 2 and 3. The radius has 31 bits: tails end at 6.6 sigma.
 */
#include "adc.h"
#include <string.h>

#define JOIN(a, b) a##_##b
#define EXPAND(a, b) JOIN(a, b)
#define NAME(a) EXPAND(a, SUFFIX)
#define LANES ((int)(BYTES / 4))

typedef uint64_t NAME(u64) __attribute__((vector_size(BYTES)));
typedef uint32_t NAME(u32) __attribute__((vector_size(BYTES)));
typedef int32_t NAME(i32) __attribute__((vector_size(BYTES)));
typedef float NAME(f32) __attribute__((vector_size(BYTES)));
typedef int16_t NAME(i16) __attribute__((vector_size(BYTES / 2)));
#define U64 NAME(u64)
#define U32 NAME(u32)
#define I32 NAME(i32)
#define F32 NAME(f32)
#define I16 NAME(i16)

/* Words of LANES consecutive blocks. A 64-bit lane carries a word in its low half; what the high half holds is never read, which
 * saves the masks. Even blocks are in one vector, odd ones in the other, and join at the end without a shuffle. */
static inline void NAME(words)(const noise_key *key, uint32_t index, U32 words_out[4])
{
    static const uint64_t EVEN[8] = {0, 2, 4, 6, 8, 10, 12, 14};
    U64 even[4], odd[4];
    memcpy(&even[0], EVEN, BYTES);
    even[0] += index; /* a multiple of 16: no carry out of the low half */
    odd[0] = even[0] + 1;
    for (int word = 1; word < 4; word++)
        even[word] = odd[word] = (U64){0} + key->counter[word];
    const U64 m0 = (U64){0} + QRT_PHILOX_M0, m1 = (U64){0} + QRT_PHILOX_M1;
    uint32_t k0 = key->key[0], k1 = key->key[1];
#pragma GCC unroll 10
    for (int round = 0; round < QRT_PHILOX_ROUNDS; round++) {
        const U64 key0 = (U64){0} + k0, key1 = (U64){0} + k1;
        const U64 p0 = MULTIPLY(m0, even[0]), p1 = MULTIPLY(m1, even[2]);
        const U64 q0 = MULTIPLY(m0, odd[0]), q1 = MULTIPLY(m1, odd[2]);
        even[0] = (p1 >> 32) ^ even[1] ^ key0;
        even[1] = p1;
        even[2] = (p0 >> 32) ^ even[3] ^ key1;
        even[3] = p0;
        odd[0] = (q1 >> 32) ^ odd[1] ^ key0;
        odd[1] = q1;
        odd[2] = (q0 >> 32) ^ odd[3] ^ key1;
        odd[3] = q0;
        k0 += QRT_PHILOX_W0;
        k1 += QRT_PHILOX_W1;
    }
    for (int word = 0; word < 4; word++)
        words_out[word] = (U32)((even[word] & 0xffffffffu) | (odd[word] << 32));
}

/* Two Gaussians from two words; scale is -2 sigma^2. Polynomials are minimax fits, relative errors: logarithm 1.1e-6, sine
 * 1.5e-6, cosine 4e-8. Pairs of terms instead of Horner's chain: 1.5 times faster, since the chain's latency was the limit. */
static inline void NAME(gaussians)(U32 radius, U32 angle, float scale, F32 *first, F32 *second)
{
    const F32 u = (__builtin_convertvector((I32)(radius >> 1), F32) + 0.5f) * 0x1p-31f; /* [2^-32, 1] */
    const I32 shifted = (I32)u - 0x3f3504f3;                                            /* bits of sqrt(1/2) */
    const I32 power = shifted >> 23;
    const F32 f = (F32)((I32)u - (power << 23)) - 1.0f; /* [sqrt(1/2) - 1, sqrt(2) - 1] */
    const F32 f2 = f * f;
    const F32 low = (-0.500011146068573f * f + 1.0000009536743164f) + (-0.2490977942943573f * f + 0.33314505219459534f) * f2;
    const F32 high = 0.11895225197076797f * f2 + (-0.18667550384998322f * f + 0.2049645185470581f);
    const F32 log_u = (low + high * (f2 * f2)) * f + __builtin_convertvector(power, F32) * 0.693147181f;
    const F32 r = SQUARE_ROOT(log_u * scale);

    /* 29 bits: an angle in the first octant; 3 bits: which octant. */
    const F32 x = (__builtin_convertvector((I32)(angle & 0x1fffffffu), F32) + 0.5f) * (0.785398163f * 0x1p-29f);
    const F32 y = x * x;
    const F32 y2 = y * y;
    const F32 sine = ((-0.1666238158941269f * y + 0.9999985098838806f) + 0.008150056004524231f * y2) * x;
    const F32 fourth = -0.0013579403748735785f * y + 0.04165441915392876f;
    const F32 cosine = (-0.49999842047691345f * y + 0.9999999403953552f) + fourth * y2;
    const I32 difference = ((I32)sine ^ (I32)cosine) & ((I32)(angle << 2) >> 31); /* swaps them, or is zero */
    *first = (F32)((I32)cosine ^ difference ^ (I32)(angle & 0x80000000u)) * r;
    *second = (F32)((I32)sine ^ difference ^ (I32)((angle << 1) & 0x80000000u)) * r;
}

static void NAME(noise)(const noise_key *key, uint32_t group, uint32_t group_count, float sigma, float *samples_out)
{
    const float scale = -2.0f * sigma * sigma;
    for (uint32_t g = 0; g < group_count; g++) {
        for (int block = 0; block < NOISE_BLOCKS; block += LANES) {
            U32 words[4];
            F32 gaussians[4];
            NAME(words)(key, (group + g) * NOISE_BLOCKS + (uint32_t)block, words);
            NAME(gaussians)(words[0], words[1], scale, &gaussians[0], &gaussians[1]);
            NAME(gaussians)(words[2], words[3], scale, &gaussians[2], &gaussians[3]);
            for (int k = 0; k < 4; k++)
                memcpy(samples_out + g * NOISE_GROUP + k * NOISE_BLOCKS + block, &gaussians[k], BYTES);
        }
    }
}

static void NAME(add)(float *samples, const float *re, const float *im, float c_re, float c_im, uint32_t sample_count)
{
    uint32_t n = 0;
    for (; n + LANES <= sample_count; n += LANES) {
        F32 sample, r, i;
        memcpy(&sample, samples + n, BYTES);
        memcpy(&r, re + n, BYTES);
        memcpy(&i, im + n, BYTES);
        sample = sample + (r * c_re - i * c_im);
        memcpy(samples + n, &sample, BYTES);
    }
    for (; n < sample_count; n++)
        samples[n] = samples[n] + (re[n] * c_re - im[n] * c_im);
}

/* Rounds half to even by adding 1.5 * 2^23, whose last bit is worth one, then clips. Buffers are padded to whole vectors: what
 * lies behind sample_count is written, and not counted because the caller has cleared it. */
static int64_t NAME(quantise)(const float *samples, uint32_t sample_count, float min, float max, int16_t *counts_out)
{
    I32 clipped = {0};
    for (uint32_t n = 0; n < sample_count; n += LANES) {
        F32 x;
        memcpy(&x, samples + n, BYTES);
        x = MINIMUM(MAXIMUM(x, (F32){0} - 1e5f), (F32){0} + 1e5f); /* the rounding works below 2^22 only */
        x = (x + 12582912.0f) - 12582912.0f;
        const F32 inside = MINIMUM(MAXIMUM(x, (F32){0} + min), (F32){0} + max);
        clipped -= inside != x;
        const I16 counts = NARROW(__builtin_convertvector(inside, I32));
        memcpy(counts_out + n, &counts, sizeof counts);
    }
    int64_t count = 0;
    for (int lane = 0; lane < LANES; lane++)
        count += clipped[lane];
    return count;
}

const adc_kernels NAME(adc_kernels) = {NAME(noise), NAME(add), NAME(quantise)};
