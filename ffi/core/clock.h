/* Inside the core: sleeping and spinning on CLOCK_MONOTONIC. */
#ifndef QRT_CLOCK_H
#define QRT_CLOCK_H
#include "../qrt_core.h"

/* Returns at the deadline, or earlier when a signal came. */
void qrt_clock_sleep_until(int64_t deadline_ns);
void qrt_clock_sleep(int64_t duration_ns);
/* Returns the time at which the deadline was seen to be past. */
int64_t qrt_clock_spin_until(int64_t deadline_ns);
void qrt_clock_pause(void);
/* How long this thread has been on a core. */
int64_t qrt_clock_ran_ns(void);

#endif
