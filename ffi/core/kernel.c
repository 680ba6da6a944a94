/* The kernel: the loop over shots, on a thread of its own. The only place where sequencers, port, rings and clock meet.
 *
 * Per shot: wait for the release, claim a row, begin the shot on the port, do what the sequencers ask for (sequencer.c),
 * publish the row. The two pacings are the two functions `next_virtual` and `next_real`, which decide what becomes of the
 * next shot; all else is common, so that both give the same rows.
 *
 * A shot starts at a multiple of the period: the one after its predecessor, or, where that was stretched, the first at which it is
 * over. Real pacing releases it at origin + (that multiple - the first shot's), computed, never added up. A shot that is late by more
 * than the tolerance, or that finds no place for its row, is a miss: one record for the whole stall, and, by policy, the
 * shots up to the next grid point still in the future are skipped (a row each, so that row i is shot first + i) or the run
 * ends. The cause is judged from what the system counted of the thread since its last sleep (evidence.c). How long before a
 * release the loop spins is learnt from how late it is woken (pace.c).
 *
 * Virtual pacing never misses: it waits for the readers, and counts that.
 *
 * A stop or abort is seen at the latest after SLICE_NS of sleeping. Whatever ends the loop, the port is made safe, then the
 * rings are closed.
 */
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "arrival.h"
#include "checks.h"
#include "clock.h"
#include "evidence.h"
#include "pace.h"
#include "ring.h"
#include "sequence.h"
#include "sequencer.h"
#include "thread.h"

#define SLICE_NS 20000000          /* the longest sleep without looking for a stop */
#define NAP_NS 50000               /* virtual pacing, waiting for a reader */
#define SLEEP_NS_MIN 1000          /* less than this until the spin begins: not worth a system call */
#define DUTY_PERMILLE 900          /* of a real-time thread: the system stops one that takes 95 % of a second */
#define SPIN_NS_MAX 100000000
#define STACK_SIZE 1048576         /* the thread sanitizer asks for nearly as much; the loop and the plant use little of it */
#define RAW_HEAD_SIZE 16

enum { REQUEST_STOP = 1, REQUEST_ABORT = 2 }; /* bits */
enum { STATE_ARMED = 0x51525431, STATE_RUNNING, STATE_ENDED, STATE_JOINED };

struct qrt_kernel {
    qrt_kernel_config config;
    qrt_port port;
    qrt_kernel_report report;
    qrt_arrival arrival;
    pthread_t thread;
    void *stack;
    size_t stack_size;
    _Atomic uint32_t request;
    _Atomic uint32_t state;
    /* The loop's own. */
    int64_t shot_index;
    int64_t periods_taken;  /* by the previous shot: 1, or more where it was stretched */
    int64_t stretched;      /* periods by which the shots so far were stretched, since the run's start */
    int64_t sweep_point;    /* whose slots these are; -1: none yet */
    int64_t slots[QRT_SLOTS_MAX];
    int64_t origin_ns;
    int64_t lateness_ns;   /* of the shot in hand */
    int64_t busy_ns;       /* how long the previous shot took */
    bool came_late;        /* the loop itself arrived after the release, before it slept */
    uint32_t skip_index;
    qrt_pace pace;
    qrt_watch watch;
    /* The event log. */
    int64_t log_shot;
    qrt_event *log_events;
    uint32_t log_count_max;
    uint32_t *log_count_out;
    qrt_shot shot;
};

static const int64_t no_shot = -1;

/* ---- One shot ------------------------------------------------------------------------------------------------- */

static bool is_requested(const qrt_kernel *k, uint32_t request)
{
    return (atomic_load_explicit(&k->request, memory_order_relaxed) & request) != 0;
}

static uint32_t outcomes_size(uint32_t capture_count)
{
    return (capture_count + 7) / 8 * 8;
}

