/* The spin before a release: as long as the sleep before it may end late, and no longer than its share of the period allows.
 *
 * The lateness of wake-ups is measured before the run and at every sleep of it. The rule is one pure function, `qrt_spin_ns`:
 * the latency that 99.5 % of the wake-ups keep, cut so that the spin and the longest recent shot together stay within the share.
 * The cut is what keeps a real-time thread from being stopped by the system for using its core up. It is sized anew every
 * RESIZE_COUNT wake-ups, in idle time; old wake-ups count half as much after every AGE_COUNT.
 */
#include "clock.h"
#include "pace.h"

#define SETTLE_COUNT 128
#define SETTLE_NS 100000
#define RESIZE_COUNT 256
#define AGE_COUNT 16384
#define WAKE_PER_MILLION 995000

int64_t qrt_spin_ns(int64_t wake_ns, int64_t busy_ns, int64_t period_ns, uint32_t share_permille)
{
    int64_t most_ns = (int64_t)((__int128)period_ns * share_permille / 1000) - busy_ns;
    int64_t spin_ns = wake_ns < most_ns ? wake_ns : most_ns;
    return spin_ns > 0 ? spin_ns : 0;
}

int64_t qrt_pace_wake_ns(const qrt_pace *pace)
{
    return qrt_histogram_quantile(&pace->wakes, WAKE_PER_MILLION);
}

static void resize(qrt_pace *pace)
{
    pace->spin_ns = qrt_spin_ns(qrt_pace_wake_ns(pace), pace->busy_ns, pace->period_ns, pace->share_permille);
    pace->woken = 0;
    pace->busy_ns = 0;
    if (pace->wakes.count > AGE_COUNT) {
        qrt_histogram_age(&pace->wakes);
    }
}

void qrt_pace_begin(qrt_pace *pace, const qrt_kernel_config *config, int64_t period_ns)
{
    pace->spin_ns = config->spin_ns;
    pace->share_permille = config->spin_share_permille;
    pace->period_ns = period_ns;
    pace->woke_ns = -1;
}

static void count_wake(qrt_pace *pace)
{
    if (pace->woke_ns >= 0) {
        qrt_histogram_add(&pace->wakes, pace->woke_ns);
        pace->woken++;
        pace->woke_ns = -1;
    }
}

void qrt_pace_settle(qrt_pace *pace)
{
    if (pace->share_permille == 0) {
        return;
    }
    for (int sleep = 0; sleep < SETTLE_COUNT; sleep++) {
        int64_t until_ns = qrt_clock_now_ns() + SETTLE_NS;
        qrt_clock_sleep_until(until_ns);
        qrt_pace_woke(pace, qrt_clock_now_ns() - until_ns);
        count_wake(pace);
    }
    resize(pace);
}

void qrt_pace_woke(qrt_pace *pace, int64_t late_ns)
{
    pace->woke_ns = late_ns;
}

void qrt_pace_played(qrt_pace *pace, int64_t busy_ns)
{
    pace->busy_ns = busy_ns > pace->busy_ns ? busy_ns : pace->busy_ns;
}

void qrt_pace_adapt(qrt_pace *pace)
{
    count_wake(pace);
    if (pace->share_permille > 0 && pace->woken >= RESIZE_COUNT) {
        resize(pace);
    }
}
