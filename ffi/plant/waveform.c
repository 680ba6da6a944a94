/* From segments to volts: NCO, DAC, mixer.
 *
 * s(n) = segment(n) * amplitude * e^{i(2 pi f n + phase)} in counts; I = Re s and Q = Im s are summed over the plays of a line
 * and clipped to the DAC's range; the mixer makes V = g_I I + i g_Q e^{i skew} Q, the complex envelope at source_hz. With equal
 * gains and no skew V is proportional to s. Otherwise V = direct s + image conj(s), the image at source_hz - f.
 * The DAC's rounding after the NCO is left out (below -90 dB at 16 bits); that of the segments themselves is in.
 */
#include "plant.h"
#include <string.h>

line line_of(const qrt_plant_line *config)
{
    const double gain_i = config->volts_per_count_i * (1.0 - 0.5 * config->gain_imbalance);
    const double gain_q = config->volts_per_count_q * (1.0 + 0.5 * config->gain_imbalance);
    const cplx q = config->skew_rad == 0.0 ? (cplx){gain_q, 0.0} : c_scale(radian_exp(config->skew_rad), gain_q);
    const cplx i = {gain_i, 0.0};
    const cplx sum = c_scale(c_add(i, q), 0.5), difference = c_scale(c_sub(i, q), 0.5);
    const cplx turned = {0.0, 1.0}; /* exchanged: V = g_I Q + i g_Q e^{i skew} I */
    return (line){
        .direct = config->swap_iq ? c_mul(turned, c_scale(difference, -1.0)) : sum,
        .image = config->swap_iq ? c_mul(turned, sum) : difference,
        .offset = {config->offset_v_i, config->offset_v_q},
        .qubit = config->qubit,
        .coupler = config->coupler,
        .on = config->output_on,
    };
}

double peak_of(const qrt_plant *plant, const play_key *key)
{
    const double amplitude = key->amplitude < 0 ? -(double)key->amplitude : (double)key->amplitude;
    return plant->lines[key->line].segments[key->segment].peak * amplitude / QRT_AMPLITUDE_ONE;
}

int is_linear(const qrt_plant *plant, const play_key *key)
{
    return c_is_zero(plant->lines[key->line].image) && peak_of(plant, key) <= FULL_SCALE;
}

static void add_play(const qrt_plant *plant, const placed_play *play, uint32_t sample_count, cplx *counts)
{
    const line *l = &plant->lines[play->key.line];
    const segment *s = &l->segments[play->key.segment];
    const double amplitude = (double)play->key.amplitude / QRT_AMPLITUDE_ONE;
    const uint64_t turns = (uint64_t)play->key.frequency * (uint64_t)plant->config.sample_ticks;
    const int64_t first = play->start > 0 ? play->start : 0;
    const int64_t end = play->start + (int64_t)play->key.sample_count;
    for (int64_t n = first; n < end && n < (int64_t)sample_count; n++) {
        const int64_t k = n - play->start;
        const cplx iq = {l->i[s->offset + k], l->q[s->offset + k]};
        const cplx turn = turn_exp(play->key.phase + turns * (uint64_t)k);
        counts[n] = c_add(counts[n], c_scale(c_mul(iq, turn), amplitude));
    }
}

static double clip(double x) { return x > FULL_SCALE ? FULL_SCALE : x < -FULL_SCALE - 1.0 ? -FULL_SCALE - 1.0 : x; }

int64_t emit(const qrt_plant *plant, const placed_play *plays, uint32_t play_count, uint32_t sample_count, cplx *volts_out)
{
    memset(volts_out, 0, sample_count * sizeof *volts_out);
    if (play_count == 0)
        return 0;
    const line *l = &plant->lines[plays[0].key.line];
    if (!l->on)
        return 0;
    for (uint32_t p = 0; p < play_count; p++) {
        PLANT_ASSERT(plays[p].key.line == plays[0].key.line);
        add_play(plant, &plays[p], sample_count, volts_out);
    }
    int64_t clip_count = 0;
    for (uint32_t n = 0; n < sample_count; n++) {
        const cplx inside = {clip(volts_out[n].re), clip(volts_out[n].im)};
        /* A rotated full-scale sample may stand one rounding above full scale: that is not a clip. */
        clip_count += volts_out[n].re - inside.re > 1e-6 || inside.re - volts_out[n].re > 1e-6 ||
                      volts_out[n].im - inside.im > 1e-6 || inside.im - volts_out[n].im > 1e-6;
        volts_out[n] = c_add(c_mul(l->direct, inside), c_mul(l->image, c_conj(inside)));
    }
    return clip_count;
}

static int same_key(const play_key *a, const play_key *b)
{
    return a->phase == b->phase && a->frequency == b->frequency && a->amplitude == b->amplitude &&
           a->sample_count == b->sample_count && a->line == b->line && a->segment == b->segment &&
           a->residue == b->residue && a->offset == b->offset;
}

cache_entry *look_up(void *entries, size_t size, uint32_t count, const play_key *key, uint64_t pinned, uint32_t *index_out)
{
    cache_entry *oldest = NULL;
    for (uint32_t i = 0; i < count; i++) {
        cache_entry *entry = (cache_entry *)(void *)((char *)entries + i * size);
        if (entry->is_valid && same_key(&entry->key, key)) {
            *index_out = i;
            return entry;
        }
        const int is_pinned = i < 64 && (pinned >> i & 1);
        if (!is_pinned && (oldest == NULL || entry->used_at < oldest->used_at)) {
            oldest = entry;
            *index_out = i;
        }
    }
    PLANT_ASSERT(oldest != NULL);
    oldest->is_valid = 0;
    return oldest;
}
