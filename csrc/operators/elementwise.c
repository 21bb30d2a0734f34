/* Elementwise quantisation of float32, float64, float16 and bfloat16 arrays: splits them by threads and channels. */
#include "elementwise.h"

#include <string.h>

#include "dispatch.h"
#include "elementary/elementary.h"
#include "parallel.h"

enum {
    GRAIN = 65536,     /* elements per grain */
    GRAIN_F64 = 16384, /* per grain, where the kernel is scalar */
    SHORT_RUN = 32,    /* shorter runs of one channel share a call that takes a vector of scales */
    STREAM_RUN = 4096, /* shortest run, in elements, whose results bypass the caches */
    STREAM_BYTES = 16 << 20,
};

/* The scales of a run: one for all of it, or one per element. */
typedef struct {
    const float *mul, *div;
    bool each;
} scales;

static void run_f32_each(const pqc_elementwise *job, const float *x, const float *grad, float *y,
                         ptrdiff_t n, scales s)
{
    pqc_int_quant q = {.lo = (float)job->q.lo, .hi = (float)job->q.hi};
    switch (job->operation) {
    case PQC_QUANTIZE:
        pqc.quantize_each_f32(x, y, n, s.mul, s.div, q);
        break;
    case PQC_FAKE_QUANT:
        pqc.fake_quant_each_f32(x, y, n, s.mul, s.div, q);
        break;
    case PQC_FLOAT_QUANT:
        pqc.float_quant_each_f32(x, y, n, s.mul, s.div, &job->q.floats);
        break;
    case PQC_STE:
        pqc.ste_each_f32(x, grad, y, n, s.mul);
        break;
    }
}

static void run_f32(const pqc_elementwise *job, const float *x, const float *grad, float *y,
                    ptrdiff_t n, scales s)
{
    if (s.each) {
        run_f32_each(job, x, grad, y, n, s);
        return;
    }
    pqc_int_quant q = {*s.mul, *s.div, (float)job->q.lo, (float)job->q.hi};
    switch (job->operation) {
    case PQC_QUANTIZE:
        pqc.quantize_f32(x, y, n, q);
        break;
    case PQC_FAKE_QUANT:
        if (n >= STREAM_RUN && job->n >= STREAM_BYTES / 4 && job->x != job->y)
            pqc.fake_quant_stream_f32(x, y, n, q);
        else
            pqc.fake_quant_f32(x, y, n, q);
        break;
    case PQC_FLOAT_QUANT:
        pqc.float_quant_f32(x, y, n, (pqc_float_scale){*s.mul, *s.div}, &job->q.floats);
        break;
    case PQC_STE:
        pqc.ste_f32(x, grad, y, n, *s.mul);
        break;
    }
}

static void run_half(const pqc_elementwise *job, const uint16_t *x, const uint16_t *grad,
                     uint16_t *y, ptrdiff_t n, scales s)
{
    bool f16 = job->dtype == PQC_F16;
    if (job->operation == PQC_FAKE_QUANT && !s.each) {
        pqc_int_quant q = {*s.mul, *s.div, (float)job->q.lo, (float)job->q.hi};
        (f16 ? pqc.fake_quant_f16 : pqc.fake_quant_bf16)(x, y, n, q);
        return;
    }
    float wide[PQC_BLOCK], wide_grad[PQC_BLOCK];
    for (ptrdiff_t i = 0, length; i < n; i += length) {
        length = pqc_min(n - i, PQC_BLOCK);
        (f16 ? pqc.f16_to_f32 : pqc.bf16_to_f32)(x + i, wide, length);
        if (grad)
            (f16 ? pqc.f16_to_f32 : pqc.bf16_to_f32)(grad + i, wide_grad, length);
        run_f32(job, wide, wide_grad, wide, length, s);
        (f16 ? pqc.f32_to_f16 : pqc.f32_to_bf16)(wide, y + i, length);
        s.mul += s.each ? length : 0;
        s.div += s.each ? length : 0;
    }
}

static void run(const pqc_elementwise *job, ptrdiff_t at, ptrdiff_t n, scales s)
{
    if (job->dtype == PQC_F32)
        run_f32(job, (const float *)job->x + at, job->grad ? (const float *)job->grad + at : NULL,
                (float *)job->y + at, n, s);
    else
        run_half(job, (const uint16_t *)job->x + at,
                 job->grad ? (const uint16_t *)job->grad + at : NULL, (uint16_t *)job->y + at, n,
                 s);
}

static void run_f64(const pqc_elementwise *job, ptrdiff_t at, ptrdiff_t n, ptrdiff_t channel)
{
    const double *x = (const double *)job->x + at;
    double *y = (double *)job->y + at;
    double mul = ((const double *)job->q.mul)[channel], div = ((const double *)job->q.div)[channel];
    switch (job->operation) {
    case PQC_QUANTIZE:
        pqc_quantize_f64_scalar(x, y, n, (pqc_int_quant_f64){mul, div, job->q.lo, job->q.hi});
        break;
    case PQC_FAKE_QUANT:
        pqc_fake_quant_f64_scalar(x, y, n, (pqc_int_quant_f64){mul, div, job->q.lo, job->q.hi});
        break;
    case PQC_FLOAT_QUANT:
        pqc_float_quant_f64_scalar(x, y, n, (pqc_float_scale_f64){mul, div}, &job->q.floats);
        break;
    case PQC_STE:
        pqc_ste_f64_scalar(x, (const double *)job->grad + at, y, n, mul);
        break;
    }
}

