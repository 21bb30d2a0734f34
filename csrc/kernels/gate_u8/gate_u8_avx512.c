/* int32 sums through GELU or SiLU to bytes, with AVX-512; see gate_u8.h. */
#include "gate_u8.h"

#if PQC_X86
#include "elementary/elementary_avx512.h"
#include "requantize/requantize_avx512.h"

/* With a = |x| both functions are max(x, 0) - h(a), h(a) = a (1 - gate(a)): a bump that is 0 from `top` on.  h is one
 * of sixteen polynomials.  For GELU its number is the integer nearest to steps * a.  For SiLU, whose bump is wider,
 * it is made of the exponent and two mantissa bits of 1 + steps * a, so that intervals are short where a is small.
 * The result is off by at most `error` (checked for all floats against chain_f32), so the code is certain if y * mul
 * is further than that from the midpoint between two codes.  The few others are computed in full. */
enum { DEGREE = 4, INTERVALS = 16, FRACTION = 16 };

typedef struct {
    float top, steps, error;
    float h[DEGREE + 1][INTERVALS];
} gate;

static const gate gelu = {
    5.4f,
    0x1.6f2b9ep1f,
    1e-6f,
    {{0x1.d303fap-38f, -0x1.e57152p-15f, -0x1.c48a08p-9f, -0x1.787278p-6f, -0x1.85df1cp-5f,
      0x1.b95344p-9f, 0x1.af8b36p-3f, 0x1.0b1ef6p-1f, 0x1.84d29p-1f, 0x1.93dad2p-1f, 0x1.41ec8cp-1f,
      0x1.993e7ep-2f, 0x1.a8bae8p-3f, 0x1.6da4f2p-4f, 0x1.081b1cp-5f, 0x1.44b534p-7f},
     {0x1.00000ep-1f, 0x1.007962p-1f, 0x1.0cdc78p-1f, 0x1.3a5496p-1f, 0x1.6523dp-1f, 0x1.252d28p-1f,
      0x1.243712p-3f, -0x1.a1c8cep-2f, -0x1.8d14a4p-1f, -0x1.a2f4aep-1f, -0x1.408bd2p-1f,
      -0x1.805e2ap-2f, -0x1.7659cp-3f, -0x1.2e48c4p-4f, -0x1.9a2dbap-6f, -0x1.dadfaep-8f},
     {-0x1.988924p-2f, -0x1.9e398cp-2f, -0x1.e18fd4p-2f, -0x1.3ef646p-1f, -0x1.75a8dcp-1f,
      -0x1.3acfb8p-1f, -0x1.1ec1c2p-2f, 0x1.607196p-4f, 0x1.328a88p-2f, 0x1.4a5068p-2f,
      0x1.e33bdep-3f, 0x1.10702ep-3f, 0x1.f10194p-5f, 0x1.77f3f4p-6f, 0x1.dec762p-8f,
      0x1.04d482p-9f},
     {0x1.0f4ee6p-12f, 0x1.f74c0cp-7f, 0x1.8ab42p-4f, 0x1.b648e2p-3f, 0x1.19715cp-2f,
      0x1.d28e4ap-3f, 0x1.c99ec6p-4f, 0x1.c1bbb2p-9f, -0x1.a6fb98p-5f, -0x1.d4bddcp-5f,
      -0x1.468c2p-5f, -0x1.593f9ep-6f, -0x1.2666aep-7f, -0x1.a0bf1p-9f, -0x1.f1b89cp-11f,
      -0x1.fe1c62p-13f},
     {0x1.0b2e7ep-4f, 0x1.92bbdcp-5f, 0x1.665b9p-7f, -0x1.7e36cep-6f, -0x1.29d4b8p-5f,
      -0x1.dd4c3ap-6f, -0x1.cb372p-7f, -0x1.046dc2p-9f, 0x1.b6ce6ep-9f, 0x1.f8a62ep-9f,
      0x1.4d97ap-9f, 0x1.49d868p-10f, 0x1.0682eap-11f, 0x1.5b5718p-13f, 0x1.84c27cp-15f,
      0x1.769ce4p-17f}}};

