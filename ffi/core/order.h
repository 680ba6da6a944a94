/* Inside the sequencer: what is due, in the order (tick, phase, sequencer, program order), as a small binary heap.
 *
 * A rank orders what is due at the same tick, so that two comparisons decide. Where nothing is due, the first is due at the end of time.
 */
#ifndef QRT_ORDER_H
#define QRT_ORDER_H
#include "checks.h"
#include "sequencer.h"

#define RANK_INSTRUCTION ((uint64_t)1 << 63) /* phase 1 */
#define RANK_SEQUENCER 48                    /* then the sequencer */
#define RANK_ORDER 8                         /* then the order in which captures began; below it, the capture's slot */

static inline uint64_t sequencer_rank(uint32_t sequencer)
{
    return RANK_INSTRUCTION | (uint64_t)sequencer << RANK_SEQUENCER;
}

static inline bool is_before(qrt_due a, qrt_due b)
{
    return a.tick < b.tick || (a.tick == b.tick && a.rank < b.rank);
}

static inline void push(qrt_shot *shot, qrt_due due)
{
    QRT_ASSERT(shot->due_count < QRT_DUES_MAX && due.tick >= shot->now);
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

static inline void forget_all(qrt_shot *shot)
{
    shot->due_count = 0;
    shot->dues[0] = (qrt_due){INT64_MAX, 0};
}

static inline void drop_first(qrt_shot *shot)
{
    QRT_ASSERT(shot->due_count > 0);
    shot->due_count--;
    replace_first(shot, shot->due_count > 0 ? shot->dues[shot->due_count] : (qrt_due){INT64_MAX, 0});
}

static inline void push_sequencer(qrt_shot *shot, uint32_t sequencer)
{
    push(shot, (qrt_due){shot->sequencers[sequencer].cursor, sequencer_rank(sequencer)});
}

#endif
