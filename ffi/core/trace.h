/* Inside the sequencer: the trace hash and the event log.
 *
 * The hash takes in each executed instruction (tick, sequencer, the instruction's sixteen bytes, with what it found in registers, slots
 * and tables in the place of where it looked) and each end of a capture (tick, sequencer, capture, outcome and iq). Its measure is the
 * section: instructions that come one after the other whatever happens. One begins before each READ and WRITE, which may wait, and ends
 * behind END, WAIT_UNTIL, SYNC and BRANCH; an instruction from LOAD on, whose operand is found while running, is one by itself. Within a
 * section WAIT alone moves the cursor, by an operand that is in it: the tick of its first instruction says those of the others.
 *
 *     instruction   x = rotate(head*K1, 32) + d*K2
 *     section       w = K0, then from its last instruction to its first: w = mix(w + x)
 *     sequencer     h = K0, then for each section that it comes to: h = mix(h + tick*K0 + w)
 *     captures      o = K0, then for each that ends: o = mix(o + (tick + sequencer*2^56)*K0 + rotate(head*K1, 32) + i*K2 + rotate(q*K2, 32))
 *     trace_hash    t = o, then for each sequencer: t = mix(t + h); mix(t)
 *
 * with mix(h) = (h ^ h>>32) * K3, mod 2^64. The order between sequencers follows from the ticks (order.h), so that each can have a chain
 * of its own. All K are odd, so one changed word always changes its chain at that point, and mix is a bijection, so the change
 * stays unless a later word undoes it, by chance. A section's w is known at arm, also where a branch enters it in its middle (decode.c):
 * while running an instruction costs nothing, a section one link of the chain, six cycles. What becomes of a section that the shot
 * does not finish is in hand.h.
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

static inline uint64_t turned(uint64_t product)
{
    return product << 32 | product >> 32; /* else the signs of two operands, flipped together, would cancel */
}

static inline uint64_t head_word(const qrt_shot *shot, uint64_t head)
{
    return turned(head * shot->factors[1]);
}

static inline uint64_t operand_word(const qrt_shot *shot, int64_t d)
{
    return (uint64_t)d * shot->factors[2];
}

/* Of a section, from an instruction to its end: `after` is the same from the next one, K0 where there is none. */
static inline uint64_t section_word(const qrt_shot *shot, uint64_t after, uint64_t words)
{
    return mix(shot, after + words);
}

/* One more section of a sequencer. */
static inline uint64_t linked(const qrt_shot *shot, uint64_t hash, int64_t tick, uint64_t words)
{
    return mix(shot, hash + ((uint64_t)tick * shot->factors[0] + words));
}

/* Of a capture's end, what is known when it begins. */
static inline uint64_t stamp_of(const qrt_shot *shot, int64_t tick, uint64_t label)
{
    return (uint64_t)tick * shot->factors[0] + label;
}

static inline uint64_t label_of(const qrt_shot *shot, uint32_t sequencer)
{
    return ((uint64_t)sequencer << 56) * shot->factors[0];
}

/* One more end of a capture; `words` are those of its head. */
static inline uint64_t linked_end(const qrt_shot *shot, uint64_t hash, uint64_t stamp, uint64_t words, const int64_t iq[2])
{
    return mix(shot, hash + (stamp + words + operand_word(shot, iq[0]) + turned(operand_word(shot, iq[1]))));
}

static inline uint64_t trace_hash_of(const qrt_shot *shot)
{
    uint64_t hash = shot->ends_hash;
    for (uint32_t sequencer = 0; sequencer < shot->sequence.sequencer_count; sequencer++) {
        hash = mix(shot, hash + shot->sequencers[sequencer].hash);
    }
    return mix(shot, hash);
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

/* An instruction's first eight bytes as one word: one load where they come from memory; where they were only just computed, shifts,
 * since a load of what was stored in parts waits for the parts. */
static inline uint64_t head_of(const qrt_instruction *i)
{
    uint64_t head;
    memcpy(&head, i, sizeof head);
    return head;
}

static inline uint64_t instruction_words(const qrt_shot *shot, const qrt_instruction *i)
{
    return head_word(shot, head_of(i)) + operand_word(shot, i->d);
}

static inline uint64_t head_from(uint8_t op, uint16_t b, int32_t c)
{
    return op | (uint64_t)b << 16 | (uint64_t)(uint32_t)c << 32;
}

#endif
