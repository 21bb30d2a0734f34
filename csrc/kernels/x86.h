/* The intrinsics of x86, or SIMDe's stand-ins for them (PQC_EMULATE); only <op>_<isa>.c files include it. */
#ifndef PQC_X86_H
#define PQC_X86_H

#ifdef PQC_EMULATE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#else
#include <immintrin.h>
#endif

#endif
