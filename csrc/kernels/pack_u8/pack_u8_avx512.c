/* float32 quantised to bytes, flat or as c4 blocks, with AVX-512; see pack_u8.h. */
#include "pqc.h"
#include "pack_u8.h"

#if PQC_X86
#include "pack_u8_avx512.h"

#define INLINE AVX512 PQC_INLINE

enum { ALIGNED = 192 };

/* Quantises by packing.  If there was a value that packing cannot handle, everything is done again by the exact body. */

INLINE __m512i bytes64(const float *x, const pack_kind kind, pack_constants c, __m512i *seen)
{
    __m512 v[4];
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++)
        v[i] = _mm512_loadu_ps(x + 16 * i);
    return in_order(pack(v, kind, c, seen));
}

/* n < 64. */
INLINE void few_bytes(const float *x, uint8_t *y, ptrdiff_t n, const pack_kind kind,
                      pack_constants c, __m512i *seen)
{
    __m512 v[4];
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++)
        v[i] = n > 16 * i ? _mm512_maskz_loadu_ps(tail16(n - 16 * i), x + 16 * i)
                          : _mm512_setzero_ps();
    _mm512_mask_storeu_epi8(y, ((uint64_t)1 << n) - 1, in_order(pack(v, kind, c, seen)));
}

/* From ALIGNED values on, the second step is short, so that later loads do not cross cache lines.  The last step
 * moves back so that it is full. */
INLINE bool flat_rows(pqc_u8_rows r, const pack_kind kind)
{
    pack_constants c = pack_constants_of(r.q);
    __m512i seen = _mm512_setzero_si512();
    for (ptrdiff_t row = 0; row < r.rows; row++) {
        const float *x = r.x + row * r.x_row;
        uint8_t *y = r.y + row * r.y_row;
        ptrdiff_t past = r.n < ALIGNED ? 0 : (ptrdiff_t)((uintptr_t)x % 64 / 4);
        if (r.n < 64) {
            few_bytes(x, y, r.n, kind, c, &seen);
            continue;
        }
        _mm512_storeu_si512(y, bytes64(x, kind, c, &seen));
        for (ptrdiff_t i = 64 - past; i < r.n; i += 64) {
            ptrdiff_t at = pqc_min(i, r.n - 64);
            _mm512_storeu_si512(y + at, bytes64(x + at, kind, c, &seen));
        }
    }
    return is_strange(seen, kind);
}

/* 16 pixels, or those in `lanes`, of C channels; missing channels are zeros. */
INLINE __m512i quads16(const float *x, ptrdiff_t channel, const int C, __mmask16 lanes,
                       const pack_kind kind, pack_constants c, __m512i *seen)
{
    const __m512i transposed =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512 v[4];
    PQC_UNROLL(4)
    for (int i = 0; i < 4; i++)
        v[i] = i < C ? _mm512_maskz_loadu_ps(lanes, x + i * channel) : _mm512_setzero_ps();
    return _mm512_shuffle_epi8(pack(v, kind, c, seen), transposed);
}

INLINE void put_at(const pqc_u8_rows *r, ptrdiff_t row, ptrdiff_t i, __m512i c4, ptrdiff_t left)
{
    ptrdiff_t at = row * r->y_row + (r->deinterleave ? 2 : 4) * i;
    if (r->deinterleave)
        put_apart(c4, r->y ? r->y + at : NULL, r->odd ? r->odd + at : NULL, left);
    else
        store(c4, r->y + at, left);
}

INLINE bool quads_rows(pqc_u8_rows r, const int C, const pack_kind kind)
{
    pack_constants c = pack_constants_of(r.q);
    __m512i seen = _mm512_setzero_si512();
    for (ptrdiff_t row = 0; row < r.rows; row++) {
        const float *x = r.x + row * r.x_row;
        ptrdiff_t i = 0;
        for (; i + 16 <= r.n; i += 16)
            put_at(&r, row, i, quads16(x + i, r.channel, C, 0xffff, kind, c, &seen), 16);
        if (i < r.n)
            put_at(&r, row, i, quads16(x + i, r.channel, C, tail16(r.n - i), kind, c, &seen),
                   r.n - i);
    }
    return is_strange(seen, kind);
}

INLINE bool c4(const pqc_u8_rows *r, const pack_kind kind)
{
    return r->channels == 1   ? quads_rows(*r, 1, kind)
           : r->channels == 2 ? quads_rows(*r, 2, kind)
           : r->channels == 3 ? quads_rows(*r, 3, kind)
                              : quads_rows(*r, 4, kind);
}

AVX512 static bool quads_signed(const pqc_u8_rows *r)
{
    return c4(r, PACK_SIGNED);
}

AVX512 static bool quads_unsigned(const pqc_u8_rows *r)
{
    return c4(r, PACK_UNSIGNED);
}

AVX512 static bool quads_bounded(const pqc_u8_rows *r)
{
    return c4(r, PACK_BOUNDED);
}

AVX512 unsigned pqc_pack_u8_avx512(const pqc_u8_rows *r)
{
    pack_kind kind = pack_kind_of(r->q);
    bool strange = kind == PACK_BOUNDED    ? flat_rows(*r, PACK_BOUNDED)
                   : kind == PACK_UNSIGNED ? flat_rows(*r, PACK_UNSIGNED)
                                           : flat_rows(*r, PACK_SIGNED);
    return strange ? pqc_pack_u8_exact_avx512(r) : 0;
}

AVX512 unsigned pqc_pack_u8_c4_avx512(const pqc_u8_rows *r)
{
    pack_kind kind = pack_kind_of(r->q);
    bool strange = kind == PACK_BOUNDED    ? quads_bounded(r)
                   : kind == PACK_UNSIGNED ? quads_unsigned(r)
                                           : quads_signed(r);
    return strange ? pqc_pack_u8_c4_exact_avx512(r) : 0;
}

#endif
