/* Inside the sequencer: the ends of captures, which are phase 0 of their tick.
 *
 * The samples become iq, these an outcome, the outcome goes into the row, the trace and its bit; whoever waits for the bit goes on.
 */
#ifndef QRT_ENDS_H
#define QRT_ENDS_H
#include "arrival.h"
#include "instructions.h"

static qrt_status stopped(qrt_shot *shot, qrt_status status, int64_t tick, uint32_t sequencer, uint32_t instruction)
{
    shot->place = (qrt_place){tick, sequencer, instruction};
    return status;
}

static __attribute__((noinline)) void wake_waiters(qrt_shot *shot, const qrt_bit *bit, int64_t tick)
{
    for (uint32_t left = shot->bit_waiters; left != 0; left &= left - 1) {
        uint32_t sequencer = (uint32_t)__builtin_ctz(left);
        qrt_sequencer *s = &shot->sequencers[sequencer];
        if (s->bit == bit) { /* it finds the ready tick when it tries again, now */
            shot->bit_waiters &= ~(1u << sequencer);
            s->state = QRT_GOES_ON;
            s->cursor = tick;
            push_sequencer(shot, sequencer);
        }
    }
}

static __attribute__((noinline)) void log_end(qrt_shot *shot, const qrt_outstanding *ended, uint8_t outcome, const int64_t iq[2])
{
    uint32_t sequencer = (uint32_t)(ended->rank >> RANK_SEQUENCER);
    log_event(shot, ended->end_tick, sequencer, head_from(QRT_EVENT_OUTCOME, ended->planned->index, outcome), iq[0]);
    log_event(shot, ended->end_tick, sequencer, head_from(QRT_EVENT_IQ, ended->planned->index, 0), iq[1]);
}

/* Where the outcome of a capture can be read, it is, from its ready tick on. */
INLINE void hand_over(qrt_shot *shot, const qrt_outstanding *ended, uint64_t outcome)
{
    qrt_bit *bit = ended->planned->bit;
    bit->value = outcome;
    bit->pending--;
    if (__builtin_expect(bit->pending == 0, 1)) { /* else it is still to be written */
        bit->ready_tick = ended->ready_tick;
        if (__builtin_expect(shot->bit_waiters != 0, 0)) {
            wake_waiters(shot, bit, ended->end_tick);
        }
    }
}

static void give_up(qrt_shot *shot, qrt_miss_class miss_class, uint32_t done_count)
{
    shot->late = (qrt_late){true, miss_class, done_count};
}

/* At the end of a capture. */
static qrt_status stopped_at(qrt_shot *shot, qrt_status status, const qrt_outstanding *ended)
{
    return stopped(shot, status, ended->end_tick, (uint32_t)(ended->rank >> RANK_SEQUENCER), index_of(shot, ended->step));
}

/* A capture whose end was not what it should be: the shot stops there, or, on hardware that plays on, goes on as if nobody had looked:
 * the bit stays what it is. */
static __attribute__((noinline)) qrt_status end_badly(qrt_shot *shot, const qrt_outstanding *ended, qrt_status status)
{
    bool is_first = !shot->late.is_given_up;
    if (status == QRT_ERR_TOO_LATE && is_first) {
        uint32_t outstanding = shot->end_after_last - shot->end_first + 1; /* this one, too */
        give_up(shot, QRT_MISS_PORT, shot->captures_begun - outstanding);
    }
    if (status != QRT_ERR_TOO_LATE || is_first) {
        (void)stopped_at(shot, status, ended);
    }
    if (status != QRT_ERR_TOO_LATE || !shot->outside.port.plays_on) {
        return status;
    }
    shot->slots_free |= 1u << ended->slot;
    hand_over(shot, ended, ended->planned->bit->value);
    return QRT_OK;
}

/* The first of those outstanding. */
INLINE qrt_status end_capture(qrt_shot *shot)
{
    qrt_outstanding *ended = take_end(shot);
    const qrt_planned *planned = ended->planned;
    int64_t *iq = shot->start.iq + 2 * planned->index;
    const int16_t *samples = NULL;
    qrt_status status = qrt_arrival_end(shot, ended, iq, &samples);
    if (__builtin_expect(status != QRT_OK, 0)) {
        return end_badly(shot, ended, status);
    }
    if (__builtin_expect(planned->raw, 0)) {
        shot->outside.take_raw(shot->outside.owner, planned->index, samples, planned->asked.sample_count);
    }
    uint8_t outcome = iq[0] > *planned->threshold;
    shot->slots_free |= 1u << ended->slot;
    shot->captured |= planned->mask;
    shot->start.outcomes[planned->index] = outcome;
    shot->ends_hash = linked_end(shot, shot->ends_hash, ended->stamp, planned->words[outcome], iq);
    if (__builtin_expect(shot->start.events != NULL, 0)) {
        log_end(shot, ended, outcome, iq);
    }
    hand_over(shot, ended, outcome);
    return is_aborted(shot) ? stopped_at(shot, QRT_ABORTED, ended) : QRT_OK;
}

/* All that end at the same tick. */
INLINE qrt_status end_captures(qrt_shot *shot)
{
    int64_t tick = shot->first_end_tick;
    qrt_status status = QRT_OK;
    shot->end_tick = tick; /* ticks are taken in order: none was later */
    while (status == QRT_OK && shot->first_end_tick == tick) {
        status = end_capture(shot);
    }
    return status;
}

#endif
