/* The sequencers: what happens in a shot, and in which order. No clock, no ring: what it needs from outside it is lent.
 *
 * Order is (tick, phase, sequencer, program order), kept by order.h of whatever is due: captures that end (phase 0) and sequencers that
 * go on at their cursor (phase 1). The sequencer that executes, the `hand`, is outside the heap of these and stays so until another
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
    shot->active = sequencer;
    h->cursor = shot->sequencers[sequencer].cursor;
    h->stamp = stamp_of(shot, h->cursor, sequencer);
    h->next = shot->sequencers[sequencer].next;
    end_turn_after(shot, h->next, shot->turn_left);
    shot->own = shot->registers + sequencer * shot->register_count;
}

INLINE void look_ahead(qrt_shot *shot)
{
    const qrt_due *first = &shot->dues[0];
    int64_t sequencer_tick = first->tick + (sequencer_rank(shot->active) < first->rank);
    int64_t end_tick = shot->first_end_tick;
    shot->limit = end_tick < sequencer_tick ? end_tick : sequencer_tick;
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
            return stopped(shot, QRT_ERR_DEADLOCK, s->cursor, sequencer, index_of(shot, s->next) - 1);
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

INLINE void trace_outcome(qrt_shot *shot, const qrt_outstanding *ended, uint8_t outcome, const int64_t iq[2])
{
    const qrt_capture_words *words = &shot->capture_words[ended->capture_index];
    uint64_t stamp = stamp_of(shot, ended->end_tick, ended->sequencer);
    uint64_t hash = hashed(shot, shot->hash, stamp + (words->outcomes[outcome] + operand_word(shot, iq[0])));
    shot->hash = hashed(shot, hash, stamp + (words->iq + operand_word(shot, iq[1])));
    if (__builtin_expect(shot->start.events != NULL, 0)) {
        uint64_t head = head_from(QRT_EVENT_OUTCOME, ended->capture_index, outcome);
        log_event(shot, ended->end_tick, ended->sequencer, head, iq[0]);
        log_event(shot, ended->end_tick, ended->sequencer, head_from(QRT_EVENT_IQ, ended->capture_index, 0), iq[1]);
    }
}

/* Where the outcome of a capture can be read: ready on the port's grid, after its latency. */
INLINE void hand_over(qrt_shot *shot, const qrt_outstanding *ended, uint16_t bit, uint8_t outcome)
{
    int64_t ready_tick = ended->end_tick + shot->feedback_latency_ticks;
    int64_t beyond = shot->granularity_ticks > 1 ? ready_tick % shot->granularity_ticks : 0;
    bool is_last = --shot->bit_pending[bit] == 0;
    write_bit(shot, bit, outcome, beyond > 0 ? ready_tick + shot->granularity_ticks - beyond : ready_tick);
    if (!is_last) {
        shot->bit_ready[bit] = INT64_MAX;
    } else if (shot->bit_waiters != 0) {
        wake_waiters(shot, bit, ended->end_tick);
    }
}

static void give_up(qrt_shot *shot, qrt_miss_class miss_class, uint32_t done_count)
{
    shot->late = (qrt_late){true, miss_class, done_count};
}

/* A capture whose end was not what it should be: the shot stops there, or, on hardware that plays on, goes on as if nobody had looked:
 * the bit stays what it is. */
static __attribute__((noinline)) qrt_status end_badly(qrt_shot *shot, uint16_t slot, qrt_status status)
{
    const qrt_outstanding *ended = &shot->outstanding[slot];
    bool is_first = !shot->late.is_given_up;
    if (status == QRT_ERR_TOO_LATE && is_first) {
        uint32_t outstanding = shot->end_after_last - shot->end_first + 1; /* this one, too */
        give_up(shot, QRT_MISS_PORT, shot->captures_begun - outstanding);
    }
    if (status != QRT_ERR_TOO_LATE || is_first) {
        (void)stopped(shot, status, ended->end_tick, ended->sequencer, ended->instruction);
    }
    if (status != QRT_ERR_TOO_LATE || !shot->outside.port.plays_on) {
        return status;
    }
    shot->slots_free |= 1u << slot;
    uint16_t bit = shot->sequence.captures[ended->capture_index].bit;
    if (bit != QRT_BIT_NONE) {
        hand_over(shot, ended, bit, (uint8_t)(shot->bits >> bit & 1));
    }
    return QRT_OK;
}

