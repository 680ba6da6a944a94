/* Resonator fields in closed form, what they do to a qubit's coherence, and what the ADC sees of them.
 *
 * The equation is linear, so a field is leak + what was there at an anchor, decaying + the response to each tone from empty.
 * Responses are tables over the tone's samples, computed when a (segment, amplitude, frequency) is first played; the NCO's phase
 * is a factor. A tone that is over goes on as a decaying exponential. An anchor is a change of law: a tone begins, a level jumps.
 */
#include "plant.h"

static cplx integral(cplx rate, double sample_count) /* of e^{rate t} from 0 to sample_count */
{
    if (c_is_zero(rate))
        return (cplx){sample_count, 0.0};
    return c_div(c_sub(complex_exp(c_scale(rate, sample_count)), (cplx){1.0, 0.0}), rate);
}

/* Rates are per sample here. */
resonator resonator_of(const qrt_plant *plant, uint32_t q)
{
    const qrt_plant_qubit *c = &plant->config.qubits[q];
    const double dt = plant->sample_s;
    const line *feed = plant->feedline < 0 ? NULL : &plant->lines[plant->feedline];
    const double source_hz = feed == NULL ? c->resonator_hz : plant->config.lines[plant->feedline].source_hz;
    resonator r = {0};
    for (int j = 0; j < 2; j++) {
        const double pulled = TWO_PI * (c->resonator_hz - source_hz) + (j == 0 ? -c->chi_rad_per_s : c->chi_rad_per_s);
        r.lambda[j] = (cplx){-0.5 * c->kappa_rad_per_s * dt, pulled * dt};
        r.step[j] = complex_exp(r.lambda[j]);
        r.kick[j] = c_mul((cplx){0.0, -c->readout_rad_per_s_per_v * dt}, integral(r.lambda[j], 1.0));
        if (feed != NULL && feed->on && !c_is_zero(feed->offset))
            r.leak[j] = c_div(c_mul(feed->offset, (cplx){0.0, c->readout_rad_per_s_per_v * dt}), r.lambda[j]);
    }
    r.overlap_rate = c_add(c_conj(r.lambda[0]), r.lambda[1]);
    r.span[0] = integral(r.lambda[1], 1.0);
    r.span[1] = integral(c_conj(r.lambda[0]), 1.0);
    r.span[2] = integral(r.overlap_rate, 1.0);
    const qrt_plant_adc *adc = &plant->config.adc;
    const double gain = adc->volts_per_sqrt_hz_root / adc->volts_per_count;
    r.mix = c_scale(radian_exp(c->output_phase_rad), gain * __builtin_sqrt(2.0 * c->kappa_rad_per_s * c->efficiency));
    const double decays = -real_log(DECAY_FLOOR) / (0.5 * c->kappa_rad_per_s * dt);
    r.decay_count = decays < DECAY_SAMPLES_MAX ? (uint32_t)decays + 1 : DECAY_SAMPLES_MAX + 1;
    const double settles = -real_log(SETTLED) / (c->kappa_rad_per_s * dt);
    r.settle_count = settles < 1e9 ? (uint32_t)settles + 1 : 1000000000;
    return r;
}

static void mix_down(const cplx *field, cplx mix, uint32_t count, float *re, float *im)
{
    for (uint32_t n = 0; n < count; n++) {
        const cplx mixed = c_mul(field[n], mix);
        re[n] = (float)mixed.re;
        im[n] = (float)mixed.im;
    }
}

void fill_decay(resonator *r)
{
    for (int j = 0; j < 2; j++) {
        for (uint32_t n = 0; n <= r->decay_count; n++)
            r->decay[j][n] = complex_exp(c_scale(r->lambda[j], (double)n));
        r->decay[j][r->decay_count] = (cplx){0.0, 0.0};
        mix_down(r->decay[j], r->mix, r->decay_count + 1, r->decay_re[j], r->decay_im[j]);
    }
}

static cplx decay_after(const resonator *r, int level, int64_t sample_count)
{
    PLANT_ASSERT(sample_count >= 0);
    return r->decay[level][sample_count < (int64_t)r->decay_count ? sample_count : (int64_t)r->decay_count];
}

/* Integral of conj(alpha_0) alpha_1 over one sample, exact: alpha_j(t) = a_j + (alpha_j - a_j) e^{lambda_j t}, where a_j follows
 * from the field at both ends. */
