/* Sums of two codes: every pair of them by the definition. */
#include "check.h"
#include "code_sum.h"
#include "expect.h"
#include "tests.h"

#include <math.h>

/* Numbers as ranges of data make them, or integers, of which many pairs lie in the middle between two codes. */
static float random_scale(unsigned seed)
{
    float number = 8.0f + (float)(random_bits() % 16);
    return seed % 4 ? number + (float)(random_bits() % (1 << 20)) * 0x1p-20f : number;
}

/* Every pair of codes; returns whether there were numbers for them. */
static bool check_code_sum(unsigned seed)
{
    pqc_output f = {.outputs = 1};
    pqc_pixels *all[] = {&f.between, &f.residual, &f.output[0]};
    for (int i = 0; i < 3; i++) {
        int32_t zero = seed % 2 ? (int32_t)(random_bits() % 256) : 0;
        float scale = random_scale(seed);
        *all[i] = (pqc_pixels){.content = PQC_U8_CODES,
                               .mul = scale,
                               .div = scale,
                               .lo = (float)-zero,
                               .hi = (float)(255 - zero),
                               .zero = zero};
    }
    pqc_code_sum s = pqc_code_sum_of(&f);
    for (int i = 0; i < 256 && s.there; i++)
        for (int r = 0; r < 256; r++) {
            float code = f.between.lo + (float)i;
            float y = (float)((double)code / (double)f.between.div) +
                      (float)((double)(r - f.residual.zero) / (double)f.residual.div);
            const pqc_pixels *to = &f.output[0];
            float sum = rintf(fmaf(code, s.first, fmaf((float)r, s.second, s.offset)));
            CHECK(fminf(fmaxf(sum, to->lo), to->hi) == expect_quantized(y, to->mul, to->lo, to->hi),
                  "codes %g and %d, seed %u", (double)code, r, seed);
        }
    return s.there;
}

void test_code_sum(void)
{
    int there = 0;
    for (unsigned seed = 0; seed < 48; seed++)
        there += check_code_sum(seed);
    CHECK(there >= 30, "numbers for %d of 36 scales that are no integers", there);
}
