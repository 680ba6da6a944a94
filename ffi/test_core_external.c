/* External pacing: shots that a trigger releases, triggers that passed, stay away or cannot be, and what is expected of the next.
 *
 * The trigger here counts how often it was asked instead of reading a clock: another one comes at every PATIENCE-th question in which
 * nothing was new. So a test knows which triggers have come whatever the machine does meanwhile.
 */
#include "test_core.h"
#include "core/follow.h"

#define PERIOD 1000
#define ROW_SLOTS 1024
#define PATIENCE 20
#define YEAR_NS 31536000000000000

static const qrt_frame frames[] = {{.frequency = 0, .phase = 0, .line = 0}};
static const qrt_instruction code[] = {{QRT_OP_PLAY, 0, 0, 1, 0}, {QRT_OP_END, 0, 0, 0, 0}};
static const uint32_t entries[1];

typedef struct {
    fake_port port; /* first: `self` is both */
    int64_t count;
    int64_t last_ns;
    int64_t question_count; /* without an answer that was new */
    int64_t jump_shot;      /* when this shot has begun, `jump` triggers come at once; -1: never */
    int64_t jump;
    int64_t silent_from;    /* no trigger of this number or above comes */
    int64_t lead_ns;        /* the last trigger is said to have come so much later than it was asked for */
    qrt_status failure;     /* QRT_OK: none */
    qrt_kernel_config config;
    qrt_kernel_report report;
    qrt_kernel *kernel;
} bench;

static qrt_status triggers(void *self, int64_t now_ns, int64_t *count_out, int64_t *last_ns_out)
{
    bench *b = self;
    int64_t more = 0;
    if (b->jump_shot >= 0 && b->port.shot == b->jump_shot) {
        more = b->jump;
        b->jump_shot = -1;
    } else if (++b->question_count >= PATIENCE && b->count < b->silent_from) {
        more = 1;
    }
    if (more != 0) {
        b->count += more;
        b->last_ns = now_ns + b->lead_ns;
        b->question_count = 0;
    }
    *count_out = b->count;
    *last_ns_out = b->last_ns;
    return b->failure;
}

