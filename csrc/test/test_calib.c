/* What calibration runs on: bins, a first look at magnitudes, the entropy search's estimate; and the
 * fingerprint. */
#include "search.h"
#include "check.h"
#include "dispatch.h"
#include "fingerprint.h"
#include "histogram.h"
#include "tests.h"

#include <math.h>
#include <string.h>

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

static double expect_group_logs(const int64_t *counts, ptrdiff_t candidate, int64_t levels)
{
    double sum = 0.0;
    ptrdiff_t begin = 0;
    for (int64_t group = 1; group <= levels; group++) {
        ptrdiff_t end = (ptrdiff_t)ceil((double)group * (double)candidate / (double)levels);
        double count = 0.0, filled = 0.0;
        for (; begin < end; begin++) {
            count += (double)counts[begin];
            filled += counts[begin] != 0;
        }
        sum += count > 0.0 ? count * log(count / filled) : 0.0;
    }
    return sum;
}

void test_group_logs(void)
{
    static double sums[MAX_BINS + 1 + PQC_CANDIDATES], filled[MAX_BINS + 1 + PQC_CANDIDATES];
    static double logs[MAX_BINS + 1 + PQC_CANDIDATES];
    int64_t counts[MAX_BINS];
    pqc_groups g = {.sums = sums, .filled = filled, .logs = logs};
    for (int i = 0; i < PQC_LOG_TABLE; i++) {
        g.inverse[i] = 1.0 / (1.0 + (i + 0.5) / PQC_LOG_TABLE);
        g.log_inverse[i] = log(g.inverse[i]);
    }
    for (int i = 0; i < MAX_BINS; i++)
        counts[i] = random_bits() % 3 ? random_bits() >> random_bits() % 32 : 0;
    for (int i = 0; i < MAX_BINS + PQC_CANDIDATES; i++) {
        sums[i + 1] = sums[i] + (i < MAX_BINS ? (double)counts[i] : 0.0);
        filled[i + 1] = filled[i] + (i < MAX_BINS && counts[i] != 0);
        logs[i + 1] = log(i + 1);
    }
    for (g.shift = 1; g.shift <= 8; g.shift++)
        for (ptrdiff_t first = 1; first < MAX_BINS - 40; first += 13)
            for (ptrdiff_t stride = 1; stride <= 5; stride += 2)
                for (int n = 1; n <= PQC_CANDIDATES; n++) {
                    double got[PQC_CANDIDATES + 1];
                    got[n] = -77.0;
                    pqc.search_logs(&g, first, stride, n, got);
                    for (int k = 0; k < n; k++) {
                        double want =
                            expect_group_logs(counts, first + k * stride, (int64_t)1 << g.shift);
                        CHECK(fabs(got[k] - want) <= 1e-12 * fabs(want),
                              "candidate %td, %d levels: %a, not %a", first + k * stride,
                              1 << g.shift, got[k], want);
                    }
                    CHECK(got[n] == -77.0, "wrote past %d candidates", n);
                }
}

void test_fingerprint(void)
{
    enum { MAX_BLOCKS = 5, BLOCK = 4 * PQC_MARK_LANES };
    buffer in;
    buffer_open(&in);
    for (ptrdiff_t blocks = 0; blocks <= MAX_BLOCKS; blocks++) {
        uint32_t lanes[PQC_MARK_LANES], wanted[PQC_MARK_LANES];
        uint8_t *x = buffer_place(&in, (size_t)(blocks * BLOCK), (size_t)blocks);
        for (ptrdiff_t i = 0; i < blocks * BLOCK; i++)
            x[i] = (uint8_t)random_bits();
        for (int i = 0; i < PQC_MARK_LANES; i++)
            wanted[i] = lanes[i] = random_bits();
        for (ptrdiff_t i = 0; i < blocks * PQC_MARK_LANES; i++) {
            uint32_t *lane = &wanted[i % PQC_MARK_LANES];
            uint32_t word = x[4 * i] | (uint32_t)x[4 * i + 1] << 8 | (uint32_t)x[4 * i + 2] << 16 |
                            (uint32_t)x[4 * i + 3] << 24;
            uint64_t twice = (uint64_t)(*lane ^ word) * 0x100000001u; /* a rotation is a shift */
            *lane = (uint32_t)((uint64_t)(uint32_t)(twice >> 17) * 0x85EBCA6Bu);
        }
        pqc.fingerprint(x, blocks, lanes);
        CHECK(memcmp(lanes, wanted, sizeof lanes) == 0, "%td blocks", blocks);
    }
    for (ptrdiff_t n = 1; n < 3 * BLOCK; n += 37) { /* any changed bit, any other length */
        uint8_t *x = buffer_place(&in, (size_t)n, 3);
        pqc_mark before = pqc_fingerprint_of(x, n), shorter = pqc_fingerprint_of(x, n - 1);
        CHECK(memcmp(&before, &shorter, sizeof before) != 0, "length %td", n);
        for (ptrdiff_t i = 0; i < n; i++) {
            x[i] ^= (uint8_t)(1 << i % 8);
            pqc_mark after = pqc_fingerprint_of(x, n);
            CHECK(memcmp(&before, &after, sizeof before) != 0, "byte %td of %td", i, n);
            x[i] ^= (uint8_t)(1 << i % 8);
        }
    }
    buffer_close(&in);
}
