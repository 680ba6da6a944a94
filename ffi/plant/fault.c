/* The simulated card's faults: see fault.h. */
#include "fault.h"
#include <time.h>
#include "../philox.h"

int faults_are_valid(const qrt_plant_faults *given, int64_t answer_ns_max)
{
    return given->answer_ns >= 0 && given->decision_ns >= 0 && (given->answer_share == 0 || answer_ns_max > 0);
}

void fault_begin_shot(fault *f, uint64_t seed, int64_t shot)
{
    f->seed = seed;
    f->shot = shot;
    f->begun_count = f->capture_count = f->ended_count = 0;
}

static int is_chosen(const fault *f, uint32_t stream, uint32_t number, uint32_t share)
{
    uint32_t words[4];
    qrt_random(f->seed, QRT_STREAM_FAULT + stream, f->shot, number, words);
    return words[0] < share;
}

int fault_is_late_decision(fault *f)
{
    if (f->given.decision_share == 0 || f->ended_count == 0)
        return 0;
    f->is_decision = is_chosen(f, 1, f->begun_count++, f->given.decision_share);
    return f->is_decision;
}

int fault_is_late_answer(fault *f)
{
    return f->given.answer_share > 0 && is_chosen(f, 0, f->capture_count++, f->given.answer_share);
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: the clock exists, the address is valid */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int fault_has_come(fault *f, int64_t *asked_ns)
{
    const int64_t now = now_ns();
    *asked_ns = *asked_ns == 0 ? now : *asked_ns;
    f->asked_ns = *asked_ns;
    f->is_decision = 0;
    return f->given.answer_ns > 0 && now - *asked_ns >= f->given.answer_ns;
}

int64_t fault_late_ns(const fault *f, int64_t answer_ns_max)
{
    return f->is_decision ? f->given.decision_ns : now_ns() - f->asked_ns - answer_ns_max;
}
