/* What the kernel writes for its readers: rows with their lateness, and misses. A row for every shot, skipped ones included. */
#include <string.h>
#include "kernel_state.h"

uint32_t qrt_row_size(uint32_t capture_count, uint32_t emit_count)
{
    return (uint32_t)sizeof(qrt_row) + qrt_rows_outcomes_size(capture_count) +
           (capture_count * 2 + emit_count) * (uint32_t)sizeof(int64_t);
}

qrt_row *qrt_rows_claim(const qrt_kernel *k)
{
    if (k->config.lateness != NULL && qrt_ring_claim(k->config.lateness) == NULL) {
        return NULL;
    }
    return qrt_ring_claim(k->config.rows);
}

void qrt_rows_publish(qrt_kernel *k)
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

void qrt_rows_skip(qrt_kernel *k, qrt_row *row)
{
    qrt_rows_begin(k, row);
    memset(qrt_rows_outcomes(row), QRT_OUTCOME_NONE, qrt_rows_outcomes_size(row->capture_count));
    memset(qrt_rows_iq(k, row), 0, (row->capture_count * 2 + k->config.sequence.emit_count) * sizeof(int64_t));
    row->flags = QRT_ROW_SKIPPED;
    row->shot_weight = 0.0;
    qrt_rows_publish(k);
    k->report.shots_skipped++;
    k->shot_index++;
}

void qrt_rows_miss(qrt_kernel *k, const qrt_miss *miss)
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
