/* Instructions with operands from registers, slots, tables and random words; shots longer than their period; sweeps in the loop.
 *
 * gcc $(python ffi/build.py FLAGS WARNINGS) -Werror -Iffi ffi/test_core_operands.c ffi/core/[a-z]*.c -lm -o test && ./test
 */
#include <math.h>
#include <stdatomic.h>
#include "test_core.h"
#include "philox.h"

#define PERIOD 1000000
#define SHOTS 12

static const qrt_frame frames[] = {{.frequency = 1000, .phase = 7, .line = 1}};
static const int64_t table[] = {11, -22, 33, 1 << 20};
static const double factors[] = {0.5, -1.25, 3.0};
static const qrt_slot slots[] = {{.start = 0, .stop = 5 * PERIOD / 2, .axis = 0, .rule = QRT_RULE_AFFINE},
                                 {.start = 1, .axis = 0, .rule = QRT_RULE_TABLE}};

typedef struct {
    fake_port port;
    qrt_kernel_config config;
    qrt_kernel_report report;
    uint32_t entries[2];
    uint8_t rows[SHOTS][sizeof(qrt_row) + 16];
} bench;

static void set_up(bench *b, const qrt_instruction *code, uint32_t count, int64_t shots)
{
    take_back();
    memset(b, 0, sizeof *b);
    fake_open(&b->port);
    b->config = (qrt_kernel_config){
        CONFIG_HEAD,
        .sequence = {.instructions = code, .entries = b->entries, .frames = frames, .table = table, .factors = factors,
                     .instruction_count = count, .sequencer_count = 1, .frame_count = 1, .budget = 100, .table_count = 4,
                     .factor_count = 3, .slot_count = 2, .emit_count = 2, .period_ticks = PERIOD},
        .sweep = {.slots = slots, .table = table, .points = {3}, .axis_count = 1, .slot_count = 2, .table_count = 4,
                  .order = QRT_ORDER_SHOT},
        .seed = 0x123456789ABCDEF0, .port = &b->port.port, .rows = lend_ring(qrt_row_size(0, 2), 16), .shot_count = shots};
    b->config.sweep.shots_per_point = 1;
}

static int32_t run(bench *b)
{
    qrt_kernel *kernel = lend(qrt_kernel_size(INSTRUCTIONS_MAX));
    qrt_status armed = qrt_kernel_arm(kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &b->config, &b->report);
    if (armed != QRT_OK) {
        return (int32_t)armed;
    }
    CHECK(qrt_kernel_start(kernel, lend(qrt_kernel_stack_size()), qrt_kernel_stack_size()) == QRT_OK);
    CHECK(qrt_kernel_join(kernel, &b->report) == QRT_OK && b->report.safe_status == QRT_OK);
    void *first;
    uint32_t count = qrt_ring_peek(b->config.rows, 0, &first);
    CHECK(count <= SHOTS);
    memcpy(b->rows, first, count * sizeof b->rows[0]);
    return b->report.status;
}

static const qrt_row *row_at(const bench *b, int index)
{
    return (const qrt_row *)(const void *)b->rows[index];
}

static int64_t emitted(const bench *b, int row, int column)
{
    int64_t value;
    memcpy(&value, b->rows[row] + sizeof(qrt_row) + 8 * column, 8);
    return value;
}

#define RUN(b, code, shots) (set_up(b, code, sizeof(code) / sizeof(code[0]), shots), run(b))

