#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>
#include <string.h>

enum { LONGEST = 70 };

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
        fill_within_f32(x, 4 * n, 9.0f);
        fill_within_f32(u, 4 * n, 3.0f);
        fill_within_f32(before, n, 1.0f);
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
