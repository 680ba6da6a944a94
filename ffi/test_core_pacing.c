/* The real clock's parts: histogram, spin, causes, a thread's settings, and a kernel that sizes its own spin.
 *
 * Rules are tested with numbers, without a clock. Where time passes, only what holds on a busy machine, too, is asserted.
 */
#include "core/evidence.h"
#include "test_core.h"

static void test_buckets(void)
{
    CHECK(qrt_histogram_bucket(INT64_MIN) == 0 && qrt_histogram_bucket(-1) == 0 && qrt_histogram_bucket(0) == 0);
    CHECK(qrt_histogram_bucket(255) == 255 && qrt_histogram_bucket(256) == 256 && qrt_histogram_bucket(257) == 256);
    CHECK(qrt_histogram_bucket(INT64_MAX) == QRT_HISTOGRAM_BUCKETS - 1);
    CHECK(qrt_histogram_end(QRT_HISTOGRAM_BUCKETS - 1) == INT64_MAX);
    int64_t first = 0;
    for (uint32_t bucket = 0; bucket < QRT_HISTOGRAM_BUCKETS; bucket++) { /* no gap, no overlap, none wider than 1/128 */
        int64_t end = qrt_histogram_end(bucket);
        CHECK(end >= first && qrt_histogram_bucket(first) == bucket && qrt_histogram_bucket(end) == bucket);
        CHECK(end - first <= first / 128);
        first = end < INT64_MAX ? end + 1 : 0;
    }
}

static void test_quantiles(void)
{
    static qrt_histogram h;
    CHECK(qrt_histogram_quantile(&h, 500000) == 0);
    for (int64_t value = 1; value <= 100; value++) {
        qrt_histogram_add(&h, value);
    }
    CHECK(qrt_histogram_quantile(&h, 500000) == 50 && qrt_histogram_quantile(&h, 990000) == 99);
    CHECK(qrt_histogram_quantile(&h, 0) == 1 && qrt_histogram_quantile(&h, 1000000) == 100);
    qrt_histogram_add(&h, 1000001);
    CHECK(h.count == 101 && h.maximum == 1000001 && qrt_histogram_quantile(&h, 1000000) == 1000001);
    qrt_histogram_add(&h, 7);
    qrt_histogram_age(&h); /* ones become none */
    CHECK(h.count == 1 && qrt_histogram_quantile(&h, 1) == 7);
}

static void test_spin(void)
{
    CHECK(qrt_spin_ns(60000, 0, 1000000, 900) == 60000);
    CHECK(qrt_spin_ns(60000, 0, 100000, 500) == 50000);     /* the share cuts it */
    CHECK(qrt_spin_ns(60000, 30000, 100000, 500) == 20000); /* playing counts, too */
    CHECK(qrt_spin_ns(60000, 80000, 100000, 500) == 0);
    CHECK(qrt_spin_ns(-5, 0, 100000, 500) == 0);
    CHECK(qrt_spin_ns(INT64_MAX, 0, INT64_MAX / 2, 1000) == INT64_MAX / 2);
}

static void test_causes(void)
{
    const int64_t ms = 1000000;
    qrt_evidence e = {.lateness_ns = 10 * ms, .period_ns = ms};
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_OUTSIDE);
    e.since.blocked = 1;
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_STOPPED);
    e.since.minor_faults = 999; /* 4.995 ms of 10: not half */
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_STOPPED);
    e.since.minor_faults = 1000;
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_PAGE_FAULT);
    e.since.minor_faults = 0;
    e.since.major_faults = 1;
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_PAGE_FAULT);
    e.came_late = true;
    e.busy_ns = 11 * ms;
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_PAGE_FAULT); /* a long shot that did not run was not over budget */
    e.since.ran_ns = 5 * ms; /* it ran: it did not wait for a disk */
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_BUDGET);
    e.since.minor_faults = 1000;
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_PAGE_FAULT);
    e.since.minor_faults = 0;
    e.since.waited_ns = 5 * ms - 1;
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_BUDGET);
    e.since.waited_ns = 5 * ms;
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_SWITCH);
    e.since.waited_ns = -1; /* a system that does not say how long: that it happened must do */
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_BUDGET);
    e.since.forced = 1;
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_SWITCH);
    e.stolen_ns = 10 * ms;
    CHECK(qrt_cause_of(&e) == QRT_CAUSE_STEAL);
}

