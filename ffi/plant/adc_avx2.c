/* The ADC's kernels in 32-byte vectors. */
#if defined(__x86_64__)
#pragma GCC target("avx2")
#include <immintrin.h>
#define MULTIPLY(a, b) ((U64)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#define SQUARE_ROOT(x) ((F32)_mm256_sqrt_ps((__m256)(x)))
#define MINIMUM(a, b) ((F32)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define MAXIMUM(a, b) ((F32)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define NARROW(x) ((I16)_mm_packs_epi32(_mm256_castsi256_si128((__m256i)(x)), _mm256_extracti128_si256((__m256i)(x), 1)))
#define BYTES 32
#define SUFFIX avx2
#include "adc_kernels.h"
#else
typedef int adc_avx2_is_for_x86;
#endif
