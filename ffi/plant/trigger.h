/* The simulated trigger: when the hardware's own clock starts shots, seen by the host's. Pure but for its origin.
 *
 * Trigger n = 0, 1, ... happens at origin + (n + 1) period + jitter(n): exact femtoseconds, so that nothing adds up, and a jitter that
 * is Philox of (seed, n), so that any of them can be computed alone. The origin is when the first question was asked.
 */
#ifndef QRT_PLANT_TRIGGER_H
#define QRT_PLANT_TRIGGER_H
#include <stdint.h>

typedef struct {
    int64_t period_fs; /* 0: there is none */
    int64_t jitter_ns;
    uint64_t seed;
    int64_t origin_ns; /* -1: nobody has asked yet */
} trigger;

int trigger_is_valid(int64_t period_fs, int64_t jitter_ns);
/* Host time of a trigger, rounded down. */
int64_t trigger_ns(const trigger *t, int64_t number);
/* How many have happened at now_ns, and when the last of them did; 0 and the origin before the first. */
int64_t trigger_count(trigger *t, int64_t now_ns, int64_t *last_ns_out);

#endif
