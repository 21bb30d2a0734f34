#include "search.h"
#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>

enum { BINS = 300 };

static int64_t counts[BINS];
static float centres[BINS];

static void fill(int kind)
{
    for (int k = 0; k < BINS; k++) {
        double tail = exp(-(k * k) / 9000.0) * 1000.0;
        counts[k] = kind == 0   ? (int64_t)tail
                    : kind == 1 ? k % 7 == 0
                                : (int64_t)(random_bits() % 50);
        centres[k] = ((float)k + 0.5f) * 0.01f;
    }
}

/* sum p log(p / q) of candidate i from the definition, levels counted by division. */
static double divergence(ptrdiff_t i, int64_t levels)
{
    double total = 0.0, below = 0.0, sum = 0.0;
    for (ptrdiff_t k = 0; k < BINS; k++) {
        double c = (double)counts[k == 0 ? 1 : k];
        total += c;
        below += k < i ? c : 0.0;
    }
    for (ptrdiff_t k = 0; k < i; k++) {
        double mine = (double)counts[k == 0 ? 1 : k], p = mine, q = 0.0, filled = 0.0;
        for (ptrdiff_t other = 0; other < i; other++) {
            double c = (double)counts[other == 0 ? 1 : other];
            bool together = other * levels / i == k * levels / i;
            q += together ? c : 0.0;
            filled += together && c > 0.0;
        }
        p += k == i - 1 ? total - below : 0.0;
        if (p > 0.0 && mine == 0.0)
            return INFINITY;
        if (p > 0.0)
            sum += p / total * log((p / total) / (q / filled / below));
    }
    return below > 0.0 ? sum : NAN;
}

static void check_entropy(int num_bits, bool is_unsigned, ptrdiff_t start, ptrdiff_t stride)
{
    pqc_search s = {.counts = counts, .bins = BINS, .start = start, .stride = stride};
    void *scratch = malloc(pqc_entropy_scratch(s));
    ptrdiff_t got = pqc_entropy_search(s, num_bits, is_unsigned, scratch);
    int64_t levels = (int64_t)1 << (num_bits - 1 + is_unsigned);
    double least = INFINITY;
    for (ptrdiff_t i = start; i <= BINS; i += stride)
        least = fmin(least, divergence(i, levels));
    CHECK((got - start) % stride == 0 && divergence(got, levels) <= least + 1e-12,
          "%d bits, start %td, stride %td: %td", num_bits, start, stride, got);
    free(scratch);
}

static double error_of(ptrdiff_t candidate, pqc_int_format format)
{
    float y[BINS];
    double sum = 0.0;
    pqc_fake_quant_f32_scalar(centres, y, BINS, pqc_int_quant_init(centres[candidate], format));
    for (int k = 0; k < BINS; k++)
        sum += ((double)y[k] - (double)centres[k]) * ((double)y[k] - (double)centres[k]) *
               (double)counts[k];
    return sum;
}

static void check_mse(int num_bits, bool is_unsigned, ptrdiff_t start, ptrdiff_t stride)
{
    pqc_search s = {.counts = counts, .bins = BINS, .start = start, .stride = stride};
    pqc_int_format format = {num_bits, is_unsigned, true};
    void *scratch = malloc(pqc_mse_scratch(s));
    ptrdiff_t got = pqc_mse_search(s, centres, format, scratch);
    double least = INFINITY;
    for (ptrdiff_t i = start; i < BINS; i += stride)
        if (centres[i] >= 0.0f)
            least = fmin(least, error_of(i, format));
    CHECK((got - start) % stride == 0 && error_of(got, format) <= least * (1 + 1e-12),
          "%d bits, start %td, stride %td: %td", num_bits, start, stride, got);
    free(scratch);
}

static void swap(int a, int b)
{
    float centre = centres[a];
    centres[a] = centres[b];
    centres[b] = centre;
}

/* Centres that fall, that lie on both sides of 0, and that have no order. */
static void check_other_orders(void)
{
    fill(0);
    for (int k = 0; k < BINS / 2; k++)
        swap(k, BINS - 1 - k);
    for (int bits = 3; bits <= 9; bits += 3)
        check_mse(bits, bits % 2 == 0, bits, 1 + bits % 2);
    for (int k = 0; k < BINS; k++)
        swap(k, k * 7 % BINS);
    for (int bits = 3; bits <= 9; bits += 3)
        check_mse(bits, bits % 2 == 0, bits, 1 + bits % 2);
    for (int k = 0; k < BINS; k += 3)
        centres[k] = -centres[k];
    for (int bits = 3; bits <= 9; bits += 3)
        check_mse(bits, false, bits, 1 + bits % 2);
}

void test_calib_search(void)
{
    check_other_orders();
    for (int kind = 0; kind < 3; kind++) {
        fill(kind);
        for (int bits = 2; bits <= 12; bits += 2) {
            check_entropy(bits, bits % 4 == 0, bits * 9, 1 + bits % 3);
            check_mse(bits, bits % 4 == 0, bits * 3, 1 + bits % 3);
        }
        int64_t total = 0, running = 0;
        for (int k = 0; k < BINS; k++)
            total += counts[k];
        ptrdiff_t at = pqc_percentile_search(counts, BINS, 0.7);
        for (ptrdiff_t k = 0; k < at; k++)
            running += counts[k];
        CHECK((double)running < 0.7 * (double)total + 1e-6 &&
                  (double)(running + counts[at]) > 0.7 * (double)total - 1e-6,
              "percentile %td", at);
    }
    for (int k = 0; k < BINS; k++)
        counts[k] = 0;
    CHECK(pqc_percentile_search(counts, BINS, 0.7) == 0, "an empty histogram");
}
