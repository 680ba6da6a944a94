/* Shots that the hardware is too late for: at every play and at every capture, once and in a row, by each policy and pacing; the rows of
 * all other shots are those of a run in which nothing was late, and a replay's are the same in every byte.
 *
 * Two sequencers: one that plays, captures and acts on both outcomes, one that waits for the first of them.
 */
#include "test_core.h"

#define PERIOD 1000000 /* ticks of 1 ns: real pacing has time */
#define SHOTS 24
#define CAPTURES 3
#define BEGUN 8 /* plays and captures of a shot */

static const qrt_instruction code[] = {
    {QRT_OP_PLAY, 0, 0, 1, 0},     {QRT_OP_CAPTURE, 0, 0, 0, 0}, {QRT_OP_CAPTURE, 0, 1, 0, 0}, {QRT_OP_PLAY, 0, 1, 2, 0},
    {QRT_OP_WAIT, 0, 0, 0, 50},    {QRT_OP_READ, 1, 0, 0, 0},    {QRT_OP_EMIT, 1, 0, 0, 0},    {QRT_OP_PLAY, 0, 2, 3, 0},
    {QRT_OP_READ, 2, 1, 0, 0},     {QRT_OP_CAPTURE, 0, 2, 0, 0}, {QRT_OP_PLAY, 0, 2, 4, 0},    {QRT_OP_WAIT, 0, 0, 0, 40},
    {QRT_OP_END, 0, 0, 0, 0},      {QRT_OP_READ, 1, 0, 0, 0},    {QRT_OP_PLAY, 0, 3, 5, 0},    {QRT_OP_READ, 1, 2, 0, 0},
    {QRT_OP_END, 0, 0, 0, 0}};
static const uint32_t entries[] = {0, 13};
static const qrt_frame frames[] = {{.line = 0}};
static const int16_t weights[40] = {[0 ... 39] = 1};
static const qrt_capture_spec captures[CAPTURES] = {
    {.threshold = 10, .sample_count = 20, .bit = 0, .threshold_slot = QRT_SLOT_NONE, .weights_slot = QRT_SLOT_NONE},
    {.threshold = 1 << 20, .sample_count = 10, .bit = 1, .threshold_slot = QRT_SLOT_NONE, .weights_slot = QRT_SLOT_NONE},
    {.threshold = 0, .sample_count = 8, .bit = 2, .threshold_slot = QRT_SLOT_NONE, .weights_slot = QRT_SLOT_NONE}};

typedef struct {
    fake_port port;
    qrt_kernel_config config;
    qrt_kernel_report report;
    uint32_t row_size;
} bench;

static void set_up(bench *b)
{
    take_back();
    memset(b, 0, sizeof *b);
    fake_open(&b->port);
    b->port.level = 3;
    b->port.late_count = 1;
    b->row_size = qrt_row_size(CAPTURES, 1);
    b->config = (qrt_kernel_config){
        CONFIG_HEAD,
        .sequence = {.instructions = code, .entries = entries, .frames = frames, .captures = captures, .weights = weights,
                     .instruction_count = sizeof code / sizeof code[0], .sequencer_count = 2, .frame_count = 1,
                     .capture_count = CAPTURES, .weights_count = 40, .emit_count = 1, .budget = 100, .period_ticks = PERIOD},
        .port = &b->port.port, .rows = lend_ring(b->row_size, 64), .misses = lend_ring(sizeof(qrt_miss), 64),
        .late_tolerance_ns = 60000000000, .shot_count = SHOTS};
}

static qrt_status run(bench *b)
{
    qrt_kernel *kernel = lend(qrt_kernel_size(INSTRUCTIONS_MAX));
    start_kernel(kernel, &b->config, &b->report);
    return (qrt_status)end_kernel(kernel, &b->report);
}

static uint32_t rows_of(bench *b, uint8_t rows_out[SHOTS * 256])
{
    void *first = NULL;
    uint32_t count = qrt_ring_peek(b->config.rows, 0, &first);
    CHECK(b->row_size <= 256);
    memcpy(rows_out, first, count * b->row_size);
    return count;
}

static const qrt_row *row_at(const bench *b, const uint8_t *rows, int64_t shot)
{
    return (const qrt_row *)(const void *)(rows + shot * b->row_size);
}

static uint32_t misses_of(bench *b, qrt_miss misses_out[64])
{
    void *first = NULL;
    uint32_t count = qrt_ring_peek(b->config.misses, 0, &first);
    memcpy(misses_out, first, count * sizeof misses_out[0]);
    return count;
}

