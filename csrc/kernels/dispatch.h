/* The table of kernels: filled once at import, slowest ISA first, better ones override. */
#ifndef PQC_DISPATCH_H
#define PQC_DISPATCH_H

#include "int_quant/int_quant.h"

typedef struct {
    pqc_int_quant_f32_fn *quantize_f32, *fake_quant_f32, *fake_quant_stream_f32;
    pqc_int_quant_each_f32_fn *quantize_each_f32, *fake_quant_each_f32;
} pqc_kernels;

extern pqc_kernels pqc; /* written by pqc_select alone */

unsigned pqc_detect(void); /* PQC_BIT(i) is set: this CPU and its OS run ISA i */

/* Fills the table with the best of the ISAs that are allowed and detected; scalar is always among them.  Returns those. */
unsigned pqc_select(unsigned allowed);

unsigned pqc_selected(void);              /* what pqc_select returned last */
const char *pqc_isa_name(pqc_isa isa);    /* "scalar", "avx2", ...; NULL past the end */

#endif
