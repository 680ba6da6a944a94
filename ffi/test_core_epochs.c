/* Epochs: which values a shot gets, waiting, holding, discarding; with a writer on a thread of its own, as in a run.
 *
 * The sequence plays the first value as its amplitude and compares a capture with the second, so that the port's calls and the rows
 * show both.
 */
#include <pthread.h>
#include "test_core.h"

#define PERIOD 1000
#define ROW_SLOTS 1024
#define BATCH 4
#define VALUES 2
#define HOUR_NS 3600000000000

static const qrt_frame frames[] = {{.frequency = 0, .phase = 0, .line = 0}};
static const int16_t weights[16] = {[0 ... 15] = 1};
static const qrt_capture_spec captures[] = {{.threshold = 0, .sample_count = 8, .channel = 0, .bit = 0, .threshold_slot = 1,
                                             .weights_slot = QRT_SLOT_NONE}};
static const qrt_instruction code[] = {
    {QRT_OP_LOAD, 0, 0, 0, 0}, {QRT_OP_PLAY_REGISTER, 0, 0, 0, 0}, {QRT_OP_CAPTURE, 0, 0, 0, 0}, {QRT_OP_END, 0, 0, 0, 0}};
static const qrt_slot slots[] = {{.start = 0, .rule = QRT_RULE_EPOCH}, {.start = 1, .rule = QRT_RULE_EPOCH}};
static const uint32_t entries[1];
static const int64_t first_values[VALUES] = {100, 0};

typedef struct {
    qrt_epoch head;
    int64_t values[VALUES];
} entry;

typedef struct {
    fake_port port;
    qrt_kernel_config config;
    qrt_kernel_report report;
    qrt_kernel *kernel;
} bench;

static void set_up(bench *b, int64_t shots, int64_t delay)
{
    take_back();
    memset(b, 0, sizeof *b);
    fake_open(&b->port);
    b->port.level = 1; /* iq[0] is 8 */
    b->kernel = lend(qrt_kernel_size(INSTRUCTIONS_MAX));
    b->config = (qrt_kernel_config){
        CONFIG_HEAD,
        .sequence = {.instructions = code, .entries = entries, .frames = frames, .captures = captures, .weights = weights,
                     .instruction_count = 4, .sequencer_count = 1, .frame_count = 1, .capture_count = 1, .weights_count = 16,
                     .slot_count = 2, .budget = 100, .period_ticks = PERIOD},
        .sweep = {.slots = slots, .slot_count = 2},
        .port = &b->port.port, .rows = lend_ring(qrt_row_size(1, 0), ROW_SLOTS), .misses = lend_ring(sizeof(qrt_miss), 64),
        .epochs = lend_ring(sizeof(entry), 16), .epoch_values = first_values, .epoch_value_count = VALUES,
        .late_epoch_policy = QRT_POLICY_HOLD, .epoch_delay = delay, .batch_shots = BATCH, .epoch_wait_ns = HOUR_NS,
        .shot_count = shots};
}

/* Amplitude 100 + number; every other epoch's threshold is above what is captured. */
static void write_entry(qrt_ring *ring, int64_t number, uint32_t flags, int64_t begin_period)
{
    entry *slot = qrt_ring_claim(ring);
    CHECK(slot != NULL);
    *slot = (entry){{.number = number, .begin_period = begin_period, .flags = flags}, {100 + number, number % 2 == 0 ? 0 : 8}};
    qrt_ring_publish(ring);
}

static void start(bench *b)
{
    start_kernel(b->kernel, &b->config, &b->report);
}

static int32_t end(bench *b)
{
    return end_kernel(b->kernel, &b->report);
}

static int32_t run(bench *b)
{
    start(b);
    return end(b);
}

static const qrt_row *row_at(bench *b, uint32_t index)
{
    void *first;
    CHECK(qrt_ring_peek(b->config.rows, 0, &first) > index);
    return (const qrt_row *)(const void *)((const uint8_t *)first + index * qrt_row_size(1, 0));
}

