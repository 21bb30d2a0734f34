#include "rows_vnni.h"

#if PQC_X86
#include "quantize_u8/quads_avx512.h"

#define INLINE AVX512 PQC_INLINE

enum { UNIT = PQC_DEPTHWISE_UNIT };

typedef pqc_depthwise_rows rows;

static inline unsigned first_lanes(ptrdiff_t n)
{
    return n <= 0 ? 0u : n >= UNIT ? 0xffffu : (1u << n) - 1u;
}

void pqc_depthwise_rows_init(rows *r, const pqc_depthwise_plane *p, ptrdiff_t first,
                             ptrdiff_t count, uint8_t *y)
{
    ptrdiff_t columns = pqc_depthwise_columns(p), left = pqc_least(p->left, columns);
    ptrdiff_t n = pqc_least(p->width, columns - left);
    r->plane = p;
    r->y = y;
    r->first = first - p->top;
    r->count = count;
    r->done = 0;
    r->low = r->first < 0 ? 0 : r->first;
    r->high = pqc_least(p->height, r->first + count);
    r->left = left;
    r->n = n;
    r->units = pqc_depthwise_pitch(columns) / UNIT;
    for (ptrdiff_t i = 0; i < r->units; i++)
        r->lanes[i] = (uint16_t)(first_lanes(left + n - UNIT * i) & ~first_lanes(left - UNIT * i));
}

/* The compiler must take bytes written for a change of anything it has not in a variable. */
typedef struct {
    uintptr_t x, pitch; /* bytes; before the image where there is padding */
    size_t row, count;  /* of the image, if less than count */
} place;

/* Of the first row that is not done. */
INLINE place place_of(const rows *r)
{
    const pqc_depthwise_plane *p = r->plane;
    ptrdiff_t row = r->first + r->done;
    return (place){(uintptr_t)p->x + (uintptr_t)(row * p->width - r->left) * 4,
                   (uintptr_t)p->width * 4, (size_t)(row - r->low),
                   r->high < r->low ? 0 : (size_t)(r->high - r->low)};
}

/* A unit of the row that is `down` rows from `at`; zeros where the image is not. */
INLINE __m512 unit_at(place at, ptrdiff_t down, ptrdiff_t unit, __mmask16 lanes)
{
    const void *x =
        (const void *)(at.x + (uintptr_t)down * at.pitch + (uintptr_t)(4 * UNIT * unit));
    return _mm512_maskz_loadu_ps(at.row + (size_t)down < at.count ? lanes : 0, x);
}

/* ALONG is how many of the four units belong to one row.  True if there may be a flag. */
INLINE bool quantize(rows *r, ptrdiff_t wanted, const int ALONG, const pack_kind kind)
{
    const ptrdiff_t units = ALONG == 4 ? r->units : ALONG, down = 4 / ALONG;
    pack_constants c = pack_constants_of(r->plane->q);
    place at = place_of(r);
    __m512i seen = _mm512_setzero_si512();
    uint8_t *y = r->y + r->done * units * UNIT;
    ptrdiff_t done = r->done;
    for (; done < wanted; done += down) {
        for (ptrdiff_t unit = 0; unit < units; unit += ALONG, y += 64) {
            __m512 x[4];
            PQC_UNROLL(4)
            for (int i = 0; i < 4; i++)
                x[i] = unit_at(at, i / ALONG, unit + i % ALONG, r->lanes[unit + i % ALONG]);
            _mm512_storeu_si512(y, in_order(pack(x, kind, c, &seen)));
        }
        at.x += (uintptr_t)down * at.pitch;
        at.row += (size_t)down;
    }
    r->done = done;
    return is_strange(seen, kind);
}

INLINE bool quantize_units(rows *r, ptrdiff_t wanted, const pack_kind kind)
{
    return r->units == 1   ? quantize(r, wanted, 1, kind)
           : r->units == 2 ? quantize(r, wanted, 2, kind)
                           : quantize(r, wanted, 4, kind);
}

AVX512 static bool quantize_signed(rows *r, ptrdiff_t wanted)
{
    return quantize_units(r, wanted, PACK_SIGNED);
}

AVX512 static bool quantize_unsigned(rows *r, ptrdiff_t wanted)
{
    return quantize_units(r, wanted, PACK_UNSIGNED);
}

AVX512 static bool quantize_bounded(rows *r, ptrdiff_t wanted)
{
    return quantize_units(r, wanted, PACK_BOUNDED);
}

/* Those from number `begin` on again, by what knows NaN, infinity and -0. */
static unsigned quantize_exactly(const rows *r, ptrdiff_t begin)
{
    const pqc_depthwise_plane *p = r->plane;
    ptrdiff_t pitch = r->units * UNIT;
    ptrdiff_t low = pqc_clamped(r->first + begin, r->low, r->high);
    ptrdiff_t high = pqc_clamped(r->first + r->done, low, r->high);
    return pqc_quantize_u8_exact_avx512(
        &(pqc_u8_rows){.x = p->x + low * p->width,
                       .y = r->y + (low - r->first) * pitch + r->left,
                       .x_row = p->width,
                       .y_row = pitch,
                       .rows = high - low,
                       .n = r->n,
                       .q = p->q});
}

unsigned pqc_depthwise_rows_vnni(rows *r, ptrdiff_t wanted)
{
    ptrdiff_t begin = r->done;
    wanted = pqc_clamped(begin + PQC_DEPTHWISE_WORTH / (r->units * UNIT), wanted, r->count);
    pack_kind kind = pack_kind_of(r->plane->q);
    bool strange = kind == PACK_BOUNDED    ? quantize_bounded(r, wanted)
                   : kind == PACK_UNSIGNED ? quantize_unsigned(r, wanted)
                                           : quantize_signed(r, wanted);
    return strange ? quantize_exactly(r, begin) : 0;
}

#endif
