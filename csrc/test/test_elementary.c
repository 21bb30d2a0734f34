#include "elementary/elementary.h"
#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

void test_erf(void)
{
    /* Abramowitz and Stegun, table 7.1, to 10 digits */
    static const double x[] = {0.0, 0.5, 1.0, 2.0, INFINITY};
    static const double wanted[] = {0.0, 0.5204998778, 0.8427007929, 0.9953222650, 1.0};
    enum { N = sizeof x / sizeof *x };
    for (int i = 0; i < N; i++) {
        float x32[2] = {(float)x[i], -(float)x[i]}, y32[2];
        double x64[2] = {x[i], -x[i]}, y64[2];
        pqc.chain_f32(PQC_CHAIN_ERF, x32, NULL, 0, y32, 2);
        pqc_erf_f64_scalar(x64, y64, 2);
        CHECK(fabs(y64[0] - wanted[i]) < 1e-10, "erf(%a) is %.12f", x[i], y64[0]);
        CHECK(fabs((double)y32[0] - wanted[i]) < 1e-7, "erff(%a) is %.9f", x[i], (double)y32[0]);
        CHECK(y64[1] == -y64[0] && y32[1] == -y32[0], "erf(-%a)", x[i]);
    }
}
