/* Products of s8 rows with 4-bit weights that have a scale per group, to float32, with AMX tiles; see gemm_s8u4.h. */
#include "gemm_s8u4.h"

#if PQC_AMX_COMPILES
#include "gemm_s8u4_avx512.h"

#define AMX PQC_TARGET_AMX
#define INLINE AMX PQC_INLINE

/* Tile registers 0 to 3 are sums.  Macros, because GCC pastes them into the registers' names. */
#define A_TILE 4
#define B_TILE 5

enum {
    SIDE = 16,                    /* rows of x and channels in a tile of sums */
    TILES = PQC_U4_AMX_MR / SIDE, /* tiles of rows in a block */
    CHUNK = 512,                  /* weights along K that are unpacked at a time */
    /* groups of one tile of rows that are computed in turn, since each product waits for the one before */
    AT_ONCE = 4,
    REGISTERS = 6,
};

typedef struct {
    /* zero points subtracted; as tiles of K by channels */
    _Alignas(64) int8_t weights[CHUNK * PQC_U4_NR];
    /* of the current groups and of the previous ones */
    _Alignas(64) int32_t sums[2][AT_ONCE][SIDE * SIDE];
    _Alignas(64) float acc[PQC_U4_AMX_MR][PQC_U4_NR];
} scratch;

/* The tile configuration, as LDTILECFG reads it. */
typedef struct {
    uint8_t palette, first_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

AMX static void begin(ptrdiff_t k)
{
    tile_shapes s = {.palette = 1};
    for (int i = 0; i < REGISTERS; i++) {
        s.row_bytes[i] = 64;
        s.rows[i] = SIDE;
    }
    s.row_bytes[A_TILE] = (uint16_t)k;
    s.rows[B_TILE] = (uint8_t)(k / 4);
    PQC_WRITTEN_WHOLE(&s); /* GCC's intrinsic says that it reads 8 bytes */
    _tile_loadconfig(&s);
}

/* Unpacks 8 * steps weights per channel along K. */
INLINE void unpack(const uint8_t *w, ptrdiff_t steps, __m512i zeros, int8_t *to)
{
    const __m512i half = _mm512_set1_epi8(15);
    for (ptrdiff_t i = 0; i < steps; i++, w += 64, to += 128) {
        __m512i both = _mm512_loadu_si512(w);
        __m512i low = _mm512_and_si512(both, half);
        __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), half);
        _mm512_storeu_si512(to, _mm512_sub_epi8(low, zeros));
        _mm512_storeu_si512(to + 64, _mm512_sub_epi8(high, zeros));
    }
}

/* The zero points of a group, four copies of each channel's. */
INLINE __m512i zeros_of(const pqc_gemm_s8u4_params *p, ptrdiff_t at)
{
    if (!p->zeros)
        return _mm512_set1_epi8((char)p->zero);
    __m512i each =
        _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p->zeros + at)));
    return _mm512_mullo_epi32(each, _mm512_set1_epi32(0x01010101));
}

INLINE __m512i from_x_zero(const pqc_gemm_s8u4_params *p, ptrdiff_t at)
{
    if (!p->weight_sums)
        return _mm512_setzero_si512();
    return _mm512_mullo_epi32(_mm512_set1_epi32(p->x_zero),
                              _mm512_loadu_si512(p->weight_sums + at));
}

/* SUMS += a tile of rows times weights, over `tiles` tiles of K. */
#define MULTIPLY(SUMS, x, w, k, tiles)                                                             \
    for (ptrdiff_t t_ = 0; t_ < (tiles); t_++) {                                                   \
        _tile_loadd(A_TILE, (x) + t_ * SIDE * (k), k);                                             \
        _tile_loadd(B_TILE, (w) + t_ * SIDE * (k), 64);                                            \
        _tile_dpbssd(SUMS, A_TILE, B_TILE);                                                        \
    }

#define GROUP(SUMS)                                                                                \
    do {                                                                                           \
        if (count > (SUMS)) {                                                                      \
            _tile_zero(SUMS);                                                                      \
            MULTIPLY(SUMS, x + (SUMS)*SIDE * length, w + (SUMS)*SIDE * length, k, length / k)      \
            _tile_stored(SUMS, sums[SUMS], 64);                                                    \
        }                                                                                          \
    } while (0)

/* The sums of up to AT_ONCE groups of a tile of rows. */
INLINE void groups_of(const int8_t *x, const int8_t *w, ptrdiff_t length, ptrdiff_t k,
                      ptrdiff_t count, int32_t (*sums)[SIDE * SIDE])
{
    GROUP(0);
    GROUP(1);
    GROUP(2);
    GROUP(3);
}

