/* Correlated qubits in C: runs of drives, couplers' tones and readouts at random, in every order that the port allows, under the
 * sanitizers; joint states that are states; and a saved state that goes on with the same bits on every instruction set.
 *
 * gcc $(python ffi/build.py FLAGS WARNINGS) -Werror -Iffi ffi/test_plant_pair.c ffi/plant/[a-z]*.c -lm -o test && ./test
 */
#include "philox.h"
#include "test_plant.h"
#include <math.h>

#define QUBITS 4
#define COUPLERS 6
#define FEED 10
#define LINES 11
#define PERIOD 6000
#define SHOTS 200

/* Four qubits, every pair coupled: as much as the header allows. */
static qrt_plant_config config_of(void)
{
    qrt_plant_config c = bare_config(QUBITS, LINES);
    c.capture_samples_max = c.segment_samples_max = 1200;
    c.segment_count_max = 2;
    for (int q = 0; q < QUBITS; q++)
        c.qubits[q] = (qrt_plant_qubit){4.6e9 + 0.2e9 * q, 3e-6, 2e-6, 0.02, 40 * MHZ, 7.1e9 + 0.1e9 * q, 5 * MHZ,
                                        -1.5 * MHZ, 20 * MHZ, 0.3, 0.3, 0.0, q == 1 ? 2e6 : 0.0, 0.0};
    for (int l = 0; l < LINES; l++) {
        c.lines[l].qubit = l < QUBITS ? l : -1;
        c.lines[l].coupler = l >= QUBITS && l < FEED ? l - QUBITS : -1;
        c.lines[l].source_hz = l < QUBITS ? 4.6e9 + 0.2e9 * l : l == FEED ? 7e9 : 6e9;
    }
    c.lines[QUBITS + 2].offset_v_i = 0.01;
    c.lines[QUBITS + 1].gain_imbalance = 0.1;
    c.coupler_count = COUPLERS;
    uint32_t k = 0;
    for (uint32_t a = 0; a < QUBITS; a++)
        for (uint32_t b = a + 1; b < QUBITS; b++)
            c.couplers[k++] = (qrt_plant_coupler){{b, a}, 80e6 - 30e6 * k, {20e6, -15e6 * k}};
    return c;
}

static qrt_plant *plant_of(const qrt_plant_config *config)
{
    static int16_t ones[1000], zeros[1000];
    const size_t size = qrt_plant_size(config);
    qrt_plant *plant = aligned_alloc(64, size); /* exactly: a byte too many is seen by the sanitizer */
    CHECK(size > 0 && plant != NULL && qrt_plant_init(plant, size, config) == QRT_OK);
    for (int n = 0; n < 1000; n++)
        ones[n] = 32767;
    for (uint16_t l = 0; l < LINES; l++) {
        CHECK(qrt_plant_segment(plant, l, 0, ones, zeros, 1000) == QRT_OK);
        CHECK(qrt_plant_segment(plant, l, 1, ones, zeros, 30) == QRT_OK);
    }
    return plant;
}

/* Something at random at each tick, refused or not; returns a hash of what came of it, and when all is over. */
static uint64_t shoot(qrt_plant *plant, int64_t shot, int64_t *end_out)
{
    qrt_port port;
    const int16_t *samples;
    uint64_t hash = 14695981039346656037u;
    CHECK(qrt_plant_port(plant, &port) == QRT_OK);
    int64_t tick = shot * PERIOD;
    CHECK(port.begin_shot(port.self, shot, tick) == QRT_OK);
    for (uint32_t k = 0; k < 40; k++) {
        uint32_t words[4];
        qrt_random(17, 0, shot, k, words);
        tick += words[0] % 50;
        qrt_status status;
        if (words[1] % 16 > 0) {
            const uint16_t line = (uint16_t)(words[1] / 16 % FEED);
            const qrt_play play = {.tick = tick, .amplitude = (int32_t)(words[2] % QRT_AMPLITUDE_ONE), .line = line,
                                   .segment = (uint16_t)(words[3] % 8 > 0), .phase = (uint64_t)words[3] << 32};
            status = port.play(port.self, &play);
        } else {
            const uint32_t q = words[2] % QUBITS;
            const int64_t f = (int64_t)((0.1 + 0.1 * q) * 18446744073709551616.0);
            const qrt_play tone = {.tick = tick, .frequency = f, .amplitude = QRT_AMPLITUDE_ONE / 2, .line = FEED};
            const qrt_capture capture = {tick, 600, 0, 1};
            CHECK(port.capture_begin(port.self, &capture) == QRT_OK);
            status = port.play(port.self, &tone);
            CHECK(port.capture_end(port.self, 1, &samples) == QRT_OK);
            for (int n = 0; n < 600; n++)
                hash = (hash ^ (uint16_t)samples[n]) * 1099511628211u;
            tick += words[3] % 3 > 0 ? 600 : 1200;
        }
        CHECK(status == QRT_OK || status == QRT_ERR_DRIVE_IN_COUPLING || status == QRT_ERR_DRIVE_IN_TONE || status == QRT_ERR_LINE);
        hash = (hash ^ (uint64_t)status) * 1099511628211u;
        if (tick > shot * PERIOD + 3000)
            break;
    }
    *end_out = tick + 1000;
    return hash;
}

