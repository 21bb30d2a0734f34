/* Blocks of neighbours that share a scale of few bits: OCP's microscaling formats (MX, specification
 * 1.0) and NVFP4. */
#ifndef PQC_BLOCKS_H
#define PQC_BLOCKS_H

#include "quant_params/quant_params.h"

typedef enum {
    PQC_SCALE_E8M0, /* scale = 2^(floor(log2(block amax)) - largest element exponent), exponents within +-127 */
    PQC_SCALE_E4M3, /* scale = e4m3((block amax / largest element) / global) */
} pqc_scale_rule;

/* rows x length elements of float32, or float64; each row is cut into blocks, the last one may be short.
 *
 *     step = scale * unit, scale * global for PQC_SCALE_E4M3;  y = nearest(x / step) * step
 *
 * `unit` is the value of the integer 1, or 1 for floats.  A step of 0 makes its block zeros; a NaN in a
 * block makes its scale NaN, and the whole block.  An infinite amax has the exponent 127. */
typedef struct {
    const void *x;
    void *y; /* like x; may be x */
    bool is_double;
    bool elements;      /* store the level, nearest(x / step), instead of y */
    const float *given; /* rows x blocks amaxes; NULL: computed from x */
    float *scales;      /* output, rows x blocks; or NULL */
    ptrdiff_t rows, length;
    pqc_quantization q; /* its elements and blocks */
    pqc_scale_rule rule;
    float unit, global;
} pqc_blocks;

/* On all threads; same bits however the work is split. */
void pqc_blocks_quantize(const pqc_blocks *job);

/* encode: codes[i] of n levels q.  decode: y = table[code] * steps[its block], for rows x length codes. */
void pqc_encode(const float *q, uint8_t *codes, ptrdiff_t n, const pqc_float_format *format);
void pqc_decode(const uint8_t *codes, float *y, const float *table, const float *steps,
                ptrdiff_t rows, ptrdiff_t length, ptrdiff_t block);

#endif
