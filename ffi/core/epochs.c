/* Epochs: which values are in force, and what becomes of a shot at which new ones are due.
 *
 * The loop asks at each shot, executed or skipped. At most one epoch is due at a shot, and it is taken there or never: what comes
 * later is discarded, and counted, at the next shot at which one is due, or at the end.
 *
 * Virtual pacing waits for it, since time is what the events say; so does stop and wait (d = 0) where shots are paced: the run then
 * pauses up to the next release that is still to come. Otherwise a paced run looks once, at the release.
 */
#include <string.h>
#include "clock.h"
#include "kernel_state.h"

#define NUMBER_MAX ((int64_t)1 << 31) /* of batch_shots and epoch_delay: their product stays far from 64 bits */
#define WAIT_NS_MAX (INT64_MAX / 8)
#define READER 0

typedef enum { EPOCH_ABSENT, EPOCH_HERE, EPOCH_NEVER } found_epoch;

uint32_t qrt_epoch_size(uint32_t value_count)
{
    return (uint32_t)(sizeof(qrt_epoch) + value_count * sizeof(int64_t));
}

qrt_status qrt_epochs_check(const qrt_kernel_config *c)
{
    if (c->epoch_value_count > QRT_EPOCH_VALUES_MAX || (c->epoch_values == NULL && c->epoch_value_count > 0) ||
        qrt_sweep_value_count(&c->sweep) > c->epoch_value_count || c->epoch_first < 0) {
        return QRT_ERR_ARGUMENT;
    }
    if (c->epochs == NULL) {
        return QRT_OK;
    }
    bool numbers = c->batch_shots > 0 && c->batch_shots <= NUMBER_MAX && c->epoch_delay >= 0 && c->epoch_delay <= NUMBER_MAX &&
                   c->epoch_wait_ns > 0 && c->epoch_wait_ns <= WAIT_NS_MAX;
    bool policy = c->late_epoch_policy == QRT_POLICY_HOLD || c->late_epoch_policy == QRT_POLICY_ABORT;
    if (!numbers || !policy || c->epoch_first > c->shot_first / c->batch_shots) {
        return QRT_ERR_ARGUMENT;
    }
    return qrt_check_ring(c->epochs, qrt_epoch_size(c->epoch_value_count));
}

void qrt_epochs_begin(qrt_kernel *k)
{
    const qrt_kernel_config *c = &k->config;
    k->epoch = c->epoch_first;
    k->epoch_due_shot = INT64_MAX;
    if (c->epoch_value_count > 0) {
        memcpy(k->epoch_values, c->epoch_values, c->epoch_value_count * sizeof k->epoch_values[0]);
    }
    if (c->epochs != NULL) {
        int64_t batch = c->shot_first / c->batch_shots + (c->shot_first % c->batch_shots != 0);
        k->epoch_due = batch > c->epoch_delay ? batch : c->epoch_delay + 1;
        k->epoch_due_shot = k->epoch_due * c->batch_shots;
    }
}

/* Discards the entries before the one that is due, and looks for that one. Bounded by what the ring holds. */
static found_epoch find(qrt_kernel *k, const qrt_epoch **entry_out)
{
    qrt_ring *ring = k->config.epochs;
    void *first = NULL;
    int32_t closed = qrt_ring_closed(ring); /* before the look: a close is seen with all that was published */
    while (qrt_ring_peek(ring, READER, &first) > 0) {
        const qrt_epoch *entry = first;
        if (entry->number >= k->epoch_due) {
            *entry_out = entry;
            return entry->number == k->epoch_due ? EPOCH_HERE : EPOCH_NEVER;
        }
        qrt_ring_release(ring, READER, 1);
        k->report.epochs_discarded++;
    }
    return closed ? EPOCH_NEVER : EPOCH_ABSENT;
}

