/* Inside the core: what the kernel needs to know of a ring beyond its face. */
#ifndef QRT_RING_H
#define QRT_RING_H
#include "../qrt_core.h"

/* Bytes of the ring with its slots. */
size_t qrt_ring_memory(const qrt_ring *ring);

#endif