static void set_up(bench *b, int64_t shots)
{
    take_back();
    memset(b, 0, sizeof *b);
    fake_open(&b->port);
    b->port.shot = b->jump_shot = -1;
    b->silent_from = INT64_MAX;
    b->failure = QRT_OK;
    b->port.port.self = b;
    b->port.port.triggers = triggers;
    b->kernel = lend(qrt_kernel_size(INSTRUCTIONS_MAX));
    b->config = (qrt_kernel_config){
        CONFIG_HEAD,
        .sequence = {.instructions = code, .entries = entries, .frames = frames, .instruction_count = 2, .sequencer_count = 1,
                     .frame_count = 1, .budget = 100, .period_ticks = PERIOD},
        .port = &b->port.port, .rows = lend_ring(qrt_row_size(0, 0), ROW_SLOTS), .misses = lend_ring(sizeof(qrt_miss), 64),
        .pacing = QRT_PACING_EXTERNAL, .late_tolerance_ns = YEAR_NS, .shot_count = shots};
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

static uint32_t misses_of(bench *b, const qrt_miss **first_out)
{
    void *first = NULL;
    uint32_t count = qrt_ring_peek(b->config.misses, 0, &first);
    *first_out = first;
    return count;
}

static void check_rows(bench *b, uint32_t shots, int64_t skipped_from, int64_t skipped_end)
{
    void *first;
    CHECK(qrt_ring_peek(b->config.rows, 0, &first) == shots);
    for (uint32_t shot = 0; shot < shots; shot++) {
        const qrt_row *row = (const qrt_row *)(const void *)((const uint8_t *)first + shot * qrt_row_size(0, 0));
        CHECK(row->shot == shot && row->tick == (int64_t)shot * PERIOD);
        CHECK((row->flags == QRT_ROW_SKIPPED) == (shot >= skipped_from && shot < skipped_end));
    }
}

static void test_each_trigger_releases_its_shot(bench *b)
{
    const qrt_miss *miss;
    set_up(b, 40);
    CHECK(run(b) == QRT_OK);
    CHECK(b->count == 40 && misses_of(b, &miss) == 0 && b->report.shots_executed == 40);
    check_rows(b, 40, 0, 0);
}

/* The trigger of the next shot may have come, not the one after it. */
static void test_triggers_that_passed(bench *b)
{
    for (int64_t jump = 1; jump <= 6; jump++) {
        const qrt_miss *miss;
        set_up(b, 30);
        b->jump_shot = 10;
        b->jump = jump;
        CHECK(run(b) == QRT_OK);
        uint32_t count = misses_of(b, &miss);
        CHECK(count == (jump > 1) && b->report.miss_count == (int64_t)count);
        if (count > 0) {
            CHECK(miss->shot == 11 && miss->skipped_count == jump && miss->miss_class == QRT_MISS_RELEASE);
            CHECK(miss->tick == 11 * PERIOD && miss->lateness_ns > 0);
        }
        check_rows(b, 30, 11, count > 0 ? 11 + jump : 11);
    }
    set_up(b, 30);
    b->jump_shot = 10;
    b->jump = 1000; /* beyond the last shot */
    CHECK(run(b) == QRT_OK);
    check_rows(b, 30, 11, 30);
    set_up(b, 30);
    b->jump_shot = 10;
    b->jump = 2;
    b->config.late_policy = QRT_POLICY_ABORT;
    CHECK(run(b) == QRT_ERR_LATE);
    CHECK(b->report.error_shot == 11 && b->report.miss_count == 1);
}

static void test_what_cannot_be(bench *b)
{
    set_up(b, 30);
    b->jump_shot = 10;
    b->jump = -1;
    CHECK(run(b) == QRT_ERR_PORT);
    CHECK(b->report.error_shot == 11);
    set_up(b, 30);
    b->lead_ns = YEAR_NS;
    CHECK(run(b) == QRT_ERR_PORT);
    CHECK(b->report.error_shot == 0);
    set_up(b, 30);
    b->failure = QRT_ERR_CHANNEL;
    CHECK(run(b) == QRT_ERR_CHANNEL);
}

static void test_a_trigger_that_never_comes(bench *b)
{
    set_up(b, 30);
    b->silent_from = 3;
    CHECK(run(b) == QRT_ERR_TRIGGER);
    CHECK(b->report.error_shot == 3);
    check_rows(b, 3, 0, 0);
    set_up(b, 30);
    b->silent_from = 0;
    start(b);
    qrt_kernel_stop(b->kernel);
    CHECK(end(b) == QRT_STOPPED);
}

static void test_what_is_refused(bench *b)
{
    set_up(b, 1);
    b->port.port.triggers = NULL;
    CHECK(qrt_kernel_arm(b->kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &b->config, &b->report) == QRT_ERR_ARGUMENT);
    set_up(b, 1);
    b->config.sequence.period_ticks = (int64_t)1 << 43;
    CHECK(qrt_kernel_arm(b->kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &b->config, &b->report) == QRT_ERR_ARGUMENT);
    set_up(b, 1);
    b->config.pacing = 3;
    CHECK(qrt_kernel_arm(b->kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &b->config, &b->report) == QRT_ERR_ARGUMENT);
}

/* The period is learnt: after a hundred triggers 500 ppm too slow, the next is expected to within two nanoseconds. */
static void test_the_follower(void)
{
    qrt_follow follow;
    qrt_follow_begin(&follow, 7000000, 1000);
    CHECK(qrt_follow_due_ns(&follow, 0) == 8000 && qrt_follow_due_ns(&follow, 2) == 22000);
    int64_t last_ns = 1000;
    for (int64_t number = 0; number < 100; number++) {
        int64_t at_ns = 5000 + number * 70035 / 10;
        CHECK(qrt_follow_see(&follow, at_ns, number + 1, at_ns) == QRT_OK);
        CHECK(qrt_follow_see(&follow, at_ns + 1, number + 1, at_ns) == QRT_OK); /* nothing new */
        CHECK(at_ns > last_ns && qrt_follow_due_ns(&follow, number) == at_ns);
        last_ns = at_ns;
    }
    int64_t off_ns = qrt_follow_due_ns(&follow, 100) - (5000 + 100 * 70035 / 10);
    CHECK(off_ns >= -2 && off_ns <= 2);
    CHECK(qrt_follow_see(&follow, last_ns + 70, 99, last_ns) == QRT_ERR_PORT);
    CHECK(qrt_follow_see(&follow, last_ns + 70, 101, last_ns - 1) == QRT_ERR_PORT);
    CHECK(qrt_follow_see(&follow, last_ns + 70, 101, last_ns + 71) == QRT_ERR_PORT);
    CHECK(follow.count == 100 && follow.last_ns == last_ns);
}

int main(void)
{
    static bench b;
    test_each_trigger_releases_its_shot(&b);
    test_triggers_that_passed(&b);
    test_what_cannot_be(&b);
    test_a_trigger_that_never_comes(&b);
    test_what_is_refused(&b);
    test_the_follower();
    take_back();
    return 0;
}
