/* Inside the core: is a sequence one that this port can play? */
#ifndef QRT_SEQUENCE_H
#define QRT_SEQUENCE_H
#include "../qrt_core.h"

/* QRT_OK or the first error. instruction_out: the faulty instruction, or -1 where the fault lies elsewhere. */
qrt_status qrt_sequence_check(const qrt_sequence *sequence, const qrt_port *port, int32_t *instruction_out);
/* One more than the highest register that the sequence names: those that a shot has to clear. */
uint32_t qrt_sequence_register_count(const qrt_sequence *sequence);

/* How many sets of integration weights a capture has. */
static inline uint32_t qrt_capture_bank_count(const qrt_capture_spec *spec)
{
    return spec->weights_slot == QRT_SLOT_NONE ? 1 : spec->bank_count;
}

#endif