/* A row's epoch is the one whose values its shot had. */
static void check_row(bench *b, uint32_t index, int64_t epoch)
{
    const qrt_row *row = row_at(b, index);
    CHECK(row->epoch == epoch);
    if (row->flags & QRT_ROW_SKIPPED) {
        return;
    }
    CHECK(((const uint8_t *)row)[sizeof *row] == (epoch % 2 == 0));
    bool played = false;
    for (uint32_t call = 0; call < b->port.call_count; call++) {
        if (b->port.calls[call].kind == 'p' && b->port.calls[call].tick == row->tick) {
            CHECK(b->port.calls[call].play.amplitude == 100 + epoch);
            played = true;
        }
    }
    CHECK(played);
}

typedef struct {
    bench *b;
    int64_t batches;
} writer;

/* What a batch process does: reads the rows of each batch, then publishes the epoch that comes of it. */
static void *write_epochs(void *argument)
{
    const writer *w = argument;
    qrt_kernel_config *c = &w->b->config;
    for (int64_t batch = 0; batch < w->batches; batch++) {
        uint64_t needed = (uint64_t)((batch + 1) * BATCH);
        while (qrt_ring_wait(c->rows, 0, needed, 1000000000) < needed) {
        }
        write_entry(c->epochs, batch + 1 + c->epoch_delay, 0, 0);
    }
    return NULL;
}

static int32_t run_with_writer(bench *b, int64_t batches)
{
    writer w = {b, batches};
    pthread_t thread;
    start(b);
    CHECK(pthread_create(&thread, NULL, write_epochs, &w) == 0);
    int32_t status = end(b);
    CHECK(pthread_join(thread, NULL) == 0);
    return status;
}

static void test_virtual_time_waits_for_each(bench *b)
{
    for (int64_t delay = 0; delay <= 3; delay++) {
        set_up(b, 10 * BATCH, delay);
        CHECK(run_with_writer(b, 9 - delay) == QRT_OK);
        CHECK(b->report.epochs_applied == 9 - delay && b->report.epochs_held == 0 && b->report.miss_count == 0);
        CHECK(b->report.epoch_wait_count <= 9 - delay && (delay > 0 || b->report.epoch_wait_count > 0));
        for (uint32_t shot = 0; shot < 10 * BATCH; shot++) {
            int64_t batch = shot / BATCH;
            CHECK(row_at(b, shot)->tick == shot * PERIOD);
            check_row(b, shot, batch > delay ? batch : 0);
        }
    }
}

static void test_held_paused_and_discarded(bench *b)
{
    const qrt_skip skips[] = {{3, 6}}; /* the ends of batch 0, all of batch 1, the first shot of batch 2 */
    set_up(b, 5 * BATCH, 0);
    b->config.skips = skips;
    b->config.skip_count = 1;
    write_entry(b->config.epochs, 0, 0, 0); /* nobody asks for it any more */
    write_entry(b->config.epochs, 1, 0, BATCH + 2);
    write_entry(b->config.epochs, 2, QRT_EPOCH_HELD, 2 * BATCH + 3);
    write_entry(b->config.epochs, 3, 0, 3 * BATCH + 1); /* past by then: no pause */
    write_entry(b->config.epochs, 4, QRT_EPOCH_HELD, 0);
    CHECK(run(b) == QRT_OK && b->report.epochs_applied == 2 && b->report.epochs_held == 2 && b->report.epochs_discarded == 1);
    CHECK(b->report.paused_periods == 3 && b->report.stretched_periods == 0 && b->report.shots_skipped == 6);
    const int64_t in_force[] = {0, 1, 1, 3, 3};
    const int64_t paused[] = {0, 2, 3, 3, 3};
    for (uint32_t shot = 0; shot < 5 * BATCH; shot++) {
        CHECK(row_at(b, shot)->tick == (shot + paused[shot / BATCH]) * PERIOD);
        check_row(b, shot, in_force[shot / BATCH]);
    }
}

