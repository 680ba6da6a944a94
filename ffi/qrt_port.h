/* The ABI between the kernel and a piece of hardware: what a card's vendor library would implement.
 *
 * A port is a struct of functions and a pointer. It crosses the extensions as an address, guarded by ABI version and size.
 * Ticks that the kernel hands over never decrease. No function may block, allocate, or call back into Python.
 * Phases are in turns of 2^64 and frequencies in turns of 2^64 per tick, so that an NCO is exact integer arithmetic that wraps.
 *
 * This header is its own cffi declaration: plain declarations and literal constants only.
 */
#ifndef QRT_PORT_H
#define QRT_PORT_H
#include <stdint.h>

#define QRT_PORT_ABI 3
#define QRT_AMPLITUDE_ONE 65536 /* a play's amplitude of 1.0 */

/* Success is a non-trivial constant, so that zeroed memory or a swallowed return reads as failure. */
typedef enum {
    QRT_OK = 23063,
    QRT_NOT_READY = 1,           /* the capture's last sample has not arrived; ask again */
    QRT_STOPPED = 2,             /* ended at a shot boundary because it was asked to */
    QRT_ABORTED = 3,             /* ended inside a shot because it was asked to */
    QRT_ERR_ABI = 16,            /* version or size of a struct is not the one compiled against */
    QRT_ERR_ARGUMENT = 17,       /* a value outside its documented range; a bug of the caller */
    QRT_ERR_MEMORY = 18,         /* the lent memory is too small */
    QRT_ERR_TICK_ORDER = 19,     /* a tick before the previous one */
    QRT_ERR_LINE = 20,           /* no such line, or it is busy in a way that the hardware refuses */
    QRT_ERR_SEGMENT = 21,        /* no such segment in the line's memory */
    QRT_ERR_CHANNEL = 22,        /* no such channel, or too many captures outstanding on it */
    QRT_ERR_CAPTURE_LENGTH = 23, /* a capture longer than the port's memory */
    QRT_ERR_WEAK_TONE = 24,      /* plant: a readout tone too weak to be projective and too strong to be ignored */
    QRT_ERR_DRIVE_IN_TONE = 25,  /* plant: a drive pulse on a qubit while its readout tone is on */
    QRT_ERR_UNDERFLOW = 26,      /* an absolute target before the sequencer's cursor */
    QRT_ERR_BUDGET = 27,         /* the instruction budget of a shot is used up */
    QRT_ERR_OVERRUN = 28,        /* a shot ran past its period */
    QRT_ERR_INSTRUCTION = 29,    /* unknown operation or operand out of range */
    QRT_ERR_DEADLOCK = 30,       /* sequencers wait for a sync that cannot complete */
    QRT_ERR_CLOCK = 31,          /* the operating system's clock or thread call failed */
    QRT_ERR_LATE = 32,           /* a miss whose policy is abort */
    QRT_ERR_PORT = 33,           /* the hardware failed in a way that has no other code */
    QRT_ERR_OPERAND = 34,        /* a register's value is out of the operand's range */
    QRT_ERR_TABLE = 35,          /* a register's value points beside the table */
    QRT_ERR_EPOCH = 36,          /* an epoch that the run waits for did not come, or is not one */
    QRT_ERR_TRIGGER = 37,        /* the hardware's trigger did not come */
    QRT_ERR_TOO_LATE = 38,       /* the hardware's own clock has passed what was asked of it: see erase_shot */
    QRT_ERR_ERASED = 39,         /* so many shots in a row were erased that the hardware cannot be said to work */
    QRT_ERR_DRIVE_IN_COUPLING = 40 /* plant: a drive pulse, or another coupler's tone, on a qubit while a coupler's tone is on it */
} qrt_status;

typedef struct {
    int64_t tick;      /* first sample leaves the DAC at this tick, counted from the first shot since the port was armed */
    int64_t frequency; /* NCO of the frame, signed, 2^-64 turns per tick */
    uint64_t phase;    /* NCO phase at `tick`, 2^-64 turns; the kernel has already advanced it */
    int32_t amplitude; /* QRT_AMPLITUDE_ONE = 1.0; |amplitude| <= QRT_AMPLITUDE_ONE */
    uint16_t line;
    uint16_t segment; /* index in the line's segment memory */
} qrt_play;

typedef struct {
    int64_t tick; /* first sample is taken at this tick, counted in the same way */
    uint32_t sample_count;
    uint16_t channel; /* index of the ADC */
    uint16_t slot;    /* chosen by the kernel; names the capture until its end */
} qrt_capture;

typedef struct qrt_port {
    uint32_t abi;  /* QRT_PORT_ABI */
    uint32_t size; /* sizeof(qrt_port) */
    void *self;

    /* Functions. Each returns QRT_OK or an error; capture_end also QRT_NOT_READY; play, capture_begin and capture_end of a port with
     * erase_shot also QRT_ERR_TOO_LATE. */
    qrt_status (*begin_shot)(void *self, int64_t shot, int64_t tick);
    qrt_status (*play)(void *self, const qrt_play *play);
    qrt_status (*capture_begin)(void *self, const qrt_capture *capture);
    /* Samples stay valid until the next call of any function of the port. */
    qrt_status (*capture_end)(void *self, uint16_t slot, const int16_t **samples_out);
    qrt_status (*safe)(void *self);
    /* External pacing, NULL where no trigger of the hardware's own starts the shots: how many it has started since the port was
     * armed, as far as is known at the host's time now_ns (CLOCK_MONOTONIC, never decreasing), and the host's time of the last of
     * them. Never blocks. */
    qrt_status (*triggers)(void *self, int64_t now_ns, int64_t *count_out, int64_t *last_ns_out);

    /* Properties, constant while armed. */
    int64_t feedback_latency_ticks; /* from the last sample of a capture to the first tick at which a branch may act on it */
    int64_t granularity_ticks;      /* every play and capture starts on a multiple of this, counted from the shot's start */
    int64_t sample_ticks;           /* ticks per DAC and ADC sample */
    uint32_t line_count;
    uint32_t channel_count;
    uint32_t capture_samples_max;
    uint32_t outstanding_max; /* captures begun and not ended, per channel; at most 16 in all */
    int64_t answer_ns_max;    /* how long capture_end may say QRT_NOT_READY; waiting, the kernel sleeps. Beyond it the shot is too late,
                                 or, where there is no erase_shot, the port has failed. 0: the samples are at hand at once, the
                                 kernel spins, and takes 1 s for a failure */

    /* Functions that not every hardware has: NULL. */
    /* How many samples of a capture that has begun and not ended have come, and where its first one is: they stay there, as they
     * are, until its end. Without it, the kernel learns only when all have come. */
    qrt_status (*capture_arrived)(void *self, uint16_t slot, uint32_t *count_out, const int16_t **samples_out);
    /* Hardware with a clock of its own, which can find that it is too late: play and capture_begin where the tick has passed already
     * (nothing was played or begun), capture_end where the samples will not come in time. Then the shot in hand is given up, and this
     * is called before the next one begins: whatever is open of it is closed, and what comes of it later is nobody's answer. What
     * was begun ends by itself. late_ns_out: by how much it was too late, as far as the port knows. */
    qrt_status (*erase_shot)(void *self, int64_t *late_ns_out);
    uint32_t plays_on; /* 1: the hardware plays every shot to its end, whatever becomes of its captures, and all shots alike: after
                          a late capture the kernel goes on to the shot's end, in which no other capture is answered, either, and
                          each of their capture_end closes them with QRT_ERR_TOO_LATE */
    uint32_t reserved;
} qrt_port;

#endif