cplx overlap_of_sample(const resonator *r, const cplx now[2], const cplx next[2])
{
    cplx steady[2], rest[2];
    for (int j = 0; j < 2; j++) {
        const cplx forced = c_sub(next[j], c_mul(r->step[j], now[j]));
        steady[j] = c_div(forced, c_sub((cplx){1.0, 0.0}, r->step[j]));
        rest[j] = c_sub(now[j], steady[j]);
    }
    cplx sum = c_mul(c_conj(steady[0]), steady[1]);
    sum = c_add(sum, c_mul(c_mul(c_conj(steady[0]), rest[1]), r->span[0]));
    sum = c_add(sum, c_mul(c_mul(c_conj(rest[0]), steady[1]), r->span[1]));
    return c_add(sum, c_mul(c_mul(c_conj(rest[0]), rest[1]), r->span[2]));
}

/* Integral of conj(alpha_0) alpha_1 over free decay from sample `from` to `to` after both fields were a. */
static cplx overlap_of_decay(const resonator *r, const cplx a[2], int64_t from, int64_t to)
{
    const cplx product = c_mul(c_conj(a[0]), a[1]);
    const cplx early = c_mul(c_conj(decay_after(r, 0, from)), decay_after(r, 1, from));
    const cplx late = c_mul(c_conj(decay_after(r, 0, to)), decay_after(r, 1, to));
    return c_mul(product, c_div(c_sub(late, early), r->overlap_rate));
}

static void respond(qrt_plant *plant, response *p, const cplx *volts)
{
    const uint32_t count = p->entry.key.sample_count;
    for (uint32_t q = 0; q < plant->config.qubit_count; q++) {
        const resonator *r = &plant->resonators[q];
        for (int j = 0; j < 2; j++) {
            cplx *field = p->field[q][j];
            field[0] = (cplx){0.0, 0.0};
            for (uint32_t n = 0; n < count; n++)
                field[n + 1] = c_add(c_mul(r->step[j], field[n]), c_mul(r->kick[j], volts[n]));
            mix_down(field, r->mix, count + 1, p->re[q][j], p->im[q][j]);
        }
        cplx *overlap = p->overlap[q];
        overlap[0] = (cplx){0.0, 0.0};
        for (uint32_t n = 0; n < count; n++) {
            const cplx now[2] = {p->field[q][0][n], p->field[q][1][n]};
            const cplx next[2] = {p->field[q][0][n + 1], p->field[q][1][n + 1]};
            overlap[n + 1] = c_add(overlap[n], overlap_of_sample(r, now, next));
        }
        const cplx last[2] = {p->field[q][0][count], p->field[q][1][count]};
        const cplx total = c_add(overlap[count], overlap_of_decay(r, last, 0, r->decay_count));
        p->exponent[q] = 2.0 * plant->config.qubits[q].chi_rad_per_s * plant->sample_s * total.im;
    }
    plant->truth.response_miss_count++;
}

/* Volts that a tone adds to a line which clips: all plays together minus the earlier ones together. */
static int64_t emit_residue(qrt_plant *plant, uint32_t index, uint32_t sample_count)
{
    const tone *t = &plant->state.tones[index];
    placed_play plays[TONES_MAX];
    uint32_t play_count = 0;
    for (uint32_t k = 0; k <= index; k++) {
        const tone *other = &plant->state.tones[k];
        if (other->end > t->start)
            plays[play_count++] = (placed_play){other->start - t->start, other->key};
    }
    const int64_t clip_count = emit(plant, plays, play_count, sample_count, plant->volts[0]);
    (void)emit(plant, plays, play_count - 1, sample_count, plant->volts[1]);
    for (uint32_t n = 0; n < sample_count; n++)
        plant->volts[0][n] = c_sub(plant->volts[0][n], plant->volts[1][n]);
    return clip_count;
}

void resolve_tone(qrt_plant *plant, uint32_t index)
{
    tone *t = &plant->state.tones[index];
    const int turns = is_linear(plant, &t->key) && !t->is_residue;
    play_key key = t->key;
    if (turns)
        key.phase = 0;
    key.residue = (uint32_t)t->is_residue; /* never valid, so never found again */
    uint64_t pinned = 0;
    for (uint32_t k = 0; k < index; k++)
        pinned |= 1ull << plant->state.tones[k].response;
    uint32_t found = 0;
    cache_entry *entry =
        look_up(plant->responses, sizeof *plant->responses, plant->config.response_count_max, &key, pinned, &found);
    if (!entry->is_valid) {
        response *p = &plant->responses[found];
        p->entry.key = key;
        p->entry.is_valid = !t->is_residue;
        const placed_play alone = {0, key};
        p->entry.clip_count = t->is_residue ? emit_residue(plant, index, key.sample_count)
                                            : emit(plant, &alone, 1, key.sample_count, plant->volts[0]);
        respond(plant, p, plant->volts[0]);
    }
    plant->responses[found].entry.used_at = ++plant->use_count;
    t->response = (int32_t)found;
    t->turn = turns ? turn_exp(t->key.phase) : (cplx){1.0, 0.0};
}

