/* The sequencers: what happens in a shot, and in which order. Pure: no port, no clock, no ring.
 *
 * The kernel asks for the next effect, does it, and asks again (kernel.c). Order is
 * (tick, phase, sequencer, program order), kept by a small heap of whatever is due: sequencers that go on at their cursor
 * (phase 1) and captures that end (phase 0). The sequencer that executes is outside the heap, and stays so until something in
 * the heap comes before its cursor; most instructions therefore cost one comparison with the tick at which that happens. A
 * sequencer that waits for a SYNC or for a bit is not in the heap at all: whoever completes the SYNC, or the end of the
 * capture, puts it back.
 *
 * READ and WRITE are executed at a tick where the bit is ready and no capture that will write it is outstanding; until then
 * they are tried again, and counted and traced once.
 *
 * The trace hash takes in each executed instruction (tick, sequencer, the instruction's sixteen bytes) and each outcome:
 *
 *     x = (tick + sequencer*2^56)*K0 + rotate(head*K1, 32) + d*K2,   h = mix(h + x),   mix(h) = (h ^ h>>32) * K3     (mod 2^64)
 *
 * All K are odd, so one changed word always changes h at that point, and mix is a bijection, so the change stays unless a later
 * word undoes it, by chance. The products do not wait for h: the chain is six cycles an event.
 */
#include <string.h>
#include "checks.h"
#include "sequence.h"
#include "sequencer.h"

#define NOBODY QRT_SEQUENCERS_MAX
#define NO_EFFECT ((qrt_effect_kind)-1) /* go on with this sequencer */
#define LEAVES ((qrt_effect_kind)-2)    /* it waits or has ended; go on with another */

/* ---- Order ---------------------------------------------------------------------------------------------------- */

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

