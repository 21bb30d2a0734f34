#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>
#include <string.h>

enum { LONGEST = 70, NR = PQC_PRODUCT_NR, ROWS = 5 };

static void fill(float *x, ptrdiff_t n, float scale)
{
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = (float)(int32_t)random_bits() * 0x1p-31f * scale;
}

/* The sums of even and of odd k, in this order. */
void test_product_f32(void)
{
    static float x[ROWS * LONGEST], w[LONGEST * NR];
    buffer to;
    buffer_open(&to);
    for (ptrdiff_t k = 0; k <= LONGEST; k += k < 20 ? 1 : 25)
        for (ptrdiff_t rows = 0; rows <= ROWS; rows++) {
            size_t bytes = (size_t)(rows * NR) * sizeof(float);
            float *y = buffer_place(&to, bytes, 0);
            fill(x, rows * k, 4.0f);
            fill(w, k * NR, 2.0f);
            pqc.product_f32(&(pqc_product){
                .x = x, .w = w, .y = y, .x_row = k, .y_row = NR, .rows = rows, .k = k});
            for (ptrdiff_t i = 0; i < rows * NR; i++) {
                float sum[2] = {0, 0};
                for (ptrdiff_t j = 0; j < k; j++)
                    sum[j % 2] = fmaf(x[i / NR * k + j], w[j * NR + i % NR], sum[j % 2]);
                CHECK(same_f32(y[i], sum[0] + sum[1]), "k = %td, %td", k, i);
            }
            CHECK(buffer_guards_intact(&to), "k = %td, %td rows", k, rows);
        }
    buffer_close(&to);
}

static double opened(double x)
{
    return 1 / (1 + exp(-x));
}

static bool near(float y, double wanted)
{
    return fabs((double)y - wanted) <= 2e-6 * fmax(1, fabs(wanted));
}

static void check_lstm(const float *x, const float *u, float *h, ptrdiff_t n, ptrdiff_t i, float c)
{
    double g[4];
    for (int j = 0; j < 4; j++)
        g[j] = (double)x[j * n + i] + (double)u[j * n + i];
    double state = opened(g[1]) * (double)c + opened(g[0]) * tanh(g[2]);
    CHECK(near(h[i], opened(g[3]) * tanh(state)), "lstm %td of %td", i, n);
}

static double gru(const float *x, const float *u, ptrdiff_t n, ptrdiff_t i, double h)
{
    double r = opened((double)x[i] + (double)u[i]), z = opened((double)x[n + i] + (double)u[n + i]);
    double inner = tanh((double)x[2 * n + i] + r * (double)u[2 * n + i]);
    return inner + z * (h - inner);
}

void test_cell_f32(void)
{
    static float x[4 * LONGEST], u[4 * LONGEST], before[LONGEST], c[LONGEST], z[LONGEST];
    buffer state, other;
    buffer_open(&state);
    buffer_open(&other);
    for (ptrdiff_t n = 1; n <= LONGEST; n += n < 40 ? 1 : 13) {
        size_t bytes = (size_t)n * sizeof(float);
        float *h = buffer_place(&state, bytes, 0), *reset = buffer_place(&other, bytes, 4);
        fill(x, 4 * n, 9.0f);
        fill(u, 4 * n, 3.0f);
        fill(before, n, 1.0f);
        memcpy(c, before, bytes);
        pqc.lstm_f32(x, u, c, h, n);
        for (ptrdiff_t i = 0; i < n; i++)
            check_lstm(x, u, h, n, i, before[i]);
        memcpy(h, before, bytes);
        pqc.gru_f32(x, u, h, n);
        for (ptrdiff_t i = 0; i < n; i++)
            CHECK(near(h[i], gru(x, u, n, i, (double)before[i])), "gru %td of %td", i, n);
        memcpy(h, before, bytes);
        pqc.gru_gates_f32(x, u, h, reset, z, n);
        pqc.gru_finish_f32(x + 2 * n, u + 2 * n, z, h, n);
        for (ptrdiff_t i = 0; i < n; i++) {
            double inner = tanh((double)x[2 * n + i] + (double)u[2 * n + i]);
            double at = opened((double)x[n + i] + (double)u[n + i]);
            CHECK(near(h[i], inner + at * ((double)before[i] - inner)), "finish %td of %td", i, n);
            CHECK(near(reset[i], opened((double)x[i] + (double)u[i]) * (double)before[i]),
                  "reset %td of %td", i, n);
        }
        CHECK(buffer_guards_intact(&state) && buffer_guards_intact(&other), "n = %td", n);
    }
    buffer_close(&state);
    buffer_close(&other);
}