static void test_what_they_find(bench *b)
{
    const qrt_instruction code[] = {{QRT_OP_LOAD, 1, 1, 0, 0},   {QRT_OP_EMIT, 1, 0, 0, 0},    {QRT_OP_ALU, 2, QRT_ALU_SET, 0, 2},
                                    {QRT_OP_LOOKUP, 3, 2, 1, 3}, {QRT_OP_WEIGH, 0, 2, 0, 3},   {QRT_OP_ALU, 2, QRT_ALU_SET, 0, 0},
                                    {QRT_OP_WEIGH, 0, 2, 1, 1},  {QRT_OP_DRAW, 0, 0, 0, 63},   {QRT_OP_DRAW, 0, 0, 0, 1},
                                    {QRT_OP_DRAW, 5, 0, 0, 40},  {QRT_OP_EMIT, 5, 1, 0, 0},    {QRT_OP_ALU, 6, QRT_ALU_SET, 0, -65536},
                                    {QRT_OP_WAIT_REGISTER, 3, 0, 0, 0}, {QRT_OP_END, 0, 0, 0, 0}};
    set_up(b, code, sizeof code / sizeof code[0], 3);
    b->config.sequence.stretch_max = 1;
    CHECK(run(b) == QRT_OK && b->report.instructions == 3 * 14 && b->report.stretched_periods == 3);
    for (int shot = 0; shot < 3; shot++) {
        uint32_t words[4];
        qrt_random(b->config.seed, QRT_STREAM_SEQUENCER, shot, 2, words);
        CHECK(emitted(b, shot, 0) == table[1 + shot % 3]);
        CHECK(emitted(b, shot, 1) == (int64_t)(((uint64_t)words[0] << 32 | words[1]) >> 24));
        CHECK(fabs(row_at(b, shot)->shot_weight + 3.0 * 1.25) < 1e-300 && row_at(b, shot)->tick == 2 * shot * PERIOD);
    }
    CHECK(row_at(b, 0)->trace_hash != row_at(b, 1)->trace_hash); /* what was drawn and loaded is in it */
}

static void test_plays_from_registers(bench *b)
{
    const qrt_instruction code[] = {
        {QRT_OP_ALU, 1, QRT_ALU_SET, 0, -65536}, {QRT_OP_ALU, 2, QRT_ALU_SET, 0, 9},        {QRT_OP_WAIT_REGISTER, 2, 0, 0, 0},
        {QRT_OP_SET_FREQUENCY_REGISTER, 0, 2, 0, 0}, {QRT_OP_SHIFT_PHASE_REGISTER, 0, 1, 0, 0}, {QRT_OP_PLAY_REGISTER, 0, 4, 1, 1},
        {QRT_OP_PLAY_REGISTER, 0, 5, 1, 0},      {QRT_OP_END, 0, 0, 0, 0}};
    CHECK(RUN(b, code, 1) == QRT_OK);
    const qrt_play *first = &b->port.calls[1].play;
    CHECK(first->tick == 9 && first->amplitude == -65536 && first->frequency == 9 && first->segment == 4);
    CHECK(first->phase == (uint64_t)7 - 65536 && b->port.calls[2].play.phase == first->phase + 9 * 1000);
}

static void fails_at(bench *b, qrt_instruction faulty, int64_t value, int32_t status)
{
    const qrt_instruction code[] = {{QRT_OP_WAIT, 0, 0, 0, 3}, {QRT_OP_ALU, 1, QRT_ALU_SET, 0, value}, faulty, {QRT_OP_END, 0, 0, 0, 0}};
    CHECK(RUN(b, code, 2) == status);
    if (status != QRT_OK) {
        CHECK(b->report.error_shot == 0 && b->report.error_tick == 3 && b->report.error_instruction == 2 && b->report.instructions == 3);
    }
}

static void test_operands_out_of_range(bench *b)
{
    const qrt_instruction lookup = {QRT_OP_LOOKUP, 0, 1, 1, 3};
    const qrt_instruction weigh = {QRT_OP_WEIGH, 0, 1, 1, 2};
    const qrt_instruction plays = {QRT_OP_PLAY_REGISTER, 0, 0, 1, 0};
    const qrt_instruction wait = {QRT_OP_WAIT_REGISTER, 1, 0, 0, 0};
    const int64_t far[] = {-1, INT64_MIN, INT64_MAX};
    for (int j = 0; j < 3; j++) {
        fails_at(b, lookup, far[j], QRT_ERR_TABLE);
        fails_at(b, weigh, far[j], QRT_ERR_TABLE);
        fails_at(b, wait, far[j], far[j] < 0 ? QRT_ERR_OPERAND : QRT_ERR_OVERRUN);
    }
    fails_at(b, lookup, 3, QRT_ERR_TABLE);
    fails_at(b, lookup, 2, QRT_OK);
    fails_at(b, weigh, 2, QRT_ERR_TABLE);
    fails_at(b, weigh, 1, QRT_OK);
    const int64_t amplitudes[] = {65537, -65537, (int64_t)1 << 32, INT64_MIN};
    for (int j = 0; j < 4; j++) {
        fails_at(b, plays, amplitudes[j], QRT_ERR_OPERAND);
    }
    fails_at(b, plays, 65536, QRT_OK);
    fails_at(b, wait, PERIOD - 3, QRT_OK);
    fails_at(b, wait, PERIOD - 2, QRT_ERR_OVERRUN);
}

