/* The plant: the port's functions, time.
 *
 * A tone acts where it begins: every qubit is brought there, and those that the tone measures collapse. A drive pulse waits in
 * its qubit's queue until the next event after its end, so that later plays on the line can add to it. A capture is rendered
 * when it ends; by then every play that it can hear has been announced, since ticks never decrease.
 */
#include "plant.h"
#include <string.h>

/* ---- Runs and shots ------------------------------------------------------------------------------------------------- */

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

/* Sample at which everything announced so far has ended. */
static int64_t end_of_run(const qrt_plant *plant)
{
    const plant_state *s = &plant->state;
    int64_t end = s->now;
    for (uint32_t k = 0; k < s->tone_count; k++)
        end = later(end, s->tones[k].end);
    for (uint32_t q = 0; q < plant->config.qubit_count; q++)
        end = later(end, end_of_plays(s->qubits[q].pulses, s->qubits[q].pulse_count));
    for (uint32_t c = 0; c < plant->config.coupler_count; c++)
        end = later(end, end_of_plays(s->couplings[c].plays, s->couplings[c].play_count));
    return end;
}

qrt_status qrt_plant_start(qrt_plant *plant, uint64_t seed, double idle_s)
{
    if (!(idle_s >= 0.0))
        return QRT_ERR_ARGUMENT;
    plant_state *s = &plant->state;
    memset(plant->captures, 0, sizeof plant->captures);
    plant->fault = (fault){.given = plant->config.faults};
    plant->trigger = (trigger){plant->config.trigger_period_fs, plant->config.trigger_jitter_ns, seed, -1};
    const int64_t end = end_of_run(plant);
    const double idle = idle_s / plant->sample_s + 0.5;
    const int64_t next = end + (idle < 1e17 ? (int64_t)idle : (int64_t)1e17);
    for (uint32_t q = 0; q < plant->config.qubit_count; q++) {
        qubit *u = &s->qubits[q];
        const qrt_status status = advance(plant, q, end);
        if (status != QRT_OK)
            return status;
        if (u->is_definite)
            release(plant, q, end);
        (void)advance(plant, q, next);
        (void)anchor(plant, q, next, EACH);
        u->pieces[0] = u->pieces[u->piece_count - 1];
        u->pieces[0].start = 0;
        u->piece_count = 1;
        u->at = 0;
        u->draw_count = u->tone_count = 0;
    }
    s->tone_count = 0;
    separate(plant);
    qrt_status status = drift_until(plant, end, s->shot, 1); /* what is left of the old run, then the time between: 0 is a shot's own */
    s->seed = seed;
    if (status == QRT_OK)
        status = drift_until(plant, next, 0, 2);
    if (status != QRT_OK)
        return status;
    rebase_drift(plant);
    s->shot = s->shot_start = s->now = 0;
    s->is_safe = 0;
    plant->rendered_start = -1;
    memset(&plant->truth, 0, sizeof plant->truth);
    plant->path_count = 0;
    return QRT_OK;
}

/* Checks the order and the grid of a tick and gives its sample. */
static qrt_status arrive(const qrt_plant *plant, int64_t tick, int64_t *sample_out)
{
    const int64_t from_shot = tick - plant->state.shot_start * plant->config.sample_ticks;
    *sample_out = tick / plant->config.sample_ticks;
    if (tick < 0 || *sample_out < plant->state.now)
        return QRT_ERR_TICK_ORDER;
    return from_shot % plant->config.granularity_ticks == 0 ? QRT_OK : QRT_ERR_ARGUMENT;
}