uint32_t qrt_row_size(uint32_t capture_count, uint32_t emit_count)
{
    return (uint32_t)sizeof(qrt_row) + outcomes_size(capture_count) +
           (capture_count * 2 + emit_count) * (uint32_t)sizeof(int64_t);
}

/* Virtual pacing waits for a place, real pacing counts what it cannot keep. */
static void copy_raw(qrt_kernel *k, uint32_t capture_index, const int16_t *samples, uint32_t sample_count)
{
    uint8_t *slot = qrt_ring_claim(k->config.raw);
    bool waits = k->config.pacing == QRT_PACING_VIRTUAL;
    k->report.sink_wait_count += slot == NULL && waits;
    while (slot == NULL && waits && !is_requested(k, REQUEST_ABORT)) {
        qrt_clock_sleep(NAP_NS);
        slot = qrt_ring_claim(k->config.raw);
    }
    if (slot == NULL) {
        k->report.raw_dropped++;
        return;
    }
    memcpy(slot, &k->shot_index, 8);
    memcpy(slot + 8, &capture_index, 4);
    memcpy(slot + 12, &sample_count, 4);
    memcpy(slot + RAW_HEAD_SIZE, samples, sample_count * sizeof(int16_t));
    qrt_ring_publish(k->config.raw);
}

/* What the sequencers ask for when a capture ends. */
static qrt_status demodulated(void *owner, uint16_t slot, uint16_t capture_index, int64_t iq_out[2])
{
    qrt_kernel *k = owner;
    const qrt_capture_spec *spec = &k->config.sequence.captures[capture_index];
    const int16_t *samples = NULL;
    qrt_status status = qrt_arrival_end(&k->arrival, &k->shot, slot, iq_out, &samples);
    if (status != QRT_OK) {
        return status;
    }
    if (spec->raw) {
        copy_raw(k, capture_index, samples, spec->sample_count);
    }
    return QRT_OK;
}

/* ---- Rows ----------------------------------------------------------------------------------------------------- */

static qrt_row *claim_row(const qrt_kernel *k)
{
    if (k->config.lateness != NULL && qrt_ring_claim(k->config.lateness) == NULL) {
        return NULL;
    }
    return qrt_ring_claim(k->config.rows);
}

static uint8_t *row_outcomes(qrt_row *row)
{
    return (uint8_t *)row + sizeof(qrt_row);
}

static int64_t *row_iq(qrt_row *row)
{
    return (int64_t *)(void *)(row_outcomes(row) + outcomes_size(row->capture_count));
}

/* Of a shot's start, counted from the run's start. Every shot before it took its period, and some of them more. */
static int64_t shot_tick(const qrt_kernel *k, int64_t shot_index)
{
    return (shot_index + k->stretched) * k->config.sequence.period_ticks;
}

static void begin_row(const qrt_kernel *k, qrt_row *row)
{
    *row = (qrt_row){.shot = k->shot_index,
                     .tick = shot_tick(k, k->shot_index),
                     .shot_weight = 1.0,
                     .capture_count = k->config.sequence.capture_count};
}

static void publish_row(qrt_kernel *k)
{
    if (k->config.lateness_histogram != NULL) {
        qrt_histogram_add(k->config.lateness_histogram, k->lateness_ns);
    }
    if (k->config.lateness != NULL) {
        memcpy(qrt_ring_claim(k->config.lateness), &k->lateness_ns, 8);
        qrt_ring_publish(k->config.lateness);
    }
    qrt_ring_publish(k->config.rows);
}

static void skip_shot(qrt_kernel *k, qrt_row *row)
{
    begin_row(k, row);
    memset(row_outcomes(row), QRT_OUTCOME_NONE, outcomes_size(row->capture_count));
    memset(row_iq(row), 0, (row->capture_count * 2 + k->config.sequence.emit_count) * sizeof(int64_t));
    row->flags = QRT_ROW_SKIPPED;
    row->shot_weight = 0.0;
    publish_row(k);
    k->report.shots_skipped++;
    k->shot_index++;
}

