/* Real pacing: each shot is released at its time on the clock, or it is a miss.
 *
 * A release is at origin + (the shot's multiple of the period - the first shot's), computed, never added up. A shot that is late by
 * more than the tolerance, or that finds no place for its row, is a miss: one record for the whole stall, and, by policy, the
 * shots up to the next grid point still in the future are skipped (a row each, so that row i is shot first + i) or the run
 * ends. The cause is judged from what the system counted of the thread since its last sleep (evidence.c). How long before a
 * release the loop spins is learnt from how late it is woken (pace.c).
 */
#include "clock.h"
#include "kernel_state.h"

#define SLICE_NS 20000000 /* the longest sleep without looking for a stop */
#define SLEEP_NS_MIN 1000 /* less than this until the spin begins: not worth a system call */

int64_t qrt_release_ns(const qrt_kernel *k, int64_t shot_index)
{
    int64_t periods = shot_index - k->config.shot_first + k->stretched - k->config.stretched_first;
    __int128 ticks = (__int128)periods * k->config.sequence.period_ticks;
    return k->origin_ns + (int64_t)(ticks * k->config.tick_ps / 1000);
}

/* Returns false where a stop came first. */
static bool wait_for_release(qrt_kernel *k)
{
    int64_t due_ns = qrt_release_ns(k, k->shot_index);
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

/* Stop and wait: the shot in hand is one before which the run pauses, so that nothing after it can be late yet. */
static bool pauses(const qrt_kernel *k)
{
    return k->config.epoch_delay == 0 && qrt_epochs_is_due(k);
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
        qrt_rows_miss(k, &miss);
        k->report.error_shot = k->shot_index;
        k->report.error_tick = 0;
        return QRT_ERR_LATE;
    }
    int64_t shot_end = k->config.shot_first + k->config.shot_count;
    bool is_past = true;
    while (is_past && k->shot_index < shot_end && !is_requested(k, REQUEST_STOP)) {
        if (row == NULL) {
            qrt_clock_sleep(QRT_NAP_NS);
        } else {
            k->lateness_ns = qrt_clock_now_ns() - qrt_release_ns(k, k->shot_index);
            qrt_status status = qrt_epochs_take(k);
            if (status != QRT_OK) {
                qrt_rows_miss(k, &miss);
                return status;
            }
            qrt_rows_skip(k, row);
            miss.skipped_count++;
        }
        row = qrt_rows_claim(k);
        is_past = row == NULL || (qrt_release_ns(k, k->shot_index) <= qrt_clock_now_ns() && !pauses(k));
    }
    qrt_rows_miss(k, &miss);
    return QRT_OK;
}

qrt_status qrt_next_real(qrt_kernel *k)
{
    if (pauses(k)) {
        qrt_status paused = qrt_epochs_take(k);
        if (paused != QRT_OK || qrt_epochs_is_due(k)) {
            return paused;
        }
    }
    if (!wait_for_release(k)) {
        return QRT_OK; /* the loop sees why */
    }
    qrt_row *row = qrt_rows_claim(k);
    if (row == NULL || k->lateness_ns > k->config.late_tolerance_ns) {
        return handle_miss(k, row);
    }
    int64_t begun_ns = qrt_clock_now_ns();
    qrt_status status = qrt_epochs_take(k);
    status = status == QRT_OK ? qrt_execute_shot(k, row) : status;
    k->busy_ns = qrt_clock_now_ns() - begun_ns;
    qrt_pace_played(&k->pace, k->busy_ns);
    return status;
}
