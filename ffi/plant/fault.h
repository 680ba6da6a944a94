/* What is wrong with the simulated card: plays, captures and samples that come too late. Pure but for the host's clock.
 *
 * Which of them are late is Philox of (seed, shot, number in the shot), so that every run with a seed meets the same ones. By how much is
 * measured on the host's clock, as on hardware: a capture is late from when it is first asked for.
 */
#ifndef QRT_PLANT_FAULT_H
#define QRT_PLANT_FAULT_H
#include <stdint.h>
#include "../qrt_plant.h"

typedef struct {
    qrt_plant_faults given;
    uint64_t seed;
    int64_t shot;
    uint32_t begun_count;   /* plays and captures of the shot, after a capture of it ended */
    uint32_t capture_count; /* of the shot */
    uint32_t ended_count;
    int32_t is_decision;    /* the last lateness was a decision's */
    int64_t asked_ns;       /* of the capture that was late last */
} fault;

int faults_are_valid(const qrt_plant_faults *given, int64_t answer_ns_max);
void fault_begin_shot(fault *f, uint64_t seed, int64_t shot);
/* Once for each play and capture that begins; each capture; each question for a late capture, whose own `asked_ns` begins with 0. */
int fault_is_late_decision(fault *f);
int fault_is_late_answer(fault *f);
int fault_has_come(fault *f, int64_t *asked_ns);
/* By how much what was late last was so: a capture beyond the time that it had. */
int64_t fault_late_ns(const fault *f, int64_t answer_ns_max);

#endif
