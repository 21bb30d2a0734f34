#include "pqc.h"

#if PQC_X86
#include "avx512.h"
#include "rows_vnni.h"

#include <string.h>

#define VNNI PQC_TARGET_VNNI
#define INLINE VNNI PQC_INLINE

/* A block of the plane's rows is made bytes, then outputs are made ROWS rows at a time: dwords of four neighbouring bytes
 * by four taps.  An input row is read once for all the outputs it belongs to. */
enum { ROWS = 7, ROOM = 16384, SLACK = 128, STEPS = 2 * PQC_DEPTHWISE_KERNEL };

typedef struct {
    __m512i w[STEPS], start, dwords, bytes;
    __m512 scale, bias;
    ptrdiff_t pitch;
} common;

/* A sum begins so that bytes of `zero` add up to nothing. */
INLINE __m512i start_of(const __m512i *w, const int n, int zero)
{
    __m512i sum = _mm512_setzero_si512();
    PQC_UNROLL(16)
    for (int i = 0; i < n; i++)
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8((char)zero), w[i]);
    return _mm512_sub_epi32(_mm512_setzero_si512(), sum);
}

/* How the dwords of 16 pixels come from bytes: to each 128-bit lane the 16 bytes from its first pixel on (or all lanes
 * have the same 16, which is enough for 14 pixels and 3 taps), then within the lanes. */
INLINE common common_of(const pqc_depthwise_plane *p, const int K, const int S, const bool SAME)
{
    const __m512i pixel = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i within = _mm512_and_si512(pixel, _mm512_set1_epi32(3));
    __m512i lane = _mm512_srli_epi32(pixel, 2);
    __m512i places = _mm512_mullo_epi32(SAME ? pixel : within, _mm512_set1_epi32(S * 0x01010101));
    common c = {.dwords = _mm512_add_epi32(S == 1 ? lane : _mm512_add_epi32(lane, lane), within),
                .bytes = _mm512_add_epi32(places, _mm512_set1_epi32(0x03020100)),
                .scale = _mm512_set1_ps(p->scale),
                .bias = _mm512_set1_ps(p->bias),
                .pitch = pqc_depthwise_pitch(pqc_depthwise_columns(p))};
    const int steps = K * ((K + 3) / 4);
    PQC_UNROLL(16)
    for (int i = 0; i < steps; i++) {
        int32_t taps;
        memcpy(&taps, p->taps + i * p->taps_step, sizeof taps);
        c.w[i] = _mm512_set1_epi32(taps);
    }
    c.start = start_of(c.w, steps, p->q.zero);
    return c;
}

INLINE __m512i window_at(const uint8_t *x, const bool SAME, __m512i dwords)
{
    if (SAME)
        return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)x));
    return _mm512_permutexvar_epi32(dwords, _mm512_loadu_si512(x));
}

/* R rows of 16 pixels; K is the kernel's size, S the stride: all constants. */
INLINE void tile(const uint8_t *x, const common *c, const int R, const int K, const int S,
                 const bool SAME, __m512i *sums)
{
    const int steps = (K + 3) / 4;
    PQC_UNROLL(8)
    for (int r = 0; r < R; r++)
        sums[r] = c->start;
    PQC_UNROLL(32)
    for (int i = 0; i < (R - 1) * S + K; i++) {
        __m512i window = window_at(x + i * c->pitch, SAME, c->dwords);
        PQC_UNROLL(2)
        for (int step = 0; step < steps; step++) {
            __m512i places = _mm512_add_epi8(c->bytes, _mm512_set1_epi8((char)(4 * step)));
            __m512i quads = _mm512_shuffle_epi8(window, places);
            PQC_UNROLL(8)
            for (int r = 0; r < R; r++)
                if (i - r * S >= 0 && i - r * S < K)
                    sums[r] = _mm512_dpbusd_epi32(sums[r], quads, c->w[(i - r * S) * steps + step]);
        }
    }
}

/* R rows of outputs.  Where 16 lanes fit they are stored whole: the next pixels' store puts right what is wrong. */
INLINE void rows(const uint8_t *x, const common *c, const int R, const int K, const int S,
                 const bool SAME, ptrdiff_t width, float *y)
{
    const int N = SAME ? 17 - K : 16;
    for (ptrdiff_t j = 0; j < width; j += N, x += N * S, y += N) {
        __m512i sums[ROWS];
        tile(x, c, R, K, S, SAME, sums);
        __mmask16 lanes = tail16(pqc_least(width - j, N));
        PQC_UNROLL(8)
        for (int r = 0; r < R; r++) {
            __m512 v = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), c->scale, c->bias);
            if (width - j >= 16)
                _mm512_storeu_ps(y + r * width, v);
            else
                _mm512_mask_storeu_ps(y + r * width, lanes, v);
        }
    }
}

