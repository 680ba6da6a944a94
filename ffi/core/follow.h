/* Inside the core: the hardware's trigger as the host sees it, and when the next one is to be expected. */
#ifndef QRT_FOLLOW_H
#define QRT_FOLLOW_H
#include "../qrt_core.h"

typedef struct {
    int64_t count;     /* triggers so far, at the last look */
    int64_t last_ns;   /* when the last of them came; before the first: when the run began */
    int64_t period_ps; /* learnt from their distances */
} qrt_follow;

void qrt_follow_begin(qrt_follow *follow, int64_t period_ps, int64_t now_ns);
/* What the port said. QRT_ERR_PORT for what cannot be: fewer than before, a last one before the one before it, or in the future. */
qrt_status qrt_follow_see(qrt_follow *follow, int64_t now_ns, int64_t count, int64_t last_ns);
/* When a trigger (the first is 0) came or is to be expected. */
int64_t qrt_follow_due_ns(const qrt_follow *follow, int64_t number);

#endif
