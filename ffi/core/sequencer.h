/* Inside the core: the sequencers of one shot. Ask for the next effect, do it, ask again. */
#ifndef QRT_SEQUENCER_H
#define QRT_SEQUENCER_H
#include <stdbool.h>
#include "../qrt_core.h"

#define QRT_DUES_MAX (QRT_SEQUENCERS_MAX + QRT_OUTSTANDING_MAX)

/* What has to be done outside, at a tick. */
typedef enum {
    QRT_EFFECT_DONE,         /* the shot is over */
    QRT_EFFECT_PLAY,         /* hand effect.play to the port */
    QRT_EFFECT_CAPTURE,      /* hand effect.capture to the port */
    QRT_EFFECT_CAPTURE_ENDS, /* fetch the samples of effect.slot, demodulate, call qrt_shot_outcome */
    QRT_EFFECT_PAUSE,        /* nothing to do: many instructions without an effect, and the caller may have to end it */
    QRT_EFFECT_ERROR         /* effect.status says what */
} qrt_effect_kind;

typedef struct {
    qrt_status status;    /* of QRT_EFFECT_ERROR */
    uint32_t sequencer;   /* whose instruction it comes from, and which */
    uint32_t instruction;
    int64_t tick;         /* in the shot */
    qrt_play play;
    qrt_capture capture;
    uint16_t slot;          /* of a capture that ends */
    uint16_t capture_index; /* which of the sequence's captures that is */
} qrt_effect;

/* An entry of the heap: a sequencer that goes on at a tick, or a capture that ends there. */
typedef struct {
    int64_t tick;
    uint64_t rank; /* within the tick, see sequencer.c */
} qrt_due;

typedef enum { QRT_GOES_ON, QRT_WAITS_FOR_SYNC, QRT_WAITS_FOR_BIT, QRT_HAS_ENDED } qrt_sequencer_state;

typedef struct {
    int64_t cursor;
    int64_t mask; /* of the SYNC that it waits for */
    uint32_t pc;
    uint32_t draw_count; /* in this shot */
    uint16_t state;
    uint16_t bit; /* that it waits for */
} qrt_sequencer;

typedef struct {
    uint64_t frequency;
    uint64_t phase;   /* start phase and shifts: what a restarted NCO begins with */
    uint64_t carried; /* what changes of frequency owe the free-running phase, so that it stays continuous */
} qrt_nco;

typedef struct {
    int64_t end_tick;
    uint32_t instruction;
    uint16_t sequencer;
    uint16_t capture_index;
} qrt_outstanding;

/* What a shot begins with. What is pointed to is lent until its end. */
typedef struct {
    int64_t index;
    int64_t tick; /* of its start, counted from the run's start */
    const int64_t *slots;
    uint8_t *outcomes; /* [capture_count], all QRT_OUTCOME_NONE: the row's */
    int64_t *iq;       /* [capture_count][2], zero, likewise */
    int64_t *emitted;  /* [emit_count], zero, likewise */
    qrt_event *events; /* the event log, or NULL */
    uint32_t event_count_max;
} qrt_shot_start;

typedef struct {
    /* Constant while armed. */
    qrt_sequence sequence;
    uint64_t seed;
    int64_t limit_ticks; /* which no cursor passes */
    int64_t feedback_latency_ticks;
    int64_t granularity_ticks;
    int64_t sample_ticks;
    uint32_t register_count;
    uint32_t bit_count;
    /* Of this shot. */
    qrt_shot_start start;
    int64_t now;       /* the last tick taken from the heap */
    int64_t end_tick;  /* the latest at which a sequencer or a capture ended */
    uint64_t hash;
    uint64_t bits;
    double weight;
    uint32_t budget_left; /* instructions */
    uint32_t captures_begun;
    uint32_t slots_free; /* mask */
    uint32_t active;     /* the sequencer that is not in the heap but executing, or QRT_SEQUENCERS_MAX */
    uint32_t bit_waiters; /* mask of sequencers */
    uint32_t due_count;
    qrt_due dues[QRT_DUES_MAX];
    qrt_sequencer sequencers[QRT_SEQUENCERS_MAX];
    qrt_nco ncos[QRT_FRAMES_MAX];
    qrt_outstanding outstanding[QRT_OUTSTANDING_MAX];
    int64_t bit_ready[QRT_BITS_MAX];  /* tick */
    uint8_t bit_pending[QRT_BITS_MAX]; /* outstanding captures that will write it */
    int64_t registers[QRT_SEQUENCERS_MAX][QRT_REGISTERS];
    uint32_t event_count; /* what did not fit, too */
} qrt_shot;

/* The sequence has passed qrt_sequence_check with this port. */
void qrt_shot_arm(qrt_shot *shot, const qrt_sequence *sequence, const qrt_port *port, uint64_t seed);
void qrt_shot_begin(qrt_shot *shot, const qrt_shot_start *start);
qrt_effect_kind qrt_shot_next(qrt_shot *shot, qrt_effect *effect_out);
/* Answers QRT_EFFECT_CAPTURE_ENDS, before anything else is asked. */
void qrt_shot_outcome(qrt_shot *shot, const qrt_effect *effect, const int64_t iq[2]);
uint64_t qrt_shot_trace_hash(const qrt_shot *shot);

#endif