/* Inline: to GCC a function that only fetches does nothing, and its calls are left out. */
INLINE void fetch(const float *y, ptrdiff_t n)
{
    for (const char *at = (const char *)y, *end = (const char *)(y + n); at < end; at += 64)
        _mm_prefetch(at, _MM_HINT_T0);
}

/* R rows at a time; the last step back so as to be as many.  AHEAD: the inputs of the next rows are made bytes, and the
 * place of their outputs is fetched, before some are multiplied, which takes as long as the way from memory.  Kernels larger
 * than 3 x 3 have enough to do. */
INLINE unsigned block(pqc_depthwise_rows *bytes, const common *c, const int R, const int K,
                      const int S, const bool SAME, const bool AHEAD, ptrdiff_t height, float *y)
{
    const ptrdiff_t width = bytes->plane->out_width;
    unsigned flags = pqc_depthwise_rows_vnni(bytes, AHEAD ? (R - 1) * S + K : bytes->count);
    if (AHEAD)
        fetch(y, R * width);
    for (ptrdiff_t row = 0, next, i = 0; i < height; i += R, row = next) {
        next = pqc_least(i + R, height - R);
        if (AHEAD) {
            ptrdiff_t wanted = (next + R - 1) * S + K;
            if (bytes->done < wanted)
                flags |= pqc_depthwise_rows_vnni(bytes, wanted);
            fetch(y + (row + R) * width, (next - row) * width);
        }
        rows(bytes->y + row * S * c->pitch, c, R, K, S, SAME, width, y + row * width);
    }
    return flags;
}

/* Rows of outputs in a block; division takes long. */
INLINE ptrdiff_t most_rows(ptrdiff_t height, ptrdiff_t pitch, const int K, const int S)
{
    if (((height - 1) * S + K) * pitch <= ROOM)
        return height;
    return ((ROOM / pitch - K) / S + 1) / ROWS * ROWS;
}

INLINE unsigned plane(const pqc_depthwise_plane *p, const int K, const int S, const bool SAME)
{
    _Alignas(64) uint8_t room[ROOM + SLACK];
    const common c = common_of(p, K, S, SAME);
    ptrdiff_t height = p->out_height;
    ptrdiff_t most = most_rows(height, c.pitch, K, S);
    unsigned flags = 0;
    pqc_depthwise_rows bytes;
    for (ptrdiff_t i = 0; i < height; i += most) {
        ptrdiff_t row = i > 0 && height - i < ROWS ? height - ROWS : i;
        ptrdiff_t count = pqc_least(height - row, most);
        pqc_depthwise_rows_init(&bytes, p, row * S, (count - 1) * S + K, room);
        float *y = p->y + row * p->out_width;
        flags |= count < ROWS ? block(&bytes, &c, 1, K, S, SAME, false, count, y)
                 : K == 3 && bytes.count * c.pitch > PQC_DEPTHWISE_WORTH
                     ? block(&bytes, &c, ROWS, K, S, SAME, true, count, y)
                     : block(&bytes, &c, ROWS, K, S, SAME, false, count, y);
    }
    return flags;
}

/* A window of 16 bytes for all lanes makes two pixels less at a sixth of the work less. */
VNNI static unsigned plane3(const pqc_depthwise_plane *p)
{
    ptrdiff_t same = (p->out_width + 13) / 14, own = (p->out_width + 15) / 16;
    return p->stride == 2        ? plane(p, 3, 2, false)
           : 5 * same <= 6 * own ? plane(p, 3, 1, true)
                                 : plane(p, 3, 1, false);
}

VNNI static unsigned plane5(const pqc_depthwise_plane *p)
{
    return p->stride == 1 ? plane(p, 5, 1, false) : plane(p, 5, 2, false);
}

VNNI static unsigned plane7(const pqc_depthwise_plane *p)
{
    return p->stride == 1 ? plane(p, 7, 1, false) : plane(p, 7, 2, false);
}

VNNI unsigned pqc_depthwise_vnni(const pqc_depthwise_plane *p)
{
    return p->kernel == 3 ? plane3(p) : p->kernel == 5 ? plane5(p) : plane7(p);
}

#endif
