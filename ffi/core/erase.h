/* Inside the core: an erased shot of a recorded run once more, on a port that was never too late.
 *
 * A port in front of the port, for one shot: it says QRT_ERR_TOO_LATE where the recorded one did.
 */
#ifndef QRT_ERASE_H
#define QRT_ERASE_H
#include "../qrt_core.h"

typedef struct {
    qrt_port port; /* the one behind */
    qrt_erasure erasure;
    uint32_t begun_count; /* plays and captures so far */
    uint32_t ended_count;
} qrt_again;

/* The port in front of `port`, which lives as long as `again`. */
qrt_port qrt_again_port(qrt_again *again, const qrt_port *port, const qrt_erasure *erasure);

#endif
