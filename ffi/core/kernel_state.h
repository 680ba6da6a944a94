/* Inside the core: the kernel's own struct, and what its files ask of each other. */
#ifndef QRT_KERNEL_STATE_H
#define QRT_KERNEL_STATE_H
#include <pthread.h>
#include <string.h>
#include "checks.h"
#include "erase.h"
#include "evidence.h"
#include "follow.h"
#include "pace.h"
#include "sequencer.h"

#define QRT_NAP_NS 50000     /* waiting for another thread */
#define QRT_RAW_HEAD_SIZE 16 /* of a slot of the raw ring */

enum { REQUEST_STOP = 1, REQUEST_ABORT = 2 }; /* bits */
enum { STATE_ARMED = 0x51525431, STATE_RUNNING, STATE_ENDED, STATE_JOINED };

struct qrt_kernel {
    qrt_kernel_config config;
    qrt_port port;
    qrt_kernel_report report;
    pthread_t thread;
    void *stack;
    size_t stack_size;
    _Atomic uint32_t request;
    _Atomic uint32_t state;
    /* The loop's own. */
    int64_t shot_index;
    int64_t periods_taken;  /* by the previous shot: 1, or more where it was stretched */
    int64_t stretched;      /* periods by which the shots so far were stretched or paused, since the run's start */
    int64_t epoch;          /* number of the one in force */
    int64_t epoch_due;      /* the next one that is due ... */
    int64_t epoch_due_shot; /* ... at this shot; INT64_MAX without a ring */
    int64_t epoch_values[QRT_EPOCH_VALUES_MAX];
    int64_t sweep_point;    /* whose slots these are; -1: none yet, or an epoch has come */
    int64_t slots[QRT_SLOTS_MAX];
    int64_t origin_ns;
    int64_t lateness_ns;   /* of the shot in hand */
    int64_t busy_ns;       /* how long the previous shot took */
    bool came_late;        /* the loop itself arrived after the release, before it slept */
    bool is_overtaken;     /* external pacing: the trigger after the one that released the shot in hand has come, too */
    const struct qrt_release *release; /* NULL: virtual pacing */
    qrt_follow follow;     /* external pacing */
    uint32_t skip_index;
    uint32_t erasure_index;
    uint32_t erased_in_row; /* shots up to the one in hand */
    qrt_again again;        /* a replay's erased shot */
    qrt_pace pace;
    qrt_watch watch;
    /* The event log. */
    int64_t log_shot;
    qrt_event *log_events;
    uint32_t log_count_max;
    uint32_t *log_count_out;
    qrt_shot shot;
};

static inline bool is_requested(const qrt_kernel *k, uint32_t request)
{
    return (atomic_load_explicit(&k->request, memory_order_relaxed) & request) != 0;
}

/* Of a shot's start, counted from the run's start. Every shot before it took its period, and some of them more. */
static inline int64_t shot_tick(const qrt_kernel *k, int64_t shot_index)
{
    return (shot_index + k->stretched) * k->config.sequence.period_ticks;
}

/* From the start of this kernel's first shot to that of the shot in hand. */
static inline int64_t qrt_periods_since_start(const qrt_kernel *k)
{
    return k->shot_index - k->config.shot_first + k->stretched - k->config.stretched_first;
}

/* rows.c: what the kernel writes for its readers. Claim returns NULL where a ring is full; a claimed row is begun (all
 * but outcomes, iq and columns, which are the shot's), then published. */
qrt_row *qrt_rows_claim(const qrt_kernel *k);

static inline uint8_t *qrt_rows_outcomes(qrt_row *row)
{
    return (uint8_t *)row + sizeof(qrt_row);
}

static inline uint32_t qrt_rows_outcomes_size(uint32_t capture_count)
{
    return (capture_count + 7) / 8 * 8;
}

static inline int64_t *qrt_rows_iq(const qrt_kernel *k, qrt_row *row)
{
    return (int64_t *)(void *)(qrt_rows_outcomes(row) + qrt_rows_outcomes_size(k->config.sequence.capture_count));
}