static void test_from_the_middle(bench *b)
{
    set_up(b, BATCH, 1); /* no epoch is due in it: what is there was late when it came, and is counted at the end */
    write_entry(b->config.epochs, 1, 0, 0);
    write_entry(b->config.epochs, 2, 0, 0);
    CHECK(run(b) == QRT_OK && b->report.epochs_applied == 0 && b->report.epochs_discarded == 1);
    for (int64_t first = 2 * BATCH; first <= 2 * BATCH + 1; first++) {
        set_up(b, BATCH, 1);
        b->config.shot_first = first;
        b->config.epoch_first = 0;
        write_entry(b->config.epochs, 2, 0, 0); /* due at shot 8, but not at 9 and later */
        write_entry(b->config.epochs, 3, 0, 0);
        CHECK(run(b) == QRT_OK && b->report.epochs_applied == 1);
        check_row(b, 0, first == 2 * BATCH ? 2 : 0);
        check_row(b, BATCH - 1, first == 2 * BATCH ? 2 : 3);
    }
}

static void test_what_does_not_come(bench *b)
{
    set_up(b, 3 * BATCH, 0);
    b->config.epoch_wait_ns = 1000000;
    CHECK(run(b) == QRT_ERR_EPOCH && b->report.error_shot == BATCH && b->report.shots_executed == BATCH);
    CHECK(b->report.epoch_wait_count == 1);
    set_up(b, 3 * BATCH, 0); /* an hour's wait, which is not waited for what can never come */
    qrt_ring_close(b->config.epochs);
    CHECK(run(b) == QRT_ERR_EPOCH);
    set_up(b, 3 * BATCH, 0);
    write_entry(b->config.epochs, 2, 0, 0);
    CHECK(run(b) == QRT_ERR_EPOCH && b->report.epoch_wait_count == 0);
    set_up(b, 3 * BATCH, 0);
    write_entry(b->config.epochs, 1, 2, 0);
    CHECK(run(b) == QRT_ERR_EPOCH);
    set_up(b, 3 * BATCH, 0);
    write_entry(b->config.epochs, 1, 0, -1);
    CHECK(run(b) == QRT_ERR_EPOCH);
    set_up(b, 3 * BATCH, 0);
    write_entry(b->config.epochs, 1, 0, INT64_MAX / 8);
    CHECK(run(b) == QRT_ERR_EPOCH && b->report.paused_periods == 0);
    for (int aborts = 0; aborts <= 1; aborts++) { /* a stop ends the wait */
        set_up(b, 3 * BATCH, 0);
        start(b);
        CHECK(qrt_ring_wait(b->config.rows, 0, BATCH, 1000000000) == BATCH);
        aborts ? qrt_kernel_abort(b->kernel) : qrt_kernel_stop(b->kernel);
        CHECK(end(b) == (aborts ? QRT_ABORTED : QRT_STOPPED) && b->report.shots_executed == BATCH);
    }
}

static void go_real(bench *b, int64_t period_ns)
{
    b->config.pacing = QRT_PACING_REAL;
    b->config.sequence.period_ticks = period_ns;
    b->config.late_tolerance_ns = 1000000000000; /* no release is late here: a busy machine is no failure */
    b->config.spin_ns = 20000;
}

