/* float32 quantised to bytes, flat or as c4 blocks, in plain C; see pack_u8.h. */
#include "pack_u8.h"

#include <math.h>

static inline uint8_t quantize(float x, pqc_u8_quant q, unsigned *flags)
{
    float v = rintf(x * q.mul);
    if (x < 0.0f && q.zero == 0)
        *flags |= PQC_U8_NEGATIVE;
    if (v != v) {
        *flags |= PQC_U8_NAN;
        return 0;
    }
    v = v < q.lo ? q.lo : v;
    v = v > q.hi ? q.hi : v;
    return (uint8_t)((int32_t)v + q.zero);
}

unsigned pqc_pack_u8_scalar(const pqc_u8_rows *r)
{
    unsigned flags = 0;
    for (ptrdiff_t row = 0; row < r->rows; row++)
        for (ptrdiff_t i = 0; i < r->n; i++)
            r->y[row * r->y_row + i] = quantize(r->x[row * r->x_row + i], r->q, &flags);
    return flags;
}

/* NULL if it is not wanted. */
static uint8_t *quad_of(const pqc_u8_rows *r, ptrdiff_t row, ptrdiff_t i)
{
    uint8_t *y = r->deinterleave && i % 2 ? r->odd : r->y;
    return y ? y + row * r->y_row + 4 * (r->deinterleave ? i / 2 : i) : NULL;
}

unsigned pqc_pack_u8_c4_scalar(const pqc_u8_rows *r)
{
    unsigned flags = 0;
    for (ptrdiff_t row = 0; row < r->rows; row++)
        for (ptrdiff_t i = 0; i < r->n; i++)
            for (int c = 0; c < 4; c++) {
                const float *x = r->x + row * r->x_row + i;
                uint8_t *c4 = quad_of(r, row, i);
                uint8_t byte = c < r->channels ? quantize(x[c * r->channel], r->q, &flags)
                                               : (uint8_t)r->q.zero;
                if (c4)
                    c4[c] = byte;
            }
    return flags;
}
