/* External pacing: the hardware's own trigger starts the shots, and its clock owns the ticks. The host has deadlines only.
 *
 * The shot that is so many periods from the start is released by the trigger of that number. The host sleeps until shortly before
 * that is to be expected (follow.c), then asks the port until it has come. A trigger is gone for good when the next one has come: then
 * its shot is a miss, whatever the tolerance.
 *
 * A trigger that stays away is not asked for at full speed: a period after it was due the loop naps between two questions, and
 * after TIMEOUT_NS and TIMEOUT_PERIODS more the run ends.
 */
#include "clock.h"
#include "kernel_state.h"

#define TIMEOUT_NS 1000000000
#define TIMEOUT_PERIODS 10

static int64_t due_ns(const qrt_kernel *k)
{
    return qrt_follow_due_ns(&k->follow, qrt_periods_since_start(k));
}

/* Asks the port how far the hardware is. */
static qrt_status look(qrt_kernel *k, int64_t now_ns)
{
    int64_t count = 0;
    int64_t last_ns = 0;
    qrt_status status = k->port.triggers(k->port.self, now_ns, &count, &last_ns);
    return status == QRT_OK ? qrt_follow_see(&k->follow, now_ns, count, last_ns) : status;
}

/* One step of the wait: asleep, in a nap, or at once. */
static int64_t idle(qrt_kernel *k, int64_t now_ns)
{
    int64_t late_ns = now_ns - due_ns(k);
    if (late_ns > k->follow.period_ps / 1000) {
        return qrt_paced_sleep(k, now_ns, now_ns + QRT_NAP_NS);
    }
    int64_t slept_ns = qrt_paced_sleep(k, now_ns, now_ns - late_ns - k->pace.spin_ns);
    if (slept_ns != now_ns) {
        return slept_ns;
    }
    qrt_clock_pause();
    return qrt_clock_now_ns();
}

static qrt_status wait(qrt_kernel *k)
{
    int64_t number = qrt_periods_since_start(k);
    int64_t now_ns = qrt_clock_now_ns();
    qrt_status status = look(k, now_ns);
    k->came_late = k->follow.count > number;
    qrt_pace_adapt(&k->pace);
    while (status == QRT_OK && k->follow.count <= number) {
        if (is_requested(k, REQUEST_STOP)) {
            return QRT_STOPPED;
        }
        if (now_ns - k->follow.last_ns > TIMEOUT_NS + k->follow.period_ps / 1000 * TIMEOUT_PERIODS) {
            return QRT_ERR_TRIGGER;
        }
        now_ns = idle(k, now_ns);
        status = look(k, now_ns);
    }
    k->lateness_ns = now_ns - due_ns(k);
    k->is_overtaken = k->follow.count > number + 1;
    return status == QRT_OK && is_requested(k, REQUEST_STOP) ? QRT_STOPPED : status;
}

static qrt_status past(qrt_kernel *k, int64_t *periods_out)
{
    qrt_status status = look(k, qrt_clock_now_ns());
    int64_t periods = k->follow.count - qrt_periods_since_start(k);
    *periods_out = periods > 0 ? periods : 0;
    return status;
}

const qrt_release qrt_release_external = {.wait = wait, .past = past, .due_ns = due_ns};
