/* The kernel's face: clock, rings, demodulation, sequencers, the event loop.
 *
 * Owns no memory: everything is lent by the caller before qrt_kernel_arm and stays lent until qrt_kernel_join has returned.
 * After arm nothing is allocated, locked or printed. This header is its own cffi declaration.
 */
#ifndef QRT_CORE_H
#define QRT_CORE_H
#include <stddef.h>
#include <stdint.h>
#include "qrt_port.h"

#define QRT_CORE_ABI 5
#define QRT_SEQUENCERS_MAX 16
#define QRT_REGISTERS 64
#define QRT_FRAMES_MAX 64
#define QRT_BITS_MAX 64
#define QRT_CAPTURES_MAX 64 /* capture slots of one sequence, and rows' outcomes */
#define QRT_OUTSTANDING_MAX 16
#define QRT_READERS_MAX 2
#define QRT_WEIGHTS_MAX 67108864 /* integration weights of a sequence: 128 MiB of them */
#define QRT_SLOTS_MAX 64 /* values that a sweep and the epoch give a shot */
#define QRT_SLOT_NONE 4294967295
#define QRT_EPOCH_VALUES_MAX 64
#define QRT_AXES_MAX 8
#define QRT_EMITS_MAX 64 /* emitted columns of a row */
#define QRT_ERASED_MAX 8 /* shots erased in a row, none of them executed between: then the run ends with QRT_ERR_ERASED */
#define QRT_OUTCOME_NONE 255 /* the capture was not executed in this shot */
#define QRT_BIT_NONE 255

/* ---- Instruction set ------------------------------------------------------------------------------------------
 * Sixteen bytes. `cursor` is the sequencer's tick, counted from the shot's start. A bit is a cell shared by the
 * sequencers of a shot, 0 at its start, written by captures and by WRITE. Registers are 0 at a shot's start.
 * Order is (tick, phase, sequencer, program order): ends of captures are phase 0, instructions phase 1. A cursor may reach
 * the shot's end (its period, and what `stretch_max` adds), and no further; a play starts and a capture ends within it. Only SYNC,
 * READ and WRITE wait for others. An operand from a register is looked at when it is executed: QRT_ERR_OPERAND, QRT_ERR_TABLE. */
typedef enum {
    QRT_OP_END = 0,           /* this sequencer is done with the shot */
    QRT_OP_PLAY = 1,          /* a: frame; b: segment; c: amplitude; d: 0 = NCO free running since the shot's start,
                                 1 = it counts from this play's own tick: phase = the frame's start phase and its shifts */
    QRT_OP_CAPTURE = 2,       /* b: capture index. Does not block */
    QRT_OP_WAIT = 3,          /* d: ticks >= 0. cursor += d */
    QRT_OP_WAIT_UNTIL = 4,    /* d: tick. cursor = d; QRT_ERR_UNDERFLOW if d < cursor */
    QRT_OP_SYNC = 5,          /* d: mask of sequencers, the own bit included. All of them continue at the largest cursor */
    QRT_OP_SET_FREQUENCY = 6, /* a: frame; d: 2^-64 turns per tick. The free-running phase stays continuous at the cursor */
    QRT_OP_SHIFT_PHASE = 7,   /* a: frame; d: 2^-64 turns, added */
    QRT_OP_READ = 8,          /* a: register; b: bit. register = bit; cursor = max(cursor, tick at which the bit is ready) */
    QRT_OP_WRITE = 9,         /* a: register; b: bit. bit = register & 1, ready at the cursor; waits like READ, so that an
                                 older capture cannot overwrite it */
    QRT_OP_ALU = 10,          /* a: destination register; b: qrt_alu; c: source register; d: immediate */
    QRT_OP_BRANCH = 11,       /* a: register; b: qrt_condition on the register beside d; c: target, an absolute instruction index */
    QRT_OP_LOAD = 12,         /* a: register; b: slot. register = the slot's value in this shot */
    QRT_OP_LOOKUP = 13,       /* a: register; b: index register; c: first entry; d: entries. register = table[c + index], index < d */
    QRT_OP_DRAW = 14,         /* a: register; d: bits, 1 to 63. register = random, 0 <= register < 2^d: the upper bits of the Philox
                                 words (0, 1) keyed by the run's seed, with the sequencer's stream and how often it has drawn in the
                                 shot (philox.h) */
    QRT_OP_WEIGH = 15,        /* b: index register; c: first entry; d: entries. shot weight *= factors[c + index], index < d */
    QRT_OP_EMIT = 16,         /* a: register; b: column of the row. The last one counts; 0 where there was none */
    QRT_OP_PLAY_REGISTER = 17, /* as PLAY, c: register of the amplitude */
    QRT_OP_WAIT_REGISTER = 18, /* a: register of the ticks >= 0 */
    QRT_OP_SET_FREQUENCY_REGISTER = 19, /* a: frame; b: register */
    QRT_OP_SHIFT_PHASE_REGISTER = 20    /* a: frame; b: register */
} qrt_op;

