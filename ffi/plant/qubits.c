/* Qubits: a Bloch vector in the frame at the configured f_qubit, or a definite level that jumps. What happens to a qubit by itself is here,
 * written for several vectors at once: a correlated qubit has its maps from the images of four (cluster.c).
 *
 * A drive pulse is the ordered product of one rotation per DAC sample, exact for voltages that are constant over a sample,
 * with relaxation around it. It is computed once per (segment, amplitude, frequency) as an affine map of the
 * Bloch vector in the frame of the line's source, and turned by the NCO's phase; with photons in the resonator, or plays that
 * overlap, it is computed anew, sample by sample, with Stark shift and dephasing. A qubit that drifts has its maps made anew in
 * each shot.
 * Not nice: carrier leakage of a drive line acts during plays only. A pulse leaves the two conditional fields where they are.
 */
#include "plant.h"

qubit_law law_of(const qrt_plant *plant, uint32_t q)
{
    const qrt_plant_qubit *c = &plant->config.qubits[q];
    const double dt = plant->sample_s;
    qubit_law law = {
        .rate_up = dt / c->t1_s * c->thermal_population,
        .rate_down = dt / c->t1_s * (1.0 - c->thermal_population),
        .rate_t1 = dt / c->t1_s,
        .rate_t2 = dt / c->t2_s,
        .equilibrium_z = 1.0 - 2.0 * c->thermal_population,
        .half_t1 = real_exp(-0.5 * dt / c->t1_s),
        .half_t2 = real_exp(-0.5 * dt / c->t2_s),
    };
    for (uint32_t l = 0; l < plant->config.line_count; l++) {
        const double cycles = (c->frequency_hz - plant->config.lines[l].source_hz) * dt;
        law.delta[l] = TWO_PI * cycles;
        law.turns[l] = turns_per_sample(cycles);
    }
    return law;
}

/* ---- Free evolution ------------------------------------------------------------------------------------------------- */

/* What photons do to m = x + iy, from their integral of conj(alpha_0) alpha_1. */
static cplx photon_factor(const qrt_plant *plant, uint32_t q, cplx overlap)
{
    const double twice_chi = 2.0 * plant->config.qubits[q].chi_rad_per_s * plant->sample_s;
    return complex_exp(c_mul((cplx){0.0, twice_chi}, overlap));
}

void turn(bloch *v, uint32_t vector_count, cplx by)
{
    for (uint32_t k = 0; k < vector_count; k++) {
        const cplx m = c_mul((cplx){v[k].x, v[k].y}, by);
        v[k].x = m.re;
        v[k].y = m.im;
    }
}

static inline void evolve_some(const qrt_plant *plant, uint32_t q, int64_t sample, bloch *v, uint32_t vector_count)
{
    const qubit_law *law = &plant->laws[q];
    const qubit *u = &plant->state.qubits[q];
    const double sample_count = (double)(sample - u->at);
    const double coherence = real_exp(-sample_count * law->rate_t2), decay = real_exp(-sample_count * law->rate_t1);
    int is_coherent = 0;
    for (uint32_t k = 0; k < vector_count; k++) {
        v[k].x *= coherence;
        v[k].y *= coherence;
        v[k].z = law->equilibrium_z + (v[k].z - law->equilibrium_z) * decay;
        is_coherent |= v[k].x != 0.0 || v[k].y != 0.0;
    }
    if (!is_coherent)
        return;
    const cplx overlap = overlap_between(plant, q, u->at, sample);
    if (!c_is_zero(overlap))
        turn(v, vector_count, photon_factor(plant, q, overlap));
    if (u->offset != 0)
        turn(v, vector_count, turn_exp((uint64_t)u->offset * (uint64_t)(sample - u->at)));
}

void evolve(const qrt_plant *plant, uint32_t q, int64_t sample, bloch *v, uint32_t vector_count)
{
    evolve_some(plant, q, sample, v, vector_count);
}

static void relax_until(qrt_plant *plant, uint32_t q, int64_t sample)
{
    qubit *u = &plant->state.qubits[q];
    PLANT_ASSERT(!u->is_definite && sample >= u->at);
    if (sample == u->at)
        return;
    if (u->cluster == 0) /* at every step of every shot: in place, without a loop, 2 % of the plant's time */
        evolve_some(plant, q, sample, &u->v, 1);
    else {
        bloch v[VECTORS_MAX];
        probe_vectors(v);
        evolve(plant, q, sample, v, VECTORS_MAX);
        map_correlated(plant, q, v);
    }
    u->at = sample;
}

