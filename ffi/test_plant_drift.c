/* Drift in C: a ramp's exact offset, a walk that any shot can compute alone, states that are saved in the middle, and the bound.
 *
 * gcc $(python ffi/build.py FLAGS WARNINGS) -Werror -Iffi ffi/test_plant_drift.c ffi/plant/[a-z]*.c -lm -o test && ./test
 */
#include "philox.h"
#include "test_plant.h"
#include <math.h>

#define PERIOD 5000
#define STEP_HZ (1e9 / 18446744073709551616.0) /* 2^-64 turns a sample of 1 ns */

static qrt_plant_config config_of(double ramp, double walk, double phase_walk)
{
    qrt_plant_config c = bare_config(2, 2);
    c.capture_samples_max = 1000;
    c.segment_count_max = 1;
    c.segment_samples_max = 1000;
    for (int q = 0; q < 2; q++)
        c.qubits[q] = (qrt_plant_qubit){q ? 5.25e9 : 4.85e9, 5e-6, 6e-6,     0.02, 40 * MHZ, q ? 7.4e9 : 7.1e9,
                                        5 * MHZ,             -1.5 * MHZ, 40 * MHZ, 0.3,  0.3,      ramp,
                                        walk,                phase_walk};
    c.lines[0].qubit = 0;
    c.lines[0].source_hz = 4.85e9;
    c.lines[1].source_hz = 7e9;
    return c;
}

static qrt_plant *plant_of(const qrt_plant_config *config)
{
    static int16_t ones[1000], zeros[1000];
    const size_t size = qrt_plant_size(config);
    qrt_plant *plant = aligned_alloc(64, (size + 63) / 64 * 64);
    CHECK(size > 0 && plant != NULL && qrt_plant_init(plant, size, config) == QRT_OK);
    for (int n = 0; n < 1000; n++)
        ones[n] = 32767;
    CHECK(qrt_plant_segment(plant, 0, 0, ones, zeros, 25) == QRT_OK);
    CHECK(qrt_plant_segment(plant, 1, 0, ones, zeros, 1000) == QRT_OK);
    return plant;
}

/* Two quarter turns and a readout; a hash of the samples. */
static uint64_t shoot(const qrt_port *port, int64_t shot)
{
    const int64_t start = shot * PERIOD;
    const int16_t *samples = NULL;
    const qrt_capture capture = {start + 1100, 1000, 0, 3};
    uint64_t hash = 14695981039346656037u;
    CHECK(port->begin_shot(port->self, shot, start) == QRT_OK);
    for (int k = 0; k < 2; k++) {
        const qrt_play pulse = {.tick = start + 800 * k, .amplitude = QRT_AMPLITUDE_ONE / 2, .phase = (uint64_t)k << 62};
        CHECK(port->play(port->self, &pulse) == QRT_OK);
    }
    const qrt_play tone = {.tick = start + 1000, .frequency = 1844674407370955162, .amplitude = QRT_AMPLITUDE_ONE, .line = 1};
    CHECK(port->play(port->self, &tone) == QRT_OK);
    CHECK(port->capture_begin(port->self, &capture) == QRT_OK && port->capture_end(port->self, 3, &samples) == QRT_OK);
    for (int n = 0; n < 1000; n++)
        hash = (hash ^ (uint16_t)samples[n]) * 1099511628211u;
    return hash;
}

static double offset_of(const qrt_plant *plant)
{
    double frequency = 0.0, phase = 0.0;
    CHECK(qrt_plant_drift(plant, 0, &frequency, &phase) == QRT_OK);
    return frequency;
}

static void check_ramp(void)
{
    const qrt_plant_config config = config_of(-2e4, 0.0, 0.0);
    qrt_plant *plant = plant_of(&config);
    qrt_port port;
    CHECK(qrt_plant_port(plant, &port) == QRT_OK && qrt_plant_start(plant, 1, 0.0) == QRT_OK);
    for (int64_t shot = 0; shot < 1000; shot++) {
        CHECK(port.begin_shot(port.self, shot, shot * 999983) == QRT_OK);
        CHECK(fabs(offset_of(plant) + 2e4 * 999983e-9 * (double)shot) <= 0.51 * STEP_HZ + 2e-11);
    }
    double phase = 0.0, frequency = 0.0;
    CHECK(qrt_plant_drift(plant, 2, &frequency, &phase) == QRT_ERR_ARGUMENT);
    const double ended = offset_of(plant);
    CHECK(qrt_plant_start(plant, 2, 0.5) == QRT_OK && fabs(offset_of(plant) - ended + 2e4 * 0.5) < 1e-9);
    CHECK(port.begin_shot(port.self, 0, 1000000) == QRT_OK && fabs(offset_of(plant) - ended + 2e4 * 0.501) < 1e-9);
    free(plant);
}

