/* The sequencers: what happens in a shot, and in which order. Pure: no port, no clock, no ring.
 *
 * The kernel asks for the next effect, does it, and asks again (kernel.c). Order is
 * (tick, phase, sequencer, program order), kept by a small heap (order.h) of whatever is due: sequencers that go on at their cursor
 * (phase 1) and captures that end (phase 0). The sequencer that executes is outside the heap, and stays so until something in
 * the heap comes before its cursor; most instructions therefore cost one comparison with the tick at which that happens, and what
 * they change most is in machine registers (`hand`). A sequencer that waits for a SYNC or for a bit is not in the heap at all:
 * whoever completes the SYNC, or the end of the capture, puts it back.
 *
 * READ and WRITE are executed at a tick where the bit is ready and no capture that will write it is outstanding; until then
 * they are tried again, and counted and traced once. An instruction whose operand from a register is out of range is counted and
 * not traced.
 */
#include <string.h>
#include "checks.h"
#include "order.h"
#include "sequence.h"
#include "sequencer.h"
#include "trace.h"
#include "../philox.h"

#define NOBODY QRT_SEQUENCERS_MAX
#define NO_EFFECT ((qrt_effect_kind)-1) /* go on with this sequencer */
#define LEAVES ((qrt_effect_kind)-2)    /* it waits or has ended; go on with another */
#define PAUSE_COUNT (1u << 20)          /* instructions, some milliseconds: how long an abort may wait for a loop */
#define INLINE static inline __attribute__((always_inline))

/* Of the sequencer that executes; `put_down` when it stops, or before anybody else looks at it. */
typedef struct {
    int64_t cursor;
    uint64_t hash;
    uint32_t pc;
    uint32_t left; /* of the budget */
} hand;

INLINE void put_down(qrt_shot *shot, uint32_t sequencer, const hand *h)
{
    shot->sequencers[sequencer].cursor = h->cursor;
    shot->sequencers[sequencer].pc = h->pc;
}

uint64_t qrt_shot_trace_hash(const qrt_shot *shot)
{
    return mix(mix(shot->hash));
}

/* ---- Instructions --------------------------------------------------------------------------------------------- */

INLINE qrt_effect_kind fails(qrt_effect *effect, qrt_status status)
{
    effect->status = status;
    return QRT_EFFECT_ERROR;
}

INLINE qrt_effect_kind move_cursor(const qrt_shot *shot, hand *h, int64_t ticks, qrt_effect *effect)
{
    if (ticks > shot->limit_ticks - h->cursor) {
        return fails(effect, QRT_ERR_OVERRUN);
    }
    h->cursor += ticks;
    return NO_EFFECT;
}

INLINE bool is_off_grid(const qrt_shot *shot, int64_t tick)
{
    return shot->granularity_ticks > 1 && tick % shot->granularity_ticks != 0;
}

INLINE qrt_effect_kind play(const qrt_shot *shot, int64_t cursor, const qrt_instruction *i, int32_t amplitude, qrt_effect *effect)
{
    if (cursor >= shot->limit_ticks) {
        return fails(effect, QRT_ERR_OVERRUN);
    }
    if (is_off_grid(shot, cursor)) {
        return fails(effect, QRT_ERR_INSTRUCTION);
    }
    const qrt_nco *nco = &shot->ncos[i->a];
    uint64_t turned = i->d == 1 ? 0 : nco->carried + nco->frequency * (uint64_t)cursor;
    effect->play = (qrt_play){.tick = shot->start.tick + cursor,
                              .frequency = (int64_t)nco->frequency,
                              .phase = nco->phase + turned,
                              .amplitude = amplitude,
                              .line = shot->sequence.frames[i->a].line,
                              .segment = i->b};
    return QRT_EFFECT_PLAY;
}

