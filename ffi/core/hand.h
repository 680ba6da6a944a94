/* Inside the sequencer: the sequencer that executes, a `hand`: what it changes most, in machine registers. It is put down where somebody
 * else looks at it, and before what is rare, which is out of the way so that the rest stays short.
 *
 * Sections (trace.h) are counted from the budget and taken into the hash as a whole, when the hand enters them. Where something else comes
 * first in the middle of one, it is put down there and goes on later without entering again. Where a shot ends in the middle of some, what
 * they did not come to is paid back and cut out of the hash. Where the budget does not last for a section, the shot goes on `singly`:
 * then, as in a shot that is logged, each instruction is counted when it is its turn.
 */
#ifndef QRT_HAND_H
#define QRT_HAND_H
#include "checks.h"
#include "decode.h"
#include "order.h"
#include "sequencer.h"
#include "trace.h"

#define INLINE static inline __attribute__((always_inline))
#define TURN_COUNT (1u << 20) /* instructions, some milliseconds: how long an abort may wait for a loop without effects */

/* What becomes of the sequencer that executes. */
typedef enum {
    GOES_ON,      /* in its section */
    MOVED,        /* in its section, to a tick at which something else comes first */
    CLOSES,       /* its section; it goes on with the next one */
    CLOSES_MOVED, /* at a tick at which something else comes first */
    LEAVES,       /* it waits or has ended; it is put down */
    FAILS         /* shot->status says how */
} turn;

typedef struct {
    int64_t cursor;
    uint64_t hash;
    const qrt_step *next;
} hand;

INLINE uint32_t index_of(const qrt_shot *shot, const qrt_step *i)
{
    return (uint32_t)(i - shot->steps);
}

INLINE turn fails(qrt_shot *shot, qrt_status status)
{
    shot->status = status;
    return FAILS;
}

INLINE bool is_aborted(const qrt_shot *shot)
{
    return (atomic_load_explicit(shot->outside.request, memory_order_relaxed) & shot->outside.request_abort) != 0;
}

/* ---- Up and down ---------------------------------------------------------------------------------------------- */

INLINE void put_down(qrt_shot *shot, const hand *h)
{
    qrt_sequencer *s = shot->active;
    s->cursor = h->cursor;
    s->hash = h->hash;
    s->next = h->next;
}

INLINE void pick_up(qrt_shot *shot, hand *h, qrt_sequencer *s)
{
    shot->active = s;
    *h = (hand){.cursor = s->cursor, .hash = s->hash, .next = s->next};
}

/* With its section behind it, to wait or for good. */
INLINE turn leave(qrt_shot *shot, const hand *h, qrt_sequencer_state state)
{
    put_down(shot, h);
    shot->active->section.first = NULL;
    shot->active->state = state;
    return LEAVES;
}

/* ---- Sections ------------------------------------------------------------------------------------------------- */

/* Takes as much of the budget as a turn may use, `least` or more. False where it does not last, or the shot is to end; see the status. */
static __attribute__((noinline)) bool begins_turn(qrt_shot *shot, uint32_t least)
{
    uint32_t have = shot->budget_left + shot->turn_left;
    if (have < least || is_aborted(shot)) {
        shot->status = have < least ? QRT_ERR_BUDGET : QRT_ABORTED;
        return false;
    }
    uint32_t most = have < TURN_COUNT ? have : TURN_COUNT;
    shot->turn_left = most < least ? least : most;
    shot->budget_left = have - shot->turn_left;
    return true;
}

/* The section from step i on; singly, what is counted is counted later. */
INLINE bool enters(qrt_shot *shot, hand *h, const qrt_step *i, bool singly)
{
    qrt_sequencer *s = shot->active;
    if (!singly) {
        if (__builtin_expect(shot->turn_left < i->length, 0) && !begins_turn(shot, i->length)) {
            s->section.first = NULL;
            shot->goes_singly = shot->status == QRT_ERR_BUDGET;
            h->next = shot->goes_singly ? i : i + 1; /* once more, or behind the instruction that is not executed */
            return false;
        }
        shot->turn_left -= i->length;
    }
    s->section.first = i; /* field by field: a struct made for this and copied waits for its own stores */
    s->section.tick = h->cursor;
    s->section.hash = h->hash;
    return true;
}

/* Whatever is known of the section at arm is all of it. */
INLINE bool enters_known(qrt_shot *shot, hand *h, const qrt_step *i, bool singly)
{
    bool entered = enters(shot, h, i, singly);
    if (entered) {
        h->hash = linked(shot, h->hash, h->cursor, i->words);
    }
    return entered;
}

/* One more instruction, of the section that it is in. */
INLINE bool is_counted(qrt_shot *shot, hand *h, const qrt_step *i, bool singly)
{
    h->next = i + 1;
    bool counted = !singly || shot->turn_left > 0 || begins_turn(shot, 1);
    shot->turn_left -= singly && counted;
    return counted;
}

/* Of a sequencer that is put down, in instructions. */
static inline uint32_t section_left(const qrt_sequencer *s)
{
    const qrt_step *first = s->section.first;
    return first == NULL ? 0 : first->length - (uint32_t)(s->next - first);
}

/* What was paid for sections, and is not executed yet. */
static __attribute__((noinline)) void pay_back(qrt_shot *shot)
{
    for (uint32_t sequencer = 0; sequencer < shot->sequence.sequencer_count; sequencer++) {
        shot->turn_left += section_left(&shot->sequencers[sequencer]);
    }
}

/* Of sections that are not finished, into the hash: what was executed. */
static __attribute__((noinline)) void cut_sections(qrt_shot *shot)
{
    for (uint32_t sequencer = 0; sequencer < shot->sequence.sequencer_count; sequencer++) {
        qrt_sequencer *s = &shot->sequencers[sequencer];
        if (section_left(s) == 0) {
            continue;
        }
        uint64_t words = K0;
        for (const qrt_step *i = s->next; i > s->section.first; i--) {
            words = section_word(shot, words, instruction_words(shot, &shot->sequence.instructions[index_of(shot, i) - 1]));
        }
        s->hash = s->next == s->section.first ? s->section.hash : linked(shot, s->section.hash, s->section.tick, words);
    }
}

#endif
