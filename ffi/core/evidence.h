/* Inside the core: what a thread can see of why it was late. */
#ifndef QRT_EVIDENCE_H
#define QRT_EVIDENCE_H
#include <stdbool.h>
#include "../qrt_core.h"

/* The thread's counters, since its beginning or since the last mark. */
typedef struct {
    int64_t major_faults;
    int64_t minor_faults;
    int64_t forced;    /* involuntary switches */
    int64_t blocked;   /* voluntary switches */
    int64_t ran_ns;    /* on a core */
    int64_t waited_ns; /* ready to run, without a core; -1: this system does not say */
} qrt_usage;

/* All that a cause is judged by. */
typedef struct {
    qrt_usage since;     /* `blocked` without those of the loop's own sleeps */
    int64_t stolen_ns;   /* by the host from this core; 0 where it cannot be known */
    int64_t lateness_ns;
    int64_t busy_ns;     /* the previous shot */
    int64_t period_ns;
    bool came_late;      /* the loop arrived after the release, before it slept */
} qrt_evidence;

/* Pure. Of a late release. */
qrt_cause qrt_cause_of(const qrt_evidence *evidence);

typedef struct {
    int32_t schedule_file; /* /proc/thread-self/schedstat; -1: this system has none */
    int32_t steal_file;    /* /proc/stat */
    int64_t steal_tick_ns; /* the unit that steal is counted in */
    int64_t steal_seen_ns; /* when it was last looked at; 0: never */
    int64_t steal_ns;      /* then, of this core */
    int32_t steal_core;
    int64_t mark_ns;
    int64_t own_sleeps;    /* since the mark */
    qrt_usage mark;
} qrt_watch;

/* Before the loop and after it, on its thread. */
void qrt_watch_open(qrt_watch *watch);
void qrt_watch_close(qrt_watch *watch);
/* Before a sleep: what follows is counted from here, if `idle_ns` leaves the time to look. */
void qrt_watch_mark(qrt_watch *watch, int64_t now_ns, int64_t idle_ns);
void qrt_watch_slept(qrt_watch *watch);
/* Fills `since` and `stolen_ns`, judges, and marks. */
qrt_cause qrt_watch_cause(qrt_watch *watch, qrt_evidence *evidence);

#endif
