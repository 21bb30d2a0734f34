/* Block formats (MX, NVFP4): one scale per block of a row, then each element to its nearest level; float32 or
 * float64. */
#include "blocks.h"

#include "amax/amax.h"
#include "bits.h"
#include "dispatch.h"
#include "float_quant/float_quant_scalar.h"
#include "parallel.h"

enum {
    GRAIN = 16384, /* elements per grain */
    GRAIN_F64 = 4096,
    MAX_EXPONENT = 127,
};

static float power_of_two(int exponent)
{
    return exponent > -127 ? pqc_float_of((uint32_t)(exponent + 127) << 23) : 0x1p-127f;
}

/* The exponent bits.  For a subnormal amax they give -127, which is also the lower bound. */
static float shared_exponent(float amax, int top_exponent)
{
    int exponent = (int)(pqc_bits_of(amax) >> 23) - 127 - top_exponent;
    if (isinf(amax) || exponent > MAX_EXPONENT)
        exponent = MAX_EXPONENT;
    return power_of_two(exponent < -MAX_EXPONENT ? -MAX_EXPONENT : exponent);
}

static float scale_of(const pqc_blocks *job, float amax)
{
    if (amax != amax)
        return amax;
    if (job->rule == PQC_SCALE_E8M0)
        return shared_exponent(amax, job->q.floats.top_exponent);
    if (job->global == 0.0f)
        return 0.0f;
    pqc_float_format e4m3 = pqc_float_format_init(4, 3);
    return pqc_nearest(amax / job->q.floats.hi / job->global, &e4m3);
}

/* The step of one block: scale * unit, or scale * global. */
static float block_step(const pqc_blocks *job, float scale)
{
    if (scale == 0.0f)
        return 0.0f; /* also if `global` is infinite */
    return scale * (job->rule == PQC_SCALE_E8M0 ? job->unit : job->global);
}

static float amax_of(const pqc_blocks *job, ptrdiff_t at, ptrdiff_t n)
{
    if (!job->is_double)
        return pqc.amax_f32((const float *)job->x + at, n);
    return (float)pqc_amax_f64_scalar((const double *)job->x + at, n);
}

static void run_block(const pqc_blocks *job, ptrdiff_t number, ptrdiff_t at, ptrdiff_t n)
{
    float scale = scale_of(job, job->given ? job->given[number] : amax_of(job, at, n));
    float step = block_step(job, scale), back = job->elements && step == step ? 1.0f : step;
    if (job->scales)
        job->scales[number] = scale;
    if (job->is_double)
        pqc_block_quant_f64_scalar((const double *)job->x + at, (double *)job->y + at, n, step,
                                   back, &job->q.floats);
    else
        pqc.block_quant_f32((const float *)job->x + at, (float *)job->y + at, n, step, back,
                            &job->q.floats);
}

static void quantize_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_blocks *job = context;
    ptrdiff_t blocks = pqc_div_round_up(job->length, job->q.block);
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t first = i % blocks * job->q.block;
        run_block(job, i, i / blocks * job->length + first,
                  pqc_min(job->q.block, job->length - first));
    }
}

void pqc_blocks_quantize(const pqc_blocks *job)
{
    pqc_blocks copy = *job;
    ptrdiff_t grain = job->is_double ? GRAIN_F64 : GRAIN;
    pqc_parallel(job->rows * pqc_div_round_up(job->length, job->q.block),
                 pqc_div_round_up(grain, job->q.block), quantize_range, &copy);
}

typedef struct {
    const float *q;
    uint8_t *codes;
    const pqc_float_format *format;
} encode_work;

static void encode_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const encode_work *w = context;
    pqc.encode_elements(w->q + begin, w->codes + begin, end - begin, w->format);
}

void pqc_encode(const float *q, uint8_t *codes, ptrdiff_t n, const pqc_float_format *format)
{
    pqc_parallel(n, GRAIN, encode_range, &(encode_work){q, codes, format});
}

typedef struct {
    const uint8_t *codes;
    float *y;
    const float *table, *steps;
    ptrdiff_t length, block;
} decode_work;

static void decode_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const decode_work *w = context;
    ptrdiff_t blocks = pqc_div_round_up(w->length, w->block);
    for (ptrdiff_t i = begin; i < end; i++) {
        ptrdiff_t first = i % blocks * w->block, at = i / blocks * w->length + first;
        pqc.decode_elements(w->codes + at, w->y + at, pqc_min(w->block, w->length - first),
                            w->table, w->steps[i]);
    }
}

void pqc_decode(const uint8_t *codes, float *y, const float *table, const float *steps,
                ptrdiff_t rows, ptrdiff_t length, ptrdiff_t block)
{
    decode_work work = {codes, y, table, steps, length, block};
    pqc_parallel(rows * pqc_div_round_up(length, block), pqc_div_round_up(GRAIN, block),
                 decode_range, &work);
}
