/* The kernel: the loop over shots, on a thread of its own, from start to join. Arming is arm.c's business.
 *
 * Per shot: wait for the release, claim a row (rows.c), begin the shot on the port, do what the sequencers ask for (execute.c), publish
 * the row. The pacings are the functions `qrt_next_...` (virtual.c, paced.c), which decide what becomes of the next shot; all
 * else is common, so that all give the same rows.
 *
 * A shot starts at a multiple of the period: the one after its predecessor, or, where that was stretched, the first at which it is
 * over; where the run pauses for an epoch (epochs.c), a later one.
 *
 * A stop or abort is seen at the latest after SLICE_NS of sleeping (paced.c). Whatever ends the loop, the port is made safe, then
 * the rings are closed, unless another kernel goes on writing to them.
 */
#include <fenv.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>
#include "clock.h"
#include "kernel_state.h"
#include "thread.h"

#define STACK_SIZE 1048576 /* the thread sanitizer asks for nearly as much; the loop and the plant use little of it */

static qrt_status run_shots(qrt_kernel *k)
{
    qrt_status (*next)(qrt_kernel *) = k->release != NULL ? qrt_next_paced : qrt_next_virtual;
    int64_t shot_end = k->config.shot_first + k->config.shot_count;
    qrt_status status = QRT_OK;
    while (status == QRT_OK && k->shot_index < shot_end) {
        if (is_requested(k, REQUEST_STOP)) {
            return is_requested(k, REQUEST_ABORT) ? QRT_ABORTED : QRT_STOPPED;
        }
        status = next(k);
    }
    return status;
}

static void close_rings(const qrt_kernel *k)
{
    qrt_ring *rings[] = {k->config.rows, k->config.lateness, k->config.misses, k->config.raw};
    for (size_t ring = 0; ring < sizeof rings / sizeof rings[0]; ring++) {
        if (rings[ring] != NULL) {
            qrt_ring_close(rings[ring]);
        }
    }
}

static void *run_thread(void *argument)
{
    qrt_kernel *k = argument;
    (void)fesetenv(FE_DFL_ENV); /* the plant computes in this thread: no inherited rounding or flush-to-zero */
    qrt_thread_apply(&k->config.thread, &k->report.thread);
    bool is_paced = k->release != NULL;
    if (is_paced) {
        qrt_watch_open(&k->watch);
        qrt_pace_settle(&k->pace);
    }
    int64_t ran_ns = qrt_clock_ran_ns();
    int64_t begun_ns = qrt_clock_now_ns();
    begun_ns += k->config.pacing == QRT_PACING_REAL ? k->config.start_delay_ns : 0;
    k->origin_ns = begun_ns;
    qrt_follow_begin(&k->follow, k->config.sequence.period_ticks * k->config.tick_ps, begun_ns);
    k->report.status = run_shots(k);
    qrt_epochs_end(k);
    k->report.wall_ns = qrt_clock_now_ns() - begun_ns;
    k->report.wall_ns = k->report.wall_ns > 0 ? k->report.wall_ns : 0; /* stopped before the first release */
    k->report.ran_ns = qrt_clock_ran_ns() - ran_ns;
    k->report.spin_ns = k->pace.spin_ns;
    k->report.wake_ns = qrt_pace_wake_ns(&k->pace);
    k->report.safe_status = k->port.safe(k->port.self);
    if (is_paced) {
        qrt_watch_close(&k->watch);
    }
    if (!k->config.rings_stay_open) {
        close_rings(k);
    }
    atomic_store_explicit(&k->state, STATE_ENDED, memory_order_release);
    return NULL;
}

/* ---- Start, stop, join ---------------------------------------------------------------------------------------- */

size_t qrt_kernel_stack_size(void)
{
    return STACK_SIZE;
}

static bool is_state(const qrt_kernel *kernel, uint32_t state)
{
    return atomic_load_explicit(&kernel->state, memory_order_acquire) == state;
}

qrt_status qrt_kernel_log_shot(qrt_kernel *kernel, int64_t shot, qrt_event *events, uint32_t event_count_max,
                               uint32_t *count_out)
{
    if (!is_state(kernel, STATE_ARMED) || shot < 0 || events == NULL || count_out == NULL) {
        return QRT_ERR_ARGUMENT;
    }
    *count_out = 0;
    kernel->log_shot = shot;
    kernel->log_events = events;
    kernel->log_count_max = event_count_max;
    kernel->log_count_out = count_out;
    return QRT_OK;
}

/* The C library's own bookkeeping for a thread (its thread-local block) is allocated in here: after arm, before the loop. */
static int create_thread(qrt_kernel *kernel)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        return -1;
    }
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    int failed = pthread_attr_setstack(&attributes, kernel->stack, kernel->stack_size);
    failed = failed || pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited: signals are for Python's main thread */
    if (!failed) {
        failed = pthread_create(&kernel->thread, &attributes, run_thread, kernel);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attributes);
    return failed;
}

qrt_status qrt_kernel_start(qrt_kernel *kernel, void *stack, size_t stack_size)
{
    if (!is_state(kernel, STATE_ARMED)) {
        return QRT_ERR_ARGUMENT;
    }
    if (stack_size < STACK_SIZE || (uintptr_t)stack % (uintptr_t)sysconf(_SC_PAGESIZE) != 0) {
        return QRT_ERR_MEMORY;
    }
    kernel->stack = stack;
    kernel->stack_size = stack_size;
    kernel->report.memory_locked = qrt_lent_lock_pages(stack, stack_size) && kernel->report.memory_locked;
    atomic_store_explicit(&kernel->state, STATE_RUNNING, memory_order_release);
    if (create_thread(kernel) != 0) {
        atomic_store_explicit(&kernel->state, STATE_ARMED, memory_order_release);
        return QRT_ERR_CLOCK;
    }
    return QRT_OK;
}

void qrt_kernel_stop(qrt_kernel *kernel)
{
    atomic_fetch_or_explicit(&kernel->request, REQUEST_STOP, memory_order_relaxed);
}

void qrt_kernel_abort(qrt_kernel *kernel)
{
    atomic_fetch_or_explicit(&kernel->request, REQUEST_STOP | REQUEST_ABORT, memory_order_relaxed);
}

int32_t qrt_kernel_running(const qrt_kernel *kernel)
{
    return is_state(kernel, STATE_RUNNING);
}

qrt_status qrt_kernel_join(qrt_kernel *kernel, qrt_kernel_report *report_out)
{
    if (!is_state(kernel, STATE_RUNNING) && !is_state(kernel, STATE_ENDED)) {
        return QRT_ERR_ARGUMENT;
    }
    if (pthread_join(kernel->thread, NULL) != 0) {
        return QRT_ERR_CLOCK;
    }
    qrt_lent_unlock(kernel);
    (void)munlock(kernel->stack, kernel->stack_size);
    *report_out = kernel->report;
    atomic_store_explicit(&kernel->state, STATE_JOINED, memory_order_release);
    return QRT_OK;
}
