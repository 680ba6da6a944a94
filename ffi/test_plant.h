/* For the plant's C tests: what their devices have in common. */
#ifndef QRT_TEST_PLANT_H
#define QRT_TEST_PLANT_H
#include <string.h>
#include "qrt_plant.h"
#include "test_check.h"

#define MHZ 6.283185307179586e6

/* 1 GS/s at a tick of 1 ns, an ADC of 14 bits, every line on at half a volt of full scale; no qubit, no segment, no frequency yet. */
static qrt_plant_config bare_config(uint32_t qubit_count, uint32_t line_count)
{
    qrt_plant_config c;
    memset(&c, 0, sizeof c);
    c.abi = QRT_PLANT_ABI;
    c.size = sizeof c;
    c.qubit_count = qubit_count;
    c.line_count = line_count;
    c.tick_ps = 1000;
    c.sample_ticks = c.granularity_ticks = 1;
    c.tone_samples_max = 1000;
    c.response_count_max = 17;
    c.projective_exponent = 8.0;
    c.negligible_exponent = 0.05;
    for (uint32_t l = 0; l < line_count; l++)
        c.lines[l] = (qrt_plant_line){
            .qubit = -1, .coupler = -1, .output_on = 1, .volts_per_count_i = 0.5 / 32767, .volts_per_count_q = 0.5 / 32767};
    c.adc = (qrt_plant_adc){0.5 / 8192, 200 * 0.5 / 8192 / 22360, 14, 1};
    return c;
}

#endif