/* ---- Drive pulses --------------------------------------------------------------------------------------------------- */

/* Rotation by |w| about w, positive sense (Rodrigues, by half angles). */
static bloch rotate(bloch v, double c, double s, double wx, double wy, double wz)
{
    const double px = s * wx, py = s * wy, pz = s * wz;
    const double ax = py * v.z - pz * v.y, ay = pz * v.x - px * v.z, az = px * v.y - py * v.x;
    return (bloch){
        v.x + 2.0 * (c * ax + (py * az - pz * ay)),
        v.y + 2.0 * (c * ay + (pz * ax - px * az)),
        v.z + 2.0 * (c * az + (px * ay - py * ax)),
    };
}

static void relax_half(const qubit_law *law, bloch *v)
{
    v->x *= law->half_t2;
    v->y *= law->half_t2;
    v->z = law->equilibrium_z + (v->z - law->equilibrium_z) * law->half_t1;
}

/* Sends Bloch vectors, in the frame of the line's source, through the samples. Half a sample's relaxation before and half after
 * each rotation: what they do not commute is then of second order. */
static void drive(const qrt_plant *plant, uint32_t q, uint32_t l, const cplx *volts, uint32_t sample_count, bloch *v,
                  uint32_t vector_count)
{
    const qubit_law *law = &plant->laws[q];
    const double scale = plant->config.qubits[q].drive_rad_per_s_per_v * plant->sample_s;
    const double wz = law->delta[l] + (double)plant->state.qubits[q].offset * (TWO_PI / TURN);
    for (uint32_t n = 0; n < sample_count; n++) {
        const cplx omega = c_scale(c_add(volts[n], plant->lines[l].offset), scale);
        const double angle = __builtin_sqrt(c_norm(omega) + wz * wz);
        const cplx half = radian_exp(0.5 * angle);
        const double s = angle == 0.0 ? 0.0 : half.im / angle;
        for (uint32_t k = 0; k < vector_count; k++) {
            relax_half(law, &v[k]);
            v[k] = rotate(v[k], half.re, s, omega.re, omega.im, wz);
            relax_half(law, &v[k]);
        }
    }
}

static const pulse_map *map_of(qrt_plant *plant, uint32_t q, const play_key *key)
{
    uint32_t found = 0;
    cache_entry *entry = look_up(plant->maps, sizeof *plant->maps, plant->config.response_count_max, key, 0, &found);
    pulse_map *map = &plant->maps[found];
    map->entry.used_at = ++plant->use_count;
    if (entry->is_valid)
        return map;
    bloch v[VECTORS_MAX];
    probe_vectors(v);
    map->entry.key = *key;
    map->entry.is_valid = 1;
    map->entry.clip_count = 0;
    for (uint32_t done = 0; done < key->sample_count; done += plant->config.tone_samples_max) {
        const uint32_t rest = key->sample_count - done;
        const uint32_t count = rest < plant->config.tone_samples_max ? rest : plant->config.tone_samples_max;
        const placed_play play = {-(int64_t)done, *key};
        map->entry.clip_count += emit(plant, &play, 1, count, plant->volts[0]);
        drive(plant, q, key->line, plant->volts[0], count, v, VECTORS_MAX);
    }
    const double origin[3] = {v[0].x, v[0].y, v[0].z};
    for (int i = 0; i < 3; i++) {
        const double column[3] = {v[i + 1].x, v[i + 1].y, v[i + 1].z};
        map->shift[i] = origin[i];
        for (int k = 0; k < 3; k++)
            map->matrix[k][i] = column[k] - origin[k];
    }
    plant->truth.response_miss_count++;
    return map;
}

static bloch image_of(const pulse_map *map, bloch v)
{
    const double a[3] = {v.x, v.y, v.z};
    double b[3];
    for (int i = 0; i < 3; i++)
        b[i] = map->shift[i] + map->matrix[i][0] * a[0] + map->matrix[i][1] * a[1] + map->matrix[i][2] * a[2];
    return (bloch){b[0], b[1], b[2]};
}

