/* The ring: one writer, one or two readers, fixed slots, in memory that processes may share.
 *
 * Positions are counts of slots since the beginning and never wrap (64 bits). The writer alone moves the head, each reader
 * alone moves its tail; the slowest tail holds the writer. Publishing is a release store of the head, peeking an acquire load
 * of it: what the writer put into a slot is seen by whoever sees the head beyond it. The same holds the other way for tails.
 * There are no fences, which TSan does not understand, and no pointers, since the processes map the memory at different
 * addresses.
 *
 * Head and tails lie on cache lines of their own. The writer keeps the slowest tail it saw last and reads the readers' lines
 * only when that one would stop it, which spares a cache miss per slot.
 *
 * Waiting is the reader's: it sleeps and looks. A wake-up call would cost the writer a system call per chunk.
 */
#include "checks.h"
#include "clock.h"
#include "ring.h"

#define MAGIC 0x31676e6972747271u /* "qrtring1" in memory */
#define SLOT_SIZE_MAX (1u << 20)
#define SLOT_COUNT_MAX (1u << 30)
#define TAIL_DETACHED UINT64_MAX
#define NAP_NS_MIN 50000
#define NAP_NS_MAX 1000000
#define TIMEOUT_NS_MAX (INT64_MAX / 4) /* a century, and no overflow when the time is added */

/* With the weakened store, TSan must report a race (tests/test_ring.py). Never define this elsewhere. */
#ifdef QRT_TEST_WEAK_RING
#define PUBLISH memory_order_relaxed
#else
#define PUBLISH memory_order_release
#endif

typedef struct {
    _Alignas(64) _Atomic uint64_t tail;
} reader_line;

typedef struct {
    _Alignas(64) uint64_t magic; /* constant after init */
    uint32_t slot_size;
    uint32_t slot_count;
    uint32_t reader_count;
    _Alignas(64) _Atomic uint64_t head; /* written by the writer */
    _Atomic uint64_t closed;
    _Alignas(64) uint64_t tail_seen; /* the writer's own */
    reader_line readers[QRT_READERS_MAX];
} __attribute__((may_alias)) layout;

static_assert(sizeof(layout) <= sizeof(qrt_ring), "the header has room for it");

static layout *opened(const qrt_ring *ring)
{
    layout *r = (layout *)(uintptr_t)ring;
    QRT_ASSERT(r->magic == MAGIC);
    return r;
}

static bool slots_are_valid(uint32_t slot_size, uint32_t slot_count)
{
    return slot_size > 0 && slot_size % 8 == 0 && slot_size <= SLOT_SIZE_MAX && slot_count > 0 && slot_count <= SLOT_COUNT_MAX &&
           (slot_count & (slot_count - 1)) == 0;
}

static void *slot_at(layout *r, uint64_t position)
{
    return (uint8_t *)r + sizeof(qrt_ring) + (position & (r->slot_count - 1)) * r->slot_size;
}

size_t qrt_ring_size(uint32_t slot_size, uint32_t slot_count)
{
    return slots_are_valid(slot_size, slot_count) ? sizeof(qrt_ring) + (size_t)slot_size * slot_count : 0;
}

qrt_status qrt_ring_init(qrt_ring *ring, size_t ring_size, uint32_t slot_size, uint32_t slot_count, uint32_t reader_count)
{
    if (!slots_are_valid(slot_size, slot_count) || reader_count < 1 || reader_count > QRT_READERS_MAX ||
        (uintptr_t)ring % 64 != 0) {
        return QRT_ERR_ARGUMENT;
    }
    if (ring_size < qrt_ring_size(slot_size, slot_count)) {
        return QRT_ERR_MEMORY;
    }
    layout *r = (layout *)ring;
    r->slot_size = slot_size;
    r->slot_count = slot_count;
    r->reader_count = reader_count;
    r->tail_seen = 0;
    atomic_store_explicit(&r->head, 0, memory_order_relaxed);
    atomic_store_explicit(&r->closed, 0, memory_order_relaxed);
    for (uint32_t reader = 0; reader < QRT_READERS_MAX; reader++) {
        atomic_store_explicit(&r->readers[reader].tail, reader < reader_count ? 0 : TAIL_DETACHED, memory_order_relaxed);
    }
    r->magic = MAGIC;
    return QRT_OK;
}

qrt_status qrt_ring_check(const qrt_ring *ring, size_t ring_size)
{
    const layout *r = (const layout *)ring;
    if (ring_size < sizeof(qrt_ring) || (uintptr_t)ring % 64 != 0 || r->magic != MAGIC) {
        return QRT_ERR_ABI;
    }
    bool whole = slots_are_valid(r->slot_size, r->slot_count) && r->reader_count >= 1 && r->reader_count <= QRT_READERS_MAX &&
                 ring_size >= qrt_ring_size(r->slot_size, r->slot_count);
    return whole ? QRT_OK : QRT_ERR_ARGUMENT;
}

uint32_t qrt_ring_slot_size(const qrt_ring *ring)
{
    return opened(ring)->slot_size;
}

