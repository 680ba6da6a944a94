/* The simulated hardware's face: transmons on one multiplexed feedline, coupled where a line of their own says so, seen through
 * DACs, mixers, a mixer's IF and an ADC.
 *
 * DAC samples -> qubits and resonators -> ADC samples, at exact ticks. The state of a qubit is either a Bloch vector (exact for
 * the average over what nobody looked at) or, from the start of a projective readout tone until the field has left or a drive
 * pulse comes, a definite level that jumps as a continuous-time Markov chain. Qubits that a coupler's tone has correlated share one
 * density matrix instead of their Bloch vectors until one is measured or the correlation is gone. Randomness is Philox, keyed by
 * (seed, stream), counted by (shot, index). Owns no memory; nothing is allocated after arm; the same bits on every instruction set.
 * This header is its own cffi declaration.
 */
#ifndef QRT_PLANT_H
#define QRT_PLANT_H
#include <stddef.h>
#include <stdint.h>
#include "qrt_port.h"

#define QRT_PLANT_ABI 6
#define QRT_PLANT_QUBITS_MAX 4
#define QRT_PLANT_COUPLERS_MAX 6 /* every pair */
#define QRT_PLANT_LINES_MAX 11   /* a drive line for each qubit, a line for each coupler, the feedline */
#define QRT_PLANT_TONES_MAX 64 /* projective tones per qubit and shot whose truth is kept */

/* One transmon with its readout resonator. SI units, angular frequencies in rad/s. */
typedef struct {
    double frequency_hz;           /* 0-1 transition, resonator empty */
    double t1_s;                   /* energy relaxation: 1/T1 = rate_up + rate_down; INFINITY is allowed */
    double t2_s;                   /* Ramsey decay of the empty-resonator qubit, <= 2 T1; INFINITY is allowed */
    double thermal_population;     /* of level 1 in equilibrium */
    double drive_rad_per_s_per_v;  /* Rabi rate for one volt of resonant tone at the line's output */
    double resonator_hz;           /* midway between the two pulled resonances */
    double kappa_rad_per_s;        /* energy decay rate of the resonator */
    double chi_rad_per_s;          /* resonance is pulled by -chi for level 0 and +chi for level 1: half shift, negative for a
                                      transmon below its resonator; f_qubit rises by 2 chi / 2 pi a photon */
    double readout_rad_per_s_per_v; /* drive amplitude epsilon on the resonator for one volt on the feedline */
    double efficiency;             /* eta: part of the photons' information that reaches the ADC */
    double output_phase_rad;       /* of the path from this resonator to the ADC */
    /* What moves from shot to shot, and stands still within one. A walk is Brownian: sigma after t seconds is the rate times sqrt(t). */
    double frequency_drift_hz_per_s;       /* ramp of the 0-1 frequency */
    double frequency_walk_hz_per_root_s;
    double phase_walk_rad_per_root_s;      /* of output_phase_rad */
} qrt_plant_qubit;

/* An I+Q pair of DAC channels, an upper-sideband mixer and its source. */
typedef struct {
    int32_t qubit;          /* driven qubit, or -1 */
    int32_t coupler;        /* coupler, or -1; the line with neither is the feedline */
    int32_t output_on;      /* both DAC channels and the source are on; else nothing leaves */
    double source_hz;
    double volts_per_count_i;
    double volts_per_count_q;
    double offset_v_i;      /* DC at the mixer's ports: carrier leakage; it acts all the time on the feedline, elsewhere during plays */
    double offset_v_q;
    double gain_imbalance;  /* (g_Q - g_I) / mean: leaves an image */
    double skew_rad;        /* departure from 90 degrees */
    int32_t swap_iq;        /* a wiring fault: the cables are exchanged, and a tone leaves at source_hz - f */
} qrt_plant_line;

/* Two qubits that a microwave tone far from every transition couples, as long as it is on. With the envelope V(t) on the coupler's
 * line, in volts,
 *     H / h = |V|^2 (zz |11><11| + stark_a |1><1|_a + stark_b |1><1|_b)
 * in every frame: the tone shifts a's frequency by stark_a |V|^2, and by zz |V|^2 more while b is in level 1, and so with b. This is
 * the lowest order of the Stark-induced ZZ interaction of two coupled transmons that are driven at once, off resonance: Mitchell et al.,
 * Phys. Rev. Lett. 127, 200502 (2021), arXiv:2105.05384; Wei et al., Phys. Rev. Lett. 129, 060501 (2022), arXiv:2106.00675. There it goes
 * with the product of the two drives' amplitudes and with the cosine of the phase between them; here one line drives both, so that their
 * ratio and phase are fixed. How it depends on the tone's frequency, and the ZZ that is there without a tone, are left out. */
