/* Everything that can be known of a sequence before it runs, checked once at arm.
 *
 * Afterwards the sequencer (sequencer.c) reads operands without looking: no program counter leaves the instructions, no index its
 * array. What depends on the run (ticks, the budget, who meets whom at a SYNC) is checked there.
 */
#include <math.h>
#include "checks.h"
#include "sequence.h"

#define INSTRUCTION_COUNT_MAX (1u << 24)
#define TABLE_COUNT_MAX (1u << 28)
#define PERIOD_TICKS_MAX ((int64_t)1 << 48) /* sums of a cursor and a capture's length stay far from 64 bits */
#define PORT_TICKS_MAX ((int64_t)1 << 40)   /* latency; 2^40 ticks and 2^48 make no overflow either */
#define SAMPLE_TICKS_MAX 65536
#define GRANULARITY_TICKS_MAX 65536

static qrt_status check_counts(const qrt_sequence *s)
{
    bool lent = s->instructions != NULL && s->entries != NULL && (s->frames != NULL || s->frame_count == 0) &&
                (s->captures != NULL || s->capture_count == 0) && (s->weights != NULL || s->weights_count == 0) &&
                (s->table != NULL || s->table_count == 0) && (s->factors != NULL || s->factor_count == 0);
    bool counts = s->instruction_count > 0 && s->instruction_count <= INSTRUCTION_COUNT_MAX && s->sequencer_count > 0 &&
                  s->sequencer_count <= QRT_SEQUENCERS_MAX && s->frame_count <= QRT_FRAMES_MAX &&
                  s->capture_count <= QRT_CAPTURES_MAX && s->weights_count <= QRT_WEIGHTS_MAX &&
                  s->table_count <= TABLE_COUNT_MAX && s->factor_count <= TABLE_COUNT_MAX && s->slot_count <= QRT_SLOTS_MAX &&
                  s->emit_count <= QRT_EMITS_MAX;
    if (!lent || !counts || s->budget == 0 || s->period_ticks <= 0 ||
        s->period_ticks > PERIOD_TICKS_MAX / ((int64_t)s->stretch_max + 1)) {
        return QRT_ERR_ARGUMENT;
    }
    for (uint32_t sequencer = 0; sequencer < s->sequencer_count; sequencer++) {
        if (s->entries[sequencer] >= s->instruction_count) {
            return QRT_ERR_ARGUMENT;
        }
    }
    return QRT_OK;
}

static qrt_status check_port(const qrt_port *port)
{
    if (port->abi != QRT_PORT_ABI || port->size != sizeof(qrt_port)) {
        return QRT_ERR_ABI;
    }
    bool functions = port->begin_shot != NULL && port->play != NULL && port->capture_begin != NULL && port->capture_end != NULL &&
                     port->safe != NULL;
    bool ticks = port->feedback_latency_ticks >= 0 && port->feedback_latency_ticks <= PORT_TICKS_MAX &&
                 port->granularity_ticks > 0 && port->granularity_ticks <= GRANULARITY_TICKS_MAX && port->sample_ticks > 0 &&
                 port->sample_ticks <= SAMPLE_TICKS_MAX;
    return functions && ticks ? QRT_OK : QRT_ERR_ARGUMENT;
}

static bool slot_is_valid(const qrt_sequence *s, uint32_t slot)
{
    return slot < s->slot_count || slot == QRT_SLOT_NONE;
}

static bool weights_are_lent(const qrt_sequence *s, const qrt_capture_spec *spec)
{
    uint64_t each = 2 * (uint64_t)spec->sample_count;
    uint64_t left = spec->weights_offset <= s->weights_count ? s->weights_count - spec->weights_offset : 0;
    uint32_t count = qrt_capture_bank_count(spec);
    return count > 0 && count <= left / each;
}

static qrt_status check_arrays(const qrt_sequence *s, const qrt_port *port)
{
    for (uint32_t frame = 0; frame < s->frame_count; frame++) {
        if (s->frames[frame].line >= port->line_count) {
            return QRT_ERR_LINE;
        }
    }
    for (uint32_t capture = 0; capture < s->capture_count; capture++) {
        const qrt_capture_spec *spec = &s->captures[capture];
        if (spec->channel >= port->channel_count) {
            return QRT_ERR_CHANNEL;
        }
        if (spec->sample_count == 0 || spec->sample_count > port->capture_samples_max) {
            return QRT_ERR_CAPTURE_LENGTH;
        }
        if (!slot_is_valid(s, spec->threshold_slot) || !slot_is_valid(s, spec->weights_slot) || !weights_are_lent(s, spec) ||
            spec->raw > 1 || (spec->bit >= QRT_BITS_MAX && spec->bit != QRT_BIT_NONE)) {
            return QRT_ERR_ARGUMENT;
        }
    }
    for (uint32_t weight = 0; weight < s->weights_count; weight++) {
        if (s->weights[weight] == INT16_MIN) {
            return QRT_ERR_ARGUMENT; /* demodulation could wrap */
        }
    }
    for (uint32_t factor = 0; factor < s->factor_count; factor++) {
        if (!isfinite(s->factors[factor])) {
            return QRT_ERR_ARGUMENT;
        }
    }
    return QRT_OK;
}

static bool is_part(const qrt_instruction *i, uint32_t entry_count)
{
    return i->b < QRT_REGISTERS && i->c >= 0 && i->d > 0 && i->d <= (int64_t)entry_count - i->c;
}

