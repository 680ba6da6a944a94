/* Inside the sequencer: what each instruction does.
 *
 * The sequencer that executes is a `hand`: what it changes most, in machine registers. It is put down where somebody else looks at
 * it, and before what is rare, which is out of the way so that the others stay short.
 */
#ifndef QRT_INSTRUCTIONS_H
#define QRT_INSTRUCTIONS_H
#include <string.h>
#include "checks.h"
#include "decode.h"
#include "order.h"
#include "sequencer.h"
#include "trace.h"
#include "../philox.h"

#define INLINE static inline __attribute__((always_inline))

/* What becomes of the sequencer that executes. */
typedef enum {
    GOES_ON,
    MOVED,  /* its cursor: look whether something else comes first */
    LEAVES, /* it waits or has ended; it is put down */
    FAILS   /* shot->status says how */
} turn;

/* No more than the machine has registers that a call leaves alone: with one more, the hash goes through memory, which is as long again
 * as all that makes it. */
typedef struct {
    int64_t cursor;
    uint64_t stamp; /* of the cursor, in the trace */
    uint64_t hash;
    const qrt_step *next;
} hand;

INLINE uint32_t index_of(const qrt_shot *shot, const qrt_step *i)
{
    return (uint32_t)(i - shot->steps);
}

/* How many instructions are left of the turn is kept as the place where it would end if none branched: that costs a comparison each. */
INLINE uint32_t left_of(const qrt_shot *shot, const hand *h)
{
    return (uint32_t)((shot->turn_end - (uintptr_t)h->next) / sizeof(qrt_step));
}

INLINE void end_turn_after(qrt_shot *shot, const qrt_step *next, uint32_t count)
{
    shot->turn_end = (uintptr_t)next + count * sizeof(qrt_step);
}

