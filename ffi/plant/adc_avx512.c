/* The ADC's kernels in 64-byte vectors. */
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq")
#include <immintrin.h>
#define MULTIPLY(a, b) ((U64)_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#define SQUARE_ROOT(x) ((F32)_mm512_sqrt_ps((__m512)(x)))
#define MINIMUM(a, b) ((F32)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define MAXIMUM(a, b) ((F32)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define NARROW(x) ((I16)_mm512_cvtepi32_epi16((__m512i)(x)))
#define BYTES 64
#define SUFFIX avx512
#include "adc_kernels.h"
#else
typedef int adc_avx512_is_for_x86;
#endif
