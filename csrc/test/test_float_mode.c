/* Jobs run in the default floating-point mode whatever mode their caller, or whoever started the workers, is in. */
#include "check.h"
#include "float_mode.h"
#include "parallel.h"
#include "tests.h"

#include <fenv.h>
#include <float.h>
#include <string.h>

#if PQC_X86
#include <xmmintrin.h>
enum { FLUSH_TO_ZERO = 1 << 15, ZERO_SUBNORMALS = 1 << 6 };
#endif

enum { ELEMENTS = 400, JOBS = 20 };

/* Each has other bits in some foreign mode: a quotient and a sum that are rounded, and subnormals read and made. */
static const float numerators[] = {1.0f, -1.0f, FLT_MIN, FLT_MIN / 8};
static const float denominators[] = {3.0f, 3.0f, 3.0f, 1.0f};

static void divide(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    float *quotients = context;
    for (ptrdiff_t i = begin; i < end; i++) {
        volatile float numerator = numerators[i % 4], denominator = denominators[i % 4];
        quotients[i] = numerator / denominator;
    }
}

/* Sets a foreign mode and returns true; false if there is no mode of that number. */
static bool set_foreign_mode(int number)
{
    static const int roundings[] = {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    if (number < 3)
        return fesetround(roundings[number]) == 0;
#if PQC_X86
    static const unsigned flushing[] = {FLUSH_TO_ZERO, ZERO_SUBNORMALS,
                                        FLUSH_TO_ZERO | ZERO_SUBNORMALS};
    if (number < 6)
        _mm_setcsr(_mm_getcsr() | flushing[number - 3]);
    return number < 6;
#elif PQC_ARM
    if (number == 3)
        PQC_WRITE_FPCR(1u << 24);
    return number == 3;
#else
    return false;
#endif
}

static pqc_float_mode current(void)
{
    pqc_float_mode mode = pqc_set_default_float_mode();
    pqc_restore_float_mode(mode);
    return mode & ~(pqc_float_mode)0x3f; /* without the flags that arithmetic raises */
}

static void check_mode(int number, int threads, const float *expected)
{
    float got[ELEMENTS];
    if (!set_foreign_mode(number))
        return;
    pqc_float_mode foreign = current();
    int different = 0;
    for (int i = 0; i < JOBS; i++) {
        pqc_parallel(ELEMENTS, 1, divide, got);
        different += memcmp(got, expected, sizeof got) != 0;
    }
    bool kept = current() == foreign;
    fesetenv(FE_DFL_ENV);
    pqc_write_float_mode(PQC_DEFAULT_FLOAT_MODE); /* not every library resets MXCSR */
    CHECK(different == 0, "mode %d, %d threads: %d jobs", number, threads, different);
    CHECK(kept, "mode %d, %d threads", number, threads);
}

void test_float_mode(void)
{
    float expected[ELEMENTS];
    int before = pqc_get_num_threads();
    divide(expected, 0, ELEMENTS);
    for (int threads = 1; threads <= 8;
         threads++) /* more each time: some are started in the foreign mode */
        for (int number = 0; number < 6; number++) {
            pqc_set_num_threads(threads);
            check_mode(number, threads, expected);
        }
    pqc_set_num_threads(before);
}
