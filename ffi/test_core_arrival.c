/* Demodulation of samples as they come: whatever pieces the port tells of, on every instruction set, the iq are the plain sums with the
 * weights that a slot has chosen of a capture's bank; and what a port cannot tell, and a bank does not have, is refused.
 *
 * gcc $(python ffi/build.py FLAGS WARNINGS) -Werror -Iffi ffi/test_core_arrival.c ffi/core/[a-z]*.c -lm -o test && ./test
 */
#include "test_core.h"

#define CAPTURES 5
#define LONGEST 1000
#define SHOTS 512
#define PERIOD 5000
#define BANK 4 /* sets of weights of each capture; the odd ones choose, the others take the first */

static const uint32_t counts[CAPTURES] = {LONGEST, 999, 32, 1, 64};
static int16_t weights[2 * BANK * CAPTURES * LONGEST];
static qrt_capture_spec captures[CAPTURES];

typedef enum { TELLS_ALL, TELLS_LESS, TELLS_TOO_MANY, FAILS_TO_TELL } manner;

typedef struct {
    qrt_port port;
    int16_t samples[CAPTURES][LONGEST];
    uint32_t come[QRT_OUTSTANDING_MAX];  /* by slot */
    uint32_t capture[QRT_OUTSTANDING_MAX];
    uint64_t random;
    manner manner;
    uint32_t begun;
    uint64_t questions;
    int64_t shown[SHOTS][CAPTURES][2]; /* what the iq must be */
} stream_port;

static uint32_t draw(stream_port *f, uint32_t below)
{
    f->random = f->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((f->random >> 33) % below);
}

static qrt_status begin_shot(void *self, int64_t shot, int64_t tick)
{
    stream_port *f = self;
    (void)tick;
    f->begun = 0;
    for (uint32_t capture = 0; capture < CAPTURES; capture++) {
        const int16_t *w = weights + captures[capture].weights_offset;
        w += capture % 2 == 0 ? 0 : shot % BANK * 2 * counts[capture];
        f->shown[shot][capture][0] = f->shown[shot][capture][1] = 0;
        for (uint32_t k = 0; k < counts[capture]; k++) {
            int16_t x = draw(f, 4) == 0 ? INT16_MIN : (int16_t)(draw(f, 65536) - 32768);
            f->samples[capture][k] = x;
            f->shown[shot][capture][0] += (int64_t)x * w[k];
            f->shown[shot][capture][1] += (int64_t)x * w[counts[capture] + k];
        }
    }
    return QRT_OK;
}

static qrt_status play(void *self, const qrt_play *p)
{
    (void)self, (void)p;
    return QRT_OK;
}

static qrt_status capture_begin(void *self, const qrt_capture *c)
{
    stream_port *f = self;
    f->come[c->slot] = 0;
    f->capture[c->slot] = f->begun++;
    return QRT_OK;
}

/* A few more of them come at every question, of this slot and of the others. */
static void pass_time(stream_port *f)
{
    for (uint32_t slot = 0; slot < CAPTURES; slot++) {
        uint32_t all = counts[f->capture[slot]];
        uint32_t more = draw(f, 3) == 0 ? draw(f, 300) : draw(f, 3);
        f->come[slot] = f->come[slot] + more < all ? f->come[slot] + more : all;
    }
}

static qrt_status capture_end(void *self, uint16_t slot, const int16_t **samples_out)
{
    stream_port *f = self;
    pass_time(f);
    *samples_out = f->samples[f->capture[slot]];
    return f->come[slot] == counts[f->capture[slot]] ? QRT_OK : QRT_NOT_READY;
}

static qrt_status capture_arrived(void *self, uint16_t slot, uint32_t *count_out, const int16_t **samples_out)
{
    stream_port *f = self;
    f->questions++;
    *samples_out = f->samples[f->capture[slot]];
    *count_out = f->come[slot];
    if (f->manner == TELLS_LESS && f->questions > 40) {
        *count_out = 0;
    }
    if (f->manner == TELLS_TOO_MANY) {
        *count_out = counts[f->capture[slot]] + 1;
    }
    return f->manner == FAILS_TO_TELL ? QRT_ERR_CHANNEL : QRT_OK;
}

static qrt_status safe(void *self)
{
    (void)self;
    return QRT_OK;
}

static void open_port(stream_port *f, manner manner, bool tells)
{
    memset(f, 0, sizeof *f);
    f->random = 20261122;
    f->manner = manner;
    f->port = (qrt_port){.abi = QRT_PORT_ABI, .size = sizeof(qrt_port), .self = f, .begin_shot = begin_shot, .play = play,
                         .capture_begin = capture_begin, .capture_end = capture_end, .safe = safe, .feedback_latency_ticks = 10,
                         .granularity_ticks = 1, .sample_ticks = 1, .line_count = 1, .channel_count = 1,
                         .capture_samples_max = LONGEST, .outstanding_max = 16, .capture_arrived = tells ? capture_arrived : NULL};
}