typedef enum { /* destination r, source s, immediate d; 64-bit two's complement, wrapping */
    QRT_ALU_SET = 0, /* r = d */
    QRT_ALU_MOVE = 1, /* r = s */
    QRT_ALU_ADD = 2, /* r = r + s + d */
    QRT_ALU_SUB = 3, /* r = r - s - d */
    QRT_ALU_AND = 4, /* r = r & s */
    QRT_ALU_OR = 5, /* r = r | s */
    QRT_ALU_XOR = 6, /* r = r ^ s ^ d */
    QRT_ALU_EQ = 7, /* r = (r == s + d) */
    QRT_ALU_LT = 8, /* r = (r < s + d) */
    QRT_ALU_MULTIPLY = 9, /* r = r * s + d */
    QRT_ALU_SHIFT_RIGHT = 10 /* r = s >> d, rounded down; d: 0 to 63 */
} qrt_alu;

typedef enum { /* of the register beside d, signed; with d = 0 they are what their names say */
    QRT_IF_ALWAYS = 0,
    QRT_IF_ZERO = 1,        /* register == d */
    QRT_IF_NONZERO = 2,     /* register != d */
    QRT_IF_NEGATIVE = 3,    /* register < d */
    QRT_IF_NOT_NEGATIVE = 4 /* register >= d */
} qrt_condition;

typedef struct {
    uint8_t op;
    uint8_t a;
    uint16_t b;
    int32_t c;
    int64_t d;
} qrt_instruction;

/* A frame at the shot's start. NCO phase at tick t of the shot = phase + frequency * t (mod 2^64). */
typedef struct {
    int64_t frequency; /* 2^-64 turns per tick */
    uint64_t phase;    /* 2^-64 turns */
    uint16_t line;
    uint16_t reserved[3];
} qrt_frame;

/* iq = (sum x*w_i, sum x*w_q); outcome = iq[0] > threshold, which is `threshold` or what the slot is worth in this shot. The
 * discriminator's rotation is folded into the weights. A capture may have a bank of weights, made before arm: which of them count is
 * what a slot is worth in the shot, found when the capture begins (QRT_ERR_OPERAND where there is none of that number). */
typedef struct {
    int64_t threshold;
    uint32_t sample_count;
    uint32_t weights_offset; /* index into the weights array of w_i[0]; w_q[0] follows at + sample_count, the next ones of the bank
                                at + 2 * sample_count, and so on */
    uint32_t weights_slot; /* QRT_SLOT_NONE: there is but one */
    uint32_t bank_count;   /* with a slot: how many there are, 1 or more */
    uint16_t channel;
    uint8_t bit; /* written with the outcome, ready at capture end + feedback latency, rounded up to the port's granularity;
                    QRT_BIT_NONE: none */
    uint8_t raw; /* 1: copy the samples to the raw ring */
    uint32_t threshold_slot; /* QRT_SLOT_NONE: `threshold` holds */
} qrt_capture_spec;

typedef struct {
    const qrt_instruction *instructions;
    const uint32_t *entries; /* first instruction of each sequencer */
    const qrt_frame *frames;
    const qrt_capture_spec *captures;
    const int16_t *weights; /* +-32767, so that a sum of two products fits in 32 bits even for -32768 */
    const int64_t *table;   /* of LOOKUP */
    const double *factors;  /* of WEIGH, finite */
    uint32_t instruction_count;
    uint32_t sequencer_count;
    uint32_t frame_count;
    uint32_t capture_count;
    uint32_t weights_count;
    uint32_t budget; /* instructions per shot over all sequencers; exceeding it is QRT_ERR_BUDGET */
    uint32_t table_count;
    uint32_t factor_count;
    uint32_t slot_count;  /* of the sweep, those that follow the epoch included */
    uint32_t emit_count;  /* columns of the row */
    uint32_t stretch_max; /* a shot longer than its period: 0: QRT_ERR_OVERRUN; n: the next one starts at the next multiple of the
                             period, and only beyond n periods more than its own is it QRT_ERR_OVERRUN */
    uint32_t reserved;
    int64_t period_ticks; /* 1 to 2^48, stretched too */
} qrt_sequence;

