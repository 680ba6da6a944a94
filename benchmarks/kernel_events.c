/* What kernel_events.py measures the kernel beside: a port that does next to nothing, and the loop that one would write by hand
 * for the one program of the benchmark, with the same calls in the same order: port, demodulation, threshold, branch, row, ring.
 *
 * It knows what the kernel has to find out: the program. It keeps no order, checks no range and traces nothing.
 */
#include <string.h>
#include "qrt_core.h"

#define SAMPLES 64
#define EXPORTED __attribute__((visibility("default")))

typedef struct { /* the numbers of the program; kernel_events.py makes the instructions from the same */
    int64_t period, second_pulse, second_capture, drive_frequency, tone_frequency;
    int32_t drive_amplitude, tone_amplitude, sample_count, tone_line;
    int32_t drive_segment, tone_segment;
} program;

static int16_t samples[SAMPLES];
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

EXPORTED qrt_port port = {.abi = QRT_PORT_ABI, .size = sizeof(qrt_port), .begin_shot = begin_shot, .play = play,
                          .capture_begin = capture_begin, .capture_end = capture_end, .safe = safe,
                          .feedback_latency_ticks = 100, .granularity_ticks = 1, .sample_ticks = 1, .line_count = 4,
                          .channel_count = 1, .capture_samples_max = SAMPLES, .outstanding_max = 16};

static qrt_status capture_tone(const qrt_port *p, qrt_play *tone, qrt_capture *window, int64_t tick, const int16_t *weights,
                               uint32_t headroom, int64_t iq[2])
{
    const int16_t *got = NULL;
    tone->tick = window->tick = tick;
    if (p->capture_begin(p->self, window) != QRT_OK || p->play(p->self, tone) != QRT_OK ||
        p->capture_end(p->self, window->slot, &got) != QRT_OK) {
        return QRT_ERR_PORT;
    }
    qrt_demodulate(iq, got, weights, weights + window->sample_count, window->sample_count, headroom);
    return QRT_OK;
}

/* -1 where something failed. weights: [2][sample_count] */
EXPORTED int64_t by_hand_ns(qrt_port *volatile given, qrt_ring *ring, int64_t shot_count, const program *g, const int16_t *weights)
{
    const qrt_port *p = given;
    uint32_t count = (uint32_t)g->sample_count;
    uint32_t headroom = qrt_weights_headroom(weights, weights + count, count);
    int64_t begun_ns = qrt_clock_now_ns();
    for (int64_t shot = 0; shot < shot_count; shot++) {
        qrt_row *row = qrt_ring_claim(ring);
        int64_t tick = shot * g->period;
        if (row == NULL || p->begin_shot(p->self, shot, tick) != QRT_OK) {
            return -1;
        }
        qrt_play pulse = {.tick = tick, .frequency = g->drive_frequency, .phase = 7, .amplitude = g->drive_amplitude, .line = 0,
                          .segment = (uint16_t)g->drive_segment};
        qrt_play tone = {.frequency = g->tone_frequency, .phase = 0, .amplitude = g->tone_amplitude,
                         .line = (uint16_t)g->tone_line, .segment = (uint16_t)g->tone_segment};
        qrt_capture window = {.sample_count = count, .channel = 0, .slot = 0};
        int64_t iq[2][2];
        if (p->play(p->self, &pulse) != QRT_OK ||
            capture_tone(p, &tone, &window, tick + 100, weights, headroom, iq[0]) != QRT_OK) {
            return -1;
        }
        uint8_t outcome = iq[0][0] > 0;
        if (outcome) {
            pulse.tick = tick + g->second_pulse;
            pulse.phase = 7 + (uint64_t)g->drive_frequency * (uint64_t)g->second_pulse;
            if (p->play(p->self, &pulse) != QRT_OK) {
                return -1;
            }
        }
        if (capture_tone(p, &tone, &window, tick + g->second_capture, weights, headroom, iq[1]) != QRT_OK) {
            return -1;
        }
        *row = (qrt_row){.shot = shot, .tick = tick, .shot_weight = 1.0, .capture_count = 2, .bits = outcome};
        uint8_t *outcomes = (uint8_t *)row + sizeof *row;
        memset(outcomes, QRT_OUTCOME_NONE, 8);
        outcomes[0] = outcome;
        outcomes[1] = iq[1][0] > 0;
        memcpy(outcomes + 8, iq, sizeof iq);
        qrt_ring_publish(ring);
    }
    return qrt_clock_now_ns() - begun_ns;
}
