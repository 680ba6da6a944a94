/* Inside the sequencer: the trace hash and the event log.
 *
 * The hash takes in each executed instruction (tick, sequencer, the instruction's sixteen bytes, with what it found in registers and
 * tables in the place of where it looked) and each outcome:
 *
 *     x = (tick + sequencer*2^56)*K0 + rotate(head*K1, 32) + d*K2,   h = mix(h + x),   mix(h) = (h ^ h>>32) * K3     (mod 2^64)
 *
 * All K are odd, so one changed word always changes h at that point, and mix is a bijection, so the change stays unless a later
 * word undoes it, by chance. The products do not wait for h, and most are known at arm or change with the cursor only: what is left
 * for an event is the chain, six cycles.
 */
#ifndef QRT_TRACE_H
#define QRT_TRACE_H
#include <string.h>
#include "checks.h"
#include "sequencer.h"

#define K0 0x9E3779B97F4A7C15u /* odd constants with no structure in common: golden ratio, and those of SplitMix64 and Murmur3 */
#define K1 0xBF58476D1CE4E5B9u
#define K2 0x94D049BB133111EBu
#define K3 0xFF51AFD7ED558CCDu

/* The factors stand in memory, in the shot: as 64-bit constants each would be an instruction of its own, anew for every event. */
static inline void set_factors(qrt_shot *shot)
{
    static const uint64_t factors[4] = {K0, K1, K2, K3};
    memcpy(shot->factors, factors, sizeof factors);
}

static inline uint64_t mix(const qrt_shot *shot, uint64_t h)
{
    return (h ^ h >> 32) * shot->factors[3];
}

static __attribute__((noinline, unused)) void log_event(qrt_shot *shot, int64_t tick, uint32_t sequencer, uint64_t head, int64_t d)
{
    if (shot->event_count < shot->start.event_count_max) {
        shot->start.events[shot->event_count] = (qrt_event){
            .tick = tick, .op = (uint8_t)head, .a = (uint8_t)(head >> 8), .b = (uint16_t)(head >> 16), .c = (int32_t)(head >> 32),
            .d = d, .sequencer = (uint16_t)sequencer};
    }
    shot->event_count++;
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "an instruction's first eight bytes are taken as one word");

/* What names a sequencer in the trace, in front of the tick. */
static inline uint64_t label_of(uint32_t sequencer)
{
    return (uint64_t)sequencer << 56;
}

/* The three summands of an event: of what is known at arm, decode.c makes one word; the stamp changes with the cursor only. */
static inline uint64_t stamp_of(const qrt_shot *shot, int64_t tick, uint32_t sequencer)
{
    return ((uint64_t)tick | label_of(sequencer)) * shot->factors[0]; /* ticks are below 2^48 */
}

static inline uint64_t head_word(const qrt_shot *shot, uint64_t head)
{
    uint64_t turned = head * shot->factors[1];
    return turned << 32 | turned >> 32; /* else the signs of c and of d, flipped together, would cancel */
}

static inline uint64_t operand_word(const qrt_shot *shot, int64_t d)
{
    return (uint64_t)d * shot->factors[2];
}

static inline uint64_t hashed(const qrt_shot *shot, uint64_t hash, uint64_t words)
{
    return mix(shot, hash + words);
}

/* An instruction's first eight bytes as one word: one load where they come from memory; where they were only just computed, shifts,
 * since a load of what was stored in parts waits for the parts. */
static inline uint64_t head_of(const qrt_instruction *i)
{
    uint64_t head;
    memcpy(&head, i, sizeof head);
    return head;
}

static inline uint64_t head_from(uint8_t op, uint16_t b, int32_t c)
{
    return op | (uint64_t)b << 16 | (uint64_t)(uint32_t)c << 32;
}

#endif
