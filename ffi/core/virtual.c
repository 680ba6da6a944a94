/* Virtual pacing: time is what the next event says. It never misses a release: it waits for the readers, and counts that. The misses of
 * a recorded run are its input, as skipped and erased shots. */
#include "clock.h"
#include "kernel_state.h"

static bool is_skipped(qrt_kernel *k)
{
    const qrt_skip *skips = k->config.skips;
    while (k->skip_index < k->config.skip_count &&
           skips[k->skip_index].shot + skips[k->skip_index].count <= k->shot_index) {
        k->skip_index++;
    }
    return k->skip_index < k->config.skip_count && skips[k->skip_index].shot <= k->shot_index;
}

/* The erased shot of a recorded run that the shot in hand is, or NULL. */
static const qrt_erasure *recorded_erasure(qrt_kernel *k)
{
    const qrt_erasure *erasures = k->config.erasures;
    while (k->erasure_index < k->config.erasure_count && erasures[k->erasure_index].shot < k->shot_index) {
        k->erasure_index++;
    }
    bool is_this = k->erasure_index < k->config.erasure_count && erasures[k->erasure_index].shot == k->shot_index;
    return is_this ? &erasures[k->erasure_index] : NULL;
}

qrt_status qrt_next_virtual(qrt_kernel *k)
{
    qrt_status status = qrt_epochs_is_due(k) ? qrt_epochs_take(k) : QRT_OK;
    if (status != QRT_OK || qrt_epochs_is_due(k)) {
        return status;
    }
    qrt_row *row = qrt_rows_claim(k);
    k->report.sink_wait_count += row == NULL;
    while (row == NULL) {
        if (is_requested(k, REQUEST_STOP)) {
            return QRT_OK; /* the loop sees it */
        }
        qrt_clock_sleep(QRT_NAP_NS);
        row = qrt_rows_claim(k);
    }
    if (is_skipped(k)) {
        qrt_rows_skip(k, row);
        return QRT_OK;
    }
    const qrt_erasure *erasure = recorded_erasure(k);
    if (erasure == NULL) {
        return qrt_execute_shot(k, row);
    }
    k->shot.outside.port = qrt_again_port(&k->again, &k->port, erasure);
    status = qrt_execute_shot(k, row);
    k->shot.outside.port = k->port;
    return status;
}
