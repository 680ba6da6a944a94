/* Couplers: what two qubits do to each other while a coupler's tone is on.
 *
 * With theta = 2 pi integral |V|^2 dt, the tone of H (qrt_plant.h) is diagonal: it turns m_a = x + iy of a by stark_a theta, and by
 * zz theta more in the part in which b is in level 1, and so with b. It commutes with everything that happens to either qubit by itself
 * except relaxation between the levels of the other one. So free evolution (qubits.c) and the tone's phases are taken for the whole
 * stretch at once, and only the pair (m_a 1, m_a Z_b) goes sample by sample: half a sample of b's relaxation, the tone's phase,
 * the other half,
 *
 *     relax: (u, w) -> (u, d w + (1 - d) z_eq u)        phase: u -> (1 + p) u / 2 + (1 - p) w / 2,   p = e^{i zz theta of the sample}
 *                                                               w -> (1 - p) u / 2 + (1 + p) w / 2
 *
 * which is a 2x2 matrix for a and another one for b. A tone that nothing overlaps has it cached by (segment, amplitude); its phase and
 * frequency do not matter. A qubit that is being measured has a level: the other one turns as that level says, until it jumps.
 *
 * A tone acts up to any sample at which something else happens to one of its qubits (a readout, a jump, another play on the line). What
 * does not commute with it is refused: a drive pulse on one of the qubits, and the tone of another coupler that shares one.
 */
#include "plant.h"

int64_t end_of_plays(const placed_play *plays, uint32_t play_count)
{
    int64_t end = 0;
    for (uint32_t p = 0; p < play_count; p++) {
        end = end_of(&plays[p]) > end ? end_of(&plays[p]) : end;
    }
    return end;
}

/* ---- The map of a stretch ------------------------------------------------------------------------------------------- */

static pair_map no_tone(void)
{
    pair_map map = {.zz = 0};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 2; i++)
            map.other[k][i][i] = (cplx){1.0, 0.0};
    return map;
}

static void relax_other(const qubit_law *law, cplx u[2], cplx w[2])
{
    const double gain = law->equilibrium_z * (1.0 - law->half_t1);
    for (int column = 0; column < 2; column++)
        w[column] = c_add(c_scale(w[column], law->half_t1), c_scale(u[column], gain));
}

static void go_on(const qrt_plant *plant, uint32_t c, const cplx *volts, uint32_t sample_count, pair_map *map)
{
    const qrt_plant_coupler *coupler = &plant->config.couplers[c];
    for (uint32_t n = 0; n < sample_count; n++) {
        const double power = c_norm(volts[n]) * plant->sample_s;
        const uint64_t zz = turns_per_sample(coupler->zz_hz_per_v2 * power);
        const cplx phase = turn_exp(zz);
        const cplx plus = {0.5 + 0.5 * phase.re, 0.5 * phase.im}, minus = {0.5 - 0.5 * phase.re, -0.5 * phase.im};
        map->zz += zz;
        for (int k = 0; k < 2; k++) {
            const qubit_law *law = &plant->laws[coupler->qubits[1 - k]];
            cplx *u = map->other[k][0], *w = map->other[k][1];
            map->stark[k] += turns_per_sample(coupler->stark_hz_per_v2[k] * power);
            relax_other(law, u, w);
            for (int column = 0; column < 2; column++) {
                const cplx before = u[column];
                u[column] = c_add(c_mul(plus, before), c_mul(minus, w[column]));
                w[column] = c_add(c_mul(minus, before), c_mul(plus, w[column]));
            }
            relax_other(law, u, w);
        }
    }
}

/* Of the plays' samples from `from` to `to`; returns the clipped ones. */
static int64_t go_through(qrt_plant *plant, uint32_t c, const placed_play *plays, uint32_t play_count, int64_t from, int64_t to,
                          pair_map *map)
{
    const cplx offset = plant->lines[plays[0].key.line].offset;
    int64_t clip_count = 0;
    for (int64_t first = from; first < to; first += plant->config.tone_samples_max) {
        const int64_t rest = to - first;
        const uint32_t count = rest < plant->config.tone_samples_max ? (uint32_t)rest : plant->config.tone_samples_max;
        placed_play placed[PULSES_MAX];
        for (uint32_t p = 0; p < play_count; p++)
            placed[p] = (placed_play){plays[p].start - first, plays[p].key};
        clip_count += emit(plant, placed, play_count, count, plant->volts[0]);
        for (uint32_t n = 0; n < count; n++)
            plant->volts[0][n] = c_add(plant->volts[0][n], offset);
        go_on(plant, c, plant->volts[0], count, map);
    }
    return clip_count;
}

