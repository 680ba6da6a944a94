/* Inside the core: what a thread asks the system for, and what it got. */
#ifndef QRT_THREAD_H
#define QRT_THREAD_H
#include <stdbool.h>
#include "../qrt_core.h"

/* Is there nothing in it that no system could grant? */
bool qrt_thread_valid(const qrt_thread_asked *asked);

#endif
