/* The kernel as its caller sees it: order, waiting, every way a shot can end badly, pacing.
 *
 * gcc $(python ffi/build.py FLAGS WARNINGS) -Werror -Iffi ffi/test_core_kernel.c ffi/core/[a-z]*.c -lm -o test && ./test
 */
#include "test_core.h"

#define PERIOD 10000
#define ROW_SLOTS 1024

static const qrt_frame frames[] = {{.frequency = 1000, .phase = 7, .line = 1}, {.frequency = -3, .phase = 0, .line = 2}};
static const int16_t weights[2 * SAMPLES_MAX] = {[0 ... SAMPLES_MAX - 1] = 2, [SAMPLES_MAX ... 2 * SAMPLES_MAX - 1] = -1};
static const qrt_capture_spec captures[] = {
    {.threshold = 0, .sample_count = SAMPLES_MAX, .bit = 3, .threshold_slot = QRT_SLOT_NONE, .weights_slot = QRT_SLOT_NONE},
    {.threshold = 0, .sample_count = SAMPLES_MAX, .bit = 4, .threshold_slot = QRT_SLOT_NONE, .weights_slot = QRT_SLOT_NONE}};

typedef struct {
    fake_port port;
    qrt_kernel_config config;
    qrt_kernel_report report;
    qrt_kernel *kernel;
    qrt_event events[256];
    uint32_t event_count;
    uint32_t entries[QRT_SEQUENCERS_MAX];
} bench;

static void set_up(bench *b, const qrt_instruction *code, uint32_t count, uint32_t sequencers, int64_t shots)
{
    take_back();
    memset(b, 0, sizeof *b);
    fake_open(&b->port);
    b->kernel = lend(qrt_kernel_size(INSTRUCTIONS_MAX));
    b->config = (qrt_kernel_config){
        CONFIG_HEAD,
        .sequence = {.instructions = code, .entries = b->entries, .frames = frames, .captures = captures, .weights = weights,
                     .instruction_count = count, .sequencer_count = sequencers, .frame_count = 2, .capture_count = 2,
                     .weights_count = 2 * SAMPLES_MAX, .budget = 100, .period_ticks = PERIOD},
        .port = &b->port.port, .rows = lend_ring(qrt_row_size(2, 0), ROW_SLOTS), .lateness = lend_ring(8, ROW_SLOTS),
        .misses = lend_ring(sizeof(qrt_miss), 64), .shot_count = shots};
}

/* Runs to the end and returns how it ended. */
static int32_t run(bench *b)
{
    qrt_status armed = qrt_kernel_arm(b->kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &b->config, &b->report);
    if (armed != QRT_OK) {
        return (int32_t)armed;
    }
    CHECK(qrt_kernel_log_shot(b->kernel, 0, b->events, 256, &b->event_count) == QRT_OK);
    CHECK(qrt_kernel_start(b->kernel, lend(qrt_kernel_stack_size()), qrt_kernel_stack_size()) == QRT_OK);
    CHECK(qrt_kernel_join(b->kernel, &b->report) == QRT_OK);
    CHECK(!qrt_kernel_running(b->kernel));
    CHECK(b->report.safe_status == QRT_OK && b->port.calls[b->port.call_count - 1].kind == 's');
    CHECK(qrt_ring_closed(b->config.rows) == 1 && qrt_ring_closed(b->config.misses) == 1);
    return b->report.status;
}

static const qrt_row *row_at(bench *b, uint32_t index)
{
    void *first;
    CHECK(qrt_ring_peek(b->config.rows, 0, &first) > index);
    return (const qrt_row *)(const void *)((const uint8_t *)first + index * qrt_row_size(2, 0));
}

#define RUN(b, code, sequencers) (set_up(b, code, sizeof(code) / sizeof(code[0]), sequencers, 1), run(b))

static void test_nco_phase(bench *b)
{
    const qrt_instruction code[] = {{QRT_OP_WAIT, 0, 0, 0, 10},     {QRT_OP_PLAY, 0, 5, 100, 0},
                                    {QRT_OP_PLAY, 0, 5, 100, 1},    {QRT_OP_WAIT, 0, 0, 0, 10},
                                    {QRT_OP_SET_FREQUENCY, 0, 0, 0, -500}, {QRT_OP_PLAY, 0, 5, 100, 0},
                                    {QRT_OP_SHIFT_PHASE, 0, 0, 0, 9}, {QRT_OP_WAIT, 0, 0, 0, 10},
                                    {QRT_OP_PLAY, 0, 6, -100, 0},   {QRT_OP_PLAY, 0, 6, -100, 1}, {QRT_OP_END, 0, 0, 0, 0}};
    CHECK(RUN(b, code, 1) == QRT_OK);
    const uint64_t phases[] = {7 + 1000 * 10, 7, 7 + 1000 * 20, 7 + 1000 * 20 + 9 - (uint64_t)(500 * 10), 7 + 9};
    const int64_t ticks[] = {10, 10, 20, 30, 30};
    for (int j = 0; j < 5; j++) {
        const port_call *call = &b->port.calls[j + 1];
        CHECK(call->kind == 'p' && call->play.phase == phases[j] && call->play.tick == ticks[j] && call->play.line == 1);
    }
    CHECK(b->port.calls[4].play.frequency == -500 && b->port.calls[4].play.segment == 6);
}