/* Until the entry is there, cannot come any more, a stop is asked for, or the time is over. */
static found_epoch wait_for(qrt_kernel *k, const qrt_epoch **entry_out)
{
    found_epoch found = find(k, entry_out);
    k->report.epoch_wait_count += found == EPOCH_ABSENT;
    int64_t deadline_ns = qrt_clock_now_ns() + k->config.epoch_wait_ns;
    while (found == EPOCH_ABSENT && !is_requested(k, REQUEST_STOP)) {
        if (qrt_clock_now_ns() > deadline_ns) {
            return EPOCH_NEVER;
        }
        qrt_clock_sleep(QRT_NAP_NS);
        qrt_watch_slept(&k->watch); /* its own sleep, which explains no lateness */
        found = find(k, entry_out);
    }
    return found;
}

static void pass(qrt_kernel *k)
{
    k->epoch_due++;
    k->epoch_due_shot += k->config.batch_shots;
}

static qrt_status fails(qrt_kernel *k, qrt_status status)
{
    k->report.error_shot = k->shot_index;
    k->report.error_tick = 0;
    return status;
}

/* So many periods pass before the shot in hand. */
static bool pause(qrt_kernel *k, int64_t periods)
{
    int64_t shots_left = k->config.shot_first + k->config.shot_count - k->shot_index;
    if (!qrt_periods_fit(&k->config, shots_left, (__int128)k->shot_index + k->stretched + periods)) {
        return false;
    }
    k->stretched += periods;
    k->report.paused_periods += periods;
    return true;
}

/* Up to the next release that is still to come. */
static qrt_status pause_until_now(qrt_kernel *k)
{
    int64_t periods = 0;
    qrt_status status = k->release->past(k, &periods);
    while (status == QRT_OK && periods > 0) {
        status = pause(k, periods) ? k->release->past(k, &periods) : fails(k, QRT_ERR_EPOCH);
    }
    return status;
}

/* An entry for the shot in hand. */
static qrt_status apply(qrt_kernel *k, const qrt_epoch *entry)
{
    bool is_virtual = k->config.pacing == QRT_PACING_VIRTUAL;
    bool valid = (entry->flags & ~(uint32_t)QRT_EPOCH_HELD) == 0 && entry->begin_period >= 0 &&
                 entry->begin_period <= INT64_MAX / 8 && (is_virtual || entry->begin_period == 0);
    int64_t periods = entry->begin_period - (k->shot_index + k->stretched);
    if (!valid || (periods > 0 && !pause(k, periods))) {
        return fails(k, QRT_ERR_EPOCH);
    }
    if (entry->flags & QRT_EPOCH_HELD) {
        k->report.epochs_held++;
    } else {
        memcpy(k->epoch_values, entry + 1, k->config.epoch_value_count * sizeof k->epoch_values[0]);
        k->epoch = entry->number;
        k->sweep_point = -1;
        k->report.epochs_applied++;
    }
    qrt_ring_release(k->config.epochs, READER, 1);
    pass(k);
    return QRT_OK;
}

static qrt_status miss(qrt_kernel *k)
{
    const qrt_miss late = {.shot = k->shot_index,
                           .tick = shot_tick(k, k->shot_index),
                           .miss_class = QRT_MISS_EPOCH,
                           .policy = k->config.late_epoch_policy,
                           .cause = QRT_CAUSE_BATCH};
    qrt_rows_miss(k, &late);
    k->report.epochs_held++;
    pass(k);
    return late.policy == QRT_POLICY_ABORT ? fails(k, QRT_ERR_LATE) : QRT_OK;
}

qrt_status qrt_epochs_take(qrt_kernel *k)
{
    if (!qrt_epochs_is_due(k)) {
        return QRT_OK;
    }
    const qrt_epoch *entry = NULL;
    bool pauses = k->release != NULL && k->config.epoch_delay == 0;
    bool waits = pauses || k->release == NULL;
    found_epoch found = waits ? wait_for(k, &entry) : find(k, &entry);
    if (found == EPOCH_HERE) {
        qrt_status status = apply(k, entry);
        return status == QRT_OK && pauses ? pause_until_now(k) : status;
    }
    if (!waits) {
        return miss(k);
    }
    return found == EPOCH_ABSENT ? QRT_OK : fails(k, QRT_ERR_EPOCH); /* absent: a stop ended the wait */
}

void qrt_epochs_end(qrt_kernel *k)
{
    const qrt_epoch *entry = NULL;
    if (k->config.epochs != NULL) {
        (void)find(k, &entry);
    }
}