typedef struct {
    uint32_t qubits[2]; /* a, b */
    double zz_hz_per_v2;
    double stark_hz_per_v2[2];
} qrt_plant_coupler;

/* The one real ADC on the feedline's output. Down-conversion shares the feedline's source. */
typedef struct {
    double volts_per_count;        /* range / 2^(bits-1) */
    double volts_per_sqrt_hz_root; /* gain: volts for sqrt(kappa eta)|alpha| of one sqrt(photon/s) */
    int32_t bits;                  /* clips to [-2^(bits-1), 2^(bits-1) - 1]; rounds half to even */
    int32_t input_on;              /* else every sample is 0 */
} qrt_plant_adc;

/* What is wrong with the port, as of a card whose own clock the host may be too late for. A share is of 2^32. */
typedef struct {
    int64_t answer_ns;   /* by so much the samples of a late capture come after the first question, on CLOCK_MONOTONIC; 0: never */
    int64_t decision_ns; /* what a late play or capture is said to be late by */
    uint32_t answer_share;   /* of the captures */
    uint32_t decision_share; /* of the plays and captures that begin after a capture of the shot has ended */
} qrt_plant_faults;

typedef struct {
    uint32_t abi;  /* QRT_PLANT_ABI */
    uint32_t size; /* sizeof(qrt_plant_config) */
    uint32_t qubit_count;
    uint32_t line_count;
    uint32_t coupler_count;
    uint32_t reserved;
    int64_t tick_ps;
    int64_t sample_ticks;
    int64_t feedback_latency_ticks;
    int64_t granularity_ticks;
    int64_t drift_interval_ticks; /* what drifts moves at the first shot of each such interval of the run; 0: at every shot */
    int64_t trigger_period_fs;    /* by the host's clock, 10^-15 s, 1 us to 1 s: the hardware's clock drifts against it; 0: no trigger */
    int64_t trigger_jitter_ns;    /* each trigger is up to so much later, evenly; less than half of the period */
    int64_t answer_ns_max;        /* as in qrt_port.h; without faults the samples are always at hand at once */
    uint32_t capture_samples_max;
    uint32_t segment_count_max;   /* per line */
    uint32_t segment_samples_max; /* per line, all segments together */
    uint32_t tone_samples_max;    /* longest segment of the feedline; a longer play there is QRT_ERR_SEGMENT */
    uint32_t response_count_max;  /* 17 to 64: cached (segment, amplitude, frequency) responses of the feedline, and as many
                                     of the drive lines, and of the couplers'; the least recently used is computed again */
    double projective_exponent;   /* a tone that dephases a qubit by more than this collapses it (8: coherence 3e-4) */
    double negligible_exponent;   /* a tone that dephases by less is dephasing only; between the two: QRT_ERR_WEAK_TONE */
    qrt_plant_qubit qubits[QRT_PLANT_QUBITS_MAX];
    qrt_plant_line lines[QRT_PLANT_LINES_MAX];
    qrt_plant_coupler couplers[QRT_PLANT_COUPLERS_MAX];
    qrt_plant_adc adc;
    qrt_plant_faults faults;
} qrt_plant_config;

/* What the plant knows and the runtime must not: populations at the start of projective tones. Where tones that begin together measure
 * qubits that are correlated, the qubits collapse in the order of their indices, and each one's population is that given the levels of
 * those before. */
typedef struct {
    /* of level 1 at the k-th projective tone of a shot, summed over shots */
    double population_sum[QRT_PLANT_QUBITS_MAX][QRT_PLANT_TONES_MAX];
    int64_t shot_count[QRT_PLANT_QUBITS_MAX][QRT_PLANT_TONES_MAX];    /* shots that had a k-th tone */
    double product_sum;     /* of Z of the watched qubits (qrt_plant_watch), summed over the shots that had all of their tones: the mean
                               that the joint state has at the last of them, times the levels found at tones that began before */
    int64_t product_count;  /* these shots */
    int64_t dac_clip_count;  /* samples */
    int64_t adc_clip_count;  /* samples */
    int64_t jump_count;
    int64_t response_miss_count; /* responses that had to be computed */
} qrt_plant_truth;

