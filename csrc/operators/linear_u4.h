/* Linear layers with 4-bit weights, scaled per group along K, on float32 rows quantised to bytes on the way.
 * gemm_s8u4.h defines the arithmetic and its rounding. */
#ifndef PQC_LINEAR_U4_H
#define PQC_LINEAR_U4_H

#include "gemm_s8u4/gemm_s8u4.h"
#include "quant_params/quant_params.h"

/* weight = (code - zero) * scale; `zeros`, `weight_sums` and `inverse` as in gemm_s8u4.h, or NULL. */
typedef struct {
    ptrdiff_t in, out, groups, length;
    const uint8_t *panels;
    const uint8_t *zeros;
    int zero;
    const int32_t *weight_sums; /* needed if inputs are unsigned or two-ended */
    const double *inverse;
} pqc_u4_weights;

static inline ptrdiff_t pqc_u4_panels(ptrdiff_t out)
{
    return pqc_div_round_up(out, PQC_U4_NR);
}

/* Between panels and plain arrays: codes from 0 to 15, `in` per channel, and `groups` scales per channel. */
void pqc_u4_pack(const pqc_u4_weights *w, const uint8_t *codes, const float *scale,
                 uint8_t *panels);
void pqc_u4_unpack(const pqc_u4_weights *w, uint8_t *codes, float *scale);

/* amax: one per row if `by_row`, else one; NULL: computed, per row or over x.  two_ended: the codes are instead
 * clamp(rint(x * scale) + x_zero, 0, 2^bits - 1) - x_zero. */
typedef struct {
    const float *x;
    ptrdiff_t rows;
    const float *amax;
    bool by_row;
    pqc_int_format format; /* 2 to 8 bits */
    bool two_ended;
    float scale;
    int32_t x_zero;    /* 0 to 2^bits - 1 */
    const float *bias; /* or NULL */
    float *y;
    void *workspace; /* pqc_linear_u4_workspace bytes, on a cache line */
} pqc_u4_call;

ptrdiff_t pqc_linear_u4_workspace(const pqc_u4_weights *w, ptrdiff_t rows);

/* 0, or an OR of the flags of pack_u8.h and of these; y is then not meaningful. */
enum {
    PQC_U4_AMAX = 4,  /* an amax is negative or not finite */
    PQC_U4_SCALE = 8, /* a scale is not finite */
};

unsigned pqc_linear_u4_run(const pqc_u4_weights *w, const pqc_u4_call *call);

#endif