INLINE qrt_effect_kind capture(qrt_shot *shot, uint32_t sequencer, const hand *h, const qrt_instruction *i, qrt_effect *effect)
{
    const qrt_capture_spec *spec = &shot->sequence.captures[i->b];
    int64_t end_tick = h->cursor + (int64_t)spec->sample_count * shot->sample_ticks;
    if (end_tick > shot->limit_ticks) {
        return fails(effect, QRT_ERR_OVERRUN);
    }
    if (is_off_grid(shot, h->cursor)) {
        return fails(effect, QRT_ERR_INSTRUCTION);
    }
    if (shot->slots_free == 0) {
        return fails(effect, QRT_ERR_CHANNEL);
    }
    uint16_t slot = (uint16_t)__builtin_ctz(shot->slots_free);
    shot->slots_free &= shot->slots_free - 1;
    shot->outstanding[slot] = (qrt_outstanding){end_tick, h->pc - 1, (uint16_t)sequencer, i->b};
    if (spec->bit != QRT_BIT_NONE) {
        shot->bit_pending[spec->bit]++;
    }
    uint64_t order = shot->captures_begun++;
    push(shot, (qrt_due){end_tick, (uint64_t)sequencer << RANK_SEQUENCER | order << RANK_ORDER | slot});
    effect->capture = (qrt_capture){
        .tick = shot->start.tick + h->cursor, .sample_count = spec->sample_count, .channel = spec->channel, .slot = slot};
    return QRT_EFFECT_CAPTURE;
}

INLINE void set_frequency(qrt_nco *nco, int64_t cursor, int64_t frequency)
{
    nco->carried += (nco->frequency - (uint64_t)frequency) * (uint64_t)cursor;
    nco->frequency = (uint64_t)frequency;
}

/* Waits, unless every member of the mask now waits at a SYNC of the same mask; then all of them go on at the largest cursor. */
static qrt_effect_kind sync(qrt_shot *shot, uint32_t sequencer, const hand *h, int64_t mask, qrt_effect *effect)
{
    qrt_sequencer *own = &shot->sequencers[sequencer];
    put_down(shot, sequencer, h);
    if (((uint64_t)mask >> sequencer & 1) == 0) {
        return fails(effect, QRT_ERR_INSTRUCTION);
    }
    own->state = QRT_WAITS_FOR_SYNC;
    own->mask = mask;
    for (uint64_t left = (uint64_t)mask; left != 0; left &= left - 1) {
        const qrt_sequencer *member = &shot->sequencers[__builtin_ctzll(left)];
        if (member->state != QRT_WAITS_FOR_SYNC || member->mask != mask) {
            return LEAVES;
        }
        QRT_ASSERT(member->cursor <= own->cursor); /* ticks are taken in order: the last to come has the largest */
    }
    int64_t cursor = own->cursor;
    for (uint64_t left = (uint64_t)mask; left != 0; left &= left - 1) {
        uint32_t member = (uint32_t)__builtin_ctzll(left);
        shot->sequencers[member].cursor = cursor;
        shot->sequencers[member].state = QRT_GOES_ON;
        push_sequencer(shot, member);
    }
    return LEAVES;
}

/* READ and WRITE: NO_EFFECT where the bit can be touched now. Else the sequencer waits, and meets the same instruction again;
 * where nothing else is due before the bit is ready, it is already there. */
INLINE qrt_effect_kind settle_bit(qrt_shot *shot, uint32_t sequencer, hand *h, int64_t limit, uint32_t bit, qrt_effect *effect)
{
    qrt_sequencer *s = &shot->sequencers[sequencer];
    if (shot->bit_pending[bit] > 0) {
        put_down(shot, sequencer, h);
        s->state = QRT_WAITS_FOR_BIT;
        s->bit = (uint16_t)bit;
        shot->bit_waiters |= 1u << sequencer;
        return LEAVES;
    }
    if (shot->bit_ready[bit] <= h->cursor) {
        return NO_EFFECT;
    }
    qrt_effect_kind kind = move_cursor(shot, h, shot->bit_ready[bit] - h->cursor, effect);
    if (kind == QRT_EFFECT_ERROR) {
        h->pc++; /* behind the instruction, as everywhere where one fails */
        return kind;
    }
    if (h->cursor < limit) {
        return NO_EFFECT;
    }
    put_down(shot, sequencer, h);
    push_sequencer(shot, sequencer);
    return LEAVES;
}

INLINE void write_bit(qrt_shot *shot, uint32_t bit, uint64_t value, int64_t ready_tick)
{
    shot->bits = (shot->bits & ~((uint64_t)1 << bit)) | value << bit;
    shot->bit_ready[bit] = ready_tick;
}

