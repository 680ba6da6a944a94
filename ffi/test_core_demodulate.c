/* Demodulation on every instruction set of this machine: the same integers as plain C, and no byte read beyond the arrays.
 *
 * The address sanitizer sees the second; the arrays have exactly their length, and every length up to five vectors is tried.
 * Values are the extremes and a fixed scramble; tests/test_demodulate.py draws more, against numpy.
 */
#include "test_core.h"

#define LENGTH_MAX 330

static int16_t scrambled(size_t k, uint64_t seed)
{
    uint64_t word = (k + 1) * 0x9E3779B97F4A7C15u ^ seed * 0xBF58476D1CE4E5B9u;
    return (int16_t)((word ^ word >> 29) >> 13 & 0xFFFF);
}

static void check_length(size_t count, int16_t weight_max, bool extreme)
{
    size_t size = (count > 0 ? count : 1) * sizeof(int16_t);
    int16_t *samples = malloc(size * 2);
    int16_t *weights_i = malloc(size);
    int16_t *weights_q = malloc(size);
    CHECK(samples != NULL && weights_i != NULL && weights_q != NULL);
    for (size_t k = 0; k < count; k++) {
        samples[k] = (int16_t)(extreme ? INT16_MIN : scrambled(k, 1));
        samples[count + k] = (int16_t)(extreme ? INT16_MAX : scrambled(k, 2));
        weights_i[k] = (int16_t)(extreme ? weight_max : scrambled(k, 3) % weight_max);
        weights_q[k] = (int16_t)(extreme ? -weight_max : scrambled(k, 4) % weight_max);
    }
    int64_t expected[4] = {0, 0, 0, 0};
    for (size_t k = 0; k < count; k++) {
        for (size_t capture = 0; capture < 2; capture++) {
            expected[2 * capture] += (int64_t)samples[capture * count + k] * weights_i[k];
            expected[2 * capture + 1] += (int64_t)samples[capture * count + k] * weights_q[k];
        }
    }
    uint32_t headroom = qrt_weights_headroom(weights_i, weights_q, count);
    CHECK(headroom >= 1);
    for (int32_t isa = 0; isa < qrt_isa_count(); isa++) {
        int64_t iq[2];
        int64_t both[4];
        CHECK(qrt_isa_select(qrt_isa_name(isa)) == QRT_OK && strcmp(qrt_isa_selected(), qrt_isa_name(isa)) == 0);
        qrt_demodulate(iq, samples, weights_i, weights_q, count, headroom);
        CHECK(memcmp(iq, expected, sizeof iq) == 0);
        qrt_demodulate_many(both, samples, 2, weights_i, weights_q, count, headroom);
        CHECK(memcmp(both, expected, sizeof both) == 0);
        int64_t sum = 0;
        for (size_t k = 0; k < 2 * count; k++) {
            sum += samples[k];
        }
        CHECK(qrt_read_floor(samples, 2 * count) == sum);
    }
    free(samples);
    free(weights_i);
    free(weights_q);
}

int main(void)
{
    for (size_t count = 0; count <= LENGTH_MAX; count++) {
        check_length(count, 32767, true);
        check_length(count, 32767, false);
        check_length(count, 4095, true);
    }
    check_length(100000, 4095, true); /* far more steps than any headroom */
    check_length(100000, 1, true);
    const int16_t full[2] = {4095, 4095};
    CHECK(qrt_weights_headroom(full, full, 2) == 8);
    CHECK(qrt_isa_select("mmx") == QRT_ERR_ARGUMENT && qrt_isa_name(-1) == NULL && qrt_isa_name(99) == NULL);
    return 0;
}