/* Field of one tone at a sample, phase included. */
static cplx tone_field(const qrt_plant *plant, const tone *t, uint32_t q, int level, int64_t sample)
{
    if (sample <= t->start)
        return (cplx){0.0, 0.0};
    const cplx *field = plant->responses[t->response].field[q][level];
    const int64_t length = t->end - t->start;
    if (sample <= t->end)
        return c_mul(t->turn, field[sample - t->start]);
    return c_mul(c_mul(t->turn, field[length]), decay_after(&plant->resonators[q], level, sample - t->end));
}

cplx field_at(const qrt_plant *plant, uint32_t q, int level, int64_t sample)
{
    const resonator *r = &plant->resonators[q];
    const qubit *u = &plant->state.qubits[q];
    const piece *p = &u->pieces[u->piece_count - 1];
    cplx sum = r->leak[level];
    if (!c_is_zero(p->anchor[level]))
        sum = c_add(sum, c_mul(p->anchor[level], decay_after(r, level, sample - p->start)));
    for (uint32_t k = 0; k < plant->state.tone_count; k++)
        if (plant->state.tones[k].end > p->start)
            sum = c_add(sum, tone_field(plant, &plant->state.tones[k], q, level, sample));
    return sum;
}

/* One tone, nothing else: two look-ups and a closed form. */
static cplx overlap_of_tone(const qrt_plant *plant, const tone *t, uint32_t q, int64_t from, int64_t to)
{
    const response *p = &plant->responses[t->response];
    const int64_t first = from > t->start ? from : t->start;
    const int64_t last = to < t->end ? to : t->end;
    const int64_t length = t->end - t->start;
    cplx sum = {0.0, 0.0};
    if (first < last)
        sum = c_sub(p->overlap[q][last - t->start], p->overlap[q][first - t->start]);
    const int64_t free_from = from > t->end ? from : t->end;
    if (free_from < to) {
        const cplx end[2] = {p->field[q][0][length], p->field[q][1][length]};
        sum = c_add(sum, overlap_of_decay(&plant->resonators[q], end, free_from - t->end, to - t->end));
    }
    return sum;
}

cplx overlap_between(const qrt_plant *plant, uint32_t q, int64_t from, int64_t to)
{
    const resonator *r = &plant->resonators[q];
    const qubit *u = &plant->state.qubits[q];
    const piece *p = &u->pieces[u->piece_count - 1];
    const int has_leak = !c_is_zero(r->leak[0]);
    const int has_anchor = !c_is_zero(p->anchor[0]) || !c_is_zero(p->anchor[1]);
    int64_t horizon = has_anchor ? p->start + r->decay_count : from;
    const tone *only = NULL;
    uint32_t tone_count = 0;
    for (uint32_t k = 0; k < plant->state.tone_count; k++) {
        const tone *t = &plant->state.tones[k];
        if (t->end <= p->start || t->start >= to || t->end + r->decay_count <= from)
            continue;
        only = t;
        tone_count++;
        horizon = t->end + r->decay_count > horizon ? t->end + r->decay_count : horizon;
    }
    if (!has_leak && tone_count == 0)
        return has_anchor ? overlap_of_decay(r, p->anchor, from - p->start, to - p->start) : (cplx){0.0, 0.0};
    if (!has_leak && !has_anchor && tone_count == 1)
        return overlap_of_tone(plant, only, q, from, to);

    /* Several at once: sample by sample until only the leakage is left. */
    cplx sum = {0.0, 0.0};
    cplx now[2] = {field_at(plant, q, 0, from), field_at(plant, q, 1, from)};
    int64_t n = from;
    for (; n < to && n < horizon; n++) {
        const cplx next[2] = {field_at(plant, q, 0, n + 1), field_at(plant, q, 1, n + 1)};
        sum = c_add(sum, overlap_of_sample(r, now, next));
        now[0] = next[0];
        now[1] = next[1];
    }
    return c_add(sum, c_scale(c_mul(c_conj(r->leak[0]), r->leak[1]), (double)(to - n)));
}

static int64_t kept_from(const qrt_plant *plant)
{
    int64_t from = NEVER;
    for (uint32_t slot = 0; slot < CAPTURES_MAX; slot++)
        if (plant->captures[slot].is_open && plant->captures[slot].start < from)
            from = plant->captures[slot].start;
    return from;
}

static void forget_pieces(const qrt_plant *plant, qubit *u)
{
    const int64_t from = kept_from(plant);
    uint32_t gone = 0;
    while (gone + 1 < u->piece_count && u->pieces[gone + 1].start <= from)
        gone++;
    if (gone == 0)
        return;
    u->piece_count -= gone;
    for (uint32_t k = 0; k < u->piece_count; k++)
        u->pieces[k] = u->pieces[k + gone];
}