static int32_t run(stream_port *f, qrt_kernel_report *report, uint8_t **rows_out)
{
    static const qrt_instruction code[] = {{QRT_OP_CAPTURE, 0, 0, 0, 0}, {QRT_OP_CAPTURE, 0, 1, 0, 0}, {QRT_OP_CAPTURE, 0, 2, 0, 0},
                                           {QRT_OP_CAPTURE, 0, 3, 0, 0}, {QRT_OP_CAPTURE, 0, 4, 0, 0}, {QRT_OP_END, 0, 0, 0, 0}};
    static const uint32_t entry = 0;
    static const qrt_slot slot = {.start = 0, .stop = BANK - 1, .axis = 0, .rule = QRT_RULE_AFFINE};
    take_back();
    qrt_kernel *kernel = lend(qrt_kernel_size(INSTRUCTIONS_MAX));
    qrt_kernel_config config = {
        CONFIG_HEAD,
        .sequence = {.instructions = code, .entries = &entry, .captures = captures, .weights = weights, .instruction_count = 6,
                     .sequencer_count = 1, .capture_count = CAPTURES, .slot_count = 1, .budget = 10, .period_ticks = PERIOD,
                     .weights_count = sizeof weights / sizeof weights[0]},
        .sweep = {.slots = &slot, .slot_count = 1, .points = {BANK}, .shots_per_point = 1, .axis_count = 1, .order = QRT_ORDER_SHOT},
        .port = &f->port, .rows = lend_ring(qrt_row_size(CAPTURES, 0), SHOTS), .shot_count = SHOTS};
    qrt_status armed = qrt_kernel_arm(kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &config, report);
    if (armed != QRT_OK) {
        return (int32_t)armed;
    }
    CHECK(qrt_kernel_start(kernel, lend(qrt_kernel_stack_size()), qrt_kernel_stack_size()) == QRT_OK);
    CHECK(qrt_kernel_join(kernel, report) == QRT_OK);
    void *rows = NULL;
    (void)qrt_ring_peek(config.rows, 0, &rows);
    *rows_out = rows;
    return report->status;
}

static void test_any_pieces(stream_port *f, bool tells)
{
    for (int32_t isa = 0; isa < qrt_isa_count(); isa++) {
        CHECK(qrt_isa_select(qrt_isa_name(isa)) == QRT_OK);
        open_port(f, TELLS_ALL, tells);
        qrt_kernel_report report;
        uint8_t *rows = NULL;
        CHECK(run(f, &report, &rows) == QRT_OK && report.shots_executed == SHOTS);
        for (uint32_t shot = 0; shot < SHOTS; shot++) {
            const uint8_t *iq = rows + shot * qrt_row_size(CAPTURES, 0) + sizeof(qrt_row) + 8;
            CHECK(memcmp(iq, f->shown[shot], sizeof f->shown[shot]) == 0);
        }
        CHECK((f->questions > 0) == tells);
    }
}

static void test_what_cannot_be(stream_port *f)
{
    const struct {
        manner manner;
        int32_t status;
    } cases[] = {{TELLS_LESS, QRT_ERR_PORT}, {TELLS_TOO_MANY, QRT_ERR_PORT}, {FAILS_TO_TELL, QRT_ERR_CHANNEL}};
    for (uint32_t j = 0; j < 3; j++) {
        open_port(f, cases[j].manner, true);
        qrt_kernel_report report;
        uint8_t *rows = NULL;
        CHECK(run(f, &report, &rows) == cases[j].status);
        CHECK(report.error_shot == 0 && report.error_instruction >= 0 && report.shots_executed == 0);
    }
}

/* Of capture 1: the slot counts to 2, then there is no such set; and no set lies beyond the weights that are lent. */
static void test_what_a_bank_does_not_have(stream_port *f)
{
    const qrt_capture_spec whole = captures[1];
    qrt_kernel_report report;
    uint8_t *rows = NULL;
    open_port(f, TELLS_ALL, false);
    captures[1].bank_count = 2;
    CHECK(run(f, &report, &rows) == QRT_ERR_OPERAND && report.error_shot == 2 && report.error_instruction == 1);
    CHECK(report.shots_executed == 2);
    captures[1].weights_slot = 1;
    CHECK(run(f, &report, &rows) == QRT_ERR_ARGUMENT);
    captures[1] = whole;
    captures[1].bank_count = 0;
    CHECK(run(f, &report, &rows) == QRT_ERR_ARGUMENT);
    uint32_t left = sizeof weights / sizeof weights[0] - whole.weights_offset;
    captures[1].bank_count = left / (2 * whole.sample_count) + 1;
    CHECK(run(f, &report, &rows) == QRT_ERR_ARGUMENT);
    captures[1].bank_count = UINT32_MAX;
    CHECK(run(f, &report, &rows) == QRT_ERR_ARGUMENT);
    captures[1] = whole;
}

int main(void)
{
    for (uint32_t capture = 0; capture < CAPTURES; capture++) {
        uint32_t offset = 2 * BANK * LONGEST * capture;
        for (uint32_t k = offset; k < offset + 2 * BANK * LONGEST; k++) {
            int32_t largest = (k - offset) / (2 * counts[capture]) % 2 == 0 ? 32767 : 2047; /* one step to a lane, or sixteen */
            int32_t spread = (int32_t)(k * 2654435761u >> 16) % (2 * largest + 1) - largest;
            weights[k] = (int16_t)(k % 3 == 0 ? largest : k % 5 == 0 ? -largest : spread);
        }
        captures[capture] = (qrt_capture_spec){.sample_count = counts[capture], .weights_offset = offset, .bit = QRT_BIT_NONE,
                                                .threshold_slot = QRT_SLOT_NONE, .bank_count = BANK,
                                                .weights_slot = capture % 2 == 0 ? QRT_SLOT_NONE : 0};
    }
    static stream_port f;
    test_any_pieces(&f, true);
    test_any_pieces(&f, false);
    test_what_cannot_be(&f);
    test_what_a_bank_does_not_have(&f);
    return 0;
}
