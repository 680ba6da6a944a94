/* Paced shots: each is released by a clock, the host's (real.c) or the hardware's (external.c), or it is a miss.
 *
 * A shot that is released too late, or that finds no place for its row, is a miss: one record for the whole stall, and, by policy,
 * the shots up to the next release still to come are skipped (a row each, so that row i is shot first + i) or the run ends. The cause
 * is judged from what the system counted of the thread since its last sleep (evidence.c). How long before a release the loop spins
 * is learnt from how late it is woken (pace.c).
 */
#include "clock.h"
#include "kernel_state.h"

#define SLICE_NS 20000000 /* the longest sleep without looking for a stop */
#define SLEEP_NS_MIN 1000 /* less than this until the spin begins: not worth a system call */

int64_t qrt_paced_sleep(qrt_kernel *k, int64_t now_ns, int64_t until_ns)
{
    if (until_ns - now_ns <= SLEEP_NS_MIN) {
        return now_ns;
    }
    qrt_watch_mark(&k->watch, now_ns, until_ns - now_ns);
    until_ns = until_ns - now_ns > SLICE_NS ? now_ns + SLICE_NS : until_ns;
    qrt_clock_sleep_until(until_ns);
    now_ns = qrt_clock_now_ns();
    qrt_watch_slept(&k->watch);
    qrt_pace_woke(&k->pace, now_ns - until_ns);
    return now_ns;
}

qrt_cause qrt_paced_cause(qrt_kernel *k, int64_t lateness_ns)
{
    qrt_evidence evidence = {.lateness_ns = lateness_ns, .period_ns = k->pace.period_ns};
    return qrt_watch_cause(&k->watch, &evidence);
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

/* Stop and wait: the shot in hand is one before which the run pauses, so that nothing after it can be late yet. */
static bool pauses(const qrt_kernel *k)
{
    return k->config.epoch_delay == 0 && qrt_epochs_is_due(k);
}

/* Whether the release of the shot in hand has passed, while its row finds no place or nothing pauses the run before it. */
static qrt_status look(qrt_kernel *k, const qrt_row *row, bool *is_past_out)
{
    int64_t past = 0;
    qrt_status status = row == NULL ? QRT_OK : k->release->past(k, &past);
    *is_past_out = row == NULL || (past > 0 && !pauses(k));
    return status;
}

/* The shot in hand is skipped, and every one after it whose release is past when its row has found a place. */
static qrt_status skip(qrt_kernel *k, qrt_row *row, int64_t *skipped_count)
{
    int64_t shot_end = k->config.shot_first + k->config.shot_count;
    qrt_status status = QRT_OK;
    bool is_past = true;
    while (status == QRT_OK && is_past && k->shot_index < shot_end && !is_requested(k, REQUEST_STOP)) {
        if (row == NULL) {
            qrt_clock_sleep(QRT_NAP_NS);
        } else {
            k->lateness_ns = qrt_clock_now_ns() - k->release->due_ns(k);
            status = qrt_epochs_take(k);
            if (status != QRT_OK) {
                return status;
            }
            qrt_rows_skip(k, row);
            ++*skipped_count;
        }
        row = qrt_rows_claim(k);
        status = look(k, row, &is_past);
    }
    return status;
}

qrt_status qrt_paced_catch_up(qrt_kernel *k, int64_t *skipped_count)
{
    if (k->shot_index >= k->config.shot_first + k->config.shot_count) {
        return QRT_OK;
    }
    qrt_row *row = qrt_rows_claim(k);
    bool is_past = false;
    qrt_status status = look(k, row, &is_past);
    return status == QRT_OK && is_past ? skip(k, row, skipped_count) : status;
}

static qrt_status handle_miss(qrt_kernel *k, qrt_row *row)
{
    qrt_miss miss = {.shot = k->shot_index,
                     .tick = shot_tick(k, k->shot_index),
                     .lateness_ns = k->lateness_ns,
                     .miss_class = row == NULL ? QRT_MISS_SINK : QRT_MISS_RELEASE,
                     .policy = k->config.late_policy,
                     .cause = cause_of_miss(k, row == NULL)};
    qrt_status status = QRT_ERR_LATE;
    if (miss.policy == QRT_POLICY_SKIP) {
        status = skip(k, row, &miss.skipped_count);
    }
    qrt_rows_miss(k, &miss);
    if (status != QRT_OK) {
        k->report.error_shot = k->shot_index;
        k->report.error_tick = 0;
    }
    return status;
}

/* Until the shot in hand is released; QRT_STOPPED where a stop came first. */
static qrt_status wait(qrt_kernel *k)
{
    if (pauses(k)) {
        qrt_status paused = qrt_epochs_take(k);
        if (paused != QRT_OK || qrt_epochs_is_due(k)) {
            return paused == QRT_OK ? QRT_STOPPED : paused;
        }
    }
    qrt_status status = k->release->wait(k);
    if (status != QRT_OK && status != QRT_STOPPED) {
        k->report.error_shot = k->shot_index;
        k->report.error_tick = 0;
    }
    return status;
}

qrt_status qrt_next_paced(qrt_kernel *k)
{
    qrt_status status = wait(k);
    if (status != QRT_OK) {
        return status == QRT_STOPPED ? QRT_OK : status; /* the loop sees why */
    }
    qrt_row *row = qrt_rows_claim(k);
    if (row == NULL || k->lateness_ns > k->config.late_tolerance_ns || k->is_overtaken) {
        return handle_miss(k, row);
    }
    int64_t begun_ns = qrt_clock_now_ns();
    status = qrt_epochs_take(k);
    status = status == QRT_OK ? qrt_execute_shot(k, row) : status;
    k->busy_ns = qrt_clock_now_ns() - begun_ns;
    qrt_pace_played(&k->pace, k->busy_ns);
    return status;
}