static void take_slots(qrt_kernel *k)
{
    int64_t point = qrt_sweep_point(&k->config.sweep, k->shot_index);
    if (point != k->sweep_point) {
        qrt_sweep_slots_at(k->slots, &k->config.sweep, point);
        k->sweep_point = point;
    }
}

/* The shot in hand is done: the next one starts at the first multiple of the period at which nothing of it goes on. */
static void pass_shot(qrt_kernel *k)
{
    int64_t period_ticks = k->config.sequence.period_ticks;
    k->periods_taken = k->shot.end_tick > period_ticks ? (k->shot.end_tick - 1) / period_ticks + 1 : 1;
    k->stretched += k->periods_taken - 1;
    k->report.stretched_periods += k->periods_taken - 1;
    k->report.shots_executed++;
    k->shot_index++;
}

static qrt_status play_shot(qrt_kernel *k)
{
    qrt_status status = qrt_shot_play(&k->shot);
    k->report.instructions += k->config.sequence.budget - k->shot.budget_left;
    if (k->shot.start.events != NULL) {
        *k->log_count_out = k->shot.event_count;
    }
    if (status != QRT_OK) {
        k->report.error_tick = k->shot.place.tick;
        k->report.error_sequencer = (int32_t)k->shot.place.sequencer;
        k->report.error_instruction = (int32_t)k->shot.place.instruction;
    }
    return status;
}

static qrt_status execute_shot(qrt_kernel *k, qrt_row *row)
{
    begin_row(k, row);
    if (k->config.sweep.slot_count > 0) {
        take_slots(k);
    }
    bool logged = k->shot_index == k->log_shot;
    int64_t *iq = row_iq(row);
    if (row->capture_count > 0) { /* of the outcomes only the padding, which is in the last word */
        memset((uint8_t *)iq - 8, QRT_OUTCOME_NONE, 8);
    }
    k->shot.start.index = k->shot_index; /* field by field: a struct made for this and copied waits for its own stores */
    k->shot.start.tick = row->tick;
    k->shot.start.slots = k->slots;
    k->shot.start.outcomes = row_outcomes(row);
    k->shot.start.iq = iq;
    k->shot.start.emitted = iq + 2 * row->capture_count;
    k->shot.start.events = logged ? k->log_events : NULL;
    k->shot.start.event_count_max = k->log_count_max;
    qrt_status status = k->port.begin_shot(k->port.self, k->shot_index, row->tick);
    status = status == QRT_OK ? play_shot(k) : status;
    if (status != QRT_OK) {
        k->report.error_shot = k->shot_index;
        return status;
    }
    row->trace_hash = qrt_shot_trace_hash(&k->shot);
    row->bits = k->shot.bits;
    row->shot_weight = k->shot.weight;
    publish_row(k);
    pass_shot(k);
    return QRT_OK;
}

/* ---- Virtual pacing ------------------------------------------------------------------------------------------- */

static bool is_skipped(qrt_kernel *k)
{
    const qrt_skip *skips = k->config.skips;
    while (k->skip_index < k->config.skip_count &&
           skips[k->skip_index].shot + skips[k->skip_index].count <= k->shot_index) {
        k->skip_index++;
    }
    return k->skip_index < k->config.skip_count && skips[k->skip_index].shot <= k->shot_index;
}

static qrt_status next_virtual(qrt_kernel *k)
{
    qrt_row *row = claim_row(k);
    k->report.sink_wait_count += row == NULL;
    while (row == NULL) {
        if (is_requested(k, REQUEST_STOP)) {
            return QRT_OK; /* the loop sees it */
        }
        qrt_clock_sleep(NAP_NS);
        row = claim_row(k);
    }
    if (is_skipped(k)) {
        skip_shot(k, row);
        return QRT_OK;
    }
    return execute_shot(k, row);
}

/* ---- Real pacing ---------------------------------------------------------------------------------------------- */

