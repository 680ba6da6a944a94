/* Inside the core: one table of functions per instruction set. */
#ifndef QRT_DEMODULATE_H
#define QRT_DEMODULATE_H
#include "../qrt_core.h"

typedef void qrt_demodulate_function(int64_t iq_out[2], const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q,
                                     size_t sample_count, uint32_t headroom);

typedef struct {
    const char *name;
    qrt_demodulate_function *demodulate;
    void (*demodulate_many)(int64_t *iq_out, const int16_t *captures, size_t capture_count, const int16_t *weights_i,
                            const int16_t *weights_q, size_t sample_count, uint32_t headroom);
    int64_t (*read_floor)(const int16_t *samples, size_t sample_count);
} qrt_isa;

const qrt_isa *qrt_isa_chosen(void);
extern const qrt_isa qrt_isa_baseline;
#if defined(__x86_64__)
extern const qrt_isa qrt_isa_avx2;
extern const qrt_isa qrt_isa_avx512;
#endif

#endif
