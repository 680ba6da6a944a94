/* The sequencers: what happens in a shot, and in which order. No clock, no ring: what it needs from outside it is lent.
 *
 * Order is (tick, phase, sequencer, program order), kept by a small heap (order.h) of whatever is due: sequencers that go on at
 * their cursor (phase 1) and captures that end (phase 0). The sequencer that executes, the `hand`, is outside the heap and stays so until another
 * one comes first; the end of a capture is dealt with in between. Most instructions therefore cost no comparison, those that move
 * the cursor cost one, with the tick at which something else comes first. A sequencer that waits for a SYNC or for a bit is not in
 * the heap at all: whoever completes the SYNC, or the end of the capture, puts it back.
 *
 * READ and WRITE are executed at a tick where the bit is ready and no capture that will write it is outstanding; until then
 * they are tried again, and counted and traced once. An instruction whose operand from a register is out of range is counted and
 * not traced. What each instruction does is in instructions.h.
 */
#include <string.h>
#include "checks.h"
#include "instructions.h"
#include "order.h"
#include "sequence.h"
#include "sequencer.h"
#include "trace.h"

#define NOBODY QRT_SEQUENCERS_MAX
#define TURN_COUNT (1u << 20) /* instructions, some milliseconds: how long an abort may wait for a loop without effects */

uint64_t qrt_shot_trace_hash(const qrt_shot *shot)
{
    return mix(shot, mix(shot, shot->hash));
}

/* ---- Whose turn it is ----------------------------------------------------------------------------------------- */

INLINE void pick_up(qrt_shot *shot, hand *h, uint32_t sequencer)
{
    shot->label = label_of(sequencer);
    shot->active = sequencer;
    h->cursor = shot->sequencers[sequencer].cursor;
    h->next = shot->sequence.instructions + shot->sequencers[sequencer].pc;
    shot->own = shot->registers + sequencer * shot->register_count;
}

INLINE void look_ahead(qrt_shot *shot)
{
    const qrt_due *first = &shot->dues[0];
    shot->limit = first->tick + (sequencer_rank(shot->active) < first->rank);
}

static qrt_status stopped(qrt_shot *shot, qrt_status status, int64_t tick, uint32_t sequencer, uint32_t instruction)
{
    shot->place = (qrt_place){tick, sequencer, instruction};
    return status;
}

/* The heap is empty and no capture is outstanding: either all have ended, or some wait for a SYNC that cannot come. */
static qrt_status done_or_deadlock(qrt_shot *shot)
{
    for (uint32_t sequencer = 0; sequencer < shot->sequence.sequencer_count; sequencer++) {
        const qrt_sequencer *s = &shot->sequencers[sequencer];
        QRT_ASSERT(s->state == QRT_HAS_ENDED || s->state == QRT_WAITS_FOR_SYNC);
        if (s->state == QRT_WAITS_FOR_SYNC) {
            return stopped(shot, QRT_ERR_DEADLOCK, s->cursor, sequencer, s->pc - 1);
        }
    }
    return QRT_OK;
}

/* ---- The end of a capture ------------------------------------------------------------------------------------- */

static void wake_waiters(qrt_shot *shot, uint32_t bit, int64_t tick)
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

