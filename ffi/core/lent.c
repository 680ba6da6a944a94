/* The memory that the caller lent: locked at arm, or at least touched, and unlocked at the end. */
#include <sys/mman.h>
#include <unistd.h>
#include "kernel_state.h"
#include "ring.h"

typedef int (*page_function)(const void *address, size_t size);

static int lock_or_touch(const void *address, size_t size)
{
    if (mlock(address, size) == 0) {
        return 0;
    }
    (void)madvise((void *)(uintptr_t)address, size, MADV_POPULATE_WRITE); /* no first-touch page faults, at least */
    return -1;
}

/* Applies a function to the pages of everything lent; returns whether it never failed. */
static bool on_lent_pages(const qrt_kernel *k, page_function function)
{
    const qrt_kernel_config *c = &k->config;
    const qrt_sequence *s = &c->sequence;
    const struct {
        const void *address;
        size_t size;
    } lent[] = {{k, qrt_kernel_size(s->instruction_count)},
                {s->instructions, s->instruction_count * sizeof s->instructions[0]},
                {s->entries, s->sequencer_count * sizeof s->entries[0]},
                {s->frames, s->frame_count * sizeof s->frames[0]},
                {s->captures, s->capture_count * sizeof s->captures[0]},
                {s->weights, s->weights_count * sizeof s->weights[0]},
                {s->table, s->table_count * sizeof s->table[0]},
                {s->factors, s->factor_count * sizeof s->factors[0]},
                {c->sweep.slots, c->sweep.slot_count * sizeof c->sweep.slots[0]},
                {c->sweep.table, c->sweep.table_count * sizeof c->sweep.table[0]},
                {c->skips, c->skip_count * sizeof c->skips[0]},
                {c->erasures, c->erasure_count * sizeof c->erasures[0]},
                {c->epoch_values, c->epoch_value_count * sizeof c->epoch_values[0]},
                {c->epochs, c->epochs != NULL ? qrt_ring_memory(c->epochs) : 0},
                {c->lateness_histogram, c->lateness_histogram != NULL ? sizeof *c->lateness_histogram : 0},
                {c->rows, qrt_ring_memory(c->rows)},
                {c->lateness, c->lateness != NULL ? qrt_ring_memory(c->lateness) : 0},
                {c->misses, c->misses != NULL ? qrt_ring_memory(c->misses) : 0},
                {c->raw, c->raw != NULL ? qrt_ring_memory(c->raw) : 0}};
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    bool all = true;
    for (size_t i = 0; i < sizeof lent / sizeof lent[0]; i++) {
        uintptr_t first = (uintptr_t)lent[i].address & ~(page - 1);
        uintptr_t end = ((uintptr_t)lent[i].address + lent[i].size + page - 1) & ~(page - 1);
        if (lent[i].size > 0) {
            all = function((const void *)first, end - first) == 0 && all;
        }
    }
    return all;
}

bool qrt_lent_lock_pages(const void *address, size_t size)
{
    return lock_or_touch(address, size) == 0;
}

bool qrt_lent_lock(const qrt_kernel *k)
{
    return on_lent_pages(k, lock_or_touch);
}

void qrt_lent_unlock(const qrt_kernel *k)
{
    (void)on_lent_pages(k, munlock);
}
