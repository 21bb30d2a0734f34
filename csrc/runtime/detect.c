/* Which ISAs this CPU and its operating system run. */
#define _DEFAULT_SOURCE /* syscall */
#include "dispatch.h"

#if PQC_X86

#if defined(_MSC_VER)
#include <intrin.h>

static bool has(int leaf, int reg, int bit)
{
    int regs[4];
    __cpuid(regs, 0);
    if (regs[0] < leaf)
        return false;
    __cpuidex(regs, leaf, 0);
    return (regs[reg] >> bit) & 1;
}

static unsigned detect_vectors(void)
{
    enum { EBX = 1, ECX = 2 };
    bool os_saves_ymm = has(1, ECX, 27) && (_xgetbv(0) & 6) == 6;
    bool avx2 = has(7, EBX, 5) && has(1, ECX, 12) && has(1, ECX, 29); /* AVX2, FMA, F16C */
    return os_saves_ymm && avx2 ? PQC_BIT(PQC_AVX2) : 0;
}

#else
#include <cpuid.h>

static bool has_avxvnni(void)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 4 & 1);
}

#if PQC_AMX_COMPILES
#include <sys/syscall.h>
#include <unistd.h>

enum { ARCH_GET_XCOMP_SUPP = 0x1021, ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };

static atomic_bool tiles_refused;

static bool has_amx(void)
{
    enum { TILES_OF_BYTES = 3 << 24 };
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    uint64_t supported = 0;
    return !atomic_load(&tiles_refused) && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) &&
           (edx & TILES_OF_BYTES) == TILES_OF_BYTES &&
           syscall(SYS_arch_prctl, ARCH_GET_XCOMP_SUPP, &supported) == 0 &&
           (supported >> XTILEDATA & 1);
}

bool pqc_request_tiles(void)
{
    bool granted = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
    atomic_store(&tiles_refused, !granted);
    return granted;
}
#else
static bool has_amx(void)
{
    return false;
}
#endif

static bool has_f16c(void)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx >> 29 & 1);
}

/* __builtin_cpu_supports asks the operating system (XGETBV) as well. */
static unsigned detect_vectors(void)
{
    unsigned found = 0;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c())
        return 0;
    found |= PQC_BIT(PQC_AVX2);
    if (has_avxvnni())
        found |= PQC_BIT(PQC_AVXVNNI);
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return found;
    found |= PQC_BIT(PQC_AVX512);
    if (!__builtin_cpu_supports("avx512vnni"))
        return found;
    found |= PQC_BIT(PQC_VNNI);
    return has_amx() ? found | PQC_BIT(PQC_AMX) : found;
}
#endif

#elif PQC_ARM

#if defined(__linux__)
#include <sys/auxv.h>

static unsigned detect_vectors(void)
{
    enum { ASIMDDP = 1 << 20 }; /* HWCAP_ASIMDDP of <asm/hwcap.h> */
    return PQC_BIT(PQC_NEON) | (getauxval(AT_HWCAP) & ASIMDDP ? PQC_BIT(PQC_DOTPROD) : 0);
}
#elif defined(__APPLE__)

static unsigned detect_vectors(void)
{
    return PQC_BIT(PQC_NEON) | PQC_BIT(PQC_DOTPROD); /* every Apple chip with this ABI */
}
#else

static unsigned detect_vectors(void)
{
    return PQC_BIT(PQC_NEON);
}
#endif

#else

static unsigned detect_vectors(void)
{
    return 0;
}
#endif

unsigned pqc_detect(void)
{
    return PQC_BIT(PQC_SCALAR) | detect_vectors();
}

bool pqc_last_cache_is_far(void)
{
#if PQC_X86 && !defined(_MSC_VER)
    __builtin_cpu_init();
    return __builtin_cpu_is("intel") != 0;
#else
    return false;
#endif
}
