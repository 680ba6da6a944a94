/* The one clock: CLOCK_MONOTONIC in nanoseconds, an absolute sleep, and a spin for the last stretch.
 *
 * A sleep on an ordinary kernel wakes 20 to 100 us late; the caller sleeps until `spin_ns` before its deadline and spins from
 * there, which brings the median lateness to some ten nanoseconds. Who sleeps when is the kernel's business (kernel.c).
 */
#include <time.h>
#include "checks.h"
#include "clock.h"

#define NS_PER_S 1000000000

static int64_t read_ns(clockid_t clock)
{
    struct timespec now;
    int failed = clock_gettime(clock, &now);
    QRT_ASSERT(!failed);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t qrt_clock_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t qrt_clock_ran_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

void qrt_clock_sleep_until(int64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = deadline_ns / NS_PER_S, .tv_nsec = deadline_ns % NS_PER_S};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL);
}

void qrt_clock_sleep(int64_t duration_ns)
{
    qrt_clock_sleep_until(qrt_clock_now_ns() + duration_ns);
}

int64_t qrt_clock_spin_until(int64_t deadline_ns)
{
    int64_t now_ns = qrt_clock_now_ns();
    while (now_ns < deadline_ns) {
        qrt_clock_pause();
        now_ns = qrt_clock_now_ns();
    }
    return now_ns;
}

void qrt_clock_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}
