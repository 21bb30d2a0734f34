/* What every kernel file includes: the platform, the closed list of ISAs, status codes, element
 * types. */
#ifndef PQC_H
#define PQC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) || defined(_M_X64)
#define PQC_X86 1
#else
#define PQC_X86 0
#endif
#if defined(__aarch64__) || defined(_M_ARM64)
#define PQC_ARM 1
#else
#define PQC_ARM 0
#endif

/* AMX: Linux lets a process use tiles on request; compilers know them since GCC 11 and clang 12. */
#if PQC_X86 && defined(__linux__) && defined(__clang__)
#define PQC_AMX_COMPILES (__clang_major__ >= 12)
#elif PQC_X86 && defined(__linux__) && defined(__GNUC__)
#define PQC_AMX_COMPILES (__GNUC__ >= 11)
#else
#define PQC_AMX_COMPILES 0
#endif

/* What is not C11 stands here only.  PQC_INLINE: a function whose vectors have to stay in registers.
 * PQC_NOINLINE: one that is rarely called from a loop.  PQC_KEEP_IN_REGISTERS: of two vectors on
 * x86; _REGISTER: of one, with AVX-512.  PQC_WRITTEN_WHOLE: what p points to is, before something that
 * reads it unseen.  PQC_FETCH_TO_WRITE: into L2.  PQC_FETCH_TO_READ: into L1.  PQC_THREAD_LOCAL: a variable of each thread's
 * own.  MSVC has no targets: it takes every intrinsic. */
#if defined(__GNUC__) || defined(__clang__)
#define PQC_TARGET(features) __attribute__((target(features)))
#define PQC_INLINE static inline __attribute__((always_inline))
#define PQC_NOINLINE static __attribute__((noinline))
#define PQC_KEEP_IN_REGISTERS(a, b) __asm__("" : "+x"(a), "+x"(b))
#define PQC_KEEP_IN_REGISTER(a) __asm__("" : "+v"(a))
#define PQC_WRITTEN_WHOLE(p) __asm__ volatile("" : : "r"(p) : "memory")
#define PQC_FETCH_TO_WRITE(p) __builtin_prefetch(p, 1, 2)
#define PQC_FETCH_TO_READ(p) __builtin_prefetch(p, 0, 3)
#define PQC_THREAD_LOCAL _Thread_local
#else
#define PQC_TARGET(features)
#define PQC_INLINE static __forceinline
#define PQC_NOINLINE static __declspec(noinline)
#define PQC_KEEP_IN_REGISTERS(a, b) ((void)0)
#define PQC_KEEP_IN_REGISTER(a) ((void)0)
#define PQC_WRITTEN_WHOLE(p) ((void)0)
#define PQC_FETCH_TO_WRITE(p) ((void)(p))
#define PQC_FETCH_TO_READ(p) ((void)(p))
#define PQC_THREAD_LOCAL __declspec(thread)
#endif

/* ARM's register of the floating-point mode. */
#if PQC_ARM && (defined(__GNUC__) || defined(__clang__))
static inline uint64_t pqc_read_fpcr(void)
{
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
#define PQC_READ_FPCR() pqc_read_fpcr()
#define PQC_WRITE_FPCR(mode) __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)(mode)) : "memory")
#elif PQC_ARM
#include <intrin.h>
#define PQC_READ_FPCR() ((uint64_t)_ReadStatusReg(ARM64_FPCR))
#define PQC_WRITE_FPCR(mode) _WriteStatusReg(ARM64_FPCR, (__int64)(mode))
#endif

/* Put before a loop of at most n iterations whose count is a constant: unrolls it, so that an array of vectors that
 * it goes over stays in registers.  Clang does not read GCC's pragma. */
#define PQC_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define PQC_UNROLL(n) PQC_PRAGMA(clang loop unroll(full))
#elif defined(__GNUC__)
#define PQC_UNROLL(n) PQC_PRAGMA(GCC unroll n)
#else
#define PQC_UNROLL(n)
#endif

/* ISAs, slowest first, named by instructions.  `avx2` means AVX2+FMA+F16C, `avx512` F+BW+DQ+VL,
 * `avxvnni` and `vnni` add the dot products of 8 bits at 256 and at 512 bits, `amx` to `vnni` the
 * tiles of 8 bits; `neon` is the AArch64 baseline, `dotprod` adds SDOT. */
typedef enum {
    PQC_SCALAR,
    PQC_AVX2,
    PQC_AVXVNNI,
    PQC_AVX512,
    PQC_VNNI,
    PQC_AMX,
    PQC_NEON,
    PQC_DOTPROD,
    PQC_ISAS
} pqc_isa;

#define PQC_BIT(isa) (1u << (isa))

#define PQC_TARGET_AVX2 PQC_TARGET("popcnt,avx2,fma,f16c")
#define PQC_TARGET_AVXVNNI PQC_TARGET("popcnt,avx2,fma,f16c,avxvnni")
#define PQC_TARGET_AVX512 PQC_TARGET("popcnt,avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")
#define PQC_TARGET_VNNI                                                                            \
    PQC_TARGET("popcnt,avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#define PQC_TARGET_AMX                                                                             \
    PQC_TARGET(                                                                                    \
        "popcnt,avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8")
#define PQC_TARGET_DOTPROD PQC_TARGET("arch=armv8.2-a+dotprod")

typedef enum {
    PQC_OK,
    PQC_NEGATIVE_INPUT, /* unsigned quantisation of an x < 0 */
} pqc_status;

typedef enum {
    PQC_F32,
    PQC_F16,
    PQC_BF16,
    PQC_F64,
} pqc_dtype;

static inline ptrdiff_t pqc_dtype_size(pqc_dtype dtype)
{
    return dtype == PQC_F32 ? 4 : dtype == PQC_F64 ? 8 : 2;
}

static inline ptrdiff_t pqc_min(ptrdiff_t a, ptrdiff_t b)
{
    return a < b ? a : b;
}

static inline ptrdiff_t pqc_max(ptrdiff_t a, ptrdiff_t b)
{
    return a > b ? a : b;
}

static inline ptrdiff_t pqc_div_round_up(ptrdiff_t n, ptrdiff_t by)
{
    return (n + by - 1) / by;
}

/* Rounded up to a multiple of `by`. */
static inline ptrdiff_t pqc_round_up(ptrdiff_t n, ptrdiff_t by)
{
    return pqc_div_round_up(n, by) * by;
}

static inline ptrdiff_t pqc_clamp(ptrdiff_t n, ptrdiff_t low, ptrdiff_t high)
{
    return n < low ? low : n > high ? high : n;
}

/* The beginning of part i, when n is divided into `parts` nearly equal ones. */
static inline ptrdiff_t pqc_part_begin(ptrdiff_t n, ptrdiff_t parts, ptrdiff_t i)
{
    return n / parts * i + pqc_min(i, n % parts);
}

/* Bytes from `at` to the next address that is a multiple of `boundary`, a power of two. */
static inline ptrdiff_t pqc_bytes_to(const void *at, ptrdiff_t boundary)
{
    return (ptrdiff_t)(-(uintptr_t)at & (uintptr_t)(boundary - 1));
}

/* Elements per pass where a kernel goes through a buffer: a few such buffers fit into L1. */
#define PQC_BLOCK 1024

#endif
