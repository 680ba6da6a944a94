/* The plant's memory: one description measures it and lays it out; what follows from the config is derived into it, once; the
 * segments of a line are kept in it without gaps, each replaced as a whole, and what is cached of an old one is forgotten.
 */
#include "plant.h"
#include <string.h>

/* ---- The lent block ------------------------------------------------------------------------------------------------- */

typedef struct {
    char *base; /* NULL: only measure */
    size_t used;
} arena;

static void *take(arena *a, size_t count, size_t size)
{
    void *block = a->base == NULL ? NULL : a->base + a->used;
    a->used += (count * size + 63) / 64 * 64;
    return block;
}

static void lay_out_responses(arena *a, const qrt_plant_config *config, response *responses)
{
    const size_t count = (size_t)config->tone_samples_max + 1;
    for (uint32_t i = 0; i < config->response_count_max; i++) {
        response unused;
        response *r = responses == NULL ? &unused : &responses[i];
        for (uint32_t q = 0; q < config->qubit_count; q++) {
            r->overlap[q] = take(a, count, sizeof(cplx));
            for (int j = 0; j < 2; j++) {
                r->field[q][j] = take(a, count, sizeof(cplx));
                r->re[q][j] = take(a, count, sizeof(float));
                r->im[q][j] = take(a, count, sizeof(float));
            }
        }
    }
}

/* The one description of the memory: measures if `plant` is NULL, lays out otherwise. `decay_counts` of the resonators. */
static size_t lay_out(qrt_plant *plant, const qrt_plant_config *config, const uint32_t *decay_counts)
{
    qrt_plant unused;
    arena a = {(char *)plant, 0};
    (void)take(&a, 1, sizeof *plant);
    qrt_plant *p = plant == NULL ? &unused : plant;
    for (uint32_t l = 0; l < config->line_count; l++) {
        p->lines[l].i = take(&a, config->segment_samples_max, sizeof(int16_t));
        p->lines[l].q = take(&a, config->segment_samples_max, sizeof(int16_t));
        p->lines[l].segments = take(&a, config->segment_count_max, sizeof(segment));
    }
    for (uint32_t q = 0; q < config->qubit_count; q++) {
        for (int j = 0; j < 2; j++) {
            p->resonators[q].decay[j] = take(&a, (size_t)decay_counts[q] + 1, sizeof(cplx));
            p->resonators[q].decay_re[j] = take(&a, (size_t)decay_counts[q] + 1, sizeof(float));
            p->resonators[q].decay_im[j] = take(&a, (size_t)decay_counts[q] + 1, sizeof(float));
        }
    }
    p->volts[0] = take(&a, config->tone_samples_max, sizeof(cplx));
    p->volts[1] = take(&a, config->tone_samples_max, sizeof(cplx));
    p->samples = take(&a, (size_t)config->capture_samples_max + 3 * NOISE_GROUP, sizeof(float));
    p->counts = take(&a, (size_t)config->capture_samples_max + NOISE_GROUP, sizeof(int16_t));
    p->maps = take(&a, config->response_count_max, sizeof(pulse_map));
    p->pair_maps = take(&a, config->response_count_max, sizeof(pair_map));
    p->responses = take(&a, config->response_count_max, sizeof(response));
    lay_out_responses(&a, config, plant == NULL ? NULL : p->responses);
    return a.used;
}

/* ---- Config --------------------------------------------------------------------------------------------------------- */

/* Everything that follows from the config, without the tables. 0: a resonator so slow that its memory has no bound here. */
static int derive(qrt_plant *plant, const qrt_plant_config *config)
{
    plant->config = *config;
    plant->sample_s = (double)config->tick_ps * 1e-12 * (double)config->sample_ticks;
    plant->feedline = -1;
    for (uint32_t l = 0; l < config->line_count; l++) {
        plant->lines[l] = line_of(&config->lines[l]);
        if (is_feedline(&plant->lines[l]))
            plant->feedline = (int32_t)l;
    }
    for (uint32_t q = 0; q < config->qubit_count; q++) {
        plant->resonators[q] = resonator_of(plant, q);
        plant->laws[q] = law_of(plant, q);
        plant->drifts[q] = drift_of(plant, q);
        if (plant->resonators[q].decay_count > DECAY_SAMPLES_MAX)
            return 0;
    }
    const double gain = config->adc.volts_per_sqrt_hz_root / config->adc.volts_per_count;
    plant->sigma = (float)(gain * __builtin_sqrt(0.5 / plant->sample_s));
    return 1;
}