/* One kernel call per run of a channel. */
static void by_runs(const pqc_elementwise *job, ptrdiff_t begin, ptrdiff_t end)
{
    for (ptrdiff_t at = begin, next; at < end; at = next) {
        ptrdiff_t channel = at / job->q.inner % job->q.channels;
        next = job->q.channels == 1 ? end : pqc_min(end, (at / job->q.inner + 1) * job->q.inner);
        if (job->dtype == PQC_F64) {
            run_f64(job, at, next - at, channel);
            continue;
        }
        const float *mul = job->q.mul, *div = job->q.div;
        run(job, at, next - at, (scales){mul + channel, div + channel, false});
    }
}

/* out[i] = the value of the channel that element begin + i belongs to. */
static void lay_out(const float *values, float *out, ptrdiff_t begin, ptrdiff_t n,
                    ptrdiff_t channels, ptrdiff_t inner)
{
    ptrdiff_t channel = begin / inner % channels, left = inner - begin % inner;
    ptrdiff_t first = pqc_min(n, channels * inner);
    for (ptrdiff_t i = 0; i < first; i++) {
        out[i] = values[channel];
        if (--left == 0) {
            left = inner;
            channel = channel + 1 == channels ? 0 : channel + 1;
        }
    }
    /* from here on the pattern repeats */
    for (ptrdiff_t done = first, length; done < n; done += length) {
        length = pqc_min(n - done, done);
        memcpy(out + done, out, (size_t)length * sizeof *out);
    }
}

/* Channels whose runs are too short for a call each: blocks of elements, with one scale per element laid out beside
 * them. */
static void by_blocks(const pqc_elementwise *job, ptrdiff_t begin, ptrdiff_t end)
{
    float mul[PQC_BLOCK], div[PQC_BLOCK];
    ptrdiff_t period = job->q.channels * job->q.inner;
    bool fixed = period <= PQC_BLOCK; /* all blocks then have the same scales */
    ptrdiff_t block = fixed ? PQC_BLOCK / period * period : PQC_BLOCK;
    for (ptrdiff_t at = begin, n; at < end; at += n) {
        n = pqc_min(end - at, block);
        if (at == begin || !fixed) {
            lay_out(job->q.mul, mul, at, n, job->q.channels, job->q.inner);
            lay_out(job->q.div, div, at, n, job->q.channels, job->q.inner);
        }
        run(job, at, n, (scales){mul, div, true});
    }
}

/* Each element is a channel, so the scales need no laying out. */
static void by_elements(const pqc_elementwise *job, ptrdiff_t begin, ptrdiff_t end)
{
    const float *mul = job->q.mul, *div = job->q.div;
    for (ptrdiff_t at = begin, n; at < end; at += n) {
        ptrdiff_t channel = at % job->q.channels;
        n = pqc_min(end - at, job->q.channels - channel);
        run(job, at, n, (scales){mul + channel, div + channel, true});
    }
}

static void apply_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const pqc_elementwise *job = context;
    if (job->dtype == PQC_F64 || job->q.channels == 1 || job->q.inner >= SHORT_RUN)
        by_runs(job, begin, end);
    else if (job->q.inner == 1 && job->q.channels >= PQC_BLOCK)
        by_elements(job, begin, end);
    else
        by_blocks(job, begin, end);
}

void pqc_apply(const pqc_elementwise *job)
{
    pqc_elementwise copy = *job;
    pqc_parallel(job->n, job->dtype == PQC_F64 ? GRAIN_F64 : GRAIN, apply_range, &copy);
}

typedef struct {
    pqc_chain_kind function;
    const void *x;
    void *y;
    bool is_double;
} function_work;

static void function_range_f64(const function_work *w, ptrdiff_t begin, ptrdiff_t n)
{
    const double *x = (const double *)w->x + begin;
    double *y = (double *)w->y + begin;
    if (w->function == PQC_CHAIN_ERF)
        pqc_erf_f64_scalar(x, y, n);
    else if (w->function == PQC_CHAIN_TANH)
        pqc_tanh_f64_scalar(x, y, n);
    else
        pqc_sigmoid_f64_scalar(x, y, n);
}

static void function_range(void *context, ptrdiff_t begin, ptrdiff_t end)
{
    const function_work *w = context;
    if (w->is_double)
        function_range_f64(w, begin, end - begin);
    else
        pqc.chain_f32(w->function, (const float *)w->x + begin, NULL, 0, (float *)w->y + begin,
                      end - begin);
}

void pqc_apply_function(pqc_chain_kind function, const void *x, void *y, ptrdiff_t n,
                        bool is_double)
{
    pqc_parallel(n, 4096, function_range, &(function_work){function, x, y, is_double});
}
