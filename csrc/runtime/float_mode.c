#include "float_mode.h"

#if PQC_X86

#include <xmmintrin.h>

enum { DEFAULT = 0x1f80, RAISED_FLAGS = 0x3f };

static bool is_default(pqc_float_mode mode)
{
    return (mode & ~(pqc_float_mode)RAISED_FLAGS) == DEFAULT;
}

pqc_float_mode pqc_set_default_float_mode(void)
{
    pqc_float_mode before = _mm_getcsr();
    if (!is_default(before))
        _mm_setcsr(DEFAULT);
    return before;
}

void pqc_restore_float_mode(pqc_float_mode before)
{
    if (!is_default(before))
        _mm_setcsr((unsigned)before);
}

#elif PQC_ARM

pqc_float_mode pqc_set_default_float_mode(void)
{
    pqc_float_mode before = PQC_READ_FPCR();
    if (before != 0)
        PQC_WRITE_FPCR(0);
    return before;
}

void pqc_restore_float_mode(pqc_float_mode before)
{
    if (before != 0)
        PQC_WRITE_FPCR(before);
}

#else

pqc_float_mode pqc_set_default_float_mode(void)
{
    return 0;
}

void pqc_restore_float_mode(pqc_float_mode before)
{
    (void)before;
}

#endif