typedef struct {
    int64_t shot;
    int64_t tick;      /* of the tone's start or of the jump, counted from the run's start */
    double population; /* of level 1 just before; at a jump 0 or 1 */
    int32_t qubit;
    int32_t level;     /* after */
} qrt_plant_path;

typedef struct qrt_plant qrt_plant;

size_t qrt_plant_size(const qrt_plant_config *config);
/* Checks the config and lays the plant out in lent memory (64-byte aligned). State: thermal equilibrium, fields empty.
 * QRT_OK, QRT_ERR_ABI, QRT_ERR_ARGUMENT, QRT_ERR_MEMORY. */
qrt_status qrt_plant_init(qrt_plant *plant, size_t plant_size, const qrt_plant_config *config);
/* Copies a segment of baseband samples, as they stand in the instrument's memory; between runs, in the place of an older one of
 * that index. QRT_OK, QRT_ERR_LINE, QRT_ERR_SEGMENT (no such index), QRT_ERR_ARGUMENT, QRT_ERR_MEMORY (no room). */
qrt_status qrt_plant_segment(qrt_plant *plant, uint16_t line, uint16_t segment, const int16_t *i, const int16_t *q,
                             uint32_t sample_count);
/* Begins a run: ticks start at 0 again, truth and path are cleared, `idle_s` has passed since the last run's end; outputs that
 * `safe` turned off may play again. QRT_ERR_PORT, here and at a shot's begin: a frequency has drifted by a quarter of the sample rate. */
qrt_status qrt_plant_start(qrt_plant *plant, uint64_t seed, double idle_s);
/* Fills the port that the kernel plays on. */
qrt_status qrt_plant_port(qrt_plant *plant, qrt_port *port_out);
/* From the next shot on, which qubits' Z are multiplied in the truth: of each qubit at its so-many-th projective tone of the shot, from 0
 * on, or -1: not in it. QRT_ERR_ARGUMENT. */
qrt_status qrt_plant_watch(qrt_plant *plant, const int32_t tones[QRT_PLANT_QUBITS_MAX]);
qrt_status qrt_plant_read_truth(const qrt_plant *plant, qrt_plant_truth *truth_out);
/* Logs the state path into lent memory from now on; count_out counts entries that did not fit, too. */
qrt_status qrt_plant_log_path(qrt_plant *plant, qrt_plant_path *path, uint32_t path_count_max);
int64_t qrt_plant_path_count(const qrt_plant *plant);
/* The physical state (not the caches, not truth) as bytes, to start a replay at a batch: init, segments, start, restore. Seed,
 * shot and tick are part of it. QRT_ERR_ARGUMENT while a capture is outstanding or overlapping plays clip. */
size_t qrt_plant_state_size(void);
qrt_status qrt_plant_save(const qrt_plant *plant, void *state_out, size_t state_size);
qrt_status qrt_plant_restore(qrt_plant *plant, const void *state, size_t state_size);
/* For tests: lets time pass until `tick` (counted from the run's start, never backwards), then reads the Bloch vector (level 0 at
 * z = +1) in the frame at the configured f_qubit, and the two conditional fields (re0, im0, re1, im1) in the frame of the feedline's source.
 * During a drive pulse the Bloch vector is that of the pulse's start. A definite level has z = +1 or -1 and one field. */
qrt_status qrt_plant_peek(qrt_plant *plant, uint32_t qubit, int64_t tick, double bloch_out[3], double field_out[4]);
/* For tests: lets time pass until `tick` as qrt_plant_peek does and reads the joint state of all qubits, 4^qubit_count numbers:
 *     joint_out[sum over q of mu_q 4^q] = < product over q of sigma_mu_q >,   sigma = 1, X, Y, Z
 * in the frames at the configured f_qubit. A qubit that has not come to `tick` (its drive pulse is on) stands at its pulse's start. */
qrt_status qrt_plant_joint(qrt_plant *plant, int64_t tick, double *joint_out);
/* For tests: how far a qubit's frequency (Hz) and the phase of its path (rad, modulo 2 pi) are from the configured ones in this shot. */
qrt_status qrt_plant_drift(const qrt_plant *plant, uint32_t qubit, double *frequency_hz_out, double *phase_rad_out);

/* Instruction sets, as in qrt_core.h, for this extension's own table. */
int32_t qrt_plant_isa_count(void);
const char *qrt_plant_isa_name(int32_t index);
qrt_status qrt_plant_isa_select(const char *name);
const char *qrt_plant_isa_selected(void);

#endif