static const gate silu = {
    18.0f,
    0x1.aaa362p-1f,
    2e-6f,
    {{-0x1.6d0012p-6f, -0x1.5dca9p-6f, 0x1.648608p-4f, 0x1.33f786p-2f, 0x1.3c6232p-1f,
      0x1.991a62p-1f, 0x1.64ed62p-1f, 0x1.f9a534p-2f, 0x1.edfd2p-3f, 0x1.1498d8p-4f, 0x1.f6674p-7f,
      0x1.8b982p-9f, -0x1.716a88p-27f, -0x1.10f072p-14f, -0x1.35bd3p-10f, -0x1.983288p-8f},
     {0x1.29a32cp-1f, 0x1.2ac8bcp-1f, 0x1.9f39a2p-2f, 0x1.ebf42p-4f, -0x1.cda3bp-3f, -0x1.8970dp-2f,
      -0x1.458f44p-2f, -0x1.a313aep-3f, -0x1.615336p-4f, -0x1.49bbeep-6f, -0x1.ff0632p-9f,
      -0x1.5e4204p-11f, 0x1.00002ep-1f, 0x1.00613cp-1f, 0x1.0408dcp-1f, 0x1.0f6342p-1f},
     {-0x1.79eb42p-2f, -0x1.7f9314p-2f, -0x1.0eeba4p-2f, -0x1.f116fap-4f, 0x1.4a5e1p-6f,
      0x1.28d9cap-4f, 0x1.cd18acp-5f, 0x1.0ade1cp-5f, 0x1.807c82p-7f, 0x1.294bf6p-9f,
      0x1.87ffe4p-12f, 0x1.d2fc0ap-15f, -0x1.0008b6p-2f, -0x1.0356fep-2f, -0x1.150ea4p-2f,
      -0x1.3aacfap-2f},
     {0x1.60774p-4f, 0x1.6e8904p-4f, 0x1.e4e266p-5f, 0x1.bd6374p-6f, 0x1.61c0f2p-10f,
      -0x1.9e2288p-8f, -0x1.2ae22ep-8f, -0x1.345502p-9f, -0x1.7855dp-11f, -0x1.dff5eap-14f,
      -0x1.0c9212p-16f, -0x1.15aa94p-19f, 0x1.1d87c8p-12f, 0x1.b896dcp-8f, 0x1.a32c6p-6f,
      0x1.b072b4p-5f},
     {-0x1.d35d94p-8f, -0x1.ffad38p-8f, -0x1.3206c2p-8f, -0x1.03c328p-9f, -0x1.b4f938p-13f,
      0x1.c04822p-13f, 0x1.29dd9cp-13f, 0x1.0fcbf6p-14f, 0x1.170234p-16f, 0x1.245abep-19f,
      0x1.1529bap-22f, 0x1.f0cd0ap-26f, 0x1.48adb2p-6f, 0x1.ec96a2p-7f, 0x1.d98548p-8f,
      -0x1.86da44p-12f}}};

/* h holds mul * h - zero - 1/2 - error in units of 2^-FRACTION, so that the code stands above the fraction bits.  A
 * code is uncertain if its fraction is below `doubt`, which is stored in the low half of each dword. */
typedef struct {
    __m512 top, steps, scale, h[DEGREE + 1];
    __m512i doubt, least, most;
    const pqc_pixels *to;
    pqc_chain_kind kind;
    bool is_narrow; /* `least` is not 0, or `most` not 255 */
} gate16;