static void test_arm_refuses(bench *b)
{
    const qrt_instruction bad[] = {
        {QRT_OP_LOAD, 0, 2, 0, 0},    {QRT_OP_LOAD, 64, 0, 0, 0},   {QRT_OP_LOOKUP, 0, 0, 2, 3},  {QRT_OP_LOOKUP, 0, 0, -1, 1},
        {QRT_OP_LOOKUP, 0, 0, 0, 0},  {QRT_OP_LOOKUP, 0, 64, 0, 1}, {QRT_OP_LOOKUP, 64, 0, 0, 1}, {QRT_OP_LOOKUP, 0, 0, 1, INT64_MAX},
        {QRT_OP_DRAW, 0, 0, 0, 0},    {QRT_OP_DRAW, 0, 0, 0, 64},   {QRT_OP_WEIGH, 0, 0, 0, 4},   {QRT_OP_WEIGH, 0, 64, 0, 1},
        {QRT_OP_EMIT, 0, 2, 0, 0},    {QRT_OP_EMIT, 64, 0, 0, 0},   {QRT_OP_PLAY_REGISTER, 1, 0, 0, 0},
        {QRT_OP_PLAY_REGISTER, 0, 0, 64, 0}, {QRT_OP_PLAY_REGISTER, 0, 0, 0, 2}, {QRT_OP_WAIT_REGISTER, 64, 0, 0, 0},
        {QRT_OP_SET_FREQUENCY_REGISTER, 0, 64, 0, 0}, {QRT_OP_SHIFT_PHASE_REGISTER, 1, 0, 0, 0},
        {QRT_OP_ALU, 0, QRT_ALU_SHIFT_RIGHT, 0, 64}, {QRT_OP_ALU, 0, QRT_ALU_SHIFT_RIGHT, 0, -1}, {QRT_OP_BRANCH, 0, 5, 0, 0}};
    for (size_t j = 0; j < sizeof bad / sizeof bad[0]; j++) {
        const qrt_instruction code[] = {bad[j], {QRT_OP_END, 0, 0, 0, 0}};
        CHECK(RUN(b, code, 1) == QRT_ERR_INSTRUCTION && b->report.error_instruction == 0);
    }
    const qrt_instruction end[] = {{QRT_OP_END, 0, 0, 0, 0}};
    const double not_finite[] = {1.0, HUGE_VAL, 1.0};
    for (int fault = 0; fault < 7; fault++) {
        set_up(b, end, 1, 1);
        qrt_kernel_config *c = &b->config;
        c->sequence.factors = fault == 0 ? not_finite : factors;
        c->sequence.slot_count = fault == 1 ? 1 : 2;
        c->sequence.emit_count = fault == 2 ? QRT_EMITS_MAX + 1 : 2;
        c->sequence.stretch_max = fault == 3 ? UINT32_MAX : 0;
        c->stretched_first = fault == 4 ? -1 : 0;
        c->sweep.points[0] = fault == 5 ? 4 : 3; /* beyond the table */
        c->sequence.table = fault == 6 ? NULL : table;
        CHECK(run(b) == QRT_ERR_ARGUMENT);
    }
}