/* The first of those outstanding. */
INLINE qrt_status end_capture(qrt_shot *shot)
{
    uint16_t slot = take_end(shot);
    const qrt_outstanding *ended = &shot->outstanding[slot];
    uint16_t index = ended->capture_index;
    const qrt_capture_spec *spec = &shot->sequence.captures[index];
    int64_t *iq = shot->start.iq + 2 * index;
    qrt_status status = shot->outside.demodulated(shot->outside.owner, slot, index, iq);
    if (__builtin_expect(status != QRT_OK, 0)) {
        return end_badly(shot, slot, status);
    }
    int64_t threshold = spec->threshold_slot == QRT_SLOT_NONE ? spec->threshold : shot->start.slots[spec->threshold_slot];
    uint8_t outcome = iq[0] > threshold;
    shot->slots_free |= 1u << slot;
    shot->captured |= (uint64_t)1 << index;
    shot->start.outcomes[index] = outcome;
    trace_outcome(shot, ended, outcome, iq);
    if (spec->bit != QRT_BIT_NONE) {
        hand_over(shot, ended, spec->bit, outcome);
    }
    return is_aborted(shot) ? stopped(shot, QRT_ABORTED, ended->end_tick, ended->sequencer, ended->instruction) : QRT_OK;
}

/* All that end at the same tick. */
static __attribute__((noinline)) qrt_status end_captures(qrt_shot *shot)
{
    int64_t tick = shot->first_end_tick;
    shot->end_tick = tick > shot->end_tick ? tick : shot->end_tick;
    qrt_status status = QRT_OK;
    while (status == QRT_OK && shot->first_end_tick == tick) {
        status = end_capture(shot);
    }
    return status;
}

/* Does what comes before the hand, or, where there is none, what comes first, until a sequencer has its turn. With nobody in the hand
 * afterwards the shot is over. */
INLINE qrt_status take_turns(qrt_shot *shot, hand *h)
{
    for (;;) {
        int64_t end_tick = shot->first_end_tick;
        if (end_tick <= shot->dues[0].tick && end_tick != INT64_MAX && (shot->active == NOBODY || end_tick <= h->cursor)) {
            shot->hash = h->hash;
            qrt_status status = end_captures(shot);
            h->hash = shot->hash;
            if (status != QRT_OK) {
                return status;
            }
            continue;
        }
        if (shot->active != NOBODY) {
            look_ahead(shot);
            if (h->cursor < shot->limit) {
                return QRT_OK;
            }
        } else if (shot->due_count == 0) {
            return done_or_deadlock(shot);
        }
        uint32_t sequencer = (uint32_t)(shot->dues[0].rank >> RANK_SEQUENCER);
        QRT_ASSERT(sequencer < shot->sequence.sequencer_count);
        if (shot->active == NOBODY) {
            drop_first(shot);
        } else {
            put_down(shot, h);
            replace_first(shot, (qrt_due){h->cursor, sequencer_rank(shot->active)});
        }
        pick_up(shot, h, sequencer);
    }
}

/* ---- The shot ------------------------------------------------------------------------------------------------- */

/* With an instruction: more of the budget. False where there is none; the status says why. */
static __attribute__((noinline)) bool begins_turn(qrt_shot *shot, const qrt_step *i)
{
    uint32_t count = is_aborted(shot) ? 0 : shot->budget_left < TURN_COUNT ? shot->budget_left : TURN_COUNT;
    shot->budget_left -= count;
    end_turn_after(shot, i, count);
    if (count == 0) {
        end_turn_after(shot, i + 1, 0); /* behind the instruction that is not executed */
        shot->status = shot->budget_left == 0 ? QRT_ERR_BUDGET : QRT_ABORTED;
    }
    return count > 0;
}