INLINE void alu(int64_t *registers, const qrt_instruction *i)
{
    uint64_t r = (uint64_t)registers[i->a];
    uint64_t s = (uint64_t)registers[i->c];
    uint64_t d = (uint64_t)i->d;
    switch ((qrt_alu)i->b) {
    case QRT_ALU_SET: r = d; break;
    case QRT_ALU_MOVE: r = s; break;
    case QRT_ALU_ADD: r = r + s + d; break;
    case QRT_ALU_SUB: r = r - s - d; break;
    case QRT_ALU_AND: r = r & s; break;
    case QRT_ALU_OR: r = r | s; break;
    case QRT_ALU_XOR: r = r ^ s ^ d; break;
    case QRT_ALU_EQ: r = r == s + d; break;
    case QRT_ALU_LT: r = (int64_t)r < (int64_t)(s + d); break;
    case QRT_ALU_MULTIPLY: r = r * s + d; break;
    case QRT_ALU_SHIFT_RIGHT: r = (uint64_t)((int64_t)s >> d); break; /* of a signed number: arithmetic, by gcc and clang */
    }
    registers[i->a] = (int64_t)r;
}

INLINE bool branches(int64_t value, uint16_t condition, int64_t d)
{
    switch ((qrt_condition)condition) {
    case QRT_IF_ALWAYS: return true;
    case QRT_IF_ZERO: return value == d;
    case QRT_IF_NONZERO: return value != d;
    case QRT_IF_NEGATIVE: return value < d;
    case QRT_IF_NOT_NEGATIVE: return value >= d;
    }
    return false;
}

/* Finds the operand that an instruction takes from a register, slot, table or the random words. QRT_OK, QRT_ERR_OPERAND,
 * QRT_ERR_TABLE. */
static inline qrt_status resolve(qrt_shot *shot, uint32_t sequencer, int64_t *registers, const qrt_instruction *i, int64_t *value_out)
{
    int64_t value = 0;
    switch ((qrt_op)i->op) {
    case QRT_OP_LOAD:
        value = registers[i->a] = shot->start.slots[i->b];
        break;
    case QRT_OP_LOOKUP:
        if ((uint64_t)registers[i->b] >= (uint64_t)i->d) {
            return QRT_ERR_TABLE;
        }
        value = registers[i->a] = shot->sequence.table[i->c + registers[i->b]];
        break;
    case QRT_OP_DRAW: {
        uint32_t words[4];
        qrt_random(shot->seed, QRT_STREAM_SEQUENCER + sequencer, shot->start.index, shot->sequencers[sequencer].draw_count++, words);
        value = registers[i->a] = (int64_t)(((uint64_t)words[0] << 32 | words[1]) >> (64 - i->d));
        break;
    }
    case QRT_OP_WEIGH: {
        if ((uint64_t)registers[i->b] >= (uint64_t)i->d) {
            return QRT_ERR_TABLE;
        }
        double factor = shot->sequence.factors[i->c + registers[i->b]];
        memcpy(&value, &factor, sizeof factor);
        shot->weight *= factor;
        break;
    }
    case QRT_OP_EMIT:
        value = shot->start.emitted[i->b] = registers[i->a];
        break;
    case QRT_OP_PLAY_REGISTER:
        value = registers[i->c];
        if (value < -QRT_AMPLITUDE_ONE || value > QRT_AMPLITUDE_ONE) {
            return QRT_ERR_OPERAND;
        }
        break;
    case QRT_OP_WAIT_REGISTER:
        value = registers[i->a];
        if (value < 0) {
            return QRT_ERR_OPERAND;
        }
        break;
    default: /* SET_FREQUENCY_REGISTER, SHIFT_PHASE_REGISTER: every value is one */
        value = registers[i->b];
        break;
    }
    *value_out = value;
    return QRT_OK;
}