/* Each step of a walk from the shot's words alone, by libm: that is what keeps a replay free to begin anywhere. */
static void check_walk(void)
{
    const uint64_t seed = 0x0123456789abcdefu;
    const qrt_plant_config config = config_of(0.0, 100.0, 2.0);
    qrt_plant *plant = plant_of(&config);
    qrt_port port;
    CHECK(qrt_plant_port(plant, &port) == QRT_OK && qrt_plant_start(plant, seed, 0.0) == QRT_OK);
    double frequency = 0.0, phase = 0.0, walked = 0.0, turned = 0.0;
    for (int64_t shot = 1; shot < 500; shot++) {
        uint32_t words[4];
        qrt_random(seed, QRT_STREAM_DRIFT + 1, shot, 0, words);
        const double uniform = ((double)(((uint64_t)words[0] << 32 | words[1]) >> 11) + 0.5) / 9007199254740992.0;
        const double angle = ((double)words[2] * 4294967296.0 + (double)words[3]) / 18446744073709551616.0 * 8.0 * atan(1.0);
        walked += 100.0 * sqrt(PERIOD * 1e-9) * sqrt(-2.0 * log(uniform)) * cos(angle);
        turned += 2.0 * sqrt(PERIOD * 1e-9) * sqrt(-2.0 * log(uniform)) * sin(angle);
        CHECK(port.begin_shot(port.self, shot, shot * PERIOD) == QRT_OK);
        CHECK(qrt_plant_drift(plant, 1, &frequency, &phase) == QRT_OK);
        CHECK(fabs(frequency - walked) < 1e-6 && fabs(remainder(phase - turned, 8.0 * atan(1.0))) < 1e-9);
    }
    free(plant);
}

static void check_states(void)
{
    const qrt_plant_config config = config_of(1e6, 1e6, 30.0), still = config_of(0.0, 0.0, 0.0);
    qrt_plant *plant = plant_of(&config), *again = plant_of(&config), *unmoved = plant_of(&still);
    qrt_port port, port_again, port_unmoved;
    CHECK(qrt_plant_port(plant, &port) == QRT_OK && qrt_plant_port(again, &port_again) == QRT_OK);
    CHECK(qrt_plant_port(unmoved, &port_unmoved) == QRT_OK);
    CHECK(qrt_plant_start(plant, 3, 0.0) == QRT_OK && qrt_plant_start(again, 9, 2.0) == QRT_OK);
    CHECK(qrt_plant_start(unmoved, 3, 0.0) == QRT_OK);
    char *state = malloc(qrt_plant_state_size());
    CHECK(state != NULL);
    int differing = 0;
    for (int64_t shot = 0; shot < 64; shot++) {
        CHECK(qrt_plant_save(plant, state, qrt_plant_state_size()) == QRT_OK);
        const uint64_t hash = shoot(&port, shot);
        CHECK(qrt_plant_isa_select(qrt_plant_isa_name((int32_t)shot % qrt_plant_isa_count())) == QRT_OK);
        CHECK(qrt_plant_restore(again, state, qrt_plant_state_size()) == QRT_OK);
        CHECK(shoot(&port_again, shot) == hash && offset_of(again) == offset_of(plant));
        differing += shoot(&port_unmoved, shot) != hash;
    }
    CHECK(differing > 50 && offset_of(unmoved) == 0.0 && offset_of(plant) != 0.0);
    free(state);
    free(plant);
    free(again);
    free(unmoved);
}

static void check_bound(void)
{
    qrt_plant_config config = config_of(1e9, 0.0, 0.0);
    qrt_plant *plant = plant_of(&config);
    qrt_port port;
    CHECK(qrt_plant_port(plant, &port) == QRT_OK && qrt_plant_start(plant, 1, 0.0) == QRT_OK);
    CHECK(port.begin_shot(port.self, 0, 249000000) == QRT_OK && port.begin_shot(port.self, 1, 251000000) == QRT_ERR_PORT);
    CHECK(qrt_plant_start(plant, 1, 1.0) == QRT_ERR_PORT);
    free(plant);
    config = config_of(NAN, 0.0, 0.0);
    CHECK(qrt_plant_size(&config) == 0);
    config = config_of(0.0, -1.0, 0.0);
    CHECK(qrt_plant_size(&config) == 0);
    config = config_of(0.0, 0.0, 2e9);
    CHECK(qrt_plant_size(&config) == 0);
}

int main(void)
{
    check_ramp();
    check_walk();
    check_states();
    check_bound();
    return 0;
}