static qrt_status begin_shot(void *self, int64_t shot, int64_t tick)
{
    qrt_plant *plant = self;
    plant_state *s = &plant->state;
    if (shot < 0 || tick < 0 || tick % plant->config.sample_ticks != 0)
        return QRT_ERR_ARGUMENT;
    const int64_t sample = tick / plant->config.sample_ticks;
    if (sample < s->now)
        return QRT_ERR_TICK_ORDER;
    s->now = sample;
    const int is_due = drift_is_due(plant, sample);
    for (uint32_t q = 0; q < plant->config.qubit_count; q++) {
        qrt_status status = QRT_OK;
        if (is_due && plant->drifts[q].is_moving) /* up to here at the old frequency; a pulse that is still on has the new one throughout */
            status = advance(plant, q, sample);
        else if (s->qubits[q].is_definite)
            status = advance_level(plant, q, sample);
        if (status != QRT_OK)
            return status;
    }
    if (is_due) {
        const qrt_status status = drift_until(plant, sample, shot, 0);
        if (status != QRT_OK)
            return status;
    }
    separate(plant);
    s->shot = shot;
    s->shot_start = sample;
    fault_begin_shot(&plant->fault, s->seed, shot);
    watch_shot(plant);
    for (uint32_t q = 0; q < plant->config.qubit_count; q++) {
        qubit *u = &s->qubits[q];
        u->draw_count = u->tone_count = 0;
        if (u->is_definite) /* an exponential wait has no memory: drawn again from this shot's words */
            draw_jump(plant, q, sample);
    }
    return QRT_OK;
}

/* ---- Plays ---------------------------------------------------------------------------------------------------------- */

static int is_measuring(const qrt_plant *plant, const tone *t, uint32_t q)
{
    return plant->responses[t->response].exponent[q] >= plant->config.projective_exponent;
}

static qrt_status play_pulse(qrt_plant *plant, uint32_t q, int64_t sample, const play_key *key)
{
    qubit *u = &plant->state.qubits[q];
    const qrt_status status = advance(plant, q, sample);
    if (status != QRT_OK)
        return status;
    if (u->is_definite) {
        for (uint32_t k = 0; k < plant->state.tone_count; k++)
            if (plant->state.tones[k].end > sample && is_measuring(plant, &plant->state.tones[k], q))
                return QRT_ERR_DRIVE_IN_TONE;
        release(plant, q, sample);
    }
    if (u->coupling > 0)
        return QRT_ERR_DRIVE_IN_COUPLING;
    if (u->pulse_count == PULSES_MAX)
        return QRT_ERR_LINE;
    u->pulses[u->pulse_count++] = (placed_play){sample, *key};
    return QRT_OK;
}

static qrt_status play_tone(qrt_plant *plant, int64_t sample, const play_key *key)
{
    plant_state *s = &plant->state;
    for (uint32_t q = 0; q < plant->config.qubit_count; q++) {
        qubit *u = &s->qubits[q];
        const qrt_status status = advance(plant, q, sample);
        if (status != QRT_OK)
            return status;
        if (u->at == sample && !anchor(plant, q, sample, u->is_definite ? u->level : EACH))
            return QRT_ERR_PORT;
    }
    forget_tones(plant);
    if (s->tone_count == TONES_MAX)
        return QRT_ERR_LINE;
    tone *t = &s->tones[s->tone_count];
    *t = (tone){.start = sample, .end = sample + (int64_t)key->sample_count, .key = *key};
    double peak = peak_of(plant, key);
    for (uint32_t k = 0; k < s->tone_count; k++)
        if (s->tones[k].end > sample) {
            peak += peak_of(plant, &s->tones[k].key);
            t->is_residue = peak > FULL_SCALE;
        }
    resolve_tone(plant, s->tone_count);
    s->tone_count++;
    const response *r = &plant->responses[t->response];
    plant->truth.dac_clip_count += r->entry.clip_count;
    for (uint32_t q = 0; q < plant->config.qubit_count; q++)
        if (r->exponent[q] > plant->config.negligible_exponent && r->exponent[q] < plant->config.projective_exponent) {
            s->tone_count--;
            return QRT_ERR_WEAK_TONE;
        }
    for (uint32_t q = 0; q < plant->config.qubit_count; q++) {
        if (!is_measuring(plant, t, q))
            continue;
        if (s->qubits[q].at != sample || s->qubits[q].pulse_count > 0) /* a drive pulse is still on */
            return QRT_ERR_DRIVE_IN_TONE;
        collapse(plant, q, sample, t->end);
    }
    return QRT_OK;
}