static void test_order_and_feedback(bench *b)
{
    /* Sequencer 0 captures twice on one window; 1 waits for both bits and branches; ends come before plays of their tick. */
    const qrt_instruction code[] = {
        {QRT_OP_CAPTURE, 0, 0, 0, 0},
        {QRT_OP_CAPTURE, 0, 1, 0, 0},
        {QRT_OP_WAIT, 0, 0, 0, SAMPLES_MAX},
        {QRT_OP_PLAY, 0, 1, 1, 0},
        {QRT_OP_SYNC, 0, 0, 0, 3},
        {QRT_OP_END, 0, 0, 0, 0},
        {QRT_OP_SYNC, 0, 0, 0, 3}, /* instruction 6: sequencer 1 */
        {QRT_OP_READ, 7, 3, 0, 0},
        {QRT_OP_READ, 8, 4, 0, 0},
        {QRT_OP_BRANCH, 7, QRT_IF_NONZERO, 11, 0},
        {QRT_OP_END, 0, 0, 0, 0},
        {QRT_OP_PLAY, 1, 2, 1, 0}, /* instruction 11 */
        {QRT_OP_END, 0, 0, 0, 0}};
    set_up(b, code, 13, 2, 2);
    b->entries[1] = 6;
    b->port.level = 3;
    b->port.not_ready = 2;
    CHECK(run(b) == QRT_OK);
    const char *kinds = "bcceepp";
    for (uint32_t j = 0; j < 14; j++) {
        CHECK(b->port.calls[j].kind == kinds[j % 7]);
    }
    CHECK(b->port.calls[3].capture.slot != b->port.calls[4].capture.slot);
    CHECK(b->port.calls[5].play.tick == SAMPLES_MAX && b->port.calls[6].play.tick == SAMPLES_MAX + 100);
    const qrt_row *row = row_at(b, 1);
    const uint8_t *outcomes = (const uint8_t *)row + sizeof *row;
    const int64_t *iq = (const int64_t *)(const void *)(outcomes + 8);
    CHECK(row->shot == 1 && row->tick == PERIOD && row->bits == (1 << 3 | 1 << 4) && row->flags == 0);
    CHECK(outcomes[0] == 1 && outcomes[1] == 1 && outcomes[2] == QRT_OUTCOME_NONE);
    CHECK(iq[0] == 2 * 3 * SAMPLES_MAX && iq[3] == -3 * SAMPLES_MAX);
    CHECK(row->trace_hash == row_at(b, 0)->trace_hash && row->trace_hash != 0);
    CHECK(b->event_count == 12 + 4 && b->events[0].op == QRT_OP_CAPTURE && b->report.instructions == 24);
    int64_t tick = 0;
    for (uint32_t j = 0; j < b->event_count; j++) {
        CHECK(b->events[j].tick >= tick);
        tick = b->events[j].tick;
    }
}

/* Two captures that overlap write one bit: a read between their ends waits for the later one. */
static void test_two_writers_of_a_bit(bench *b)
{
    const qrt_instruction code[] = {{QRT_OP_CAPTURE, 0, 0, 0, 0}, {QRT_OP_WAIT, 0, 0, 0, 50}, {QRT_OP_CAPTURE, 0, 1, 0, 0},
                                    {QRT_OP_WAIT, 0, 0, 0, 20},   {QRT_OP_READ, 1, 3, 0, 0},  {QRT_OP_PLAY, 0, 5, 100, 0},
                                    {QRT_OP_END, 0, 0, 0, 0}};
    qrt_capture_spec specs[2] = {captures[0], captures[0]};
    set_up(b, code, 7, 1, 1);
    b->config.sequence.captures = specs;
    b->port.port.feedback_latency_ticks = 0;
    CHECK(run(b) == QRT_OK);
    const port_call *played = &b->port.calls[5];
    CHECK(played->kind == 'p' && played->play.tick == 50 + SAMPLES_MAX);
}

