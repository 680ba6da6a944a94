/* Philox4x32-10: random numbers as a pure function of (key, counter). The only code that kernel and plant share.
 *
 * Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, doi 10.1145/2063384.2063405. Known answers:
 * Random123's kat_vectors, in ffi/test_plant.c. The key is the run's seed; the counter is (index, stream, shot), so that the
 * words of any shot can be computed alone. Who draws what is listed here, so that no two users share a stream.
 */
#ifndef QRT_PHILOX_H
#define QRT_PHILOX_H
#include <stdint.h>

#define QRT_PHILOX_M0 0xD2511F53u
#define QRT_PHILOX_M1 0xCD9E8D57u
#define QRT_PHILOX_W0 0x9E3779B9u
#define QRT_PHILOX_W1 0xBB67AE85u
#define QRT_PHILOX_ROUNDS 10

#define QRT_STREAM_SEQUENCER 0x100u /* + sequencer: the kernel's `draw` */
#define QRT_STREAM_QUBIT 0x200u     /* + qubit: the plant's collapses and jumps */
#define QRT_STREAM_NOISE 0x300u     /* + channel: the amplifier in front of an ADC */
#define QRT_STREAM_TRIGGER 0x400u   /* the trigger's jitter; its shot is the trigger's number */
#define QRT_STREAM_DRIFT 0x500u     /* + qubit: what walks between shots */
#define QRT_STREAM_FAULT 0x600u     /* which captures are answered late; + 1: which plays and captures come late */

static inline void qrt_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words_out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < QRT_PHILOX_ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)QRT_PHILOX_M0 * c0;
        const uint64_t p1 = (uint64_t)QRT_PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += QRT_PHILOX_W0;
        k1 += QRT_PHILOX_W1;
    }
    words_out[0] = c0;
    words_out[1] = c1;
    words_out[2] = c2;
    words_out[3] = c3;
}

/* The four words with this index in a shot's stream. */
static inline void qrt_random(uint64_t seed, uint32_t stream, int64_t shot, uint32_t index, uint32_t words_out[4])
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {index, stream, (uint32_t)shot, (uint32_t)((uint64_t)shot >> 32)};
    qrt_philox(counter, key, words_out);
}

#endif
