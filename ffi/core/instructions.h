/* Inside the sequencer: what each instruction does, to the hand that executes it. */
#ifndef QRT_INSTRUCTIONS_H
#define QRT_INSTRUCTIONS_H
#include <string.h>
#include "hand.h"
#include "../philox.h"

/* Of an effect: what the port said, unless the shot shall end. */
INLINE turn told(qrt_shot *shot, qrt_status status)
{
    status = status == QRT_OK && is_aborted(shot) ? QRT_ABORTED : status;
    return __builtin_expect(status == QRT_OK, 1) ? GOES_ON : fails(shot, status);
}

/* To a tick that is at most one more than a cursor can be; `in_place` or `elsewhere`: whether it is the first there. The limit is never
 * beyond the last tick that a cursor can be at, so that one comparison does for both. */
INLINE turn move_cursor_to(qrt_shot *shot, hand *h, int64_t tick, turn in_place, turn elsewhere)
{
    if (__builtin_expect(tick < shot->limit, 1)) {
        h->cursor = tick;
        return in_place;
    }
    if (tick > shot->limit_ticks) {
        return fails(shot, QRT_ERR_OVERRUN);
    }
    h->cursor = tick;
    return elsewhere;
}

INLINE turn wait_until(qrt_shot *shot, hand *h, int64_t tick)
{
    return tick < h->cursor ? fails(shot, QRT_ERR_UNDERFLOW) : move_cursor_to(shot, h, tick, CLOSES, CLOSES_MOVED);
}

INLINE turn wait_register(qrt_shot *shot, hand *h, int64_t ticks)
{
    int64_t left = shot->limit_ticks - h->cursor;
    return ticks > left ? fails(shot, QRT_ERR_OVERRUN) : move_cursor_to(shot, h, h->cursor + ticks, CLOSES, CLOSES_MOVED);
}

INLINE bool is_off_grid(const qrt_shot *shot, int64_t tick)
{
    return shot->granularity_ticks > 1 && tick % shot->granularity_ticks != 0;
}

/* The first tick from this one on at which the port can begin something. */
INLINE int64_t on_grid(const qrt_shot *shot, int64_t tick)
{
    int64_t past = shot->granularity_ticks > 1 ? tick % shot->granularity_ticks : 0;
    return past > 0 ? tick + shot->granularity_ticks - past : tick;
}

INLINE turn play(qrt_shot *shot, hand *h, const qrt_step *i, int32_t amplitude, bool restarted)
{
    if (h->cursor >= shot->limit_ticks) {
        return fails(shot, QRT_ERR_OVERRUN);
    }
    if (is_off_grid(shot, h->cursor)) {
        return fails(shot, QRT_ERR_INSTRUCTION);
    }
    qrt_nco *nco = i->nco;
    nco->play.tick = shot->start.tick + h->cursor;
    nco->play.phase = nco->phase + (restarted ? 0 : nco->carried + (uint64_t)nco->play.frequency * (uint64_t)h->cursor);
    nco->play.amplitude = amplitude;
    nco->play.segment = i->b;
    shot->plays_begun++;
    const qrt_port *port = &shot->outside.port;
    return told(shot, port->play(port->self, &nco->play));
}

INLINE turn capture(qrt_shot *shot, hand *h, const qrt_step *i)
{
    qrt_planned *planned = i->capture;
    int64_t end_tick = h->cursor + planned->length_ticks;
    if (end_tick > shot->limit_ticks) {
        return fails(shot, QRT_ERR_OVERRUN);
    }
    if (is_off_grid(shot, h->cursor)) {
        return fails(shot, QRT_ERR_INSTRUCTION);
    }
    if (shot->slots_free == 0) {
        return fails(shot, QRT_ERR_CHANNEL);
    }
    const int16_t *weights = planned->weights;
    if (planned->chosen != NULL) {
        uint64_t number = (uint64_t)*planned->chosen;
        if (number >= planned->bank_count) {
            return fails(shot, QRT_ERR_OPERAND);
        }
        weights += 2 * number * planned->asked.sample_count;
    }
    qrt_outstanding *begun = &shot->outstanding[__builtin_ctz(shot->slots_free)];
    shot->slots_free &= shot->slots_free - 1;
    begun->end_tick = end_tick;
    begun->rank = sequencer_rank(shot->active->index) | shot->captures_begun++;
    begun->ready_tick = on_grid(shot, end_tick + shot->feedback_latency_ticks);
    begun->stamp = stamp_of(shot, end_tick, shot->active->label);
    begun->planned = planned;
    begun->step = i;
    begun->weights = weights;
    begun->sample_count = 0;
    planned->bit->pending++;
    planned->bit->ready_tick = INT64_MAX;
    push_end(shot, begun);
    shot->limit = end_tick < shot->limit ? end_tick : shot->limit; /* at its tick, the end of a capture comes first */
    planned->asked.tick = shot->start.tick + h->cursor;
    planned->asked.slot = (uint16_t)begun->slot;
    const qrt_port *port = &shot->outside.port;
    return told(shot, port->capture_begin(port->self, &planned->asked));
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
    shot->end_tick = h->cursor; /* ticks are taken in order: none was later */
    shot->ended_count++;
    return leave(shot, h, QRT_HAS_ENDED);
}

