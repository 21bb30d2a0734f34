/* Sums, means and extremes of programs, whole steps, by their definition. */
#include "check.h"
#include "dispatch.h"
#include "steps.h"
#include "tests.h"

#include <math.h>

enum { SUM, MEAN, MAX, MIN, KINDS };

typedef struct {
    const float *x;
    ptrdiff_t step;
} elements;

static float at(elements e, ptrdiff_t i)
{
    return e.x[i * e.step];
}

static float expect_sum(elements e, ptrdiff_t first, ptrdiff_t n, bool pairwise)
{
    float s[8];
    if (pairwise && n > 128) {
        ptrdiff_t half = n / 2 / 8 * 8;
        return expect_sum(e, first, half, true) + expect_sum(e, first + half, n - half, true);
    }
    ptrdiff_t lanes = pairwise && n >= 8 ? 8 : 1, i = lanes;
    for (ptrdiff_t k = 0; k < lanes; k++)
        s[k] = at(e, first + k);
    for (; lanes == 8 && i < n / 8 * 8; i++)
        s[i % 8] += at(e, first + i);
    for (ptrdiff_t width = 4; lanes == 8 && width >= 1; width /= 2)
        for (ptrdiff_t k = 0; k < width; k++)
            s[k] = s[2 * k] + s[2 * k + 1];
    for (; i < n; i++)
        s[0] += at(e, first + i);
    return s[0];
}

static float expect(elements e, ptrdiff_t n, int kind, bool pairwise)
{
    if (kind <= MEAN) {
        float sum = 0.0f + expect_sum(e, 0, n, pairwise);
        return kind == MEAN ? (float)((double)sum / (double)n) : sum;
    }
    float most = at(e, 0);
    for (ptrdiff_t i = 1; i < n; i++)
        if (isnan(at(e, i)) || (!isnan(most) && (kind == MAX ? at(e, i) > most : at(e, i) < most)))
            most = at(e, i);
    return 0.0f + most;
}

static pqc_image plain(ptrdiff_t h, ptrdiff_t w, ptrdiff_t c, ptrdiff_t offset)
{
    pqc_image i = {.n = 1, .h = h, .w = w, .c = c, .offset = offset};
    i.codes = (pqc_pixels){.content = PQC_FLOATS, .pixel = c * 4};
    return i;
}

/* `inner` is 0 for the elements of rows. */
static void check_reduction(ptrdiff_t outer, ptrdiff_t count, ptrdiff_t inner, int kind,
                            buffer *arena)
{
    ptrdiff_t beside = inner ? inner : 1, numbers = outer * count * beside;
    float *x = buffer_place(arena, (size_t)(numbers + outer * beside) * 4, 0);
    pqc_step s = {.kind = PQC_STEP_REDUCE, .outputs = 1, .layout = {kind, inner > 0}};
    s.input = inner ? plain(outer, count, inner, 0) : plain(1, outer, count, 0);
    s.output[0] = plain(1, outer, beside, numbers * 4);
    fill_f32(x, numbers, (unsigned)(count * 31 + kind));
    char *buffers[] = {(char *)x};
    const char *why = pqc_step_prepare(&s);
    CHECK(!why, "%s", why);
    pqc_step_run(&s, buffers);
    for (ptrdiff_t i = 0; i < outer * beside; i++) {
        elements e = {x + i / beside * count * beside + i % beside, beside};
        float wanted = expect(e, count, kind, !inner), got = x[numbers + i];
        CHECK(same_f32(got, wanted), "kind %d of %td x %td x %td: %a, not %a", kind, outer, count,
              inner, (double)got, (double)wanted);
    }
    CHECK(buffer_guards_intact(arena), "kind %d of %td x %td x %td", kind, outer, count, inner);
    s.layout[0] = KINDS;
    CHECK(pqc_step_prepare(&s) != NULL, "an unknown kind");
    s.layout[0] = kind;
    s.output[0].w++;
    CHECK(pqc_step_prepare(&s) != NULL, "an output of another size");
}

void test_reduce_step(void)
{
    static const ptrdiff_t counts[] = {1, 2, 7, 8, 9, 16, 127, 128, 129, 300, 1111};
    static const ptrdiff_t inners[] = {0, 2, 5, 16, 33};
    buffer arena;
    buffer_open(&arena);
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (size_t k = 0; k < sizeof inners / sizeof *inners; k++)
                check_reduction(1 + (ptrdiff_t)(i + k) % 3, counts[i], inners[k], kind, &arena);
    buffer_close(&arena);
}
