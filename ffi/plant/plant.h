/* The plant's inside: what is configured, what is cached, what is state. Its parts:
 *
 *   waveform.c  segments -> volts at the mixer's output          qubits.c  Bloch vectors, drive pulses, levels that jump
 *   field.c     volts -> resonator fields, dephasing integrals    adc.c     fields and noise -> int16
 *   coupler.c   volts -> what two coupled qubits do to each other cluster.c correlated qubits: their tensor, collapse
 *   drift.c     what moves from shot to shot                      trigger.c when the hardware's own clock starts shots
 *   config.c    what a config must hold                          memory.c  the lent memory, what follows from a config, segments
 *   plant.c     the port's functions, time                       inspect.c what tests and records ask, the state as bytes
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
 *
 * Correlated qubits. Sigma_mu = 1, X, Y, Z in each qubit's own frame; R[mu, nu, ...] = <sigma_mu (x) sigma_nu ...> takes the Bloch
 * vectors' place (cluster.c). What happens to one qubit is an affine map of its Bloch vector, so it acts on its index alone: qubits
 * of a cluster may stand at different times.
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
#define PULSES_MAX 8    /* plays on a drive line, or a coupler's, that are not yet applied */
#define CLUSTERS_MAX (QRT_PLANT_QUBITS_MAX / 2)
#define CLUSTER_SIZE_MAX (1u << 2 * QRT_PLANT_QUBITS_MAX) /* 4^qubits */
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
/* A qubit whose correlations with others are all below this is a Bloch vector of its own. */
#define UNCORRELATED 1e-9
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
    int32_t qubit, coupler; /* -1: not this; neither is the feedline */
    int32_t on;
} line;

static inline int is_feedline(const line *l) { return l->qubit < 0 && l->coupler < 0; }

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

/* A coupler's tone from its start to its end: what it turns by in all, 2^-64 turns, and the two 2x2 matrices of coupler.c. */
typedef struct {
    cache_entry entry;
    uint64_t zz;
    uint64_t stark[2];
    cplx other[2][2][2];
} pair_map;

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
    int64_t start; /* in the state: samples of the run; to `emit`: relative to the first sample asked for */
    play_key key;
} placed_play;

static inline int64_t end_of(const placed_play *play) { return play->start + (int64_t)play->key.sample_count; }

typedef struct {
    double x, y, z;
} bloch;

typedef struct {
    int64_t at; /* the qubit is known up to here; an unfinished drive pulse starts here */
    bloch v;    /* of a correlated qubit: its share of the cluster's tensor, the average over all others */
    uint32_t cluster;      /* 1 + the cluster that the qubit is correlated in; 0: none */
    uint32_t coupling;     /* 1 + the coupler whose tone is on; 0: none */
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
    placed_play pulses[PULSES_MAX];
    piece pieces[PIECES_MAX];
} qubit;

/* Qubits that are correlated. Digit k of an index of the tensor, base 4, is the Pauli matrix of members[k]. */
typedef struct {
    uint32_t member_count; /* 0: not in use; else 2 or more */
    uint32_t members[QRT_PLANT_QUBITS_MAX];
    double tensor[CLUSTER_SIZE_MAX];
} cluster;

/* Tones of a coupler that are on. Both qubits stand at the same sample, up to which all has acted. */
typedef struct {
    uint32_t play_count;
    placed_play plays[PULSES_MAX];
} coupling;

typedef struct {
    uint64_t seed;
    int64_t shot, shot_start, now; /* samples */
    int64_t drifted_at;            /* what drifts is known at this sample */
    uint32_t tone_count;
    int32_t is_safe; /* outputs are off until the next start */
    tone tones[TONES_MAX];
    qubit qubits[QRT_PLANT_QUBITS_MAX];
    cluster clusters[CLUSTERS_MAX];
    coupling couplings[QRT_PLANT_COUPLERS_MAX];
} plant_state;

typedef struct {
    int32_t is_open;
    uint16_t channel;
    int64_t start;
    uint32_t sample_count;
    int32_t is_late;  /* a fault */
    int64_t asked_ns; /* 0: nobody has */
} capture;

/* A product of Z of several qubits, each at one of its tones in the shot. */
typedef struct {
    int32_t tones[QRT_PLANT_QUBITS_MAX];
    uint32_t qubits; /* that are in it, a bit each */
    /* In this shot: */
    uint32_t left;   /* whose tone has not begun */
    int64_t sample;  /* where the last one began */
    double expected; /* product of Z of those that were left then, just before */
    double found;    /* of the levels that were found there */
    double before;   /* of those found at earlier samples */
} watch;

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
    pair_map *pair_maps;
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
    watch watch;
    qrt_plant_path *path;
    uint32_t path_count_max;
    int64_t path_count;
};

