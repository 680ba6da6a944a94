/* Elementary functions with the same last bit on every machine, and complex numbers without the C library's.
 *
 * Only + - * /, sqrt and integer operations in float64, so that nothing depends on which libm is installed. Error below 2 ulp
 * in the ranges stated (ffi/test_plant.c compares with libm).
 */
#ifndef QRT_PLANT_ELEMENTARY_H
#define QRT_PLANT_ELEMENTARY_H
#include <stdint.h>

/* Against our own bugs, on in a release, too: stops at the faulty line, prints nothing. */
#define PLANT_ASSERT(condition)                  \
    do {                                         \
        if (__builtin_expect(!(condition), 0)) { \
            __builtin_trap();                    \
        }                                        \
    } while (0)

typedef struct {
    double re;
    double im;
} cplx;

static inline cplx c_add(cplx a, cplx b) { return (cplx){a.re + b.re, a.im + b.im}; }
static inline cplx c_sub(cplx a, cplx b) { return (cplx){a.re - b.re, a.im - b.im}; }
static inline cplx c_mul(cplx a, cplx b) { return (cplx){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
static inline cplx c_conj(cplx a) { return (cplx){a.re, -a.im}; }
static inline cplx c_scale(cplx a, double s) { return (cplx){a.re * s, a.im * s}; }
static inline double c_norm(cplx a) { return a.re * a.re + a.im * a.im; }
static inline cplx c_div(cplx a, cplx b) { return c_scale(c_mul(a, c_conj(b)), 1.0 / c_norm(b)); }
static inline int c_is_zero(cplx a) { return a.re == 0.0 && a.im == 0.0; }

#define TWO_PI 6.283185307179586477
#define TURN 18446744073709551616.0 /* 2^64 */

cplx turn_exp(uint64_t turns);           /* e^{2 pi i turns / 2^64} */
cplx radian_exp(double radians);         /* e^{i radians}; |radians| < 2^40 */
double real_exp(double x);               /* e^x; 0 below -700; x < 700 */
double real_log(double x);               /* ln x; x positive and normal */
cplx complex_exp(cplx x);
uint64_t turns_per_sample(double cycles); /* cycles modulo 1 as 2^-64 turns, nearest */

#endif
