/* What branch_latency.py measures the kernel with: a port whose samples are complete at an instant that is written down, and which looks
 * at the clock when the play after the branch comes.
 *
 * In each shot the samples of every channel are written anew, each with a sign that a counter decides; the sign is what the kernel
 * has to find out, and the port knows the play that must follow.
 *
 * Two of the ports write them before the shot, on the kernel's own core: the samples lie in its caches, and a clock decides which of them
 * the kernel is told of; the instant is the one that was set beforehand. On the third, another core writes them, at the same pace, and
 * tells how many it has written; the instant is its look at the clock just before it tells of the last ones, so that the way from
 * one core's cache to the other's is in the figure.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include "qrt_port.h"

#define CHANNELS 10
#define SAMPLES 1000
#define SHOTS_MAX 1000000
#define STEP 50 /* samples that another core writes between two looks at the clock */
#define ARRIVAL_NS 3000 /* from the first question to the last sample: the kernel is waiting by then */

int16_t samples[CHANNELS][SAMPLES];
int64_t latency_ns[SHOTS_MAX]; /* from the instant to the play, per shot */
int64_t wrong_branches;

static int16_t levels[2][SAMPLES];
static uint64_t counter;
static uint32_t expected;
static int64_t complete_ns;
static bool complete; /* then no look at the clock is needed any more */
static uint32_t arrived_count;
static int64_t shot_index;

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint32_t next_sign(void)
{
    counter = counter * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(counter >> 63);
}

/* The samples of a shot, and the parity of their signs. */
uint32_t next_samples(void)
{
    uint32_t parity = 0;
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        uint32_t sign = next_sign();
        memcpy(samples[channel], levels[sign], sizeof samples[channel]);
        parity ^= sign;
    }
    return parity;
}

/* The samples [SAMPLES] of a channel whose outcome is 1; with the other sign it is 0. */
void set_levels(const int16_t *level)
{
    for (uint32_t k = 0; k < SAMPLES; k++) {
        levels[1][k] = level[k];
        levels[0][k] = (int16_t)-level[k];
    }
    counter = 1;
    wrong_branches = 0;
}

static qrt_status begin_shot(void *self, int64_t shot, int64_t tick)
{
    (void)self, (void)tick;
    shot_index = shot;
    expected = next_samples();
    complete_ns = 0;
    complete = false;
    return QRT_OK;
}

static qrt_status play(void *self, const qrt_play *p)
{
    (void)self;
    latency_ns[shot_index] = now_ns() - complete_ns;
    wrong_branches += p->segment != expected;
    return QRT_OK;
}

static qrt_status capture_begin(void *self, const qrt_capture *c)
{
    (void)self, (void)c;
    return QRT_OK;
}

static qrt_status capture_end(void *self, uint16_t slot, const int16_t **samples_out)
{
    (void)self;
    if (slot == 0) {
        int64_t seen_ns = now_ns();
        complete_ns = complete_ns == 0 ? seen_ns + ARRIVAL_NS : complete_ns;
        complete = seen_ns >= complete_ns;
    }
    *samples_out = samples[slot];
    return complete ? QRT_OK : QRT_NOT_READY;
}

/* A sample a nanosecond; the last of all channels come together. */
static qrt_status capture_arrived(void *self, uint16_t slot, uint32_t *count_out, const int16_t **samples_out)
{
    (void)self;
    if (slot == 0) {
        int64_t missing = complete_ns - now_ns();
        complete = missing <= 0;
        arrived_count = complete ? SAMPLES : missing < SAMPLES ? (uint32_t)(SAMPLES - missing) : 0;
    }
    *count_out = arrived_count;
    *samples_out = samples[slot];
    return QRT_OK;
}

/* ---- Another core writes the samples -------------------------------------------------------------------------------- */

static pthread_t writer;
static _Atomic bool writes;
static _Atomic uint32_t written_count;
static _Atomic uint64_t asked; /* shots that have begun */
static uint64_t done;          /* of them, as the writer counts */
static uint32_t signs;         /* of the channels, a mask */

static void write_shot(void)
{
    int64_t due_ns = now_ns() + ARRIVAL_NS - SAMPLES;
    for (uint32_t begin = 0; begin < SAMPLES; begin += STEP) {
        due_ns += STEP;
        while (now_ns() < due_ns) {
        }
        for (uint32_t channel = 0; channel < CHANNELS; channel++) {
            memcpy(samples[channel] + begin, levels[signs >> channel & 1] + begin, STEP * sizeof samples[0][0]);
        }
        complete_ns = now_ns();
        atomic_store_explicit(&written_count, begin + STEP, memory_order_release);
    }
}

static void *write_all(void *argument)
{
    while (atomic_load(&writes)) {
        if (atomic_load_explicit(&asked, memory_order_acquire) != done) {
            write_shot();
            done++;
        }
    }
    return argument;
}

/* 0, or why not. */
int32_t writer_start(void)
{
    done = atomic_load(&asked);
    atomic_store(&writes, true);
    return pthread_create(&writer, NULL, write_all, NULL);
}

void writer_stop(void)
{
    atomic_store(&writes, false);
    (void)pthread_join(writer, NULL);
}

static qrt_status streamed_begin_shot(void *self, int64_t shot, int64_t tick)
{
    (void)self, (void)tick;
    shot_index = shot;
    expected = signs = 0;
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        uint32_t sign = next_sign();
        signs |= sign << channel;
        expected ^= sign;
    }
    atomic_store_explicit(&written_count, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&asked, 1, memory_order_release);
    return QRT_OK;
}

static qrt_status streamed_end(void *self, uint16_t slot, const int16_t **samples_out)
{
    (void)self;
    *samples_out = samples[slot];
    return atomic_load_explicit(&written_count, memory_order_acquire) == SAMPLES ? QRT_OK : QRT_NOT_READY;
}

static qrt_status streamed_arrived(void *self, uint16_t slot, uint32_t *count_out, const int16_t **samples_out)
{
    (void)self;
    *count_out = atomic_load_explicit(&written_count, memory_order_acquire);
    *samples_out = samples[slot];
    return QRT_OK;
}

static qrt_status safe(void *self)
{
    (void)self;
    return QRT_OK;
}

#define PORT(begins, ends, tells)                                                                                     \
    {.abi = QRT_PORT_ABI, .size = sizeof(qrt_port), .begin_shot = begins, .play = play, .capture_begin = capture_begin, \
     .capture_end = ends, .safe = safe, .capture_arrived = tells, .feedback_latency_ticks = 100,                       \
     .granularity_ticks = 1, .sample_ticks = 1, .line_count = 1, .channel_count = CHANNELS,                            \
     .capture_samples_max = SAMPLES, .outstanding_max = 1}

qrt_port whole_port = PORT(begin_shot, capture_end, NULL);
qrt_port chunked_port = PORT(begin_shot, capture_end, capture_arrived);
qrt_port streamed_port = PORT(streamed_begin_shot, streamed_end, streamed_arrived);