/* One pulse, no photons: the cached map, turned by what the map does not know. */
static void apply_map(qrt_plant *plant, uint32_t q, int64_t start, const play_key *play)
{
    play_key key = *play;
    uint64_t phase = 0;
    if (is_linear(plant, play) && c_is_zero(plant->lines[play->line].offset)) {
        phase = key.phase;
        key.phase = 0;
    }
    key.offset = plant->state.qubits[q].offset;
    const uint64_t turns = plant->laws[q].turns[play->line];
    const pulse_map *map = map_of(plant, q, &key);
    const cplx before = turn_exp(turns * (uint64_t)start - phase);
    const cplx after = turn_exp(phase - turns * (uint64_t)(start + (int64_t)play->sample_count));
    bloch v[VECTORS_MAX];
    const uint32_t vector_count = take_vectors(plant, q, v);
    turn(v, vector_count, before);
    for (uint32_t k = 0; k < vector_count; k++)
        v[k] = image_of(map, v[k]);
    turn(v, vector_count, after);
    put_vectors(plant, q, v);
    plant->truth.dac_clip_count += map->entry.clip_count;
}

/* Pulses that overlap, or photons: sample by sample. */
static void apply_samples(qrt_plant *plant, uint32_t q, uint32_t pulse_count, int64_t start, int64_t end)
{
    const qubit *u = &plant->state.qubits[q];
    const uint32_t l = u->pulses[0].key.line;
    const uint64_t turns = plant->laws[q].turns[l];
    placed_play plays[PULSES_MAX];
    bloch v[VECTORS_MAX];
    const uint32_t vector_count = take_vectors(plant, q, v);
    turn(v, vector_count, turn_exp(turns * (uint64_t)start));
    cplx now[2] = {field_at(plant, q, 0, start), field_at(plant, q, 1, start)};
    for (int64_t from = start; from < end; from += plant->config.tone_samples_max) {
        const int64_t rest = end - from;
        const uint32_t count = rest < plant->config.tone_samples_max ? (uint32_t)rest : plant->config.tone_samples_max;
        for (uint32_t p = 0; p < pulse_count; p++)
            plays[p] = (placed_play){u->pulses[p].start - from, u->pulses[p].key};
        plant->truth.dac_clip_count += emit(plant, plays, pulse_count, count, plant->volts[0]);
        for (uint32_t n = 0; n < count; n++) {
            const int64_t after = from + n + 1;
            const cplx next[2] = {field_at(plant, q, 0, after), field_at(plant, q, 1, after)};
            const cplx overlap = overlap_of_sample(&plant->resonators[q], now, next);
            const cplx half = photon_factor(plant, q, c_scale(overlap, 0.5));
            turn(v, vector_count, half);
            drive(plant, q, l, &plant->volts[0][n], 1, v, vector_count);
            turn(v, vector_count, half);
            now[0] = next[0];
            now[1] = next[1];
        }
    }
    turn(v, vector_count, turn_exp(0 - turns * (uint64_t)end));
    put_vectors(plant, q, v);
}

static int is_quiet(const qrt_plant *plant, uint32_t q, int64_t start, int64_t end)
{
    for (uint32_t k = 0; k < plant->state.tone_count; k++)
        if (plant->state.tones[k].end > start && plant->state.tones[k].start < end)
            return 0;
    return c_norm(field_at(plant, q, 0, start)) < QUIET_PHOTONS && c_norm(field_at(plant, q, 1, start)) < QUIET_PHOTONS;
}

/* Applies the first pulses of the queue, all that overlap, if they are over at `sample`. */
static int apply_pulses(qrt_plant *plant, uint32_t q, int64_t sample)
{
    qubit *u = &plant->state.qubits[q];
    const int64_t start = u->pulses[0].start;
    int64_t end = end_of(&u->pulses[0]);
    uint32_t count = 1;
    for (; count < u->pulse_count && u->pulses[count].start < end; count++)
        end = end_of(&u->pulses[count]) > end ? end_of(&u->pulses[count]) : end;
    relax_until(plant, q, start);
    if (end > sample)
        return 0;
    if (count == 1 && is_quiet(plant, q, start, end))
        apply_map(plant, q, start, &u->pulses[0].key);
    else
        apply_samples(plant, q, count, start, end);
    u->at = end;
    u->pulse_count -= count;
    for (uint32_t k = 0; k < u->pulse_count; k++)
        u->pulses[k] = u->pulses[k + count];
    return 1;
}

/* ---- Definite levels ------------------------------------------------------------------------------------------------ */

static double draw_uniform(qrt_plant *plant, uint32_t q) /* (0, 1), 53 bits */
{
    uint32_t words[4];
    qubit *u = &plant->state.qubits[q];
    qrt_random(plant->state.seed, QRT_STREAM_QUBIT + q, plant->state.shot, u->draw_count++, words);
    return ((double)(((uint64_t)words[0] << 32 | words[1]) >> 11) + 0.5) * 0x1p-53;
}

