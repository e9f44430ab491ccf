/* exp and log for modules, which have no C library: to 13 digits, for the ranges below. */
#ifndef WAYSIDE_MATH_H
#define WAYSIDE_MATH_H

#include <stdint.h>

#define WS_LN2_HIGH 6.93147180369123816490e-01 /* ln 2 in two parts, so that a multiple of it is exact: fdlibm e_exp.c */
#define WS_LN2_LOW 1.90821492927058770002e-10

static double ws_scaled(double value, int32_t power)
{
    union { uint64_t bits; double value; } two = {(uint64_t)(1023 + power) << 52};
    return value * two.value;
}

/* e to the power of x, for x from -700 to 700. */
static double ws_exp(double x)
{
    double k = __builtin_floor(x * 1.44269504088896338700 + 0.5);
    double r = (x - k * WS_LN2_HIGH) - k * WS_LN2_LOW, sum = 1;
    /* |r| <= ln 2 / 2: the term after the last is under 2e-17 */
    for (int32_t i = 14; i > 0; i--) sum = 1 + sum * r / i;
    return ws_scaled(sum, (int32_t)k);
}

/* The natural logarithm of x, for normal x > 0. */
static double ws_log_e(double x)
{
    union { double value; uint64_t bits; } parts = {x};
    int32_t power = (int32_t)(parts.bits >> 52) - 1023;
    parts.bits = (parts.bits & 0xFFFFFFFFFFFFFull) | 0x3FF0000000000000ull;
    if (parts.value > 1.41421356237309504880) { parts.value /= 2; power++; }
    double s = (parts.value - 1) / (parts.value + 1), square = s * s, sum = 0;
    /* |s| <= 0.172: the term after the last is under 1e-17 */
    for (int32_t i = 23; i > 0; i -= 2) sum = sum * square + 1.0 / i;
    return 2 * s * sum + power * WS_LN2_LOW + power * WS_LN2_HIGH;
}

#endif