static void push(qrt_shot *shot, qrt_due due)
{
    QRT_ASSERT(shot->due_count < QRT_DUES_MAX && due.tick >= shot->now);
    uint32_t at = shot->due_count++;
    while (at > 0 && is_before(due, shot->dues[(at - 1) / 2])) {
        shot->dues[at] = shot->dues[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    shot->dues[at] = due;
}

static qrt_due pop(qrt_shot *shot)
{
    qrt_due first = shot->dues[0];
    qrt_due moved = shot->dues[--shot->due_count];
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
    QRT_ASSERT(first.tick >= shot->now); /* ticks that the port sees never decrease */
    shot->now = first.tick;
    return first;
}

static void push_sequencer(qrt_shot *shot, uint32_t sequencer)
{
    push(shot, (qrt_due){shot->sequencers[sequencer].cursor, sequencer_rank(sequencer)});
}

/* ---- Trace ---------------------------------------------------------------------------------------------------- */

#define K0 0x9E3779B97F4A7C15u /* odd constants with no structure in common: golden ratio, and those of SplitMix64 and Murmur3 */
#define K1 0xBF58476D1CE4E5B9u
#define K2 0x94D049BB133111EBu
#define K3 0xFF51AFD7ED558CCDu

static inline uint64_t mix(uint64_t h)
{
    return (h ^ h >> 32) * K3;
}

static __attribute__((noinline)) void log_event(qrt_shot *shot, int64_t tick, uint32_t sequencer, const qrt_instruction *what)
{
    if (shot->event_count < shot->event_count_max) {
        shot->events[shot->event_count] = (qrt_event){
            .tick = tick, .op = what->op, .a = what->a, .b = what->b, .c = what->c, .d = what->d,
            .sequencer = (uint16_t)sequencer};
    }
    shot->event_count++;
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "an instruction's first eight bytes are taken as one word");

static inline uint64_t traced(uint64_t hash, qrt_shot *shot, int64_t tick, uint32_t sequencer, const qrt_instruction *what)
{
    uint64_t when = (uint64_t)tick | (uint64_t)sequencer << 56; /* ticks are below 2^48 */
    uint64_t head;
    memcpy(&head, what, sizeof head); /* one load; put together from op, a, b and c it cost 70 ns a shot */
    if (__builtin_expect(shot->events != NULL, 0)) {
        log_event(shot, tick, sequencer, what);
    }
    uint64_t turned = head * K1;
    turned = turned << 32 | turned >> 32; /* else the signs of c and of d, flipped together, would cancel */
    return mix(hash + (when * K0 + turned + (uint64_t)what->d * K2));
}

uint64_t qrt_shot_trace_hash(const qrt_shot *shot)
{
    return mix(mix(shot->hash));
}

/* ---- Instructions --------------------------------------------------------------------------------------------- */

static inline qrt_effect_kind fails(qrt_effect *effect, qrt_status status)
{
    effect->status = status;
    return QRT_EFFECT_ERROR;
}

static inline qrt_effect_kind move_cursor(const qrt_shot *shot, qrt_sequencer *s, int64_t ticks, qrt_effect *effect)
{
    if (ticks > shot->sequence.period_ticks - s->cursor) {
        return fails(effect, QRT_ERR_OVERRUN);
    }
    s->cursor += ticks;
    return NO_EFFECT;
}

static inline bool is_off_grid(const qrt_shot *shot, int64_t tick)
{
    return shot->granularity_ticks > 1 && tick % shot->granularity_ticks != 0;
}

static qrt_effect_kind play(const qrt_shot *shot, const qrt_sequencer *s, const qrt_instruction *i, qrt_effect *effect)
{
    if (s->cursor >= shot->sequence.period_ticks) {
        return fails(effect, QRT_ERR_OVERRUN);
    }
    if (is_off_grid(shot, s->cursor)) {
        return fails(effect, QRT_ERR_INSTRUCTION);
    }
    const qrt_nco *nco = &shot->ncos[i->a];
    uint64_t turned = i->d == 1 ? 0 : nco->carried + nco->frequency * (uint64_t)s->cursor;
    effect->play = (qrt_play){.tick = shot->tick + s->cursor,
                              .frequency = (int64_t)nco->frequency,
                              .phase = nco->phase + turned,
                              .amplitude = i->c,
                              .line = shot->sequence.frames[i->a].line,
                              .segment = i->b};
    return QRT_EFFECT_PLAY;
}

static qrt_effect_kind capture(qrt_shot *shot, uint32_t sequencer, const qrt_instruction *i, qrt_effect *effect)
{
    const qrt_sequencer *s = &shot->sequencers[sequencer];
    const qrt_capture_spec *spec = &shot->sequence.captures[i->b];
    int64_t end_tick = s->cursor + (int64_t)spec->sample_count * shot->sample_ticks;
    if (end_tick > shot->sequence.period_ticks) {
        return fails(effect, QRT_ERR_OVERRUN);
    }
    if (is_off_grid(shot, s->cursor)) {
        return fails(effect, QRT_ERR_INSTRUCTION);
    }
    if (shot->slots_free == 0) {
        return fails(effect, QRT_ERR_CHANNEL);
    }
    uint16_t slot = (uint16_t)__builtin_ctz(shot->slots_free);
    shot->slots_free &= shot->slots_free - 1;
    shot->outstanding[slot] = (qrt_outstanding){end_tick, s->pc - 1, (uint16_t)sequencer, i->b};
    if (spec->bit != QRT_BIT_NONE) {
        shot->bit_pending[spec->bit]++;
    }
    uint64_t order = shot->captures_begun++;
    push(shot, (qrt_due){end_tick, (uint64_t)sequencer << RANK_SEQUENCER | order << RANK_ORDER | slot});
    effect->capture = (qrt_capture){
        .tick = shot->tick + s->cursor, .sample_count = spec->sample_count, .channel = spec->channel, .slot = slot};
    return QRT_EFFECT_CAPTURE;
}

static void set_frequency(qrt_nco *nco, int64_t cursor, int64_t frequency)
{
    nco->carried += (nco->frequency - (uint64_t)frequency) * (uint64_t)cursor;
    nco->frequency = (uint64_t)frequency;
}

/* Waits, unless every member of the mask now waits at a SYNC of the same mask; then all of them go on at the largest cursor. */
static qrt_effect_kind sync(qrt_shot *shot, uint32_t sequencer, int64_t mask, qrt_effect *effect)
{
    qrt_sequencer *own = &shot->sequencers[sequencer];
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

/* READ and WRITE: NO_EFFECT where the bit can be touched now. Else the sequencer waits, and meets the same instruction again. */
static qrt_effect_kind settle_bit(qrt_shot *shot, uint32_t sequencer, uint32_t bit, qrt_effect *effect)
{
    qrt_sequencer *s = &shot->sequencers[sequencer];
    if (shot->bit_pending[bit] > 0) {
        s->state = QRT_WAITS_FOR_BIT;
        s->bit = (uint16_t)bit;
        shot->bit_waiters |= 1u << sequencer;
        return LEAVES;
    }
    if (shot->bit_ready[bit] <= s->cursor) {
        return NO_EFFECT;
    }
    qrt_effect_kind kind = move_cursor(shot, s, shot->bit_ready[bit] - s->cursor, effect);
    if (kind == QRT_EFFECT_ERROR) {
        s->pc++; /* behind the instruction, as everywhere where one fails */
        return kind;
    }
    push_sequencer(shot, sequencer);
    return LEAVES;
}

static void write_bit(qrt_shot *shot, uint32_t bit, uint64_t value, int64_t ready_tick)
{
    shot->bits = (shot->bits & ~((uint64_t)1 << bit)) | value << bit;
    shot->bit_ready[bit] = ready_tick;
}

static void alu(int64_t *registers, const qrt_instruction *i)
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
    }
    registers[i->a] = (int64_t)r;
}

static bool branches(int64_t value, uint16_t condition)
{
    switch ((qrt_condition)condition) {
    case QRT_IF_ALWAYS: return true;
    case QRT_IF_ZERO: return value == 0;
    case QRT_IF_NONZERO: return value != 0;
    case QRT_IF_NEGATIVE: return value < 0;
    }
    return false;
}

/* Executes one instruction. What it needs of the loop's state comes as arguments, which stay in machine registers. */
static inline __attribute__((always_inline)) qrt_effect_kind step(qrt_shot *shot, uint32_t sequencer, qrt_sequencer *s,
                                                                  int64_t *registers, uint64_t *hash, qrt_effect *effect)
{
    const qrt_instruction *i = &shot->sequence.instructions[s->pc];
    if (i->op == QRT_OP_READ || i->op == QRT_OP_WRITE) {
        qrt_effect_kind kind = settle_bit(shot, sequencer, i->b, effect);
        if (kind != NO_EFFECT) {
            return kind;
        }
    }
    s->pc++;
    if (shot->instruction_count == shot->sequence.budget) {
        return fails(effect, QRT_ERR_BUDGET);
    }
    shot->instruction_count++;
    *hash = traced(*hash, shot, s->cursor, sequencer, i);
    switch ((qrt_op)i->op) {
    case QRT_OP_END:
        s->state = QRT_HAS_ENDED;
        return LEAVES;
    case QRT_OP_PLAY:
        return play(shot, s, i, effect);
    case QRT_OP_CAPTURE:
        return capture(shot, sequencer, i, effect);
    case QRT_OP_WAIT:
        return move_cursor(shot, s, i->d, effect);
    case QRT_OP_WAIT_UNTIL:
        return i->d < s->cursor ? fails(effect, QRT_ERR_UNDERFLOW) : move_cursor(shot, s, i->d - s->cursor, effect);
    case QRT_OP_SYNC:
        return sync(shot, sequencer, i->d, effect);
    case QRT_OP_SET_FREQUENCY:
        set_frequency(&shot->ncos[i->a], s->cursor, i->d);
        return NO_EFFECT;
    case QRT_OP_SHIFT_PHASE:
        shot->ncos[i->a].phase += (uint64_t)i->d;
        return NO_EFFECT;
    case QRT_OP_READ:
        registers[i->a] = (int64_t)(shot->bits >> i->b & 1);
        return NO_EFFECT;
    case QRT_OP_WRITE:
        write_bit(shot, i->b, (uint64_t)registers[i->a] & 1, s->cursor);
        return NO_EFFECT;
    case QRT_OP_ALU:
        alu(registers, i);
        return NO_EFFECT;
    case QRT_OP_BRANCH:
        s->pc = branches(registers[i->a], i->b) ? (uint32_t)i->c : s->pc;
        return NO_EFFECT;
    }
    return fails(effect, QRT_ERR_INSTRUCTION);
}

/* Executes the active sequencer until it has an effect, waits, has ended, or something in the heap comes first. Nothing joins the
 * heap meanwhile without ending this, so one comparison an instruction is enough. */
static qrt_effect_kind run_active(qrt_shot *shot, qrt_effect *effect)
{
    uint32_t sequencer = shot->active;
    qrt_sequencer *s = &shot->sequencers[sequencer];
    int64_t *registers = shot->registers[sequencer];
    qrt_due first = shot->due_count > 0 ? shot->dues[0] : (qrt_due){INT64_MAX, 0};
    int64_t limit = first.tick + (sequencer_rank(sequencer) < first.rank);
    uint64_t hash = shot->hash;
    qrt_effect_kind kind = NO_EFFECT;
    while (kind == NO_EFFECT && s->cursor < limit) {
        kind = step(shot, sequencer, s, registers, &hash, effect);
    }
    shot->hash = hash;
    if (kind == NO_EFFECT) {
        push_sequencer(shot, sequencer);
        kind = LEAVES;
    }
    if (kind == LEAVES) {
        shot->active = NOBODY;
        return kind;
    }
    effect->sequencer = sequencer;
    effect->instruction = s->pc - 1;
    effect->tick = s->cursor;
    return kind;
}

/* ---- The shot ------------------------------------------------------------------------------------------------- */

void qrt_shot_arm(qrt_shot *shot, const qrt_sequence *sequence, const qrt_port *port)
{
    memset(shot, 0, sizeof *shot);
    shot->sequence = *sequence;
    shot->feedback_latency_ticks = port->feedback_latency_ticks;
    shot->granularity_ticks = port->granularity_ticks;
    shot->sample_ticks = port->sample_ticks;
    shot->register_count = qrt_sequence_register_count(sequence);
    shot->bit_count = qrt_sequence_bit_count(sequence);
}

void qrt_shot_begin(qrt_shot *shot, int64_t tick, uint8_t *outcomes, int64_t *iq, qrt_event *events, uint32_t event_count_max)
{
    const qrt_sequence *sequence = &shot->sequence;
    shot->outcomes = outcomes;
    shot->iq = iq;
    shot->tick = tick;
    shot->now = 0;
    shot->hash = K0;
    shot->bits = 0;
    shot->instruction_count = 0;
    shot->captures_begun = 0;
    shot->slots_free = (1u << QRT_OUTSTANDING_MAX) - 1;
    shot->active = NOBODY;
    shot->bit_waiters = 0;
    shot->due_count = 0;
    shot->events = events;
    shot->event_count_max = event_count_max;
    shot->event_count = 0;
    memset(shot->bit_ready, 0, shot->bit_count * sizeof shot->bit_ready[0]);
    memset(shot->bit_pending, 0, shot->bit_count * sizeof shot->bit_pending[0]);
    for (uint32_t frame = 0; frame < sequence->frame_count; frame++) {
        shot->ncos[frame] = (qrt_nco){(uint64_t)sequence->frames[frame].frequency, sequence->frames[frame].phase, 0};
    }
    for (uint32_t sequencer = 0; sequencer < sequence->sequencer_count; sequencer++) {
        shot->sequencers[sequencer] = (qrt_sequencer){.pc = sequence->entries[sequencer], .state = QRT_GOES_ON};
        memset(shot->registers[sequencer], 0, shot->register_count * sizeof(int64_t));
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
    uint8_t outcome = iq[0] > spec->threshold;
    shot->slots_free |= 1u << effect->slot;
    shot->outcomes[ended->capture_index] = outcome;
    shot->iq[2 * ended->capture_index] = iq[0];
    shot->iq[2 * ended->capture_index + 1] = iq[1];
    qrt_instruction line = {.op = QRT_EVENT_OUTCOME, .b = ended->capture_index, .c = outcome, .d = iq[0]};
    uint64_t hash = traced(shot->hash, shot, ended->end_tick, ended->sequencer, &line);
    line = (qrt_instruction){.op = QRT_EVENT_IQ, .b = ended->capture_index, .d = iq[1]};
    shot->hash = traced(hash, shot, ended->end_tick, ended->sequencer, &line);
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