static void test_errors(bench *b)
{
    const qrt_instruction deadlock[] = {{QRT_OP_WAIT, 0, 0, 0, 5}, {QRT_OP_SYNC, 0, 0, 0, 3}, {QRT_OP_END, 0, 0, 0, 0}};
    set_up(b, deadlock, 3, 2, 1);
    b->entries[1] = 2;
    CHECK(run(b) == QRT_ERR_DEADLOCK && b->report.error_sequencer == 0 && b->report.error_instruction == 1);
    CHECK(b->report.error_tick == 5 && b->report.error_shot == 0);
    const qrt_instruction underflow[] = {{QRT_OP_WAIT, 0, 0, 0, 5}, {QRT_OP_WAIT_UNTIL, 0, 0, 0, 4}, {QRT_OP_END, 0, 0, 0, 0}};
    CHECK(RUN(b, underflow, 1) == QRT_ERR_UNDERFLOW && b->report.error_instruction == 1);
    const qrt_instruction loop[] = {{QRT_OP_BRANCH, 0, QRT_IF_ALWAYS, 0, 0}};
    CHECK(RUN(b, loop, 1) == QRT_ERR_BUDGET && b->report.instructions == 100);
    const qrt_instruction overrun[] = {{QRT_OP_WAIT, 0, 0, 0, PERIOD}, {QRT_OP_WAIT, 0, 0, 0, 1}, {QRT_OP_END, 0, 0, 0, 0}};
    CHECK(RUN(b, overrun, 1) == QRT_ERR_OVERRUN && b->report.error_instruction == 1 && b->report.error_tick == PERIOD);
    const qrt_instruction late[] = {{QRT_OP_WAIT, 0, 0, 0, PERIOD - 1}, {QRT_OP_CAPTURE, 0, 0, 0, 0}, {QRT_OP_END, 0, 0, 0, 0}};
    CHECK(RUN(b, late, 1) == QRT_ERR_OVERRUN && b->report.error_instruction == 1);
    const qrt_instruction foreign[] = {{QRT_OP_SYNC, 0, 0, 0, 2}, {QRT_OP_END, 0, 0, 0, 0}};
    CHECK(RUN(b, foreign, 2) == QRT_ERR_INSTRUCTION);
    const qrt_instruction plays[] = {{QRT_OP_PLAY, 0, 0, 0, 0}, {QRT_OP_END, 0, 0, 0, 0}};
    set_up(b, plays, 2, 1, 10);
    b->port.fail_shot = 4;
    CHECK(run(b) == QRT_ERR_SEGMENT && b->report.error_shot == 4 && b->report.shots_executed == 4);
    CHECK(qrt_ring_published(b->config.rows) == 4);
    set_up(b, plays, 2, 1, 1);
    b->port.port.granularity_ticks = 4;
    CHECK(run(b) == QRT_OK);
    const qrt_instruction off_grid[] = {{QRT_OP_WAIT, 0, 0, 0, 2}, {QRT_OP_PLAY, 0, 0, 0, 0}, {QRT_OP_END, 0, 0, 0, 0}};
    set_up(b, off_grid, 3, 1, 1);
    b->port.port.granularity_ticks = 4;
    CHECK(run(b) == QRT_ERR_INSTRUCTION && b->report.error_instruction == 1);
}

