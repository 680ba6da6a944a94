/* Virtual pacing: time is what the next event says. It never misses: it waits for the readers, and counts that. The misses of a
 * recorded run are its input, as skipped shots. */
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

qrt_status qrt_next_virtual(qrt_kernel *k)
{
    qrt_status status = qrt_epochs_take(k);
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
    return qrt_execute_shot(k, row);
}
