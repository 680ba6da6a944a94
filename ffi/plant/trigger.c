/* The simulated trigger: see trigger.h. Integers only: femtoseconds for the period, nanoseconds of the host for the rest. */
#include "trigger.h"
#include "../philox.h"

#define FS_PER_NS 1000000
#define PERIOD_FS_MIN 1000000000LL       /* 1 us */
#define PERIOD_FS_MAX 1000000000000000LL /* 1 s */

int trigger_is_valid(int64_t period_fs, int64_t jitter_ns)
{
    if (period_fs == 0)
        return jitter_ns == 0;
    return period_fs >= PERIOD_FS_MIN && period_fs <= PERIOD_FS_MAX && jitter_ns >= 0 &&
           jitter_ns < period_fs / FS_PER_NS / 2;
}

static int64_t jitter_of(const trigger *t, int64_t number)
{
    uint32_t words[4];
    qrt_random(t->seed, QRT_STREAM_TRIGGER, number, 0, words);
    return (int64_t)(((uint64_t)words[0] * ((uint64_t)t->jitter_ns + 1)) >> 32);
}

int64_t trigger_ns(const trigger *t, int64_t number)
{
    const __int128 elapsed_fs = ((__int128)number + 1) * t->period_fs;
    return t->origin_ns + (int64_t)(elapsed_fs / FS_PER_NS) + (t->jitter_ns > 0 ? jitter_of(t, number) : 0);
}

int64_t trigger_count(trigger *t, int64_t now_ns, int64_t *last_ns_out)
{
    t->origin_ns = t->origin_ns < 0 ? now_ns : t->origin_ns;
    *last_ns_out = t->origin_ns;
    if (now_ns < t->origin_ns)
        return 0;
    /* Of those whose time without jitter has come, only the last may still be under way: jitter is less than half a period. */
    const __int128 elapsed_fs = ((__int128)now_ns - t->origin_ns + 1) * FS_PER_NS - 1;
    int64_t count = (int64_t)(elapsed_fs / t->period_fs);
    count -= count > 0 && trigger_ns(t, count - 1) > now_ns;
    if (count > 0)
        *last_ns_out = trigger_ns(t, count - 1);
    return count;
}
