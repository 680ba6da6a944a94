/* What kernel_events.py measures the kernel beside: a port that does next to nothing, and the loop that one would write by hand
 * for the one program of the benchmark, with the same calls in the same order: port, demodulation, threshold, branch, row, ring.
 *
 * It knows what the kernel has to find out: the program. It keeps no order, checks no range and traces nothing.
 */
#include <string.h>
#include "qrt_core.h"

#define SAMPLES 64
#define PERIOD 7000
#define EXPORTED __attribute__((visibility("default")))

static int16_t samples[SAMPLES];
static const int16_t weights[2 * SAMPLES] = {[0 ... SAMPLES - 1] = 2, [SAMPLES ... 2 * SAMPLES - 1] = -1};
static uint64_t plays; /* what was played is looked at, so that no compiler drops it */

static qrt_status begin_shot(void *self, int64_t shot, int64_t tick)
{
    (void)self, (void)tick;
    samples[0] = (int16_t)(shot & 1 ? 200 : -200); /* every second shot takes the branch */
    return QRT_OK;
}

static qrt_status play(void *self, const qrt_play *p)
{
    (void)self;
    plays += p->phase + (uint64_t)p->tick + p->segment + (uint64_t)p->amplitude;
    return QRT_OK;
}

static qrt_status capture_begin(void *self, const qrt_capture *c)
{
    (void)self;
    plays += (uint64_t)c->tick;
    return QRT_OK;
}

static qrt_status capture_end(void *self, uint16_t slot, const int16_t **samples_out)
{
    (void)self, (void)slot;
    *samples_out = samples;
    return QRT_OK;
}

static qrt_status safe(void *self)
{
    (void)self;
    return QRT_OK;
}

EXPORTED qrt_port port = {QRT_PORT_ABI, sizeof(qrt_port), 0, begin_shot, play, capture_begin, capture_end, safe, 100, 1, 1, 4, 1, 64, 16};

/* One place of the row, and of the ring's memory, is enough: the kernel's ring of a few rows stays in the cache as well. */
EXPORTED int64_t by_hand_ns(qrt_port *volatile given, qrt_ring *ring, int64_t shot_count)
{
    const qrt_port *p = given;
    uint32_t headroom = qrt_weights_headroom(weights, weights + SAMPLES, SAMPLES);
    const uint64_t frequency = 12345678901;
    int64_t begun_ns = qrt_clock_now_ns();
    for (int64_t shot = 0; shot < shot_count; shot++) {
        qrt_row *row = qrt_ring_claim(ring);
        int64_t tick = shot * PERIOD;
        if (row == NULL || p->begin_shot(p->self, shot, tick) != QRT_OK) {
            return -1;
        }
        qrt_play pulse = {.tick = tick, .frequency = (int64_t)frequency, .phase = 7, .amplitude = 30000, .line = 0, .segment = 1};
        qrt_play tone = {.tick = tick + 100, .frequency = 5, .phase = 0, .amplitude = 20000, .line = 1, .segment = 2};
        qrt_capture window = {.tick = tick + 100, .sample_count = SAMPLES, .channel = 0, .slot = 0};
        const int16_t *got = NULL;
        if (p->play(p->self, &pulse) != QRT_OK || p->play(p->self, &tone) != QRT_OK ||
            p->capture_begin(p->self, &window) != QRT_OK || p->capture_end(p->self, 0, &got) != QRT_OK) {
            return -1;
        }
        int64_t iq[2];
        qrt_demodulate(iq, got, weights, weights + SAMPLES, SAMPLES, headroom);
        int outcome = iq[0] > 0;
        if (outcome) {
            pulse.tick = tick + 300;
            pulse.phase = 7 + frequency * 300;
            if (p->play(p->self, &pulse) != QRT_OK) {
                return -1;
            }
        }
        tone.tick = window.tick = tick + 400;
        if (p->play(p->self, &tone) != QRT_OK || p->capture_begin(p->self, &window) != QRT_OK ||
            p->capture_end(p->self, 0, &got) != QRT_OK) {
            return -1;
        }
        int64_t iq_second[2];
        qrt_demodulate(iq_second, got, weights, weights + SAMPLES, SAMPLES, headroom);
        *row = (qrt_row){.shot = shot, .tick = tick, .shot_weight = 1.0, .capture_count = 2, .bits = (uint64_t)outcome};
        uint8_t *outcomes = (uint8_t *)row + sizeof *row;
        memset(outcomes, QRT_OUTCOME_NONE, 8);
        outcomes[0] = (uint8_t)outcome;
        outcomes[1] = iq_second[0] > 0;
        memcpy(outcomes + 8, iq, sizeof iq);
        memcpy(outcomes + 24, iq_second, sizeof iq_second);
        qrt_ring_publish(ring);
    }
    return qrt_clock_now_ns() - begun_ns;
}