static const pair_map *map_of(qrt_plant *plant, uint32_t c, const play_key *key)
{
    uint32_t found = 0;
    cache_entry *entry =
        look_up(plant->pair_maps, sizeof *plant->pair_maps, plant->config.response_count_max, key, 0, &found);
    pair_map *map = &plant->pair_maps[found];
    if (!entry->is_valid) {
        const placed_play alone = {0, *key};
        *map = no_tone();
        map->entry.clip_count = go_through(plant, c, &alone, 1, 0, (int64_t)key->sample_count, map);
        map->entry.key = *key;
        map->entry.is_valid = 1;
        plant->truth.response_miss_count++;
    }
    map->entry.used_at = ++plant->use_count;
    return map;
}

/* What the tones that are on do between two samples. */
static pair_map map_between(qrt_plant *plant, uint32_t c, int64_t from, int64_t to)
{
    const coupling *on = &plant->state.couplings[c];
    const placed_play *first = &on->plays[0];
    pair_map map = no_tone();
    if (on->play_count == 1 && from == first->start && to == end_of(first)) {
        play_key key = first->key;
        if (is_linear(plant, &key) && c_is_zero(plant->lines[key.line].offset)) {
            key.phase = 0; /* |V| is that of the envelope */
            key.frequency = 0;
        }
        map = *map_of(plant, c, &key);
    } else
        map.entry.clip_count = go_through(plant, c, on->plays, on->play_count, from, to, &map);
    plant->truth.dac_clip_count += map.entry.clip_count;
    return map;
}

/* ---- On the qubits -------------------------------------------------------------------------------------------------- */

/* Both from where they stand to `to`, before which nothing else happens to them. */
static void act(qrt_plant *plant, uint32_t c, int64_t to)
{
    const uint32_t *pair = plant->config.couplers[c].qubits;
    qubit *u[2] = {&plant->state.qubits[pair[0]], &plant->state.qubits[pair[1]]};
    PLANT_ASSERT(u[0]->at == u[1]->at && u[0]->at < to);
    const pair_map map = map_between(plant, c, u[0]->at, to);
    if (!u[0]->is_definite && !u[1]->is_definite)
        correlate(plant, pair[0], pair[1]);
    bloch v[2][VECTORS_MAX];
    for (int k = 0; k < 2; k++) {
        if (u[k]->is_definite)
            continue;
        const uint32_t vector_count = take_vectors(plant, pair[k], v[k]);
        evolve(plant, pair[k], to, v[k], vector_count);
        const uint64_t by_other = u[1 - k]->is_definite && u[1 - k]->level ? map.zz : 0;
        turn(v[k], vector_count, turn_exp(map.stark[k] + by_other));
        if (u[1 - k]->is_definite)
            put_vectors(plant, pair[k], v[k]);
    }
    if (!u[0]->is_definite && !u[1]->is_definite)
        couple_vectors(plant, pair, &map, v);
    u[0]->at = u[1]->at = to;
}

static int64_t next_event(const qubit *u, int64_t sample)
{
    if (!u->is_definite)
        return sample;
    const int64_t event = u->jump < u->definite_end ? u->jump : u->definite_end;
    return event < sample ? event : sample;
}

qrt_status couple_until(qrt_plant *plant, uint32_t c, int64_t sample)
{
    const uint32_t *pair = plant->config.couplers[c].qubits;
    qubit *u[2] = {&plant->state.qubits[pair[0]], &plant->state.qubits[pair[1]]};
    coupling *on = &plant->state.couplings[c];
    const int64_t end = end_of_plays(on->plays, on->play_count);
    while (u[0]->at < sample && u[0]->at < end) {
        const int64_t to = next_event(u[1], next_event(u[0], sample < end ? sample : end));
        act(plant, c, to);
        for (int k = 0; k < 2; k++) {
            const qrt_status status = u[k]->is_definite ? follow_level(plant, pair[k], to) : QRT_OK;
            if (status != QRT_OK)
                return status;
        }
    }
    if (u[0]->at >= end) {
        on->play_count = u[0]->coupling = u[1]->coupling = 0;
        separate(plant);
    }
    return QRT_OK;
}

qrt_status couple(qrt_plant *plant, uint32_t c, int64_t sample, const play_key *key)
{
    const uint32_t *pair = plant->config.couplers[c].qubits;
    coupling *on = &plant->state.couplings[c];
    for (int k = 0; k < 2; k++) {
        const qrt_status status = advance(plant, pair[k], sample);
        if (status != QRT_OK)
            return status;
    }
    for (int k = 0; k < 2; k++) {
        const qubit *u = &plant->state.qubits[pair[k]];
        if (u->pulse_count > 0 || (u->coupling > 0 && u->coupling != c + 1))
            return QRT_ERR_DRIVE_IN_COUPLING;
        PLANT_ASSERT(u->at == sample);
    }
    if (on->play_count == PULSES_MAX)
        return QRT_ERR_LINE;
    on->plays[on->play_count++] = (placed_play){sample, *key};
    for (int k = 0; k < 2; k++)
        plant->state.qubits[pair[k]].coupling = c + 1;
    return QRT_OK;
}