static int64_t release_ns(const qrt_kernel *k, int64_t shot_index)
{
    int64_t periods = shot_index - k->config.shot_first + k->stretched - k->config.stretched_first;
    __int128 ticks = (__int128)periods * k->config.sequence.period_ticks;
    return k->origin_ns + (int64_t)(ticks * k->config.tick_ps / 1000);
}

/* Returns false where a stop came first. */
static bool wait_for_release(qrt_kernel *k)
{
    int64_t due_ns = release_ns(k, k->shot_index);
    int64_t now_ns = qrt_clock_now_ns();
    k->came_late = now_ns > due_ns;
    qrt_pace_adapt(&k->pace);
    int64_t spin_from_ns = due_ns - k->pace.spin_ns;
    while (spin_from_ns - now_ns > SLEEP_NS_MIN) {
        if (is_requested(k, REQUEST_STOP)) {
            return false;
        }
        qrt_watch_mark(&k->watch, now_ns, spin_from_ns - now_ns);
        int64_t until_ns = spin_from_ns - now_ns > SLICE_NS ? now_ns + SLICE_NS : spin_from_ns;
        qrt_clock_sleep_until(until_ns);
        now_ns = qrt_clock_now_ns();
        qrt_watch_slept(&k->watch);
        qrt_pace_woke(&k->pace, now_ns - until_ns);
    }
    k->lateness_ns = qrt_clock_spin_until(due_ns) - due_ns;
    return !is_requested(k, REQUEST_STOP);
}

static qrt_cause cause_of_miss(qrt_kernel *k, bool no_place)
{
    if (no_place) {
        return QRT_CAUSE_SINK;
    }
    qrt_evidence evidence = {
        .lateness_ns = k->lateness_ns, .busy_ns = k->busy_ns, .period_ns = k->pace.period_ns * k->periods_taken, .came_late = k->came_late};
    return qrt_watch_cause(&k->watch, &evidence);
}

static void record_miss(qrt_kernel *k, const qrt_miss *miss)
{
    k->report.miss_count++;
    if (k->config.misses == NULL) {
        return;
    }
    qrt_miss *slot = qrt_ring_claim(k->config.misses);
    if (slot == NULL) {
        k->report.misses_dropped++;
        return;
    }
    *slot = *miss;
    qrt_ring_publish(k->config.misses);
}

/* The shot in hand is skipped, and every one after it whose release is past when its row has found a place. */
static qrt_status handle_miss(qrt_kernel *k, qrt_row *row)
{
    qrt_miss miss = {.shot = k->shot_index,
                     .tick = shot_tick(k, k->shot_index),
                     .lateness_ns = k->lateness_ns,
                     .miss_class = row == NULL ? QRT_MISS_SINK : QRT_MISS_RELEASE,
                     .policy = k->config.late_policy,
                     .cause = cause_of_miss(k, row == NULL)};
    if (miss.policy == QRT_POLICY_ABORT) {
        record_miss(k, &miss);
        k->report.error_shot = k->shot_index;
        k->report.error_tick = 0;
        return QRT_ERR_LATE;
    }
    int64_t shot_end = k->config.shot_first + k->config.shot_count;
    bool is_past = true;
    while (is_past && k->shot_index < shot_end && !is_requested(k, REQUEST_STOP)) {
        if (row == NULL) {
            qrt_clock_sleep(NAP_NS);
        } else {
            k->lateness_ns = qrt_clock_now_ns() - release_ns(k, k->shot_index);
            skip_shot(k, row);
            miss.skipped_count++;
        }
        row = claim_row(k);
        is_past = row == NULL || release_ns(k, k->shot_index) <= qrt_clock_now_ns();
    }
    record_miss(k, &miss);
    return QRT_OK;
}