static qrt_status play(void *self, const qrt_play *p)
{
    qrt_plant *plant = self;
    int64_t sample;
    if (p->line >= plant->config.line_count || plant->state.is_safe)
        return QRT_ERR_LINE;
    const line *l = &plant->lines[p->line];
    if (p->segment >= plant->config.segment_count_max || l->segments[p->segment].sample_count == 0)
        return QRT_ERR_SEGMENT;
    if (p->amplitude > QRT_AMPLITUDE_ONE || p->amplitude < -QRT_AMPLITUDE_ONE)
        return QRT_ERR_ARGUMENT;
    const qrt_status status = arrive(plant, p->tick, &sample);
    if (status != QRT_OK)
        return status;
    const play_key key = {
        .phase = p->phase,
        .frequency = p->frequency,
        .amplitude = p->amplitude,
        .sample_count = l->segments[p->segment].sample_count,
        .line = p->line,
        .segment = p->segment,
    };
    if (is_feedline(l) && key.sample_count > plant->config.tone_samples_max)
        return QRT_ERR_SEGMENT;
    if (fault_is_late_decision(&plant->fault))
        return QRT_ERR_TOO_LATE;
    plant->state.now = sample;
    if (!l->on)
        return QRT_OK;
    if (l->coupler >= 0)
        return couple(plant, (uint32_t)l->coupler, sample, &key);
    return l->qubit < 0 ? play_tone(plant, sample, &key) : play_pulse(plant, (uint32_t)l->qubit, sample, &key);
}

static void cut_plays(placed_play *plays, uint32_t play_count, int64_t sample)
{
    for (uint32_t p = 0; p < play_count; p++) {
        const int64_t played = sample - plays[p].start;
        if (played < (int64_t)plays[p].key.sample_count)
            plays[p].key.sample_count = played > 0 ? (uint32_t)played : 0;
    }
}

/* Outputs go off at the last tick heard of: what is playing ends there. */
static qrt_status safe(void *self)
{
    qrt_plant *plant = self;
    plant_state *s = &plant->state;
    for (uint32_t k = 0; k < s->tone_count; k++)
        if (s->tones[k].end > s->now)
            s->tones[k].end = s->now > s->tones[k].start ? s->now : s->tones[k].start;
    for (uint32_t q = 0; q < plant->config.qubit_count; q++)
        cut_plays(s->qubits[q].pulses, s->qubits[q].pulse_count, s->now);
    for (uint32_t c = 0; c < plant->config.coupler_count; c++)
        cut_plays(s->couplings[c].plays, s->couplings[c].play_count, s->now);
    s->is_safe = 1;
    return QRT_OK;
}

/* ---- Captures ------------------------------------------------------------------------------------------------------- */

static qrt_status capture_begin(void *self, const qrt_capture *c)
{
    qrt_plant *plant = self;
    int64_t sample;
    if (c->channel != 0 || c->slot >= CAPTURES_MAX || plant->captures[c->slot].is_open)
        return QRT_ERR_CHANNEL;
    if (c->sample_count == 0 || c->sample_count > plant->config.capture_samples_max)
        return QRT_ERR_CAPTURE_LENGTH;
    const qrt_status status = arrive(plant, c->tick, &sample);
    if (status != QRT_OK)
        return status;
    if (fault_is_late_decision(&plant->fault))
        return QRT_ERR_TOO_LATE;
    plant->state.now = sample;
    plant->captures[c->slot] = (capture){1, c->channel, sample, c->sample_count, fault_is_late_answer(&plant->fault), 0};
    return QRT_OK;
}

