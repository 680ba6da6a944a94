/* What a config must hold before anything is made of it: ranges of single numbers, and names that must not meet. */
#include "plant.h"

static int is_finite(double x) { return x - x == 0.0; }
static int is_duration(double x) { return x > 0.0; } /* infinity is one, not-a-number is not */

static int is_rate(double x) { return x >= 0.0 && x <= 1e9; } /* of a drift: far beyond any hardware */

static int qubit_is_valid(const qrt_plant_qubit *q)
{
    return is_finite(q->frequency_hz) && is_duration(q->t1_s) && is_duration(q->t2_s) &&
           q->t2_s <= 2.0 * q->t1_s * (1.0 + 1e-9) && q->thermal_population >= 0.0 && q->thermal_population <= 1.0 &&
           is_finite(q->drive_rad_per_s_per_v) && is_finite(q->resonator_hz) && is_finite(q->kappa_rad_per_s) &&
           q->kappa_rad_per_s > 0.0 && is_finite(q->chi_rad_per_s) && is_finite(q->readout_rad_per_s_per_v) &&
           q->efficiency >= 0.0 && q->efficiency <= 1.0 && is_finite(q->output_phase_rad) &&
           is_rate(q->frequency_walk_hz_per_root_s) && is_rate(q->phase_walk_rad_per_root_s) &&
           (is_rate(q->frequency_drift_hz_per_s) || is_rate(-q->frequency_drift_hz_per_s));
}

static int is_shift(double x) { return x >= -1e12 && x <= 1e12; } /* Hz/V^2: far beyond any hardware */

static int couplers_are_valid(const qrt_plant_config *c)
{
    if (c->coupler_count > QRT_PLANT_COUPLERS_MAX)
        return 0;
    for (uint32_t k = 0; k < c->coupler_count; k++) {
        const qrt_plant_coupler *one = &c->couplers[k];
        if (one->qubits[0] >= c->qubit_count || one->qubits[1] >= c->qubit_count || one->qubits[0] == one->qubits[1] ||
            !is_shift(one->zz_hz_per_v2) || !is_shift(one->stark_hz_per_v2[0]) || !is_shift(one->stark_hz_per_v2[1]))
            return 0;
    }
    return 1;
}

/* Each qubit and each coupler has one line at most, and the feedline is one. */
static int lines_are_valid(const qrt_plant_config *c)
{
    uint32_t seen = 0;
    for (uint32_t l = 0; l < c->line_count; l++) {
        const qrt_plant_line *line = &c->lines[l];
        if (line->qubit < -1 || line->qubit >= (int32_t)c->qubit_count || line->coupler < -1 ||
            line->coupler >= (int32_t)c->coupler_count || (line->qubit >= 0 && line->coupler >= 0))
            return 0;
        const int32_t place = line->coupler >= 0 ? QRT_PLANT_QUBITS_MAX + 1 + line->coupler : line->qubit + 1;
        if (seen >> place & 1)
            return 0;
        seen |= 1u << place;
        if (!is_finite(line->source_hz) || !is_finite(line->volts_per_count_i) || !is_finite(line->volts_per_count_q) ||
            !is_finite(line->offset_v_i) || !is_finite(line->offset_v_q) || !is_finite(line->gain_imbalance) ||
            !is_finite(line->skew_rad))
            return 0;
    }
    return 1;
}

int config_is_valid(const qrt_plant_config *c)
{
    if (c->qubit_count < 1 || c->qubit_count > QRT_PLANT_QUBITS_MAX || c->line_count > QRT_PLANT_LINES_MAX)
        return 0;
    for (uint32_t q = 0; q < c->qubit_count; q++)
        if (!qubit_is_valid(&c->qubits[q]))
            return 0;
    const uint32_t samples_max = 1u << 28;
    return couplers_are_valid(c) && lines_are_valid(c) && c->tick_ps > 0 && c->sample_ticks > 0 && c->granularity_ticks > 0 &&
           c->granularity_ticks % c->sample_ticks == 0 && c->feedback_latency_ticks >= 0 &&
           c->drift_interval_ticks >= 0 && c->capture_samples_max > 0 && c->capture_samples_max < samples_max &&
           c->segment_count_max > 0 && c->segment_count_max <= 65536 &&
           c->segment_samples_max > 0 && c->segment_samples_max < samples_max && c->tone_samples_max > 0 &&
           c->tone_samples_max < samples_max && c->response_count_max > TONES_MAX && c->response_count_max <= 64 &&
           trigger_is_valid(c->trigger_period_fs, c->trigger_jitter_ns) && c->answer_ns_max >= 0 &&
           faults_are_valid(&c->faults, c->answer_ns_max) && c->negligible_exponent >= 0.0 &&
           c->projective_exponent > c->negligible_exponent && c->adc.bits >= 2 &&
           c->adc.bits <= 16 && is_finite(c->adc.volts_per_count) && c->adc.volts_per_count > 0.0 &&
           is_finite(c->adc.volts_per_sqrt_hz_root) && c->adc.volts_per_sqrt_hz_root >= 0.0;
}
