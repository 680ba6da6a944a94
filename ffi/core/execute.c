/* One shot: what the sequencers ask for (sequencer.c) is done on the port, captures are demodulated, the row is filled. */
#include <string.h>
#include "clock.h"
#include "kernel_state.h"

#define CAPTURE_WAIT_NS 1000000000 /* a capture whose samples have not come after this is a failure of a port that is fast */
#define CAPTURE_SPIN_NS 50000      /* of a port that takes its time: spun before sleeping */

static qrt_status fetch_capture(qrt_kernel *k, uint16_t slot, const int16_t **samples_out)
{
    qrt_status status = k->port.capture_end(k->port.self, slot, samples_out);
    if (status != QRT_NOT_READY) {
        return status;
    }
    int64_t begun_ns = qrt_clock_now_ns();
    int64_t limit_ns = k->port.answer_ns_max > 0 ? k->port.answer_ns_max : CAPTURE_WAIT_NS;
    while (status == QRT_NOT_READY) {
        if (is_requested(k, REQUEST_ABORT)) {
            return QRT_ABORTED;
        }
        int64_t waited_ns = qrt_clock_now_ns() - begun_ns;
        if (waited_ns > limit_ns) {
            return QRT_ERR_PORT;
        }
        if (k->port.answer_ns_max > 0 && waited_ns > CAPTURE_SPIN_NS) {
            qrt_clock_sleep(QRT_NAP_NS);
        } else {
            qrt_clock_pause();
        }
        status = k->port.capture_end(k->port.self, slot, samples_out);
    }
    return status;
}

/* Virtual pacing waits for a place, real pacing counts what it cannot keep. */
static void copy_raw(qrt_kernel *k, uint32_t capture_index, const int16_t *samples, uint32_t sample_count)
{
    uint8_t *slot = qrt_ring_claim(k->config.raw);
    bool waits = k->config.pacing == QRT_PACING_VIRTUAL;
    k->report.sink_wait_count += slot == NULL && waits;
    while (slot == NULL && waits && !is_requested(k, REQUEST_ABORT)) {
        qrt_clock_sleep(QRT_NAP_NS);
        slot = qrt_ring_claim(k->config.raw);
    }
    if (slot == NULL) {
        k->report.raw_dropped++;
        return;
    }
    memcpy(slot, &k->shot_index, 8);
    memcpy(slot + 8, &capture_index, 4);
    memcpy(slot + 12, &sample_count, 4);
    memcpy(slot + QRT_RAW_HEAD_SIZE, samples, sample_count * sizeof(int16_t));
    qrt_ring_publish(k->config.raw);
}

static qrt_status end_capture(qrt_kernel *k, const qrt_effect *effect)
{
    const qrt_capture_spec *spec = &k->config.sequence.captures[effect->capture_index];
    const int16_t *samples = NULL;
    qrt_status status = fetch_capture(k, effect->slot, &samples);
    if (status != QRT_OK) {
        return status;
    }
    const int16_t *weights = k->config.sequence.weights + spec->weights_offset;
    int64_t iq[2];
    qrt_demodulate(iq, samples, weights, weights + spec->sample_count, spec->sample_count, k->headroom[effect->capture_index]);
    if (spec->raw) {
        copy_raw(k, effect->capture_index, samples, spec->sample_count);
    }
    qrt_shot_outcome(&k->shot, effect, iq);
    return QRT_OK;
}

/* QRT_OK, QRT_ABORTED or an error, whose place is in the report. */
static qrt_status play_shot(qrt_kernel *k)
{
    qrt_effect effect = {.status = QRT_OK};
    for (;;) {
        qrt_status status = QRT_OK;
        switch (qrt_shot_next(&k->shot, &effect)) {
        case QRT_EFFECT_DONE:
            return QRT_OK;
        case QRT_EFFECT_PLAY:
            status = k->port.play(k->port.self, &effect.play);
            break;
        case QRT_EFFECT_CAPTURE:
            status = k->port.capture_begin(k->port.self, &effect.capture);
            break;
        case QRT_EFFECT_CAPTURE_ENDS:
            status = end_capture(k, &effect);
            break;
        case QRT_EFFECT_PAUSE:
            break;
        case QRT_EFFECT_ERROR:
            status = effect.status;
            break;
        }
        if (status == QRT_OK && is_requested(k, REQUEST_ABORT)) {
            status = QRT_ABORTED;
        }
        if (status != QRT_OK) {
            k->report.error_tick = effect.tick;
            k->report.error_sequencer = (int32_t)effect.sequencer;
            k->report.error_instruction = (int32_t)effect.instruction;
            return status;
        }
    }
}

static void take_slots(qrt_kernel *k)
{
    int64_t point = qrt_sweep_point(&k->config.sweep, k->shot_index);
    if (point != k->sweep_point) {
        qrt_sweep_slots_at(k->slots, &k->config.sweep, k->epoch_values, point);
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

qrt_status qrt_execute_shot(qrt_kernel *k, qrt_row *row)
{
    qrt_rows_begin(k, row);
    if (k->config.sweep.slot_count > 0) {
        take_slots(k);
    }
    bool logged = k->shot_index == k->log_shot;
    int64_t *iq = qrt_rows_iq(row);
    const qrt_shot_start start = {.index = k->shot_index, .tick = row->tick, .slots = k->slots, .outcomes = qrt_rows_outcomes(row),
                                  .iq = iq, .emitted = iq + 2 * row->capture_count,
                                  .events = logged ? k->log_events : NULL, .event_count_max = k->log_count_max};
    qrt_shot_begin(&k->shot, &start);
    qrt_status status = k->port.begin_shot(k->port.self, k->shot_index, row->tick);
    status = status == QRT_OK ? play_shot(k) : status;
    k->report.instructions += k->config.sequence.budget - k->shot.budget_left;
    if (logged) {
        *k->log_count_out = k->shot.event_count;
    }
    if (status != QRT_OK) {
        k->report.error_shot = k->shot_index;
        return status;
    }
    row->trace_hash = qrt_shot_trace_hash(&k->shot);
    row->bits = k->shot.bits;
    row->shot_weight = k->shot.weight;
    qrt_rows_publish(k);
    pass_shot(k);
    return QRT_OK;
}