AVX512 static inline gate16 gate16_of(pqc_chain_kind kind, const pqc_pixels *to)
{
    enum {
        /* what rounding adds to the error: three roundings of numbers up to 2^24, and that of y * mul */
        ROUNDED = 10
    };
    const gate *g = kind == PQC_CHAIN_SILU ? &silu : &gelu;
    float scale = to->mul * (1 << FRACTION), error = ceilf(scale * g->error) + ROUNDED;
    gate16 all = {.top = _mm512_set1_ps(g->top),
                  .steps = _mm512_set1_ps(g->steps),
                  .scale = _mm512_set1_ps(scale),
                  .doubt = _mm512_set1_epi32(2 * (int32_t)error),
                  .least = _mm512_set1_epi8((char)((int32_t)to->lo + to->zero)),
                  .most = _mm512_set1_epi8((char)((int32_t)to->hi + to->zero)),
                  .to = to,
                  .kind = kind,
                  .is_narrow = to->lo + (float)to->zero > 0 || to->hi + (float)to->zero < 255};
    for (int k = 0; k <= DEGREE; k++)
        all.h[k] = _mm512_mul_ps(_mm512_loadu_ps(g->h[k]), all.scale);
    float offset = ((float)to->zero + 0.5f) * (1 << FRACTION) + error;
    all.h[0] = _mm512_sub_ps(all.h[0], _mm512_set1_ps(offset));
    return all;
}

/* Numbers beyond 32 bits become INT32_MIN, whose fraction is uncertain. */
AVX512 PQC_INLINE __m512i approximate16(const gate16 *g, const bool SILU, __m512 x)
{
    enum { LEAST_MAGNITUDE = 0xa };
    __m512 a = _mm512_range_ps(x, g->top, LEAST_MAGNITUDE);
    __m512 z = _mm512_fmadd_ps(a, g->steps, _mm512_set1_ps(SILU ? 1.0f : 0x1p23f));
    __m512i i = _mm512_castps_si512(z); /* only the low 4 bits are used */
    if (SILU)
        i = _mm512_srli_epi32(i, 21);
    __m512 h = _mm512_permutexvar_ps(i, g->h[DEGREE]);
    PQC_UNROLL(4)
    for (int k = DEGREE - 1; k >= 0; k--)
        h = _mm512_fmadd_ps(h, a, _mm512_permutexvar_ps(i, g->h[k]));
    __m512 positive = _mm512_max_ps(x, _mm512_setzero_ps());
    return _mm512_cvtps_epi32(_mm512_fmsub_ps(positive, g->scale, h));
}

/* Computes uncertain codes in full. */
AVX512 PQC_NOINLINE __m512i settle16(const gate16 *g, __m512 x)
{
    const pqc_pixels *to = g->to;
    __m512 y = g->kind == PQC_CHAIN_SILU ? _mm512_mul_ps(x, sigmoid16(x)) : gelu16(x);
    y = _mm512_max_ps(_mm512_mul_ps(y, _mm512_set1_ps(to->mul)), _mm512_set1_ps(to->lo));
    __m512i code = _mm512_cvtps_epi32(_mm512_min_ps(y, _mm512_set1_ps(to->hi)));
    return _mm512_slli_epi32(_mm512_add_epi32(code, _mm512_set1_epi32(to->zero)), FRACTION);
}

AVX512 PQC_INLINE __mmask32 in_doubt(const gate16 *g, __m512i codes)
{
    return _mm512_cmplt_epu16_mask(codes, g->doubt);
}

/* Bytes of four vectors of x, in order. */
AVX512 PQC_INLINE __m512i codes64(const gate16 *g, const bool SILU, const __m512 *x)
{
    const __m512i halves = _mm512_setr_epi32(
        0x30001, 0x70005, 0xb0009, 0xf000d, 0x130011, 0x170015, 0x1b0019, 0x1f001d, 0x230021,
        0x270025, 0x2b0029, 0x2f002d, 0x330031, 0x370035, 0x3b0039, 0x3f003d); /* the high words */
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    __m512i c[4];
    PQC_UNROLL(4)
    for (int v = 0; v < 4; v++)
        c[v] = approximate16(g, SILU, x[v]);
    __m512i least = _mm512_min_epu16(_mm512_min_epu16(c[0], c[1]), _mm512_min_epu16(c[2], c[3]));
    if (in_doubt(g, least))
        for (int v = 0; v < 4; v++)
            if (in_doubt(g, c[v]))
                c[v] = settle16(g, x[v]);
    __m512i bytes = _mm512_packus_epi16(_mm512_permutex2var_epi16(c[0], halves, c[1]),
                                        _mm512_permutex2var_epi16(c[2], halves, c[3]));
    if (g->is_narrow)
        bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, g->least), g->most);
    return _mm512_permutexvar_epi64(order, bytes);
}