/* ---- Sweeps ---------------------------------------------------------------------------------------------------
 * The slots of a shot as a pure function of its index and of the epoch in force. The grid is the product of the axes, the last one
 * fastest. */
typedef enum {
    QRT_ORDER_POINT = 0, /* shots_per_point shots of a point, then the next point; after the last the first again */
    QRT_ORDER_SHOT = 1   /* every shot another point */
} qrt_order;

typedef enum {
    QRT_RULE_AFFINE = 0, /* at k of n: (start*(n-1-k) + stop*k) / (n-1), exact, to the nearest, ties to even; start for n = 1 */
    QRT_RULE_TABLE = 1,  /* table[start + k]; stop is 0 */
    QRT_RULE_EPOCH = 2   /* value `start` of the epoch in force; axis and stop are 0 */
} qrt_rule;

typedef struct {
    int64_t start;
    int64_t stop;
    uint32_t axis; /* whose k it follows; several slots may follow one */
    uint32_t rule; /* qrt_rule */
} qrt_slot;

typedef struct {
    const qrt_slot *slots;
    const int64_t *table;
    int64_t points[QRT_AXES_MAX]; /* of each axis, 1 or more; their product at most 2^40 */
    int64_t shots_per_point;      /* 1 or more; QRT_ORDER_SHOT does not look at it */
    uint32_t axis_count;          /* 0: one point */
    uint32_t slot_count;
    uint32_t table_count;
    uint32_t order; /* qrt_order */
} qrt_sweep;

qrt_status qrt_sweep_check(const qrt_sweep *sweep); /* QRT_OK or QRT_ERR_ARGUMENT */
/* Of a checked sweep: the point of a shot >= 0, how many values an epoch must have, and the slots [slot_count] of a point and of a
 * shot, with the values of the epoch (NULL where no slot follows it). */
int64_t qrt_sweep_point(const qrt_sweep *sweep, int64_t shot);
uint32_t qrt_sweep_value_count(const qrt_sweep *sweep);
void qrt_sweep_slots_at(int64_t *slots_out, const qrt_sweep *sweep, const int64_t *epoch_values, int64_t point);
void qrt_sweep_slots(int64_t *slots_out, const qrt_sweep *sweep, const int64_t *epoch_values, int64_t shot);

/* ---- Epochs ---------------------------------------------------------------------------------------------------
 * An epoch is one immutable set of values. Batch k is the shots [k*W, (k+1)*W), W = batch_shots; what is computed from it is epoch
 * k + 1 + d, d = epoch_delay, in force from shot (k + 1 + d)*W on. Epochs 1 to d never come. The writer publishes one entry for each
 * epoch from d + 1 on, in order; one that was missed stays missed, and the values in force stay.
 * d = 0 is stop and wait: in a paced run it pauses until the entry is there, outside the promise that both clocks give the same. */
#define QRT_EPOCH_HELD 1 /* flag: the values in force stay, and so does their number; those of the entry are not looked at */

typedef struct { /* a slot of the ring: this, then value_count int64 */
    int64_t number;       /* of the epoch, which is the batch at whose first shot it takes effect */
    int64_t begin_period; /* a replay's input, virtual pacing only: no earlier than so many periods of the run does that shot begin; else 0 */
    uint32_t flags;
    uint32_t reserved;
} qrt_epoch;

uint32_t qrt_epoch_size(uint32_t value_count);

/* ---- Shot rows ------------------------------------------------------------------------------------------------
 * One row a shot, skipped shots included, so that row i is always shot first + i. Head, then capture_count outcomes
 * padded with QRT_OUTCOME_NONE to a multiple of eight bytes, then capture_count iq pairs of int64, then emit_count int64. */
#define QRT_ROW_SKIPPED 1 /* flag: the shot was not executed */
#define QRT_ROW_ERASED 2  /* flag: not to be used: the hardware was too late for it. The row tells what there was: outcomes and iq of the
                             captures that were answered, bits and emitted columns as they stood, a trace_hash over what was
                             executed up to where the shot was given up. Shot weight 0 */

typedef struct {
    int64_t shot;
    int64_t tick; /* of the shot's start, counted from the run's start: a multiple of the period, later than shot * period by what
                     the shots before it were stretched */
    int64_t epoch;
    uint64_t trace_hash; /* over every executed (tick, sequencer, operation, operands) and every outcome and iq */
    double shot_weight;
    uint64_t bits; /* final value of each bit */
    uint32_t flags;
    uint32_t capture_count;
} qrt_row;

uint32_t qrt_row_size(uint32_t capture_count, uint32_t emit_count);

