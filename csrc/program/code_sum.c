/* Searches for the numbers that add two codes as code_sum.h says. */
#include "code_sum.h"

#include <math.h>

enum { CODES = 256, MAX_CLOSE = 2048, ULPS = 2, OFFSETS = 8 };

/* Sums of larger terms are not searched for.  Those below differ by less than CLOSE from what is wanted: numbers that are ULPS of
 * their last places off by MOST * 2^-21, roundings by MOST * 2^-22, offsets by OFFSETS * STEP. */
static const float MOST = 0x1p11f, CLOSE = 0x1p-9f, STEP = 0x1p-18f;

typedef struct {
    float between, residual, code;
} pair;

typedef struct {
    float between[CODES], residual[CODES]; /* what codes stand for */
    float mul, lo, hi;
} values;

/* As encode_loops rounds. */
static float rounded(float scaled)
{
    return scaled + 0x1.8p23f - 0x1.8p23f;
}

static float clamped(float code, const values *v)
{
    return pqc_at_most(pqc_at_least(code, v->lo), v->hi);
}

static bool is_close(float scaled)
{
    return fabsf(scaled - rounded(scaled)) > 0.5f - CLOSE;
}

/* Whether some sum of the code i lies close to where rounding turns; compilers vectorise this. */
static bool has_close(const values *v, int i)
{
    int found = 0;
    for (int r = 0; r < CODES; r++)
        found |= is_close((v->between[i] + v->residual[r]) * v->mul);
    return found != 0;
}

/* The pairs that any of the numbers tried might turn, or more than MAX_CLOSE. */
static int close_pairs(const values *v, float lo, int codes, pair *found)
{
    int count = 0;
    for (int i = 0; i < codes; i++) {
        if (!has_close(v, i))
            continue;
        for (int r = 0; r < CODES; r++) {
            float scaled = (v->between[i] + v->residual[r]) * v->mul;
            if (!is_close(scaled) || scaled < v->lo - 1 || scaled > v->hi + 1)
                continue;
            if (count == MAX_CLOSE)
                return count + 1;
            found[count++] = (pair){lo + (float)i, (float)r, clamped(rounded(scaled), v)};
        }
    }
    return count;
}

/* Whether all pairs agree; the first one that does not comes to the front, as it is likely to decide of other numbers as well. */
static bool all_agree(const pqc_code_sum *s, const values *v, pair *pairs, int count)
{
    for (int i = 0; i < count; i++) {
        pair p = pairs[i];
        float sum = fmaf(p.between, s->first, fmaf(p.residual, s->second, s->offset));
        if (clamped(rounded(sum), v) == p.code)
            continue;
        pairs[i] = pairs[0];
        pairs[0] = p;
        return false;
    }
    return true;
}

/* 0, 1, -1, 2, -2, ... */
static int signed_number(int i)
{
    return i % 2 ? (i + 1) / 2 : -i / 2;
}

static float moved(float x, int ulps)
{
    for (; ulps > 0; ulps--)
        x = nextafterf(x, INFINITY);
    for (; ulps < 0; ulps++)
        x = nextafterf(x, 0);
    return x;
}

static bool search(pqc_code_sum *s, const values *v, pair *pairs, int count)
{
    const pqc_code_sum plain = *s;
    for (int o = 0; o <= 2 * OFFSETS; o++)
        for (int a = 0; a <= 2 * ULPS; a++)
            for (int b = 0; b <= 2 * ULPS; b++) {
                s->first = moved(plain.first, signed_number(a));
                s->second = moved(plain.second, signed_number(b));
                s->offset = plain.offset + STEP * (float)signed_number(o);
                if (all_agree(s, v, pairs, count))
                    return true;
            }
    return false;
}

pqc_code_sum pqc_code_sum_of(const pqc_output *f)
{
    const pqc_pixels *between = &f->between, *residual = &f->residual, *to = &f->output[0];
    pqc_code_sum s = {.there = false};
    if (between->content != PQC_U8_CODES || residual->content != PQC_U8_CODES || f->outputs != 1 ||
        to->content != PQC_U8_CODES)
        return s;
    int codes = (int)(between->hi - between->lo) + 1;
    s.first = to->mul / between->div;
    s.second = to->mul / residual->div;
    s.offset = -(float)residual->zero * s.second;
    float least = 0x1p-10f; /* smaller ones would be too close to those that are not normal */
    if (codes < 1 || codes > CODES || !(s.first > least) || !(s.second > least) ||
        !(CODES * (s.first + s.second) < MOST))
        return s;
    values v = {.mul = to->mul, .lo = to->lo, .hi = to->hi};
    for (int i = 0; i < CODES; i++) {
        v.between[i] = (between->lo + (float)pqc_min(i, codes - 1)) / between->div;
        v.residual[i] = (float)(i - residual->zero) / residual->div;
    }
    pair pairs[MAX_CLOSE];
    int count = close_pairs(&v, between->lo, codes, pairs);
    s.there = count <= MAX_CLOSE && search(&s, &v, pairs, count);
    return s;
}