/* P pixels of V vectors at a time, P * V being 3 or 4; the last step overlaps the one before. */
AVX512 PQC_INLINE void run_pixels(const gate16 *g, const bool SILU, const int32_t *acc,
                                  ptrdiff_t ld, int pixels, int channels, const pqc_output *f,
                                  const int P, const int V)
{
    output16 of[4];
    __mmask16 last = tail16(channels - 16 * (V - 1));
    __mmask64 lanes = ~(__mmask64)0 >> (64 - channels);
    PQC_UNROLL(4)
    for (int v = 0; v < V; v++)
        of[v] = output16_load(f->scale + 16 * v, f->bias + 16 * v, v == V - 1 ? last : 0xffff);
    for (int first = 0; first < pixels; first += P) {
        __m512 x[4];
        x[3] = _mm512_setzero_ps(); /* there are three vectors */
        PQC_UNROLL(4)
        for (int p = 0; p < P; p++) {
            const int32_t *sums = acc + ld * pqc_min(first + p, pixels - 1);
            PQC_UNROLL(4)
            for (int v = 0; v < V; v++)
                x[p * V + v] = finish16(_mm512_loadu_si512(sums + 16 * v), of[v]);
        }
        __m512i bytes = codes64(g, SILU, x);
        char *to = (char *)g->to->at + first * g->to->pixel;
        if (P == 1) {
            _mm512_mask_storeu_epi8(to, lanes, bytes);
        } else if (P == 2) {
            _mm256_mask_storeu_epi8(to, (__mmask32)lanes, _mm512_castsi512_si256(bytes));
            if (first + 1 < pixels)
                _mm256_mask_storeu_epi8(to + g->to->pixel, (__mmask32)lanes,
                                        _mm512_extracti64x4_epi64(bytes, 1));
        } else {
            uint8_t room[64];
            _mm512_storeu_si512(room, bytes);
            for (int p = 0; p < 4 && first + p < pixels; p++)
                _mm_mask_storeu_epi8(to + p * g->to->pixel, (__mmask16)lanes,
                                     _mm_loadu_si128((const void *)(room + 16 * p)));
        }
    }
}

AVX512 PQC_INLINE void run_panel(const gate16 *g, const bool SILU, const int32_t *acc, ptrdiff_t ld,
                                 int pixels, int channels, const pqc_output *f)
{
    if (channels > 48)
        run_pixels(g, SILU, acc, ld, pixels, channels, f, 1, 4);
    else if (channels > 32)
        run_pixels(g, SILU, acc, ld, pixels, channels, f, 1, 3);
    else if (channels > 16)
        run_pixels(g, SILU, acc, ld, pixels, channels, f, 2, 2);
    else
        run_pixels(g, SILU, acc, ld, pixels, channels, f, 4, 1);
}

PQC_TARGET_AVX512 void pqc_gate_u8_avx512(pqc_chain_kind kind, const int32_t *acc, ptrdiff_t ld,
                                          int pixels, int channels, const pqc_output *f)
{
    const pqc_output whole = *f;
    for (int c = 0; c < channels; c += 64) {
        pqc_output part = pqc_output_from(&whole, c);
        gate16 g = gate16_of(kind, &part.output[0]);
        int width = channels - c < 64 ? channels - c : 64;
        if (kind == PQC_CHAIN_SILU)
            run_panel(&g, true, acc + c, ld, pixels, width, &part);
        else
            run_panel(&g, false, acc + c, ld, pixels, width, &part);
    }
}

#endif
