/* What kernel_events.py measures the kernel beside: a port that does next to nothing, and the loop that one would write by hand
 * for the one program of the benchmark.
 *
 * What it does in each shot: claims a row of the ring; calls the port's begin_shot, play, capture_begin, capture_end as the kernel does, in
 * the same order (a capture before the tone that it records) with the same arguments, through the same pointers, and looks at what each
 * returns; demodulates with the core's own function; compares with the threshold; takes the branch; makes the trace hash, whose words are
 * known before the loop, as they are to the kernel; fills the row and publishes it. It leaves the same rows in every byte, which
 * kernel_events.py checks. What it does not do is what a kernel is for: it knows the program and the tick of everything, so that it
 * keeps no order, interprets nothing, counts no instructions, checks no range, and cannot be stopped, logged, paced or replayed.
 *
 * A second one leaves the trace hash out, so that one sees what this part of the record costs: its rows are not the same.
 */
#include <stdbool.h>
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
EXPORTED uint64_t plays; /* what was asked for is looked at: no compiler drops it, and both must ask for the same */

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
    plays += (uint64_t)c->tick + c->sample_count;
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

/* ---- The trace hash, as ffi/core/trace.h defines it ---------------------------------------------------------------- */

#define K0 0x9E3779B97F4A7C15u
#define K1 0xBF58476D1CE4E5B9u
#define K2 0x94D049BB133111EBu
#define K3 0xFF51AFD7ED558CCDu

typedef struct {
    uint64_t pulse, first_capture, decide, branch, second_pulse, wait, second_capture, last; /* the program's sections */
    uint64_t outcomes[2][2]; /* of each capture, by outcome */
} hash_words;

static inline uint64_t mixed(uint64_t h)
{
    return (h ^ h >> 32) * K3;
}

static inline uint64_t turned(uint64_t product)
{
    return product << 32 | product >> 32;
}

/* Instructions first to last. */
static uint64_t section_word(const qrt_instruction *code, int first, int last)
{
    uint64_t word = K0;
    for (int index = last; index >= first; index--) {
        uint64_t head;
        memcpy(&head, &code[index], sizeof head);
        word = mixed(word + turned(head * K1) + (uint64_t)code[index].d * K2);
    }
    return word;
}

static hash_words words_of(const qrt_instruction *code)
{
    hash_words words = {.pulse = section_word(code, 0, 3), .first_capture = section_word(code, 4, 6),
                        .decide = section_word(code, 7, 9), .branch = section_word(code, 10, 10),
                        .second_pulse = section_word(code, 11, 13), .wait = section_word(code, 13, 13),
                        .second_capture = section_word(code, 14, 16), .last = section_word(code, 17, 18)};
    for (uint64_t capture = 0; capture < 2; capture++) {
        for (uint64_t outcome = 0; outcome < 2; outcome++) {
            words.outcomes[capture][outcome] = turned((QRT_EVENT_OUTCOME | capture << 16 | outcome << 32) * K1);
        }
    }
    return words;
}

/* One more section, at the tick of the shot at which it is entered. */
static inline uint64_t linked(uint64_t h, uint64_t word, int64_t tick)
{
    return mixed(h + ((uint64_t)tick * K0 + word));
}

static inline uint64_t linked_end(uint64_t h, const hash_words *words, int capture, const int64_t iq[2], int64_t tick)
{
    uint64_t stamp = (uint64_t)tick * K0;
    return mixed(h + (stamp + words->outcomes[capture][iq[0] > 0] + (uint64_t)iq[0] * K2 + turned((uint64_t)iq[1] * K2)));
}

static inline uint64_t hash_of(const hash_words *words, const program *g, int64_t iq[2][2], int64_t latency, bool plays)
{
    int64_t first_end = 100 + g->sample_count;
    int64_t second_end = g->second_capture + g->sample_count;
    uint64_t ends = linked_end(K0, words, 0, iq[0], first_end);
    ends = linked_end(ends, words, 1, iq[1], second_end);
    uint64_t h = linked(K0, words->pulse, 0);
    h = linked(h, words->first_capture, 100);
    h = linked(h, words->decide, first_end + latency);
    h = linked(h, words->branch, g->second_pulse);
    h = linked(h, plays ? words->second_pulse : words->wait, g->second_pulse);
    h = linked(h, words->second_capture, g->second_capture);
    h = linked(h, words->last, second_end + latency);
    return mixed(mixed(ends + h));
}

/* ---- The loop ------------------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) int64_t by_hand(const qrt_port *p, qrt_ring *ring, int64_t shot_count, const program *g,
                                                             const int16_t *weights, const hash_words *words)
{
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
        uint8_t outcome_last = iq[1][0] > 0;
        *row = (qrt_row){.shot = shot, .tick = tick, .shot_weight = 1.0, .capture_count = 2};
        row->bits = outcome | (uint64_t)outcome_last << 1;
        row->trace_hash = words != NULL ? hash_of(words, g, iq, p->feedback_latency_ticks, outcome) : 0;
        uint8_t *outcomes = (uint8_t *)row + sizeof *row;
        memset(outcomes, QRT_OUTCOME_NONE, 8);
        outcomes[0] = outcome;
        outcomes[1] = outcome_last;
        memcpy(outcomes + 8, iq, sizeof iq);
        qrt_ring_publish(ring);
    }
    return qrt_clock_now_ns() - begun_ns;
}

/* -1 where something failed. weights: [2][sample_count]; code: the program's instructions, or NULL: no trace hash */
EXPORTED int64_t by_hand_ns(qrt_port *volatile given, qrt_ring *ring, int64_t shot_count, const program *g, const int16_t *weights,
                            const qrt_instruction *code)
{
    if (code == NULL) {
        return by_hand(given, ring, shot_count, g, weights, NULL);
    }
    const hash_words words = words_of(code);
    return by_hand(given, ring, shot_count, g, weights, &words);
}