/* One more instruction of the budget. */
INLINE bool is_counted(qrt_shot *shot, hand *h, const qrt_step *i)
{
    h->next = i + 1;
    return __builtin_expect((uintptr_t)i != shot->turn_end, 1) || begins_turn(shot, i);
}

INLINE bool is_traced(qrt_shot *shot, hand *h, const qrt_step *i, bool logged)
{
    bool counted = is_counted(shot, h, i);
    if (counted) {
        h->hash = hashed(shot, h->hash, h->stamp + i->words);
        if (logged) {
            const qrt_instruction *given = &shot->sequence.instructions[index_of(shot, i)];
            log_event(shot, h->cursor, shot->active, head_of(given), given->d);
        }
    }
    return counted;
}

/* READ and WRITE, which may have to wait. */
INLINE turn touch_bit(qrt_shot *shot, hand *h, const qrt_step *i, bool logged)
{
    turn settled = settle_bit(shot, h, i->b);
    if (settled != GOES_ON) {
        return settled;
    }
    if (!is_traced(shot, h, i, logged)) {
        return FAILS;
    }
    if (i->kind == QRT_OP_READ) {
        shot->own[i->a] = (int64_t)(shot->bits >> i->b & 1);
    } else {
        write_bit(shot, i->b, (uint64_t)shot->own[i->a] & 1, h->cursor);
    }
    return GOES_ON;
}

/* In front of what an instruction does, in each case anew, so that the jump does not wait for the trace. */
#define TRACED(what) is_traced(shot, h, i, logged) ? (what) : FAILS
#define CASE_ALU(operation) case STEP_ALU + operation: return TRACED(alu(shot->own, i, operation))
#define CASE_BRANCH(condition, taken) case STEP_BRANCH + condition: return TRACED(branch(shot, h, i, taken))

