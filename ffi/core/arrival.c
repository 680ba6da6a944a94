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

typedef enum { NOTHING_NEW, PIECE_TAKEN, ALL_HAVE_COME } progress;

static void add_piece(const qrt_shot *shot, qrt_outstanding *taken, const int16_t *samples, uint32_t end)
{
    int64_t iq[2];
    qrt_arrival_demodulate(shot, taken, samples, end, iq);
    bool is_first = taken->sample_count == 0;
    taken->iq[0] = is_first ? iq[0] : taken->iq[0] + iq[0];
    taken->iq[1] = is_first ? iq[1] : taken->iq[1] + iq[1];
    taken->sample_count = end;
}

/* Of one outstanding capture: what has come, where that is worth a piece; all that is left is for its end. QRT_OK, an error of the
 * port's, or QRT_ERR_PORT where what it tells cannot be. */
static qrt_status take_piece(const qrt_shot *shot, qrt_outstanding *taken, progress *progress_out)
{
    const qrt_port *port = &shot->outside.port;
    uint32_t whole = taken->planned->asked.sample_count;
    uint32_t count = 0;
    const int16_t *samples = NULL;
    qrt_status status = port->capture_arrived(port->self, (uint16_t)taken->slot, &count, &samples);
    if (status != QRT_OK) {
        return status;
    }
    if (count < taken->sample_count || count > whole) {
        return QRT_ERR_PORT;
    }
    *progress_out = NOTHING_NEW;
    if (count == whole) {
        *progress_out = ALL_HAVE_COME;
    } else if (count - taken->sample_count >= PIECE_SAMPLES) {
        add_piece(shot, taken, samples, count / PIECE_SAMPLES * PIECE_SAMPLES);
        *progress_out = PIECE_TAKEN;
    }
    return QRT_OK;
}

/* Of the capture that is waited for and, unless all of it has come, of the others. */
static qrt_status take_pieces(qrt_shot *shot, qrt_outstanding *awaited, progress *progress_out)
{
    qrt_status status = take_piece(shot, awaited, progress_out);
    uint32_t others = *progress_out == ALL_HAVE_COME ? 0 : ~shot->slots_free & (ALL_SLOTS ^ 1u << awaited->slot);
    for (; others != 0 && status == QRT_OK; others &= others - 1) {
        progress other = NOTHING_NEW;
        status = take_piece(shot, &shot->outstanding[__builtin_ctz(others)], &other);
        *progress_out = other == PIECE_TAKEN ? PIECE_TAKEN : *progress_out;
    }
    return status;
}

qrt_status qrt_arrival_await(qrt_shot *shot, qrt_outstanding *awaited, const int16_t **samples_out)
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
        qrt_status taken = port->capture_arrived != NULL ? take_pieces(shot, awaited, &seen) : QRT_OK;
        if (taken != QRT_OK) {
            return taken;
        }
        if (naps) {
            qrt_clock_sleep(NAP_NS);
        } else if (seen == NOTHING_NEW) {
            qrt_clock_pause();
        }
        if (seen == ALL_HAVE_COME || looks_at_clock || port->capture_arrived == NULL) {
            status = port->capture_end(port->self, (uint16_t)awaited->slot, samples_out); /* now and then in any case: it may have failed */
        }
    }
    return status;
}
