/* The most operations a second that the dot product instruction gives on one core, from registers alone.  bench_layers.py
 * compiles it with the machine's compiler. */
#include <immintrin.h>

__attribute__((target("avx512f,avx512vnni"))) long pqc_peak(long rounds)
{
    __m512i sums[20], x = _mm512_set1_epi8(1), w = _mm512_set1_epi8(1);
#pragma GCC unroll 20
    for (int i = 0; i < 20; i++)
        sums[i] = _mm512_set1_epi32(i);
    for (long r = 0; r < rounds; r++) {
#pragma GCC unroll 20
        for (int i = 0; i < 20; i++)
            sums[i] = _mm512_dpbusd_epi32(sums[i], x, w);
        __asm__ volatile("" : "+v"(x), "+v"(w));
    }
    long total = 0;
#pragma GCC unroll 20
    for (int i = 0; i < 20; i++)
        total += _mm512_reduce_add_epi32(sums[i]);
    return total;
}