INLINE turn step(qrt_shot *shot, hand *h, bool logged)
{
    const qrt_step *i = h->next;
    switch (i->kind) {
    case QRT_OP_END: return TRACED(end(shot, h));
    case QRT_OP_PLAY: return TRACED(play(shot, h, i, i->c));
    case QRT_OP_CAPTURE: return TRACED(capture(shot, h, i));
    case QRT_OP_WAIT: return TRACED(move_cursor(shot, h, i->d));
    case QRT_OP_WAIT_UNTIL: return TRACED(move_cursor_to(shot, h, i->d));
    case QRT_OP_SYNC: return TRACED(meet(shot, h, i->d));
    case QRT_OP_SET_FREQUENCY: return TRACED(set_frequency(i->nco, h->cursor, i->d));
    case QRT_OP_SHIFT_PHASE: return TRACED(shift_phase(i->nco, i->d));
    case QRT_OP_READ:
    case QRT_OP_WRITE: return touch_bit(shot, h, i, logged);
    CASE_ALU(QRT_ALU_SET);
    CASE_ALU(QRT_ALU_MOVE);
    CASE_ALU(QRT_ALU_ADD);
    CASE_ALU(QRT_ALU_SUB);
    CASE_ALU(QRT_ALU_AND);
    CASE_ALU(QRT_ALU_OR);
    CASE_ALU(QRT_ALU_XOR);
    CASE_ALU(QRT_ALU_EQ);
    CASE_ALU(QRT_ALU_LT);
    CASE_ALU(QRT_ALU_MULTIPLY);
    CASE_ALU(QRT_ALU_SHIFT_RIGHT);
    CASE_BRANCH(QRT_IF_ALWAYS, true);
    CASE_BRANCH(QRT_IF_ZERO, shot->own[i->a] == i->d);
    CASE_BRANCH(QRT_IF_NONZERO, shot->own[i->a] != i->d);
    CASE_BRANCH(QRT_IF_NEGATIVE, shot->own[i->a] < i->d);
    CASE_BRANCH(QRT_IF_NOT_NEGATIVE, shot->own[i->a] >= i->d);
    case QRT_OP_LOAD:
    case QRT_OP_LOOKUP:
    case QRT_OP_DRAW:
    case QRT_OP_WEIGH:
    case QRT_OP_EMIT:
    case QRT_OP_PLAY_REGISTER:
    case QRT_OP_WAIT_REGISTER:
    case QRT_OP_SET_FREQUENCY_REGISTER:
    case QRT_OP_SHIFT_PHASE_REGISTER: return is_counted(shot, h, i) ? step_resolved(shot, h, i, logged) : FAILS;
    default: __builtin_trap(); /* refused at arm */
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
            if (shot->status == QRT_ERR_TOO_LATE && shot->late.is_given_up) {
                shot->status = QRT_ERR_PORT; /* what plays on is never too late for a play */
            } else if (shot->status == QRT_ERR_TOO_LATE) {
                give_up(shot, QRT_MISS_DECISION, shot->plays_begun + shot->captures_begun - 1);
            }
            status = stopped(shot, shot->status, h.cursor, shot->active, index_of(shot, h.next) - 1);
            break;
        }
        shot->active = taken == LEAVES ? NOBODY : shot->active;
        status = take_turns(shot, &h);
    } while (status == QRT_OK && shot->active != NOBODY);
    shot->hash = h.hash;
    shot->budget_left += shot->active == NOBODY ? shot->turn_left : left_of(shot, &h);
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
    for (; shot->bits_touched != 0; shot->bits_touched &= shot->bits_touched - 1) {
        shot->bit_ready[__builtin_ctzll(shot->bits_touched)] = 0;
    }
    shot->weight = 1.0;
    shot->budget_left = sequence->budget;
    shot->turn_left = 0;
    shot->captures_begun = 0;
    shot->plays_begun = 0;
    shot->late.is_given_up = false;
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
        shot->sequencers[sequencer] = (qrt_sequencer){.next = shot->steps + sequence->entries[sequencer], .state = QRT_GOES_ON};
    }
    for (uint32_t sequencer = 1; sequencer < sequence->sequencer_count; sequencer++) {
        push_sequencer(shot, sequencer);
    }
}

static uint64_t first_bits(uint32_t count)
{
    return count < 64 ? ((uint64_t)1 << count) - 1 : UINT64_MAX;
}

void qrt_shot_arm(qrt_shot *shot, const qrt_sequence *sequence, const qrt_outside *outside, uint64_t seed, qrt_step *steps)
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
    shot->all_captures = first_bits(sequence->capture_count);
    shot->all_columns = first_bits(sequence->emit_count);
    shot->steps = steps;
    qrt_decode(shot);
}

/* What the shot did not come to, in its row. */
static void fill_rest(qrt_shot *shot)
{
    for (uint64_t left = shot->all_captures & ~shot->captured; left != 0; left &= left - 1) {
        int capture_index = __builtin_ctzll(left);
        shot->start.outcomes[capture_index] = QRT_OUTCOME_NONE;
        shot->start.iq[2 * capture_index] = 0;
        shot->start.iq[2 * capture_index + 1] = 0;
    }
    for (uint64_t left = shot->all_columns & ~shot->emitted; left != 0; left &= left - 1) {
        shot->start.emitted[__builtin_ctzll(left)] = 0;
    }
}

qrt_status qrt_shot_play(qrt_shot *shot)
{
    begin(shot);
    qrt_status status = shot->start.events != NULL ? play_logged(shot) : play_all(shot, false);
    fill_rest(shot);
    return status == QRT_OK && shot->late.is_given_up ? QRT_ERR_TOO_LATE : status;
}

void qrt_shot_forget(qrt_shot *shot)
{
    memset(shot->bit_pending, 0, sizeof shot->bit_pending); /* `begin` takes all else for old */
}