INLINE uint64_t take_outcome(qrt_shot *shot, uint64_t hash, uint16_t slot, const int64_t iq[2], bool logged)
{
    const qrt_outstanding *ended = &shot->outstanding[slot];
    const qrt_capture_spec *spec = &shot->sequence.captures[ended->capture_index];
    int64_t threshold = spec->threshold_slot == QRT_SLOT_NONE ? spec->threshold : shot->start.slots[spec->threshold_slot];
    uint8_t outcome = iq[0] > threshold;
    shot->slots_free |= 1u << slot;
    shot->captured |= (uint64_t)1 << ended->capture_index;
    shot->end_tick = ended->end_tick > shot->end_tick ? ended->end_tick : shot->end_tick;
    shot->start.outcomes[ended->capture_index] = outcome;
    shot->start.iq[2 * ended->capture_index] = iq[0];
    shot->start.iq[2 * ended->capture_index + 1] = iq[1];
    uint64_t head = head_from(QRT_EVENT_OUTCOME, ended->capture_index, outcome);
    hash = traced(hash, shot, logged, ended->end_tick, label_of(ended->sequencer), head, iq[0]);
    head = head_from(QRT_EVENT_IQ, ended->capture_index, 0);
    hash = traced(hash, shot, logged, ended->end_tick, label_of(ended->sequencer), head, iq[1]);
    if (spec->bit == QRT_BIT_NONE) {
        return hash;
    }
    int64_t ready_tick = ended->end_tick + shot->feedback_latency_ticks;
    int64_t beyond = shot->granularity_ticks > 1 ? ready_tick % shot->granularity_ticks : 0;
    write_bit(shot, spec->bit, outcome, beyond > 0 ? ready_tick + shot->granularity_ticks - beyond : ready_tick);
    if (--shot->bit_pending[spec->bit] == 0 && shot->bit_waiters != 0) {
        wake_waiters(shot, spec->bit, ended->end_tick);
    }
    return hash;
}

/* Of the first in the heap. */
INLINE qrt_status end_capture(qrt_shot *shot, hand *h, bool logged)
{
    uint16_t slot = (uint16_t)(shot->dues[0].rank & ((1u << RANK_ORDER) - 1));
    const qrt_outstanding *ended = &shot->outstanding[slot];
    drop_first(shot);
    int64_t iq[2];
    qrt_status status = shot->outside.demodulated(shot->outside.owner, slot, ended->capture_index, iq);
    if (status == QRT_OK) {
        h->hash = take_outcome(shot, h->hash, slot, iq, logged);
        status = is_aborted(shot) ? QRT_ABORTED : QRT_OK;
    }
    return status == QRT_OK ? status : stopped(shot, status, ended->end_tick, ended->sequencer, ended->instruction);
}

/* Does what comes before the hand, or, where there is none, what comes first, until a sequencer has its turn. With nobody in the hand
 * afterwards the shot is over. */
INLINE qrt_status take_turns(qrt_shot *shot, hand *h, bool logged)
{
    for (;;) {
        if (shot->active != NOBODY) {
            look_ahead(shot);
            if (h->cursor < shot->limit) {
                return QRT_OK;
            }
        } else if (shot->due_count == 0) {
            return done_or_deadlock(shot);
        }
        uint64_t rank = shot->dues[0].rank;
        if (rank < RANK_INSTRUCTION) {
            qrt_status status = end_capture(shot, h, logged);
            if (status != QRT_OK) {
                return status;
            }
            continue;
        }
        if (shot->active == NOBODY) {
            drop_first(shot);
        } else {
            put_down(shot, h);
            replace_first(shot, (qrt_due){h->cursor, sequencer_rank(shot->active)});
        }
        pick_up(shot, h, (uint32_t)(rank >> RANK_SEQUENCER) & (QRT_SEQUENCERS_MAX - 1));
    }
}

/* ---- The shot ------------------------------------------------------------------------------------------------- */

/* More of the budget: a number of instructions, or 0, and the status says why. */
static __attribute__((noinline)) uint32_t next_turn(qrt_shot *shot)
{
    uint32_t count = is_aborted(shot) ? 0 : shot->budget_left < TURN_COUNT ? shot->budget_left : TURN_COUNT;
    shot->budget_left -= count;
    return count;
}

/* One more instruction of the budget. */
INLINE bool is_counted(qrt_shot *shot, hand *h, const qrt_instruction *i)
{
    h->next = i + 1;
    if (__builtin_expect(h->left == 0, 0)) {
        h->left = next_turn(shot);
        if (h->left == 0) {
            shot->status = shot->budget_left == 0 ? QRT_ERR_BUDGET : QRT_ABORTED;
            return false;
        }
    }
    h->left--;
    return true;
}

INLINE bool is_traced(qrt_shot *shot, hand *h, const qrt_instruction *i, bool logged)
{
    bool counted = is_counted(shot, h, i);
    if (counted) {
        h->hash = traced(h->hash, shot, logged, h->cursor, shot->label, head_of(i), i->d);
    }
    return counted;
}