/* Noise in whole groups of the shot, fields on top, then counts. */
static void convert(qrt_plant *plant, int64_t start, uint32_t sample_count)
{
    const adc_kernels *kernels = adc_selected();
    const plant_state *s = &plant->state;
    const uint64_t in_shot = (uint64_t)(start - s->shot_start);
    const uint32_t group = (uint32_t)(in_shot / NOISE_GROUP);
    const uint32_t skipped = (uint32_t)(in_shot % NOISE_GROUP);
    const noise_key key = {{(uint32_t)s->seed, (uint32_t)(s->seed >> 32)},
                           {0, QRT_STREAM_NOISE, (uint32_t)s->shot, (uint32_t)((uint64_t)s->shot >> 32)}};
    kernels->noise(&key, group, (skipped + sample_count + NOISE_GROUP - 1) / NOISE_GROUP, plant->sigma, plant->samples);
    float *samples = plant->samples + skipped;
    render(plant, kernels, start, sample_count, samples);
    memset(samples + sample_count, 0, VECTOR_BYTES_MAX);
    const float max = (float)((1 << (plant->config.adc.bits - 1)) - 1);
    plant->truth.adc_clip_count += kernels->quantise(samples, sample_count, -max - 1.0f, max, plant->counts);
}

static qrt_status capture_end(void *self, uint16_t slot, const int16_t **samples_out)
{
    qrt_plant *plant = self;
    if (slot >= CAPTURES_MAX || !plant->captures[slot].is_open)
        return QRT_ERR_CHANNEL;
    if (plant->captures[slot].is_late && !fault_has_come(&plant->fault, &plant->captures[slot].asked_ns))
        return QRT_NOT_READY;
    const capture c = plant->captures[slot];
    const int64_t end = c.start + (int64_t)c.sample_count;
    plant->state.now = end > plant->state.now ? end : plant->state.now;
    *samples_out = plant->counts;
    if (plant->rendered_start != c.start || plant->rendered_count != c.sample_count) {
        for (uint32_t q = 0; q < plant->config.qubit_count; q++)
            if (plant->state.qubits[q].is_definite && plant->state.qubits[q].at < end) {
                const qrt_status status = advance_level(plant, q, end);
                if (status != QRT_OK)
                    return status;
            }
        if (plant->config.adc.input_on)
            convert(plant, c.start, c.sample_count);
        else
            memset(plant->counts, 0, c.sample_count * sizeof *plant->counts);
        plant->rendered_start = c.start;
        plant->rendered_count = c.sample_count;
    }
    plant->captures[slot].is_open = 0;
    plant->fault.ended_count++;
    return QRT_OK;
}

static qrt_status erase_shot(void *self, int64_t *late_ns_out)
{
    qrt_plant *plant = self;
    for (uint32_t slot = 0; slot < CAPTURES_MAX; slot++)
        plant->captures[slot].is_open = 0;
    *late_ns_out = fault_late_ns(&plant->fault, plant->config.answer_ns_max);
    return QRT_OK;
}

static qrt_status triggers(void *self, int64_t now_ns, int64_t *count_out, int64_t *last_ns_out)
{
    qrt_plant *plant = self;
    *count_out = trigger_count(&plant->trigger, now_ns, last_ns_out);
    return QRT_OK;
}

qrt_status qrt_plant_port(qrt_plant *plant, qrt_port *port_out)
{
    *port_out = (qrt_port){
        .abi = QRT_PORT_ABI,
        .size = sizeof *port_out,
        .self = plant,
        .begin_shot = begin_shot,
        .play = play,
        .capture_begin = capture_begin,
        .capture_end = capture_end,
        .safe = safe,
        .erase_shot = erase_shot,
        .answer_ns_max = plant->config.answer_ns_max,
        .triggers = plant->config.trigger_period_fs > 0 ? triggers : NULL,
        .feedback_latency_ticks = plant->config.feedback_latency_ticks,
        .granularity_ticks = plant->config.granularity_ticks,
        .sample_ticks = plant->config.sample_ticks,
        .line_count = plant->config.line_count,
        .channel_count = 1,
        .capture_samples_max = plant->config.capture_samples_max,
        .outstanding_max = CAPTURES_MAX,
    };
    return QRT_OK;
}
