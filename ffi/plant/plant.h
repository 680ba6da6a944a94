/* The plant's inside: what is configured, what is cached, what is state. Its parts:
 *
 *   waveform.c  segments -> volts at the mixer's output          qubits.c  Bloch vectors, drive pulses, levels that jump
 *   field.c     volts -> resonator fields, dephasing integrals    adc.c     fields and noise -> int16
 *   drift.c     what moves from shot to shot                      trigger.c when the hardware's own clock starts shots
 *   plant.c     the port's functions, time, memory
 *
 * Time inside is in samples counted from the run's start. All fields and drives are complex envelopes in the frame of the line's
 * source, in the sign of engineering: the voltage on a line is Re[V(t) e^{+2 pi i source_hz t}], so that an NCO of frequency f
 * makes a tone at source_hz + f.
 *
 * Field. With w = 2 pi (resonator_hz - source_hz), s_0 = +1, s_1 = -1:
 *     d alpha_j / dt = lambda_j alpha_j - i epsilon(t),   lambda_j = -kappa/2 + i (w - s_j chi),   epsilon = readout V
 * which is mitigation.md's equation with Delta = w_tone - w_resonator. Level 0 resonates at resonator - chi, level 1 at + chi.
 * V is constant over a DAC sample; the step is exact.
 *
 * Qubit. H = (delta/2) Z + (Omega/2)(cos phi X + sin phi Y), delta = 2 pi (f_qubit - f_frame), Omega e^{i phi} = drive V, in
 * the frame of the drive. (This is the complex conjugate, in another gauge, of H = -w_q Z/2 + Omega cos(w t + phi) X: all
 * probabilities are those of a qubit whose ground state is |0>.) With m = x + iy in the frame at f_qubit: without photons m
 * decays with T2; photons multiply it by exp(2 i chi integral conj(alpha_0) alpha_1 dt): the frequency rises by 2 chi a photon.
 * That frame stays where f_qubit was configured: a frequency that has drifted off by d turns m by exp(2 pi i d t).
 */
#ifndef QRT_PLANT_INSIDE_H
#define QRT_PLANT_INSIDE_H
#include "../philox.h"
#include "../qrt_plant.h"
#include "adc.h"
#include "elementary.h"
#include "fault.h"
#include "trigger.h"

#define TONES_MAX 16    /* plays on the feedline whose field is not yet forgotten */
#define PULSES_MAX 8    /* plays on a drive line that are not yet applied */
#define PIECES_MAX 64   /* changes of a resonator's law within the oldest outstanding capture */
#define CAPTURES_MAX 16 /* slots */
#define DECAY_SAMPLES_MAX 65536
#define NEVER INT64_MAX

/* A field below these is zero: of the amplitude at an anchor, and relative to it after so many samples. */
#define FIELD_FLOOR 1e-9
#define DECAY_FLOOR 1e-12
/* A qubit is a Bloch vector again when the photons of its last projective tone fell by this factor; a drive pulse takes its
 * cached map when there are fewer photons than QUIET_PHOTONS. */
#define SETTLED 1e-8
#define QUIET_PHOTONS 1e-6
#define FULL_SCALE 32767.0

/* ---- Configured ----------------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t offset;
    uint32_t sample_count; /* 0: no such segment */
    double peak;           /* largest magnitude, counts */
} segment;

typedef struct {
    int16_t *i, *q;
    segment *segments;
    uint32_t used;
    cplx direct, image; /* V = direct s + image conj(s) + offset, s in counts */
    cplx offset;
    int32_t qubit;
    int32_t on;
} line;

typedef struct {
    cplx lambda[2], step[2]; /* step = e^{lambda dt} */
    cplx kick[2];            /* alpha after one sample of one volt, from empty */
    cplx leak[2];            /* steady field of the carrier's leakage */
    cplx overlap_rate;       /* conj(lambda_0) + lambda_1 */
    cplx span[3];            /* integrals over a sample of e^{lambda_1 t}, e^{conj lambda_0 t}, e^{overlap_rate t} */
    cplx mix;                /* field to counts: sqrt(2 kappa eta) e^{i phi} gain / volts_per_count */
    uint32_t decay_count;    /* after so many samples a free field is zero */
    uint32_t settle_count;
    cplx *decay[2];                     /* e^{lambda_j n dt}, decay_count + 1 */
    float *decay_re[2], *decay_im[2];   /* the same times mix */
} resonator;

