/* The plant in C: known answers of the random numbers, elementary functions against libm, kernels of every instruction set,
 * lent memory to the byte, and shots of every kind under the sanitizers.
 *
 * gcc $(python ffi/build.py FLAGS WARNINGS) -Werror -Iffi ffi/test_plant.c ffi/plant/[a-z]*.c -lm -o test && ./test
 */
#include "plant/elementary.h"
#include "plant/adc.h"
#include "philox.h"
#include "test_plant.h"
#include <math.h>

/* Random123 1.14, tests/kat_vectors, "philox4x32 10". */
static void check_philox(void)
{
    static const uint32_t KNOWN[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int k = 0; k < 3; k++) {
        uint32_t words[4];
        qrt_philox(KNOWN[k], KNOWN[k] + 4, words);
        CHECK(memcmp(words, KNOWN[k] + 6, sizeof words) == 0);
    }
}

static void check_elementary(void)
{
    for (int k = -4000; k <= 4000; k++) {
        const double x = 0.173 * k;
        if (x > -690.0 && x < 690.0)
            CHECK(fabs(real_exp(x) / exp(x) - 1.0) < 1e-15);
        const cplx turned = radian_exp(x);
        CHECK(fabs(turned.re - cos(x)) < 2e-13 && fabs(turned.im - sin(x)) < 2e-13);
        const cplx exact = turn_exp((uint64_t)k * 0x0123456789abcdefu);
        const double turns = (double)(int64_t)((uint64_t)k * 0x0123456789abcdefu) / 18446744073709551616.0;
        CHECK(fabs(exact.re - cos(turns * TWO_PI)) < 5e-16 && fabs(exact.im - sin(turns * TWO_PI)) < 5e-16);
        const double y = exp(0.01 * k) * 1.7;
        CHECK(fabs(real_log(y) - log(y)) <= 4e-16 * (1.0 + fabs(log(y))));
    }
    CHECK(real_exp(-1000.0) == 0.0 && real_exp(0.0) == 1.0 && real_log(1.0) == 0.0);
    CHECK(turns_per_sample(0.5) == 1ull << 63 && turns_per_sample(-0.25) == 3ull << 62 && turns_per_sample(7.0) == 0);
}

/* Noise is the Gaussian of the words that qrt_random gives; every width gives the same bits from any group on. */
static void check_kernels(void)
{
    enum { COUNT = 40 * NOISE_GROUP };
    static float wanted[COUNT], got[COUNT];
    static int16_t counts_wanted[COUNT + 64], counts_got[COUNT + 64];
    const noise_key key = {{0x89abcdef, 0x01234567}, {0, QRT_STREAM_NOISE, 5, 0}};
    CHECK(qrt_plant_isa_select("baseline") == QRT_OK && qrt_plant_isa_select("none") == QRT_ERR_ARGUMENT);
    adc_selected()->noise(&key, 3, 40, 100.0f, wanted);
    for (int sample = 0; sample < COUNT; sample++) {
        uint32_t words[4];
        const int k = sample % 64 / 16;
        qrt_random(0x0123456789abcdefu, QRT_STREAM_NOISE, 5, (uint32_t)((3 + sample / 64) * 16 + sample % 16), words);
        const uint32_t radius = words[k / 2 * 2], angle = words[k / 2 * 2 + 1];
        const double r = 100.0 * sqrt(-2.0 * log(((double)(radius >> 1) + 0.5) / 2147483648.0));
        const double octant = ((double)(angle & 0x1fffffff) + 0.5) / 536870912.0 * atan(1.0);
        const int swap = (angle >> 29 & 1) != 0, negative = (angle >> (31 - k % 2) & 1) != 0;
        const double x = (k % 2 == swap ? cos(octant) : sin(octant)) * (negative ? -r : r);
        CHECK(fabs((double)wanted[sample] - x) < 1e-4 * r + 1e-6);
    }
    const float halves[8] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 127.5f, -128.5f, 1e30f};
    memcpy(wanted, halves, sizeof halves);
    CHECK(adc_selected()->quantise(wanted, COUNT, -128.0f, 127.0f, counts_wanted) > 0);
    static const int16_t ROUNDED[8] = {0, 2, 2, 0, -2, 127, -128, 127};
    CHECK(memcmp(counts_wanted, ROUNDED, sizeof ROUNDED) == 0);
    for (int32_t i = 0; i < qrt_plant_isa_count(); i++) {
        CHECK(qrt_plant_isa_select(qrt_plant_isa_name(i)) == QRT_OK);
        adc_selected()->noise(&key, 3, 40, 100.0f, got);
        memcpy(got, halves, sizeof halves);
        CHECK(memcmp(got, wanted, sizeof got) == 0);
        (void)adc_selected()->quantise(got, COUNT, -128.0f, 127.0f, counts_got);
        CHECK(memcmp(counts_got, counts_wanted, COUNT * sizeof *counts_got) == 0);
    }
}


