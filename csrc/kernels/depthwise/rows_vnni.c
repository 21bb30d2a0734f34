#include "rows_vnni.h"

#if PQC_X86
#include "quantize_u8/quads_avx512.h"

#define INLINE AVX512 PQC_INLINE

enum { UNIT = PQC_DEPTHWISE_UNIT, MOST_UNITS = PQC_DEPTHWISE_WIDTH / UNIT };

typedef struct {
    const pqc_depthwise_plane *plane;
    ptrdiff_t first, count;      /* the rows wanted, by their numbers in the image */
    ptrdiff_t low, high;         /* those of them that it has */
    ptrdiff_t left, n, units;    /* columns of padding and of the image; units of a row */
    __mmask16 lanes[MOST_UNITS]; /* where a unit has columns of the image */
} rows;

static inline unsigned first_lanes(ptrdiff_t n)
{
    return n <= 0 ? 0u : n >= UNIT ? 0xffffu : (1u << n) - 1u;
}

/* In place: a struct that is returned would be copied while its parts are still on the way to memory. */
static void find_rows(rows *r, const pqc_depthwise_plane *p, ptrdiff_t first, ptrdiff_t count)
{
    ptrdiff_t columns = pqc_depthwise_columns(p), left = pqc_least(p->left, columns);
    ptrdiff_t n = pqc_least(p->width, columns - left);
    r->plane = p;
    r->first = first - p->top;
    r->count = count;
    r->low = r->first < 0 ? 0 : r->first;
    r->high = pqc_least(p->height, r->first + count);
    r->left = left;
    r->n = n;
    r->units = pqc_depthwise_pitch(columns) / UNIT;
    for (ptrdiff_t i = 0; i < r->units; i++)
        r->lanes[i] = (__mmask16)(first_lanes(left + n - UNIT * i) & ~first_lanes(left - UNIT * i));
}

/* The compiler must take bytes written for a change of anything it has not in a variable. */
typedef struct {
    uintptr_t x, pitch; /* bytes; before the image where there is padding */
    size_t row, count;  /* of the image, if less than count */
} place;

INLINE place place_of(const rows *r)
{
    const pqc_depthwise_plane *p = r->plane;
    return (place){(uintptr_t)p->x + (uintptr_t)(r->first * p->width - r->left) * 4,
                   (uintptr_t)p->width * 4, (size_t)(r->first - r->low),
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
INLINE bool quantize(const rows *r, uint8_t *y, const int ALONG, const bool is_unsigned)
{
    const ptrdiff_t units = ALONG == 4 ? r->units : ALONG, down = 4 / ALONG;
    pack_constants c = pack_constants_of(r->plane->q);
    place at = place_of(r);
    __m512i seen = _mm512_setzero_si512();
    for (ptrdiff_t left = r->count; left > 0; left -= down) {
        for (ptrdiff_t unit = 0; unit < units; unit += ALONG, y += 64) {
            __m512 x[4];
            PQC_UNROLL(4)
            for (int i = 0; i < 4; i++)
                x[i] = unit_at(at, i / ALONG, unit + i % ALONG, r->lanes[unit + i % ALONG]);
            _mm512_storeu_si512(y, in_order(pack(x, is_unsigned, c, &seen)));
        }
        at.x += (uintptr_t)down * at.pitch;
        at.row += (size_t)down;
    }
    return is_strange(seen, is_unsigned);
}

AVX512 static bool quantize_signed(const rows *r, uint8_t *y)
{
    return r->units == 1   ? quantize(r, y, 1, false)
           : r->units == 2 ? quantize(r, y, 2, false)
                           : quantize(r, y, 4, false);
}

AVX512 static bool quantize_unsigned(const rows *r, uint8_t *y)
{
    return r->units == 1   ? quantize(r, y, 1, true)
           : r->units == 2 ? quantize(r, y, 2, true)
                           : quantize(r, y, 4, true);
}

/* Again, by what knows NaN, infinity and -0. */
static unsigned quantize_exactly(const rows *r, uint8_t *y)
{
    const pqc_depthwise_plane *p = r->plane;
    ptrdiff_t pitch = r->units * UNIT;
    return pqc_quantize_u8_exact_avx512(
        &(pqc_u8_rows){.x = p->x + r->low * p->width,
                       .y = y + (r->low - r->first) * pitch + r->left,
                       .x_row = p->width,
                       .y_row = pitch,
                       .rows = r->high - r->low,
                       .n = r->n,
                       .q = p->q});
}

unsigned pqc_depthwise_rows_vnni(const pqc_depthwise_plane *p, ptrdiff_t first, ptrdiff_t count,
                                 uint8_t *y)
{
    rows r;
    find_rows(&r, p, first, count);
    bool strange = p->q.zero == 0 ? quantize_unsigned(&r, y) : quantize_signed(&r, y);
    return strange ? quantize_exactly(&r, y) : 0;
}

#endif