/* The recorded misses as a replay's input, on a port that is never late: the same rows. */
static void check_replay(const uint8_t *rows, uint32_t row_count, const qrt_miss *misses, uint32_t miss_count)
{
    static uint8_t again[SHOTS * 256];
    static bench b;
    qrt_erasure erasures[64];
    qrt_skip skips[64];
    uint32_t skip_count = 0;
    for (uint32_t k = 0; k < miss_count; k++) {
        erasures[k] = (qrt_erasure){misses[k].shot, misses[k].miss_class, misses[k].done_count, misses[k].played_on, 0};
        if (misses[k].skipped_count > 0) {
            skips[skip_count++] = (qrt_skip){misses[k].shot + 1, misses[k].skipped_count};
        }
    }
    set_up(&b);
    b.config.erasures = erasures;
    b.config.erasure_count = miss_count;
    b.config.skips = skips;
    b.config.skip_count = skip_count;
    b.config.shot_count = row_count;
    (void)run(&b);
    CHECK(rows_of(&b, again) == row_count && memcmp(rows, again, row_count * b.row_size) == 0);
    CHECK(b.report.shots_erased == (int64_t)miss_count);
}

/* What is right of an erased row whose captures ended up to `ended`. */
static void check_erased(const bench *b, const qrt_row *row, uint32_t ended)
{
    CHECK(row->flags == QRT_ROW_ERASED && row->shot_weight == 0.0 && row->trace_hash != 0);
    const uint8_t *outcomes = (const uint8_t *)row + sizeof(qrt_row);
    const int64_t *iq = (const int64_t *)(const void *)(outcomes + 8);
    const uint32_t order[] = {1, 0, 2}; /* by their ends: the shorter one first */
    const int64_t sums[] = {60, 30, 24};
    const uint8_t values[] = {1, 0, 1};
    for (uint32_t k = 0; k < CAPTURES; k++) {
        uint32_t capture = order[k];
        CHECK(outcomes[capture] == (k < ended ? values[capture] : QRT_OUTCOME_NONE));
        CHECK(iq[2 * capture] == (k < ended ? sums[capture] : 0));
    }
    (void)b;
}

static void check_others(const bench *b, const uint8_t *rows, uint32_t count, const uint8_t *wanted)
{
    for (int64_t shot = 0; shot < count; shot++) {
        bool is_whole = row_at(b, rows, shot)->flags == 0;
        CHECK(!is_whole || memcmp(rows + shot * b->row_size, wanted + shot * b->row_size, b->row_size) == 0);
    }
}

static void test_each_place(bench *b, const uint8_t *wanted, bool plays_on)
{
    static uint8_t rows[SHOTS * 256];
    uint32_t place_count = plays_on ? CAPTURES : CAPTURES + BEGUN;
    for (uint32_t place = 0; place < place_count; place++) {
        qrt_miss misses[64];
        set_up(b);
        b->port.late_shot = 5;
        b->port.late_kind = place < CAPTURES ? 'e' : 'p';
        b->port.late_at = place < CAPTURES ? place : place - CAPTURES;
        b->port.port.plays_on = plays_on;
        CHECK(run(b) == QRT_OK);
        CHECK(rows_of(b, rows) == SHOTS && b->report.shots_erased == 1 && b->report.shots_executed == SHOTS - 1);
        CHECK(misses_of(b, misses) == 1 && misses[0].shot == 5 && misses[0].policy == QRT_POLICY_ERASE);
        CHECK(misses[0].lateness_ns == 1234 && misses[0].skipped_count == 0 && misses[0].cause == QRT_CAUSE_PORT);
        CHECK(misses[0].miss_class == (place < CAPTURES ? QRT_MISS_PORT : QRT_MISS_DECISION));
        CHECK(misses[0].done_count == b->port.late_at && misses[0].played_on == plays_on);
        CHECK(misses[0].tick >= 5 * PERIOD && misses[0].tick < 6 * PERIOD);
        if (place < CAPTURES) {
            check_erased(b, row_at(b, rows, 5), place);
        }
        check_others(b, rows, SHOTS, wanted);
        check_replay(rows, SHOTS, misses, 1);
    }
}

