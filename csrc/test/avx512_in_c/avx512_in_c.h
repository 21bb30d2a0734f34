/* The AVX-512, VNNI and AMX intrinsics that the kernels use, in plain C, so that their bodies run on every x86-64 machine with
 * AVX2.  Included before a kernel instead of <immintrin.h>, of which only the part up to AVX2 is taken: GCC only.  Masked lanes
 * touch no memory; what the hardware faults on aborts. */
#ifndef PQC_AVX512_IN_C_H
#define PQC_AVX512_IN_C_H

#include "pqc.h"

#define _IMMINTRIN_H_INCLUDED
#include <smmintrin.h>
/* each needs those before it */
#include <avxintrin.h>
/* */
#include <avx2intrin.h>
#include <f16cintrin.h>
#include <fmaintrin.h>

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#undef PQC_TARGET_AVX512
#undef PQC_TARGET_VNNI
#undef PQC_TARGET_AMX
#define PQC_TARGET_AVX512 PQC_TARGET_AVX2
#define PQC_TARGET_VNNI PQC_TARGET_AVX2
#define PQC_TARGET_AMX PQC_TARGET_AVX2
#undef PQC_KEEP_IN_REGISTER
#define PQC_KEEP_IN_REGISTER(a) ((void)(a)) /* there is no register that wide */

#pragma GCC push_options
#pragma GCC optimize("O2") /* one call each: kernels are then compiled soon, and run soon enough */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"

#define VECTOR(bytes) __attribute__((vector_size(bytes), may_alias))
typedef float __m512 VECTOR(64), f32x16 VECTOR(64);
typedef double __m512d VECTOR(64), f64x8 VECTOR(64);
typedef long long __m512i VECTOR(64);
typedef int8_t i8x64 VECTOR(64), i8x32 VECTOR(32), i8x16 VECTOR(16);
typedef uint8_t u8x64 VECTOR(64), u8x32 VECTOR(32), u8x16 VECTOR(16);
typedef int16_t i16x32 VECTOR(64), i16x16 VECTOR(32);
typedef uint16_t u16x32 VECTOR(64), u16x16 VECTOR(32);
typedef int32_t i32x16 VECTOR(64), i32x8 VECTOR(32), i32x4 VECTOR(16);
typedef uint32_t u32x16 VECTOR(64);
typedef int64_t i64x8 VECTOR(64), i64x2 VECTOR(16);
typedef uint64_t u64x8 VECTOR(64);
typedef uint8_t __mmask8;
typedef uint16_t __mmask16;
typedef uint32_t __mmask32;
typedef uint64_t __mmask64;

#define IN_C PQC_TARGET_AVX2 __attribute__((noinline, unused)) static
#define LANES(n) for (int i = 0; i < (n); i++)
#define IS_SET(mask, i) ((mask) >> (i)&1)

/* A function of one vector, or of two, lane by lane. */
#define UNARY(name, from, from_lanes, to, to_lanes, n, expression)                                 \
    IN_C to name(from x)                                                                           \
    {                                                                                              \
        from_lanes a = (from_lanes)x;                                                              \
        to_lanes r;                                                                                \
        LANES(n) r[i] = (expression);                                                              \
        return (to)r;                                                                              \
    }
#define BINARY(name, vector, lanes, n, expression)                                                 \
    IN_C vector name(vector x, vector y)                                                           \
    {                                                                                              \
        lanes a = (lanes)x, b = (lanes)y, r;                                                       \
        LANES(n) r[i] = (expression);                                                              \
        return (vector)r;                                                                          \
    }
#define TERNARY(name, vector, n, expression)                                                       \
    IN_C vector name(vector a, vector b, vector c)                                                 \
    {                                                                                              \
        vector r;                                                                                  \
        LANES(n) r[i] = (expression);                                                              \
        return r;                                                                                  \
    }