/* Accumulates one tile of rows over some groups whose weights are unpacked. */
INLINE void rows_by_groups(const pqc_gemm_s8u4_params *p, ptrdiff_t panel, ptrdiff_t tile,
                           ptrdiff_t first, ptrdiff_t end, ptrdiff_t k, scratch *s)
{
    const ptrdiff_t length = p->length, bytes = pqc_u4_group_bytes(length);
    const int8_t *x = p->x + SIDE * length * (tile * p->groups + first), *w = s->weights;
    const uint8_t *scales = p->w + panel * p->groups * bytes + first * bytes + 8 * length;
    float(*to)[PQC_U4_NR] = s->acc + tile * SIDE;
    __m512 acc[SIDE];
    PQC_UNROLL(16)
    for (int r = 0; r < SIDE; r++)
        acc[r] = first == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(to[r]);
    groups_of(x, w, length, k, pqc_min(end - first, AT_ONCE), s->sums[0]);
    for (ptrdiff_t g = first, turn = 0; g < end; g += AT_ONCE, turn ^= 1) {
        ptrdiff_t count = pqc_min(end - g, AT_ONCE), next = pqc_min(end - g - count, AT_ONCE);
        x += SIDE * length * count;
        w += SIDE * length * count;
        groups_of(x, w, length, k, next, s->sums[turn ^ 1]);
        for (ptrdiff_t i = 0; i < count; i++, scales += bytes) {
            __m512 scale = _mm512_loadu_ps(scales);
            __m512i more = from_x_zero(p, (panel * p->groups + g + i) * PQC_U4_NR);
            PQC_UNROLL(16)
            for (int r = 0; r < SIDE; r++) {
                __m512i sum = _mm512_loadu_si512(s->sums[turn][i] + SIDE * r);
                if (p->weight_sums)
                    sum = _mm512_add_epi32(sum, more);
                acc[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, acc[r]);
            }
        }
    }
    PQC_UNROLL(16)
    for (int r = 0; r < SIDE; r++)
        _mm512_storeu_ps(to[r], acc[r]);
}

/* Groups so short that several fit into a chunk. */
AMX static void short_groups(const pqc_gemm_s8u4_params *p, ptrdiff_t panel, scratch *s)
{
    const ptrdiff_t length = p->length, at_once = CHUNK / length, k = pqc_u4_amx_k(length);
    const uint8_t *w = p->w + panel * pqc_u4_panel_bytes(p->groups, length);
    for (ptrdiff_t first = 0, end; first < p->groups; first = end) {
        end = pqc_min(first + at_once, p->groups);
        for (ptrdiff_t g = first; g < end; g++, w += pqc_u4_group_bytes(length))
            unpack(w, length / PQC_U4_KR, zeros_of(p, (panel * p->groups + g) * PQC_U4_NR),
                   s->weights + (g - first) * SIDE * length);
        for (ptrdiff_t tile = 0; tile * SIDE < p->rows; tile++)
            rows_by_groups(p, panel, tile, first, end, k, s);
    }
}

#define TILE_OF_ROWS(SUMS)                                                                         \
    do {                                                                                           \
        if (SIDE * (SUMS) < p->rows)                                                               \
            MULTIPLY(SUMS, x + (SUMS)*of_tile, s->weights, k, tiles)                               \
    } while (0)

/* The sums of one long group for all rows, a chunk at a time. */
INLINE void long_group(const pqc_gemm_s8u4_params *p, ptrdiff_t panel, ptrdiff_t g, scratch *s)
{
    const ptrdiff_t length = p->length, k = pqc_u4_amx_k(length),
                    of_tile = SIDE * length * p->groups;
    const uint8_t *w =
        p->w + panel * pqc_u4_panel_bytes(p->groups, length) + g * pqc_u4_group_bytes(length);
    const int8_t *x = p->x + SIDE * length * g;
    __m512i zeros = zeros_of(p, (panel * p->groups + g) * PQC_U4_NR);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (ptrdiff_t at = 0; at < length; at += CHUNK, w += 8 * CHUNK, x += SIDE * CHUNK) {
        ptrdiff_t n = pqc_min(length - at, CHUNK), tiles = n / k;
        unpack(w, n / PQC_U4_KR, zeros, s->weights);
        TILE_OF_ROWS(0);
        TILE_OF_ROWS(1);
        TILE_OF_ROWS(2);
        TILE_OF_ROWS(3);
    }
    _tile_stored(0, s->sums[0][0], 64);
    _tile_stored(1, s->sums[0][1], 64);
    _tile_stored(2, s->sums[0][2], 64);
    _tile_stored(3, s->sums[0][3], 64);
}

AMX static void long_groups(const pqc_gemm_s8u4_params *p, ptrdiff_t panel, scratch *s)
{
    const uint8_t *scales = p->w + panel * pqc_u4_panel_bytes(p->groups, p->length) + 8 * p->length;
    for (ptrdiff_t g = 0; g < p->groups; g++, scales += pqc_u4_group_bytes(p->length)) {
        __m512i more = from_x_zero(p, (panel * p->groups + g) * PQC_U4_NR);
        __m512 scale = _mm512_loadu_ps(scales);
        long_group(p, panel, g, s);
        for (int r = 0; r < p->rows; r++) {
            int32_t *sums = s->sums[0][r / SIDE] + r % SIDE * SIDE;
            __m512i sum = _mm512_add_epi32(_mm512_loadu_si512(sums), more);
            __m512 acc = g == 0 ? _mm512_setzero_ps() : _mm512_loadu_ps(s->acc[r]);
            _mm512_storeu_si512(sums, sum);
            _mm512_storeu_ps(s->acc[r], _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, acc));
        }
    }
}

AMX void pqc_gemm_s8u4_amx(const pqc_gemm_s8u4_params *p)
{
    scratch s;
    begin(pqc_u4_amx_k(p->length));
    for (ptrdiff_t channel = 0; channel < p->channels; channel += PQC_U4_NR) {
        if (p->groups == 1 || p->length > CHUNK)
            long_groups(p, channel / PQC_U4_NR, &s);
        else
            short_groups(p, channel / PQC_U4_NR, &s);
        for (int r = 0; r < p->rows; r++)
            u4_store16(p, channel, r, _mm512_loadu_si512(s.sums[0][r / SIDE] + r % SIDE * SIDE),
                       _mm512_loadu_ps(s.acc[r]));
    }
    _tile_release();
}

#endif