static qrt_status next_real(qrt_kernel *k)
{
    if (!wait_for_release(k)) {
        return QRT_OK; /* the loop sees why */
    }
    qrt_row *row = claim_row(k);
    if (row == NULL || k->lateness_ns > k->config.late_tolerance_ns) {
        return handle_miss(k, row);
    }
    int64_t begun_ns = qrt_clock_now_ns();
    qrt_status status = execute_shot(k, row);
    k->busy_ns = qrt_clock_now_ns() - begun_ns;
    qrt_pace_played(&k->pace, k->busy_ns);
    return status;
}

/* ---- The loop ------------------------------------------------------------------------------------------------- */

static qrt_status run_shots(qrt_kernel *k)
{
    qrt_status (*next)(qrt_kernel *) = k->config.pacing == QRT_PACING_REAL ? next_real : next_virtual;
    int64_t shot_end = k->config.shot_first + k->config.shot_count;
    qrt_status status = QRT_OK;
    while (status == QRT_OK && k->shot_index < shot_end) {
        if (is_requested(k, REQUEST_STOP)) {
            return is_requested(k, REQUEST_ABORT) ? QRT_ABORTED : QRT_STOPPED;
        }
        status = next(k);
    }
    return status;
}

static void close_rings(const qrt_kernel *k)
{
    qrt_ring *rings[] = {k->config.rows, k->config.lateness, k->config.misses, k->config.raw};
    for (size_t ring = 0; ring < sizeof rings / sizeof rings[0]; ring++) {
        if (rings[ring] != NULL) {
            qrt_ring_close(rings[ring]);
        }
    }
}

static void *run_thread(void *argument)
{
    qrt_kernel *k = argument;
    (void)fesetenv(FE_DFL_ENV); /* the plant computes in this thread: no inherited rounding or flush-to-zero */
    qrt_thread_apply(&k->config.thread, &k->report.thread);
    bool is_real = k->config.pacing == QRT_PACING_REAL;
    if (is_real) {
        qrt_watch_open(&k->watch);
        qrt_pace_settle(&k->pace);
    }
    int64_t ran_ns = qrt_clock_ran_ns();
    int64_t begun_ns = qrt_clock_now_ns();
    begun_ns += is_real ? k->config.start_delay_ns : 0;
    k->origin_ns = begun_ns;
    k->report.status = run_shots(k);
    k->report.wall_ns = qrt_clock_now_ns() - begun_ns;
    k->report.wall_ns = k->report.wall_ns > 0 ? k->report.wall_ns : 0; /* stopped before the first release */
    k->report.ran_ns = qrt_clock_ran_ns() - ran_ns;
    k->report.spin_ns = k->pace.spin_ns;
    k->report.wake_ns = qrt_pace_wake_ns(&k->pace);
    k->report.safe_status = k->port.safe(k->port.self);
    if (is_real) {
        qrt_watch_close(&k->watch);
    }
    close_rings(k);
    atomic_store_explicit(&k->state, STATE_ENDED, memory_order_release);
    return NULL;
}

/* ---- Arm, start, stop, join ----------------------------------------------------------------------------------- */

typedef int (*page_function)(const void *address, size_t size);

static int lock_or_touch(const void *address, size_t size)
{
    if (mlock(address, size) == 0) {
        return 0;
    }
    (void)madvise((void *)(uintptr_t)address, size, MADV_POPULATE_WRITE); /* no first-touch page faults, at least */
    return -1;
}