/* A level is kept for whole samples: the number of them is drawn from the exponential law, rounded up. */
void draw_jump(qrt_plant *plant, uint32_t q, int64_t from)
{
    qubit *u = &plant->state.qubits[q];
    const double rate = u->level ? plant->laws[q].rate_down : plant->laws[q].rate_up;
    const double wait = rate > 0.0 ? -real_log(draw_uniform(plant, q)) / rate : 1e18;
    u->jump = wait < 1e17 ? from + 1 + (int64_t)wait : NEVER;
}

static void log_path(qrt_plant *plant, uint32_t q, int64_t sample, double population, int32_t level)
{
    if (plant->path == NULL)
        return;
    if (plant->path_count < (int64_t)plant->path_count_max)
        plant->path[plant->path_count] = (qrt_plant_path){
            .shot = plant->state.shot,
            .tick = sample * plant->config.sample_ticks,
            .population = population,
            .qubit = (int32_t)q,
            .level = level,
        };
    plant->path_count++;
}

void release(qrt_plant *plant, uint32_t q, int64_t sample)
{
    qubit *u = &plant->state.qubits[q];
    u->is_definite = 0;
    u->v = (bloch){0.0, 0.0, u->level ? -1.0 : 1.0};
    u->at = sample;
    const int has_room = anchor(plant, q, sample, u->level);
    PLANT_ASSERT(has_room); /* jumps leave two places free */
}

qrt_status follow_level(qrt_plant *plant, uint32_t q, int64_t sample)
{
    qubit *u = &plant->state.qubits[q];
    const int64_t limit = sample < u->definite_end ? sample : u->definite_end;
    while (u->jump <= limit) {
        if (u->piece_count >= PIECES_MAX - 2)
            return QRT_ERR_PORT;
        const int before = u->level;
        u->level = 1 - before;
        (void)anchor(plant, q, u->jump, before);
        log_path(plant, q, u->jump, (double)before, u->level);
        plant->truth.jump_count++;
        draw_jump(plant, q, u->jump);
    }
    if (sample >= u->definite_end)
        release(plant, q, u->definite_end);
    else
        u->at = sample;
    return QRT_OK;
}

qrt_status advance_level(qrt_plant *plant, uint32_t q, int64_t sample)
{
    const qubit *u = &plant->state.qubits[q];
    if (u->coupling > 0) {
        const qrt_status status = couple_until(plant, u->coupling - 1, sample);
        if (status != QRT_OK || !u->is_definite)
            return status;
    }
    return follow_level(plant, q, sample);
}

void collapse(qrt_plant *plant, uint32_t q, int64_t sample, int64_t tone_end)
{
    qubit *u = &plant->state.qubits[q];
    const double population = u->is_definite ? (double)u->level : 0.5 - 0.5 * u->v.z;
    if (!u->is_definite)
        u->level = draw_uniform(plant, q) < population;
    watch_tone(plant, q, sample, u->level);
    if (!u->is_definite) {
        condition(plant, q, u->level);
        u->is_definite = 1;
        u->definite_end = 0;
        (void)anchor(plant, q, sample, EACH);
        draw_jump(plant, q, sample);
    }
    const int64_t end = tone_end + (int64_t)plant->resonators[q].settle_count;
    u->definite_end = end > u->definite_end ? end : u->definite_end;
    log_path(plant, q, sample, population, u->level);
    if (u->tone_count < QRT_PLANT_TONES_MAX) {
        plant->truth.population_sum[q][u->tone_count] += population;
        plant->truth.shot_count[q][u->tone_count]++;
    }
    u->tone_count++;
}

qrt_status advance(qrt_plant *plant, uint32_t q, int64_t sample)
{
    qubit *u = &plant->state.qubits[q];
    if (u->coupling > 0) {
        const qrt_status status = couple_until(plant, u->coupling - 1, sample);
        if (status != QRT_OK)
            return status;
    }
    if (u->is_definite) {
        const qrt_status status = follow_level(plant, q, sample);
        if (status != QRT_OK || u->is_definite)
            return status;
    }
    while (u->pulse_count > 0 && u->pulses[0].start < sample)
        if (!apply_pulses(plant, q, sample))
            return QRT_OK;
    relax_until(plant, q, sample > u->at ? sample : u->at);
    return QRT_OK;
}
