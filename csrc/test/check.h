/* What the C tests share: counted checks, buffers at the edge of a protected page, input
 * values. */
#ifndef PQC_CHECK_H
#define PQC_CHECK_H

#include "pqc.h"

#ifdef __MINGW32__
#define PRINTF gnu_printf
#else
#define PRINTF printf
#endif

/* Counts a failure and prints the first few, with the text if there is one: printf's arguments. */
#define CHECK(condition, ...) check((condition), __FILE__, __LINE__, #condition, __VA_ARGS__)
__attribute__((format(PRINTF, 5, 6))) void check(bool ok, const char *file, int line,
                                                 const char *condition, const char *format, ...);
int failed_checks(void);

/* What is being tested, for the messages: the ISA. */
void set_context(const char *name);

/* Room for up to BUFFER_BYTES that end, `gap` bytes before a page that may not be touched.  The
 * bytes around them hold a pattern. */
enum { BUFFER_BYTES = 1 << 19, GUARD_BYTES = 64 };
typedef struct {
    unsigned char *start, *end; /* of the pages that may be touched */
    unsigned char *data;
    size_t bytes, gap;
} buffer;

void buffer_open(buffer *b);
void *buffer_place(buffer *b, size_t bytes, size_t gap); /* the new data; the old is forgotten */
bool buffer_guards_intact(const buffer *b);
void buffer_close(buffer *b);

/* Memory that begins at a cache line. */
void *line_alloc(size_t bytes);
void line_free(void *memory);

/* Sizes every kernel is run at: 0 to 70, and odd ones that end in the middle of any unrolled loop.
 */
extern const ptrdiff_t sizes[];
extern const int size_count;
enum { LARGEST_SIZE = 4099 };

/* x[i]: special values (NaNs, infinities, zeros, subnormals, ties, neighbours of powers of 2) mixed
 * with normal ones whose magnitudes range from 2^-30 to 2^12; another mixture for every seed. */
void fill_f32(float *x, ptrdiff_t n, unsigned seed);
void fill_f64(double *x, ptrdiff_t n, unsigned seed);
void fill_within_f32(float *x, ptrdiff_t n, float bound); /* evenly between -bound and bound */
uint32_t random_bits(void);
int random_byte(bool extreme, int low, int high); /* from low to high; extreme: one of these */

/* Equal bits, or both NaN. */
bool same_f32(float a, float b);
bool same_f64(double a, double b);

uint32_t bits_f32(float x);
float float_from(uint32_t bits);

/* v rounded to a whole number, ties to even, by comparing the distances; NaN and infinities as they
 * are. */
double round_even(double v);

#endif
