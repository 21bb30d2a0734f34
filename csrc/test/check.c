#define _GNU_SOURCE
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

enum { SHOWN = 20, FILLER = 0xa5 };

static int failures;
static const char *context = "";

void set_context(const char *name)
{
    context = name;
}

void check(bool ok, const char *file, int line, const char *condition, const char *format, ...)
{
    if (ok)
        return;
    if (++failures > SHOWN)
        return;
    fprintf(stderr, "%s:%d: [%s] %s: ", file, line, context, condition);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int failed_checks(void)
{
    return failures;
}

#ifdef _WIN32
static size_t page_size(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}

static unsigned char *pages(size_t usable, size_t guard)
{
    DWORD old;
    unsigned char *start =
        VirtualAlloc(NULL, usable + guard, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    return start && VirtualProtect(start + usable, guard, PAGE_NOACCESS, &old) ? start : NULL;
}

static void free_pages(unsigned char *start, size_t bytes)
{
    (void)bytes;
    VirtualFree(start, 0, MEM_RELEASE);
}

void *line_alloc(size_t bytes)
{
    return _aligned_malloc(bytes, 64);
}

void line_free(void *memory)
{
    _aligned_free(memory);
}
#else
static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static unsigned char *pages(size_t usable, size_t guard)
{
    unsigned char *start =
        mmap(NULL, usable + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return start != MAP_FAILED && mprotect(start + usable, guard, PROT_NONE) == 0 ? start : NULL;
}

static void free_pages(unsigned char *start, size_t bytes)
{
    munmap(start, bytes);
}

void *line_alloc(size_t bytes)
{
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

void line_free(void *memory)
{
    free(memory);
}
#endif

void buffer_open(buffer *b)
{
    size_t page = page_size(), usable = BUFFER_BYTES + page;
    b->start = pages(usable, page);
    if (!b->start) {
        perror("guard page");
        exit(2);
    }
    b->end = b->start + usable;
    b->data = b->end;
    b->bytes = b->gap = 0;
}

void *buffer_place(buffer *b, size_t bytes, size_t gap)
{
    b->bytes = bytes;
    b->gap = gap;
    b->data = b->end - gap - bytes;
    memset(b->data - GUARD_BYTES, FILLER, (size_t)(b->end - b->data) + GUARD_BYTES);
    return b->data;
}

static bool holds_pattern(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != FILLER)
            return false;
    return true;
}

bool buffer_guards_intact(const buffer *b)
{
    return holds_pattern(b->data - GUARD_BYTES, GUARD_BYTES) &&
           holds_pattern(b->data + b->bytes, b->gap);
}

void buffer_close(buffer *b)
{
    free_pages(b->start, (size_t)(b->end - b->start) + page_size());
}

const ptrdiff_t sizes[] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,  14,  15,  16,  17,   18,           19,
    20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33,  34,  35,  36,  37,   38,           39,
    40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53,  54,  55,  56,  57,   58,           59,
    60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 95, 97, 127, 129, 255, 257, 1001, LARGEST_SIZE,
};
const int size_count = sizeof sizes / sizeof *sizes;

static uint64_t state = 1;

uint32_t random_bits(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

int random_byte(bool extreme, int low, int high)
{
    return extreme ? (random_bits() & 1 ? low : high)
                   : low + (int)(random_bits() % (unsigned)(high - low + 1));
}

uint32_t bits_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

float float_from(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static const float specials[] = {
    0.0f,     -0.0f,     0.5f,     -0.5f,    1.5f,     -1.5f,        2.5f,         -2.5f,
    126.5f,   -127.5f,   1e-45f,   -1e-45f,  1e-39f,   -1e-39f,      0x1p-126f,    -0x1p-126f,
    0x1p-24f, -0x1p-24f, 5.9e-8f,  -5.9e-8f, 0x1p-10f, 0x3p-10f,     -0x1p-10f,    0x1.8p-9f,
    448.0f,   464.0f,    -464.0f,  448.1f,   1.0625f,  1.1875f,      -1.3125f,     0x1p-25f,
    65504.0f, 65519.0f,  65520.0f, 65536.f,  3.4e38f,  -3.4e38f,     INFINITY,     -INFINITY,
    NAN,      -NAN,      1e10f,    -1e10f,   0x1p-14f, 0x1.ffcp-15f, 0x1.ffep-15f, 0x1.004p-5f,
};
enum { SPECIALS = sizeof specials / sizeof *specials };

static double ordinary(void)
{
    double mantissa = 1.0 + random_bits() / 0x1p32;
    int exponent = (int)(random_bits() % 43) - 30;
    return ldexp(random_bits() & 1 ? -mantissa : mantissa, exponent);
}

void fill_f32(float *x, ptrdiff_t n, unsigned seed)
{
    state = seed * 2654435761u + 1;
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t dice = random_bits();
        x[i] = dice % 4 == 0 ? specials[dice / 4 % SPECIALS] : (float)ordinary();
    }
}

void fill_within_f32(float *x, ptrdiff_t n, float bound)
{
    for (ptrdiff_t i = 0; i < n; i++)
        x[i] = (float)(int32_t)random_bits() * 0x1p-31f * bound;
}

void fill_f64(double *x, ptrdiff_t n, unsigned seed)
{
    state = seed * 2654435761u + 1;
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t dice = random_bits();
        x[i] = dice % 4 == 0 ? (double)specials[dice / 4 % SPECIALS] : ordinary();
    }
}

bool same_f32(float a, float b)
{
    return (a != a && b != b) || memcmp(&a, &b, sizeof a) == 0;
}

bool same_f64(double a, double b)
{
    return (a != a && b != b) || memcmp(&a, &b, sizeof a) == 0;
}

double round_even(double v)
{
    if (!(fabs(v) < 0x1p52)) /* already whole, or NaN */
        return v;
    double below = floor(v), up = v - below;
    bool odd = fmod(below, 2.0) != 0.0;
    return copysign(up > 0.5 || (up == 0.5 && odd) ? below + 1.0 : below, v);
}
