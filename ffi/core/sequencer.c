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
#include "ends.h"
#include "instructions.h"
#include "sequence.h"
#include "sequencer.h"

/* ---- Whose turn it is ----------------------------------------------------------------------------------------- */

INLINE void look_ahead(qrt_shot *shot)
{
    const qrt_due *first = &shot->dues[0];
    int64_t sequencer_tick = first->tick + (sequencer_rank(shot->active->index) < first->rank);
    int64_t end_tick = shot->first_end_tick;
    shot->limit = end_tick < sequencer_tick ? end_tick : sequencer_tick;
}

/* The heap is empty and no capture is outstanding, but not all have ended: the first of those waits for a SYNC that cannot come. (Nobody
 * waits for a bit: the capture that writes it would have woken him.) */
static __attribute__((noinline)) qrt_status deadlock(qrt_shot *shot)
{
    uint32_t first = 0;
    while (shot->sequencers[first].state == QRT_HAS_ENDED) {
        first++;
        QRT_ASSERT(first < shot->sequence.sequencer_count);
    }
    const qrt_sequencer *s = &shot->sequencers[first];
    QRT_ASSERT(s->state == QRT_WAITS_FOR_SYNC);
    return stopped(shot, QRT_ERR_DEADLOCK, s->cursor, first, index_of(shot, s->next) - 1);
}

/* Does what comes before the hand, or, where there is none, what comes first, until a sequencer has its turn. With nobody in the hand
 * afterwards the shot is over. */
INLINE qrt_status take_turns(qrt_shot *shot, hand *h)
{
    for (;;) {
        int64_t end_tick = shot->first_end_tick;
        if (end_tick <= shot->dues[0].tick && end_tick <= (shot->active == NULL ? shot->limit_ticks : h->cursor)) {
            qrt_status status = end_captures(shot);
            if (status != QRT_OK) {
                return status;
            }
            continue;
        }
        if (shot->active != NULL) {
            look_ahead(shot);
            if (h->cursor < shot->limit) {
                return QRT_OK;
            }
        } else if (shot->due_count == 0) {
            return shot->ended_count == shot->sequence.sequencer_count ? QRT_OK : deadlock(shot);
        }
        uint32_t first = (uint32_t)(shot->dues[0].rank >> RANK_SEQUENCER);
        QRT_ASSERT(first < shot->sequence.sequencer_count);
        if (shot->active == NULL) {
            drop_first(shot);
        } else {
            put_down(shot, h);
            replace_first(shot, (qrt_due){h->cursor, sequencer_rank(shot->active->index)});
        }
        pick_up(shot, h, &shot->sequencers[first]);
    }
}

/* ---- The shot ------------------------------------------------------------------------------------------------- */

/* It is the instruction's turn: counted and logged, where that is done singly. */
INLINE bool comes_to(qrt_shot *shot, hand *h, const qrt_step *i, bool singly)
{
    bool counted = is_counted(shot, h, i, singly);
    if (singly && counted && shot->start.events != NULL) {
        const qrt_instruction *given = &shot->sequence.instructions[index_of(shot, i)];
        log_event(shot, h->cursor, shot->active->index, head_of(given), given->d);
    }
    return counted;
}

/* READ and WRITE, which may have to wait. */
INLINE turn touch_bit(qrt_shot *shot, hand *h, const qrt_step *i, bool singly)
{
    turn settled = settle_bit(shot, h, i->bit);
    if (settled != GOES_ON) {
        return settled;
    }
    if (!enters_known(shot, h, i, singly) || !comes_to(shot, h, i, singly)) {
        return FAILS;
    }
    if (i->kind == QRT_OP_READ) {
        shot->active->registers[i->a] = (int64_t)i->bit->value;
    } else {
        i->bit->value = (uint64_t)shot->active->registers[i->a] & 1;
        i->bit->ready_tick = h->cursor;
    }
    return GOES_ON;
}

/* Whether it looks, in its own time, whether its section can be entered. */
INLINE bool enters_by_itself(const qrt_step *i)
{
    return i->kind >= QRT_OP_READ && i->kind <= QRT_OP_SHIFT_PHASE_REGISTER;
}

static_assert(QRT_OP_READ + 1 == QRT_OP_WRITE && QRT_OP_WRITE + 1 == QRT_OP_ALU && QRT_OP_ALU + 1 == QRT_OP_BRANCH &&
                  QRT_OP_BRANCH + 1 == QRT_OP_LOAD,
              "between READ and the last, only ALU and BRANCH do not, and these are kinds of their own");

