/* Inside the sequencer: the instructions as it executes them. */
#ifndef QRT_DECODE_H
#define QRT_DECODE_H
#include "sequencer.h"

/* One kind of step for each operation of the ALU and each condition, and two for a play: one jump where the instruction takes two. */
enum { STEP_ALU = 32, STEP_BRANCH = 48, STEP_PLAY_RESTARTED = 56 };

struct qrt_step {
    uint64_t words;  /* of the section from here to its end, in the trace hash; where an operand is found while running, without that one */
    uint32_t length; /* of the section from here to its end, this one included */
    uint8_t kind;    /* qrt_op, STEP_ALU + qrt_alu, STEP_BRANCH + qrt_condition, or STEP_PLAY_RESTARTED: PLAY with d = 1 */
    uint8_t a;       /* these as in the instruction, but WAIT's and WAIT_UNTIL's d, which are at most one more than a cursor can be */
    uint16_t b;
    int64_t d;
    union {
        const qrt_step *target;
        qrt_nco *nco;
        qrt_bit *bit;
        qrt_planned *capture;
    };
    int32_t c;
};

/* Of a sequence that has passed qrt_sequence_check, into the shot's steps, lent. */
void qrt_decode(qrt_shot *shot);

#endif
