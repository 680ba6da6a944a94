/* One shot: the sequencers play it on the port (sequencer.c), the row is filled. */
#include <string.h>
#include "clock.h"
#include "kernel_state.h"
#include "trace.h"

/* Virtual pacing waits for a place, real pacing counts what it cannot keep. */
void qrt_execute_take_raw(void *kernel, uint32_t capture_index, const int16_t *samples, uint32_t sample_count)
{
    qrt_kernel *k = kernel;
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

static qrt_status play_shot(qrt_kernel *k)
{
    qrt_status status = qrt_shot_play(&k->shot);
    k->report.instructions += k->config.sequence.budget - k->shot.budget_left;
    if (k->shot.start.events != NULL) {
        *k->log_count_out = k->shot.event_count;
    }
    return status;
}

qrt_status qrt_execute_fails(qrt_kernel *k, qrt_status status)
{
    k->report.error_shot = k->shot_index;
    k->report.error_tick = k->shot.place.tick;
    k->report.error_sequencer = (int32_t)k->shot.place.sequencer;
    k->report.error_instruction = (int32_t)k->shot.place.instruction;
    return status;
}

static void take_slots(qrt_kernel *k)
{
    int64_t point = qrt_sweep_point(&k->config.sweep, k->shot_index);
    if (point != k->sweep_point) {
        qrt_sweep_slots_at(k->slots, &k->config.sweep, k->epoch_values, point);
        k->sweep_point = point;
    }
}

void qrt_execute_fill(const qrt_kernel *k, qrt_row *row)
{
    row->trace_hash = trace_hash_of(&k->shot);
    row->bits = k->shot.bits;
    row->shot_weight = k->shot.weight;
}

/* The next shot starts at the first multiple of the period at which nothing of this one goes on. */
void qrt_execute_pass(qrt_kernel *k, int64_t end_tick)
{
    int64_t period_ticks = k->config.sequence.period_ticks;
    k->periods_taken = end_tick > period_ticks ? (end_tick - 1) / period_ticks + 1 : 1;
    k->stretched += k->periods_taken - 1;
    k->report.stretched_periods += k->periods_taken - 1;
    k->shot_index++;
}

qrt_status qrt_execute_shot(qrt_kernel *k, qrt_row *row)
{
    qrt_rows_begin(k, row);
    if (k->config.sweep.slot_count > 0) {
        take_slots(k);
    }
    int64_t *iq = qrt_rows_iq(k, row);
    qrt_shot_start *start = &k->shot.start; /* field by field: a struct made for this and copied waits for its own stores */
    start->index = k->shot_index;
    start->tick = row->tick - k->config.port_origin_tick;
    start->outcomes = qrt_rows_outcomes(row);
    start->iq = iq;
    start->emitted = iq + 2 * k->config.sequence.capture_count;
    start->events = k->shot_index == k->log_shot ? k->log_events : NULL;
    start->event_count_max = k->log_count_max;
    qrt_status status = k->port.begin_shot(k->port.self, k->shot_index, start->tick);
    if (status != QRT_OK) {
        k->report.error_shot = k->shot_index;
        return status == QRT_ERR_TOO_LATE ? QRT_ERR_PORT : status; /* nothing of the shot was begun that could be given up */
    }
    status = play_shot(k);
    if (status != QRT_OK) {
        bool erases = status == QRT_ERR_TOO_LATE && k->port.erase_shot != NULL;
        return erases ? qrt_erase_shot(k, row) : qrt_execute_fails(k, status == QRT_ERR_TOO_LATE ? QRT_ERR_PORT : status);
    }
    qrt_execute_fill(k, row);
    qrt_rows_publish(k);
    qrt_execute_pass(k, k->shot.end_tick);
    k->report.shots_executed++;
    k->erased_in_row = 0;
    return QRT_OK;
}
