/* Demodulation: capture x weights, summed, exactly. Which instruction set does it is chosen here.
 *
 *     iq[0] = sum_k samples[k] * weights_i[k],    iq[1] = sum_k samples[k] * weights_q[k]
 *
 * The wide forms multiply pairs: one step adds x0*w0 + x1*w1 to a 32-bit lane (pmaddwd, vpdpwssd). A pair's sum fits in 32 bits
 * unless both products are -32768 * -32768, hence weights within +-32767. The headroom is the number of steps that a lane can
 * take before it must be widened to 64 bits, whatever the samples are: 1 for full-scale weights, 8 at +-4095. All forms add
 * the same integers, so they agree in every bit; the baseline, plain C, is the definition.
 *
 * The choice is one pointer, made at the first use or by qrt_isa_select. Not an ifunc: those crash under TSan.
 */
#include <string.h>
#include "checks.h"
#include "demodulate.h"

#define ISA_COUNT_MAX 3

static _Atomic(const qrt_isa *) selected;

/* Those that this machine can run, best first. */
static int32_t available(const qrt_isa *isas_out[ISA_COUNT_MAX])
{
    int32_t count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni")) {
        isas_out[count++] = &qrt_isa_avx512;
    }
    if (__builtin_cpu_supports("avx2")) {
        isas_out[count++] = &qrt_isa_avx2;
    }
#endif
    isas_out[count++] = &qrt_isa_baseline;
    return count;
}

const qrt_isa *qrt_isa_chosen(void)
{
    const qrt_isa *chosen = atomic_load_explicit(&selected, memory_order_acquire);
    if (chosen == NULL) {
        const qrt_isa *isas[ISA_COUNT_MAX];
        (void)available(isas);
        chosen = isas[0];
        atomic_store_explicit(&selected, chosen, memory_order_release);
    }
    return chosen;
}

int32_t qrt_isa_count(void)
{
    const qrt_isa *isas[ISA_COUNT_MAX];
    return available(isas);
}

const char *qrt_isa_name(int32_t index)
{
    const qrt_isa *isas[ISA_COUNT_MAX];
    int32_t count = available(isas);
    return index >= 0 && index < count ? isas[index]->name : NULL;
}

qrt_status qrt_isa_select(const char *name)
{
    const qrt_isa *isas[ISA_COUNT_MAX];
    int32_t count = available(isas);
    for (int32_t index = 0; index < count; index++) {
        if (strcmp(isas[index]->name, name) == 0) {
            atomic_store_explicit(&selected, isas[index], memory_order_release);
            return QRT_OK;
        }
    }
    return QRT_ERR_ARGUMENT;
}

const char *qrt_isa_selected(void)
{
    return qrt_isa_chosen()->name;
}

static int32_t magnitude(int16_t weight)
{
    return weight < 0 ? -weight : weight;
}

/* The largest |w0| + |w1| over the pairs that the wide forms take together. */
static int32_t pair_max(const int16_t *weights, size_t sample_count)
{
    int32_t largest = 1; /* all zero: any headroom would do, this one is finite */
    for (size_t k = 0; k < sample_count; k += 2) {
        int32_t pair = magnitude(weights[k]) + (k + 1 < sample_count ? magnitude(weights[k + 1]) : 0);
        largest = pair > largest ? pair : largest;
    }
    return largest;
}

uint32_t qrt_weights_headroom(const int16_t *weights_i, const int16_t *weights_q, size_t sample_count)
{
    int32_t pair_i = pair_max(weights_i, sample_count);
    int32_t pair_q = pair_max(weights_q, sample_count);
    int32_t headroom = INT32_MAX / (32768 * (pair_i > pair_q ? pair_i : pair_q));
    return (uint32_t)headroom;
}

void qrt_demodulate(int64_t iq_out[2], const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q,
                    size_t sample_count, uint32_t headroom)
{
    qrt_isa_chosen()->demodulate(iq_out, samples, weights_i, weights_q, sample_count, headroom);
}

void qrt_demodulate_many(int64_t *iq_out, const int16_t *captures, size_t capture_count, const int16_t *weights_i,
                         const int16_t *weights_q, size_t sample_count, uint32_t headroom)
{
    qrt_isa_chosen()->demodulate_many(iq_out, captures, capture_count, weights_i, weights_q, sample_count, headroom);
}

int64_t qrt_read_floor(const int16_t *samples, size_t sample_count)
{
    return qrt_isa_chosen()->read_floor(samples, sample_count);
}