#define COMES(what) comes_to(shot, h, i, singly) ? (what) : FAILS
#define CASE_ALU(operation) case STEP_ALU + operation: return COMES(alu(shot->active->registers, i, operation))
#define CASE_BRANCH(condition, taken) case STEP_BRANCH + condition: return COMES(branch(h, i, taken))

INLINE turn step(qrt_shot *shot, hand *h, bool singly)
{
    const qrt_step *i = h->next;
    switch (i->kind) {
    case QRT_OP_END: return COMES(end(shot, h));
    case QRT_OP_PLAY: return COMES(play(shot, h, i, i->c, false));
    case STEP_PLAY_RESTARTED: return COMES(play(shot, h, i, i->c, true));
    case QRT_OP_CAPTURE: return COMES(capture(shot, h, i));
    case QRT_OP_WAIT: return COMES(move_cursor_to(shot, h, h->cursor + i->d, GOES_ON, MOVED));
    case QRT_OP_WAIT_UNTIL: return COMES(wait_until(shot, h, i->d));
    case QRT_OP_SYNC: return COMES(meet(shot, h, i->d));
    case QRT_OP_SET_FREQUENCY: return COMES(set_frequency(i->nco, h->cursor, i->d));
    case QRT_OP_SHIFT_PHASE: return COMES(shift_phase(i->nco, i->d));
    case QRT_OP_READ:
    case QRT_OP_WRITE: return touch_bit(shot, h, i, singly);
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
    CASE_BRANCH(QRT_IF_ZERO, shot->active->registers[i->a] == i->d);
    CASE_BRANCH(QRT_IF_NONZERO, shot->active->registers[i->a] != i->d);
    CASE_BRANCH(QRT_IF_NEGATIVE, shot->active->registers[i->a] < i->d);
    CASE_BRANCH(QRT_IF_NOT_NEGATIVE, shot->active->registers[i->a] >= i->d);
    case QRT_OP_LOAD:
    case QRT_OP_LOOKUP:
    case QRT_OP_DRAW:
    case QRT_OP_WEIGH:
    case QRT_OP_EMIT:
    case QRT_OP_PLAY_REGISTER:
    case QRT_OP_WAIT_REGISTER:
    case QRT_OP_SET_FREQUENCY_REGISTER:
    case QRT_OP_SHIFT_PHASE_REGISTER:
        return enters(shot, h, i, singly) && is_counted(shot, h, i, singly) ? step_resolved(shot, h, i, singly) : FAILS;
    default: __builtin_unreachable(); /* asserted when it was decoded; looked at here, it would cost every instruction two */
    }
}

/* What an instruction failed with, and where. */
static __attribute__((noinline)) qrt_status failed(qrt_shot *shot)
{
    const qrt_sequencer *s = shot->active;
    if (shot->status == QRT_ERR_TOO_LATE && shot->late.is_given_up) {
        shot->status = QRT_ERR_PORT; /* what plays on is never too late for a play */
    } else if (shot->status == QRT_ERR_TOO_LATE) {
        give_up(shot, QRT_MISS_DECISION, shot->plays_begun + shot->captures_begun - 1);
    }
    return stopped(shot, shot->status, s->cursor, s->index, index_of(shot, s->next) - 1);
}

/* From where the shot stands to its end, or to where it cannot go on. Bounded: each round executes an instruction, of which the budget has
 * so many, or takes an entry from the heap, which only an instruction or the end of a capture puts there. */
INLINE qrt_status play_on(qrt_shot *shot, bool singly)
{
    hand h;
    pick_up(shot, &h, shot->active);
    look_ahead(shot);
    qrt_status status = QRT_OK;
    while (status == QRT_OK && shot->active != NULL) {
        turn taken = shot->active->section.first == NULL ? CLOSES : GOES_ON;
        while (taken == GOES_ON || taken == CLOSES) {
            bool entered = taken == GOES_ON || enters_by_itself(h.next) || enters_known(shot, &h, h.next, singly);
            taken = entered ? step(shot, &h, singly) : FAILS;
        }
        if (taken == FAILS) {
            put_down(shot, &h);
            return failed(shot);
        }
        if (taken == LEAVES) {
            shot->active = NULL;
        } else if (taken == CLOSES_MOVED) {
            shot->active->section.first = NULL;
        }
        status = take_turns(shot, &h);
    }
    if (shot->active != NULL) {
        put_down(shot, &h);
    }
    return status;
}

static __attribute__((noinline)) qrt_status play_singly(qrt_shot *shot)
{
    return play_on(shot, true);
}

