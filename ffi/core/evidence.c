/* Why a release was late: what the system counts of this thread between a mark in idle time and the miss.
 *
 * A cause is named when it explains at least half of the lateness, not because its counter moved. In this order:
 *
 *   steal        the host took the core: /proc/stat, in units of 10 ms, so only stalls longer than that can be seen, and only where
 *                it was looked at within STEAL_FRESH_NS before the stall (long periods only: a look costs some 50 us)
 *   switch       another thread had the core while this one was ready to run: schedstat, in ns
 *   page fault   so many that FAULT_NS each explain it, or one that had to wait for a disk
 *   budget       the previous shot ran longer than its period, on the core
 *   stopped      the thread slept, other than by its own sleep: a stop signal, a debugger, a frozen group, a port that blocks
 *   outside      none of these: a late wake-up, an interrupt, or the host, unseen
 *
 * Costs: a mark is three system calls, some 2 us of idle time. Where a loop has no idle time, marks are MARK_AGE_NS old.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>
#include "checks.h"
#include "clock.h"
#include "evidence.h"

#define MARK_IDLE_NS 20000
#define MARK_AGE_NS 10000000
#define STEAL_IDLE_NS 1000000
#define STEAL_AGE_NS 100000000
#define STEAL_FRESH_NS 200000000
#define FAULT_NS 5000 /* what a page fault that only fills in a page takes at the most, usually */
#define STEAL_COLUMN 8
#define TEXT_SIZE 16384

static bool explains(int64_t part_ns, int64_t lateness_ns)
{
    return part_ns > 0 && part_ns >= lateness_ns - part_ns;
}

qrt_cause qrt_cause_of(const qrt_evidence *e)
{
    const qrt_usage *since = &e->since;
    if (explains(e->stolen_ns, e->lateness_ns)) {
        return QRT_CAUSE_STEAL;
    }
    if (since->waited_ns >= 0 ? explains(since->waited_ns, e->lateness_ns) : since->forced > 0) {
        return QRT_CAUSE_SWITCH;
    }
    bool ran = explains(since->ran_ns, e->lateness_ns);
    if (explains(since->minor_faults * FAULT_NS, e->lateness_ns) || (since->major_faults > 0 && !ran)) {
        return QRT_CAUSE_PAGE_FAULT;
    }
    if (e->came_late && e->busy_ns > e->period_ns && ran) {
        return QRT_CAUSE_BUDGET;
    }
    return since->blocked > 0 ? QRT_CAUSE_STOPPED : QRT_CAUSE_OUTSIDE;
}

/* The next number in a text, and the text behind it. */
static int64_t next_number(const char **text)
{
    int64_t number = 0;
    while (**text == ' ') {
        (*text)++;
    }
    while (**text >= '0' && **text <= '9') {
        number = number * 10 + (*(*text)++ - '0');
    }
    return number;
}

/* Returns whether there is a text; it ends with 0. */
static bool read_text(int32_t file, char text_out[TEXT_SIZE])
{
    ssize_t size = file >= 0 ? pread(file, text_out, TEXT_SIZE - 1, 0) : -1;
    text_out[size > 0 ? size : 0] = 0;
    return size > 0;
}

static qrt_usage read_usage(const qrt_watch *watch)
{
    struct rusage now;
    int failed = getrusage(RUSAGE_THREAD, &now);
    QRT_ASSERT(!failed);
    qrt_usage usage = {.major_faults = now.ru_majflt, .minor_faults = now.ru_minflt, .forced = now.ru_nivcsw,
                       .blocked = now.ru_nvcsw, .ran_ns = qrt_clock_ran_ns(), .waited_ns = -1};
    char text[TEXT_SIZE];
    if (read_text(watch->schedule_file, text)) {
        const char *rest = text;
        (void)next_number(&rest); /* the time on a core, older than the one above */
        usage.waited_ns = next_number(&rest);
    }
    return usage;
}