/* READ and WRITE, which may have to wait. */
INLINE turn touch_bit(qrt_shot *shot, hand *h, const qrt_instruction *i, bool logged)
{
    turn settled = settle_bit(shot, h, i->b);
    if (settled != GOES_ON) {
        return settled;
    }
    if (!is_traced(shot, h, i, logged)) {
        return FAILS;
    }
    if (i->op == QRT_OP_READ) {
        shot->own[i->a] = (int64_t)(shot->bits >> i->b & 1);
    } else {
        write_bit(shot, i->b, (uint64_t)shot->own[i->a] & 1, h->cursor);
    }
    return GOES_ON;
}

/* In front of what an instruction does. */
#define TRACE                              \
    if (!is_traced(shot, h, i, logged)) {  \
        return FAILS;                      \
    }

/* In each case anew, so that the jump does not wait for the trace. */
INLINE turn step(qrt_shot *shot, hand *h, bool logged)
{
    const qrt_instruction *i = h->next;
    switch ((qrt_op)i->op) {
    case QRT_OP_END:
        TRACE
        shot->sequencers[shot->active].state = QRT_HAS_ENDED;
        shot->end_tick = h->cursor > shot->end_tick ? h->cursor : shot->end_tick;
        put_down(shot, h);
        return LEAVES;
    case QRT_OP_PLAY:
        TRACE
        return play(shot, h, i, i->c);
    case QRT_OP_CAPTURE:
        TRACE
        return capture(shot, h, i);
    case QRT_OP_WAIT:
        TRACE
        return move_cursor(shot, h, i->d);
    case QRT_OP_WAIT_UNTIL:
        TRACE
        return i->d < h->cursor ? fails(shot, QRT_ERR_UNDERFLOW) : move_cursor(shot, h, i->d - h->cursor);
    case QRT_OP_SYNC:
        TRACE
        put_down(shot, h);
        return sync(shot, shot->active, i->d) ? LEAVES : fails(shot, QRT_ERR_INSTRUCTION);
    case QRT_OP_SET_FREQUENCY:
        TRACE
        set_frequency(&shot->ncos[i->a], h->cursor, i->d);
        return GOES_ON;
    case QRT_OP_SHIFT_PHASE:
        TRACE
        shot->ncos[i->a].phase += (uint64_t)i->d;
        return GOES_ON;
    case QRT_OP_READ:
    case QRT_OP_WRITE:
        return touch_bit(shot, h, i, logged);
    case QRT_OP_ALU:
        TRACE
        alu(shot->own, i);
        return GOES_ON;
    case QRT_OP_BRANCH:
        TRACE
        h->next = branches(shot->own[i->a], i->b, i->d) ? shot->sequence.instructions + i->c : h->next;
        return GOES_ON;
    case QRT_OP_LOAD:
    case QRT_OP_LOOKUP:
    case QRT_OP_DRAW:
    case QRT_OP_WEIGH:
    case QRT_OP_EMIT:
    case QRT_OP_PLAY_REGISTER:
    case QRT_OP_WAIT_REGISTER:
    case QRT_OP_SET_FREQUENCY_REGISTER:
    case QRT_OP_SHIFT_PHASE_REGISTER:
        return is_counted(shot, h, i) ? step_resolved(shot, h, i, logged) : FAILS;
    default:
        h->next = i + 1;
        return fails(shot, QRT_ERR_INSTRUCTION); /* refused at arm */
    }
}

/* Bounded: each round executes an instruction, of which the budget has so many, or takes an entry from the heap, which only an
 * instruction or the end of a capture puts there. */
