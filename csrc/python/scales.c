/* Computes the scale of each channel from its amax, in float or double. */
#include "scales.h"

static int allocate(pqc_scales *s, const pqc_operands *o)
{
    size_t size = o->dtype == PQC_F64 ? sizeof(double) : sizeof(float), n = (size_t)o->channels;
    s->block = NULL;
    s->mul = s->few;
    s->div = s->few + 1;
    if (n > 1) {
        s->block = PyMem_RawMalloc(2 * n * size);
        if (!s->block) {
            PyErr_NoMemory();
            return -1;
        }
        s->mul = s->block;
        s->div = (char *)s->block + n * size;
    }
    s->q = (pqc_quantization){
        .channels = o->channels, .inner = o->inner, .mul = s->mul, .div = s->div};
    return 0;
}

int pqc_scales_int(pqc_scales *s, const pqc_operands *o, pqc_int_format format)
{
    if (allocate(s, o) < 0)
        return -1;
    pqc_int_quant_f64 bounds = pqc_int_quant_init_f64(1.0, format);
    s->q.lo = bounds.lo;
    s->q.hi = bounds.hi;
    if (o->dtype != PQC_F64) {
        pqc_int_scales(o->amax, s->mul, s->div, o->channels, format);
    } else if (o->is_double) {
        pqc_int_scales_f64(o->amax, s->mul, s->div, o->channels, format);
    } else { /* a float32 amax has a float32 scale */
        const float *amax = o->amax;
        for (ptrdiff_t i = 0; i < o->channels; i++) {
            pqc_int_quant q = pqc_int_quant_init(amax[i], format);
            ((double *)s->mul)[i] = (double)q.mul;
            ((double *)s->div)[i] = (double)q.div;
        }
    }
    return 0;
}

int pqc_scales_float(pqc_scales *s, const pqc_operands *o, const pqc_float_format *format)
{
    if (allocate(s, o) < 0)
        return -1;
    s->q.floats = *format;
    if (o->dtype != PQC_F64) {
        pqc_float_scales(o->amax, s->mul, s->div, o->channels, format);
        return 0;
    }
    for (ptrdiff_t i = 0; i < o->channels; i++) {
        pqc_float_scale_f64 q;
        if (o->is_double) {
            q = pqc_float_scale_init_f64(((const double *)o->amax)[i], format);
        } else {
            pqc_float_scale narrow = pqc_float_scale_init(((const float *)o->amax)[i], format);
            q = (pqc_float_scale_f64){(double)narrow.mul, (double)narrow.div};
        }
        ((double *)s->mul)[i] = q.mul;
        ((double *)s->div)[i] = q.div;
    }
    return 0;
}

int pqc_scales_amax(pqc_scales *s, const pqc_operands *o)
{
    if (allocate(s, o) < 0)
        return -1;
    for (ptrdiff_t i = 0; i < o->channels; i++) {
        double amax =
            o->is_double ? ((const double *)o->amax)[i] : (double)((const float *)o->amax)[i];
        if (o->dtype == PQC_F64)
            ((double *)s->mul)[i] = amax;
        else
            ((float *)s->mul)[i] = (float)amax;
    }
    return 0;
}

void pqc_scales_clear(pqc_scales *s)
{
    PyMem_RawFree(s->block);
    s->block = NULL;
}
