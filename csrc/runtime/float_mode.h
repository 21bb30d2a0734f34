/* The floating-point mode is per thread: MXCSR on x86, FPCR on ARM.  A library that flushes subnormals or rounds
 * differently (torch.set_flush_denormal, fesetround, a thread pool that inherited either) would change our results.
 * Kernels therefore run in the default mode: round to nearest, ties to even, subnormals kept, no traps.  Inline, and
 * the register is written only if it differs, because small calls take a few hundred instructions. */
#ifndef PQC_FLOAT_MODE_H
#define PQC_FLOAT_MODE_H

#include "pqc.h"

typedef uint64_t pqc_float_mode;

#if PQC_X86

#include <xmmintrin.h>

enum { PQC_DEFAULT_FLOAT_MODE = 0x1f80, PQC_MXCSR_FLAGS = 0x3f };

static inline pqc_float_mode pqc_get_float_mode(void)
{
    return _mm_getcsr() & ~(unsigned)PQC_MXCSR_FLAGS;
}

static inline void pqc_write_float_mode(pqc_float_mode mode)
{
    _mm_setcsr((unsigned)mode);
}

#elif PQC_ARM

enum { PQC_DEFAULT_FLOAT_MODE = 0 };

static inline pqc_float_mode pqc_get_float_mode(void)
{
    return PQC_READ_FPCR();
}

static inline void pqc_write_float_mode(pqc_float_mode mode)
{
    PQC_WRITE_FPCR(mode);
}

#else

enum { PQC_DEFAULT_FLOAT_MODE = 0 };

static inline pqc_float_mode pqc_get_float_mode(void)
{
    return 0;
}

static inline void pqc_write_float_mode(pqc_float_mode mode)
{
    (void)mode;
}

#endif

/* Sets the default mode on this thread and returns the one it had. */
static inline pqc_float_mode pqc_set_default_float_mode(void)
{
    pqc_float_mode before = pqc_get_float_mode();
    if (before != PQC_DEFAULT_FLOAT_MODE)
        pqc_write_float_mode(PQC_DEFAULT_FLOAT_MODE);
    return before;
}

/* Restores the mode that pqc_set_default_float_mode returned. */
static inline void pqc_restore_float_mode(pqc_float_mode before)
{
    if (before != PQC_DEFAULT_FLOAT_MODE)
        pqc_write_float_mode(before);
}

#endif
