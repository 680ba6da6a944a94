/* Real pacing: the host's clock. A release is at origin + (the shot's multiple of the period - the first shot's), computed, never
 * added up. */
#include "clock.h"
#include "kernel_state.h"

static int64_t due_ns(const qrt_kernel *k)
{
    __int128 ticks = (__int128)qrt_periods_since_start(k) * k->config.sequence.period_ticks;
    return k->origin_ns + (int64_t)(ticks * k->config.tick_ps / 1000);
}

static qrt_status wait(qrt_kernel *k)
{
    int64_t release_ns = due_ns(k);
    int64_t now_ns = qrt_clock_now_ns();
    k->came_late = now_ns > release_ns;
    qrt_pace_adapt(&k->pace);
    int64_t spin_from_ns = release_ns - k->pace.spin_ns;
    int64_t before_ns;
    do {
        if (is_requested(k, REQUEST_STOP)) {
            return QRT_STOPPED;
        }
        before_ns = now_ns;
        now_ns = qrt_paced_sleep(k, now_ns, spin_from_ns);
    } while (now_ns != before_ns);
    k->lateness_ns = qrt_clock_spin_until(release_ns) - release_ns;
    return is_requested(k, REQUEST_STOP) ? QRT_STOPPED : QRT_OK;
}

/* Periods until the first release that is still to come. */
static qrt_status past(qrt_kernel *k, int64_t *periods_out)
{
    int64_t late_ns = qrt_clock_now_ns() - due_ns(k);
    __int128 period_ps = (__int128)k->config.sequence.period_ticks * k->config.tick_ps;
    *periods_out = late_ns < 0 ? 0 : (int64_t)((__int128)late_ns * 1000 / period_ps) + 1;
    return QRT_OK;
}

const qrt_release qrt_release_real = {.wait = wait, .past = past, .due_ns = due_ns};
