/* What tests and records ask of a plant: the truth, the path of levels, its state as bytes and back, and a look at a qubit at any tick
 * that is not past, up to which the look lets time pass.
 */
#include "plant.h"
#include <string.h>

qrt_status qrt_plant_read_truth(const qrt_plant *plant, qrt_plant_truth *truth_out)
{
    *truth_out = plant->truth;
    return QRT_OK;
}

/* ---- The product of Z that is watched ------------------------------------------------------------------------------- */

qrt_status qrt_plant_watch(qrt_plant *plant, const int32_t tones[QRT_PLANT_QUBITS_MAX])
{
    uint32_t qubits = 0;
    for (uint32_t q = 0; q < QRT_PLANT_QUBITS_MAX; q++) {
        if (tones[q] < -1 || (tones[q] >= 0 && q >= plant->config.qubit_count))
            return QRT_ERR_ARGUMENT;
        plant->watch.tones[q] = tones[q];
        qubits |= (uint32_t)(tones[q] >= 0) << q;
    }
    plant->watch.qubits = qubits;
    plant->watch.left = 0;
    return QRT_OK;
}

void watch_shot(qrt_plant *plant)
{
    plant->watch.left = plant->watch.qubits;
    plant->watch.sample = -1;
    plant->watch.before = plant->watch.found = 1.0;
}

void watch_tone(qrt_plant *plant, uint32_t q, int64_t sample, int32_t level)
{
    watch *w = &plant->watch;
    if (!(w->left >> q & 1) || w->tones[q] != (int32_t)plant->state.qubits[q].tone_count)
        return;
    if (w->sample != sample) { /* the others that are left may begin here, too; if not, this is done again there */
        w->sample = sample;
        w->before *= w->found;
        w->found = 1.0;
        w->expected = mean_of_z(plant, w->left);
    }
    w->found *= level ? -1.0 : 1.0;
    w->left &= ~(1u << q);
    if (w->left == 0) {
        plant->truth.product_sum += w->before * w->expected;
        plant->truth.product_count++;
    }
}

/* ---- The path of levels, the state ---------------------------------------------------------------------------------- */

qrt_status qrt_plant_log_path(qrt_plant *plant, qrt_plant_path *path, uint32_t path_count_max)
{
    plant->path = path;
    plant->path_count_max = path_count_max;
    plant->path_count = 0;
    return QRT_OK;
}

int64_t qrt_plant_path_count(const qrt_plant *plant) { return plant->path_count; }

size_t qrt_plant_state_size(void) { return sizeof(plant_state); }

qrt_status qrt_plant_save(const qrt_plant *plant, void *state_out, size_t state_size)
{
    if (state_size < sizeof plant->state)
        return QRT_ERR_MEMORY;
    for (uint32_t slot = 0; slot < CAPTURES_MAX; slot++)
        if (plant->captures[slot].is_open)
            return QRT_ERR_ARGUMENT;
    for (uint32_t k = 0; k < plant->state.tone_count; k++)
        if (plant->state.tones[k].is_residue)
            return QRT_ERR_ARGUMENT;
    memcpy(state_out, &plant->state, sizeof plant->state);
    return QRT_OK;
}

qrt_status qrt_plant_restore(qrt_plant *plant, const void *state, size_t state_size)
{
    if (state_size < sizeof plant->state)
        return QRT_ERR_MEMORY;
    memcpy(&plant->state, state, sizeof plant->state);
    memset(plant->captures, 0, sizeof plant->captures);
    plant->rendered_start = -1;
    for (uint32_t k = 0; k < plant->state.tone_count; k++)
        resolve_tone(plant, k);
    return QRT_OK;
}

qrt_status qrt_plant_peek(qrt_plant *plant, uint32_t q, int64_t tick, double bloch_out[3], double field_out[4])
{
    const int64_t sample = tick / plant->config.sample_ticks;
    if (q >= plant->config.qubit_count)
        return QRT_ERR_ARGUMENT;
    if (tick < 0 || sample < plant->state.now)
        return QRT_ERR_TICK_ORDER;
    plant->state.now = sample;
    const qrt_status status = advance(plant, q, sample);
    if (status != QRT_OK)
        return status;
    const qubit *u = &plant->state.qubits[q];
    bloch_out[0] = u->is_definite ? 0.0 : u->v.x;
    bloch_out[1] = u->is_definite ? 0.0 : u->v.y;
    bloch_out[2] = u->is_definite ? 1.0 - 2.0 * u->level : u->v.z;
    for (int j = 0; j < 2; j++) {
        const cplx field = field_at(plant, q, u->is_definite ? u->level : j, sample);
        field_out[2 * j] = field.re;
        field_out[2 * j + 1] = field.im;
    }
    return QRT_OK;
}

qrt_status qrt_plant_joint(qrt_plant *plant, int64_t tick, double *joint_out)
{
    const int64_t sample = tick / plant->config.sample_ticks;
    if (tick < 0 || sample < plant->state.now)
        return QRT_ERR_TICK_ORDER;
    plant->state.now = sample;
    for (uint32_t q = 0; q < plant->config.qubit_count; q++) {
        const qrt_status status = advance(plant, q, sample);
        if (status != QRT_OK)
            return status;
    }
    read_joint(plant, joint_out);
    return QRT_OK;
}

qrt_status qrt_plant_drift(const qrt_plant *plant, uint32_t q, double *frequency_hz_out, double *phase_rad_out)
{
    if (q >= plant->config.qubit_count)
        return QRT_ERR_ARGUMENT;
    *frequency_hz_out = (double)plant->state.qubits[q].offset / (TURN * plant->sample_s);
    *phase_rad_out = (double)(int64_t)plant->state.qubits[q].output_turns * (TWO_PI / TURN);
    return QRT_OK;
}