/* Of a sequencer that waits at a SYNC: it waits on, unless every member of the mask now waits at one of the same mask; then all of them
 * go on at the largest cursor. */
static __attribute__((noinline)) void sync(qrt_shot *shot, qrt_sequencer *own, int64_t mask)
{
    own->mask = mask;
    for (uint64_t left = (uint64_t)mask; left != 0; left &= left - 1) {
        const qrt_sequencer *member = &shot->sequencers[__builtin_ctzll(left)];
        if (member->state != QRT_WAITS_FOR_SYNC || member->mask != mask) {
            return;
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
}

INLINE turn meet(qrt_shot *shot, const hand *h, int64_t mask)
{
    if (((uint64_t)mask >> shot->active->index & 1) == 0) {
        return fails(shot, QRT_ERR_INSTRUCTION);
    }
    turn left = leave(shot, h, QRT_WAITS_FOR_SYNC);
    sync(shot, shot->active, mask);
    return left;
}

/* READ and WRITE, between two sections: GOES_ON where the bit can be touched now. Else the sequencer waits, and meets the same instruction
 * again; where nothing else is due before the bit is ready, it is already there. */
INLINE turn settle_bit(qrt_shot *shot, hand *h, const qrt_bit *bit)
{
    if (__builtin_expect(bit->ready_tick <= h->cursor, 1)) {
        return GOES_ON;
    }
    if (bit->pending > 0) {
        shot->active->bit = bit;
        shot->bit_waiters |= 1u << shot->active->index;
        return leave(shot, h, QRT_WAITS_FOR_BIT);
    }
    turn taken = move_cursor_to(shot, h, bit->ready_tick, GOES_ON, CLOSES_MOVED);
    if (taken == FAILS) {
        h->next++; /* behind the instruction, as everywhere where one fails; it is not counted */
        shot->active->section.first = NULL;
    }
    return taken;
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

INLINE turn branch(hand *h, const qrt_step *i, bool taken)
{
    h->next = taken ? i->target : h->next;
    return CLOSES;
}

/* Finds the operand that an instruction takes from a register, slot, table or the random words. QRT_OK, QRT_ERR_OPERAND,
 * QRT_ERR_TABLE. Out of the way, so that the others stay short. */
static __attribute__((noinline)) qrt_status resolve(qrt_shot *shot, const qrt_step *i, int64_t *value_out)
{
    qrt_sequencer *own = shot->active;
    int64_t *registers = own->registers;
    int64_t value = 0;
    switch ((qrt_op)i->kind) {
    case QRT_OP_LOAD:
        value = registers[i->a] = shot->outside.slots[i->b];
        break;
    case QRT_OP_LOOKUP:
        if ((uint64_t)registers[i->b] >= (uint64_t)i->d) {
            return QRT_ERR_TABLE;
        }
        value = registers[i->a] = shot->sequence.table[i->c + registers[i->b]];
        break;
    case QRT_OP_DRAW: {
        uint32_t words[4];
        qrt_random(shot->seed, QRT_STREAM_SEQUENCER + own->index, shot->start.index, own->draw_count++, words);
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
INLINE turn step_resolved(qrt_shot *shot, hand *h, const qrt_step *i, bool singly)
{
    int64_t value = 0;
    qrt_status status = resolve(shot, i, &value);
    if (status != QRT_OK) {
        return fails(shot, status);
    }
    uint64_t words = i->words;
    bool plays = i->kind == QRT_OP_PLAY_REGISTER;
    if (plays || singly) { /* a play shows the amplitude where the others show d, in the place of the register */
        uint64_t head = head_of(&shot->sequence.instructions[index_of(shot, i)]);
        head = plays ? (uint32_t)head | (uint64_t)value << 32 : head;
        words = plays ? head_word(shot, head) : words;
        if (singly && shot->start.events != NULL) {
            log_event(shot, h->cursor, shot->active->index, head, plays ? i->d : value);
        }
    }
    words = section_word(shot, shot->factors[0], words + operand_word(shot, plays ? i->d : value));
    h->hash = linked(shot, h->hash, h->cursor, words);
    turn taken = GOES_ON;
    switch ((qrt_op)i->kind) {
    case QRT_OP_PLAY_REGISTER:
        taken = play(shot, h, i, (int32_t)value, i->d == 1);
        break;
    case QRT_OP_WAIT_REGISTER:
        taken = wait_register(shot, h, value);
        break;
    case QRT_OP_SET_FREQUENCY_REGISTER:
        taken = set_frequency(i->nco, h->cursor, value);
        break;
    case QRT_OP_SHIFT_PHASE_REGISTER:
        taken = shift_phase(i->nco, value);
        break;
    default:
        break;
    }
    return taken == GOES_ON ? CLOSES : taken;
}

#endif
