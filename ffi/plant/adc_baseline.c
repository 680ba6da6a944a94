/* The ADC's kernels for any machine: 16-byte vectors, which every compiler lowers to what there is (SSE2 on x86-64). */
#if defined(__x86_64__)
#include <emmintrin.h>
#define MULTIPLY(a, b) ((U64)_mm_mul_epu32((__m128i)(a), (__m128i)(b)))
#define SQUARE_ROOT(x) ((F32)_mm_sqrt_ps((__m128)(x)))
#define MINIMUM(a, b) ((F32)_mm_min_ps((__m128)(a), (__m128)(b)))
#define MAXIMUM(a, b) ((F32)_mm_max_ps((__m128)(a), (__m128)(b)))
#define NARROW(x) ((I16)_mm_cvtsi128_si64(_mm_packs_epi32((__m128i)(x), (__m128i)(x))))
#else
#define MULTIPLY(a, b) (((a) & 0xffffffffu) * ((b) & 0xffffffffu))
#define SQUARE_ROOT(x) \
    ((F32){__builtin_sqrtf((x)[0]), __builtin_sqrtf((x)[1]), __builtin_sqrtf((x)[2]), __builtin_sqrtf((x)[3])})
#define CHOOSE(mask, a, b) ((F32)(((I32)(a) & (mask)) | ((I32)(b) & ~(mask))))
#define MINIMUM(a, b) CHOOSE((a) < (b), a, b)
#define MAXIMUM(a, b) CHOOSE((a) > (b), a, b)
#define NARROW(x) __builtin_convertvector(x, I16)
#endif
#define BYTES 16
#define SUFFIX baseline
#include "adc_kernels.h"
