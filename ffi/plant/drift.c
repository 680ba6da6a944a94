/* Drift: what moves from shot to shot and stands still within one, a qubit's frequency and the phase of its way to the ADC.
 *
 * A frequency's drift is a whole number of 2^-64 turns a sample (5e-11 Hz at 1 GS/s), so that nothing depends on the order of sums, and
 *
 *     offset(t) = walked + ramp t,    walked += walk sqrt(samples since the last shot) normal(shot)
 *
 * The ramp is computed from the run's time, not added up. The normal numbers of a shot are the Box-Muller pair of its own random words
 * (Box and Muller, Ann. Math. Stat. 29 (1958) 610), the first the frequency's, the second the phase's: steps between shots that are
 * further apart are longer, not more. Not here: T1, T2 and resonators stay; a resonator's pull does not follow the qubit.
 */
#include "plant.h"

#define OFFSET_MAX 0x1p62 /* a quarter of the sample rate: beyond, samples cannot tell it from its alias for long */

drift_law drift_of(const qrt_plant *plant, uint32_t q)
{
    const qrt_plant_qubit *c = &plant->config.qubits[q];
    const double dt = plant->sample_s, root = __builtin_sqrt(dt);
    const drift_law law = {
        .frequency_ramp = c->frequency_drift_hz_per_s * dt * dt * TURN,
        .frequency_walk = c->frequency_walk_hz_per_root_s * dt * root * TURN,
        .phase_walk = c->phase_walk_rad_per_root_s * root / TWO_PI,
    };
    return (drift_law){law.frequency_ramp, law.frequency_walk, law.phase_walk,
                       law.frequency_ramp != 0.0 || law.frequency_walk != 0.0 || law.phase_walk != 0.0};
}

/* Nearest whole number, a half away from zero; |x| < 2^63. */
static int64_t whole(double x) { return (int64_t)(x < 0.0 ? x - 0.5 : x + 0.5); }

/* Two independent normal numbers of variance 1. */
static cplx normal_pair(uint64_t seed, uint32_t q, int64_t shot, uint32_t index)
{
    uint32_t words[4];
    qrt_random(seed, QRT_STREAM_DRIFT + q, shot, index, words);
    const double uniform = ((double)(((uint64_t)words[0] << 32 | words[1]) >> 11) + 0.5) * 0x1p-53;
    return c_scale(turn_exp((uint64_t)words[2] << 32 | words[3]), __builtin_sqrt(-2.0 * real_log(uniform)));
}

int drift_is_due(const qrt_plant *plant, int64_t sample)
{
    const int64_t interval = plant->config.drift_interval_ticks, ticks = plant->config.sample_ticks;
    return interval == 0 || sample * ticks / interval != plant->state.drifted_at * ticks / interval;
}

static int is_within(double x) { return x > -OFFSET_MAX && x < OFFSET_MAX; }

qrt_status drift_until(qrt_plant *plant, int64_t sample, int64_t shot, uint32_t index)
{
    plant_state *s = &plant->state;
    const int64_t passed = sample - s->drifted_at;
    PLANT_ASSERT(passed >= 0);
    if (passed == 0)
        return QRT_OK;
    const double root = __builtin_sqrt((double)passed);
    for (uint32_t q = 0; q < plant->config.qubit_count; q++) {
        const drift_law *law = &plant->drifts[q];
        qubit *u = &s->qubits[q];
        if (!law->is_moving)
            continue;
        const cplx normal = normal_pair(s->seed, q, shot, index);
        const double step = law->frequency_walk * root * normal.re;
        const double ramp = law->frequency_ramp * (double)sample;
        if (!is_within((double)u->walked + step) || !is_within(ramp) || !is_within((double)u->walked + step + ramp))
            return QRT_ERR_PORT;
        u->walked += whole(step);
        u->offset = u->walked + whole(ramp);
        u->output_turns += turns_per_sample(law->phase_walk * root * normal.im);
    }
    s->drifted_at = sample;
    return QRT_OK;
}

void rebase_drift(qrt_plant *plant)
{
    for (uint32_t q = 0; q < plant->config.qubit_count; q++)
        plant->state.qubits[q].walked = plant->state.qubits[q].offset;
    plant->state.drifted_at = 0;
}
