/* Sums of 64 channels that become codes behind a residual: those of some pixels go into L1, and while the next ones are multiplied
 * one pixel after the other goes through the output stage.  Products take two of four vector pipes, so what follows them costs less
 * between products than behind them all.  (Codes without a residual are made of sums in registers: igemm_u8s8_codes_vnni.c; so few
 * operations are not worth storing the sums.) */
#include "igemm_u8s8.h"

#if PQC_X86
#include "igemm_u8s8_residual_vnni.h"

#include <math.h>

/* Pixels of a body; kr groups that are multiplied between two pixels, at most: more hide no more. */
enum { MR = 6, SHARE = 10 };

/* What the residual is and what is stored: bits. */
enum {
    BYTES = 1,  /* bytes are added, else words */
    SUMMED = 2, /* as pqc_code_sum says */
    BOTH = 4,   /* words are stored beside bytes */
    SHIFTED =
        8 /* the scales of words are powers of two: what they stand for is exact, and so are the sums of word_magic */
};

/* The output stage, and whether packing alone keeps bytes within their bounds and there are no zero points. */
typedef struct {
    const float *scale, *bias;
    const pqc_pixels *between;
    const pqc_code_sum *sum;
    finish_source from;
    finish_target bytes, words;
    __m512
        word_magic; /* 1.5 * 2^23 words: added, it rounds to whole ones, which are left in the low bits */
    __m512i least_word;
    bool raw;
} stage;

/* Pixels whose sums are in L1, and the kr groups to multiply before finishing each. */
typedef struct {
    const int32_t *acc, *residual, *bytes, *words;
    int pixels;
    ptrdiff_t share;
} stored_pixels;

