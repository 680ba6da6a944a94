/* Which instruction set the ADC's kernels use: chosen once, by name or the best that the machine has. */
#include "adc.h"
#include <string.h>

extern const adc_kernels adc_kernels_baseline;
#if defined(__x86_64__)
extern const adc_kernels adc_kernels_avx2, adc_kernels_avx512;
#endif

typedef struct {
    const char *name;
    const adc_kernels *kernels;
} isa;

static const isa ISAS[] = {
#if defined(__x86_64__)
    {"avx512", &adc_kernels_avx512},
    {"avx2", &adc_kernels_avx2},
#endif
    {"baseline", &adc_kernels_baseline},
};
#define ISA_COUNT ((int32_t)(sizeof ISAS / sizeof ISAS[0]))

static const isa *selected;

/* ISAS is ordered best first, so that what a machine has is a tail of it. */
static int32_t first_available(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq"))
        return 0;
    return __builtin_cpu_supports("avx2") ? 1 : 2;
#else
    return 0;
#endif
}

int32_t qrt_plant_isa_count(void) { return ISA_COUNT - first_available(); }

const char *qrt_plant_isa_name(int32_t index)
{
    return index >= 0 && index < qrt_plant_isa_count() ? ISAS[first_available() + index].name : NULL;
}

qrt_status qrt_plant_isa_select(const char *name)
{
    for (int32_t i = first_available(); name != NULL && i < ISA_COUNT; i++) {
        if (strcmp(ISAS[i].name, name) == 0) {
            selected = &ISAS[i];
            return QRT_OK;
        }
    }
    return QRT_ERR_ARGUMENT;
}

static const isa *chosen(void)
{
    if (selected == NULL)
        selected = &ISAS[first_available()];
    return selected;
}

const char *qrt_plant_isa_selected(void) { return chosen()->name; }
const adc_kernels *adc_selected(void) { return chosen()->kernels; }