/* `before` is the level whose field it has been until now; EACH: of a Bloch vector, where each level has its own. */
int anchor(qrt_plant *plant, uint32_t q, int64_t sample, int before)
{
    qubit *u = &plant->state.qubits[q];
    const resonator *r = &plant->resonators[q];
    piece next = {.start = sample};
    for (int j = 0; j < 2; j++) {
        cplx a = c_sub(field_at(plant, q, before == EACH ? j : before, sample), r->leak[j]);
        for (uint32_t k = 0; k < plant->state.tone_count; k++) {
            const tone *t = &plant->state.tones[k];
            if (t->end > sample)
                a = c_sub(a, tone_field(plant, t, q, j, sample));
        }
        next.anchor[j] = c_norm(a) < FIELD_FLOOR * FIELD_FLOOR ? (cplx){0.0, 0.0} : a;
    }
    const double population = u->is_definite ? (double)u->level : 0.5 - 0.5 * u->v.z;
    next.weight[0] = 1.0 - population;
    next.weight[1] = population;
    forget_pieces(plant, u);
    if (u->pieces[u->piece_count - 1].start == sample)
        u->piece_count--;
    if (u->piece_count == PIECES_MAX)
        return 0;
    u->pieces[u->piece_count++] = next;
    forget_pieces(plant, u);
    return 1;
}

void forget_tones(qrt_plant *plant)
{
    plant_state *s = &plant->state;
    int64_t oldest = NEVER;
    for (uint32_t q = 0; q < plant->config.qubit_count; q++)
        oldest = s->qubits[q].pieces[0].start < oldest ? s->qubits[q].pieces[0].start : oldest;
    uint32_t kept = 0;
    for (uint32_t k = 0; k < s->tone_count; k++)
        if (s->tones[k].end > oldest)
            s->tones[kept++] = s->tones[k];
    s->tone_count = kept;
}

typedef struct {
    int64_t from, to; /* samples of the run */
    float *samples;   /* [0] is `base` */
    int64_t base;
    const adc_kernels *kernels;
} canvas;

/* Adds Re[c table(n - start)] for n in [start, end), as far as it lies on the canvas. */
static void draw(const canvas *c, int64_t start, int64_t end, const float *re, const float *im, cplx factor)
{
    const int64_t from = start > c->from ? start : c->from;
    const int64_t to = end < c->to ? end : c->to;
    if (from < to && !c_is_zero(factor))
        c->kernels->add(c->samples + (from - c->base), re + (from - start), im + (from - start), (float)factor.re,
                        (float)factor.im, (uint32_t)(to - from));
}

/* `path`: e^{i phase} that the way to the ADC has drifted by. */
static void draw_piece(const qrt_plant *plant, uint32_t q, const piece *p, int level, cplx path, const canvas *c)
{
    const resonator *r = &plant->resonators[q];
    if (p->weight[level] == 0.0 || c->from >= c->to)
        return;
    const cplx weight = c_scale(path, p->weight[level]);
    const float steady = (float)c_mul(weight, c_mul(r->mix, r->leak[level])).re;
    if (steady != 0.0f)
        for (int64_t n = c->from; n < c->to; n++)
            c->samples[n - c->base] += steady;
    draw(c, p->start, p->start + r->decay_count, r->decay_re[level], r->decay_im[level], c_mul(p->anchor[level], weight));
    for (uint32_t k = 0; k < plant->state.tone_count; k++) {
        const tone *t = &plant->state.tones[k];
        if (t->end <= p->start)
            continue;
        const response *s = &plant->responses[t->response];
        const cplx factor = c_mul(t->turn, weight);
        draw(c, t->start, t->end, s->re[q][level], s->im[q][level], factor);
        draw(c, t->end, t->end + r->decay_count, r->decay_re[level], r->decay_im[level],
             c_mul(factor, s->field[q][level][t->end - t->start]));
    }
}

void render(const qrt_plant *plant, const adc_kernels *kernels, int64_t start, uint32_t sample_count, float *samples)
{
    const int64_t end = start + (int64_t)sample_count;
    for (uint32_t q = 0; q < plant->config.qubit_count; q++) {
        const qubit *u = &plant->state.qubits[q];
        const cplx path = turn_exp(u->output_turns);
        for (uint32_t k = 0; k < u->piece_count; k++) {
            const int64_t piece_end = k + 1 < u->piece_count ? u->pieces[k + 1].start : NEVER;
            const int64_t from = u->pieces[k].start > start ? u->pieces[k].start : start;
            const canvas c = {from, piece_end < end ? piece_end : end, samples, start, kernels};
            draw_piece(plant, q, &u->pieces[k], 0, path, &c);
            draw_piece(plant, q, &u->pieces[k], 1, path, &c);
        }
    }
}
