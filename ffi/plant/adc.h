/* The ADC: amplifier noise, fields mixed to the intermediate frequency, quantisation. A table of kernels per instruction set. */
#ifndef QRT_PLANT_ADC_H
#define QRT_PLANT_ADC_H
#include "../philox.h"
#include "../qrt_plant.h"

#define NOISE_BLOCKS 16 /* Philox blocks of a group */
#define NOISE_GROUP 64  /* samples of a group: noise is made in whole groups, counted from the shot's start */
#define VECTOR_BYTES_MAX 64

typedef struct {
    uint32_t key[2];
    uint32_t counter[4]; /* counter[0] is the block's index and is set by the kernel */
} noise_key;

typedef struct {
    /* Writes NOISE_GROUP * group_count Gaussians of standard deviation sigma. */
    void (*noise)(const noise_key *key, uint32_t group, uint32_t group_count, float sigma, float *samples_out);
    /* samples[n] += Re[(c_re + i c_im)(re[n] + i im[n])] */
    void (*add)(float *samples, const float *re, const float *im, float c_re, float c_im, uint32_t sample_count);
    /* Rounds half to even, clips to [min, max], returns how many samples were clipped. */
    int64_t (*quantise)(const float *samples, uint32_t sample_count, float min, float max, int16_t *counts_out);
} adc_kernels;

const adc_kernels *adc_selected(void);

#endif
