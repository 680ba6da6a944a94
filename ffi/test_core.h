/* For the core's C tests: hardware simulated in a few lines.
 *
 * The port writes down every call, answers captures with samples that the test chooses, and can be told to be slow or to fail.
 */
#ifndef QRT_TEST_CORE_H
#define QRT_TEST_CORE_H
#include <stdbool.h>
#include <string.h>
#include "qrt_core.h"
#include "test_check.h"

#define CALLS_MAX 4096
#define SAMPLES_MAX 64
#define INSTRUCTIONS_MAX 64 /* of a sequence of the tests */

typedef struct {
    char kind; /* b begin_shot, p play, c capture_begin, e capture_end, x erase_shot, s safe */
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
    int64_t late_shot;   /* -1: none. From this shot on, in late_count shots, is too late ... */
    int64_t late_count;
    int64_t late_stride; /* of these each so many-th */
    char late_kind;      /* ... of the capture ends ('e'), or of plays and captures that begin ('p') ... */
    uint32_t late_at;    /* ... the one of this number */
    uint32_t begun_count; /* of the shot */
    uint32_t ended_count;
    bool given_up;       /* the shot in hand */
    uint32_t open;       /* mask of slots */
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
    f->begun_count = f->ended_count = 0;
    f->given_up = false;
    CHECK(f->open == 0); /* what the shot before has left was closed */
    if (shot == f->slow_shot) {
        int64_t until = qrt_clock_now_ns() + f->slow_ns;
        while (qrt_clock_now_ns() < until) {
        }
    }
    return QRT_OK;
}

static inline bool fake_is_late(fake_port *f, char kind, uint32_t number)
{
    bool in_shots = f->late_shot >= 0 && f->shot >= f->late_shot && f->shot < f->late_shot + f->late_count &&
                    (f->shot - f->late_shot) % f->late_stride == 0;
    f->given_up = f->given_up || (in_shots && kind == f->late_kind && number == f->late_at);
    return f->given_up;
}

static inline qrt_status fake_play(void *self, const qrt_play *play)
{
    fake_port *f = self;
    if (f->late_kind == 'p' && fake_is_late(f, 'p', f->begun_count++)) {
        return QRT_ERR_TOO_LATE;
    }
    note(f, 'p', play->tick)->play = *play;
    return f->shot == f->fail_shot ? QRT_ERR_SEGMENT : QRT_OK;
}

static inline qrt_status fake_capture_begin(void *self, const qrt_capture *capture)
{
    fake_port *f = self;
    if (f->late_kind == 'p' && fake_is_late(f, 'p', f->begun_count++)) {
        return QRT_ERR_TOO_LATE;
    }
    CHECK((f->open >> capture->slot & 1) == 0);
    f->open |= 1u << capture->slot;
    note(f, 'c', capture->tick)->capture = *capture;
    return QRT_OK;
}

static inline qrt_status fake_capture_end(void *self, uint16_t slot, const int16_t **samples_out)
{
    fake_port *f = self;
    if (f->not_ready > 0) {
        f->not_ready--;
        return QRT_NOT_READY;
    }
    CHECK((f->open >> slot & 1) == 1);
    f->open &= ~(1u << slot);
    if (f->late_kind == 'e' && fake_is_late(f, 'e', f->ended_count++)) {
        return QRT_ERR_TOO_LATE;
    }
    note(f, 'e', f->tick_last)->capture.slot = slot;
    for (int k = 0; k < SAMPLES_MAX; k++) {
        f->samples[k] = f->level;
    }
    *samples_out = f->samples;
    return QRT_OK;
}

static inline qrt_status fake_erase_shot(void *self, int64_t *late_ns_out)
{
    fake_port *f = self;
    note(f, 'x', f->tick_last);
    f->open = 0;
    *late_ns_out = 1234;
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
    f->fail_shot = f->slow_shot = f->late_shot = -1;
    f->late_stride = 1;
    f->port = (qrt_port){.abi = QRT_PORT_ABI, .size = sizeof(qrt_port), .self = f, .begin_shot = fake_begin_shot,
                         .play = fake_play, .capture_begin = fake_capture_begin, .capture_end = fake_capture_end,
                         .safe = fake_safe, .erase_shot = fake_erase_shot, .feedback_latency_ticks = 100, .granularity_ticks = 1, .sample_ticks = 1,
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

/* Of a config, what no test chooses otherwise. */
#define CONFIG_HEAD \
    .abi = QRT_CORE_ABI, .size = sizeof(qrt_kernel_config), .late_port_policy = QRT_POLICY_ERASE, .tick_ps = 1000

static inline void start_kernel(qrt_kernel *kernel, const qrt_kernel_config *config, qrt_kernel_report *report)
{
    CHECK(qrt_kernel_arm(kernel, qrt_kernel_size(INSTRUCTIONS_MAX), config, report) == QRT_OK);
    CHECK(qrt_kernel_start(kernel, lend(qrt_kernel_stack_size()), qrt_kernel_stack_size()) == QRT_OK);
}

static inline int32_t end_kernel(qrt_kernel *kernel, qrt_kernel_report *report)
{
    CHECK(qrt_kernel_join(kernel, report) == QRT_OK);
    CHECK(report->safe_status == QRT_OK);
    return report->status;
}

#endif
