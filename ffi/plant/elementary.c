/* See elementary.h. Polynomials are Taylor series on ranges so small that the first dropped term is below 1e-17. */
#include "elementary.h"
#include <string.h>

/* Horner, highest coefficient first. */
static double polynomial(double x, const double *coefficients, int count)
{
    double sum = coefficients[0];
    for (int i = 1; i < count; i++)
        sum = sum * x + coefficients[i];
    return sum;
}

static const double SIN[] = {1.0 / 355687428096000.0, -1.0 / 1307674368000.0, 1.0 / 6227020800.0, -1.0 / 39916800.0,
                             1.0 / 362880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0};
static const double COS[] = {1.0 / 20922789888000.0, -1.0 / 87178291200.0, 1.0 / 479001600.0, -1.0 / 3628800.0,
                             1.0 / 40320.0, -1.0 / 720.0, 1.0 / 24.0, -0.5};

cplx turn_exp(uint64_t turns)
{
    const uint64_t quadrant = (turns + (1ull << 61)) >> 62;         /* nearest multiple of a quarter turn */
    const int64_t rest = (int64_t)(turns - (quadrant << 62));       /* within an eighth of a turn */
    const double x = (double)rest * (TWO_PI / TURN);
    const double z = x * x;
    const double s = x + x * z * polynomial(z, SIN, 8);
    const double c = 1.0 + z * polynomial(z, COS, 8);
    switch (quadrant & 3) {
    case 0:
        return (cplx){c, s};
    case 1:
        return (cplx){-s, c};
    case 2:
        return (cplx){-c, -s};
    default:
        return (cplx){s, -c};
    }
}

uint64_t turns_per_sample(double cycles)
{
    PLANT_ASSERT(cycles > -0x1p52 && cycles < 0x1p52);
    const double rest = cycles - (double)(int64_t)cycles; /* (-1, 1), exact */
    const double half = rest >= 0.5 ? rest - 1.0 : rest < -0.5 ? rest + 1.0 : rest;
    return half >= 0.5 ? 1ull << 63 : (uint64_t)(int64_t)(half * TURN);
}

cplx radian_exp(double radians) { return turn_exp(turns_per_sample(radians / TWO_PI)); }

double real_exp(double x)
{
    static const double EXP[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0,
                                 1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0};
    if (x < -700.0)
        return 0.0;
    PLANT_ASSERT(x < 700.0);
    const double scaled = x * 1.4426950408889634074 + (x < 0.0 ? -0.5 : 0.5);
    const int64_t power = (int64_t)scaled;
    const double rest = (x - (double)power * 0x1.62e42fefa0000p-1) - (double)power * 0x1.cf79abc9e3b39p-40; /* Cody-Waite */
    const uint64_t bits = (uint64_t)(power + 1023) << 52;
    double two;
    memcpy(&two, &bits, sizeof two);
    return polynomial(rest, EXP, 14) * two;
}

double real_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    PLANT_ASSERT(x > 0.0 && bits >> 52 > 0 && bits >> 52 < 2047);
    bits -= 0x3fe6a09e667f3bcdull; /* bits of sqrt(1/2): the mantissa lands in [sqrt(1/2), sqrt 2) */
    const int64_t power = (int64_t)bits >> 52;
    bits = (bits & 0xfffffffffffffull) + 0x3fe6a09e667f3bcdull;
    double m;
    memcpy(&m, &bits, sizeof m);
    const double s = (m - 1.0) / (m + 1.0); /* |s| < 0.172; ln m = 2 artanh s */
    const double z = s * s;
    double sum = 0.0;
    for (int k = 21; k >= 3; k -= 2)
        sum = (sum + 1.0 / (double)k) * z;
    return (double)power * 0x1.62e42fefa0000p-1 + ((double)power * 0x1.cf79abc9e3b39p-40 + 2.0 * s * (1.0 + sum));
}

cplx complex_exp(cplx x) { return c_scale(radian_exp(x.im), real_exp(x.re)); }
