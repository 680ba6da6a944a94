/* Assertions that stay on in a release, and the facts about the public structs that every file relies on.
 *
 * QRT_ASSERT guards against our own bugs only: what the world can do wrong is checked at arm and returned as a status. It
 * prints nothing and allocates nothing; the process stops at the faulty line, where a debugger or a core file finds it.
 */
#ifndef QRT_CHECKS_H
#define QRT_CHECKS_H
#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "../qrt_core.h"

#define QRT_ASSERT(condition)                     \
    do {                                          \
        if (__builtin_expect(!(condition), 0)) {  \
            __builtin_trap();                     \
        }                                         \
    } while (0)

static_assert(sizeof(qrt_instruction) == 16, "sixteen bytes each");
static_assert(sizeof(qrt_frame) == 24, "no hidden padding");
static_assert(sizeof(qrt_capture_spec) == 32, "no hidden padding");
static_assert(sizeof(qrt_slot) == 24, "no hidden padding");
static_assert(sizeof(qrt_row) == 56, "the fixed head of a row");
static_assert(sizeof(qrt_miss) == 56, "no hidden padding");
static_assert(sizeof(qrt_erasure) == 24, "no hidden padding");
static_assert(sizeof(qrt_epoch) == 24, "no hidden padding");
static_assert(sizeof(qrt_event) == 32, "no hidden padding");
static_assert(sizeof(qrt_ring) == 512, "eight cache lines");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share rings: no lock may hide in an atomic");

#endif