/* The code of numbers that are known to be no NaN. */
INLINE __m512 code_between(__m512 y, const pqc_pixels *between)
{
    __m512 lo = _mm512_set1_ps(between->lo), hi = _mm512_set1_ps(between->hi);
    y = _mm512_mul_ps(y, _mm512_set1_ps(between->mul));
    y = _mm512_min_ps(_mm512_max_ps(y, lo), hi);
    return _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* The same and back; -0 becomes 0 when the residual is added. */
INLINE __m512 requantize(__m512 y, const pqc_pixels *between)
{
    __m512 div = _mm512_set1_ps(between->div), reciprocal = _mm512_set1_ps(1 / between->div);
    return divide16(code_between(y, between), div, reciprocal);
}

/* 16 channels of the residual, which begins at channel `from`. */
INLINE __m512 residual_codes(const stage *s, const char *residual, int from, const int HOW,
                             const bool RAW)
{
    const int content = HOW & BYTES ? PQC_U8_CODES : PQC_S16_CODES;
    __m512i code =
        finish_codes(content, residual + from * pqc_content_size((pqc_content)content), 0xffff);
    if (!RAW && !(HOW & SUMMED) && s->from.zero)
        code = _mm512_sub_epi32(code, _mm512_set1_epi32(s->from.zero));
    return _mm512_cvtepi32_ps(code);
}

/* Sums of 16 channels, scaled, with the residual: numbers, or, SUMMED, codes that are not rounded yet. */
INLINE __m512 value_of(const stage *s, const int32_t *acc, const char *residual, int from,
                       const int HOW, const bool RAW)
{
    output16 of = {_mm512_loadu_ps(s->scale + from), _mm512_loadu_ps(s->bias + from)};
    __m512 y = finish16(_mm512_load_si512(acc + from), of);
    __m512 code = residual_codes(s, residual, from, HOW, RAW);
    if (HOW & SUMMED) {
        __m512 first = _mm512_set1_ps(s->sum->first), second = _mm512_set1_ps(s->sum->second);
        code = _mm512_fmadd_ps(code, second, _mm512_set1_ps(s->sum->offset));
        return _mm512_fmadd_ps(code_between(y, s->between), first, code);
    }
    if (HOW & SHIFTED)
        return _mm512_fmadd_ps(code, s->from.reciprocal, y);
    if (HOW & BYTES && s->between->content != PQC_NOTHING)
        y = requantize(y, s->between);
    return _mm512_add_ps(y, divide16(code, s->from.div, s->from.reciprocal));
}

INLINE __m512i shifted_word(__m512 y, __m512 magic)
{
    return _mm512_sub_epi32(_mm512_castps_si512(_mm512_add_ps(y, magic)),
                            _mm512_castps_si512(magic));
}

/* Of two vectors. */
INLINE void store_words(const stage *s, const __m512 *y, const int HOW, const bool RAW, char *at)
{
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    __m512i codes;
    if (HOW & SHIFTED)
        codes = _mm512_packs_epi32(shifted_word(y[0], s->word_magic),
                                   shifted_word(y[1], s->word_magic));
    else
        codes = RAW ? finish_pack_raw(y, 0, s->words.mul) : finish_pack(y, 0, &s->words);
    codes = _mm512_max_epi16(codes, s->least_word);
    if (!RAW && s->words.most < INT16_MAX)
        codes = _mm512_min_epi16(codes, _mm512_set1_epi16((short)s->words.most));
    _mm512_storeu_si512(at, _mm512_permutexvar_epi64(order, codes));
}

/* Of two vectors, as finish_pack. */
INLINE __m512i packed(const stage *s, const __m512 *y, const int HOW, const bool RAW)
{
    if (!(HOW & SUMMED))
        return RAW ? finish_pack_raw(y, 0, s->bytes.mul) : finish_pack(y, 0, &s->bytes);
    __m512i words = _mm512_packs_epi32(_mm512_cvtps_epi32(y[0]), _mm512_cvtps_epi32(y[1]));
    return !RAW && s->bytes.zero ? _mm512_adds_epi16(words, _mm512_set1_epi16((short)s->bytes.zero))
                                 : words;
}

/* A pixel's codes. */
INLINE void finish(const stage *s, const stored_pixels *p, int i, const int HOW, const bool RAW)
{
    const int32_t *acc = p->acc + PQC_NR * i;
    const char *residual = s->from.row.at + p->residual[i];
    __m512i words[2];
    PQC_UNROLL(2)
    for (int pair = 0; pair < 2; pair++) {
        __m512 y[2];
        PQC_UNROLL(2)
        for (int v = 0; v < 2; v++)
            y[v] = value_of(s, acc, residual, PQC_LANES * (2 * pair + v), HOW, RAW);
        if (HOW & BOTH)
            store_words(s, y, HOW, RAW, s->words.row.at + p->words[i] + 64 * pair);
        words[pair] = packed(s, y, HOW, RAW);
    }
    __m512i bytes = _mm512_packus_epi16(words[0], words[1]);
    char *at = s->bytes.row.at + p->bytes[i];
    finish_store_plain_bytes(RAW ? bytes : finish_within(bytes, &s->bytes), 1, ~0ull, &at);
}

INLINE void finish_pixel(const stage *s, const stored_pixels *p, int i, const int HOW)
{
    if (s->raw)
        finish(s, p, i, HOW, true);
    else
        finish(s, p, i, HOW, false);
}

/* Sums of P pixels into `acc`, and meanwhile the codes of those before. */
INLINE void multiply(const pqc_igemm_params *g, const int32_t *pixel, const int P, const stage *s,
                     const stored_pixels *before, int32_t *acc, const int HOW)
{
    __m512i sums[PQC_NR_VECTORS * MR];
    igemm_walk walk = igemm_begin(g, pixel, P, PQC_NR_VECTORS, 0, sums);
    const int32_t *end = g->offset + g->k;
    for (int i = 0; i < before->pixels; i++) {
        for (const int32_t *stop = walk.offset + before->share; walk.offset < stop;)
            igemm_step(&walk, P, PQC_NR_VECTORS, 4 * PQC_NR, 4 * PQC_LANES, sums);
        finish_pixel(s, before, i, HOW);
        end_sums(sums, PQC_NR_VECTORS * P);
    }
    while (walk.offset < end)
        igemm_step(&walk, P, PQC_NR_VECTORS, 4 * PQC_NR, 4 * PQC_LANES, sums);
    end_sums(sums, PQC_NR_VECTORS * P);
    PQC_UNROLL(24)
    for (int i = 0; i < PQC_NR_VECTORS * P; i++)
        _mm512_store_si512(acc + PQC_LANES * i, sums[i]);
}

typedef void multiply_fn(const pqc_igemm_params *g, const int32_t *pixel, const stage *s,
                         const stored_pixels *before, int32_t *acc);

typedef struct {
    multiply_fn *multiply[MR];
    void (*finish)(const stage *s, const stored_pixels *last);
} bodies;

#define BODY(P, NAME, HOW)                                                                         \
    VNNI static void NAME##_##P(const pqc_igemm_params *g, const int32_t *pixel, const stage *s,   \
                                const stored_pixels *before, int32_t *acc)                         \
    {                                                                                              \
        multiply(g, pixel, P, s, before, acc, HOW);                                                \
    }