/* ---- Rings ----------------------------------------------------------------------------------------------------
 * One writer, up to QRT_READERS_MAX readers with private tails; the slowest reader holds the writer. Lives in lent memory
 * that may be shared between processes; holds no pointer. C11 atomics, no fences. */
typedef struct { uint64_t opaque[64]; } qrt_ring; /* header, 64-byte aligned; the slots follow it in memory */

/* Bytes; slot_count is a power of two up to 2^30, slot_size a multiple of 8 up to 2^20. 0 if they are not. */
size_t qrt_ring_size(uint32_t slot_size, uint32_t slot_count);
/* QRT_OK, QRT_ERR_ARGUMENT, QRT_ERR_MEMORY. reader_count is 1 or 2. */
qrt_status qrt_ring_init(qrt_ring *ring, size_t ring_size, uint32_t slot_size, uint32_t slot_count, uint32_t reader_count);
/* Another process, after mapping `ring_size` bytes: is there a ring in them? QRT_OK, QRT_ERR_ABI (none), QRT_ERR_ARGUMENT
 * (damaged). */
qrt_status qrt_ring_check(const qrt_ring *ring, size_t ring_size);
uint32_t qrt_ring_slot_size(const qrt_ring *ring);
/* Writer: the slot to fill, or NULL if a reader has not released it; then publish. */
void *qrt_ring_claim(qrt_ring *ring);
void qrt_ring_publish(qrt_ring *ring);
/* Writer: no more slots will come. */
void qrt_ring_close(qrt_ring *ring);
/* Reader: consecutive readable slots from its tail, without wrap; 0 if none. first_out is their address. */
uint32_t qrt_ring_peek(qrt_ring *ring, uint32_t reader, void **first_out);
void qrt_ring_release(qrt_ring *ring, uint32_t reader, uint32_t slot_count);
/* The reader is gone for good and holds the writer no longer; anyone may call it for a process that died. */
void qrt_ring_detach(qrt_ring *ring, uint32_t reader);
int32_t qrt_ring_closed(const qrt_ring *ring); /* 1 after close; peek once more after seeing it */
uint64_t qrt_ring_published(const qrt_ring *ring); /* slots published since init */
/* Sleeps up to timeout_ns until `minimum` slots are readable (possibly wrapped; the whole ring counts as enough) or the ring is
 * closed; returns the readable count. */
uint64_t qrt_ring_wait(qrt_ring *ring, uint32_t reader, uint64_t minimum, int64_t timeout_ns);

/* Memory that another process can map: an anonymous file, sized, sealed against resizing, mapped and returned as address +
 * descriptor (close-on-exec; the caller closes it). Map: the file must have exactly `size` bytes. QRT_OK, QRT_ERR_ARGUMENT,
 * QRT_ERR_MEMORY. */
qrt_status qrt_shared_create(void **address_out, int32_t *descriptor_out, size_t size);
qrt_status qrt_shared_map(void **address_out, int32_t descriptor, size_t size);
qrt_status qrt_shared_unmap(void *address, size_t size);

/* ---- Clock ---------------------------------------------------------------------------------------------------- */
int64_t qrt_clock_now_ns(void); /* CLOCK_MONOTONIC */

/* How long before a release to spin. The lateness of wake-ups, but no more than leaves spin and shot together within the share
 * of the period, and at least 0. */
int64_t qrt_spin_ns(int64_t wake_ns, int64_t busy_ns, int64_t period_ns, uint32_t share_permille);

/* ---- Histogram ------------------------------------------------------------------------------------------------
 * Of durations, log-linear: below 256 ns each value has its bucket; above, each octave is cut into 128 of equal width.
 * Bucket of v = 128 s + (v >> s), s = max(0, floor(log2 v) - 7); a negative value counts as 0. All of int64 has its place.
 * Lent memory, zeroed by the caller, for one writer; read it when the writer is done. */
#define QRT_HISTOGRAM_BUCKETS 7296
typedef struct {
    int64_t count;
    int64_t maximum; /* ns; 0 where there is none */
    int64_t buckets[7296];
} qrt_histogram;

uint32_t qrt_histogram_bucket(int64_t value_ns);
int64_t qrt_histogram_end(uint32_t bucket); /* the largest value of a bucket */
void qrt_histogram_add(qrt_histogram *histogram, int64_t value_ns);
/* The end of the first bucket up to which ceil(count * per_million / 10^6) values lie, at the most the maximum; 0 if empty. */
int64_t qrt_histogram_quantile(const qrt_histogram *histogram, uint32_t per_million);
void qrt_histogram_age(qrt_histogram *histogram); /* halves every count, rounded down */

