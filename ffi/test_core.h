/* For the core's C tests: a check that names its place, and hardware simulated in a few lines.
 *
 * The port writes down every call, answers captures with samples that the test chooses, and can be told to be slow or to fail.
 */
#ifndef QRT_TEST_CORE_H
#define QRT_TEST_CORE_H
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "qrt_core.h"

#define CHECK(condition)                                                           \
    do {                                                                           \
        if (!(condition)) {                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                               \
        }                                                                          \
    } while (0)

#define CALLS_MAX 4096
#define SAMPLES_MAX 64
#define INSTRUCTIONS_MAX 64 /* of a sequence of the tests */

typedef struct {
    char kind; /* b begin_shot, p play, c capture_begin, e capture_end, s safe */
    int64_t tick;
    qrt_play play;
    qrt_capture capture;
} port_call;

typedef struct {
    qrt_port port;
    port_call calls[CALLS_MAX];
    uint32_t call_count;
    int64_t tick_last;
    int64_t shot;
    int64_t fail_shot;   /* play fails in this shot; -1: never */
    int64_t slow_shot;   /* begin_shot takes slow_ns; -1: never */
    int64_t slow_ns;
    int32_t not_ready;   /* so many times before a capture's samples come */
    int16_t level;       /* of every sample */
    int16_t samples[SAMPLES_MAX];
} fake_port;

static inline port_call *note(fake_port *f, char kind, int64_t tick)
{
    static port_call spill;
    CHECK(tick >= f->tick_last); /* ticks that a port sees never decrease */
    f->tick_last = tick;
    port_call *call = f->call_count < CALLS_MAX ? &f->calls[f->call_count++] : &spill;
    *call = (port_call){.kind = kind, .tick = tick};
    return call;
}

static inline qrt_status fake_begin_shot(void *self, int64_t shot, int64_t tick)
{
    fake_port *f = self;
    note(f, 'b', tick);
    f->shot = shot;
    if (shot == f->slow_shot) {
        int64_t until = qrt_clock_now_ns() + f->slow_ns;
        while (qrt_clock_now_ns() < until) {
        }
    }
    return QRT_OK;
}

static inline qrt_status fake_play(void *self, const qrt_play *play)
{
    fake_port *f = self;
    note(f, 'p', play->tick)->play = *play;
    return f->shot == f->fail_shot ? QRT_ERR_SEGMENT : QRT_OK;
}

static inline qrt_status fake_capture_begin(void *self, const qrt_capture *capture)
{
    note(self, 'c', capture->tick)->capture = *capture;
    return QRT_OK;
}

static inline qrt_status fake_capture_end(void *self, uint16_t slot, const int16_t **samples_out)
{
    fake_port *f = self;
    if (f->not_ready > 0) {
        f->not_ready--;
        return QRT_NOT_READY;
    }
    note(f, 'e', f->tick_last)->capture.slot = slot;
    for (int k = 0; k < SAMPLES_MAX; k++) {
        f->samples[k] = f->level;
    }
    *samples_out = f->samples;
    return QRT_OK;
}

static inline qrt_status fake_safe(void *self)
{
    note(self, 's', ((fake_port *)self)->tick_last);
    return QRT_OK;
}

static inline void fake_open(fake_port *f)
{
    memset(f, 0, sizeof *f);
    f->fail_shot = f->slow_shot = -1;
    f->port = (qrt_port){.abi = QRT_PORT_ABI, .size = sizeof(qrt_port), .self = f, .begin_shot = fake_begin_shot,
                         .play = fake_play, .capture_begin = fake_capture_begin, .capture_end = fake_capture_end,
                         .safe = fake_safe, .feedback_latency_ticks = 100, .granularity_ticks = 1, .sample_ticks = 1,
                         .line_count = 4, .channel_count = 1, .capture_samples_max = SAMPLES_MAX, .outstanding_max = 16};
}

#define LOANS_MAX 64

static void *loans[LOANS_MAX];
static int loan_count;

/* Page-aligned, zeroed, until take_back. */
static inline void *lend(size_t size)
{
    size_t rounded = (size + 4095) / 4096 * 4096;
    void *memory = aligned_alloc(4096, rounded);
    CHECK(memory != NULL && loan_count < LOANS_MAX);
    loans[loan_count++] = memory;
    return memset(memory, 0, rounded);
}

static inline void take_back(void)
{
    while (loan_count > 0) {
        free(loans[--loan_count]);
    }
}

static inline qrt_ring *lend_ring(uint32_t slot_size, uint32_t slot_count)
{
    size_t size = qrt_ring_size(slot_size, slot_count);
    qrt_ring *ring = lend(size);
    CHECK(size > 0 && qrt_ring_init(ring, size, slot_size, slot_count, 1) == QRT_OK);
    return ring;
}

#endif
