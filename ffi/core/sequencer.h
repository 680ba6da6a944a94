/* Inside the core: the sequencers of one shot. */
#ifndef QRT_SEQUENCER_H
#define QRT_SEQUENCER_H
#include <stdatomic.h>
#include <stdbool.h>
#include "../qrt_core.h"

#define QRT_STEP_SIZE 32 /* of a decoded instruction, see decode.h: so much memory each is lent at arm */

typedef struct qrt_step qrt_step;

/* What a shot needs from outside, lent while armed. */
typedef struct {
    qrt_port port;
    /* Fetches the samples of a slot and demodulates them with the weights of a capture. */
    qrt_status (*demodulated)(void *owner, uint16_t slot, uint16_t capture_index, int64_t iq_out[2]);
    void *owner;
    const _Atomic uint32_t *request; /* looked at after every effect, and now and then in a loop without any */
    uint32_t request_abort;          /* the bits of it that end the shot */
} qrt_outside;

/* Where a shot stopped that could not go on. */
typedef struct {
    int64_t tick; /* in the shot */
    uint32_t sequencer;
    uint32_t instruction;
} qrt_place;

/* Of a shot that the hardware was too late for: what was too late, and what had been done before. */
typedef struct {
    bool is_given_up;
    qrt_miss_class miss_class;
    uint32_t done_count; /* as in qrt_miss */
} qrt_late;

/* A sequencer that goes on at a tick, or a capture that ends there. */
typedef struct {
    int64_t tick;
    uint64_t rank; /* within the tick, see order.h */
} qrt_due;

typedef enum { QRT_GOES_ON, QRT_WAITS_FOR_SYNC, QRT_WAITS_FOR_BIT, QRT_HAS_ENDED } qrt_sequencer_state;

typedef struct {
    int64_t cursor;
    int64_t mask; /* of the SYNC that it waits for */
    const qrt_step *next;
    uint32_t draw_count; /* in this shot */
    uint16_t state;
    uint16_t bit; /* that it waits for */
} qrt_sequencer;

typedef struct {
    uint64_t phase;   /* start phase and shifts: what a restarted NCO begins with */
    uint64_t carried; /* what changes of frequency owe the free-running phase, so that it stays continuous */
    qrt_play play;    /* with the line, and the frequency in force; a play fills in the rest */
} qrt_nco;

typedef struct {
    int64_t end_tick;
    const int16_t *weights; /* w_i[0] of those that count */
    uint32_t instruction;
    uint16_t sequencer;
    uint16_t capture_index;
} qrt_outstanding;

/* Of a capture: its share of the trace hash (trace.h), without tick and iq. */
typedef struct {
    uint64_t outcomes[2]; /* by outcome */
    uint64_t iq;
} qrt_capture_words;

/* What a shot begins with. What is pointed to is lent until its end. */
typedef struct {
    int64_t index;
    int64_t tick; /* of its start, counted from the run's start */
    const int64_t *slots;
    uint8_t *outcomes; /* [capture_count]: the row's, as the next two. What the shot leaves out is filled in at its end */
    int64_t *iq;       /* [capture_count][2] */
    int64_t *emitted;  /* [emit_count] */
    qrt_event *events; /* the event log, or NULL */
    uint32_t event_count_max;
} qrt_shot_start;

typedef struct {
    /* Constant while armed. */
    qrt_sequence sequence;
    qrt_outside outside;
    uint64_t seed;
    int64_t limit_ticks; /* which no cursor passes */
    int64_t feedback_latency_ticks;
    int64_t granularity_ticks;
    int64_t sample_ticks;
    uint64_t factors[4];     /* of the trace hash (trace.h) */
    qrt_step *steps;         /* lent: the instructions as they are executed (decode.h) */
    uint64_t all_captures;   /* mask, as the next */
    uint64_t all_columns;
    uint32_t register_count; /* of each sequencer: a multiple of QRT_REGISTERS_STEP */
    /* Of this shot. */
    qrt_shot_start start;
    qrt_status status;    /* of an instruction that failed */
    qrt_place place;      /* where it stopped, if it did, or was given up */
    qrt_late late;
    int64_t now;          /* the last tick taken from the heap */
    int64_t end_tick;     /* the latest at which a sequencer or a capture ended */
    uint64_t hash;
    uint64_t bits;
    uint64_t bits_touched; /* mask: those whose bit_ready may not be 0 */
    uint32_t active;       /* the sequencer that executes, or QRT_SEQUENCERS_MAX; the next three are of it */
    uintptr_t turn_end;    /* address of the step at which its turn ends, if it does not branch */
    int64_t limit;         /* the first tick at which something else comes before it */
    int64_t *own;          /* registers */
    uint64_t captured;     /* mask of the captures that ended */
    uint64_t emitted;      /* mask of the columns that have a value */
    double weight;
    uint32_t budget_left; /* instructions, without those of the turn */
    uint32_t turn_left;   /* of the turn, while nobody executes */
    uint32_t captures_begun;
    uint32_t plays_begun;
    uint32_t slots_free; /* mask */
    uint32_t bit_waiters; /* mask of sequencers */
    uint32_t due_count;
    int64_t first_end_tick; /* of the captures outstanding, or the end of time */
    uint32_t end_first; /* of the captures' ends, a position, as the next; they wrap */
    uint32_t end_after_last;
    uint32_t event_count; /* what did not fit, too */
    qrt_due dues[QRT_SEQUENCERS_MAX];  /* a heap (order.h) */
    qrt_due ends[QRT_OUTSTANDING_MAX]; /* sorted */
    qrt_sequencer sequencers[QRT_SEQUENCERS_MAX];
    qrt_nco ncos[QRT_FRAMES_MAX];
    qrt_outstanding outstanding[QRT_OUTSTANDING_MAX];
    int64_t bit_ready[QRT_BITS_MAX];   /* tick; INT64_MAX where an outstanding capture will write it */
    uint8_t bit_pending[QRT_BITS_MAX]; /* outstanding captures that will write it; none when a shot is over */
    int64_t registers[QRT_SEQUENCERS_MAX * QRT_REGISTERS];
    qrt_capture_words capture_words[QRT_CAPTURES_MAX];
} qrt_shot;

#define QRT_REGISTERS_STEP 4

/* The sequence has passed qrt_sequence_check with this port. steps: as many as it has instructions, lent as long as the shot. */
void qrt_shot_arm(qrt_shot *shot, const qrt_sequence *sequence, const qrt_outside *outside, uint64_t seed, qrt_step *steps);
/* The whole shot, whose `start` has been filled in. QRT_OK, QRT_ABORTED or an error, whose place is in the shot then;
 * QRT_ERR_TOO_LATE: `late` says the rest, and qrt_shot_forget must come before the next one. */
qrt_status qrt_shot_play(qrt_shot *shot);
/* What a shot that did not come to its end has left open. */
void qrt_shot_forget(qrt_shot *shot);
uint64_t qrt_shot_trace_hash(const qrt_shot *shot);

#endif