static qrt_plant_config config_of(void)
{
    qrt_plant_config c = bare_config(2, 3);
    c.capture_samples_max = 1300;
    c.segment_count_max = 3;
    c.segment_samples_max = 1030;
    for (int q = 0; q < 2; q++)
        c.qubits[q] = (qrt_plant_qubit){q ? 5.25e9 : 4.95e9, 5e-6, 6e-6, 0.02, 40 * MHZ, q ? 7.18e9 : 7.1e9,
                                        5 * MHZ, -1.5 * MHZ, 20 * MHZ, 0.3, 0.3, 0.0, 0.0, 0.0};
    for (int l = 0; l < 3; l++) {
        c.lines[l].qubit = l < 2 ? l : -1;
        c.lines[l].source_hz = l == 0 ? 4.85e9 : l == 1 ? 5.15e9 : 7e9;
    }
    return c;
}

static qrt_plant *plant_of(const qrt_plant_config *config)
{
    const size_t size = qrt_plant_size(config);
    CHECK(size > 0 && size % 64 == 0);
    qrt_plant *plant = aligned_alloc(64, size); /* exactly: a byte too many is seen by the sanitizer */
    CHECK(plant != NULL && qrt_plant_init(plant, size - 1, config) == QRT_ERR_MEMORY);
    CHECK(qrt_plant_init(plant, size, config) == QRT_OK);
    int16_t i[1000], q[1000] = {0};
    for (int n = 0; n < 1000; n++)
        i[n] = 32767;
    for (uint16_t l = 0; l < 3; l++) {
        CHECK(qrt_plant_segment(plant, l, 0, i, q, 900) == QRT_OK);
        CHECK(qrt_plant_segment(plant, l, 1, i, q, 30) == QRT_OK);
        CHECK(qrt_plant_segment(plant, l, 0, i, q, 1001) == QRT_ERR_MEMORY);
        CHECK(qrt_plant_segment(plant, l, 0, i, q, 1000) == QRT_OK); /* moves the other one down */
    }
    return plant;
}

static void check_config(void)
{
    qrt_plant_config c = config_of();
    c.size--;
    CHECK(qrt_plant_size(&c) == 0 && qrt_plant_init(NULL, 0, &c) == QRT_ERR_ABI);
    c = config_of();
    c.qubits[1].t2_s = 3.0 * c.qubits[1].t1_s;
    CHECK(qrt_plant_size(&c) == 0);
    c = config_of();
    c.lines[1].qubit = 0;
    CHECK(qrt_plant_size(&c) == 0);
    c = config_of();
    c.qubits[0].kappa_rad_per_s = 1e3;
    CHECK(qrt_plant_size(&c) == 0);
    c = config_of();
    c.adc.volts_per_count = NAN;
    CHECK(qrt_plant_size(&c) == 0);
}