static void test_real_time_holds_and_discards(bench *b)
{
    set_up(b, 4 * BATCH, 1);
    go_real(b, 500000);
    write_entry(b->config.epochs, 3, 0, 0); /* 2 is missing: a miss at shot 8, and 3 comes in time */
    CHECK(run(b) == QRT_OK && b->report.epochs_applied == 1 && b->report.epochs_held == 1 && b->report.miss_count == 1);
    void *first;
    CHECK(qrt_ring_peek(b->config.misses, 0, &first) == 1);
    const qrt_miss *miss = first;
    CHECK(miss->shot == 2 * BATCH && miss->tick == 2 * BATCH * 500000 && miss->miss_class == QRT_MISS_EPOCH);
    CHECK(miss->policy == QRT_POLICY_HOLD && miss->cause == QRT_CAUSE_BATCH && miss->skipped_count == 0 && miss->lateness_ns == 0);
    for (uint32_t shot = 0; shot < 4 * BATCH; shot++) {
        check_row(b, shot, shot >= 3 * BATCH ? 3 : 0);
    }
    set_up(b, 1000000, 1); /* the late one comes while the run goes on, and is discarded at the next batch */
    go_real(b, 1000000);
    start(b);
    CHECK(qrt_ring_wait(b->config.misses, 0, 1, 10000000000) >= 1);
    write_entry(b->config.epochs, 2, 0, 0);
    uint64_t rows = qrt_ring_published(b->config.rows) + 2 * BATCH;
    CHECK(qrt_ring_wait(b->config.rows, 0, rows, 10000000000) >= rows);
    qrt_kernel_stop(b->kernel);
    CHECK(end(b) == QRT_STOPPED && b->report.epochs_applied == 0 && b->report.epochs_discarded == 1);
    CHECK(b->report.epochs_held == b->report.miss_count && b->report.miss_count > 1);
    set_up(b, 4 * BATCH, 1);
    go_real(b, 500000);
    b->config.late_epoch_policy = QRT_POLICY_ABORT;
    CHECK(run(b) == QRT_ERR_LATE && b->report.error_shot == 2 * BATCH && b->report.miss_count == 1);
    CHECK(qrt_ring_published(b->config.rows) == 2 * BATCH);
    set_up(b, 4 * BATCH, 1);
    go_real(b, 500000);
    write_entry(b->config.epochs, 2, 0, 1); /* only a replay says how long a pause was */
    CHECK(run(b) == QRT_ERR_EPOCH);
}

#define STALLED_BATCHES 60

/* One shot takes 150 ms, so that what a busy machine does by itself is not late. */
static void go_stalled(bench *b, int64_t shot)
{
    go_real(b, 1000000);
    b->config.late_tolerance_ns = 50000000;
    b->port.slow_shot = shot;
    b->port.slow_ns = 150000000;
}

/* The release of the first shot of a batch, and its neighbours', are past: the epoch is taken where it is due, skipped or not. */
static void test_skips_pass_batches(bench *b)
{
    for (int present = 0; present <= 1; present++) {
        set_up(b, STALLED_BATCHES * BATCH, 1);
        go_stalled(b, 2 * BATCH - 2);
        b->config.epochs = lend_ring(sizeof(entry), 64);
        for (int64_t number = 2; number < STALLED_BATCHES; number++) {
            if (present) {
                write_entry(b->config.epochs, number, 0, 0);
            }
        }
        CHECK(run(b) == QRT_OK && b->report.shots_skipped >= 20 * BATCH);
        CHECK(b->report.epochs_applied == (present ? STALLED_BATCHES - 2 : 0));
        CHECK(b->report.epochs_held == (present ? 0 : STALLED_BATCHES - 2));
        CHECK(row_at(b, 2 * BATCH)->flags & QRT_ROW_SKIPPED);
        for (uint32_t shot = 0; shot < STALLED_BATCHES * BATCH; shot++) {
            check_row(b, shot, present && shot >= 2 * BATCH ? shot / BATCH : 0);
        }
    }
    set_up(b, STALLED_BATCHES * BATCH, 1); /* the run ends inside the stall, and the stall is still recorded */
    go_stalled(b, 2 * BATCH - 2);
    b->config.late_epoch_policy = QRT_POLICY_ABORT;
    CHECK(run(b) == QRT_ERR_LATE && b->report.error_shot == 2 * BATCH);
    void *first;
    CHECK(qrt_ring_peek(b->config.misses, 0, &first) == (uint32_t)b->report.miss_count && b->report.miss_count >= 2);
}