static inline void qrt_rows_begin(const qrt_kernel *k, qrt_row *row)
{
    row->shot = k->shot_index;
    row->tick = shot_tick(k, k->shot_index);
    row->epoch = k->epoch;
    row->trace_hash = 0;
    row->bits = 0;
    row->shot_weight = 1.0;
    row->flags = 0;
    row->capture_count = k->config.sequence.capture_count;
    if (k->config.sequence.capture_count > 0) { /* of the outcomes only the padding, which is in the last word */
        memset((uint8_t *)qrt_rows_iq(k, row) - 8, QRT_OUTCOME_NONE, 8);
    }
}

void qrt_rows_publish(qrt_kernel *k);
void qrt_rows_skip(qrt_kernel *k, qrt_row *row); /* the shot in hand, whole */
void qrt_rows_miss(qrt_kernel *k, const qrt_miss *miss);

static inline bool qrt_epochs_is_due(const qrt_kernel *k)
{
    return k->shot_index == k->epoch_due_shot;
}

/* epochs.c. Before the first shot; at each shot, which takes the epoch that is due at it, once; after the last. `is_due`: not taken
 * yet. Take returns QRT_OK, also where a stop ended the wait, or what the run ends with. */
void qrt_epochs_begin(qrt_kernel *k);
qrt_status qrt_epochs_take(qrt_kernel *k);
void qrt_epochs_end(qrt_kernel *k);
qrt_status qrt_epochs_check(const qrt_kernel_config *c);

/* arm.c: do so many periods, from the run's start, fit in 64 bits as ticks and as nanoseconds? */
bool qrt_periods_fit(const qrt_kernel_config *c, int64_t shots_left, __int128 periods_before);
qrt_status qrt_check_ring(const qrt_ring *ring, uint32_t slot_size);

/* paced.c: sleeps until then, or for as long as a stop may go unseen, and returns the time; at once where it is too near. */
int64_t qrt_paced_sleep(qrt_kernel *k, int64_t now_ns, int64_t until_ns);

/* What releases the shots of a paced run: real.c, external.c. */
typedef struct qrt_release {
    qrt_status (*wait)(qrt_kernel *k); /* for the shot in hand: QRT_OK with its lateness, QRT_STOPPED, or what the run ends with */
    qrt_status (*past)(qrt_kernel *k, int64_t *periods_out); /* until the first release still to come; 0: that of the shot in hand */
    int64_t (*due_ns)(const qrt_kernel *k); /* of the shot in hand */
} qrt_release;
extern const qrt_release qrt_release_real;
extern const qrt_release qrt_release_external;

/* execute.c: the shot in hand, whole. What it made goes into its row; the next one is due when it has passed. */
qrt_status qrt_execute_shot(qrt_kernel *k, qrt_row *row);
void qrt_execute_fill(const qrt_kernel *k, qrt_row *row);
void qrt_execute_pass(qrt_kernel *k, int64_t end_tick);
qrt_status qrt_execute_fails(qrt_kernel *k, qrt_status status);
/* What its sequencers ask for when a capture ends (sequencer.h). */
void qrt_execute_take_raw(void *kernel, uint32_t capture_index, const int16_t *samples, uint32_t sample_count);

/* erase.c: the shot in hand, which the hardware was too late for, with its row. QRT_OK: the run goes on. In a paced run all shots whose
 * releases have passed meanwhile are skipped, too (paced.c). */
qrt_status qrt_erase_shot(qrt_kernel *k, qrt_row *row);
qrt_status qrt_paced_catch_up(qrt_kernel *k, int64_t *skipped_count);
qrt_cause qrt_paced_cause(qrt_kernel *k, int64_t lateness_ns);

/* virtual.c, paced.c: what becomes of the next shot. QRT_OK also where a stop was seen; the loop sees it, too. */
qrt_status qrt_next_virtual(qrt_kernel *k);
qrt_status qrt_next_paced(qrt_kernel *k);

/* lent.c: the memory that was lent. Returns whether all of it is locked. */
bool qrt_lent_lock(const qrt_kernel *k);
void qrt_lent_unlock(const qrt_kernel *k);
bool qrt_lent_lock_pages(const void *address, size_t size);

#endif
