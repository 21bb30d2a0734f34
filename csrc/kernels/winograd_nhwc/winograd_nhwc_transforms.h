/* Transforms of Winograd's F(4 x 4, 3 x 3), channels last, for vectors of any width; see winograd_nhwc.h.  Who includes it
 * has defined
 *
 *   BODY, INLINE    a target, and functions of it that are inlined
 *   vector, OP      the type of vectors, and their intrinsic of a name
 *   VECTOR_AT, STORE_VECTOR  without alignment
 *   BYTES_AT        bytes widened to 16 bits */
#ifndef PQC_WINOGRAD_NHWC_TRANSFORMS_H
#define PQC_WINOGRAD_NHWC_TRANSFORMS_H

#include "winograd/winograd_f4.h"
#include "winograd_nhwc.h"

enum { LANES = sizeof(vector) / 4, WORDS = sizeof(vector) / 2 };

/* A column of a tile, transformed. */
INLINE six column_of(const uint8_t *const *row, ptrdiff_t at)
{
    vector d[TAPS];
    PQC_UNROLL(6)
    for (int i = 0; i < TAPS; i++)
        d[i] = BYTES_AT(row[i] + at);
    return mixed(d);
}

/* A vector of channels of `tiles` neighbours, the first of which begins at pixel x; two columns of a tile are the next
 * one's too. */
BODY static void transform_run(const pqc_winograd_nhwc_image *image, const uint8_t *const *row,
                               ptrdiff_t x, ptrdiff_t tiles, ptrdiff_t v_position, int16_t *v)
{
    ptrdiff_t last = (image->columns - 1) * image->pixel, step = image->pixel;
    ptrdiff_t k = pqc_winograd_nhwc_k(image->channels), at = x * step;
    six column[TAPS];
    column[4] = column_of(row, pqc_min(at, last));
    column[5] = column_of(row, pqc_min(at + step, last));
    for (ptrdiff_t t = 0; t < tiles; t++, at += SIDE * step, v += k) {
        column[0] = column[4];
        column[1] = column[5];
        PQC_UNROLL(4)
        for (int j = 2; j < TAPS; j++)
            column[j] = column_of(row, pqc_min(at + j * step, last));
        PQC_UNROLL(6)
        for (int i = 0; i < TAPS; i++) {
            vector d[TAPS];
            PQC_UNROLL(6)
            for (int j = 0; j < TAPS; j++)
                d[j] = column[j].at[i];
            six line = mixed(d);
            PQC_UNROLL(6)
            for (int j = 0; j < TAPS; j++)
                STORE_VECTOR(v + (TAPS * i + j) * v_position, line.at[j]);
        }
    }
}

BODY static void inputs(const pqc_winograd_nhwc_image *image, ptrdiff_t first, ptrdiff_t tiles,
                        ptrdiff_t v_position, int16_t *v)
{
    ptrdiff_t k = pqc_winograd_nhwc_k(image->channels);
    for (ptrdiff_t done = 0, count; done < tiles; done += count) {
        ptrdiff_t down = (first + done) / image->across, x = (first + done) % image->across;
        count = pqc_min(image->across - x, tiles - done);
        for (ptrdiff_t c = 0; c < image->channels; c += WORDS) {
            const uint8_t *row[TAPS];
            for (int i = 0; i < TAPS; i++)
                row[i] = image->x + pqc_min(SIDE * down + i, image->rows - 1) * image->row + c;
            transform_run(image, row, SIDE * x, count, v_position, v + done * k + c);
        }
    }
}

/* The sums of a column, whose factors are in the weights. */
INLINE four narrowed(const vector m[TAPS])
{
    vector s = OP(add_epi32)(m[1], m[2]), d = OP(sub_epi32)(m[1], m[2]);
    vector p = OP(add_epi32)(m[3], m[4]), q = OP(sub_epi32)(m[3], m[4]);
    vector twice = OP(add_epi32)(q, q);
    return (four){{OP(add_epi32)(OP(add_epi32)(m[0], s), p), OP(add_epi32)(d, twice),
                   OP(add_epi32)(s, OP(slli_epi32)(p, 2)),
                   OP(add_epi32)(OP(add_epi32)(d, m[5]), OP(slli_epi32)(twice, 2))}};
}

/* A vector of channels of a tile; `compensation` times 64. */
INLINE void one_tile(const int32_t *m, ptrdiff_t m_position, vector compensation, int32_t *to,
                     ptrdiff_t to_row, ptrdiff_t to_pixel)
{
    four column[TAPS];
    PQC_UNROLL(6)
    for (int j = 0; j < TAPS; j++) {
        vector x[TAPS];
        PQC_UNROLL(6)
        for (int i = 0; i < TAPS; i++)
            x[i] = VECTOR_AT(m + (TAPS * i + j) * m_position);
        column[j] = narrowed(x);
    }
    PQC_UNROLL(4)
    for (int i = 0; i < SIDE; i++) {
        vector x[TAPS];
        PQC_UNROLL(6)
        for (int j = 0; j < TAPS; j++)
            x[j] = column[j].at[i];
        four row = scaled(x);
        PQC_UNROLL(4)
        for (int j = 0; j < SIDE; j++)
            STORE_VECTOR(to + i * to_row + j * to_pixel, divided(row.at[j], compensation));
    }
}

BODY static void sums(const int32_t *m, ptrdiff_t m_position, int vectors, ptrdiff_t tiles,
                      const int32_t *compensation, int32_t *to, ptrdiff_t to_row)
{
    ptrdiff_t pixel = PQC_LANES * vectors;
    for (ptrdiff_t i = 0; i < pixel; i += LANES) {
        vector c = OP(slli_epi32)(VECTOR_AT(compensation + i), 6);
        for (ptrdiff_t t = 0; t < tiles; t++)
            one_tile(m + t * pixel + i, m_position, c, to + SIDE * t * pixel + i, to_row, pixel);
    }
}

#endif
