#include "quant_params/quant_params.h"
#include "check.h"
#include "tests.h"

#include <math.h>

static void check_int_scale(float amax, int bits, bool is_unsigned, bool narrow)
{
    double bound = bits == 0 ? 0.0 : ldexp(1.0, bits - !is_unsigned) - 1.0;
    double lo = is_unsigned || bits == 0 ? 0.0 : narrow ? -bound : -bound - 1.0;
    bool zero = amax <= 0x1p-24f || bits == 0;
    pqc_int_format format = {bits, is_unsigned, narrow};
    pqc_int_quant q = pqc_int_quant_init(amax, format);
    float scale = (float)((double)(float)bound / (double)amax);
    CHECK(same_f32(q.mul, zero ? 0.0f : scale) && same_f32(q.div, zero ? 1.0f : scale),
          "amax %a, %d bits: %a, %a", (double)amax, bits, (double)q.mul, (double)q.div);
    CHECK(q.lo == (float)lo && q.hi == (float)bound, "%d bits: %a, %a", bits, (double)q.lo,
          (double)q.hi);
    pqc_int_quant_f64 d = pqc_int_quant_init_f64((double)amax, format);
    double wide = bound / (double)amax;
    CHECK(same_f64(d.mul, zero ? 0.0 : wide) && same_f64(d.div, zero ? 1.0 : wide),
          "amax %a, %d bits in float64", (double)amax, bits);
    CHECK(d.lo == lo && d.hi == bound, "%d bits in float64", bits);
}

void test_quant_params(void)
{
    static const float amaxes[] = {1.0f,   3.7f,  0.0f,     0x1p-24f, 0x1.000002p-24f,
                                   1e-30f, 3e38f, INFINITY, NAN,      127.f};
    for (size_t a = 0; a < sizeof amaxes / sizeof *amaxes; a++) {
        for (int bits = 0; bits <= 32; bits++)
            for (int flags = 0; flags < 4; flags++)
                if (bits != 1 || flags & 1) /* a signed bit has no range */
                    check_int_scale(amaxes[a], bits, flags & 1, flags & 2);
        float reciprocal = (float)(1.0 / (double)amaxes[a]), mul, div;
        float scale = (float)((double)reciprocal * 448.0), used = isinf(scale) ? 1.0f : scale;
        pqc_float_format e4m3 = pqc_float_format_init(4, 3);
        pqc_float_scale q = pqc_float_scale_init(amaxes[a], &e4m3);
        pqc_float_scales(&amaxes[a], &mul, &div, 1, &e4m3);
        CHECK(same_f32(q.mul, used) && same_f32(q.div, scale), "amax %a", (double)amaxes[a]);
        CHECK(same_f32(mul, used) && same_f32(div, scale), "amax %a", (double)amaxes[a]);
        pqc_float_scale_f64 d = pqc_float_scale_init_f64((double)amaxes[a], &e4m3);
        double wide = 1.0 / (double)amaxes[a] * 448.0;
        CHECK(same_f64(d.mul, isinf(wide) ? 1.0 : wide) && same_f64(d.div, wide), "amax %a",
              (double)amaxes[a]);
    }
}
