/* Decoding at arm: all that is known of an instruction before it runs, found once: its section, with its share of the trace hash (trace.h),
 * and pointers in the place of indices. The instructions themselves stay as they are, for the event log.
 */
#include "checks.h"
#include "decode.h"
#include "sequence.h"
#include "trace.h"

static_assert(sizeof(qrt_step) == QRT_STEP_SIZE, "as much as is lent for each");
static_assert((int)QRT_OP_SHIFT_PHASE_REGISTER < STEP_ALU && STEP_ALU + (int)QRT_ALU_SHIFT_RIGHT < STEP_BRANCH &&
                  STEP_BRANCH + (int)QRT_IF_NOT_NEGATIVE < STEP_PLAY_RESTARTED,
              "kinds do not overlap");

static uint8_t kind_of(const qrt_instruction *i)
{
    QRT_ASSERT(i->op <= QRT_OP_SHIFT_PHASE_REGISTER);
    switch ((qrt_op)i->op) {
    case QRT_OP_ALU:
        return (uint8_t)(STEP_ALU + i->b);
    case QRT_OP_BRANCH:
        return (uint8_t)(STEP_BRANCH + i->b);
    case QRT_OP_PLAY:
        return i->d == 1 ? STEP_PLAY_RESTARTED : QRT_OP_PLAY;
    default:
        return i->op;
    }
}

static bool is_found_while_running(const qrt_instruction *i)
{
    return i->op >= QRT_OP_LOAD;
}

static bool begins_section(const qrt_instruction *i)
{
    return i->op == QRT_OP_READ || i->op == QRT_OP_WRITE || is_found_while_running(i);
}

static bool ends_section(const qrt_instruction *i)
{
    return i->op == QRT_OP_END || i->op == QRT_OP_WAIT_UNTIL || i->op == QRT_OP_SYNC || i->op == QRT_OP_BRANCH ||
           is_found_while_running(i);
}

static qrt_bit *bit_of(qrt_shot *shot, uint32_t bit)
{
    if (bit == QRT_BIT_NONE) {
        return &shot->bit_cells[QRT_BITS_MAX];
    }
    shot->bits_used |= (uint64_t)1 << bit;
    return &shot->bit_cells[bit];
}

/* following: the step behind it, decoded, or NULL where its section ends with it. */
static qrt_step decoded(qrt_shot *shot, const qrt_instruction *i, const qrt_step *following)
{
    qrt_step step = {.kind = kind_of(i), .a = i->a, .b = i->b, .c = i->c, .d = i->d};
    step.length = 1 + (following != NULL ? following->length : 0);
    step.words = is_found_while_running(i)
                     ? head_word(shot, head_of(i))
                     : section_word(shot, following != NULL ? following->words : K0, instruction_words(shot, i));
    switch ((qrt_op)i->op) {
    case QRT_OP_BRANCH:
        step.target = shot->steps + i->c;
        break;
    case QRT_OP_CAPTURE:
        step.capture = &shot->planned[i->b];
        break;
    case QRT_OP_SET_FREQUENCY:
    case QRT_OP_SET_FREQUENCY_REGISTER:
    case QRT_OP_SHIFT_PHASE:
    case QRT_OP_SHIFT_PHASE_REGISTER:
        shot->frames_moved |= (uint64_t)1 << i->a;
        step.nco = &shot->ncos[i->a];
        break;
    case QRT_OP_PLAY:
    case QRT_OP_PLAY_REGISTER:
        step.nco = &shot->ncos[i->a];
        break;
    case QRT_OP_READ:
    case QRT_OP_WRITE:
        step.bit = bit_of(shot, i->b);
        break;
    case QRT_OP_WAIT:
    case QRT_OP_WAIT_UNTIL:
        step.d = i->d > shot->limit_ticks ? shot->limit_ticks + 1 : i->d; /* so that a sum stays far from 64 bits */
        break;
    default:
        break;
    }
    return step;
}

/* What a shot begins with. */
static void set_ncos(qrt_shot *shot)
{
    for (uint32_t frame = 0; frame < shot->sequence.frame_count; frame++) {
        const qrt_frame *given = &shot->sequence.frames[frame];
        shot->ncos[frame] = (qrt_nco){.phase = given->phase, .play = {.frequency = given->frequency, .line = given->line}};
    }
}

/* That holds for each of a capture's weights. */
static uint32_t bank_headroom(const qrt_sequence *sequence, const qrt_capture_spec *spec)
{
    const int16_t *weights = sequence->weights + spec->weights_offset;
    uint32_t headroom = UINT32_MAX;
    for (uint32_t left = qrt_capture_bank_count(spec); left > 0; left--, weights += 2 * (size_t)spec->sample_count) {
        uint32_t own = qrt_weights_headroom(weights, weights + spec->sample_count, spec->sample_count);
        headroom = own < headroom ? own : headroom;
    }
    return headroom;
}

static void plan_capture(qrt_shot *shot, uint32_t index)
{
    const qrt_capture_spec *spec = &shot->sequence.captures[index];
    qrt_planned *planned = &shot->planned[index];
    *planned = (qrt_planned){.asked = {.sample_count = spec->sample_count, .channel = spec->channel},
                             .length_ticks = (int64_t)spec->sample_count * shot->sample_ticks,
                             .bit = bit_of(shot, spec->bit),
                             .weights = shot->sequence.weights + spec->weights_offset,
                             .bank_count = qrt_capture_bank_count(spec),
                             .headroom = bank_headroom(&shot->sequence, spec),
                             .mask = (uint64_t)1 << index,
                             .index = (uint16_t)index,
                             .raw = spec->raw != 0};
    planned->chosen = spec->weights_slot == QRT_SLOT_NONE ? NULL : &shot->outside.slots[spec->weights_slot];
    planned->threshold = spec->threshold_slot == QRT_SLOT_NONE ? &spec->threshold : &shot->outside.slots[spec->threshold_slot];
    for (int32_t outcome = 0; outcome < 2; outcome++) {
        planned->words[outcome] = head_word(shot, head_from(QRT_EVENT_OUTCOME, (uint16_t)index, outcome));
    }
}

void qrt_decode(qrt_shot *shot)
{
    const qrt_instruction *instructions = shot->sequence.instructions;
    const uint32_t count = shot->sequence.instruction_count;
    for (uint32_t left = count; left > 0; left--) {
        uint32_t index = left - 1;
        bool goes_on = left < count && !ends_section(&instructions[index]) && !begins_section(&instructions[left]);
        shot->steps[index] = decoded(shot, &instructions[index], goes_on ? &shot->steps[left] : NULL);
    }
    for (uint32_t capture = 0; capture < shot->sequence.capture_count; capture++) {
        plan_capture(shot, capture);
    }
    set_ncos(shot);
}