/* An instruction of those from LOAD on, counted by the caller. Out of the way, so that the others stay short. */
static __attribute__((noinline)) qrt_effect_kind step_resolved(qrt_shot *shot, uint32_t sequencer, hand *h, const qrt_instruction *i,
                                                               qrt_effect *effect)
{
    int64_t value = 0;
    qrt_status status = resolve(shot, sequencer, shot->registers[sequencer], i, &value);
    if (status != QRT_OK) {
        return fails(effect, status);
    }
    uint64_t head = head_of(i);
    bool plays = i->op == QRT_OP_PLAY_REGISTER;
    head = plays ? (uint32_t)head | (uint64_t)value << 32 : head;
    h->hash = traced(h->hash, shot, h->cursor, sequencer, head, plays ? i->d : value);
    switch ((qrt_op)i->op) {
    case QRT_OP_PLAY_REGISTER:
        return play(shot, h->cursor, i, (int32_t)value, effect);
    case QRT_OP_WAIT_REGISTER:
        return move_cursor(shot, h, value, effect);
    case QRT_OP_SET_FREQUENCY_REGISTER:
        set_frequency(&shot->ncos[i->a], h->cursor, value);
        return NO_EFFECT;
    case QRT_OP_SHIFT_PHASE_REGISTER:
        shot->ncos[i->a].phase += (uint64_t)value;
        return NO_EFFECT;
    default:
        return NO_EFFECT;
    }
}

INLINE bool is_counted(hand *h)
{
    h->pc++;
    if (__builtin_expect(h->left == 0, 0)) {
        return false;
    }
    h->left--;
    return true;
}

/* Those that may wait for a bit, and those of step_resolved: one test an instruction for both. */
#define APART (1u << QRT_OP_READ | 1u << QRT_OP_WRITE | ~0u << QRT_OP_LOAD)
static_assert(QRT_OP_SHIFT_PHASE_REGISTER < 32, "a bit for each");

/* Executes one instruction. `limit`: the first tick at which something else comes before this sequencer. */
INLINE qrt_effect_kind step(qrt_shot *shot, uint32_t sequencer, hand *h, int64_t *registers, int64_t limit, qrt_effect *effect)
{
    const qrt_instruction *i = &shot->sequence.instructions[h->pc];
    if (APART >> i->op & 1) {
        if (i->op >= QRT_OP_LOAD) {
            hand copy = *h; /* whose address is known elsewhere, so that h's own need not be */
            qrt_effect_kind kind = is_counted(&copy) ? step_resolved(shot, sequencer, &copy, i, effect)
                                                      : fails(effect, QRT_ERR_BUDGET);
            *h = copy;
            return kind;
        }
        qrt_effect_kind kind = settle_bit(shot, sequencer, h, limit, i->b, effect);
        if (kind != NO_EFFECT) {
            return kind;
        }
    }
    if (!is_counted(h)) {
        return fails(effect, QRT_ERR_BUDGET);
    }
    h->hash = traced(h->hash, shot, h->cursor, sequencer, head_of(i), i->d);
    switch ((qrt_op)i->op) {
    case QRT_OP_END:
        shot->sequencers[sequencer].state = QRT_HAS_ENDED;
        shot->end_tick = h->cursor > shot->end_tick ? h->cursor : shot->end_tick;
        put_down(shot, sequencer, h);
        return LEAVES;
    case QRT_OP_PLAY:
        return play(shot, h->cursor, i, i->c, effect);
    case QRT_OP_CAPTURE:
        return capture(shot, sequencer, h, i, effect);
    case QRT_OP_WAIT:
        return move_cursor(shot, h, i->d, effect);
    case QRT_OP_WAIT_UNTIL:
        return i->d < h->cursor ? fails(effect, QRT_ERR_UNDERFLOW) : move_cursor(shot, h, i->d - h->cursor, effect);
    case QRT_OP_SYNC:
        return sync(shot, sequencer, h, i->d, effect);
    case QRT_OP_SET_FREQUENCY:
        set_frequency(&shot->ncos[i->a], h->cursor, i->d);
        return NO_EFFECT;
    case QRT_OP_SHIFT_PHASE:
        shot->ncos[i->a].phase += (uint64_t)i->d;
        return NO_EFFECT;
    case QRT_OP_READ:
        registers[i->a] = (int64_t)(shot->bits >> i->b & 1);
        return NO_EFFECT;
    case QRT_OP_WRITE:
        write_bit(shot, i->b, (uint64_t)registers[i->a] & 1, h->cursor);
        return NO_EFFECT;
    case QRT_OP_ALU:
        alu(registers, i);
        return NO_EFFECT;
    case QRT_OP_BRANCH:
        h->pc = branches(registers[i->a], i->b, i->d) ? (uint32_t)i->c : h->pc;
        return NO_EFFECT;
    default:
        return fails(effect, QRT_ERR_INSTRUCTION); /* refused at arm */
    }
}