/* ---- Thread ---------------------------------------------------------------------------------------------------
 * What a thread asks the system for, 0 = leave as it is, and what was then read back. */
#define QRT_CORE_WORDS 16
typedef struct {
    uint64_t cores[16]; /* core n: bit n % 64 of word n / 64 */
    int64_t slack_ns;   /* by how much the system may delay a wake-up of an ordinary thread */
    int32_t priority;   /* 1 to 99: SCHED_FIFO */
    int32_t reserved;
} qrt_thread_asked;

typedef struct {
    uint64_t cores[16];
    int64_t slack_ns;
    int32_t policy;         /* SCHED_OTHER 0, SCHED_FIFO 1, ...; of these four, -1 is what the system did not tell */
    int32_t priority;
    int32_t cores_error;    /* the system's error number where it refused; 0: granted, or not asked for */
    int32_t slack_error;
    int32_t priority_error;
    int32_t reserved;
} qrt_thread_found;

/* The calling thread. Never fails: what is not granted is in `found_out`. */
void qrt_thread_apply(const qrt_thread_asked *asked, qrt_thread_found *found_out);

/* ---- Demodulation ---------------------------------------------------------------------------------------------
 * Exact in 64 bits for every int16 sample, -32768 included, and weights in +-32767. Same bits on every instruction set. */
/* How many steps a 32-bit lane can add before it must be widened; computed once from the weights, at arm. */
uint32_t qrt_weights_headroom(const int16_t *weights_i, const int16_t *weights_q, size_t sample_count);
void qrt_demodulate(int64_t iq_out[2], const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q,
                    size_t sample_count, uint32_t headroom);
/* captures[capture_count][sample_count] -> iq_out[capture_count][2] */
void qrt_demodulate_many(int64_t *iq_out, const int16_t *captures, size_t capture_count, const int16_t *weights_i,
                         const int16_t *weights_q, size_t sample_count, uint32_t headroom);
/* Sum of all samples: reads memory and does next to nothing else. The floor of the demodulation benchmark. */
int64_t qrt_read_floor(const int16_t *samples, size_t sample_count);

/* ---- Instruction sets: one table of function pointers, chosen once ----------------------------------------------- */
int32_t qrt_isa_count(void);             /* those that this machine can run, best first */
const char *qrt_isa_name(int32_t index); /* "avx512", "avx2", "baseline" */
qrt_status qrt_isa_select(const char *name); /* before any kernel is armed; QRT_ERR_ARGUMENT if not available */
const char *qrt_isa_selected(void);

/* ---- Kernel --------------------------------------------------------------------------------------------------- */
typedef enum { /* the last two: a paced run, whose shots are released by a clock and can miss it */
    QRT_PACING_VIRTUAL = 0,
    QRT_PACING_REAL = 1,
    QRT_PACING_EXTERNAL = 2 /* the port's trigger releases the shots */
} qrt_pacing;
typedef enum { QRT_POLICY_SKIP = 0, QRT_POLICY_ABORT = 1, QRT_POLICY_HOLD = 2, QRT_POLICY_ERASE = 3 } qrt_policy;
typedef enum {
    QRT_MISS_RELEASE = 0,
    QRT_MISS_SINK = 1,
    QRT_MISS_EPOCH = 2,
    QRT_MISS_DECISION = 3, /* a play or capture came after its tick on the hardware's clock */
    QRT_MISS_PORT = 4      /* the samples of a capture did not come in time */
} qrt_miss_class;
typedef enum { /* what the kernel could see at the miss; it explains at least half of the lateness (core/evidence.c) */
    QRT_CAUSE_SINK = 0,       /* results ring full */
    QRT_CAUSE_PAGE_FAULT = 1,
    QRT_CAUSE_SWITCH = 2,     /* another thread had the core */
    QRT_CAUSE_BUDGET = 3,     /* the previous shot ran longer than its period */
    QRT_CAUSE_OUTSIDE = 4,    /* none of the others: a late wake-up, an interrupt, the host unseen */
    QRT_CAUSE_STEAL = 5,      /* the host took the core, and says so */
    QRT_CAUSE_STOPPED = 6,    /* the thread slept other than by its own sleep: a stop signal, a debugger, a port that blocks */
    QRT_CAUSE_BATCH = 7,      /* what the batches compute was not there in time */
    QRT_CAUSE_PORT = 8        /* the hardware; of a late decision, where nothing that the thread could see explains it */
} qrt_cause;

