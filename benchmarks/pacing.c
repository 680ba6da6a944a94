/* What pacing.py measures the kernel beside: the same releases by the barest loops, and a port that does nothing.
 *
 * A loop keeps an absolute grid and skips nothing, writes down how late each release was, and does no more. It runs on the calling
 * thread, whose settings are the caller's business, except for the timer slack.
 */
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>
#include "qrt_port.h"

#define NS_PER_S 1000000000

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void pause_core(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

void sleep_loop(int64_t *lateness, int64_t count, int64_t period_ns)
{
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    int64_t origin_ns = now_ns() + NS_PER_S / 1000;
    for (int64_t index = 0; index < count; index++) {
        int64_t due_ns = origin_ns + index * period_ns;
        const struct timespec due = {.tv_sec = due_ns / NS_PER_S, .tv_nsec = due_ns % NS_PER_S};
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, 0);
        lateness[index] = now_ns() - due_ns;
    }
}

void spin_loop(int64_t *lateness, int64_t count, int64_t period_ns)
{
    int64_t origin_ns = now_ns() + NS_PER_S / 1000;
    for (int64_t index = 0; index < count; index++) {
        int64_t due_ns = origin_ns + index * period_ns;
        int64_t seen_ns = now_ns();
        while (seen_ns < due_ns) {
            pause_core();
            seen_ns = now_ns();
        }
        lateness[index] = seen_ns - due_ns;
    }
}

/* Of one look at the clock: the mean over many. */
double clock_read_ns(int64_t count)
{
    int64_t begun_ns = now_ns();
    for (int64_t index = 1; index < count; index++) {
        (void)now_ns();
    }
    return (double)(now_ns() - begun_ns) / (double)count;
}

static qrt_status begin_shot(void *self, int64_t shot, int64_t tick)
{
    (void)self, (void)shot, (void)tick;
    return QRT_OK;
}

static qrt_status play(void *self, const qrt_play *p)
{
    (void)self, (void)p;
    return QRT_OK;
}

static qrt_status capture_begin(void *self, const qrt_capture *c)
{
    (void)self, (void)c;
    return QRT_OK;
}

static qrt_status capture_end(void *self, uint16_t slot, const int16_t **samples_out)
{
    (void)self, (void)slot, (void)samples_out;
    return QRT_NOT_READY;
}

static qrt_status safe(void *self)
{
    (void)self;
    return QRT_OK;
}

qrt_port port = {.abi = QRT_PORT_ABI, .size = sizeof(qrt_port), .begin_shot = begin_shot, .play = play,
                 .capture_begin = capture_begin, .capture_end = capture_end, .safe = safe, .feedback_latency_ticks = 100,
                 .granularity_ticks = 1, .sample_ticks = 1, .line_count = 1, .channel_count = 1, .capture_samples_max = 64,
                 .outstanding_max = 16};