typedef struct {
    double rate_up, rate_down, rate_t1, rate_t2, equilibrium_z; /* 1/sample */
    double half_t1, half_t2;                                   /* decay over half a sample */
    double delta[QRT_PLANT_LINES_MAX];           /* 2 pi (f_qubit - source) dt */
    uint64_t turns[QRT_PLANT_LINES_MAX];         /* the same in 2^-64 turns */
} qubit_law;

/* Units: 2^-64 turns a sample for a frequency, turns for a phase; by samples, and by root samples for a walk. */
typedef struct {
    double frequency_ramp, frequency_walk, phase_walk;
    int32_t is_moving;
} drift_law;

/* ---- Cached --------------------------------------------------------------------------------------------------------- */

/* What a play does depends on this; phase is 0 where the answer just turns with it. */
typedef struct {
    uint64_t phase;
    int64_t frequency;
    int32_t amplitude;
    uint32_t sample_count;
    uint16_t line, segment;
    uint32_t residue; /* 1: what it adds to other plays on a line that clips */
    int64_t offset;   /* of the qubit's frequency, in a drive pulse's map; else 0 */
} play_key;

typedef struct {
    play_key key;
    int32_t is_valid;   /* may be found again */
    int64_t clip_count;
    uint64_t used_at;
} cache_entry;

/* Field of one tone from empty resonators. */
typedef struct {
    cache_entry entry;
    double exponent[QRT_PLANT_QUBITS_MAX];       /* total dephasing, ring-down included */
    cplx *field[QRT_PLANT_QUBITS_MAX][2];        /* sample_count + 1 */
    float *re[QRT_PLANT_QUBITS_MAX][2], *im[QRT_PLANT_QUBITS_MAX][2]; /* times mix */
    cplx *overlap[QRT_PLANT_QUBITS_MAX];         /* integral of conj(alpha_0) alpha_1 from 0 to n */
} response;

/* A drive pulse on the Bloch vector in the frame of its line's source. */
typedef struct {
    cache_entry entry;
    double matrix[3][3];
    double shift[3];
} pulse_map;

/* ---- State: plain bytes, saved and restored ------------------------------------------------------------------------- */

typedef struct {
    int64_t start, end; /* samples */
    play_key key;       /* with the play's own phase */
    cplx turn;          /* e^{i phase}, or 1 where the response holds the phase */
    int32_t response;   /* index in the cache */
    int32_t is_residue; /* clipped together with other plays: cannot be restored */
} tone;

/* From `start` on, the field is leak + anchor_j e^{lambda_j (n - start)} + tones that end after `start`. */
typedef struct {
    int64_t start;
    cplx anchor[2];
    double weight[2]; /* population of the level in the mean field; 0 or 1 for a definite level */
} piece;

typedef struct {
    int64_t at; /* the qubit is known up to here; an unfinished drive pulse starts here */
    double x, y, z;
    int64_t walked;        /* drift of the frequency without the ramp of this run, 2^-64 turns a sample */
    int64_t offset;        /* the same with it, in this shot */
    uint64_t output_turns; /* drift of the output's phase in this shot, 2^-64 turns */
    int32_t is_definite;
    int32_t level;
    int64_t jump;          /* next jump of a definite level */
    int64_t definite_end;  /* then a Bloch vector again */
    uint32_t draw_count;   /* in this shot */
    uint32_t tone_count;   /* projective tones in this shot */
    uint32_t pulse_count;
    uint32_t piece_count;
    struct {
        int64_t start;
        play_key key;
    } pulses[PULSES_MAX];
    piece pieces[PIECES_MAX];
} qubit;

typedef struct {
    uint64_t seed;
    int64_t shot, shot_start, now; /* samples */
    int64_t drifted_at;            /* what drifts is known at this sample */
    uint32_t tone_count;
    int32_t is_safe; /* outputs are off until the next start */
    tone tones[TONES_MAX];
    qubit qubits[QRT_PLANT_QUBITS_MAX];
} plant_state;