typedef struct {
    int64_t shot;        /* first shot concerned; the one that was erased */
    int64_t tick;        /* of its start; of an erased shot where it was given up */
    int64_t lateness_ns; /* of the release, or what the port says; of a late epoch 0, since it has not come yet */
    int64_t skipped_count; /* shots, from `shot` on, or those that the same stall took after the erased one */
    uint32_t miss_class; /* qrt_miss_class */
    uint32_t policy;
    uint32_t cause;
    uint32_t done_count; /* of an erased shot, for its replay: the captures that had ended (late_port), the plays and captures that
                            had begun (late_decision) */
    uint32_t played_on;  /* of an erased shot: the hardware played it to its end (qrt_port.plays_on) */
    uint32_t reserved;
} qrt_miss;

typedef struct {
    int64_t shot; /* first skipped shot of a recorded miss; replay input */
    int64_t count;
} qrt_skip;

typedef struct { /* an erased shot of a recorded run, as its miss says it; replay input */
    int64_t shot;
    uint32_t miss_class; /* QRT_MISS_DECISION or QRT_MISS_PORT */
    uint32_t done_count;
    uint32_t played_on;
    uint32_t reserved;
} qrt_erasure;

typedef struct {
    uint32_t abi;  /* QRT_CORE_ABI */
    uint32_t size; /* sizeof(qrt_kernel_config) */
    qrt_sequence sequence;
    qrt_sweep sweep; /* zeroed: none */
    uint64_t seed;   /* of DRAW */
    const qrt_port *port;
    qrt_ring *rows;     /* slot size = qrt_row_size(capture_count, emit_count) */
    qrt_ring *lateness; /* slot size 8: lateness_ns of each row, int64; telemetry, outside the trace. NULL: not wanted */
    qrt_ring *misses;   /* slot size = sizeof(qrt_miss). NULL: counted only */
    qrt_ring *raw;      /* slot size = 16 + 2 * longest raw capture, rounded up to 8: int64 shot, uint32 capture index,
                           uint32 sample_count, samples. NULL if no capture is raw */
    qrt_histogram *lateness_histogram; /* of the same values. NULL: not wanted */
    const qrt_skip *skips; /* ascending, apart from each other; virtual pacing only */
    const qrt_erasure *erasures; /* ascending; virtual pacing on a port with erase_shot only */
    qrt_ring *epochs;      /* slot size = qrt_epoch_size(epoch_value_count); the kernel is reader 0. NULL: none come */
    const int64_t *epoch_values; /* in force at the first shot; QRT_RULE_EPOCH names no more than these */
    uint32_t epoch_value_count;
    uint32_t late_epoch_policy; /* with a ring: QRT_POLICY_HOLD or QRT_POLICY_ABORT; a paced run */
    uint32_t skip_count;
    uint32_t rings_stay_open; /* 1: the end of this kernel does not close its rings, another one writes to them after it */
    uint32_t reserved;
    uint32_t pacing;      /* qrt_pacing */
    uint32_t late_policy; /* QRT_POLICY_SKIP or QRT_POLICY_ABORT, for late releases and full rings */
    uint32_t late_port_policy; /* QRT_POLICY_ERASE or QRT_POLICY_ABORT, for late decisions and a late port; every pacing */
    uint32_t erasure_count;
    uint32_t spin_share_permille; /* paced: 0: spin_ns holds throughout; else the kernel sizes the spin from the wake-ups that
                             it measures, so that spinning and playing take at most this share of the period; up to 1000 */
    int64_t shot_first;
    int64_t stretched_first; /* periods by which the shots before the first were stretched or paused; 0 from the run's start */
    int64_t shot_count;
    int64_t port_origin_tick; /* the port's ticks are the run's less this: the start of the first shot since the port was armed, 0 in a
                              run that arms once */
    int64_t epoch_first;   /* number of what is in force before the first shot, which may be the first of a batch; 0 from the
                              run's start. This and the following three are looked at only with a ring, but for the rows */
    int64_t epoch_delay;   /* d */
    int64_t batch_shots;   /* W */
    int64_t epoch_wait_ns; /* on the wall: a wait for an epoch that lasts longer is QRT_ERR_EPOCH */
    int64_t tick_ps;           /* length of a tick */
    int64_t late_tolerance_ns; /* paced: a release later than this is a miss */
    int64_t spin_ns;           /* paced: how long before a release sleeping ends and spinning begins; up to 100 ms */
    int64_t start_delay_ns;    /* real pacing: from start to the first release */
    qrt_thread_asked thread;   /* applied by the kernel's thread to itself, before the first release. A priority is for a paced run
                                  only, and with it spinning must leave a tenth of the period: the system stops a real-time
                                  thread that never sleeps */
} qrt_kernel_config;