/* ---- config.c ------------------------------------------------------------------------------------------------------- */
int config_is_valid(const qrt_plant_config *config);

/* ---- waveform.c ----------------------------------------------------------------------------------------------------- */
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
/* The same where no coupler's tone lies between here and `sample`. */
qrt_status follow_level(qrt_plant *plant, uint32_t q, int64_t sample);
void collapse(qrt_plant *plant, uint32_t q, int64_t sample, int64_t tone_end);
void release(qrt_plant *plant, uint32_t q, int64_t sample);
void draw_jump(qrt_plant *plant, uint32_t q, int64_t from);
/* Lets vectors relax as the qubit does from where it stands until `sample`, photons and drift included. */
void evolve(const qrt_plant *plant, uint32_t q, int64_t sample, bloch *v, uint32_t vector_count);
void turn(bloch *v, uint32_t vector_count, cplx by);

/* ---- cluster.c ------------------------------------------------------------------------------------------------------ */
#define VECTORS_MAX 4
void probe_vectors(bloch v[VECTORS_MAX]); /* the origin and the three unit vectors: their images say all of an affine map */
void map_correlated(qrt_plant *plant, uint32_t q, const bloch v[VECTORS_MAX]);
/* What a map of one qubit has to be applied to, and its images put back: the qubit's Bloch vector, or, where it is correlated, the probes.
 * Here and not in cluster.c because a qubit in no cluster comes by at every step. */
static inline uint32_t take_vectors(const qrt_plant *plant, uint32_t q, bloch v[VECTORS_MAX])
{
    if (plant->state.qubits[q].cluster == 0) {
        v[0] = plant->state.qubits[q].v;
        return 1;
    }
    probe_vectors(v);
    return VECTORS_MAX;
}
static inline void put_vectors(qrt_plant *plant, uint32_t q, const bloch v[VECTORS_MAX])
{
    if (plant->state.qubits[q].cluster == 0)
        plant->state.qubits[q].v = v[0];
    else
        map_correlated(plant, q, v);
}
void correlate(qrt_plant *plant, uint32_t a, uint32_t b);
/* Applies a coupler's tone to two qubits of one cluster; `free` are the images of what each does by itself, `zz` 2^-64 turns. */
void couple_vectors(qrt_plant *plant, const uint32_t pair[2], const pair_map *map, bloch free[2][VECTORS_MAX]);
/* Takes a qubit whose level has become known out of its cluster; the others are what they are given that level. */
void condition(qrt_plant *plant, uint32_t q, int32_t level);
/* Takes out of the clusters what is not correlated any more. */
void separate(qrt_plant *plant);
/* < product of Z > over a set of qubits, a bit each, as they stand. */
double mean_of_z(const qrt_plant *plant, uint32_t qubits);
void read_joint(const qrt_plant *plant, double *joint_out);

/* ---- coupler.c ------------------------------------------------------------------------------------------------------ */
/* A coupler's tone begins. QRT_ERR_DRIVE_IN_COUPLING, QRT_ERR_LINE: too many at once. */
qrt_status couple(qrt_plant *plant, uint32_t c, int64_t sample, const play_key *key);
/* Brings both qubits of a coupler to `sample`, or to its tone's end. */
qrt_status couple_until(qrt_plant *plant, uint32_t c, int64_t sample);
int64_t end_of_plays(const placed_play *plays, uint32_t play_count); /* 0: there is none */

/* ---- drift.c -------------------------------------------------------------------------------------------------------- */
drift_law drift_of(const qrt_plant *plant, uint32_t q);
/* Whether a shot that begins at `sample` is the first of its interval. */
int drift_is_due(const qrt_plant *plant, int64_t sample);
/* Moves everything on to `sample` in one step, whose random words are those with this index in the shot's stream. QRT_ERR_PORT: too far. */
qrt_status drift_until(qrt_plant *plant, int64_t sample, int64_t shot, uint32_t index);
/* A new run begins at sample 0 with what there is. */
void rebase_drift(qrt_plant *plant);

/* ---- inspect.c ------------------------------------------------------------------------------------------------------ */
void watch_shot(qrt_plant *plant);
/* A projective tone begins on a qubit at `sample`, up to which all have come, and has found `level`; the state is still that before. */
void watch_tone(qrt_plant *plant, uint32_t q, int64_t sample, int32_t level);

#endif