/* Executes the active sequencer until it has an effect, waits, has ended, or something in the heap comes first. Nothing joins the
 * heap meanwhile without ending this, so one comparison an instruction is enough. */
static qrt_effect_kind run_active(qrt_shot *shot, qrt_effect *effect)
{
    uint32_t sequencer = shot->active;
    int64_t *registers = shot->registers[sequencer];
    qrt_due first = shot->due_count > 0 ? shot->dues[0] : (qrt_due){INT64_MAX, 0};
    int64_t limit = first.tick + (sequencer_rank(sequencer) < first.rank);
    uint32_t now = shot->budget_left < PAUSE_COUNT ? shot->budget_left : PAUSE_COUNT;
    uint32_t later = shot->budget_left - now;
    hand h = {.cursor = shot->sequencers[sequencer].cursor, .hash = shot->hash, .pc = shot->sequencers[sequencer].pc, .left = now};
    qrt_effect_kind kind = NO_EFFECT;
    while (kind == NO_EFFECT && h.cursor < limit) {
        kind = step(shot, sequencer, &h, registers, limit, effect);
    }
    shot->hash = h.hash;
    shot->budget_left = h.left + later;
    if (kind == LEAVES) { /* and has been put down where it must be found */
        shot->active = NOBODY;
        return kind;
    }
    put_down(shot, sequencer, &h);
    if (kind == NO_EFFECT) {
        push_sequencer(shot, sequencer);
        shot->active = NOBODY;
        return LEAVES;
    }
    effect->sequencer = sequencer;
    effect->instruction = h.pc - 1;
    effect->tick = h.cursor;
    if (kind == QRT_EFFECT_ERROR && effect->status == QRT_ERR_BUDGET && later > 0) { /* not the shot's, only this turn's */
        shot->sequencers[sequencer].pc--;
        return QRT_EFFECT_PAUSE;
    }
    return kind;
}

/* ---- The shot ------------------------------------------------------------------------------------------------- */

void qrt_shot_arm(qrt_shot *shot, const qrt_sequence *sequence, const qrt_port *port, uint64_t seed)
{
    memset(shot, 0, sizeof *shot);
    shot->sequence = *sequence;
    shot->seed = seed;
    shot->limit_ticks = sequence->period_ticks * ((int64_t)sequence->stretch_max + 1);
    shot->feedback_latency_ticks = port->feedback_latency_ticks;
    shot->granularity_ticks = port->granularity_ticks;
    shot->sample_ticks = port->sample_ticks;
    shot->register_count = qrt_sequence_register_count(sequence);
    shot->bit_count = qrt_sequence_bit_count(sequence);
}

void qrt_shot_begin(qrt_shot *shot, const qrt_shot_start *start)
{
    const qrt_sequence *sequence = &shot->sequence;
    shot->start = *start;
    shot->now = 0;
    shot->end_tick = 0;
    shot->hash = K0;
    shot->bits = 0;
    shot->weight = 1.0;
    shot->budget_left = sequence->budget;
    shot->captures_begun = 0;
    shot->slots_free = (1u << QRT_OUTSTANDING_MAX) - 1;
    shot->bit_waiters = 0;
    shot->due_count = 0;
    shot->event_count = 0;
    memset(shot->bit_ready, 0, shot->bit_count * sizeof shot->bit_ready[0]);
    memset(shot->bit_pending, 0, shot->bit_count * sizeof shot->bit_pending[0]);
    for (uint32_t frame = 0; frame < sequence->frame_count; frame++) {
        shot->ncos[frame] = (qrt_nco){(uint64_t)sequence->frames[frame].frequency, sequence->frames[frame].phase, 0};
    }
    for (uint32_t sequencer = 0; sequencer < sequence->sequencer_count; sequencer++) {
        shot->sequencers[sequencer] = (qrt_sequencer){.pc = sequence->entries[sequencer], .state = QRT_GOES_ON};
        memset(shot->registers[sequencer], 0, shot->register_count * sizeof(int64_t));
    }
    shot->active = 0; /* the first at tick 0; the heap has the others */
    for (uint32_t sequencer = 1; sequencer < sequence->sequencer_count; sequencer++) {
        push_sequencer(shot, sequencer);
    }
}