#define MASKED(name, instruction, vector, lanes, n)                                                \
    IN_C vector name(vector other, uint64_t mask, vector x, vector y)                              \
    {                                                                                              \
        lanes r = (lanes)instruction(x, y);                                                        \
        LANES(n) r[i] = IS_SET(mask, i) ? r[i] : ((lanes)other)[i];                                \
        return (vector)r;                                                                          \
    }
#define MASKED_OR_ZERO(name, instruction, vector, lanes, n)                                        \
    IN_C vector name(uint64_t mask, vector x, vector y)                                            \
    {                                                                                              \
        lanes r = (lanes)instruction(x, y);                                                        \
        LANES(n) r[i] = IS_SET(mask, i) ? r[i] : 0;                                                \
        return (vector)r;                                                                          \
    }
#define COMPARE(name, vector, lanes, n, expression)                                                \
    IN_C __mmask##n name(vector x, vector y)                                                       \
    {                                                                                              \
        lanes a = (lanes)x, b = (lanes)y;                                                          \
        __mmask##n mask = 0;                                                                       \
        LANES(n) mask |= (__mmask##n)((__mmask##n)(expression) << i);                              \
        return mask;                                                                               \
    }

/* To and from memory. */
IN_C void must_be_aligned(const void *p)
{
    if ((uintptr_t)p % 64 != 0)
        abort();
}

#define LOAD(name, vector, checked)                                                                \
    IN_C vector name(const void *from)                                                             \
    {                                                                                              \
        vector r;                                                                                  \
        checked(from);                                                                             \
        memcpy(&r, from, sizeof r);                                                                \
        return r;                                                                                  \
    }
#define STORE(name, vector, checked)                                                               \
    IN_C void name(void *to, vector a)                                                             \
    {                                                                                              \
        checked(to);                                                                               \
        memcpy(to, &a, sizeof a);                                                                  \
    }
#define MASKED_LOAD(name, vector, element)                                                         \
    IN_C vector name(uint64_t mask, const void *from)                                              \
    {                                                                                              \
        vector r = {0};                                                                            \
        LANES((int)(sizeof(vector) / sizeof(element)))                                             \
        if (IS_SET(mask, i))                                                                       \
            memcpy((char *)&r + i * sizeof(element), (const char *)from + i * sizeof(element),     \
                   sizeof(element));                                                               \
        return r;                                                                                  \
    }
#define MASKED_STORE(name, vector, element)                                                        \
    IN_C void name(void *to, uint64_t mask, vector a)                                              \
    {                                                                                              \
        LANES((int)(sizeof(vector) / sizeof(element)))                                             \
        if (IS_SET(mask, i))                                                                       \
            memcpy((char *)to + i * sizeof(element), (const char *)&a + i * sizeof(element),       \
                   sizeof(element));                                                               \
    }

LOAD(_mm512_loadu_ps, __m512, (void))
LOAD(_mm512_loadu_pd, __m512d, (void))
LOAD(_mm512_loadu_si512, __m512i, (void))
LOAD(_mm512_load_si512, __m512i, must_be_aligned)
STORE(_mm512_storeu_ps, __m512, (void))
STORE(_mm512_storeu_si512, __m512i, (void))
STORE(_mm512_store_si512, __m512i, must_be_aligned)
STORE(_mm512_stream_ps, __m512, must_be_aligned)
MASKED_LOAD(_mm512_maskz_loadu_ps, __m512, float)
MASKED_LOAD(_mm512_maskz_loadu_pd, __m512d, double)
MASKED_LOAD(_mm512_maskz_loadu_epi32, __m512i, int32_t)
MASKED_LOAD(_mm256_maskz_loadu_epi16, __m256i, int16_t)
MASKED_LOAD(_mm_maskz_loadu_epi8, __m128i, int8_t)
MASKED_LOAD(_mm512_maskz_loadu_epi8, __m512i, int8_t)
MASKED_STORE(_mm512_mask_storeu_ps, __m512, float)
MASKED_STORE(_mm512_mask_storeu_pd, __m512d, double)
MASKED_STORE(_mm512_mask_storeu_epi32, __m512i, int32_t)
MASKED_STORE(_mm512_mask_storeu_epi16, __m512i, int16_t)
MASKED_STORE(_mm512_mask_storeu_epi8, __m512i, int8_t)
MASKED_STORE(_mm256_mask_storeu_epi32, __m256i, int32_t)
MASKED_STORE(_mm256_mask_storeu_epi16, __m256i, int16_t)
MASKED_STORE(_mm256_mask_storeu_epi8, __m256i, int8_t)
MASKED_STORE(_mm_mask_storeu_epi8, __m128i, int8_t)

IN_C __m512 _mm512_mask_loadu_ps(__m512 other, __mmask16 mask, const void *from)
{
    __m512 r = _mm512_maskz_loadu_ps(mask, from);
    LANES(16) r[i] = IS_SET(mask, i) ? r[i] : other[i];
    return r;
}

IN_C __m512d _mm512_i32gather_pd(__m256i index, const void *from, int scale)
{
    __m512d r;
    LANES(8)
    memcpy((char *)&r + 8 * i, (const char *)from + (ptrdiff_t)((i32x8)index)[i] * scale, 8);
    return r;
}

IN_C __m512i _mm512_i32gather_epi32(__m512i index, const void *from, int scale)
{
    __m512i r;
    LANES(16)
    memcpy((char *)&r + 4 * i, (const char *)from + (ptrdiff_t)((i32x16)index)[i] * scale, 4);
    return r;
}

IN_C __m512 _mm512_mask_i32gather_ps(__m512 other, __mmask16 mask, __m512i index, const void *from,
                                     int scale)
{
    LANES(16)
    if (IS_SET(mask, i))
        memcpy((char *)&other + 4 * i, (const char *)from + (ptrdiff_t)((i32x16)index)[i] * scale,
               4);
    return other;
}

IN_C void _mm512_mask_i32scatter_ps(void *to, __mmask16 mask, __m512i index, __m512 a, int scale)
{
    LANES(16)
    if (IS_SET(mask, i))
        memcpy((char *)to + (ptrdiff_t)((i32x16)index)[i] * scale, (const char *)&a + 4 * i, 4);
}

/* Constants and casts. */
#define SET1(name, vector, lanes, element, n)                                                      \
    IN_C vector name(element a)                                                                    \
    {                                                                                              \
        lanes r;                                                                                   \
        LANES(n) r[i] = a;                                                                         \
        return (vector)r;                                                                          \
    }
SET1(_mm512_set1_ps, __m512, f32x16, float, 16)
SET1(_mm512_set1_pd, __m512d, f64x8, double, 8)
SET1(_mm512_set1_epi8, __m512i, i8x64, int8_t, 64)
SET1(_mm512_set1_epi16, __m512i, i16x32, int16_t, 32)
SET1(_mm512_set1_epi32, __m512i, i32x16, int32_t, 16)
SET1(_mm512_set1_epi64, __m512i, i64x8, int64_t, 8)
#define _mm512_setzero_ps() ((__m512){0})
#define _mm512_setzero_pd() ((__m512d){0})
#define _mm512_setzero_si512() ((__m512i){0})
#define _mm512_setr_epi32(...) ((__m512i)(i32x16){__VA_ARGS__})
#define _mm512_setr_epi64(...) ((__m512i)(i64x8){__VA_ARGS__})
#define _mm512_castps_si512(a) ((__m512i)(a))
#define _mm512_castpd_si512(a) ((__m512i)(a))
#define _mm512_castsi512_ps(a) ((__m512)(a))
#define _mm512_castsi512_si128(a) _mm512_extracti32x4_epi32(a, 0)
#define _mm512_castsi512_si256(a) _mm512_extracti64x4_epi64(a, 0)
#define _mm512_castps512_ps256(a) ((__m256)_mm512_extracti64x4_epi64((__m512i)(a), 0))
#define _mm512_castpd512_pd256(a) ((__m256d)_mm512_castsi512_si256((__m512i)(a)))
#define _mm512_extractf64x4_pd(a, half) ((__m256d)_mm512_extracti64x4_epi64((__m512i)(a), half))
#define _mm512_extractf32x8_ps(a, half) ((__m256)_mm512_extracti64x4_epi64((__m512i)(a), half))
#define _mm512_castps256_ps512(a) _mm512_insertf32x8((__m512){0}, a, 0)
#define _mm512_castsi256_si512(a) ((__m512i)_mm512_castps256_ps512((__m256)(a)))
#define _mm512_castsi128_si512(a) _mm512_castsi256_si512(_mm256_castsi128_si256(a))

IN_C __m512 _mm512_insertf32x8(__m512 a, __m256 half, int which)
{
    memcpy((char *)&a + 32 * which, &half, 32);
    return a;
}

#define _mm512_inserti64x4(a, half, which)                                                         \
    ((__m512i)_mm512_insertf32x8((__m512)(a), (__m256)(half), which))

IN_C __m256i _mm512_extracti64x4_epi64(__m512i a, int which)
{
    __m256i r;
    memcpy(&r, (char *)&a + 32 * which, 32);
    return r;
}

IN_C __m128i _mm512_extracti32x4_epi32(__m512i a, int which)
{
    __m128i r;
    memcpy(&r, (char *)&a + 16 * which, 16);
    return r;
}

/* Floats.  Of two operands that do not compare, min and max give the second. */
BINARY(_mm512_add_ps, __m512, f32x16, 16, a[i] + b[i])
BINARY(_mm512_sub_ps, __m512, f32x16, 16, a[i] - b[i])
BINARY(_mm512_mul_ps, __m512, f32x16, 16, a[i] * b[i])
BINARY(_mm512_div_ps, __m512, f32x16, 16, a[i] / b[i])
BINARY(_mm512_min_ps, __m512, f32x16, 16, a[i] < b[i] ? a[i] : b[i])
BINARY(_mm512_max_ps, __m512, f32x16, 16, a[i] > b[i] ? a[i] : b[i])
BINARY(_mm512_scalef_ps, __m512, f32x16, 16, ldexpf(a[i], (int)floorf(b[i])))
BINARY(_mm512_add_pd, __m512d, f64x8, 8, a[i] + b[i])
BINARY(_mm512_sub_pd, __m512d, f64x8, 8, a[i] - b[i])
BINARY(_mm512_mul_pd, __m512d, f64x8, 8, a[i] * b[i])
UNARY(_mm512_abs_ps, __m512, i32x16, __m512, i32x16, 16, a[i] & INT_MAX)
/* The least magnitude, with the first operand's sign (2) or none (10): those in use. */
BINARY(least_magnitude, __m512, f32x16, 16, fabsf(a[i]) < fabsf(b[i]) ? fabsf(a[i]) : fabsf(b[i]))
BINARY(with_sign, __m512, f32x16, 16, copysignf(a[i], b[i]))
#define _mm512_range_ps(a, b, how)                                                                 \
    ((how) == 2 ? with_sign(least_magnitude(a, b), a) : least_magnitude(a, b))
TERNARY(_mm512_fmadd_ps, __m512, 16, fmaf(a[i], b[i], c[i]))
TERNARY(_mm512_fmsub_ps, __m512, 16, fmaf(a[i], b[i], -c[i]))
TERNARY(_mm512_fnmadd_ps, __m512, 16, fmaf(-a[i], b[i], c[i]))
TERNARY(_mm512_fmadd_pd, __m512d, 8, fma(a[i], b[i], c[i]))
TERNARY(_mm512_fmsub_pd, __m512d, 8, fma(a[i], b[i], -c[i]))
BINARY(_mm512_and_ps, __m512, i32x16, 16, a[i] & b[i])
BINARY(_mm512_andnot_ps, __m512, i32x16, 16, ~a[i] & b[i])
BINARY(_mm512_or_ps, __m512, i32x16, 16, a[i] | b[i])
UNARY(_mm512_sqrt_ps, __m512, f32x16, __m512, f32x16, 16, sqrtf(a[i]))
MASKED(_mm512_mask_add_ps, _mm512_add_ps, __m512, f32x16, 16)
MASKED(_mm512_mask_max_ps, _mm512_max_ps, __m512, f32x16, 16)
MASKED_OR_ZERO(_mm512_maskz_sub_ps, _mm512_sub_ps, __m512, f32x16, 16)
MASKED_OR_ZERO(_mm512_maskz_div_ps, _mm512_div_ps, __m512, f32x16, 16)

IN_C __m512d _mm512_mask3_fmadd_pd(__m512d a, __m512d b, __m512d c, __mmask8 mask)
{
    LANES(8) c[i] = IS_SET(mask, i) ? fma(a[i], b[i], c[i]) : c[i];
    return c;
}

IN_C __m512 _mm512_mask_mov_ps(__m512 other, __mmask16 mask, __m512 a)
{
    LANES(16) a[i] = IS_SET(mask, i) ? a[i] : other[i];
    return a;
}

IN_C __m512 _mm512_permutexvar_ps(__m512i index, __m512 a)
{
    __m512 r;
    LANES(16) r[i] = a[((i32x16)index)[i] & 15];
    return r;
}

IN_C float _mm512_reduce_max_ps(__m512 a)
{
    float most = a[0];
    LANES(16) most = a[i] > most ? a[i] : most;
    return most;
}

IN_C float _mm512_reduce_min_ps(__m512 a)
{
    float least = a[0];
    LANES(16) least = a[i] < least ? a[i] : least;
    return least;
}

UNARY(_mm512_cvtps_pd, __m256, __m256, __m512d, f64x8, 8, a[i])
UNARY(_mm512_getexp_pd, __m512d, f64x8, __m512d, f64x8, 8, logb(a[i]))
IN_C double mantissa(double x)
{
    int exponent;
    return x == 0 || isinf(x) ? 1 : 2 * frexp(fabs(x), &exponent);
}
UNARY(mantissas, __m512d, f64x8, __m512d, f64x8, 8, mantissa(a[i]))
#define _MM_MANT_NORM_1_2 0
#define _MM_MANT_SIGN_zero 1
#define _mm512_getmant_pd(a, interval, sign) mantissas(a) /* from 1 to 2, positive */

/* What holds of x and y: less 1, equal 2, greater 4, unordered 8; of which a predicate accepts some. */
IN_C bool compares(double x, double y, int predicate)
{
    static const char accepted[] = {2, 1, 3, 8, 13, 14, 12, 7, 10, 9, 11, 0, 5, 6, 4, 15};
    return (accepted[predicate & 15] & (x < y ? 1 : x == y ? 2 : x > y ? 4 : 8)) != 0;
}

IN_C __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int predicate)
{
    unsigned mask = 0;
    LANES(16) mask |= (unsigned)compares(a[i], b[i], predicate) << i;
    return mask;
}

IN_C __mmask8 _mm512_cmp_pd_mask(__m512d a, __m512d b, int predicate)
{
    unsigned mask = 0;
    LANES(8) mask |= (unsigned)compares(a[i], b[i], predicate) << i;
    return mask;
}

#define _mm512_mask_cmp_ps_mask(mask, a, b, predicate)                                             \
    ((__mmask16)((mask)&_mm512_cmp_ps_mask(a, b, predicate)))
#define _kor_mask16(a, b) ((__mmask16)((a) | (b)))

#include "avx512_in_c_integers.h"

#include "amx_in_c.h"

#pragma GCC diagnostic pop
#pragma GCC pop_options

#endif
