/* Linear layers with weights of 4 bits, whose scales are those of groups along K, on float32 rows that are quantised to bytes on
 * the way: gemm_s8u4.h says what is computed, and how it is rounded. */
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
    const int32_t *weight_sums; /* if inputs are unsigned or two-ended */
    const double *inverse;
} pqc_u4_weights;

static inline ptrdiff_t pqc_u4_panels(ptrdiff_t out)
{
    return pqc_div_round_up(out, PQC_U4_NR);
}

/* Codes from 0 to 15, a row of `in` for each channel, and groups scales for each channel, to and from panels. */
void pqc_u4_pack(const pqc_u4_weights *w, const uint8_t *codes, const float *scale,
                 uint8_t *panels);
void pqc_u4_unpack(const pqc_u4_weights *w, uint8_t *codes, float *scale);

/* amax: of each row, if `by_row`, else of all; or NULL: the largest magnitude there is in the row, or in x.  two_ended: inputs are
 * levels clamp(rint(x * scale) + x_zero, 0, 2^bits - 1) - x_zero instead. */
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

/* 0, or an OR of the flags of pack_u8.h and these; y is then not to be used. */
enum {
    PQC_U4_AMAX = 4,  /* an amax is negative or not finite */
    PQC_U4_SCALE = 8, /* a scale is not finite */
};

unsigned pqc_linear_u4_run(const pqc_u4_weights *w, const pqc_u4_call *call);

#endif