/* Applies a function to the pages of everything lent; returns whether it never failed. */
static bool on_lent_pages(const qrt_kernel *k, page_function function)
{
    const qrt_kernel_config *c = &k->config;
    const qrt_sequence *s = &c->sequence;
    const struct {
        const void *address;
        size_t size;
    } lent[] = {{k, sizeof *k},
                {s->instructions, s->instruction_count * sizeof s->instructions[0]},
                {s->entries, s->sequencer_count * sizeof s->entries[0]},
                {s->frames, s->frame_count * sizeof s->frames[0]},
                {s->captures, s->capture_count * sizeof s->captures[0]},
                {s->weights, s->weights_count * sizeof s->weights[0]},
                {s->table, s->table_count * sizeof s->table[0]},
                {s->factors, s->factor_count * sizeof s->factors[0]},
                {c->sweep.slots, c->sweep.slot_count * sizeof c->sweep.slots[0]},
                {c->sweep.table, c->sweep.table_count * sizeof c->sweep.table[0]},
                {c->skips, c->skip_count * sizeof c->skips[0]},
                {c->lateness_histogram, c->lateness_histogram != NULL ? sizeof *c->lateness_histogram : 0},
                {c->rows, qrt_ring_memory(c->rows)},
                {c->lateness, c->lateness != NULL ? qrt_ring_memory(c->lateness) : 0},
                {c->misses, c->misses != NULL ? qrt_ring_memory(c->misses) : 0},
                {c->raw, c->raw != NULL ? qrt_ring_memory(c->raw) : 0}};
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    bool all = true;
    for (size_t i = 0; i < sizeof lent / sizeof lent[0]; i++) {
        uintptr_t first = (uintptr_t)lent[i].address & ~(page - 1);
        uintptr_t end = ((uintptr_t)lent[i].address + lent[i].size + page - 1) & ~(page - 1);
        if (lent[i].size > 0) {
            all = function((const void *)first, end - first) == 0 && all;
        }
    }
    return all;
}

static qrt_status check_ring(const qrt_ring *ring, uint32_t slot_size)
{
    qrt_status status = qrt_ring_check(ring, SIZE_MAX);
    return status == QRT_OK && qrt_ring_slot_size(ring) != slot_size ? QRT_ERR_ARGUMENT : status;
}

static qrt_status check_rings(const qrt_kernel_config *c)
{
    uint32_t raw_samples = 0;
    for (uint32_t capture = 0; capture < c->sequence.capture_count; capture++) {
        const qrt_capture_spec *spec = &c->sequence.captures[capture];
        raw_samples = spec->raw && spec->sample_count > raw_samples ? spec->sample_count : raw_samples;
    }
    if (c->rows == NULL || (raw_samples > 0 && c->raw == NULL)) {
        return QRT_ERR_ARGUMENT;
    }
    qrt_status status = check_ring(c->rows, qrt_row_size(c->sequence.capture_count, c->sequence.emit_count));
    if (status == QRT_OK && c->lateness != NULL) {
        status = check_ring(c->lateness, 8);
    }
    if (status == QRT_OK && c->misses != NULL) {
        status = check_ring(c->misses, sizeof(qrt_miss));
    }
    if (status == QRT_OK && raw_samples > 0) {
        status = check_ring(c->raw, RAW_HEAD_SIZE + (raw_samples * 2 + 7) / 8 * 8);
    }
    return status;
}

static qrt_status check_skips(const qrt_kernel_config *c)
{
    if (c->skip_count > 0 && (c->skips == NULL || c->pacing != QRT_PACING_VIRTUAL)) {
        return QRT_ERR_ARGUMENT;
    }
    int64_t end = 0;
    for (uint32_t skip = 0; skip < c->skip_count; skip++) {
        if (c->skips[skip].shot < end || c->skips[skip].count <= 0 || c->skips[skip].count > INT64_MAX - c->skips[skip].shot) {
            return QRT_ERR_ARGUMENT;
        }
        end = c->skips[skip].shot + c->skips[skip].count;
    }
    return QRT_OK;
}

static int64_t period_ns(const qrt_kernel_config *c)
{
    return (int64_t)((__int128)c->sequence.period_ticks * c->tick_ps / 1000);
}

/* A real-time thread leaves a tenth of the period. */
static qrt_status check_pace(const qrt_kernel_config *c)
{
    bool valid = qrt_thread_valid(&c->thread) && c->spin_share_permille <= 1000;
    if (valid && c->thread.priority > 0) {
        bool sleeps = c->spin_share_permille > 0 ? c->spin_share_permille <= DUTY_PERMILLE
                                                 : c->spin_ns <= period_ns(c) / 1000 * DUTY_PERMILLE;
        valid = c->pacing == QRT_PACING_REAL && sleeps;
    }
    return valid ? QRT_OK : QRT_ERR_ARGUMENT;
}