/* The heap is empty and no capture is outstanding: either all have ended, or some wait for a SYNC that cannot come. */
static qrt_effect_kind done_or_deadlock(const qrt_shot *shot, qrt_effect *effect)
{
    for (uint32_t sequencer = 0; sequencer < shot->sequence.sequencer_count; sequencer++) {
        const qrt_sequencer *s = &shot->sequencers[sequencer];
        QRT_ASSERT(s->state == QRT_HAS_ENDED || s->state == QRT_WAITS_FOR_SYNC);
        if (s->state == QRT_WAITS_FOR_SYNC) {
            effect->sequencer = sequencer;
            effect->instruction = s->pc - 1;
            effect->tick = s->cursor;
            return fails(effect, QRT_ERR_DEADLOCK);
        }
    }
    return QRT_EFFECT_DONE;
}

/* Bounded: each round executes an instruction, of which the budget has so many, or takes an entry from the heap, which only an
 * instruction or the end of a capture puts there. */
qrt_effect_kind qrt_shot_next(qrt_shot *shot, qrt_effect *effect)
{
    for (;;) {
        if (shot->active == NOBODY) {
            if (shot->due_count == 0) {
                return done_or_deadlock(shot, effect);
            }
            qrt_due due = pop(shot);
            if (due.rank < RANK_INSTRUCTION) {
                effect->slot = (uint16_t)(due.rank & ((1u << RANK_ORDER) - 1));
                const qrt_outstanding *ended = &shot->outstanding[effect->slot];
                effect->sequencer = ended->sequencer;
                effect->instruction = ended->instruction;
                effect->tick = ended->end_tick;
                effect->capture_index = ended->capture_index;
                return QRT_EFFECT_CAPTURE_ENDS;
            }
            shot->active = (uint32_t)(due.rank >> RANK_SEQUENCER) & (QRT_SEQUENCERS_MAX - 1);
        }
        qrt_effect_kind kind = run_active(shot, effect);
        if (kind != LEAVES) {
            return kind;
        }
    }
}

void qrt_shot_outcome(qrt_shot *shot, const qrt_effect *effect, const int64_t iq[2])
{
    const qrt_outstanding *ended = &shot->outstanding[effect->slot];
    const qrt_capture_spec *spec = &shot->sequence.captures[ended->capture_index];
    int64_t threshold = spec->threshold_slot == QRT_SLOT_NONE ? spec->threshold : shot->start.slots[spec->threshold_slot];
    uint8_t outcome = iq[0] > threshold;
    shot->slots_free |= 1u << effect->slot;
    shot->end_tick = ended->end_tick > shot->end_tick ? ended->end_tick : shot->end_tick;
    shot->start.outcomes[ended->capture_index] = outcome;
    shot->start.iq[2 * ended->capture_index] = iq[0];
    shot->start.iq[2 * ended->capture_index + 1] = iq[1];
    uint64_t head = head_from(QRT_EVENT_OUTCOME, ended->capture_index, outcome);
    uint64_t hash = traced(shot->hash, shot, ended->end_tick, ended->sequencer, head, iq[0]);
    head = head_from(QRT_EVENT_IQ, ended->capture_index, 0);
    shot->hash = traced(hash, shot, ended->end_tick, ended->sequencer, head, iq[1]);
    if (spec->bit == QRT_BIT_NONE) {
        return;
    }
    int64_t ready_tick = ended->end_tick + shot->feedback_latency_ticks;
    int64_t beyond = shot->granularity_ticks > 1 ? ready_tick % shot->granularity_ticks : 0;
    write_bit(shot, spec->bit, outcome, beyond > 0 ? ready_tick + shot->granularity_ticks - beyond : ready_tick);
    if (--shot->bit_pending[spec->bit] > 0) {
        return;
    }
    for (uint32_t left = shot->bit_waiters; left != 0; left &= left - 1) {
        uint32_t sequencer = (uint32_t)__builtin_ctz(left);
        qrt_sequencer *s = &shot->sequencers[sequencer];
        if (s->bit == spec->bit) { /* it finds the ready tick when it tries again, now */
            shot->bit_waiters &= ~(1u << sequencer);
            s->state = QRT_GOES_ON;
            s->cursor = ended->end_tick;
            push_sequencer(shot, sequencer);
        }
    }
}
