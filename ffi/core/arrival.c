/* The samples of a capture that ends: waited for, and demodulated as they come.
 *
 * Where the port tells how many samples have come (capture_arrived), all outstanding captures are demodulated in pieces while the kernel
 * waits for one of them, so that after the last sample little of each is left to do. Sums of integers: the pieces give the
 * same bits as the whole. Where the port does not tell, or where all samples are there when the kernel comes, they are demodulated in one.
 *
 * A piece begins at an even sample, since the headroom was computed for pairs that do (demodulate.c).
 */
#include "arrival.h"
#include "checks.h"
#include "clock.h"
#include "sequence.h"

#define PIECE_SAMPLES 64
#define WAIT_NS 1000000000 /* a capture whose samples have not come after this is a failure of a port that is fast */
#define SPIN_NS 50000      /* of a port that takes its time: spun before sleeping */
#define NAP_NS 50000
#define LOOKS_PER_CLOCK 16 /* looking at the clock takes as long as looking for samples */
#define ALL_SLOTS ((1u << QRT_OUTSTANDING_MAX) - 1)

static_assert(PIECE_SAMPLES % 2 == 0, "pairs stay pairs");

static bool is_aborted(const qrt_outside *outside)
{
    return (atomic_load_explicit(outside->request, memory_order_relaxed) & outside->request_abort) != 0;
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

void qrt_arrival_arm(qrt_arrival *arrival, const qrt_sequence *sequence)
{
    *arrival = (qrt_arrival){.demodulate = qrt_isa_chosen()->demodulate};
    for (uint32_t capture = 0; capture < sequence->capture_count; capture++) {
        const qrt_capture_spec *spec = &sequence->captures[capture];
        arrival->windows[capture] = (qrt_window){spec->sample_count, bank_headroom(sequence, spec)};
    }
}

/* The samples from where the last piece ended up to `end`. */
static void add_piece(const qrt_arrival *arrival, qrt_partial *partial, const qrt_window *window, const int16_t *weights,
                      const int16_t *samples, uint32_t end)
{
    uint32_t begin = partial->sample_count;
    const int16_t *weights_i = weights + begin;
    int64_t iq[2];
    arrival->demodulate(iq, samples + begin, weights_i, weights_i + window->sample_count, end - begin, window->headroom);
    partial->iq[0] += iq[0];
    partial->iq[1] += iq[1];
    partial->sample_count = end;
}

void qrt_arrival_forget(qrt_arrival *arrival)
{
    for (uint32_t slot = 0; slot < QRT_OUTSTANDING_MAX; slot++) {
        arrival->partials[slot] = (qrt_partial){0};
    }
}

typedef enum { NOTHING_NEW, PIECE_TAKEN, ALL_HAVE_COME } progress;

/* Of one outstanding capture: what has come, where that is worth a piece; all that is left is for its end. QRT_OK, an error of the
 * port's, or QRT_ERR_PORT where what it tells cannot be. */
static qrt_status take_piece(qrt_arrival *arrival, const qrt_shot *shot, uint16_t slot, progress *progress_out)
{
    const qrt_port *port = &shot->outside.port;
    const qrt_window *window = &arrival->windows[shot->outstanding[slot].capture_index];
    qrt_partial *partial = &arrival->partials[slot];
    uint32_t count = 0;
    const int16_t *samples = NULL;
    qrt_status status = port->capture_arrived(port->self, slot, &count, &samples);
    if (status != QRT_OK) {
        return status;
    }
    if (count < partial->sample_count || count > window->sample_count) {
        return QRT_ERR_PORT;
    }
    *progress_out = NOTHING_NEW;
    if (count == window->sample_count) {
        *progress_out = ALL_HAVE_COME;
    } else if (count - partial->sample_count >= PIECE_SAMPLES) {
        add_piece(arrival, partial, window, shot->outstanding[slot].weights, samples, count / PIECE_SAMPLES * PIECE_SAMPLES);
        *progress_out = PIECE_TAKEN;
    }
    return QRT_OK;
}

/* Of the capture that is waited for and, unless all of it has come, of the others. */
static qrt_status take_pieces(qrt_arrival *arrival, const qrt_shot *shot, uint16_t slot, progress *progress_out)
{
    qrt_status status = take_piece(arrival, shot, slot, progress_out);
    uint32_t others = *progress_out == ALL_HAVE_COME ? 0 : ~shot->slots_free & (ALL_SLOTS ^ 1u << slot);
    for (; others != 0 && status == QRT_OK; others &= others - 1) {
        progress other = NOTHING_NEW;
        status = take_piece(arrival, shot, (uint16_t)__builtin_ctz(others), &other);
        *progress_out = other == PIECE_TAKEN ? PIECE_TAKEN : *progress_out;
    }
    return status;
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
        bool looks_at_clock = naps || look % LOOKS_PER_CLOCK == 0;
        if (looks_at_clock) {
            int64_t waited_ns = qrt_clock_now_ns() - begun_ns;
            if (waited_ns > limit_ns) {
                return port->answer_ns_max > 0 ? QRT_ERR_TOO_LATE : QRT_ERR_PORT;
            }
            naps = port->answer_ns_max > 0 && waited_ns > SPIN_NS;
        }
        progress seen = NOTHING_NEW;
        qrt_status taken = port->capture_arrived != NULL ? take_pieces(arrival, shot, slot, &seen) : QRT_OK;
        if (taken != QRT_OK) {
            return taken;
        }
        if (naps) {
            qrt_clock_sleep(NAP_NS);
        } else if (seen == NOTHING_NEW) {
            qrt_clock_pause();
        }
        if (seen == ALL_HAVE_COME || looks_at_clock || port->capture_arrived == NULL) {
            status = port->capture_end(port->self, slot, samples_out); /* now and then in any case: it may have failed */
        }
    }
    return status;
}

qrt_status qrt_arrival_end(qrt_arrival *arrival, const qrt_shot *shot, uint16_t slot, int64_t iq_out[2], const int16_t **samples_out)
{
    const qrt_port *port = &shot->outside.port;
    const qrt_outstanding *ended = &shot->outstanding[slot];
    const qrt_window *window = &arrival->windows[ended->capture_index];
    const int16_t *weights = ended->weights;
    qrt_partial *partial = &arrival->partials[slot];
    qrt_status status = port->capture_end(port->self, slot, samples_out);
    status = status == QRT_NOT_READY ? awaited(arrival, shot, slot, samples_out) : status;
    if (status != QRT_OK) {
        return status;
    }
    if (partial->sample_count == 0) {
        uint32_t count = window->sample_count;
        arrival->demodulate(iq_out, *samples_out, weights, weights + count, count, window->headroom);
        return QRT_OK;
    }
    add_piece(arrival, partial, window, weights, *samples_out, window->sample_count);
    iq_out[0] = partial->iq[0];
    iq_out[1] = partial->iq[1];
    *partial = (qrt_partial){0};
    return QRT_OK;
}
