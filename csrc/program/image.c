/* Checks images of a program and fills their borders. */
#include "image.h"

#include <math.h>
#include <string.h>

/* MAX_SIZE: elements of an array, all of which may be channels of one pixel or pixels of one row. */
enum { MAX_SIZE = 1 << 29, MAX_BORDER = 1 << 16 };

static bool is_within(ptrdiff_t value, ptrdiff_t low, ptrdiff_t high)
{
    return value >= low && value <= high;
}

static const char *check_codes(const pqc_image *i)
{
    const pqc_pixels *codes = &i->codes;
    bool bytes = codes->content == PQC_U8_CODES, words = codes->content == PQC_S16_CODES;
    if (codes->content == PQC_FLOATS)
        return NULL;
    if (!bytes && !words)
        return "an image of an unknown type";
    double low = (double)codes->lo + codes->zero, high = (double)codes->hi + codes->zero;
    bool fits = low >= (bytes ? 0 : INT16_MIN) && high <= (bytes ? 255 : INT16_MAX);
    bool holds_zero = codes->lo <= 0 && codes->hi >= 0 && low <= high;
    if (!fits || !holds_zero || !pqc_reciprocal_is_safe(codes->div) || !(codes->mul >= 0) ||
        !isfinite(codes->mul) || codes->lo != rintf(codes->lo) || codes->hi != rintf(codes->hi))
        return "codes that do not fit into their type";
    return NULL;
}

static bool has_border(const pqc_image *i)
{
    return i->top || i->bottom || i->left || i->right;
}

const char *pqc_image_check(const pqc_image *i, const ptrdiff_t *buffer_bytes, ptrdiff_t buffers)
{
    ptrdiff_t size = pqc_content_size(i->codes.content);
    const char *why = check_codes(i);
    if (why)
        return why;
    if (!is_within(i->buffer, 0, buffers - 1) || !is_within(i->n, 1, INT32_MAX) ||
        !is_within(i->h, 1, MAX_SIZE) || !is_within(i->w, 1, MAX_SIZE) ||
        !is_within(i->c, 1, MAX_SIZE) || !is_within(i->codes.pixel, i->c * size, INT32_MAX) ||
        !is_within(i->top, 0, MAX_BORDER) || !is_within(i->bottom, 0, MAX_BORDER) ||
        !is_within(i->left, 0, MAX_BORDER) || !is_within(i->right, 0, MAX_BORDER))
        return "an image beyond its bounds";
    if (i->nchw &&
        (i->codes.content != PQC_FLOATS || i->codes.pixel != i->c * size || has_border(i)))
        return "an array with a border";
    if (i->codes.content != PQC_U8_CODES && has_border(i))
        return "a border of an image that holds no bytes";
    double pixels =
        (double)i->n * (double)(i->top + i->h + i->bottom) * (double)(i->left + i->w + i->right);
    double bytes = (pixels - 1) * (double)i->codes.pixel + (double)(i->c * size);
    ptrdiff_t slack = i->codes.content == PQC_U8_CODES ? PQC_IMAGE_SLACK : 0;
    if (i->offset < 0 || i->offset % size != 0 || i->codes.pixel % size != 0 || bytes > 0x1p50 ||
        (double)i->offset + bytes + (double)slack > (double)buffer_bytes[i->buffer])
        return "an image outside of its buffer";
    return NULL;
}

/* Fills `pixels` contiguous pixels. */
static void fill(char *at, ptrdiff_t pixels, const pqc_image *i)
{
    if (i->codes.pixel == i->c) {
        memset(at, i->codes.zero, (size_t)(pixels * i->c));
        return;
    }
    for (ptrdiff_t p = 0; p < pixels; p++)
        memset(at + p * i->codes.pixel, i->codes.zero, (size_t)i->c);
}

void pqc_image_fill_border(const pqc_image *i, char *const *buffers)
{
    char *base = buffers[i->buffer] + i->offset;
    ptrdiff_t width = i->left + i->w + i->right;
    if (!has_border(i))
        return;
    for (ptrdiff_t n = 0; n < i->n; n++) {
        fill(base + pqc_image_at(i, n, -i->top, -i->left), i->top * width + i->left, i);
        for (ptrdiff_t y = 0; y + 1 < i->h; y++)
            fill(base + pqc_image_at(i, n, y, i->w), i->right + i->left, i);
        fill(base + pqc_image_at(i, n, i->h - 1, i->w), i->right + i->bottom * width, i);
    }
}