static qrt_status check_numbers(const qrt_kernel_config *c)
{
    bool choices = (c->pacing == QRT_PACING_VIRTUAL || c->pacing == QRT_PACING_REAL) &&
                   (c->late_policy == QRT_POLICY_SKIP || c->late_policy == QRT_POLICY_ABORT);
    bool times = c->tick_ps > 0 && c->tick_ps <= 1000000000 && c->late_tolerance_ns >= 0 && c->spin_ns >= 0 &&
                 c->spin_ns <= SPIN_NS_MAX && c->start_delay_ns >= 0 && c->start_delay_ns <= INT64_MAX / 8;
    bool shots = c->shot_first >= 0 && c->shot_count >= 0 && c->shot_count <= INT64_MAX - c->shot_first && c->stretched_first >= 0;
    if (!choices || !times || !shots) {
        return QRT_ERR_ARGUMENT;
    }
    __int128 periods_max = (__int128)c->shot_count * ((int64_t)c->sequence.stretch_max + 1) + c->shot_first + c->stretched_first;
    if (periods_max > INT64_MAX / 8) {
        return QRT_ERR_ARGUMENT;
    }
    __int128 end_ticks = periods_max * c->sequence.period_ticks;
    bool fits = end_ticks <= INT64_MAX / 8 && end_ticks * c->tick_ps / 1000 <= INT64_MAX / 8; /* as ticks and as ns */
    return fits ? QRT_OK : QRT_ERR_ARGUMENT;
}

static qrt_status check_sweep(const qrt_kernel_config *c)
{
    qrt_status status = qrt_sweep_check(&c->sweep);
    return status == QRT_OK && c->sweep.slot_count != c->sequence.slot_count ? QRT_ERR_ARGUMENT : status;
}

qrt_status qrt_kernel_arm(qrt_kernel *kernel, size_t kernel_size, const qrt_kernel_config *config, qrt_kernel_report *report_out)
{
    const qrt_kernel_report empty = {.error_shot = no_shot, .error_tick = -1, .error_sequencer = -1, .error_instruction = -1,
                                     .status = QRT_ERR_ARGUMENT, .safe_status = QRT_ERR_ARGUMENT};
    *report_out = empty;
    if (config->abi != QRT_CORE_ABI || config->size != sizeof *config) {
        return report_out->status = QRT_ERR_ABI;
    }
    if (kernel_size < sizeof *kernel) {
        return report_out->status = QRT_ERR_MEMORY;
    }
    if ((uintptr_t)kernel % 64 != 0 || config->port == NULL) {
        return QRT_ERR_ARGUMENT;
    }
    qrt_status status = qrt_sequence_check(&config->sequence, config->port, &report_out->error_instruction);
    status = status == QRT_OK ? check_numbers(config) : status;
    status = status == QRT_OK ? check_sweep(config) : status;
    status = status == QRT_OK ? check_pace(config) : status;
    status = status == QRT_OK ? check_rings(config) : status;
    status = status == QRT_OK ? check_skips(config) : status;
    report_out->status = status;
    if (status != QRT_OK) {
        return status;
    }
    memset(kernel, 0, sizeof *kernel);
    kernel->config = *config;
    kernel->port = *config->port;
    kernel->report = empty;
    kernel->shot_index = config->shot_first;
    kernel->stretched = config->stretched_first;
    kernel->periods_taken = 1;
    kernel->sweep_point = -1;
    qrt_pace_begin(&kernel->pace, config, period_ns(config));
    kernel->log_shot = no_shot;
    qrt_arrival_arm(&kernel->arrival, &config->sequence);
    const qrt_outside outside = {*config->port, demodulated, kernel, &kernel->request, REQUEST_ABORT};
    qrt_shot_arm(&kernel->shot, &config->sequence, &outside, config->seed);
    kernel->report.memory_locked = report_out->memory_locked = on_lent_pages(kernel, lock_or_touch);
    atomic_store_explicit(&kernel->state, STATE_ARMED, memory_order_release);
    return QRT_OK;
}

