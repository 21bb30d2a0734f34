/* The most operations a second that an instruction for products of small integers gives on one core, from registers alone:
 * `rounds` rounds of 12 accumulators.  product_peak.py compiles this file and counts. */
#include <immintrin.h>

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