typedef struct {
    int64_t shots_executed;
    int64_t shots_skipped;
    int64_t shots_erased;
    int64_t instructions;
    int64_t stretched_periods; /* by which shots of this run were stretched */
    int64_t miss_count;       /* one a stall */
    int64_t misses_dropped;   /* of them, those that found their ring full: counted, not recorded */
    int64_t sink_wait_count;  /* virtual pacing: how often the loop waited for a reader */
    int64_t epochs_applied;
    int64_t epochs_held;      /* that were due and did not take effect: the entry says so, or it was late */
    int64_t epochs_discarded; /* entries that came when their epoch was no longer due */
    int64_t epoch_wait_count; /* how often the loop waited for an epoch */
    int64_t paused_periods;   /* between shots, for epochs */
    int64_t raw_dropped;      /* paced: raw captures that found their ring full */
    int64_t wall_ns;          /* from the first release to the end */
    int64_t ran_ns;           /* of it, on a core */
    int64_t spin_ns;          /* paced: the spin in force at the end */
    int64_t wake_ns;          /* paced: the lateness that 99.5 % of the wake-ups kept; 0: there were none */
    int64_t error_shot;       /* where status is an error or QRT_ABORTED: shot, tick in the shot, sequencer, instruction
                                 index; else, and where there is none, -1 */
    int64_t error_tick;
    int32_t error_sequencer;
    int32_t error_instruction;
    int32_t status;           /* qrt_status */
    int32_t safe_status;      /* what the port's `safe` returned at the end */
    int32_t memory_locked;    /* 1: all lent memory is locked; 0: the limit (ulimit -l) did not allow it, pages may be evicted */
    int32_t reserved;
    qrt_thread_found thread;
} qrt_kernel_report;

#define QRT_EVENT_OUTCOME 128 /* a capture ended. b: capture, c: outcome, d: iq[0] */
#define QRT_EVENT_IQ 129      /* its second line. b: capture, d: iq[1] */

/* One line of the full event log of a shot: what trace_hash is made of. An instruction as executed, or one of the above. What an
 * instruction found in a register, slot, table or the random words stands in d (PLAY_REGISTER: in c; WEIGH: the factor's bits). */
typedef struct {
    int64_t tick;      /* counted from the shot's start; of READ and WRITE: after waiting */
    uint8_t op;        /* qrt_op or QRT_EVENT_... */
    uint8_t a;
    uint16_t b;
    int32_t c;
    int64_t d;
    uint16_t sequencer;
    uint16_t reserved[3];
} qrt_event;

typedef struct qrt_kernel qrt_kernel;

size_t qrt_kernel_size(uint32_t instruction_count); /* bytes to lend for the kernel itself, 64-byte aligned */
size_t qrt_kernel_stack_size(void); /* bytes to lend for its thread's stack, page-aligned */
/* Checks everything that can be checked, copies the config (not what it points to), locks the memory where limits allow.
 * QRT_OK, QRT_ERR_ABI, QRT_ERR_ARGUMENT, QRT_ERR_MEMORY, QRT_ERR_INSTRUCTION (the report names the instruction), and of the same
 * kind QRT_ERR_LINE, QRT_ERR_CHANNEL, QRT_ERR_CAPTURE_LENGTH for what the port does not have. */
qrt_status qrt_kernel_arm(qrt_kernel *kernel, size_t kernel_size, const qrt_kernel_config *config, qrt_kernel_report *report_out);
/* Runs the loop on a thread of its own, on the lent stack, with all signals blocked. Once an arm. */
qrt_status qrt_kernel_start(qrt_kernel *kernel, void *stack, size_t stack_size);
void qrt_kernel_stop(qrt_kernel *kernel);  /* at the next shot boundary */
void qrt_kernel_abort(qrt_kernel *kernel); /* as soon as possible */
int32_t qrt_kernel_running(const qrt_kernel *kernel);
/* Waits, unlocks the memory, then reports. QRT_OK: joined, and the run's own end is report.status (QRT_OK: all shots).
 * QRT_ERR_ARGUMENT: not started. */
qrt_status qrt_kernel_join(qrt_kernel *kernel, qrt_kernel_report *report_out);
/* Records the events of one shot into lent memory while the loop runs; call between arm and start. count_out is valid after
 * join; it counts what did not fit, too. */
qrt_status qrt_kernel_log_shot(qrt_kernel *kernel, int64_t shot, qrt_event *events, uint32_t event_count_max,
                               uint32_t *count_out);

