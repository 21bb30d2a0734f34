#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

static const float amaxes[] = {1.0f, 0.0f, -1.0f, NAN, INFINITY, 2.5f, 1e-45f, 0x1p-24f};
enum { AMAXES = sizeof amaxes / sizeof *amaxes };

/* Bits, not values: a NaN gradient passes as it is. */
static uint32_t expect(float x, float grad, float amax)
{
    bool inside = x == x && amax == amax && fabs((double)x) <= (double)amax;
    return inside ? bits_f32(grad) : 0;
}

static void check_size(buffer *in, buffer *grads, buffer *out, ptrdiff_t n, size_t gap)
{
    static float limits[LARGEST_SIZE];
    float *x = buffer_place(in, (size_t)n * sizeof *x, gap);
    float *grad = buffer_place(grads, (size_t)n * sizeof *grad, gap);
    fill_f32(x, n, (unsigned)n);
    fill_f32(grad, n, (unsigned)n + 1000);
    for (int a = 0; a < AMAXES; a++) {
        float *y = buffer_place(out, (size_t)n * sizeof *y, gap);
        pqc.ste_f32(x, grad, y, n, amaxes[a]);
        for (ptrdiff_t i = 0; i < n; i++)
            CHECK(bits_f32(y[i]) == expect(x[i], grad[i], amaxes[a]),
                  "x %a, grad %a, amax %a gives %a; n %td", (double)x[i], (double)grad[i],
                  (double)amaxes[a], (double)y[i], n);
        CHECK(buffer_guards_intact(out), "ste, n %td", n);
    }
    for (ptrdiff_t i = 0; i < n; i++)
        limits[i] = i % 2 ? fabsf(x[i]) : amaxes[i / 2 % AMAXES];
    float *y = buffer_place(out, (size_t)n * sizeof *y, gap);
    pqc.ste_each_f32(x, grad, y, n, limits);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(bits_f32(y[i]) == expect(x[i], grad[i], limits[i]), "ste_each, x %a, n %td",
              (double)x[i], n);
    CHECK(buffer_guards_intact(out), "ste_each, n %td", n);
    pqc.ste_each_f32(x, grad, grad, n, limits); /* in place */
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(bits_f32(y[i]) == bits_f32(grad[i]), "in place, n %td", n);
}

void test_ste(void)
{
    buffer in, grads, out;
    buffer_open(&in);
    buffer_open(&grads);
    buffer_open(&out);
    for (int s = 0; s < size_count; s++)
        check_size(&in, &grads, &out, sizes[s], (size_t)(s % 3) * 12);
    buffer_close(&in);
    buffer_close(&grads);
    buffer_close(&out);
}