/* Shots of 0, 5/4 and 5/2 periods, by turns: virtual pacing, real pacing, and a part of the run alone give the same rows. */
static void test_stretched_shots(bench *b)
{
    const qrt_instruction code[] = {
        {QRT_OP_LOAD, 1, 0, 0, 0}, {QRT_OP_PLAY, 0, 0, 0, 0}, {QRT_OP_WAIT_REGISTER, 1, 0, 0, 0}, {QRT_OP_END, 0, 0, 0, 0}};
    set_up(b, code, 4, SHOTS);
    b->config.sequence.stretch_max = 2;
    CHECK(run(b) == QRT_OK && b->report.stretched_periods == SHOTS / 3 * 3);
    uint8_t rows[SHOTS][sizeof b->rows[0]];
    memcpy(rows, b->rows, sizeof rows);
    const int64_t periods[] = {0, 1, 3, 6, 7, 9, 12, 13, 15, 18, 19, 21};
    for (int shot = 0; shot < SHOTS; shot++) {
        CHECK(row_at(b, shot)->tick == periods[shot] * PERIOD && b->port.calls[2 * shot].tick == periods[shot] * PERIOD);
    }
    set_up(b, code, 4, SHOTS);
    b->config.sequence.stretch_max = 2;
    b->config.pacing = QRT_PACING_REAL;
    b->config.late_tolerance_ns = 2000000000;
    b->config.start_delay_ns = 1000000;
    CHECK(run(b) == QRT_OK && memcmp(rows, b->rows, sizeof rows) == 0 && b->report.miss_count == 0);
    CHECK(b->report.wall_ns >= 21 * PERIOD);
    set_up(b, code, 4, 3);
    b->config.sequence.stretch_max = 2;
    b->config.shot_first = 5;
    b->config.stretched_first = 4;
    CHECK(run(b) == QRT_OK && memcmp(rows[5], b->rows, 3 * sizeof rows[0]) == 0);
    const qrt_skip skips[] = {{1, 1}};
    set_up(b, code, 4, 3);
    b->config.sequence.stretch_max = 2;
    b->config.skips = skips;
    b->config.skip_count = 1;
    CHECK(run(b) == QRT_OK && row_at(b, 1)->flags == QRT_ROW_SKIPPED && row_at(b, 2)->tick == 2 * PERIOD);
    set_up(b, code, 4, 3);
    b->config.sequence.stretch_max = 1;
    CHECK(run(b) == QRT_ERR_OVERRUN && b->report.error_shot == 2 && b->report.error_instruction == 2);
    set_up(b, code, 4, 3);
    CHECK(run(b) == QRT_ERR_OVERRUN && b->report.error_shot == 1);
}

static _Atomic bool has_begun;

static qrt_status tell_begun(void *self, int64_t shot, int64_t tick)
{
    (void)self, (void)shot, (void)tick;
    has_begun = true;
    return QRT_OK;
}

/* A loop that goes on for an hour: an abort ends it, and the budget, whatever its size, counts all of it. */
static void test_a_long_loop(bench *b)
{
    const qrt_instruction code[] = {{QRT_OP_ALU, 1, QRT_ALU_ADD, 0, 0}, {QRT_OP_BRANCH, 1, QRT_IF_ALWAYS, 0, 0}};
    set_up(b, code, 2, 1);
    b->config.sequence.budget = UINT32_MAX;
    b->port.port.begin_shot = tell_begun;
    has_begun = false;
    qrt_kernel *kernel = lend(qrt_kernel_size(INSTRUCTIONS_MAX));
    CHECK(qrt_kernel_arm(kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &b->config, &b->report) == QRT_OK);
    CHECK(qrt_kernel_start(kernel, lend(qrt_kernel_stack_size()), qrt_kernel_stack_size()) == QRT_OK);
    while (!has_begun) { /* else the abort may come before the shot */
    }
    int64_t until_ns = qrt_clock_now_ns() + 5000000;
    while (qrt_clock_now_ns() < until_ns) {
    }
    qrt_kernel_abort(kernel);
    CHECK(qrt_kernel_join(kernel, &b->report) == QRT_OK && b->report.status == QRT_ABORTED && b->report.error_shot == 0);
    CHECK(b->report.instructions % (1 << 20) == 0 && b->report.instructions < UINT32_MAX / 2);
    set_up(b, code, 2, 1);
    b->config.sequence.budget = (1 << 20) + 7;
    CHECK(run(b) == QRT_ERR_BUDGET && b->report.instructions == (1 << 20) + 7 && b->report.error_instruction == 1);
    set_up(b, code, 2, 1);
    b->config.sequence.budget = 1 << 20;
    CHECK(run(b) == QRT_ERR_BUDGET && b->report.instructions == 1 << 20 && b->report.error_instruction == 0);
}

int main(void)
{
    static bench b;
    test_what_they_find(&b);
    test_plays_from_registers(&b);
    test_operands_out_of_range(&b);
    test_arm_refuses(&b);
    test_stretched_shots(&b);
    test_a_long_loop(&b);
    take_back();
    return 0;
}
