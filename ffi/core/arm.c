/* Arm: everything of a config that can be checked before it runs is checked here, once; then the kernel's memory is filled. */
#include <string.h>
#include "kernel_state.h"
#include "ring.h"
#include "sequence.h"
#include "thread.h"

#define DUTY_PERMILLE 900 /* of a real-time thread: the system stops one that takes 95 % of a second */
#define SPIN_NS_MAX 100000000
#define TRIGGER_NS_MAX 3600000000000

qrt_status qrt_check_ring(const qrt_ring *ring, uint32_t slot_size)
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
    qrt_status status = qrt_check_ring(c->rows, qrt_row_size(c->sequence.capture_count, c->sequence.emit_count));
    if (status == QRT_OK && c->lateness != NULL) {
        status = qrt_check_ring(c->lateness, 8);
    }
    if (status == QRT_OK && c->misses != NULL) {
        status = qrt_check_ring(c->misses, sizeof(qrt_miss));
    }
    if (status == QRT_OK && raw_samples > 0) {
        status = qrt_check_ring(c->raw, QRT_RAW_HEAD_SIZE + (raw_samples * 2 + 7) / 8 * 8);
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

/* They stop a port's shots where the record says: see erase.h. */
static qrt_status check_erasures(const qrt_kernel_config *c)
{
    bool possible = c->erasures != NULL && c->pacing == QRT_PACING_VIRTUAL && c->port->erase_shot != NULL;
    if (c->erasure_count > 0 && !possible) {
        return QRT_ERR_ARGUMENT;
    }
    for (uint32_t erasure = 0; erasure < c->erasure_count; erasure++) {
        const qrt_erasure *one = &c->erasures[erasure];
        bool is_class = one->miss_class == QRT_MISS_PORT || (one->miss_class == QRT_MISS_DECISION && one->played_on == 0);
        bool ascends = one->shot >= 0 && (erasure == 0 || one->shot > c->erasures[erasure - 1].shot);
        if (!is_class || !ascends || one->played_on > 1) {
            return QRT_ERR_ARGUMENT;
        }
    }
    return QRT_OK;
}

static int64_t period_ns(const qrt_kernel_config *c)
{
    return (int64_t)((__int128)c->sequence.period_ticks * c->tick_ps / 1000);
}

/* External pacing needs a trigger, and a period whose picoseconds are counted in 64 bits. */
static qrt_status check_trigger(const qrt_kernel_config *c)
{
    bool valid = c->pacing != QRT_PACING_EXTERNAL || (c->port->triggers != NULL && period_ns(c) <= TRIGGER_NS_MAX);
    return valid ? QRT_OK : QRT_ERR_ARGUMENT;
}

/* A real-time thread leaves a tenth of the period. */
static qrt_status check_pace(const qrt_kernel_config *c)
{
    bool valid = qrt_thread_valid(&c->thread) && c->spin_share_permille <= 1000;
    if (valid && c->thread.priority > 0) {
        bool sleeps = c->spin_share_permille > 0 ? c->spin_share_permille <= DUTY_PERMILLE
                                                 : c->spin_ns <= period_ns(c) / 1000 * DUTY_PERMILLE;
        valid = c->pacing != QRT_PACING_VIRTUAL && sleeps;
    }
    return valid ? QRT_OK : QRT_ERR_ARGUMENT;
}

bool qrt_periods_fit(const qrt_kernel_config *c, int64_t shots_left, __int128 periods_before)
{
    __int128 periods_max = (__int128)shots_left * ((int64_t)c->sequence.stretch_max + 1) + periods_before;
    if (periods_max > INT64_MAX / 8) {
        return false;
    }
    __int128 end_ticks = periods_max * c->sequence.period_ticks;
    return end_ticks <= INT64_MAX / 8 && end_ticks * c->tick_ps / 1000 <= INT64_MAX / 8;
}

static qrt_status check_numbers(const qrt_kernel_config *c)
{
    bool choices =
        c->pacing <= QRT_PACING_EXTERNAL && (c->late_policy == QRT_POLICY_SKIP || c->late_policy == QRT_POLICY_ABORT) &&
        (c->late_port_policy == QRT_POLICY_ERASE || c->late_port_policy == QRT_POLICY_ABORT);
    bool times = c->tick_ps > 0 && c->tick_ps <= 1000000000 && c->late_tolerance_ns >= 0 && c->spin_ns >= 0 &&
                 c->spin_ns <= SPIN_NS_MAX && c->start_delay_ns >= 0 && c->start_delay_ns <= INT64_MAX / 8;
    bool shots = c->shot_first >= 0 && c->shot_count >= 0 && c->shot_count <= INT64_MAX - c->shot_first && c->stretched_first >= 0;
    if (!choices || !times || !shots) {
        return QRT_ERR_ARGUMENT;
    }
    if (!qrt_periods_fit(c, c->shot_count, (__int128)c->shot_first + c->stretched_first)) {
        return QRT_ERR_ARGUMENT;
    }
    int64_t first_tick = (c->shot_first + c->stretched_first) * c->sequence.period_ticks;
    return c->port_origin_tick >= 0 && c->port_origin_tick <= first_tick ? QRT_OK : QRT_ERR_ARGUMENT;
}

static qrt_status check_sweep(const qrt_kernel_config *c)
{
    qrt_status status = qrt_sweep_check(&c->sweep);
    return status == QRT_OK && c->sweep.slot_count != c->sequence.slot_count ? QRT_ERR_ARGUMENT : status;
}

qrt_status qrt_kernel_arm(qrt_kernel *kernel, size_t kernel_size, const qrt_kernel_config *config, qrt_kernel_report *report_out)
{
    const qrt_kernel_report empty = {.error_shot = -1, .error_tick = -1, .error_sequencer = -1, .error_instruction = -1,
                                     .status = QRT_ERR_ARGUMENT, .safe_status = QRT_ERR_ARGUMENT};
    *report_out = empty;
    if (config->abi != QRT_CORE_ABI || config->size != sizeof *config) {
        return report_out->status = QRT_ERR_ABI;
    }
    if (kernel_size < qrt_kernel_size(config->sequence.instruction_count)) {
        return report_out->status = QRT_ERR_MEMORY;
    }
    if ((uintptr_t)kernel % 64 != 0 || config->port == NULL) {
        return QRT_ERR_ARGUMENT;
    }
    qrt_status status = qrt_sequence_check(&config->sequence, config->port, &report_out->error_instruction);
    status = status == QRT_OK ? check_numbers(config) : status;
    status = status == QRT_OK ? check_sweep(config) : status;
    status = status == QRT_OK ? check_pace(config) : status;
    status = status == QRT_OK ? check_trigger(config) : status;
    status = status == QRT_OK ? check_rings(config) : status;
    status = status == QRT_OK ? check_skips(config) : status;
    status = status == QRT_OK ? check_erasures(config) : status;
    status = status == QRT_OK ? qrt_epochs_check(config) : status;
    report_out->status = status;
    if (status != QRT_OK) {
        return status;
    }
    memset(kernel, 0, sizeof *kernel);
    kernel->config = *config;
    kernel->port = *config->port;
    static const qrt_release *const releases[] = {NULL, &qrt_release_real, &qrt_release_external}; /* by qrt_pacing */
    kernel->release = releases[config->pacing];
    kernel->report = empty;
    kernel->shot_index = config->shot_first;
    kernel->stretched = config->stretched_first;
    kernel->periods_taken = 1;
    kernel->sweep_point = -1;
    qrt_epochs_begin(kernel);
    qrt_pace_begin(&kernel->pace, config, period_ns(config));
    kernel->log_shot = -1;
    const qrt_outside outside = {*config->port, qrt_execute_take_raw, kernel, kernel->slots, &kernel->request, REQUEST_ABORT};
    qrt_step *steps = (qrt_step *)((uint8_t *)kernel + qrt_kernel_size(0));
    qrt_shot_arm(&kernel->shot, &config->sequence, &outside, config->seed, steps);
    kernel->report.memory_locked = report_out->memory_locked = qrt_lent_lock(kernel);
    atomic_store_explicit(&kernel->state, STATE_ARMED, memory_order_release);
    return QRT_OK;
}

size_t qrt_kernel_size(uint32_t instruction_count)
{
    return (sizeof(qrt_kernel) + 63) / 64 * 64 + (size_t)instruction_count * QRT_STEP_SIZE;
}