typedef struct {
    int32_t is_open;
    uint16_t channel;
    int64_t start;
    uint32_t sample_count;
    int32_t is_late;  /* a fault */
    int64_t asked_ns; /* 0: nobody has */
} capture;

struct qrt_plant {
    qrt_plant_config config;
    double sample_s;
    int32_t feedline; /* index, or -1 */
    line lines[QRT_PLANT_LINES_MAX];
    resonator resonators[QRT_PLANT_QUBITS_MAX];
    qubit_law laws[QRT_PLANT_QUBITS_MAX];
    drift_law drifts[QRT_PLANT_QUBITS_MAX];
    response *responses;
    pulse_map *maps;
    uint64_t use_count;
    cplx *volts[2]; /* scratch, tone_samples_max each */
    float *samples; /* scratch, in counts */
    float sigma;
    int16_t *counts;
    capture captures[CAPTURES_MAX];
    int64_t rendered_start; /* what `counts` holds */
    uint32_t rendered_count;
    trigger trigger;
    fault fault;
    plant_state state;
    qrt_plant_truth truth;
    qrt_plant_path *path;
    uint32_t path_count_max;
    int64_t path_count;
};

/* ---- waveform.c ----------------------------------------------------------------------------------------------------- */
typedef struct {
    int64_t start; /* relative to the first sample asked for */
    play_key key;
} placed_play;

line line_of(const qrt_plant_line *config);
/* Volts at the mixer's output, without leakage, of plays that add on one line; returns the clipped samples. */
int64_t emit(const qrt_plant *plant, const placed_play *plays, uint32_t play_count, uint32_t sample_count, cplx *volts_out);
/* Whether the effect of a play just turns with its phase. */
int is_linear(const qrt_plant *plant, const play_key *key);
double peak_of(const qrt_plant *plant, const play_key *key);
/* Finds an entry or the least recently used one that is not pinned; entries are `size` apart. */
cache_entry *look_up(void *entries, size_t size, uint32_t count, const play_key *key, uint64_t pinned, uint32_t *index_out);

/* ---- field.c -------------------------------------------------------------------------------------------------------- */
resonator resonator_of(const qrt_plant *plant, uint32_t q);
void fill_decay(resonator *r);
void resolve_tone(qrt_plant *plant, uint32_t index);
cplx field_at(const qrt_plant *plant, uint32_t q, int level, int64_t sample);
cplx overlap_between(const qrt_plant *plant, uint32_t q, int64_t from, int64_t to);
cplx overlap_of_sample(const resonator *r, const cplx now[2], const cplx next[2]);
/* Starts a new piece at `sample`, for the qubit's mode and level as they are now; 0 if there is no room. */
#define EACH (-1)
int anchor(qrt_plant *plant, uint32_t q, int64_t sample, int before);
void forget_tones(qrt_plant *plant);
void render(const qrt_plant *plant, const adc_kernels *kernels, int64_t start, uint32_t sample_count, float *samples);

/* ---- qubits.c ------------------------------------------------------------------------------------------------------- */
qubit_law law_of(const qrt_plant *plant, uint32_t q);
/* Brings a qubit to `sample`, or to the start of a pulse that is still on. QRT_ERR_PORT: too many jumps in a capture. */
qrt_status advance(qrt_plant *plant, uint32_t q, int64_t sample);
qrt_status advance_level(qrt_plant *plant, uint32_t q, int64_t sample);
void collapse(qrt_plant *plant, uint32_t q, int64_t sample, int64_t tone_end);
void release(qrt_plant *plant, uint32_t q, int64_t sample);
void draw_jump(qrt_plant *plant, uint32_t q, int64_t from);
void relax(const qubit_law *law, qubit *u, double sample_count);

/* ---- drift.c -------------------------------------------------------------------------------------------------------- */
drift_law drift_of(const qrt_plant *plant, uint32_t q);
/* Whether a shot that begins at `sample` is the first of its interval. */
int drift_is_due(const qrt_plant *plant, int64_t sample);
/* Moves everything on to `sample` in one step, whose random words are those with this index in the shot's stream. QRT_ERR_PORT: too far. */
qrt_status drift_until(qrt_plant *plant, int64_t sample, int64_t shot, uint32_t index);
/* A new run begins at sample 0 with what there is. */
void rebase_drift(qrt_plant *plant);

#endif
