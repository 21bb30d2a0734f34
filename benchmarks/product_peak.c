/* The most operations a second that an instruction for products of small integers gives on one core, from registers alone:
 * `rounds` rounds of 12 accumulators.  product_peak.py compiles this file and counts. */
#include <immintrin.h>
#include <stdint.h>

#define ACCUMULATORS _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++)
#define MADE_AND_USED(vector) __asm__ volatile("" : "+v"(vector)) /* for all that the compiler knows */

/* 64 products of 8 bits and 64 additions an instruction. */
__attribute__((target("avx512f,avx512vnni"))) void peak_vnni(long rounds)
{
    __m512i sums[12], x = _mm512_set1_epi8(1), w = _mm512_set1_epi8(1);
    ACCUMULATORS sums[i] = _mm512_set1_epi32(i);
    for (long r = 0; r < rounds; r++) {
        MADE_AND_USED(x);
        ACCUMULATORS sums[i] = _mm512_dpbusd_epi32(sums[i], x, w);
    }
    ACCUMULATORS MADE_AND_USED(sums[i]);
}

/* 32 products of 8 bits and 32 additions an instruction. */
__attribute__((target("avx2,avxvnni"))) void peak_avxvnni(long rounds)
{
    __m256i sums[12], x = _mm256_set1_epi8(1), w = _mm256_set1_epi8(1);
    ACCUMULATORS sums[i] = _mm256_set1_epi32(i);
    for (long r = 0; r < rounds; r++) {
        MADE_AND_USED(x);
        ACCUMULATORS sums[i] = _mm256_dpbusd_avx_epi32(sums[i], x, w);
    }
    ACCUMULATORS MADE_AND_USED(sums[i]);
}

/* What is exact with AVX2: 16 products of 16 bits and 8 additions in one instruction, 8 additions in another. */
__attribute__((target("avx2"))) void peak_avx2(long rounds)
{
    __m256i sums[12], x = _mm256_set1_epi16(1), w = _mm256_set1_epi16(1);
    ACCUMULATORS sums[i] = _mm256_set1_epi32(i);
    for (long r = 0; r < rounds; r++)
        ACCUMULATORS
        {
            MADE_AND_USED(x); /* a product each, not one for all */
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(x, w));
        }
    ACCUMULATORS MADE_AND_USED(sums[i]);
}

#if defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
/* 16384 products of 8 bits and as many additions an instruction, 12 of them by four accumulators.  With constant bytes it is
 * faster than any layer can be: the processor slows down as its power goes up. */
__attribute__((target("amx-tile,amx-int8"))) void peak_amx(long rounds)
{
    struct {
        uint8_t palette, first, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    uint8_t bytes[4096];
    uint32_t random = 1;
    for (int i = 0; i < 8; i++) {
        shapes.row_bytes[i] = 64;
        shapes.rows[i] = 16;
    }
    for (int i = 0; i < 4096; i++) {
        random = random * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(random >> 24);
    }
    __asm__ volatile("" : : "r"(&shapes), "r"(bytes) : "memory");
    _tile_loadconfig(&shapes);
    _tile_loadd(4, bytes, 64);
    _tile_loadd(5, bytes + 1024, 64);
    _tile_loadd(6, bytes + 2048, 64);
    _tile_loadd(7, bytes + 3072, 64);
    for (long r = 0; r < 3 * rounds; r++) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    _tile_release();
}
#endif