size_t qrt_kernel_size(void)
{
    return (sizeof(qrt_kernel) + 63) / 64 * 64;
}

size_t qrt_kernel_stack_size(void)
{
    return STACK_SIZE;
}

static bool is_state(const qrt_kernel *kernel, uint32_t state)
{
    return atomic_load_explicit(&kernel->state, memory_order_acquire) == state;
}

qrt_status qrt_kernel_log_shot(qrt_kernel *kernel, int64_t shot, qrt_event *events, uint32_t event_count_max,
                               uint32_t *count_out)
{
    if (!is_state(kernel, STATE_ARMED) || shot < 0 || events == NULL || count_out == NULL) {
        return QRT_ERR_ARGUMENT;
    }
    *count_out = 0;
    kernel->log_shot = shot;
    kernel->log_events = events;
    kernel->log_count_max = event_count_max;
    kernel->log_count_out = count_out;
    return QRT_OK;
}

/* The C library's own bookkeeping for a thread (its thread-local block) is allocated in here: after arm, before the loop. */
static int create_thread(qrt_kernel *kernel)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return -1;
    }
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    int failed = pthread_attr_setstack(&attributes, kernel->stack, kernel->stack_size);
    failed = failed || pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited: signals are for Python's main thread */
    if (!failed) {
        failed = pthread_create(&kernel->thread, &attributes, run_thread, kernel);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attributes);
    return failed;
}

qrt_status qrt_kernel_start(qrt_kernel *kernel, void *stack, size_t stack_size)
{
    if (!is_state(kernel, STATE_ARMED)) {
        return QRT_ERR_ARGUMENT;
    }
    if (stack_size < STACK_SIZE || (uintptr_t)stack % (uintptr_t)sysconf(_SC_PAGESIZE) != 0) {
        return QRT_ERR_MEMORY;
    }
    kernel->stack = stack;
    kernel->stack_size = stack_size;
    kernel->report.memory_locked = lock_or_touch(stack, stack_size) == 0 && kernel->report.memory_locked;
    atomic_store_explicit(&kernel->state, STATE_RUNNING, memory_order_release);
    if (create_thread(kernel) != 0) {
        atomic_store_explicit(&kernel->state, STATE_ARMED, memory_order_release);
        return QRT_ERR_CLOCK;
    }
    return QRT_OK;
}

void qrt_kernel_stop(qrt_kernel *kernel)
{
    atomic_fetch_or_explicit(&kernel->request, REQUEST_STOP, memory_order_relaxed);
}

void qrt_kernel_abort(qrt_kernel *kernel)
{
    atomic_fetch_or_explicit(&kernel->request, REQUEST_STOP | REQUEST_ABORT, memory_order_relaxed);
}

int32_t qrt_kernel_running(const qrt_kernel *kernel)
{
    return is_state(kernel, STATE_RUNNING);
}

qrt_status qrt_kernel_join(qrt_kernel *kernel, qrt_kernel_report *report_out)
{
    if (!is_state(kernel, STATE_RUNNING) && !is_state(kernel, STATE_ENDED)) {
        return QRT_ERR_ARGUMENT;
    }
    if (pthread_join(kernel->thread, NULL) != 0) {
        return QRT_ERR_CLOCK;
    }
    (void)on_lent_pages(kernel, munlock);
    (void)munlock(kernel->stack, kernel->stack_size);
    *report_out = kernel->report;
    atomic_store_explicit(&kernel->state, STATE_JOINED, memory_order_release);
    return QRT_OK;
}
