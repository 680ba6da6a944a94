/* The samples of a capture that ends: waited for, and demodulated as they come.
 *
 * Where the port tells how many samples have come (capture_arrived), all outstanding captures are demodulated in pieces while the kernel
 * waits for one of them, so that after the last sample less than a piece of each is left to do. Sums of integers: the pieces give the
 * same bits as the whole. Where the port does not tell, or where all samples are there when the kernel comes, they are demodulated in one.
 *
 * A piece begins at an even sample, since the headroom was computed for pairs that do (demodulate.c).
 */
#include "arrival.h"
#include "checks.h"
#include "clock.h"

#define PIECE_SAMPLES 64
#define WAIT_NS 1000000000 /* a capture whose samples have not come after this is a failure of a port that is fast */
#define SPIN_NS 50000      /* of a port that takes its time: spun before sleeping */
#define NAP_NS 50000
#define LOOKS_PER_CLOCK 16 /* looking at the clock takes as long as looking for samples */

static_assert(PIECE_SAMPLES % 2 == 0, "pairs stay pairs");

static bool is_aborted(const qrt_outside *outside)
{
    return (atomic_load_explicit(outside->request, memory_order_relaxed) & outside->request_abort) != 0;
}

void qrt_arrival_arm(qrt_arrival *arrival, const qrt_sequence *sequence)
{
    *arrival = (qrt_arrival){.isa = qrt_isa_chosen()};
    for (uint32_t capture = 0; capture < sequence->capture_count; capture++) {
        const qrt_capture_spec *spec = &sequence->captures[capture];
        const int16_t *weights = sequence->weights + spec->weights_offset;
        arrival->headroom[capture] = qrt_weights_headroom(weights, weights + spec->sample_count, spec->sample_count);
    }
}

/* The samples from where the last piece ended up to `end`. */
static void add_piece(qrt_arrival *arrival, const qrt_shot *shot, uint16_t slot, const int16_t *samples, uint32_t end)
{
    uint16_t capture_index = shot->outstanding[slot].capture_index;
    const qrt_capture_spec *spec = &shot->sequence.captures[capture_index];
    qrt_partial *partial = &arrival->partials[slot];
    const int16_t *weights_i = shot->sequence.weights + spec->weights_offset + partial->sample_count;
    int64_t iq[2];
    arrival->isa->demodulate(iq, samples + partial->sample_count, weights_i, weights_i + spec->sample_count,
                             end - partial->sample_count, arrival->headroom[capture_index]);
    partial->iq[0] += iq[0];
    partial->iq[1] += iq[1];
    partial->sample_count = end;
}

/* QRT_OK, an error of the port's, or QRT_ERR_PORT where what it tells cannot be. */
static qrt_status take_pieces(qrt_arrival *arrival, const qrt_shot *shot)
{
    const qrt_port *port = &shot->outside.port;
    for (uint32_t left = ~shot->slots_free & ((1u << QRT_OUTSTANDING_MAX) - 1); left != 0; left &= left - 1) {
        uint16_t slot = (uint16_t)__builtin_ctz(left);
        uint32_t count = 0;
        const int16_t *samples = NULL;
        qrt_status status = port->capture_arrived(port->self, slot, &count, &samples);
        if (status != QRT_OK) {
            return status;
        }
        uint32_t taken = arrival->partials[slot].sample_count;
        if (count < taken || count > shot->sequence.captures[shot->outstanding[slot].capture_index].sample_count) {
            return QRT_ERR_PORT;
        }
        if (count - taken >= PIECE_SAMPLES) {
            add_piece(arrival, shot, slot, samples, count / PIECE_SAMPLES * PIECE_SAMPLES);
        }
    }
    return QRT_OK;
}

/* A capture whose samples had not all come. */
static __attribute__((noinline)) qrt_status awaited(qrt_arrival *arrival, const qrt_shot *shot, uint16_t slot,
                                                    const int16_t **samples_out)
{
    const qrt_port *port = &shot->outside.port;
    int64_t begun_ns = qrt_clock_now_ns();
    int64_t limit_ns = port->answer_ns_max > 0 ? port->answer_ns_max : WAIT_NS;
    qrt_status status = QRT_NOT_READY;
    bool naps = false;
    for (uint32_t look = 1; status == QRT_NOT_READY; look++) {
        if (is_aborted(&shot->outside)) {
            return QRT_ABORTED;
        }
        if (naps || look % LOOKS_PER_CLOCK == 0) {
            int64_t waited_ns = qrt_clock_now_ns() - begun_ns;
            if (waited_ns > limit_ns) {
                return QRT_ERR_PORT;
            }
            naps = port->answer_ns_max > 0 && waited_ns > SPIN_NS;
        }
        qrt_status taken = port->capture_arrived != NULL ? take_pieces(arrival, shot) : QRT_OK;
        if (taken != QRT_OK) {
            return taken;
        }
        if (naps) {
            qrt_clock_sleep(NAP_NS);
        } else {
            qrt_clock_pause();
        }
        status = port->capture_end(port->self, slot, samples_out);
    }
    return status;
}

qrt_status qrt_arrival_end(qrt_arrival *arrival, const qrt_shot *shot, uint16_t slot, int64_t iq_out[2], const int16_t **samples_out)
{
    const qrt_port *port = &shot->outside.port;
    uint16_t capture_index = shot->outstanding[slot].capture_index;
    const qrt_capture_spec *spec = &shot->sequence.captures[capture_index];
    qrt_partial *partial = &arrival->partials[slot];
    qrt_status status = port->capture_end(port->self, slot, samples_out);
    status = status == QRT_NOT_READY ? awaited(arrival, shot, slot, samples_out) : status;
    if (status != QRT_OK) {
        return status;
    }
    if (partial->sample_count == 0) {
        const int16_t *weights = shot->sequence.weights + spec->weights_offset;
        arrival->isa->demodulate(iq_out, *samples_out, weights, weights + spec->sample_count, spec->sample_count,
                                 arrival->headroom[capture_index]);
        return QRT_OK;
    }
    if (partial->sample_count < spec->sample_count) {
        add_piece(arrival, shot, slot, *samples_out, spec->sample_count);
    }
    iq_out[0] = partial->iq[0];
    iq_out[1] = partial->iq[1];
    *partial = (qrt_partial){0};
    return QRT_OK;
}
