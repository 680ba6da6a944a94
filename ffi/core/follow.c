/* The follower: the period is learnt from what was seen, and one trigger is expected a period after the last.
 *
 * Each distance moves the period by a sixteenth of what it was off, so that jitter is averaged and a drift is followed; the nominal
 * period is the beginning. Nothing adds up: every trigger that is seen is the new origin. Integers, so that one history gives
 * one expectation.
 */
#include "checks.h"
#include "follow.h"

#define SHARE 16
#define PS_PER_NS 1000

void qrt_follow_begin(qrt_follow *follow, int64_t period_ps, int64_t now_ns)
{
    *follow = (qrt_follow){.last_ns = now_ns, .period_ps = period_ps};
}

qrt_status qrt_follow_see(qrt_follow *follow, int64_t now_ns, int64_t count, int64_t last_ns)
{
    bool is_new = count > follow->count;
    if (count < follow->count || last_ns > now_ns || (is_new && last_ns < follow->last_ns)) {
        return QRT_ERR_PORT;
    }
    if (is_new && follow->count > 0) {
        __int128 distance_ps = (__int128)(last_ns - follow->last_ns) * PS_PER_NS / (count - follow->count);
        follow->period_ps += (int64_t)((distance_ps - follow->period_ps) / SHARE);
    }
    if (is_new) {
        follow->count = count;
        follow->last_ns = last_ns;
    }
    return QRT_OK;
}

int64_t qrt_follow_due_ns(const qrt_follow *follow, int64_t number)
{
    return follow->last_ns + (int64_t)((__int128)(number + 1 - follow->count) * follow->period_ps / PS_PER_NS);
}
