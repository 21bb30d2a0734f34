/* Sums of 64 channels that become codes behind a residual: those of some pixels go into L1, and while the next ones are multiplied
 * one pixel after the other goes through the output stage.  Products take two of four vector pipes, so what follows them costs less
 * between products than behind them all.  (Codes without a residual are made of sums in registers: igemm_u8s8_codes_vnni.c; so few
 * operations are not worth storing the sums.) */
#include "igemm_u8s8.h"

#if PQC_X86
#include "igemm_u8s8_residual_vnni.h"

/* Pixels of a body; kr groups that are multiplied between two pixels, at most: more hide no more. */
enum { MR = 6, SHARE = 10 };

/* The output stage, and whether packing alone keeps bytes within their bounds and there are no zero points. */
typedef struct {
    const float *scale, *bias;
    const pqc_pixels *between;
    finish_source from;
    finish_target bytes, words;
    __m512i least_word;
    bool raw;
} stage;

/* Pixels whose sums are in L1, and the kr groups to multiply before finishing each. */
typedef struct {
    const int32_t *acc, *residual, *bytes, *words;
    int pixels;
    ptrdiff_t share;
} stored_pixels;

/* finish_requantize of numbers that are known to be no NaN; -0 becomes 0 when the residual is added. */
INLINE void requantize(__m512 *y, const int N, const pqc_pixels *between)
{
    __m512 mul = _mm512_set1_ps(between->mul), div = _mm512_set1_ps(between->div);
    __m512 lo = _mm512_set1_ps(between->lo), hi = _mm512_set1_ps(between->hi);
    __m512 reciprocal = _mm512_set1_ps(1 / between->div);
    PQC_UNROLL(2)
    for (int i = 0; i < N; i++) {
        __m512 code = _mm512_min_ps(_mm512_max_ps(_mm512_mul_ps(y[i], mul), lo), hi);
        code = _mm512_roundscale_ps(code, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        y[i] = divide16(code, div, reciprocal);
    }
}

/* Two vectors of channels, from `first` on, with the residual. */
INLINE void values_of(const stage *s, const int32_t *acc, const char *residual, int first,
                      const int RESIDUAL, const bool RAW, __m512 *y)
{
    PQC_UNROLL(2)
    for (int v = 0; v < 2; v++) {
        int at = first + PQC_LANES * v;
        output16 of = {_mm512_loadu_ps(s->scale + at), _mm512_loadu_ps(s->bias + at)};
        y[v] = finish16(_mm512_load_si512(acc + at), of);
    }
    if (RESIDUAL == PQC_U8_CODES && s->between->content != PQC_NOTHING)
        requantize(y, 2, s->between);
    PQC_UNROLL(2)
    for (int v = 0; v < 2; v++) {
        ptrdiff_t at = (first + PQC_LANES * v) * pqc_content_size((pqc_content)RESIDUAL);
        __m512i code = finish_codes(RESIDUAL, residual + at, 0xffff);
        if (!RAW && s->from.zero)
            code = _mm512_sub_epi32(code, _mm512_set1_epi32(s->from.zero));
        y[v] = _mm512_add_ps(y[v],
                             divide16(_mm512_cvtepi32_ps(code), s->from.div, s->from.reciprocal));
    }
}

/* Of two vectors. */
INLINE void store_words(const stage *s, const __m512 *y, const bool RAW, char *at)
{
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    __m512i codes = RAW ? finish_pack_raw(y, 0, s->words.mul) : finish_pack(y, 0, &s->words);
    codes = _mm512_max_epi16(codes, s->least_word);
    if (!RAW && s->words.most < INT16_MAX)
        codes = _mm512_min_epi16(codes, _mm512_set1_epi16((short)s->words.most));
    _mm512_storeu_si512(at, _mm512_permutexvar_epi64(order, codes));
}

/* A pixel's codes; WORDS: words beside bytes. */
INLINE void finish(const stage *s, const stored_pixels *p, int i, const int RESIDUAL,
                   const bool WORDS, const bool RAW)
{
    const int32_t *acc = p->acc + PQC_NR * i;
    const char *residual = s->from.row.at + p->residual[i];
    __m512i packed[2];
    PQC_UNROLL(2)
    for (int pair = 0; pair < 2; pair++) {
        __m512 y[2];
        values_of(s, acc, residual, 2 * PQC_LANES * pair, RESIDUAL, RAW, y);
        if (WORDS)
            store_words(s, y, RAW, s->words.row.at + p->words[i] + 64 * pair);
        packed[pair] = RAW ? finish_pack_raw(y, 0, s->bytes.mul) : finish_pack(y, 0, &s->bytes);
    }
    __m512i bytes = _mm512_packus_epi16(packed[0], packed[1]);
    char *at = s->bytes.row.at + p->bytes[i];
    finish_store_plain_bytes(RAW ? bytes : finish_within(bytes, &s->bytes), 1, ~0ull, &at);
}

INLINE void finish_pixel(const stage *s, const stored_pixels *p, int i, const int RESIDUAL,
                         const bool WORDS)
{
    if (s->raw)
        finish(s, p, i, RESIDUAL, WORDS, true);
    else
        finish(s, p, i, RESIDUAL, WORDS, false);
}

/* Sums of P pixels into `acc`, and meanwhile the codes of those before. */
INLINE void multiply(const pqc_igemm_params *g, const int32_t *pixel, const int P, const stage *s,
                     const stored_pixels *before, int32_t *acc, const int RESIDUAL,
                     const bool WORDS)
{
    __m512i sums[PQC_NR_VECTORS * MR];
    igemm_walk walk = igemm_begin(g, pixel, P, PQC_NR_VECTORS, 0, sums);
    const int32_t *end = g->offset + g->k;
    for (int i = 0; i < before->pixels; i++) {
        for (const int32_t *stop = walk.offset + before->share; walk.offset < stop;)
            igemm_step(&walk, P, PQC_NR_VECTORS, 4 * PQC_NR, 4 * PQC_LANES, sums);
        finish_pixel(s, before, i, RESIDUAL, WORDS);
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

#define BODY(P, NAME, RESIDUAL, WORDS)                                                             \
    VNNI static void NAME##_##P(const pqc_igemm_params *g, const int32_t *pixel, const stage *s,   \
                                const stored_pixels *before, int32_t *acc)                         \
    {                                                                                              \
        multiply(g, pixel, P, s, before, acc, RESIDUAL, WORDS);                                    \
    }

#define BODIES(NAME, RESIDUAL, WORDS)                                                              \
    BODY(1, NAME, RESIDUAL, WORDS)                                                                 \
    BODY(2, NAME, RESIDUAL, WORDS)                                                                 \
    BODY(3, NAME, RESIDUAL, WORDS)                                                                 \
    BODY(4, NAME, RESIDUAL, WORDS)                                                                 \
    BODY(5, NAME, RESIDUAL, WORDS)                                                                 \
    BODY(6, NAME, RESIDUAL, WORDS)                                                                 \
    VNNI static void NAME##_last(const stage *s, const stored_pixels *last)                        \
    {                                                                                              \
        for (int i = 0; i < last->pixels; i++)                                                     \
            finish_pixel(s, last, i, RESIDUAL, WORDS);                                             \
    }                                                                                              \
    static const bodies NAME = {{NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6},      \
                                NAME##_last};

BODIES(words_to_bytes, PQC_S16_CODES, false)
BODIES(words_to_both, PQC_S16_CODES, true)
BODIES(bytes_to_bytes, PQC_U8_CODES, false)

/* Or NULL. */
static const bodies *bodies_of(const pqc_igemm_params *g, int channels, const pqc_output *f)
{
    bool one = f->outputs == 1 && f->output[0].content == PQC_U8_CODES;
    if (g->vectors != PQC_NR_VECTORS || channels != PQC_NR || f->hard_swish || f->affine.there)
        return NULL;
    if (f->residual.content == PQC_U8_CODES)
        return one ? &bytes_to_bytes : NULL;
    if (f->between.content != PQC_NOTHING)
        return NULL;
    return one ? &words_to_bytes : f->outputs == 2 ? &words_to_both : NULL;
}

VNNI static stage stage_of(const pqc_output *f)
{
    finish_pixels first = {.acc = NULL};
    stage s = {.scale = f->scale,
               .bias = f->bias,
               .between = &f->between,
               .from = finish_source_of(&first, f),
               .bytes = finish_target_of(&first, f, PQC_U8_CODES),
               .words = finish_target_of(&first, f, PQC_S16_CODES)};
    bool raw_words = f->outputs == 1 || (s.words.zero == 0 && s.words.most >= INT16_MAX);
    s.least_word = _mm512_set1_epi16((short)s.words.least);
    s.raw = s.from.zero == 0 && finish_is_raw(&s.bytes) && raw_words;
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