static void test_thread(void)
{
    qrt_thread_found before;
    qrt_thread_found after;
    const qrt_thread_asked nothing = {.slack_ns = 0};
    qrt_thread_apply(&nothing, &before);
    CHECK(before.cores_error == 0 && before.slack_error == 0 && before.priority_error == 0 && before.policy >= 0);
    qrt_thread_asked asked = {.slack_ns = 12345};
    for (int word = 0; word < QRT_CORE_WORDS; word++) {
        asked.cores[word] = before.cores[word] & (~before.cores[word] + 1); /* the lowest core of each word */
    }
    qrt_thread_apply(&asked, &after);
    CHECK(after.slack_ns == 12345 && after.cores_error == 0 && memcmp(after.cores, asked.cores, sizeof asked.cores) == 0);
    const qrt_thread_asked absurd = {.priority = 100};
    qrt_thread_apply(&absurd, &after);
    CHECK(after.priority_error != 0 && after.policy == before.policy);
    qrt_thread_asked back = {.slack_ns = before.slack_ns};
    memcpy(back.cores, before.cores, sizeof back.cores);
    qrt_thread_apply(&back, &after);
    CHECK(memcmp(after.cores, before.cores, sizeof after.cores) == 0 && after.slack_ns == before.slack_ns);
}

static qrt_kernel *kernel;
static qrt_kernel_config config;
static qrt_kernel_report report;
static fake_port port;
static qrt_histogram histogram;
static const qrt_instruction end[] = {{QRT_OP_END, 0, 0, 0, 0}};
static const uint32_t entries[1];

static void set_up(void)
{
    take_back();
    fake_open(&port);
    memset(&histogram, 0, sizeof histogram);
    kernel = lend(qrt_kernel_size(INSTRUCTIONS_MAX));
    config = (qrt_kernel_config){
        CONFIG_HEAD,
        .sequence = {.instructions = end, .entries = entries, .instruction_count = 1, .sequencer_count = 1, .budget = 10,
                     .period_ticks = 1000000},
        .port = &port.port, .rows = lend_ring(sizeof(qrt_row), 1024), .lateness = lend_ring(8, 1024),
        .lateness_histogram = &histogram, .pacing = QRT_PACING_REAL, .late_tolerance_ns = 60000000000, .shot_count = 600,
        .start_delay_ns = 1000000};
}

static qrt_status run(void)
{
    qrt_status armed = qrt_kernel_arm(kernel, qrt_kernel_size(INSTRUCTIONS_MAX), &config, &report);
    if (armed == QRT_OK) {
        CHECK(qrt_kernel_start(kernel, lend(qrt_kernel_stack_size()), qrt_kernel_stack_size()) == QRT_OK);
        CHECK(qrt_kernel_join(kernel, &report) == QRT_OK);
    }
    return armed == QRT_OK ? (qrt_status)report.status : armed;
}

static void test_a_spin_of_its_own(void)
{
    set_up();
    config.spin_share_permille = 500;
    config.thread.slack_ns = 1;
    CHECK(run() == QRT_OK && report.shots_executed == 600 && report.miss_count == 0);
    CHECK(report.wake_ns > 0 && report.spin_ns > 0 && report.spin_ns <= 500000);
    CHECK(report.ran_ns > 0 && report.ran_ns <= report.wall_ns + 10000000 && report.thread.slack_ns == 1);
    void *first;
    CHECK(qrt_ring_peek(config.lateness, 0, &first) == 600 && histogram.count == 600);
    static qrt_histogram again;
    for (int shot = 0; shot < 600; shot++) {
        qrt_histogram_add(&again, ((const int64_t *)first)[shot]);
    }
    CHECK(memcmp(&again, &histogram, sizeof again) == 0);
}

static void test_arm_refuses_what_would_be_stopped(void)
{
    set_up();
    config.thread.priority = 1;
    config.spin_ns = 900001;
    CHECK(run() == QRT_ERR_ARGUMENT);
    set_up();
    config.thread.priority = 1;
    config.spin_share_permille = 901;
    CHECK(run() == QRT_ERR_ARGUMENT);
    set_up();
    config.thread.priority = 1;
    config.pacing = QRT_PACING_VIRTUAL;
    CHECK(run() == QRT_ERR_ARGUMENT);
    set_up();
    config.thread.priority = -1;
    CHECK(run() == QRT_ERR_ARGUMENT);
    set_up();
    config.spin_share_permille = 1001;
    CHECK(run() == QRT_ERR_ARGUMENT);
}

static void test_a_priority_is_granted_or_refused_in_writing(void)
{
    set_up();
    config.shot_count = 20;
    config.thread.priority = 1;
    config.spin_share_permille = 900;
    CHECK(run() == QRT_OK);
    bool granted = report.thread.policy == 1 && report.thread.priority == 1;
    CHECK(granted == (report.thread.priority_error == 0));
}

int main(void)
{
    test_buckets();
    test_quantiles();
    test_spin();
    test_causes();
    test_thread();
    test_a_spin_of_its_own();
    test_arm_refuses_what_would_be_stopped();
    test_a_priority_is_granted_or_refused_in_writing();
    take_back();
    return 0;
}