INLINE qrt_status play_all(qrt_shot *shot, bool logged)
{
    hand h = {.hash = K0};
    pick_up(shot, &h, 0); /* the first at tick 0; the heap has the others */
    look_ahead(shot);
    qrt_status status = QRT_OK;
    do {
        turn taken = GOES_ON;
        while (taken == GOES_ON || (taken == MOVED && h.cursor < shot->limit)) {
            taken = step(shot, &h, logged);
        }
        if (taken == FAILS) {
            status = stopped(shot, shot->status, h.cursor, shot->active, next_index(shot, &h) - 1);
            break;
        }
        shot->active = taken == LEAVES ? NOBODY : shot->active;
        status = take_turns(shot, &h, logged);
    } while (status == QRT_OK && shot->active != NOBODY);
    shot->hash = h.hash;
    shot->budget_left += h.left;
    return status;
}

static __attribute__((noinline)) qrt_status play_logged(qrt_shot *shot)
{
    return play_all(shot, true);
}

static void begin(qrt_shot *shot)
{
    const qrt_sequence *sequence = &shot->sequence;
    shot->now = 0;
    shot->end_tick = 0;
    shot->bits = 0;
    shot->bits_written = 0;
    shot->weight = 1.0;
    shot->budget_left = sequence->budget;
    shot->captures_begun = 0;
    shot->slots_free = (1u << QRT_OUTSTANDING_MAX) - 1;
    shot->bit_waiters = 0;
    shot->captured = 0;
    shot->emitted = 0;
    forget_all(shot);
    shot->event_count = 0;
    for (uint32_t frame = 0; frame < sequence->frame_count; frame++) {
        const qrt_frame *given = &sequence->frames[frame];
        qrt_nco *nco = &shot->ncos[frame];
        nco->phase = given->phase;
        nco->carried = 0;
        nco->play.frequency = given->frequency;
        nco->play.line = given->line;
    }
    for (uint32_t at = 0; at < sequence->sequencer_count * shot->register_count; at += QRT_REGISTERS_STEP) {
        memset(shot->registers + at, 0, QRT_REGISTERS_STEP * sizeof(int64_t)); /* a call for all of them costs more */
    }
    for (uint32_t sequencer = 0; sequencer < sequence->sequencer_count; sequencer++) {
        shot->sequencers[sequencer] = (qrt_sequencer){.pc = sequence->entries[sequencer], .state = QRT_GOES_ON};
    }
    for (uint32_t sequencer = 1; sequencer < sequence->sequencer_count; sequencer++) {
        push_sequencer(shot, sequencer);
    }
}

void qrt_shot_arm(qrt_shot *shot, const qrt_sequence *sequence, const qrt_outside *outside, uint64_t seed)
{
    memset(shot, 0, sizeof *shot);
    shot->sequence = *sequence;
    shot->outside = *outside;
    shot->seed = seed;
    set_factors(shot);
    shot->limit_ticks = sequence->period_ticks * ((int64_t)sequence->stretch_max + 1);
    shot->feedback_latency_ticks = outside->port.feedback_latency_ticks;
    shot->granularity_ticks = outside->port.granularity_ticks;
    shot->sample_ticks = outside->port.sample_ticks;
    uint32_t register_count = qrt_sequence_register_count(sequence);
    shot->register_count = (register_count + QRT_REGISTERS_STEP - 1) / QRT_REGISTERS_STEP * QRT_REGISTERS_STEP;
}

static uint64_t first_bits(uint32_t count)
{
    return count < 64 ? ((uint64_t)1 << count) - 1 : UINT64_MAX;
}

/* What the shot did not come to, in its row. */
static void fill_rest(qrt_shot *shot)
{
    for (uint64_t left = first_bits(shot->sequence.capture_count) & ~shot->captured; left != 0; left &= left - 1) {
        int capture_index = __builtin_ctzll(left);
        shot->start.outcomes[capture_index] = QRT_OUTCOME_NONE;
        shot->start.iq[2 * capture_index] = 0;
        shot->start.iq[2 * capture_index + 1] = 0;
    }
    for (uint64_t left = first_bits(shot->sequence.emit_count) & ~shot->emitted; left != 0; left &= left - 1) {
        shot->start.emitted[__builtin_ctzll(left)] = 0;
    }
}

qrt_status qrt_shot_play(qrt_shot *shot)
{
    begin(shot);
    qrt_status status = shot->start.events != NULL ? play_logged(shot) : play_all(shot, false);
    fill_rest(shot);
    return status;
}