/* Steal of one core since the machine's start; -1: not known. */
static int64_t read_steal_ns(const qrt_watch *watch, int32_t core)
{
    char text[TEXT_SIZE];
    if (core < 0 || !read_text(watch->steal_file, text)) {
        return -1;
    }
    const char *rest = text;
    while (*rest != 0) {
        bool named = rest[0] == 'c' && rest[1] == 'p' && rest[2] == 'u' && rest[3] >= '0' && rest[3] <= '9';
        rest += named ? 3 : 0;
        if (named && next_number(&rest) == core) {
            int64_t ticks = 0;
            for (int column = 0; column < STEAL_COLUMN; column++) {
                ticks = next_number(&rest);
            }
            return ticks * watch->steal_tick_ns;
        }
        while (*rest != 0 && *rest++ != '\n') {
        }
    }
    return -1;
}

static void see_steal(qrt_watch *watch, int64_t now_ns)
{
    watch->steal_core = sched_getcpu();
    watch->steal_ns = read_steal_ns(watch, watch->steal_core);
    watch->steal_seen_ns = now_ns;
}

static void mark(qrt_watch *watch, const qrt_usage *usage, int64_t now_ns)
{
    watch->mark = *usage;
    watch->mark_ns = now_ns;
    watch->own_sleeps = 0;
}

void qrt_watch_open(qrt_watch *watch)
{
    long ticks_per_s = sysconf(_SC_CLK_TCK);
    *watch = (qrt_watch){.schedule_file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC),
                         .steal_file = open("/proc/stat", O_RDONLY | O_CLOEXEC),
                         .steal_tick_ns = 1000000000 / (ticks_per_s > 0 ? ticks_per_s : 100)};
    int64_t now_ns = qrt_clock_now_ns();
    see_steal(watch, now_ns);
    qrt_usage usage = read_usage(watch);
    mark(watch, &usage, now_ns);
}

void qrt_watch_close(qrt_watch *watch)
{
    if (watch->schedule_file >= 0) {
        (void)close(watch->schedule_file);
    }
    if (watch->steal_file >= 0) {
        (void)close(watch->steal_file);
    }
}

void qrt_watch_mark(qrt_watch *watch, int64_t now_ns, int64_t idle_ns)
{
    if (idle_ns > STEAL_IDLE_NS && now_ns - watch->steal_seen_ns > STEAL_AGE_NS) {
        see_steal(watch, now_ns);
    }
    if (idle_ns > MARK_IDLE_NS || now_ns - watch->mark_ns > MARK_AGE_NS) {
        qrt_usage usage = read_usage(watch);
        mark(watch, &usage, now_ns);
    }
}

void qrt_watch_slept(qrt_watch *watch)
{
    watch->own_sleeps++;
}

static int64_t stolen_ns(const qrt_watch *watch, int64_t now_ns, int64_t lateness_ns)
{
    bool fresh = now_ns - lateness_ns - watch->steal_seen_ns <= STEAL_FRESH_NS;
    if (!fresh || watch->steal_ns < 0 || lateness_ns < watch->steal_tick_ns || sched_getcpu() != watch->steal_core) {
        return 0;
    }
    int64_t steal_ns = read_steal_ns(watch, watch->steal_core);
    return steal_ns > watch->steal_ns ? steal_ns - watch->steal_ns : 0;
}

qrt_cause qrt_watch_cause(qrt_watch *watch, qrt_evidence *evidence)
{
    int64_t now_ns = qrt_clock_now_ns();
    qrt_usage now = read_usage(watch);
    const qrt_usage *before = &watch->mark;
    int64_t blocked = now.blocked - before->blocked - watch->own_sleeps;
    bool told = now.waited_ns >= 0 && before->waited_ns >= 0;
    evidence->since = (qrt_usage){.major_faults = now.major_faults - before->major_faults,
                                  .minor_faults = now.minor_faults - before->minor_faults,
                                  .forced = now.forced - before->forced,
                                  .blocked = blocked > 0 ? blocked : 0,
                                  .ran_ns = now.ran_ns - before->ran_ns,
                                  .waited_ns = told ? now.waited_ns - before->waited_ns : -1};
    evidence->stolen_ns = stolen_ns(watch, now_ns, evidence->lateness_ns);
    mark(watch, &now, now_ns);
    return qrt_cause_of(evidence);
}
