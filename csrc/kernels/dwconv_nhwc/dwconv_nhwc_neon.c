/* Depthwise u8 x s8 convolution, channels last, to int32 sums, with NEON; see dwconv_nhwc.h. */
#include "dwconv_nhwc.h"

#if PQC_ARM
#include <arm_neon.h>

#define INLINE PQC_INLINE

enum { SHARED_ROWS = 1, SHARED_KERNEL = 0 };

/* 8 channels. */
typedef struct {
    int32x4_t low, high;
} sums;

typedef struct {
    int16x8_t row[4];
} column, taps;

INLINE sums load_sums(const int32_t *from, const int v)
{
    (void)v;
    return (sums){vld1q_s32(from), vld1q_s32(from + 4)};
}

INLINE void store_sums(const sums *from, int32_t *acc, const int v)
{
    (void)v;
    vst1q_s32(acc, from->low);
    vst1q_s32(acc + 4, from->high);
}

INLINE column load_column(const uint8_t *x, ptrdiff_t row, ptrdiff_t n, const int v)
{
    column c;
    (void)v;
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++)
        c.row[i] = i < n ? vreinterpretq_s16_u16(vmovl_u8(vld1_u8(x + i * row))) : vdupq_n_s16(0);
    return c;
}

INLINE taps load_taps(const int8_t *w, const int v)
{
    int8x8x4_t rows = vld4_s8(w);
    taps t;
    (void)v;
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++)
        t.row[i] = vmovl_s8(rows.val[i]);
    return t;
}

/* Never called: outputs are computed one row at a time. */
INLINE taps taps_below(const taps *w, const taps *before, const int v)
{
    (void)before; /* these kernels have one group */
    (void)v;
    return *w;
}

INLINE void add_column(sums *to, const column *x, const taps *w, ptrdiff_t n, const int v)
{
    (void)v;
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++)
        if (i < n) {
            to->low = vmlal_s16(to->low, vget_low_s16(x->row[i]), vget_low_s16(w->row[i]));
            to->high = vmlal_high_s16(to->high, x->row[i], w->row[i]);
        }
}

#include "dwconv_nhwc_sums.h"

#include "dwconv_nhwc_rows.h"

void pqc_dwconv_nhwc_neon(const pqc_dwconv_nhwc_params *g, int32_t *acc)
{
    for (ptrdiff_t c = 0; c < g->channels && g->columns > 0; c += 8)
        sum_channels(g, c, results_at(g, acc + c), 1);
}

#endif
