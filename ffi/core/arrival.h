/* Inside the core: the samples of a capture that ends, as they come, into iq. */
#ifndef QRT_ARRIVAL_H
#define QRT_ARRIVAL_H
#include "../qrt_core.h"
#include "sequencer.h"

/* Of an outstanding capture, whose port said QRT_NOT_READY: waits for its samples, and demodulates what comes of it and of the others
 * meanwhile. QRT_OK, QRT_ABORTED or an error; QRT_ERR_TOO_LATE where they did not come in the time that the port has for it. */
qrt_status qrt_arrival_await(qrt_shot *shot, qrt_outstanding *awaited, const int16_t **samples_out);

/* The iq of the samples from where the last piece ended up to `end`. */
static inline void qrt_arrival_demodulate(const qrt_shot *shot, const qrt_outstanding *taken, const int16_t *samples, uint32_t end,
                                          int64_t iq_out[2])
{
    uint32_t begin = taken->sample_count;
    const int16_t *weights = taken->weights + begin;
    const qrt_planned *planned = taken->planned;
    shot->demodulate(iq_out, samples + begin, weights, weights + planned->asked.sample_count, end - begin, planned->headroom);
}

/* Of a capture that ends: its iq, once all samples are there. samples_out is valid as long as the port says. */
static inline __attribute__((always_inline)) qrt_status qrt_arrival_end(qrt_shot *shot, qrt_outstanding *ended, int64_t iq_out[2],
                                                                       const int16_t **samples_out)
{
    const qrt_port *port = &shot->outside.port;
    qrt_status status = port->capture_end(port->self, (uint16_t)ended->slot, samples_out);
    if (__builtin_expect(status == QRT_NOT_READY, 0)) {
        status = qrt_arrival_await(shot, ended, samples_out);
    }
    if (__builtin_expect(status != QRT_OK, 0)) {
        return status;
    }
    qrt_arrival_demodulate(shot, ended, *samples_out, ended->planned->asked.sample_count, iq_out);
    if (ended->sample_count > 0) {
        iq_out[0] += ended->iq[0];
        iq_out[1] += ended->iq[1];
    }
    return QRT_OK;
}

#endif
