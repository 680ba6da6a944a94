/* Inside the sequencer: the instructions as it executes them. */
#ifndef QRT_DECODE_H
#define QRT_DECODE_H
#include "sequencer.h"

/* One kind of step for each operation of the ALU and each condition: one jump where the instruction takes two. */
enum { STEP_ALU = 32, STEP_BRANCH = 48 };

struct qrt_step {
    uint8_t kind; /* qrt_op, STEP_ALU + qrt_alu, or STEP_BRANCH + qrt_condition */
    uint8_t a;    /* these as in the instruction */
    uint16_t b;
    int32_t c;
    int64_t d;
    uint64_t words; /* what it adds to the trace hash; where an operand is found while running, without that one */
    union {
        const qrt_step *target;
        qrt_nco *nco;
        const qrt_capture_spec *capture;
    };
};

/* Of a sequence that has passed qrt_sequence_check, into the shot's steps, lent. */
void qrt_decode(qrt_shot *shot);

#endif