/* ---- Mailbox --------------------------------------------------------------------------------------------------
 * A port for hardware without a fast path: what the kernel asks for goes into one ring, what was captured comes back in another, and
 * whoever serves them (the pump) takes the time that it needs, up to a deadline; a shot that misses it is too late (erase_shot). No
 * function of the port blocks. Requests keep the kernel's order. An answer names the ticket of the capture that was asked for; any other
 * is refused and counted. After the first failure the port stays failed: every function but `safe` is QRT_ERR_PORT. */
typedef enum {
    QRT_REQUEST_SHOT = 1,    /* a shot begins */
    QRT_REQUEST_PLAY = 2,
    QRT_REQUEST_CAPTURE = 3, /* a capture is announced */
    QRT_REQUEST_FETCH = 4,   /* its samples are wanted now; the deadline counts from here */
    QRT_REQUEST_SAFE = 5,    /* the kernel has ended: outputs off */
    QRT_REQUEST_ERASE = 6    /* the shot is given up: nothing more of it is wanted, and what was not played yet is not to be */
} qrt_request_kind;

typedef struct {
    int64_t ticket;     /* CAPTURE, FETCH: captures announced before this one; else how many there were so far */
    int64_t shot;
    int64_t start_tick; /* of the shot, counted from the run's start */
    /* What follows is the same in each shot of a program whose shots are alike. */
    int64_t tick;       /* PLAY: first sample; CAPTURE, FETCH: first sample of the capture; counted from the shot's start. Else 0 */
    int64_t frequency;  /* PLAY, as in qrt_play */
    uint64_t phase;
    int32_t amplitude;
    uint16_t kind;      /* qrt_request_kind */
    uint16_t line;      /* PLAY; of CAPTURE and FETCH the channel */
    uint32_t item;      /* PLAY: segment; CAPTURE, FETCH: sample count */
    uint32_t capture;   /* CAPTURE, FETCH: captures announced before this one in the shot */
} qrt_request;

typedef struct { /* head of an answer's slot; the samples follow, int16 */
    int64_t ticket;
    uint32_t sample_count;
    uint32_t reserved;
} qrt_answer;

typedef enum { /* what went wrong last: why the port failed, or NO_ANSWER, with which it works on */
    QRT_MAILBOX_WORKS = 0,
    QRT_MAILBOX_NO_ANSWER = 1, /* none by the deadline */
    QRT_MAILBOX_ENDED = 2,     /* the pump has closed the answers */
    QRT_MAILBOX_FULL = 3,      /* the pump takes no requests: no room for one more */
    QRT_MAILBOX_LENGTH = 4     /* an answer with another number of samples than asked for */
} qrt_mailbox_failure;

typedef struct {
    int64_t request_count;
    int64_t answer_count;  /* taken */
    int64_t late_count;    /* refused: after its deadline */
    int64_t twice_count;   /* refused: that capture has had its answer */
    int64_t unasked_count; /* refused: nobody has asked for that capture, or not yet */
    int64_t shot;          /* in which that was, and at which capture of the shot; -1: none */
    int64_t capture;
    int32_t failure;       /* qrt_mailbox_failure */
    int32_t reserved;
} qrt_mailbox_report;

typedef struct {
    qrt_ring *requests; /* slot size = sizeof(qrt_request); the pump is reader 0 */
    qrt_ring *answers;  /* slot size = sizeof(qrt_answer) + 2 * capture_samples_max, rounded up to 8; the port is reader 0 */
    int64_t deadline_ns; /* from FETCH to its answer */
    int64_t feedback_latency_ticks; /* from here on as in qrt_port */
    int64_t granularity_ticks;
    int64_t sample_ticks;
    uint32_t line_count;
    uint32_t channel_count;
    uint32_t capture_samples_max;
    uint32_t outstanding_max;
    uint32_t plays_on;
    uint32_t reserved;
} qrt_mailbox_config;

typedef struct qrt_mailbox qrt_mailbox;

size_t qrt_mailbox_size(void); /* bytes to lend, 8-byte aligned */
uint32_t qrt_answer_size(uint32_t capture_samples_max); /* of a slot of the answers */
/* QRT_OK, QRT_ERR_MEMORY, QRT_ERR_ARGUMENT. The memory is lent as long as the port is used. */
qrt_status qrt_mailbox_init(qrt_mailbox *mailbox, size_t mailbox_size, const qrt_mailbox_config *config, qrt_port *port_out);
/* What was counted, after a look at the answers that came since the last call of the port. While no kernel plays on it. */
void qrt_mailbox_read(qrt_mailbox *mailbox, qrt_mailbox_report *report_out);

#endif