static qrt_status play_all(qrt_shot *shot)
{
    if (shot->start.events != NULL) {
        return play_singly(shot);
    }
    qrt_status status = play_on(shot, false);
    if (__builtin_expect(status != QRT_OK, 0)) {
        pay_back(shot);
    }
    return shot->goes_singly ? play_singly(shot) : status;
}

static void begin(qrt_shot *shot)
{
    const qrt_sequence *sequence = &shot->sequence;
    shot->now = 0;
    shot->end_tick = 0;
    shot->weight = 1.0;
    shot->turn_left = sequence->budget < TURN_COUNT ? sequence->budget : TURN_COUNT;
    shot->budget_left = sequence->budget - shot->turn_left;
    shot->goes_singly = false;
    shot->ended_count = 0;
    shot->active = &shot->sequencers[0]; /* the first at tick 0; the heap has the others */
    shot->ends_hash = K0;
    shot->captures_begun = 0;
    shot->plays_begun = 0;
    shot->late.is_given_up = false;
    shot->slots_free = (1u << QRT_OUTSTANDING_MAX) - 1;
    shot->bit_waiters = 0;
    shot->captured = 0;
    shot->emitted = 0;
    forget_all(shot);
    shot->event_count = 0;
    for (uint64_t left = shot->frames_moved; left != 0; left &= left - 1) {
        int frame = __builtin_ctzll(left);
        qrt_nco *nco = &shot->ncos[frame];
        nco->phase = sequence->frames[frame].phase;
        nco->carried = 0;
        nco->play.frequency = sequence->frames[frame].frequency;
    }
    for (uint32_t at = 0; at < shot->registers_used; at += QRT_REGISTERS_STEP) {
        memset(shot->registers + at, 0, QRT_REGISTERS_STEP * sizeof(int64_t)); /* a call for all of them costs more */
    }
    for (uint32_t sequencer = 0; sequencer < sequence->sequencer_count; sequencer++) {
        qrt_sequencer *s = &shot->sequencers[sequencer];
        s->cursor = 0;
        s->hash = K0;
        s->next = shot->steps + sequence->entries[sequencer];
        s->section.first = NULL;
        s->draw_count = 0;
        s->state = QRT_GOES_ON;
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
    shot->demodulate = qrt_isa_chosen()->demodulate;
    shot->limit_ticks = sequence->period_ticks * ((int64_t)sequence->stretch_max + 1);
    shot->feedback_latency_ticks = outside->port.feedback_latency_ticks;
    shot->granularity_ticks = outside->port.granularity_ticks;
    shot->sample_ticks = outside->port.sample_ticks;
    uint32_t register_count = qrt_sequence_register_count(sequence);
    register_count = (register_count + QRT_REGISTERS_STEP - 1) / QRT_REGISTERS_STEP * QRT_REGISTERS_STEP;
    shot->registers_used = register_count * sequence->sequencer_count;
    for (uint32_t sequencer = 0; sequencer < sequence->sequencer_count; sequencer++) {
        shot->sequencers[sequencer].index = sequencer;
        shot->sequencers[sequencer].label = label_of(shot, sequencer);
        shot->sequencers[sequencer].registers = shot->registers + sequencer * register_count;
    }
    shot->all_captures = first_bits(sequence->capture_count);
    shot->all_columns = first_bits(sequence->emit_count);
    for (uint32_t slot = 0; slot < QRT_OUTSTANDING_MAX; slot++) {
        shot->outstanding[slot].slot = slot;
    }
    shot->steps = steps;
    qrt_decode(shot);
}

/* What the shot did not come to, in its row; and the bits, which are as they began afterwards. */
static void fill_rest(qrt_shot *shot)
{
    shot->bits = 0;
    for (uint64_t left = shot->bits_used; left != 0; left &= left - 1) {
        int index = __builtin_ctzll(left);
        shot->bits |= shot->bit_cells[index].value << index;
        shot->bit_cells[index].value = 0;
        shot->bit_cells[index].ready_tick = 0;
    }
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
    qrt_status status = play_all(shot);
    if (__builtin_expect(status != QRT_OK, 0)) {
        cut_sections(shot);
    }
    shot->budget_left += shot->turn_left;
    fill_rest(shot);
    return status == QRT_OK && shot->late.is_given_up ? QRT_ERR_TOO_LATE : status;
}

void qrt_shot_forget(qrt_shot *shot)
{
    for (uint32_t bit = 0; bit <= QRT_BITS_MAX; bit++) {
        shot->bit_cells[bit].pending = 0; /* `begin` takes all else for old */
    }
}
