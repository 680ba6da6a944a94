/* Demodulation in plain C: the definition of the result, for every machine. */
#include "checks.h"
#include "demodulate.h"

static void demodulate(int64_t iq_out[2], const int16_t *samples, const int16_t *weights_i, const int16_t *weights_q,
                       size_t sample_count, uint32_t headroom)
{
    (void)headroom; /* sums are 64 bits wide from the start */
    int64_t sum_i = 0;
    int64_t sum_q = 0;
    for (size_t k = 0; k < sample_count; k++) {
        sum_i += (int32_t)samples[k] * weights_i[k];
        sum_q += (int32_t)samples[k] * weights_q[k];
    }
    iq_out[0] = sum_i;
    iq_out[1] = sum_q;
}

static void demodulate_many(int64_t *iq_out, const int16_t *captures, size_t capture_count, const int16_t *weights_i,
                            const int16_t *weights_q, size_t sample_count, uint32_t headroom)
{
    for (size_t capture = 0; capture < capture_count; capture++) {
        demodulate(iq_out + 2 * capture, captures + capture * sample_count, weights_i, weights_q, sample_count, headroom);
    }
}

static int64_t read_floor(const int16_t *samples, size_t sample_count)
{
    int64_t sum = 0;
    for (size_t k = 0; k < sample_count; k++) {
        sum += samples[k];
    }
    return sum;
}

const qrt_isa qrt_isa_baseline = {"baseline", demodulate, demodulate_many, read_floor};