/* The port saw each call of a shot that plays on but for the ends; one that stops sees none after it was too late. */
static void test_what_the_port_sees(bench *b)
{
    for (int plays_on = 0; plays_on < 2; plays_on++) {
        set_up(b);
        b->port.late_shot = 5;
        b->port.late_kind = 'e';
        b->port.late_at = 1;
        b->port.port.plays_on = (uint32_t)plays_on;
        CHECK(run(b) == QRT_OK);
        int64_t shot = -1;
        uint32_t begun = 0;
        uint32_t erased = 0;
        for (uint32_t call = 0; call < b->port.call_count; call++) {
            char kind = b->port.calls[call].kind;
            shot += kind == 'b';
            begun += shot == 5 && (kind == 'p' || kind == 'c');
            erased += kind == 'x';
            CHECK(kind != 'x' || (shot == 5 && b->port.calls[call + 1].kind == 'b'));
        }
        CHECK(shot == SHOTS - 1 && erased == 1 && begun == (plays_on ? BEGUN : 4));
    }
}

static void test_in_a_row(bench *b, const uint8_t *wanted)
{
    static uint8_t rows[SHOTS * 256];
    qrt_miss misses[64];
    for (int64_t count = QRT_ERASED_MAX - 1; count <= QRT_ERASED_MAX + 1; count++) {
        set_up(b);
        b->port.late_shot = 2;
        b->port.late_count = count;
        b->port.late_kind = 'e';
        bool goes_on = count < QRT_ERASED_MAX;
        CHECK(run(b) == (goes_on ? QRT_OK : QRT_ERR_ERASED));
        uint32_t row_count = goes_on ? SHOTS : 2 + QRT_ERASED_MAX;
        CHECK(rows_of(b, rows) == row_count);
        CHECK(goes_on || (b->report.error_shot == 1 + QRT_ERASED_MAX && b->report.error_instruction == 2));
        uint32_t miss_count = misses_of(b, misses);
        CHECK(miss_count == (goes_on ? count : QRT_ERASED_MAX) && b->report.shots_erased == miss_count);
        check_others(b, rows, row_count, wanted);
        check_replay(rows, row_count, misses, miss_count);
    }
    set_up(b); /* as many, and more, but not in a row */
    b->port.late_shot = 0;
    b->port.late_count = SHOTS;
    b->port.late_stride = 2;
    b->port.late_kind = 'e';
    CHECK(run(b) == QRT_OK && b->report.shots_erased == SHOTS / 2 && SHOTS / 2 > QRT_ERASED_MAX);
    check_others(b, rows, rows_of(b, rows), wanted);
}

static void test_abort(bench *b)
{
    static uint8_t rows[SHOTS * 256];
    qrt_miss misses[64];
    set_up(b);
    b->port.late_shot = 3;
    b->port.late_kind = 'p';
    b->port.late_at = 4; /* the second sequencer's play is the first after the outcome: order is by tick, then sequencer */
    b->config.late_port_policy = QRT_POLICY_ABORT;
    CHECK(run(b) == QRT_ERR_TOO_LATE && b->report.error_shot == 3 && b->report.error_instruction == 7);
    CHECK(b->report.error_sequencer == 0 && b->report.error_tick == 120);
    CHECK(rows_of(b, rows) == 3 && misses_of(b, misses) == 1 && misses[0].policy == QRT_POLICY_ABORT);
    CHECK(misses[0].tick == 3 * PERIOD + 120 && b->report.shots_erased == 0);
}

/* A port that has a deadline and never answers; one that cannot be too late and says so. */
static void test_never(bench *b)
{
    static uint8_t rows[SHOTS * 256];
    qrt_miss misses[64];
    set_up(b);
    b->port.not_ready = INT32_MAX;
    b->port.port.answer_ns_max = 200000;
    CHECK(run(b) == QRT_ERR_ERASED);
    CHECK(rows_of(b, rows) == QRT_ERASED_MAX && misses_of(b, misses) == QRT_ERASED_MAX);
    check_replay(rows, QRT_ERASED_MAX, misses, QRT_ERASED_MAX);
    set_up(b);
    b->port.not_ready = INT32_MAX;
    b->port.port.answer_ns_max = 200000;
    b->port.port.erase_shot = NULL;
    CHECK(run(b) == QRT_ERR_PORT && b->report.error_shot == 0 && b->report.miss_count == 0);
    set_up(b);
    b->port.late_shot = 3;
    b->port.late_kind = 'p';
    b->port.port.erase_shot = NULL;
    CHECK(run(b) == QRT_ERR_PORT && b->report.error_shot == 3);
}

