/* The calling thread's own settings: cores, timer slack, priority. Each is asked for, then all are read back from the system.
 *
 * A refusal ends nothing: it is written down as the system's error number, and costs punctuality, which is measured. What the
 * system says afterwards is what counts; nothing here is assumed to hold because it was asked for. Once an arm, outside the loop.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include "checks.h"
#include "thread.h"

#define PRIORITY_MAX 99

static_assert(sizeof(cpu_set_t) == sizeof(uint64_t[QRT_CORE_WORDS]), "cores are laid out as the system wants them");

static bool asks_for_cores(const qrt_thread_asked *asked)
{
    uint64_t any = 0;
    for (int word = 0; word < QRT_CORE_WORDS; word++) {
        any |= asked->cores[word];
    }
    return any != 0;
}

bool qrt_thread_valid(const qrt_thread_asked *asked)
{
    return asked->priority >= 0 && asked->priority <= PRIORITY_MAX && asked->slack_ns >= 0;
}

/* Slack before priority: a real-time thread has none, and is told so when it asks. */
static void ask(const qrt_thread_asked *asked, qrt_thread_found *found)
{
    if (asks_for_cores(asked)) {
        cpu_set_t cores;
        memcpy(&cores, asked->cores, sizeof cores);
        found->cores_error = sched_setaffinity(0, sizeof cores, &cores) == 0 ? 0 : errno;
    }
    if (asked->slack_ns > 0) {
        found->slack_error = prctl(PR_SET_TIMERSLACK, (unsigned long)asked->slack_ns, 0UL, 0UL, 0UL) == 0 ? 0 : errno;
    }
    if (asked->priority > 0) {
        const struct sched_param parameter = {.sched_priority = asked->priority};
        found->priority_error = sched_setscheduler(0, SCHED_FIFO, &parameter) == 0 ? 0 : errno;
    }
}

void qrt_thread_apply(const qrt_thread_asked *asked, qrt_thread_found *found_out)
{
    *found_out = (qrt_thread_found){.slack_ns = -1, .policy = -1, .priority = -1};
    if (!qrt_thread_valid(asked)) {
        found_out->cores_error = found_out->slack_error = found_out->priority_error = EINVAL;
    } else {
        ask(asked, found_out);
    }
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0) {
        memcpy(found_out->cores, &cores, sizeof cores);
    }
    found_out->slack_ns = prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL);
    found_out->policy = sched_getscheduler(0);
    struct sched_param parameter;
    if (sched_getparam(0, &parameter) == 0) {
        found_out->priority = parameter.sched_priority;
    }
}