/* One shot with everything in it; returns a hash of the samples. `kind` chooses overlaps, clips, long captures. */
static uint64_t shoot(qrt_port *port, int64_t shot, uint32_t kind)
{
    const int64_t start = shot * 9000;
    const int64_t f = (int64_t)(0.1 * 18446744073709551616.0), g = (int64_t)(0.18 * 18446744073709551616.0);
    const int16_t *samples;
    uint64_t hash = 14695981039346656037u;
    CHECK(port->begin_shot(port->self, shot, start) == QRT_OK);
    const qrt_play pulse = {start, f, 0, 40000, (uint16_t)(kind & 1), 1};
    CHECK(port->play(port->self, &pulse) == QRT_OK);
    if (kind & 2)
        CHECK(port->play(port->self, &pulse) == QRT_OK);
    for (int k = 0; k < 2; k++) {
        const int64_t at = start + 100 + 3000 * k;
        const qrt_play tone = {at, f, (uint64_t)f * (uint64_t)(at - start), 16384 + (int32_t)(kind & 4) * 8000, 2, 0};
        const qrt_play other = {at + (kind & 8) * 30, g, 77, 20000, 2, 0};
        const qrt_capture capture = {at - 20, 1300, 0, 2}, early = {at - 30, 777, 0, 9};
        CHECK(port->capture_begin(port->self, &early) == QRT_OK && port->capture_begin(port->self, &capture) == QRT_OK);
        CHECK(port->play(port->self, &tone) == QRT_OK && port->play(port->self, &other) == QRT_OK);
        CHECK(port->capture_end(port->self, 9, &samples) == QRT_OK);
        CHECK(port->capture_end(port->self, 2, &samples) == QRT_OK);
        for (int n = 0; n < 1300; n++)
            hash = (hash ^ (uint16_t)samples[n]) * 1099511628211u;
        CHECK(port->capture_end(port->self, 2, &samples) == QRT_ERR_CHANNEL);
        if (k == 0 && (kind & 16)) {
            const qrt_play flip = {start + 2200, f, 5, 30000, (uint16_t)(hash & 1), 1};
            CHECK(port->play(port->self, &flip) == QRT_OK);
        }
    }
    return hash;
}

static void check_shots(void)
{
    const qrt_plant_config config = config_of();
    qrt_plant *plant = plant_of(&config), *again = plant_of(&config);
    qrt_port port, port_again;
    static qrt_plant_path path[64];
    CHECK(qrt_plant_port(plant, &port) == QRT_OK && qrt_plant_port(again, &port_again) == QRT_OK);
    CHECK(port.abi == QRT_PORT_ABI && port.size == sizeof port);
    CHECK(qrt_plant_log_path(plant, path, 64) == QRT_OK);
    CHECK(qrt_plant_start(plant, 3, 0.0) == QRT_OK && qrt_plant_start(again, 99, 1.0) == QRT_OK);
    char *state = malloc(qrt_plant_state_size());
    CHECK(state != NULL);
    for (int64_t shot = 0; shot < 96; shot++) {
        /* A state is not saved while clipped overlaps are remembered: every other shot has none. */
        const uint32_t kind = (uint32_t)shot & (shot % 2 ? 31 : 27);
        const qrt_status saved = qrt_plant_save(plant, state, qrt_plant_state_size());
        CHECK(saved == QRT_OK || saved == QRT_ERR_ARGUMENT);
        const uint64_t hash = shoot(&port, shot, kind);
        if (saved == QRT_OK) {
            CHECK(qrt_plant_isa_select(qrt_plant_isa_name((int32_t)shot % qrt_plant_isa_count())) == QRT_OK);
            CHECK(qrt_plant_restore(again, state, qrt_plant_state_size()) == QRT_OK);
            CHECK(shoot(&port_again, shot, kind) == hash);
        }
    }
    qrt_plant_truth truth;
    CHECK(qrt_plant_read_truth(plant, &truth) == QRT_OK);
    CHECK(truth.shot_count[0][1] == 96 && truth.shot_count[1][0] == 96 && truth.jump_count > 0 && truth.dac_clip_count > 0);
    CHECK(qrt_plant_path_count(plant) > 64 && path[63].shot > 0);
    CHECK(port.safe(port.self) == QRT_OK && qrt_plant_start(plant, 4, 1e-3) == QRT_OK);
    double bloch[3], field[4];
    CHECK(qrt_plant_peek(plant, 1, 0, bloch, field) == QRT_OK && fabs(bloch[2] - 0.96) < 1e-9 && field[0] == 0.0);
    free(state);
    free(plant);
    free(again);
}

int main(void)
{
    check_philox();
    check_elementary();
    check_kernels();
    check_config();
    check_shots();
    return 0;
}
