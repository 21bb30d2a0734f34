/* Code shared by the ARM bodies of gemm_s8u4; only their files include it.  `dot` is a constant after inlining. */
#ifndef PQC_GEMM_S8U4_NEON_H
#define PQC_GEMM_S8U4_NEON_H

#include "gemm_s8u4.h"

#include <arm_neon.h>
#include <string.h>

enum { U4_QUARTERS = 4, U4_ROWS = 2 }; /* 16 channels take four vectors */

/* Adds four products to each of four channels. */
typedef int32x4_t u4_dot(int32x4_t sums, int8x16_t w, int8x16_t x);

PQC_INLINE int8x16_t u4_four(const int8_t *x)
{
    int32_t bytes;
    memcpy(&bytes, x, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(bytes));
}

/* The initial sums of quarter q in group `at`, an index into zeros and weight_sums. */
PQC_INLINE int32x4_t u4_begin(const pqc_gemm_s8u4_params *p, ptrdiff_t at, int q, int32_t x_sum)
{
    int32x4_t zeros = vdupq_n_s32(p->zero), sums = vdupq_n_s32(0);
    if (p->zeros) {
        uint16x8_t eight = vmovl_u8(vld1_u8(p->zeros + at + q / 2 * 8));
        uint16x4_t four = q % 2 ? vget_high_u16(eight) : vget_low_u16(eight);
        zeros = vreinterpretq_s32_u32(vmovl_u16(four));
    }
    if (p->weight_sums)
        sums = vmulq_s32(vdupq_n_s32(p->x_zero), vld1q_s32(p->weight_sums + at + 4 * q));
    return vmlsq_s32(sums, zeros, vdupq_n_s32(x_sum));
}

PQC_INLINE void u4_group(const pqc_gemm_s8u4_params *p, const int8_t *x, const uint8_t *w,
                         const int R, u4_dot *dot, int32x4_t sums[U4_ROWS][U4_QUARTERS])
{
    for (ptrdiff_t k = 0; k < p->length; k += PQC_U4_KR, x += PQC_U4_KR * p->rows, w += 64)
        PQC_UNROLL(4)
    for (int q = 0; q < U4_QUARTERS; q++) {
        uint8x16_t both = vld1q_u8(w + 16 * q);
        int8x16_t low = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
        int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
        PQC_UNROLL(2)
        for (int r = 0; r < R; r++) {
            sums[r][q] = dot(sums[r][q], low, u4_four(x + 4 * r));
            sums[r][q] = dot(sums[r][q], high, u4_four(x + 4 * (p->rows + r)));
        }
    }
}

/* Stores 16 channels of a row, some of which may be past the end. */
PQC_INLINE void u4_store(const pqc_gemm_s8u4_params *p, int row, ptrdiff_t channel,
                         const int32x4_t *sums, const float32x4_t *acc)
{
    ptrdiff_t n = pqc_min(p->channels - channel, PQC_U4_NR);
    float scale[PQC_U4_NR], bias[PQC_U4_NR] = {0}, y[PQC_U4_NR];
    for (ptrdiff_t c = 0; c < PQC_U4_NR; c++)
        scale[c] = p->inverse && c < n ? (float)(p->row_scale[row] * p->inverse[channel + c])
                                       : (float)p->row_scale[row];
    if (p->bias)
        memcpy(bias, p->bias + channel, (size_t)n * sizeof *bias);
    PQC_UNROLL(4)
    for (int q = 0; q < U4_QUARTERS; q++) {
        float32x4_t of = p->inverse ? vcvtq_f32_s32(sums[q]) : acc[q];
        vst1q_f32(y + 4 * q, vfmaq_f32(vld1q_f32(bias + 4 * q), of, vld1q_f32(scale + 4 * q)));
    }
    memcpy(p->y + row * p->y_row + channel, y, (size_t)n * sizeof *y);
}

/* R rows starting at `row`, times 16 channels. */
PQC_INLINE void u4_rows(const pqc_gemm_s8u4_params *p, int row, ptrdiff_t channel, const int R,
                        u4_dot *dot)
{
    const ptrdiff_t panel = channel / PQC_U4_NR, bytes = pqc_u4_group_bytes(p->length);
    const uint8_t *w = p->w + panel * p->groups * bytes;
    int32x4_t sums[U4_ROWS][U4_QUARTERS];
    float32x4_t acc[U4_ROWS][U4_QUARTERS];
    memset(sums, 0, sizeof sums);
    memset(acc, 0, sizeof acc);
    for (ptrdiff_t g = 0; g < p->groups; g++, w += bytes) {
        const float *scale = (const float *)(const void *)(w + PQC_U4_NR / 2 * p->length);
        PQC_UNROLL(2)
        for (int r = 0; r < R; r++) {
            PQC_UNROLL(4)
            for (int q = 0; q < U4_QUARTERS; q++)
                sums[r][q] = u4_begin(p, (panel * p->groups + g) * PQC_U4_NR, q,
                                      p->x_sums[g * p->rows + row + r]);
        }
        u4_group(p, p->x + p->rows * g * p->length + 4 * row, w, R, dot, sums);
        PQC_UNROLL(2)
        for (int r = 0; r < R; r++) {
            PQC_UNROLL(4)
            for (int q = 0; q < U4_QUARTERS; q++)
                acc[r][q] =
                    vfmaq_f32(acc[r][q], vcvtq_f32_s32(sums[r][q]), vld1q_f32(scale + 4 * q));
        }
    }
    for (int r = 0; r < R; r++)
        u4_store(p, row + r, channel, sums[r], acc[r]);
}

PQC_INLINE void u4_all(const pqc_gemm_s8u4_params *p, u4_dot *dot)
{
    for (ptrdiff_t channel = 0; channel < p->channels; channel += PQC_U4_NR) {
        int row = 0;
        for (; row + U4_ROWS <= p->rows; row += U4_ROWS)
            u4_rows(p, row, channel, U4_ROWS, dot);
        if (row < p->rows)
            u4_rows(p, row, channel, 1, dot);
    }
}

#endif
