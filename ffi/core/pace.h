/* Inside the core: how long before a release the loop stops sleeping, learnt from how late it was woken. */
#ifndef QRT_PACE_H
#define QRT_PACE_H
#include "../qrt_core.h"

typedef struct {
    qrt_histogram wakes; /* how late each sleep ended; halved now and then, so that the machine's present counts */
    int64_t spin_ns;     /* in force */
    int64_t period_ns;
    int64_t busy_ns;     /* the longest shot since the spin was sized */
    uint32_t share_permille; /* 0: the spin stays as it was given */
    int64_t woke_ns;         /* how late the last sleep ended, not yet counted; -1: it is */
    uint32_t woken;          /* sleeps since the spin was sized */
} qrt_pace;

void qrt_pace_begin(qrt_pace *pace, const qrt_kernel_config *config, int64_t period_ns);
/* Sleeps some twenty milliseconds in short pieces, and sizes the spin; nothing where the spin is given. */
void qrt_pace_settle(qrt_pace *pace);
/* Notes how late a sleep ended, and no more: a release is near. */
void qrt_pace_woke(qrt_pace *pace, int64_t late_ns);
void qrt_pace_played(qrt_pace *pace, int64_t busy_ns);
/* In idle time, before a sleep: counts what was noted, sizes the spin anew if it is time. */
void qrt_pace_adapt(qrt_pace *pace);
/* 99.5 of 100 sleeps end no later than this. */
int64_t qrt_pace_wake_ns(const qrt_pace *pace);

#endif
