/* float32 quantised to bytes, flat or as c4 blocks, with NEON; see pack_u8.h. */
#include "pqc.h"
#include "pack_u8.h"

#if PQC_ARM
#include <arm_neon.h>

typedef struct {
    float32x4_t mul, lo, hi;
    int32x4_t zero;
} constants;

static inline constants constants_of(pqc_u8_quant q)
{
    return (constants){vdupq_n_f32(q.mul), vdupq_n_f32(q.lo), vdupq_n_f32(q.hi),
                       vdupq_n_s32(q.zero)};
}

/* FMAX and FMIN return NaN if an operand is NaN. */
static inline float32x4_t clamped(float32x4_t x, constants c)
{
    return vminq_f32(c.hi, vmaxq_f32(c.lo, vmulq_f32(x, c.mul)));
}

static inline uint16x4_t rounded(float32x4_t v, constants c)
{
    return vmovn_u32(vreinterpretq_u32_s32(vaddq_s32(vcvtnq_s32_f32(v), c.zero)));
}

static inline unsigned flags_of(uint32x4_t ordered, uint32x4_t below, pqc_u8_quant q)
{
    return (vminvq_u32(ordered) == 0 ? PQC_U8_NAN : 0u) |
           (vmaxvq_u32(below) && q.zero == 0 ? PQC_U8_NEGATIVE : 0u);
}

static unsigned flat_row(const float *x, uint8_t *y, ptrdiff_t n, pqc_u8_quant q)
{
    constants c = constants_of(q);
    uint32x4_t ordered = vdupq_n_u32(~0u), below = vdupq_n_u32(0);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + i + 4);
        below = vorrq_u32(below, vorrq_u32(vcltzq_f32(a), vcltzq_f32(b)));
        a = clamped(a, c);
        b = clamped(b, c);
        ordered = vandq_u32(ordered, vandq_u32(vceqq_f32(a, a), vceqq_f32(b, b)));
        vst1_u8(y + i, vmovn_u16(vcombine_u16(rounded(a, c), rounded(b, c))));
    }
    return flags_of(ordered, below, q) |
           pqc_pack_u8_scalar(
               &(pqc_u8_rows){.x = x + i, .y = y + i, .rows = 1, .n = n - i, .q = q});
}

/* Stores eight c4 blocks: all to y, or even ones to y and odd ones to `odd`. */
static inline void store(uint8x8x4_t c4, uint8_t *y, uint8_t *odd, bool deinterleave)
{
    if (!deinterleave) {
        vst4_u8(y, c4);
        return;
    }
    uint32_t all[8];
    vst4_u8((uint8_t *)all, c4);
    uint32x4x2_t halves = vld2q_u32(all);
    if (y)
        vst1q_u8(y, vreinterpretq_u8_u32(halves.val[0]));
    if (odd)
        vst1q_u8(odd, vreinterpretq_u8_u32(halves.val[1]));
}

/* One row. */
static unsigned quads_row(const pqc_u8_rows *r, const float *x, uint8_t *y, uint8_t *odd)
{
    ptrdiff_t n = r->n, stride = r->channel, step = r->deinterleave ? 2 : 4;
    pqc_u8_quant q = r->q;
    constants c = constants_of(q);
    uint32x4_t ordered = vdupq_n_u32(~0u), below = vdupq_n_u32(0);
    ptrdiff_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint8x8x4_t c4;
        for (int k = 0; k < 4; k++) {
            float32x4_t a = vld1q_f32(x + k * stride + i), b = vld1q_f32(x + k * stride + i + 4);
            below = vorrq_u32(below, vorrq_u32(vcltzq_f32(a), vcltzq_f32(b)));
            a = clamped(a, c);
            b = clamped(b, c);
            ordered = vandq_u32(ordered, vandq_u32(vceqq_f32(a, a), vceqq_f32(b, b)));
            c4.val[k] = vmovn_u16(vcombine_u16(rounded(a, c), rounded(b, c)));
        }
        store(c4, y ? y + step * i : NULL, odd ? odd + step * i : NULL, r->deinterleave);
    }
    return flags_of(ordered, below, q) |
           pqc_pack_u8_c4_scalar(&(pqc_u8_rows){.x = x + i,
                                                .y = y ? y + step * i : NULL,
                                                .odd = odd ? odd + step * i : NULL,
                                                .deinterleave = r->deinterleave,
                                                .rows = 1,
                                                .n = n - i,
                                                .channel = stride,
                                                .channels = 4,
                                                .q = q});
}

unsigned pqc_pack_u8_neon(const pqc_u8_rows *r)
{
    unsigned flags = 0;
    for (ptrdiff_t row = 0; row < r->rows; row++)
        flags |= flat_row(r->x + row * r->x_row, r->y + row * r->y_row, r->n, r->q);
    return flags;
}

unsigned pqc_pack_u8_c4_neon(const pqc_u8_rows *r)
{
    unsigned flags = 0;
    if (r->channels != 4)
        return pqc_pack_u8_c4_scalar(r);
    for (ptrdiff_t row = 0; row < r->rows; row++)
        flags |= quads_row(r, r->x + row * r->x_row, r->y ? r->y + row * r->y_row : NULL,
                           r->odd ? r->odd + row * r->y_row : NULL);
    return flags;
}

#endif
