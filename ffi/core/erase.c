/* Shots that the hardware was too late for, and the same once more in a replay.
 *
 * Where a port has a clock of its own, a decision may come after its tick, or a capture's samples after their time (qrt_port.h). By policy
 * the run ends, or the shot is erased: its row is kept with a flag, and says how far the shot came. What was begun ends by itself, the
 * next shot begins where it would have begun anyway, or, in a paced run, at the first release still to come: all that is one miss.
 * QRT_ERASED_MAX shots erased in a row are no accident any more: the run ends, whatever the policy.
 *
 * A late answer can be no other shot's: the port closes what is open of the shot before the next one begins.
 */
#include "erase.h"
#include "kernel_state.h"

/* The shot in hand, as far as it came. */
static void keep(qrt_kernel *k, qrt_row *row)
{
    qrt_execute_fill(k, row);
    row->flags = QRT_ROW_ERASED;
    row->shot_weight = 0.0;
    qrt_rows_publish(k);
    int64_t stopped_tick = k->shot.place.tick;
    qrt_execute_pass(k, k->shot.end_tick > stopped_tick ? k->shot.end_tick : stopped_tick);
    k->report.shots_erased++;
    k->erased_in_row++;
}

/* The samples were looked for in time, or the port says that they were not. Only a decision is the thread's to be late with. */
static qrt_cause cause_of(qrt_kernel *k, const qrt_miss *miss)
{
    if (miss->miss_class != QRT_MISS_DECISION || k->release == NULL || miss->lateness_ns <= 0) {
        return QRT_CAUSE_PORT;
    }
    qrt_cause cause = qrt_paced_cause(k, miss->lateness_ns);
    return cause == QRT_CAUSE_OUTSIDE ? QRT_CAUSE_PORT : cause;
}

qrt_status qrt_erase_shot(qrt_kernel *k, qrt_row *row)
{
    const qrt_port *port = &k->shot.outside.port;
    const qrt_late late = k->shot.late;
    qrt_miss miss = {.shot = k->shot_index,
                     .tick = row->tick + k->shot.place.tick,
                     .miss_class = late.miss_class,
                     .policy = k->config.late_port_policy,
                     .done_count = late.done_count,
                     .played_on = late.miss_class == QRT_MISS_PORT && port->plays_on};
    qrt_status status = port->erase_shot(port->self, &miss.lateness_ns);
    if (status != QRT_OK) {
        return qrt_execute_fails(k, status);
    }
    qrt_shot_forget(&k->shot);
    miss.cause = cause_of(k, &miss);
    if (miss.policy == QRT_POLICY_ABORT) {
        qrt_rows_miss(k, &miss);
        return qrt_execute_fails(k, QRT_ERR_TOO_LATE);
    }
    if (k->erased_in_row + 1 == QRT_ERASED_MAX) {
        status = qrt_execute_fails(k, QRT_ERR_ERASED);
    }
    keep(k, row);
    if (status == QRT_OK && k->release != NULL) {
        status = qrt_paced_catch_up(k, &miss.skipped_count);
        if (status != QRT_OK) {
            k->report.error_shot = k->shot_index;
            k->report.error_tick = 0;
        }
    }
    qrt_rows_miss(k, &miss);
    return status;
}

/* ---- Once more ------------------------------------------------------------------------------------------------ */

static qrt_status begin_again(void *self, int64_t shot, int64_t tick)
{
    const qrt_again *a = self;
    return a->port.begin_shot(a->port.self, shot, tick);
}

/* Whether the play or capture that is asked for now came too late. */
static bool is_late_decision(qrt_again *a)
{
    return a->erasure.miss_class == QRT_MISS_DECISION && a->begun_count++ == a->erasure.done_count;
}

static qrt_status play_again(void *self, const qrt_play *play)
{
    qrt_again *a = self;
    return is_late_decision(a) ? QRT_ERR_TOO_LATE : a->port.play(a->port.self, play);
}

static qrt_status capture_begin_again(void *self, const qrt_capture *capture)
{
    qrt_again *a = self;
    return is_late_decision(a) ? QRT_ERR_TOO_LATE : a->port.capture_begin(a->port.self, capture);
}

/* Where the hardware played on, the slot of a late capture is wanted again: it ends, and nobody looks. */
static qrt_status capture_end_again(void *self, uint16_t slot, const int16_t **samples_out)
{
    qrt_again *a = self;
    bool is_late = a->erasure.miss_class == QRT_MISS_PORT && a->ended_count >= a->erasure.done_count;
    qrt_status status = is_late && !a->port.plays_on ? QRT_ERR_TOO_LATE : a->port.capture_end(a->port.self, slot, samples_out);
    a->ended_count += status == QRT_OK; /* else it is asked again, or the shot ends */
    return status == QRT_OK && is_late ? QRT_ERR_TOO_LATE : status;
}

static qrt_status safe_again(void *self)
{
    const qrt_again *a = self;
    return a->port.safe(a->port.self);
}

static qrt_status erase_again(void *self, int64_t *late_ns_out)
{
    const qrt_again *a = self;
    return a->port.erase_shot(a->port.self, late_ns_out);
}

qrt_port qrt_again_port(qrt_again *again, const qrt_port *port, const qrt_erasure *erasure)
{
    *again = (qrt_again){.port = *port, .erasure = *erasure};
    again->port.plays_on = erasure->played_on;
    qrt_port front = again->port;
    front.self = again;
    front.begin_shot = begin_again;
    front.play = play_again;
    front.capture_begin = capture_begin_again;
    front.capture_end = capture_end_again;
    front.safe = safe_again;
    front.erase_shot = erase_again;
    front.capture_arrived = NULL; /* what it would tell of is asked for in one at the end */
    return front;
}