INLINE void put_down(qrt_shot *shot, const hand *h)
{
    shot->turn_left = left_of(shot, h);
    shot->sequencers[shot->active].cursor = h->cursor;
    shot->sequencers[shot->active].next = h->next;
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

/* Of an effect: what the port said, unless the shot shall end. */
INLINE turn told(qrt_shot *shot, qrt_status status)
{
    status = status == QRT_OK && is_aborted(shot) ? QRT_ABORTED : status;
    return __builtin_expect(status == QRT_OK, 1) ? GOES_ON : fails(shot, status);
}

INLINE turn move_cursor(qrt_shot *shot, hand *h, int64_t ticks)
{
    if (ticks > shot->limit_ticks - h->cursor) {
        return fails(shot, QRT_ERR_OVERRUN);
    }
    h->cursor += ticks;
    h->stamp += (uint64_t)ticks * shot->factors[0];
    return MOVED;
}

INLINE turn move_cursor_to(qrt_shot *shot, hand *h, int64_t tick)
{
    return tick < h->cursor ? fails(shot, QRT_ERR_UNDERFLOW) : move_cursor(shot, h, tick - h->cursor);
}

INLINE bool is_off_grid(const qrt_shot *shot, int64_t tick)
{
    return shot->granularity_ticks > 1 && tick % shot->granularity_ticks != 0;
}

INLINE turn play(qrt_shot *shot, hand *h, const qrt_step *i, int32_t amplitude)
{
    if (h->cursor >= shot->limit_ticks) {
        return fails(shot, QRT_ERR_OVERRUN);
    }
    if (is_off_grid(shot, h->cursor)) {
        return fails(shot, QRT_ERR_INSTRUCTION);
    }
    qrt_nco *nco = i->nco;
    uint64_t turned = i->d == 1 ? 0 : nco->carried + (uint64_t)nco->play.frequency * (uint64_t)h->cursor;
    nco->play.tick = shot->start.tick + h->cursor;
    nco->play.phase = nco->phase + turned;
    nco->play.amplitude = amplitude;
    nco->play.segment = i->b;
    shot->plays_begun++;
    const qrt_port *port = &shot->outside.port;
    return told(shot, port->play(port->self, &nco->play));
}

INLINE turn capture(qrt_shot *shot, hand *h, const qrt_step *i)
{
    const qrt_capture_spec *spec = i->capture;
    int64_t end_tick = h->cursor + (int64_t)spec->sample_count * shot->sample_ticks;
    if (end_tick > shot->limit_ticks) {
        return fails(shot, QRT_ERR_OVERRUN);
    }
    if (is_off_grid(shot, h->cursor)) {
        return fails(shot, QRT_ERR_INSTRUCTION);
    }
    if (shot->slots_free == 0) {
        return fails(shot, QRT_ERR_CHANNEL);
    }
    uint64_t bank_index = 0;
    if (spec->weights_slot != QRT_SLOT_NONE) {
        bank_index = (uint64_t)shot->start.slots[spec->weights_slot];
        if (bank_index >= spec->bank_count) {
            return fails(shot, QRT_ERR_OPERAND);
        }
    }
    const int16_t *weights = shot->sequence.weights + spec->weights_offset + 2 * bank_index * spec->sample_count;
    uint16_t slot = (uint16_t)__builtin_ctz(shot->slots_free);
    shot->slots_free &= shot->slots_free - 1;
    shot->outstanding[slot] = (qrt_outstanding){end_tick, weights, index_of(shot, i), (uint16_t)shot->active, i->b};
    if (spec->bit != QRT_BIT_NONE) {
        shot->bit_pending[spec->bit]++;
        shot->bits_touched |= (uint64_t)1 << spec->bit;
        shot->bit_ready[spec->bit] = INT64_MAX;
    }
    uint64_t order = shot->captures_begun++;
    push_end(shot, (qrt_due){end_tick, (uint64_t)shot->active << RANK_SEQUENCER | order << RANK_ORDER | slot});
    shot->limit = end_tick < shot->limit ? end_tick : shot->limit; /* at its tick, the end of a capture comes first */
    const qrt_capture asked = {
        .tick = shot->start.tick + h->cursor, .sample_count = spec->sample_count, .channel = spec->channel, .slot = slot};
    const qrt_port *port = &shot->outside.port;
    return told(shot, port->capture_begin(port->self, &asked));
}

INLINE turn set_frequency(qrt_nco *nco, int64_t cursor, int64_t frequency)
{
    nco->carried += ((uint64_t)nco->play.frequency - (uint64_t)frequency) * (uint64_t)cursor;
    nco->play.frequency = frequency;
    return GOES_ON;
}

INLINE turn shift_phase(qrt_nco *nco, int64_t turns)
{
    nco->phase += (uint64_t)turns;
    return GOES_ON;
}

INLINE turn end(qrt_shot *shot, const hand *h)
{
    shot->sequencers[shot->active].state = QRT_HAS_ENDED;
    shot->end_tick = h->cursor > shot->end_tick ? h->cursor : shot->end_tick;
    put_down(shot, h);
    return LEAVES;
}

/* Of a sequencer that is put down: waits, unless every member of the mask now waits at a SYNC of the same mask; then all of them
 * go on at the largest cursor. False where it is not itself in the mask. */
static __attribute__((noinline)) bool sync(qrt_shot *shot, uint32_t sequencer, int64_t mask)
{
    qrt_sequencer *own = &shot->sequencers[sequencer];
    if (((uint64_t)mask >> sequencer & 1) == 0) {
        return false;
    }
    own->state = QRT_WAITS_FOR_SYNC;
    own->mask = mask;
    for (uint64_t left = (uint64_t)mask; left != 0; left &= left - 1) {
        const qrt_sequencer *member = &shot->sequencers[__builtin_ctzll(left)];
        if (member->state != QRT_WAITS_FOR_SYNC || member->mask != mask) {
            return true;
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
    return true;
}

INLINE turn meet(qrt_shot *shot, const hand *h, int64_t mask)
{
    put_down(shot, h);
    return sync(shot, shot->active, mask) ? LEAVES : fails(shot, QRT_ERR_INSTRUCTION);
}

/* READ and WRITE: GOES_ON where the bit can be touched now. Else the sequencer waits, and meets the same instruction again;
 * where nothing else is due before the bit is ready, it is already there. */
INLINE turn settle_bit(qrt_shot *shot, hand *h, uint32_t bit)
{
    if (__builtin_expect(shot->bit_ready[bit] <= h->cursor, 1)) {
        return GOES_ON;
    }
    if (shot->bit_pending[bit] > 0) {
        put_down(shot, h);
        shot->sequencers[shot->active].state = QRT_WAITS_FOR_BIT;
        shot->sequencers[shot->active].bit = (uint16_t)bit;
        shot->bit_waiters |= 1u << shot->active;
        return LEAVES;
    }
    if (move_cursor(shot, h, shot->bit_ready[bit] - h->cursor) == FAILS) {
        h->next++; /* behind the instruction, as everywhere where one fails; it is not counted */
        shot->turn_end += sizeof(qrt_step);
        return FAILS;
    }
    return h->cursor < shot->limit ? GOES_ON : MOVED;
}

INLINE void write_bit(qrt_shot *shot, uint32_t bit, uint64_t value, int64_t ready_tick)
{
    shot->bits = (shot->bits & ~((uint64_t)1 << bit)) | value << bit;
    shot->bits_touched |= (uint64_t)1 << bit;
    shot->bit_ready[bit] = ready_tick;
}

INLINE turn alu(int64_t *registers, const qrt_step *i, qrt_alu operation)
{
    uint64_t r = (uint64_t)registers[i->a];
    uint64_t s = (uint64_t)registers[i->c];
    uint64_t d = (uint64_t)i->d;
    switch (operation) {
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
    return GOES_ON;
}

INLINE turn branch(qrt_shot *shot, hand *h, const qrt_step *i, bool taken)
{
    if (taken) {
        shot->turn_end += (uintptr_t)i->target - (uintptr_t)h->next;
        h->next = i->target;
    }
    return GOES_ON;
}

/* Finds the operand that an instruction takes from a register, slot, table or the random words. QRT_OK, QRT_ERR_OPERAND,
 * QRT_ERR_TABLE. Out of the way, so that the others stay short. */
static __attribute__((noinline)) qrt_status resolve(qrt_shot *shot, uint32_t sequencer, int64_t *registers, const qrt_step *i,
                                                    int64_t *value_out)
{
    int64_t value = 0;
    switch ((qrt_op)i->kind) {
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
        shot->emitted |= (uint64_t)1 << i->b;
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

/* An instruction of those from LOAD on, counted by the caller. */
INLINE turn step_resolved(qrt_shot *shot, hand *h, const qrt_step *i, bool logged)
{
    int64_t value = 0;
    qrt_status status = resolve(shot, shot->active, shot->own, i, &value);
    if (status != QRT_OK) {
        return fails(shot, status);
    }
    uint64_t words = i->words;
    bool plays = i->kind == QRT_OP_PLAY_REGISTER;
    if (plays || logged) { /* a play shows the amplitude where the others show d, in the place of the register */
        uint64_t head = head_of(&shot->sequence.instructions[index_of(shot, i)]);
        head = plays ? (uint32_t)head | (uint64_t)value << 32 : head;
        words = plays ? head_word(shot, head) : words;
        if (logged) {
            log_event(shot, h->cursor, shot->active, head, plays ? i->d : value);
        }
    }
    h->hash = hashed(shot, h->hash, h->stamp + (words + operand_word(shot, plays ? i->d : value)));
    switch ((qrt_op)i->kind) {
    case QRT_OP_PLAY_REGISTER:
        return play(shot, h, i, (int32_t)value);
    case QRT_OP_WAIT_REGISTER:
        return move_cursor(shot, h, value);
    case QRT_OP_SET_FREQUENCY_REGISTER:
        return set_frequency(i->nco, h->cursor, value);
    case QRT_OP_SHIFT_PHASE_REGISTER:
        return shift_phase(i->nco, value);
    default:
        return GOES_ON;
    }
}

#endif
