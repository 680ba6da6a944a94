/* Inside the core: the samples of a capture that ends, as they come, into iq. */
#ifndef QRT_ARRIVAL_H
#define QRT_ARRIVAL_H
#include "../qrt_core.h"
#include "demodulate.h"
#include "sequencer.h"

/* Of a capture that has begun: what is demodulated already. All zero between captures. */
typedef struct {
    int64_t iq[2];
    uint32_t sample_count;
} qrt_partial;

/* Of a capture, known at arm. */
typedef struct {
    uint32_t sample_count;
    uint32_t headroom; /* of all weights in its bank */
} qrt_window;

typedef struct {
    qrt_demodulate_function *demodulate;
    qrt_window windows[QRT_CAPTURES_MAX];
    qrt_partial partials[QRT_OUTSTANDING_MAX];
} qrt_arrival;

void qrt_arrival_arm(qrt_arrival *arrival, const qrt_sequence *sequence);
/* What was demodulated of captures that will not end. */
void qrt_arrival_forget(qrt_arrival *arrival);
/* Waits for the samples of the capture in a slot of the shot, and demodulates them. QRT_OK, QRT_ABORTED or an error;
 * QRT_ERR_TOO_LATE where they did not come in the time that the port has for it. samples_out is valid as long as the port says. */
qrt_status qrt_arrival_end(qrt_arrival *arrival, const qrt_shot *shot, uint16_t slot, int64_t iq_out[2], const int16_t **samples_out);

#endif
