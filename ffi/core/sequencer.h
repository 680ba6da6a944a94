/* Inside the core: the sequencers of one shot. */
#ifndef QRT_SEQUENCER_H
#define QRT_SEQUENCER_H
#include <stdatomic.h>
#include <stdbool.h>
#include "demodulate.h"

#define QRT_STEP_SIZE 40 /* of a decoded instruction, see decode.h: so much memory each is lent at arm */

typedef struct qrt_step qrt_step;

/* What a shot needs from outside, lent while armed. */
typedef struct {
    qrt_port port;
    /* The samples of a capture that are asked for as they came (`raw`). */
    void (*take_raw)(void *owner, uint32_t capture_index, const int16_t *samples, uint32_t sample_count);
    void *owner;
    const int64_t *slots; /* what they are worth in the shot */
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

/* A sequencer that goes on at a tick. */
typedef struct {
    int64_t tick;
    uint64_t rank; /* within the tick, see order.h */
} qrt_due;

typedef enum { QRT_GOES_ON, QRT_WAITS_FOR_SYNC, QRT_WAITS_FOR_BIT, QRT_HAS_ENDED } qrt_sequencer_state;

/* A bit of the sequencers. */
typedef struct {
    int64_t ready_tick; /* INT64_MAX where an outstanding capture will write it */
    uint64_t value;
    uint32_t pending; /* outstanding captures that will write it; none when a shot is over */
} qrt_bit;

/* Instructions that come one after the other whatever happens (trace.h), while a sequencer is in them. */
typedef struct {
    const qrt_step *first; /* NULL: it is between two */
    int64_t tick;          /* of the first one */
    uint64_t hash;         /* the sequencer's, before it */
} qrt_section;

typedef struct {
    int64_t cursor;
    uint64_t hash; /* its share of the trace hash */
    int64_t mask;  /* of the SYNC that it waits for */
    const qrt_step *next;
    qrt_section section;
    int64_t *registers;
    const qrt_bit *bit; /* that it waits for */
    uint64_t label;     /* its share of the word of a capture's end in the trace hash */
    uint32_t index;
    uint32_t draw_count; /* in this shot */
    qrt_sequencer_state state;
} qrt_sequencer;

typedef struct {
    uint64_t phase;   /* start phase and shifts: what a restarted NCO begins with */
    uint64_t carried; /* what changes of frequency owe the free-running phase, so that it stays continuous */
    qrt_play play;    /* with the line, and the frequency in force; a play fills in the rest */
} qrt_nco;

/* A capture, as far as it is known at arm. */
typedef struct {
    qrt_capture asked;  /* of the port; each time with another tick and slot */
    int64_t length_ticks;
    qrt_bit *bit;       /* of those that have none, one that nobody reads */
    const int16_t *weights; /* w_i[0] of the first in its bank */
    const int64_t *chosen;  /* the number in the bank of those that count; NULL: there is but one */
    const int64_t *threshold;
    uint64_t words[2];  /* of its outcomes' heads, in the trace hash */
    uint64_t mask;      /* in `captured` */
    uint32_t bank_count;
    uint32_t headroom; /* of all weights in the bank */
    uint16_t index;
    bool raw;
} qrt_planned;

/* A capture that has begun. What can be found then is found then: what its end has to do comes between its last sample and a branch. */
typedef struct {
    int64_t end_tick;
    uint64_t rank; /* among those that end at the same tick: see order.h */
    int64_t ready_tick; /* of its outcome */
    uint64_t stamp;     /* tick and sequencer of its end, in the trace hash */
    const qrt_planned *planned;
    const qrt_step *step; /* that began it */
    const int16_t *weights; /* w_i[0] of those that count */
    int64_t iq[2];         /* of the samples that are demodulated already */
    uint32_t sample_count; /* of them */
    uint32_t slot;         /* its place here, constant */
} qrt_outstanding;

/* What a shot begins with. What is pointed to is lent until its end. */
typedef struct {
    int64_t index;
    int64_t tick; /* of its start, counted from the run's start */
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
    qrt_demodulate_function *demodulate;
    uint64_t factors[4];     /* of the trace hash (trace.h) */
    qrt_step *steps;         /* lent: the instructions as they are executed (decode.h) */
    uint64_t bits_used;      /* mask of those that an instruction or a capture names */
    uint64_t frames_moved;   /* mask of those whose NCO an instruction may change */
    uint64_t all_captures;   /* mask, as the next */
    uint64_t all_columns;
    uint32_t registers_used; /* a multiple of QRT_REGISTERS_STEP */
    /* Of this shot. */
    qrt_shot_start start;
    qrt_status status;    /* of an instruction that failed */
    qrt_place place;      /* where it stopped, if it did, or was given up */
    qrt_late late;
    int64_t now;          /* the last tick taken from the heap */
    int64_t end_tick;     /* the latest at which a sequencer or a capture ended */
    uint64_t ends_hash;    /* the captures' share of the trace hash */
    uint64_t bits;         /* once it is over */
    qrt_sequencer *active; /* that executes, or NULL */
    int64_t limit;         /* the first tick at which something else comes before it, or which it cannot be at */
    uint64_t captured;     /* mask of the captures that ended */
    uint64_t emitted;      /* mask of the columns that have a value */
    double weight;
    uint32_t budget_left; /* instructions, without those of the turn */
    uint32_t turn_left;   /* of the turn: see hand.h */
    bool goes_singly;     /* it does not last for a section */
    uint32_t ended_count; /* sequencers */
    uint32_t captures_begun;
    uint32_t plays_begun;
    uint32_t slots_free; /* mask */
    uint32_t bit_waiters; /* mask of sequencers */
    uint32_t due_count;
    int64_t first_end_tick; /* of the captures outstanding, or beyond the shot (order.h) */
    uint32_t end_first; /* of the captures' ends, a position, as the next; they wrap */
    uint32_t end_after_last;
    uint32_t event_count; /* what did not fit, too */
    qrt_due dues[QRT_SEQUENCERS_MAX];  /* a heap (order.h) */
    qrt_outstanding *ends[QRT_OUTSTANDING_MAX]; /* sorted */
    qrt_sequencer sequencers[QRT_SEQUENCERS_MAX];
    qrt_nco ncos[QRT_FRAMES_MAX];
    qrt_outstanding outstanding[QRT_OUTSTANDING_MAX];
    qrt_bit bit_cells[QRT_BITS_MAX + 1]; /* the last one nobody reads */
    int64_t registers[QRT_SEQUENCERS_MAX * QRT_REGISTERS];
    qrt_planned planned[QRT_CAPTURES_MAX];
} qrt_shot;

#define QRT_REGISTERS_STEP 4

/* The sequence has passed qrt_sequence_check with this port. steps: as many as it has instructions, lent as long as the shot. */
void qrt_shot_arm(qrt_shot *shot, const qrt_sequence *sequence, const qrt_outside *outside, uint64_t seed, qrt_step *steps);
/* The whole shot, whose `start` has been filled in. QRT_OK, QRT_ABORTED or an error, whose place is in the shot then;
 * QRT_ERR_TOO_LATE: `late` says the rest, and qrt_shot_forget must come before the next one. */
qrt_status qrt_shot_play(qrt_shot *shot);
/* What a shot that did not come to its end has left open. */
void qrt_shot_forget(qrt_shot *shot);

#endif