static void test_stop_and_wait(bench *b)
{
    set_up(b, 5 * BATCH, 0);
    go_real(b, 100000);
    CHECK(run_with_writer(b, 4) == QRT_OK && b->report.epochs_applied == 4 && b->report.miss_count == 0);
    CHECK(b->report.epoch_wait_count >= 1);
    int64_t paused = 0;
    for (uint32_t shot = 0; shot < 5 * BATCH; shot++) {
        int64_t here = row_at(b, shot)->tick / 100000 - shot - paused;
        CHECK(row_at(b, shot)->tick % 100000 == 0 && here >= 0 && (here == 0 || shot % BATCH == 0));
        paused += here;
        check_row(b, shot, shot / BATCH);
    }
    CHECK(paused == b->report.paused_periods && b->report.stretched_periods == 0);
    set_up(b, 5 * BATCH, 0); /* skipping ends where the run pauses anyway */
    go_stalled(b, 0);
    CHECK(run_with_writer(b, 4) == QRT_OK && b->report.epochs_applied == 4);
    CHECK((row_at(b, 1)->flags & QRT_ROW_SKIPPED) && !(row_at(b, BATCH)->flags & QRT_ROW_SKIPPED));
    CHECK(b->report.paused_periods > 0);
}

static int32_t refused(bench *b)
{
    int32_t status = (int32_t)qrt_kernel_arm(b->kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &b->config, &b->report);
    set_up(b, BATCH, 1);
    return status;
}

static void test_arm_refuses(bench *b)
{
    const int64_t out[] = {0, -1, ((int64_t)1 << 31) + 1};
    set_up(b, BATCH, 1);
    for (int j = 0; j < 3; j++) {
        b->config.batch_shots = out[j];
        CHECK(refused(b) == QRT_ERR_ARGUMENT);
        b->config.epoch_delay = out[j];
        CHECK(refused(b) == (out[j] == 0 ? QRT_OK : QRT_ERR_ARGUMENT));
    }
    b->config.epoch_wait_ns = 0;
    CHECK(refused(b) == QRT_ERR_ARGUMENT);
    b->config.late_epoch_policy = QRT_POLICY_SKIP;
    CHECK(refused(b) == QRT_ERR_ARGUMENT);
    b->config.late_policy = QRT_POLICY_HOLD;
    CHECK(refused(b) == QRT_ERR_ARGUMENT);
    b->config.pacing = QRT_PACING_EXTERNAL;
    CHECK(refused(b) == QRT_ERR_ARGUMENT);
    b->config.epoch_first = 1; /* at shot 0 */
    CHECK(refused(b) == QRT_ERR_ARGUMENT);
    b->config.epoch_first = -1;
    CHECK(refused(b) == QRT_ERR_ARGUMENT);
    b->config.epoch_value_count = 1; /* two slots follow the epoch, and the ring is for two */
    CHECK(refused(b) == QRT_ERR_ARGUMENT);
    b->config.epoch_values = NULL;
    CHECK(refused(b) == QRT_ERR_ARGUMENT);
    b->config.epoch_value_count = QRT_EPOCH_VALUES_MAX + 1;
    CHECK(refused(b) == QRT_ERR_ARGUMENT);
    b->config.epochs = lend_ring(sizeof(entry) - 8, 16);
    CHECK(refused(b) == QRT_ERR_ARGUMENT);
    qrt_capture_spec spec = captures[0];
    spec.threshold_slot = 2;
    b->config.sequence.captures = &spec;
    CHECK(refused(b) == QRT_ERR_ARGUMENT);
    b->config.epochs = NULL; /* values without a ring stay as they are, under their number */
    b->config.batch_shots = 0;
    b->config.epoch_first = 6;
    CHECK(run(b) == QRT_OK && row_at(b, 0)->epoch == 6 && b->port.calls[1].play.amplitude == 100);
}

int main(void)
{
    static bench b;
    test_virtual_time_waits_for_each(&b);
    test_held_paused_and_discarded(&b);
    test_from_the_middle(&b);
    test_what_does_not_come(&b);
    test_real_time_holds_and_discards(&b);
    test_skips_pass_batches(&b);
    test_stop_and_wait(&b);
    test_arm_refuses(&b);
    take_back();
    return 0;
}