/* Against the host's clock: the wait for an answer that never comes takes several periods, whose shots go with the erased one. */
static void test_paced(bench *b, const uint8_t *wanted)
{
    static uint8_t rows[SHOTS * 256];
    qrt_miss misses[64];
    set_up(b);
    b->config.pacing = QRT_PACING_REAL;
    b->config.spin_ns = 100000;
    b->port.slow_shot = 4;
    b->port.slow_ns = 5 * PERIOD;
    b->port.late_shot = 4;
    b->port.late_kind = 'e';
    CHECK(run(b) == QRT_OK && rows_of(b, rows) == SHOTS);
    uint32_t count = misses_of(b, misses);
    CHECK(count == 1 && misses[0].shot == 4 && misses[0].miss_class == QRT_MISS_PORT && misses[0].skipped_count >= 4);
    for (int64_t shot = 0; shot < SHOTS; shot++) {
        uint32_t skipped = shot > 4 && shot <= 4 + misses[0].skipped_count ? QRT_ROW_SKIPPED : 0;
        CHECK(row_at(b, rows, shot)->flags == (shot == 4 ? QRT_ROW_ERASED : skipped));
    }
    CHECK(b->report.shots_skipped == misses[0].skipped_count && b->report.shots_executed + misses[0].skipped_count + 1 == SHOTS);
    check_others(b, rows, SHOTS, wanted);
    check_replay(rows, SHOTS, misses, count);
}

/* A shot that is given up in its second period: the next one starts behind what it did, and the one after that as ever. */
static void test_stretched(bench *b)
{
    static const qrt_instruction longer[] = {
        {QRT_OP_WAIT, 0, 0, 0, PERIOD + 100}, {QRT_OP_PLAY, 0, 0, 1, 0}, {QRT_OP_WAIT, 0, 0, 0, 200}, {QRT_OP_END, 0, 0, 0, 0}};
    static uint8_t rows[SHOTS * 256];
    qrt_miss misses[64];
    set_up(b);
    b->config.sequence.instructions = longer;
    b->config.sequence.instruction_count = 4;
    b->config.sequence.sequencer_count = 1;
    b->config.sequence.stretch_max = 1;
    b->port.late_shot = 5;
    b->port.late_kind = 'p';
    CHECK(run(b) == QRT_OK && rows_of(b, rows) == SHOTS && misses_of(b, misses) == 1);
    CHECK(misses[0].tick == 10 * PERIOD + PERIOD + 100 && b->report.stretched_periods == SHOTS);
    for (int64_t shot = 0; shot < SHOTS; shot++) {
        CHECK(row_at(b, rows, shot)->tick == 2 * shot * PERIOD && row_at(b, rows, shot)->flags == (shot == 5 ? QRT_ROW_ERASED : 0));
    }
}

static void check_refused(bench *b)
{
    qrt_kernel *kernel = lend(qrt_kernel_size(INSTRUCTIONS_MAX));
    CHECK(qrt_kernel_arm(kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &b->config, &b->report) == QRT_ERR_ARGUMENT);
}

static void test_what_is_refused(bench *b)
{
    const qrt_erasure wrong[][2] = {{{3, QRT_MISS_PORT, 0, 0, 0}, {3, QRT_MISS_PORT, 0, 0, 0}},
                                    {{3, QRT_MISS_RELEASE, 0, 0, 0}, {4, QRT_MISS_PORT, 0, 0, 0}},
                                    {{-1, QRT_MISS_PORT, 0, 0, 0}, {4, QRT_MISS_PORT, 0, 0, 0}},
                                    {{3, QRT_MISS_DECISION, 0, 1, 0}, {4, QRT_MISS_PORT, 0, 0, 0}},
                                    {{3, QRT_MISS_PORT, 0, 2, 0}, {4, QRT_MISS_PORT, 0, 0, 0}}};
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
        set_up(b);
        b->config.erasures = wrong[k];
        b->config.erasure_count = 2;
        check_refused(b);
    }
    const qrt_erasure right = {3, QRT_MISS_PORT, 0, 0, 0};
    set_up(b);
    b->config.erasures = &right;
    b->config.erasure_count = 1;
    b->config.pacing = QRT_PACING_REAL;
    check_refused(b);
    set_up(b);
    b->config.erasures = &right;
    b->config.erasure_count = 1;
    b->port.port.erase_shot = NULL;
    check_refused(b);
    set_up(b);
    b->config.late_port_policy = QRT_POLICY_SKIP;
    check_refused(b);
}

int main(void)
{
    static bench b;
    static uint8_t wanted[SHOTS * 256];
    set_up(&b);
    CHECK(run(&b) == QRT_OK && rows_of(&b, wanted) == SHOTS);
    test_each_place(&b, wanted, false);
    test_each_place(&b, wanted, true);
    test_what_the_port_sees(&b);
    test_in_a_row(&b, wanted);
    test_abort(&b);
    test_never(&b);
    test_paced(&b, wanted);
    test_stretched(&b);
    test_what_is_refused(&b);
    take_back();
    return 0;
}