#define BODIES(NAME, HOW)                                                                          \
    BODY(1, NAME, HOW)                                                                             \
    BODY(2, NAME, HOW)                                                                             \
    BODY(3, NAME, HOW)                                                                             \
    BODY(4, NAME, HOW)                                                                             \
    BODY(5, NAME, HOW)                                                                             \
    BODY(6, NAME, HOW)                                                                             \
    VNNI static void NAME##_last(const stage *s, const stored_pixels *last)                        \
    {                                                                                              \
        for (int i = 0; i < last->pixels; i++)                                                     \
            finish_pixel(s, last, i, HOW);                                                         \
    }                                                                                              \
    static const bodies NAME = {{NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6},      \
                                NAME##_last};

BODIES(words_to_bytes, 0)
BODIES(words_to_both, BOTH)
BODIES(shifted_to_bytes, SHIFTED)
BODIES(shifted_to_both, SHIFTED | BOTH)
BODIES(bytes_to_bytes, BYTES)
BODIES(bytes_summed, BYTES | SUMMED)

static bool is_power_of_two(float x)
{
    int exponent;
    return frexpf(x, &exponent) == 0.5f;
}

/* Whether word_magic is right for words that are stored. */
static bool are_shifted(const pqc_output *f)
{
    bool shifted = is_power_of_two(f->residual.div);
    for (int i = 0; i < f->outputs; i++)
        if (f->output[i].content == PQC_S16_CODES)
            shifted &= f->known & PQC_SMALL_CODES && is_power_of_two(f->output[i].mul) &&
                       f->output[i].zero == 0;
    return shifted;
}

/* Or NULL. */
static const bodies *bodies_of(const pqc_igemm_params *g, int channels, const pqc_output *f)
{
    bool one = f->outputs == 1 && f->output[0].content == PQC_U8_CODES;
    if (g->vectors != PQC_NR_VECTORS || channels != PQC_NR || f->hard_swish || f->affine.there)
        return NULL;
    if (f->residual.content == PQC_U8_CODES)
        return !one ? NULL : f->sum.there ? &bytes_summed : &bytes_to_bytes;
    if (f->between.content != PQC_NOTHING)
        return NULL;
    if (one)
        return are_shifted(f) ? &shifted_to_bytes : &words_to_bytes;
    return f->outputs != 2 ? NULL : are_shifted(f) ? &shifted_to_both : &words_to_both;
}

VNNI static stage stage_of(const pqc_output *f)
{
    finish_pixels first = {.acc = NULL};
    stage s = {.scale = f->scale,
               .bias = f->bias,
               .between = &f->between,
               .sum = &f->sum,
               .from = finish_source_of(&first, f),
               .bytes = finish_target_of(&first, f, PQC_U8_CODES),
               .words = finish_target_of(&first, f, PQC_S16_CODES)};
    bool raw_words = f->outputs == 1 || (s.words.zero == 0 && s.words.most >= INT16_MAX);
    s.word_magic = _mm512_div_ps(_mm512_set1_ps(0x1.8p23f), s.words.mul);
    s.least_word = _mm512_set1_epi16((short)s.words.least);
    s.raw = (f->sum.there || s.from.zero == 0) && finish_is_raw(&s.bytes) && raw_words;
    return s;
}

VNNI bool pqc_igemm_u8s8_residual_vnni(const pqc_igemm_params *g, const int32_t *pixel,
                                       const pqc_code_places *places, int pixels, int channels,
                                       const pqc_output *f)
{
    _Alignas(64) int32_t acc[2][MR * PQC_NR];
    const bodies *of = bodies_of(g, channels, f);
    if (!of)
        return false;
    const stage s = stage_of(f);
    const int bytes = f->output[0].content == PQC_U8_CODES ? 0 : 1;
    const ptrdiff_t share = pqc_min(g->k / MR, SHARE);
    stored_pixels before = {.pixels = 0};
    pqc_igemm_params part = fetching(g);
    int parts = (int)pqc_div_round_up(pixels, MR), done = 0;
    for (; parts > 0; parts--) { /* in parts of nearly equal size */
        int mr = (pixels - done + parts - 1) / parts;
        of->multiply[mr - 1](&part, pixel + done, &s, &before, acc[parts % 2]);
        fetch_on(&part);
        before = (stored_pixels){.acc = acc[parts % 2],
                                 .residual = places->residual + done,
                                 .bytes = places->output[bytes] + done,
                                 .words = places->output[1 - bytes] + done,
                                 .pixels = mr,
                                 .share = share};
        done += mr;
    }
    of->finish(&s, &before);
    return true;
}

#endif