size_t qrt_ring_memory(const qrt_ring *ring)
{
    const layout *r = opened(ring);
    return qrt_ring_size(r->slot_size, r->slot_count);
}

/* ---- Writer --------------------------------------------------------------------------------------------------- */

static uint64_t slowest_tail(layout *r, uint64_t head)
{
    uint64_t slowest = head;
    for (uint32_t reader = 0; reader < r->reader_count; reader++) {
        uint64_t tail = atomic_load_explicit(&r->readers[reader].tail, memory_order_acquire);
        if (tail != TAIL_DETACHED && tail < slowest) {
            slowest = tail;
        }
    }
    return slowest;
}

void *qrt_ring_claim(qrt_ring *ring)
{
    layout *r = opened(ring);
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head - r->tail_seen >= r->slot_count) {
        r->tail_seen = slowest_tail(r, head);
        if (head - r->tail_seen >= r->slot_count) {
            return NULL;
        }
    }
    return slot_at(r, head);
}

void qrt_ring_publish(qrt_ring *ring)
{
    layout *r = opened(ring);
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    QRT_ASSERT(head - r->tail_seen < r->slot_count); /* claimed before */
    atomic_store_explicit(&r->head, head + 1, PUBLISH);
}

void qrt_ring_close(qrt_ring *ring)
{
    atomic_store_explicit(&opened(ring)->closed, 1, memory_order_release);
}

/* ---- Readers -------------------------------------------------------------------------------------------------- */

static uint64_t readable(layout *r, uint32_t reader)
{
    QRT_ASSERT(reader < r->reader_count);
    uint64_t tail = atomic_load_explicit(&r->readers[reader].tail, memory_order_relaxed);
    return tail == TAIL_DETACHED ? 0 : atomic_load_explicit(&r->head, memory_order_acquire) - tail;
}

uint32_t qrt_ring_peek(qrt_ring *ring, uint32_t reader, void **first_out)
{
    layout *r = opened(ring);
    uint64_t count = readable(r, reader);
    QRT_ASSERT(count <= r->slot_count);
    uint64_t tail = atomic_load_explicit(&r->readers[reader].tail, memory_order_relaxed);
    uint64_t until_wrap = r->slot_count - (tail & (r->slot_count - 1));
    *first_out = slot_at(r, tail);
    return (uint32_t)(count < until_wrap ? count : until_wrap);
}

void qrt_ring_release(qrt_ring *ring, uint32_t reader, uint32_t slot_count)
{
    layout *r = opened(ring);
    QRT_ASSERT(slot_count <= readable(r, reader));
    if (slot_count > 0) {
        uint64_t tail = atomic_load_explicit(&r->readers[reader].tail, memory_order_relaxed);
        atomic_store_explicit(&r->readers[reader].tail, tail + slot_count, memory_order_release);
    }
}

void qrt_ring_detach(qrt_ring *ring, uint32_t reader)
{
    layout *r = opened(ring);
    QRT_ASSERT(reader < r->reader_count);
    atomic_store_explicit(&r->readers[reader].tail, TAIL_DETACHED, memory_order_release);
}

int32_t qrt_ring_closed(const qrt_ring *ring)
{
    return (int32_t)atomic_load_explicit(&opened(ring)->closed, memory_order_acquire);
}

uint64_t qrt_ring_published(const qrt_ring *ring)
{
    return atomic_load_explicit(&opened(ring)->head, memory_order_acquire);
}

/* Up to about when the slots that lack should be there, as fast as slots came since the wait began; while none came, longer each time. */
static int64_t nap_for(uint64_t came, uint64_t lacking, int64_t waited_ns, int64_t last_ns)
{
    __int128 nap_ns = came > 0 ? (__int128)waited_ns * (int64_t)lacking / (int64_t)came : (__int128)last_ns * 2;
    return nap_ns < NAP_NS_MIN ? NAP_NS_MIN : nap_ns < NAP_NS_MAX ? (int64_t)nap_ns : NAP_NS_MAX;
}

uint64_t qrt_ring_wait(qrt_ring *ring, uint32_t reader, uint64_t minimum, int64_t timeout_ns)
{
    layout *r = opened(ring);
    uint64_t enough = minimum < r->slot_count ? minimum : r->slot_count;
    int64_t begun_ns = qrt_clock_now_ns();
    int64_t deadline_ns = begun_ns + (timeout_ns < TIMEOUT_NS_MAX ? timeout_ns : TIMEOUT_NS_MAX);
    uint64_t before = readable(r, reader);
    int64_t nap_ns = 0;
    for (;;) {
        int32_t closed = qrt_ring_closed(ring); /* before the count: a close is seen with all that was published */
        uint64_t count = readable(r, reader);
        int64_t now_ns = qrt_clock_now_ns();
        if (count >= enough || closed || now_ns >= deadline_ns) {
            return count;
        }
        uint64_t came = count > before ? count - before : 0; /* fewer: this reader was detached meanwhile */
        nap_ns = nap_for(came, enough - count, now_ns - begun_ns, nap_ns);
        qrt_clock_sleep_until(now_ns + nap_ns < deadline_ns ? now_ns + nap_ns : deadline_ns);
    }
}