/* All expectation values within [-1, 1], a purity of at most 1, and 1 for the empty word; returns whether anything is correlated. */
static int check_joint(qrt_plant *plant, int64_t tick)
{
    double joint[256], square = 0.0, correlation = 0.0;
    CHECK(qrt_plant_joint(plant, tick, joint) == QRT_OK && joint[0] == 1.0);
    for (int index = 0; index < 256; index++) {
        double product = 1.0;
        for (int q = 0; q < QUBITS; q++)
            product *= joint[index & 3 << 2 * q];
        correlation += fabs(joint[index] - product);
        CHECK(fabs(joint[index]) < 1.0 + 1e-12);
        square += joint[index] * joint[index];
    }
    CHECK(square < 16.0 * (1.0 + 1e-12));
    return correlation > 0.1;
}

static void check_random_runs(void)
{
    const qrt_plant_config config = config_of();
    qrt_plant *plant = plant_of(&config), *again = plant_of(&config);
    CHECK(qrt_plant_start(plant, 3, 0.0) == QRT_OK && qrt_plant_start(again, 99, 1.0) == QRT_OK);
    char *state = malloc(qrt_plant_state_size());
    CHECK(state != NULL);
    int correlated = 0, saved = 0;
    int64_t end = 0, end_again = 0;
    for (int64_t shot = 0; shot < SHOTS; shot++) {
        const qrt_status status = qrt_plant_save(plant, state, qrt_plant_state_size());
        CHECK(status == QRT_OK || status == QRT_ERR_ARGUMENT);
        const uint64_t hash = shoot(plant, shot, &end);
        if (status == QRT_OK) {
            saved++;
            CHECK(qrt_plant_isa_select(qrt_plant_isa_name((int32_t)shot % qrt_plant_isa_count())) == QRT_OK);
            CHECK(qrt_plant_restore(again, state, qrt_plant_state_size()) == QRT_OK);
            CHECK(shoot(again, shot, &end_again) == hash && end_again == end);
        }
        if (shot % 3 == 0)
            correlated += check_joint(plant, end);
    }
    CHECK(correlated > SHOTS / 12 && saved > SHOTS / 4);
    CHECK(qrt_plant_start(plant, 4, 1e-3) == QRT_OK && !check_joint(plant, 0));
    free(state);
    free(plant);
    free(again);
}

static void check_config(void)
{
    qrt_plant_config c = config_of();
    CHECK(qrt_plant_size(&c) > 0);
    c.couplers[2].qubits[0] = c.couplers[2].qubits[1];
    CHECK(qrt_plant_size(&c) == 0);
    c = config_of();
    c.couplers[5].qubits[1] = QUBITS;
    CHECK(qrt_plant_size(&c) == 0);
    c = config_of();
    c.couplers[0].zz_hz_per_v2 = NAN;
    CHECK(qrt_plant_size(&c) == 0);
    c = config_of();
    c.lines[QUBITS].coupler = 1;
    CHECK(qrt_plant_size(&c) == 0);
    c = config_of();
    c.lines[QUBITS].qubit = 0;
    CHECK(qrt_plant_size(&c) == 0);
    c = config_of();
    c.coupler_count = COUPLERS - 1;
    CHECK(qrt_plant_size(&c) == 0);
}

int main(void)
{
    check_config();
    check_random_runs();
    return 0;
}
