/* What branch_latency.py measures the kernel with: a port whose samples are complete at an instant that is written down, and which looks
 * at the clock when the play after the branch comes.
 *
 * Before each shot the samples of every channel are written anew, each with a sign that a counter decides; the sign is what the kernel
 * has to find out, and the port knows the play that must follow. Writer and reader are the same core: the samples lie in its
 * caches, as they do when the last of them has just gone by.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include "qrt_port.h"

#define CHANNELS 10
#define SAMPLES 1000
#define SHOTS_MAX 1000000
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

/* The samples of a shot, and the parity of their signs. */
uint32_t next_samples(void)
{
    uint32_t parity = 0;
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        counter = counter * 6364136223846793005u + 1442695040888963407u;
        uint32_t sign = (uint32_t)(counter >> 63);
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

static qrt_status safe(void *self)
{
    (void)self;
    return QRT_OK;
}

#define PORT(tells)                                                                                                         \
    {.abi = QRT_PORT_ABI, .size = sizeof(qrt_port), .begin_shot = begin_shot, .play = play, .capture_begin = capture_begin, \
     .capture_end = capture_end, .safe = safe, .capture_arrived = tells, .feedback_latency_ticks = 100,                     \
     .granularity_ticks = 1, .sample_ticks = 1, .line_count = 1, .channel_count = CHANNELS,                                 \
     .capture_samples_max = SAMPLES, .outstanding_max = 1}

qrt_port whole_port = PORT(NULL);
qrt_port chunked_port = PORT(capture_arrived);
