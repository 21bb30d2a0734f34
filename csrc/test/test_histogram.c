/* What calibration runs on: bins, and a first look at magnitudes. */
#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <math.h>

enum { MAX_BINS = 300 };

static ptrdiff_t expect_bin(double v, const float *edges, ptrdiff_t bins)
{
    if (!(v >= (double)edges[0] && v <= (double)edges[bins]))
        return -1;
    ptrdiff_t bin = 0;
    while (bin + 1 < bins && v >= (double)edges[bin + 1])
        bin++;
    return bin;
}

/* Equal widths in float32, which are not equal at all; the margin is what that costs. */
static pqc_binning make_binning(float *edges, ptrdiff_t bins, float lo, float hi)
{
    pqc_binning b = {.edges = edges, .bins = bins, .lo = lo, .inv = (float)bins / (hi - lo)};
    for (ptrdiff_t i = 0; i <= bins; i++)
        edges[i] = lo + (hi - lo) * (float)i / (float)bins;
    edges[bins] = hi;
    for (ptrdiff_t i = 0; i <= bins; i++)
        b.margin = fmaxf(b.margin, fabsf((edges[i] - lo) * b.inv - (float)i));
    b.margin += 0x1p-20f * (float)bins;
    return b;
}

/* A third of x on an edge or right beside one. */
static void fill_near_edges(float *x, ptrdiff_t n, const pqc_binning *b)
{
    fill_f32(x, n, (unsigned)(n + b->bins));
    for (ptrdiff_t i = 0; i < n; i += 3) {
        float edge = b->edges[random_bits() % (uint32_t)(b->bins + 1)];
        uint32_t dice = random_bits() % 6;
        edge = dice < 2 ? nextafterf(edge, dice ? 0.0f : INFINITY) : edge;
        x[i] = dice & 1 ? edge : -edge;
    }
}

static void check_bins(buffer *in, buffer *out, ptrdiff_t n, const pqc_binning *b)
{
    int64_t wanted[MAX_BINS] = {0}, got[MAX_BINS] = {0}, zeros = 0;
    uint32_t largest = 0x3f800000;
    float *x = buffer_place(in, (size_t)n * sizeof *x, 0);
    uint32_t *bin = buffer_place(out, (size_t)(n + 16) * sizeof *bin, 0);
    fill_near_edges(x, n, b);
    pqc_binned seen = {.largest = largest, .zeros = 7};
    ptrdiff_t written = pqc.bin_f32(x, n, b, bin, &seen);
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t size = bits_f32(x[i]) & 0x7fffffff;
        ptrdiff_t at = expect_bin(fabs((double)x[i]), b->edges, b->bins);
        zeros += x[i] == 0.0f;
        largest = size > largest ? size : largest;
        if (at >= 0 && x[i] != 0.0f)
            wanted[at]++;
    }
    CHECK(seen.largest == largest, "largest %08x, not %08x; n %td", seen.largest, largest, n);
    CHECK((int64_t)seen.zeros == zeros + 7, "zeros, n %td", n);
    CHECK(n - zeros <= written && written <= n, "%td of %td written", written, n);
    for (ptrdiff_t i = 0; i < written; i++) {
        CHECK(bin[i] < b->bins + 16, "bin %u of %td", bin[i], b->bins);
        if (bin[i] < b->bins)
            got[bin[i]]++;
    }
    for (ptrdiff_t i = 0; i < b->bins; i++)
        CHECK(got[i] == wanted[i], "bin %td of %td holds %lld, not %lld; n %td", i, b->bins,
              (long long)got[i], (long long)wanted[i], n);
    CHECK(buffer_guards_intact(out), "bins, n %td", n);
}

static void check_magnitudes(buffer *in, ptrdiff_t n)
{
    pqc_magnitudes want = {INFINITY, 0.0f, 0, 0, 0}, got = want;
    float *x = buffer_place(in, (size_t)n * sizeof *x, 0);
    fill_f32(x, n, (unsigned)n);
    pqc.magnitudes_f32(x, n, &got);
    for (ptrdiff_t i = 0; i < n; i++) {
        float v = fabsf(x[i]);
        want.zeros += v == 0.0f;
        want.nans += v != v;
        want.infs += v == INFINITY;
        want.smallest = v > 0.0f && v < want.smallest ? v : want.smallest;
        want.largest = v < INFINITY && v > want.largest ? v : want.largest;
    }
    CHECK(got.zeros == want.zeros && got.nans == want.nans && got.infs == want.infs, "n %td", n);
    CHECK(same_f32(got.smallest, want.smallest), "smallest %a, n %td", (double)got.smallest, n);
    CHECK(same_f32(got.largest, want.largest), "largest %a, n %td", (double)got.largest, n);
}

void test_histogram(void)
{
    static const struct {
        ptrdiff_t bins;
        float lo, hi;
    } rules[] = {{1, 0.0f, 1.0f}, {7, 0.0f, 3.7f}, {128, 0.0f, 100.0f}, {MAX_BINS, 0.25f, 9.0f}};
    float edges[MAX_BINS + 1];
    buffer in, out;
    buffer_open(&in);
    buffer_open(&out);
    for (int s = 0; s < size_count; s++) {
        for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
            pqc_binning b = make_binning(edges, rules[r].bins, rules[r].lo, rules[r].hi);
            check_bins(&in, &out, sizes[s], &b);
        }
        check_magnitudes(&in, sizes[s]);
    }
    buffer_close(&in);
    buffer_close(&out);
}