size_t qrt_plant_size(const qrt_plant_config *config)
{
    qrt_plant scratch;
    uint32_t decay_counts[QRT_PLANT_QUBITS_MAX] = {0};
    if (config == NULL || config->abi != QRT_PLANT_ABI || config->size != sizeof *config || !config_is_valid(config) ||
        !derive(&scratch, config))
        return 0;
    for (uint32_t q = 0; q < config->qubit_count; q++)
        decay_counts[q] = scratch.resonators[q].decay_count;
    return lay_out(NULL, config, decay_counts);
}

qrt_status qrt_plant_init(qrt_plant *plant, size_t plant_size, const qrt_plant_config *config)
{
    if (config == NULL || config->abi != QRT_PLANT_ABI || config->size != sizeof *config)
        return QRT_ERR_ABI;
    const size_t size = qrt_plant_size(config);
    if (size == 0 || plant == NULL || (uintptr_t)plant % 64 != 0)
        return QRT_ERR_ARGUMENT;
    if (plant_size < size)
        return QRT_ERR_MEMORY;
    memset(plant, 0, size);
    (void)derive(plant, config);
    uint32_t decay_counts[QRT_PLANT_QUBITS_MAX] = {0};
    for (uint32_t q = 0; q < config->qubit_count; q++)
        decay_counts[q] = plant->resonators[q].decay_count;
    (void)lay_out(plant, config, decay_counts);
    for (uint32_t q = 0; q < config->qubit_count; q++) {
        fill_decay(&plant->resonators[q]);
        qubit *u = &plant->state.qubits[q];
        u->v.z = plant->laws[q].equilibrium_z;
        u->piece_count = 1;
        u->pieces[0].weight[0] = 1.0 - config->qubits[q].thermal_population;
        u->pieces[0].weight[1] = config->qubits[q].thermal_population;
    }
    plant->rendered_start = -1;
    return QRT_OK;
}

/* ---- Segments ------------------------------------------------------------------------------------------------------- */

qrt_status qrt_plant_segment(qrt_plant *plant, uint16_t line_index, uint16_t index, const int16_t *i, const int16_t *q,
                             uint32_t sample_count)
{
    if (line_index >= plant->config.line_count)
        return QRT_ERR_LINE;
    if (index >= plant->config.segment_count_max)
        return QRT_ERR_SEGMENT;
    if (i == NULL || q == NULL || sample_count == 0)
        return QRT_ERR_ARGUMENT;
    line *l = &plant->lines[line_index];
    segment *s = &l->segments[index];
    if (l->used - s->sample_count + (uint64_t)sample_count > plant->config.segment_samples_max)
        return QRT_ERR_MEMORY;
    if (s->sample_count > 0) { /* closes the gap of the old one */
        const uint32_t after = s->offset + s->sample_count;
        memmove(l->i + s->offset, l->i + after, (l->used - after) * sizeof *l->i);
        memmove(l->q + s->offset, l->q + after, (l->used - after) * sizeof *l->q);
        for (uint32_t k = 0; k < plant->config.segment_count_max; k++)
            if (l->segments[k].offset >= after)
                l->segments[k].offset -= s->sample_count;
        l->used -= s->sample_count;
    }
    *s = (segment){.offset = l->used, .sample_count = sample_count};
    l->used += sample_count;
    double peak = 0.0;
    for (uint32_t n = 0; n < sample_count; n++) {
        l->i[s->offset + n] = i[n];
        l->q[s->offset + n] = q[n];
        const double power = (double)i[n] * (double)i[n] + (double)q[n] * (double)q[n];
        peak = power > peak ? power : peak;
    }
    s->peak = __builtin_sqrt(peak);
    for (uint32_t k = 0; k < plant->config.response_count_max; k++) {
        cache_entry *entries[3] = {&plant->responses[k].entry, &plant->maps[k].entry, &plant->pair_maps[k].entry};
        for (int e = 0; e < 3; e++)
            if (entries[e]->key.line == line_index && entries[e]->key.segment == index)
                entries[e]->is_valid = 0;
    }
    return QRT_OK;
}