static void test_arm_refuses(bench *b)
{
    const qrt_instruction bad[] = {
        {21, 0, 0, 0, 0}, {QRT_OP_PLAY, 2, 0, 0, 0}, {QRT_OP_PLAY, 0, 0, 65537, 0}, {QRT_OP_PLAY, 0, 0, 0, 2},
        {QRT_OP_CAPTURE, 0, 2, 0, 0},
        {QRT_OP_WAIT, 0, 0, 0, -1}, {QRT_OP_SYNC, 0, 0, 0, 0}, {QRT_OP_SYNC, 0, 0, 0, 2}, {QRT_OP_READ, 64, 0, 0, 0},
        {QRT_OP_READ, 0, 64, 0, 0}, {QRT_OP_ALU, 0, 11, 0, 0}, {QRT_OP_ALU, 0, 0, 64, 0}, {QRT_OP_ALU, 0, 0, -1, 0},
        {QRT_OP_BRANCH, 0, 0, 2, 0}, {QRT_OP_BRANCH, 0, 5, 0, 0}, {QRT_OP_SET_FREQUENCY, 9, 0, 0, 0}};
    for (size_t j = 0; j < sizeof bad / sizeof bad[0]; j++) {
        const qrt_instruction code[] = {bad[j], {QRT_OP_END, 0, 0, 0, 0}};
        CHECK(RUN(b, code, 1) == QRT_ERR_INSTRUCTION && b->report.error_instruction == 0);
    }
    const qrt_instruction falls_off[] = {{QRT_OP_WAIT, 0, 0, 0, 1}};
    CHECK(RUN(b, falls_off, 1) == QRT_ERR_INSTRUCTION);
    const qrt_instruction end[] = {{QRT_OP_END, 0, 0, 0, 0}};
    set_up(b, end, 1, 1, 1);
    b->config.size--;
    CHECK(run(b) == QRT_ERR_ABI);
    set_up(b, end, 1, 1, 1);
    b->port.port.line_count = 2;
    CHECK(run(b) == QRT_ERR_LINE);
    set_up(b, end, 1, 1, 1);
    b->port.port.capture_samples_max = SAMPLES_MAX - 1;
    CHECK(run(b) == QRT_ERR_CAPTURE_LENGTH);
    set_up(b, end, 1, 1, 1);
    b->config.rows = lend_ring(qrt_row_size(3, 0), 8);
    CHECK(run(b) == QRT_ERR_ARGUMENT);
    set_up(b, end, 1, 1, 1);
    CHECK(qrt_kernel_arm(b->kernel, qrt_kernel_size(b->config.sequence.instruction_count) - 1, &b->config, &b->report) == QRT_ERR_MEMORY);
}

static void test_skips_and_stop(bench *b)
{
    const qrt_instruction plays[] = {{QRT_OP_PLAY, 0, 0, 0, 0}, {QRT_OP_END, 0, 0, 0, 0}};
    const qrt_skip skips[] = {{0, 1}, {3, 2}};
    set_up(b, plays, 2, 1, 7);
    b->config.skips = skips;
    b->config.skip_count = 2;
    CHECK(run(b) == QRT_OK && b->report.shots_executed == 4 && b->report.shots_skipped == 3);
    for (uint32_t j = 0; j < 7; j++) {
        bool skipped = j == 0 || j == 3 || j == 4;
        CHECK(row_at(b, j)->shot == j && row_at(b, j)->flags == (skipped ? QRT_ROW_SKIPPED : 0));
        CHECK((row_at(b, j)->trace_hash == 0) == skipped);
    }
    CHECK(b->port.calls[0].tick == PERIOD && b->port.calls[4].tick == 5 * PERIOD); /* b p b p b: shots 1, 2, 5 */
    set_up(b, plays, 2, 1, 1000000); /* more rows than places, and no reader: the loop waits, and a stop ends the wait */
    CHECK(qrt_kernel_arm(b->kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &b->config, &b->report) == QRT_OK);
    CHECK(qrt_kernel_start(b->kernel, lend(qrt_kernel_stack_size()), qrt_kernel_stack_size()) == QRT_OK);
    CHECK(qrt_ring_wait(b->config.rows, 0, ROW_SLOTS, 1000000000) == ROW_SLOTS);
    CHECK(qrt_kernel_running(b->kernel));
    qrt_kernel_stop(b->kernel);
    CHECK(qrt_kernel_join(b->kernel, &b->report) == QRT_OK);
    CHECK(b->report.status == QRT_STOPPED && b->report.shots_executed == ROW_SLOTS && b->report.sink_wait_count <= 1);
    CHECK(qrt_kernel_join(b->kernel, &b->report) == QRT_ERR_ARGUMENT);
}

static void test_real_pacing(bench *b)
{
    const qrt_instruction plays[] = {{QRT_OP_PLAY, 0, 0, 0, 0}, {QRT_OP_END, 0, 0, 0, 0}};
    for (uint32_t policy = QRT_POLICY_SKIP; policy <= QRT_POLICY_ABORT; policy++) {
        set_up(b, plays, 2, 1, 20);
        b->config.pacing = QRT_PACING_REAL;
        b->config.late_policy = policy;
        b->config.sequence.period_ticks = 4000000;
        b->config.late_tolerance_ns = 3000000;
        b->config.spin_ns = 50000;
        b->config.start_delay_ns = 1000000;
        b->port.slow_shot = 5;
        b->port.slow_ns = 14000000; /* shots 6, 7 and 8 are past; 9 is the next grid point (or later on a busy machine) */
        int32_t status = run(b);
        void *first;
        CHECK(b->report.miss_count >= 1 && qrt_ring_peek(b->config.misses, 0, &first) >= 1);
        const qrt_miss *miss = first;
        CHECK(miss->shot <= 6 && miss->miss_class == QRT_MISS_RELEASE && miss->policy == policy);
        CHECK(miss->tick == miss->shot * 4000000);
        if (policy == QRT_POLICY_ABORT) {
            CHECK(status == QRT_ERR_LATE && b->report.error_shot == miss->shot && miss->skipped_count == 0);
            continue;
        }
        CHECK(status == QRT_OK && b->report.shots_skipped >= 3 && b->report.shots_executed + b->report.shots_skipped == 20);
        CHECK(miss->skipped_count >= 1 && miss->lateness_ns > 3000000 && qrt_ring_published(b->config.lateness) == 20);
        CHECK(miss->shot != 6 || (miss->skipped_count >= 3 && (row_at(b, 8)->flags & QRT_ROW_SKIPPED)));
        CHECK(miss->cause != QRT_CAUSE_SINK && (miss->shot != 6 || miss->cause != QRT_CAUSE_OUTSIDE));
        CHECK(b->report.wall_ns > 19 * 4000000);
    }
}

