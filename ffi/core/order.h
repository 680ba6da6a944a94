/* Inside the sequencer: what is due, in the order (tick, phase, sequencer, program order).
 *
 * Sequencers that go on (phase 1) are in a small binary heap. The ends of captures (phase 0) come in nearly the order in which the
 * captures began: they are kept sorted, the latest looked at first. A rank orders what is due at the same tick, so that two comparisons
 * decide. Where nothing is due, the first is due beyond the shot: at a tick that no cursor can be at.
 */
#ifndef QRT_ORDER_H
#define QRT_ORDER_H
#include "checks.h"
#include "sequencer.h"

#define RANK_SEQUENCER 48 /* of a sequencer this alone; of a capture, below it, the order in which they began */

static inline int64_t beyond(const qrt_shot *shot)
{
    return shot->limit_ticks + 1;
}

static inline uint64_t sequencer_rank(uint32_t sequencer)
{
    return (uint64_t)sequencer << RANK_SEQUENCER;
}

static inline bool is_before(qrt_due a, qrt_due b)
{
    return a.tick < b.tick || (a.tick == b.tick && a.rank < b.rank);
}

/* ---- Sequencers ----------------------------------------------------------------------------------------------- */

static inline void push_sequencer(qrt_shot *shot, uint32_t sequencer)
{
    const qrt_due due = {shot->sequencers[sequencer].cursor, sequencer_rank(sequencer)};
    QRT_ASSERT(shot->due_count < QRT_SEQUENCERS_MAX && due.tick >= shot->now);
    uint32_t at = shot->due_count++;
    while (at > 0 && is_before(due, shot->dues[(at - 1) / 2])) {
        shot->dues[at] = shot->dues[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    shot->dues[at] = due;
}

/* Takes the first away and puts another in its place: from the front, `moved` finds where it belongs. */
static inline void replace_first(qrt_shot *shot, qrt_due moved)
{
    int64_t tick = shot->dues[0].tick;
    QRT_ASSERT(tick >= shot->now); /* ticks that the port sees never decrease */
    shot->now = tick;
    uint32_t at = 0;
    for (uint32_t child = 1; child < shot->due_count; child = 2 * at + 1) {
        if (child + 1 < shot->due_count && is_before(shot->dues[child + 1], shot->dues[child])) {
            child++;
        }
        if (!is_before(shot->dues[child], moved)) {
            break;
        }
        shot->dues[at] = shot->dues[child];
        at = child;
    }
    shot->dues[at] = moved;
}

static inline void drop_first(qrt_shot *shot)
{
    QRT_ASSERT(shot->due_count > 0);
    shot->due_count--;
    replace_first(shot, shot->due_count > 0 ? shot->dues[shot->due_count] : (qrt_due){beyond(shot), 0});
}

/* ---- Ends of captures ----------------------------------------------------------------------------------------- */

static_assert((QRT_OUTSTANDING_MAX & (QRT_OUTSTANDING_MAX - 1)) == 0, "positions wrap by a mask");

static inline qrt_outstanding **end_at(qrt_shot *shot, uint32_t position)
{
    return &shot->ends[position % QRT_OUTSTANDING_MAX];
}

static inline bool ends_before(const qrt_outstanding *a, const qrt_outstanding *b)
{
    return a->end_tick < b->end_tick || (a->end_tick == b->end_tick && a->rank < b->rank);
}

static inline void push_end(qrt_shot *shot, qrt_outstanding *one)
{
    QRT_ASSERT(one->end_tick >= shot->now);
    uint32_t at = shot->end_after_last++; /* there is room: each has a slot, of which there are as many */
    while (at != shot->end_first && ends_before(one, *end_at(shot, at - 1))) {
        *end_at(shot, at) = *end_at(shot, at - 1);
        at--;
    }
    *end_at(shot, at) = one;
    shot->first_end_tick = one->end_tick < shot->first_end_tick ? one->end_tick : shot->first_end_tick;
}

/* The first one, which is taken away. There is one where `first_end_tick` is not beyond the shot. */
static inline qrt_outstanding *take_end(qrt_shot *shot)
{
    qrt_outstanding *first = *end_at(shot, shot->end_first++);
    QRT_ASSERT(first->end_tick == shot->first_end_tick && first->end_tick >= shot->now);
    shot->now = first->end_tick;
    shot->first_end_tick = shot->end_first == shot->end_after_last ? beyond(shot) : (*end_at(shot, shot->end_first))->end_tick;
    return first;
}

static inline void forget_all(qrt_shot *shot)
{
    shot->due_count = 0;
    shot->dues[0] = (qrt_due){beyond(shot), 0};
    shot->end_first = shot->end_after_last = 0;
    shot->first_end_tick = beyond(shot);
}

#endif
