/* What has one body for every CPU: float64 kernels, and the table itself. */
#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>
#include <string.h>

void test_dispatch(void)
{
    unsigned before = pqc_selected(), found = pqc_detect();
    CHECK(found & PQC_BIT(PQC_SCALAR), "scalar is not detected");
    CHECK(pqc_select(0) == PQC_BIT(PQC_SCALAR), "none allowed leaves scalar");
    CHECK(pqc.amax_f32 == pqc_amax_f32_scalar, "scalar is not what runs");
    void *fields[sizeof pqc / sizeof(void *)];
    memcpy(fields, &pqc, sizeof pqc);
    CHECK(pqc.dwconv_u8s8 == NULL && pqc.igemm_u8s8_f32 == NULL && pqc.gemv_u8s8 == NULL &&
              pqc.igemm_u8s8_codes == NULL && pqc.dwconv_nhwc_codes == NULL &&
              pqc.winograd == NULL && pqc.winograd_nhwc == NULL && pqc.amx_gemm == NULL &&
              pqc.igemm_nhwc == NULL && pqc.gemm_s8u4_amx == NULL && pqc.gate_u8 == NULL,
          "the scalar bodies are conv_chw_u8s8, igemm_u8s8");
    for (size_t i = 0; i + 11 < sizeof fields / sizeof *fields; i++) /* those eleven are the last */
        CHECK(fields[i] != NULL, "field %zu of the table has no scalar body", i);
    CHECK(pqc_select(~0u) == found && pqc_selected() == found, "not all detected ISAs selected");
    for (int i = 0; i < PQC_ISAS; i++)
        CHECK(pqc_isa_name((pqc_isa)i) != NULL, "ISA %d has no name", i);
    CHECK(pqc_isa_name(PQC_ISAS) == NULL, "a name past the end");
    pqc_select(before);
}

/* Rounded to a multiple of the step of its binade. */
static double expect_e4m3(double x, double mul, double div)
{
    double v = x * mul;
    if (v != v)
        return v;
    double size = fabs(v) > 448.0 ? 448.0 : fabs(v);
    double step = size < 0x1p-6 ? 0x1p-9 : ldexp(1.0, ilogb(size) - 3);
    return fabs(x) < 0x1p-24 ? 0.0 : copysign(round_even(size / step) * step, v) / div;
}

static void check_f64_quantisers(const double *x, double *y, ptrdiff_t n)
{
    pqc_int_quant_f64 q = pqc_int_quant_init_f64(3.7, (pqc_int_format){8, false, false});
    pqc_quantize_f64_scalar(x, y, n, q);
    for (ptrdiff_t i = 0; i < n; i++) {
        double v = round_even(x[i] * q.mul);
        double want = v < -128.0 ? -128.0 : v > 127.0 ? 127.0 : v;
        CHECK(same_f64(y[i], want), "quantize(%a) = %a", x[i], y[i]);
    }
    pqc_fake_quant_f64_scalar(x, y, n, q);
    for (ptrdiff_t i = 0; i < n; i++) {
        double v = round_even(x[i] * q.mul);
        double want = (v < -128.0 ? -128.0 : v > 127.0 ? 127.0 : v) / q.div;
        CHECK(same_f64(y[i], want), "fake_quant(%a) = %a", x[i], y[i]);
    }
    pqc_float_format e4m3 = pqc_float_format_init(4, 3);
    pqc_float_scale_f64 e = pqc_float_scale_init_f64(3.7, &e4m3);
    pqc_float_quant_f64_scalar(x, y, n, e, &e4m3);
    for (ptrdiff_t i = 0; i < n; i++) {
        double want = expect_e4m3(x[i], e.mul, e.div);
        CHECK(same_f64(y[i], want), "e4m3(%a) = %a, not %a", x[i], y[i], want);
    }
}

static void check_f64_ranges(const double *x, double *y, ptrdiff_t n)
{
    double most = 0.0, least = (double)INFINITY;
    bool nan = false;
    for (ptrdiff_t i = 0; i < n; i++) {
        nan |= x[i] != x[i];
        most = fmax(most, fabs(x[i]));
        least = fmin(least, x[i]);
    }
    CHECK(same_f64(pqc_amax_f64_scalar(x, n), nan ? (double)NAN : most), "amax, n %td", n);
    CHECK(same_f64(pqc_min_f64_scalar(x, n), nan ? (double)NAN : least + 0.0), "min, n %td", n);
    fill_f64(y, n, 99);
    double *grad = y + n, *before = y + 2 * n;
    fill_f64(grad, n, 100);
    memcpy(before, y, (size_t)n * sizeof *y);
    pqc_amax_each_f64_scalar(x, y, n);
    for (ptrdiff_t i = 0; i < n; i++) {
        bool lost = x[i] != x[i] || before[i] != before[i];
        double want = lost ? (double)NAN : fmax(fabs(before[i]), fabs(x[i]));
        CHECK(same_f64(y[i], want), "max of %a, %a is %a", before[i], x[i], y[i]);
    }
    pqc_ste_f64_scalar(x, grad, y, n, 1.5);
    for (ptrdiff_t i = 0; i < n; i++)
        CHECK(same_f64(y[i], x[i] >= -1.5 && x[i] <= 1.5 ? grad[i] : 0.0), "ste of %a", x[i]);
}

void test_f64(void)
{
    static double x[LARGEST_SIZE], y[3 * LARGEST_SIZE];
    for (int s = 0; s < size_count; s++) {
        fill_f64(x, sizes[s], (unsigned)s);
        check_f64_quantisers(x, y, sizes[s]);
        check_f64_ranges(x, y, sizes[s]);
        for (ptrdiff_t i = 0; i < sizes[s]; i++) /* numbers alone */
            x[i] = x[i] != x[i] ? -7.0 : x[i];
        check_f64_ranges(x, y, sizes[s]);
    }
}
