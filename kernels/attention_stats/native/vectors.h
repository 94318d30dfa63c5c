/* Vectors of floats as wide as the processor's, and 2^x of them: what the compiled kernels share. */
#ifndef VECTORS_H
#define VECTORS_H
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#define WIDE 4
#elif defined(__AVX__)
#define LANES 8
#define WIDE 2
#else
#define LANES 4
#define WIDE 4
#endif

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t bits __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))

INLINE vec larger(vec a, vec b) {
#if defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE__)
    return (vec)_mm_max_ps((__m128)a, (__m128)b);
#elif defined(__ARM_NEON)
    return (vec)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
#else
    bits greater = (bits)(a > b);
    return (vec)(((bits)a & greater) | ((bits)b & ~greater));
#endif
}

INLINE float highest_of(vec a) {
    float most = a[0];
    for (int n = 1; n < LANES; n++) most = a[n] > most ? a[n] : most;
    return most;
}

INLINE float sum_of(vec a) {
    float part[LANES];
    memcpy(part, &a, sizeof part);
    for (int width = LANES / 2; width; width /= 2)
        for (int n = 0; n < width; n++) part[n] += part[n + width];
    return part[0];
}

/* 2^x, to about one unit in the last place, for x within [-126, 127]. */
INLINE vec power(vec x) {
    const float round = 12582912.0f; /* 1.5 x 2^23: what is added to it is rounded to a whole number */
    vec whole = x + round;
    vec r = x - (whole - round);
    vec p = r * 1.5403530e-4f + 1.3333558e-3f;
    p = p * r + 9.6181291e-3f;
    p = p * r + 5.5504109e-2f;
    p = p * r + 2.4022651e-1f;
    p = p * r + 6.9314718e-1f;
    p = p * r + 1.0f;
    return (vec)((bits)p + ((bits)whole << 23));
}

#endif