static void test_full_ring_under_real_pacing(bench *b)
{
    /* A ring that is full and stays so for a while: a miss, and still a row for every shot. */
    const qrt_instruction plays[] = {{QRT_OP_PLAY, 0, 0, 0, 0}, {QRT_OP_END, 0, 0, 0, 0}};
    set_up(b, plays, 2, 1, 60);
    b->config.pacing = QRT_PACING_REAL;
    b->config.sequence.period_ticks = 1000000;
    b->config.late_tolerance_ns = 1000000000;
    b->config.rows = lend_ring(qrt_row_size(2, 0), 4);
    CHECK(qrt_kernel_arm(b->kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &b->config, &b->report) == QRT_OK);
    CHECK(qrt_kernel_start(b->kernel, lend(qrt_kernel_stack_size()), qrt_kernel_stack_size()) == QRT_OK);
    CHECK(qrt_ring_wait(b->config.rows, 0, 4, 1000000000) == 4);
    int64_t until = qrt_clock_now_ns() + 30000000;
    while (qrt_clock_now_ns() < until) {
    }
    int64_t shot = 0;
    while (qrt_ring_wait(b->config.rows, 0, 1, 1000000000) > 0) {
        CHECK(row_at(b, 0)->shot == shot++);
        qrt_ring_release(b->config.rows, 0, 1);
    }
    CHECK(qrt_kernel_join(b->kernel, &b->report) == QRT_OK && b->report.status == QRT_OK && shot == 60);
    void *first;
    CHECK(qrt_ring_peek(b->config.misses, 0, &first) == b->report.miss_count && b->report.miss_count > 0);
    const qrt_miss *misses = first;
    CHECK(misses[0].miss_class == QRT_MISS_SINK && misses[0].cause == QRT_CAUSE_SINK && misses[0].shot == 4);
    int64_t skipped = 0;
    for (int64_t j = 0; j < b->report.miss_count; j++) {
        skipped += misses[j].skipped_count;
    }
    CHECK(skipped == b->report.shots_skipped && misses[0].skipped_count > 5);
}

static void test_raw(bench *b)
{
    qrt_capture_spec specs[2] = {captures[0], captures[1]};
    const qrt_instruction code[] = {{QRT_OP_CAPTURE, 0, 1, 0, 0}, {QRT_OP_END, 0, 0, 0, 0}};
    set_up(b, code, 2, 1, 3);
    specs[1].raw = 1;
    b->config.sequence.captures = specs;
    CHECK(run(b) == QRT_ERR_ARGUMENT);
    b->config.raw = lend_ring(16 + 2 * SAMPLES_MAX, 4);
    b->port.level = -5;
    CHECK(run(b) == QRT_OK);
    void *first;
    CHECK(qrt_ring_peek(b->config.raw, 0, &first) == 3);
    struct {
        int64_t shot;
        uint32_t capture_index;
        uint32_t sample_count;
        int16_t samples[SAMPLES_MAX];
    } raw;
    memcpy(&raw, (uint8_t *)first + sizeof raw, sizeof raw);
    CHECK(raw.shot == 1 && raw.capture_index == 1 && raw.sample_count == SAMPLES_MAX && raw.samples[63] == -5);
    CHECK(((const uint8_t *)row_at(b, 0))[sizeof(qrt_row)] == QRT_OUTCOME_NONE && row_at(b, 0)->bits == 0);
}

int main(void)
{
    static bench b;
    test_nco_phase(&b);
    test_order_and_feedback(&b);
    test_two_writers_of_a_bit(&b);
    test_errors(&b);
    test_arm_refuses(&b);
    test_skips_and_stop(&b);
    test_real_pacing(&b);
    test_full_ring_under_real_pacing(&b);
    test_raw(&b);
    take_back();
    return 0;
}