static bool operands_are_valid(const qrt_sequence *s, const qrt_instruction *i)
{
    uint64_t sequencers = ((uint64_t)1 << s->sequencer_count) - 1;
    switch (i->op) {
    case QRT_OP_END:
        return true;
    case QRT_OP_PLAY:
        return i->a < s->frame_count && i->c >= -QRT_AMPLITUDE_ONE && i->c <= QRT_AMPLITUDE_ONE && (i->d == 0 || i->d == 1);
    case QRT_OP_CAPTURE:
        return i->b < s->capture_count;
    case QRT_OP_WAIT:
    case QRT_OP_WAIT_UNTIL:
        return i->d >= 0;
    case QRT_OP_SYNC:
        return i->d != 0 && ((uint64_t)i->d & ~sequencers) == 0;
    case QRT_OP_SET_FREQUENCY:
    case QRT_OP_SHIFT_PHASE:
        return i->a < s->frame_count;
    case QRT_OP_READ:
    case QRT_OP_WRITE:
        return i->a < QRT_REGISTERS && i->b < QRT_BITS_MAX;
    case QRT_OP_ALU:
        return i->a < QRT_REGISTERS && i->b <= QRT_ALU_SHIFT_RIGHT && i->c >= 0 && i->c < QRT_REGISTERS &&
               (i->b != QRT_ALU_SHIFT_RIGHT || (i->d >= 0 && i->d <= 63));
    case QRT_OP_BRANCH:
        return i->a < QRT_REGISTERS && i->b <= QRT_IF_NOT_NEGATIVE && i->c >= 0 && (uint32_t)i->c < s->instruction_count;
    case QRT_OP_LOAD:
        return i->a < QRT_REGISTERS && i->b < s->slot_count;
    case QRT_OP_LOOKUP:
        return i->a < QRT_REGISTERS && is_part(i, s->table_count);
    case QRT_OP_DRAW:
        return i->a < QRT_REGISTERS && i->d >= 1 && i->d <= 63;
    case QRT_OP_WEIGH:
        return is_part(i, s->factor_count);
    case QRT_OP_EMIT:
        return i->a < QRT_REGISTERS && i->b < s->emit_count;
    case QRT_OP_PLAY_REGISTER:
        return i->a < s->frame_count && i->c >= 0 && i->c < QRT_REGISTERS && (i->d == 0 || i->d == 1);
    case QRT_OP_WAIT_REGISTER:
        return i->a < QRT_REGISTERS;
    case QRT_OP_SET_FREQUENCY_REGISTER:
    case QRT_OP_SHIFT_PHASE_REGISTER:
        return i->a < s->frame_count && i->b < QRT_REGISTERS;
    default:
        return false;
    }
}

qrt_status qrt_sequence_check(const qrt_sequence *sequence, const qrt_port *port, int32_t *instruction_out)
{
    *instruction_out = -1;
    qrt_status status = check_counts(sequence);
    status = status == QRT_OK ? check_port(port) : status;
    status = status == QRT_OK ? check_arrays(sequence, port) : status;
    if (status != QRT_OK) {
        return status;
    }
    for (uint32_t index = 0; index < sequence->instruction_count; index++) {
        if (!operands_are_valid(sequence, &sequence->instructions[index])) {
            *instruction_out = (int32_t)index;
            return QRT_ERR_INSTRUCTION;
        }
    }
    /* Each instruction goes on to the next one or to a checked target; the last has no next one. */
    const qrt_instruction *last = &sequence->instructions[sequence->instruction_count - 1];
    if (last->op != QRT_OP_END && !(last->op == QRT_OP_BRANCH && last->b == QRT_IF_ALWAYS)) {
        *instruction_out = (int32_t)sequence->instruction_count - 1;
        return QRT_ERR_INSTRUCTION;
    }
    return QRT_OK;
}

/* A bit for each of the fields a, b and c that names a register. */
static uint32_t register_fields(const qrt_instruction *i)
{
    enum { A = 1, B = 2, C = 4 };
    switch (i->op) {
    case QRT_OP_READ:
    case QRT_OP_WRITE:
    case QRT_OP_BRANCH:
    case QRT_OP_LOAD:
    case QRT_OP_DRAW:
    case QRT_OP_EMIT:
    case QRT_OP_WAIT_REGISTER: return A;
    case QRT_OP_ALU: return A | C;
    case QRT_OP_LOOKUP: return A | B;
    case QRT_OP_WEIGH:
    case QRT_OP_SET_FREQUENCY_REGISTER:
    case QRT_OP_SHIFT_PHASE_REGISTER: return B;
    case QRT_OP_PLAY_REGISTER: return C;
    default: return 0;
    }
}

uint32_t qrt_sequence_register_count(const qrt_sequence *sequence)
{
    uint32_t highest = 0;
    for (uint32_t index = 0; index < sequence->instruction_count; index++) {
        const qrt_instruction *i = &sequence->instructions[index];
        const uint32_t named[] = {i->a + 1u, i->b + 1u, (uint32_t)i->c + 1u};
        uint32_t fields = register_fields(i);
        for (uint32_t field = 0; field < 3; field++) {
            highest = (fields >> field & 1) && named[field] > highest ? named[field] : highest;
        }
    }
    return highest;
}
