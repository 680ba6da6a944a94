/* Decoding at arm: all that is known of an instruction before it runs, found once: its share of the trace hash, and pointers in the place of
 * indices. The instructions themselves stay as they are, for the event log.
 */
#include "checks.h"
#include "decode.h"
#include "trace.h"

static_assert(sizeof(qrt_step) == QRT_STEP_SIZE, "two to a cache line");
static_assert((int)QRT_OP_SHIFT_PHASE_REGISTER < STEP_ALU && STEP_ALU + (int)QRT_ALU_SHIFT_RIGHT < STEP_BRANCH, "kinds do not overlap");

static uint8_t kind_of(const qrt_instruction *i)
{
    return (uint8_t)(i->op == QRT_OP_ALU ? STEP_ALU + i->b : i->op == QRT_OP_BRANCH ? STEP_BRANCH + i->b : i->op);
}

static qrt_step decoded(qrt_shot *shot, const qrt_instruction *i)
{
    qrt_step step = {.kind = kind_of(i), .a = i->a, .b = i->b, .c = i->c, .d = i->d};
    step.words = head_word(shot, head_of(i)) + (i->op < QRT_OP_LOAD ? operand_word(shot, i->d) : 0);
    switch ((qrt_op)i->op) {
    case QRT_OP_BRANCH:
        step.target = shot->steps + i->c;
        break;
    case QRT_OP_CAPTURE:
        step.capture = &shot->sequence.captures[i->b];
        break;
    case QRT_OP_PLAY:
    case QRT_OP_PLAY_REGISTER:
    case QRT_OP_SET_FREQUENCY:
    case QRT_OP_SET_FREQUENCY_REGISTER:
    case QRT_OP_SHIFT_PHASE:
    case QRT_OP_SHIFT_PHASE_REGISTER:
        step.nco = &shot->ncos[i->a];
        break;
    default:
        break;
    }
    return step;
}

void qrt_decode(qrt_shot *shot)
{
    const qrt_sequence *sequence = &shot->sequence;
    for (uint32_t index = 0; index < sequence->instruction_count; index++) {
        shot->steps[index] = decoded(shot, &sequence->instructions[index]);
    }
    for (uint32_t capture = 0; capture < sequence->capture_count; capture++) {
        qrt_capture_words *words = &shot->capture_words[capture];
        for (int32_t outcome = 0; outcome < 2; outcome++) {
            words->outcomes[outcome] = head_word(shot, head_from(QRT_EVENT_OUTCOME, (uint16_t)capture, outcome));
        }
        words->iq = head_word(shot, head_from(QRT_EVENT_IQ, (uint16_t)capture, 0));
    }
}
