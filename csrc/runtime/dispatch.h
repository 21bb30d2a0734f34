/* The table of kernel pointers: one table per set of ISAs, filled from the slowest ISA to the fastest. */
#ifndef PQC_DISPATCH_H
#define PQC_DISPATCH_H

#include <stdatomic.h>

#include "affine/affine.h"
#include "amax/amax.h"
#include "block_quant/block_quant.h"
#include "cell_f32/cell_f32.h"
#include "chain_f32/chain_f32.h"
#include "codes_f32/codes_f32.h"
#include "search_logs/search_logs.h"
#include "dwconv_f32/dwconv_f32.h"
#include "dwconv_nhwc/dwconv_nhwc.h"
#include "dwconv_u8s8/dwconv_u8s8.h"
#include "finish_nhwc/finish_nhwc.h"
#include "requantize/requantize.h"
#include "rescale_row/rescale_row.h"
#include "float_quant/float_quant.h"
#include "rows_f32/rows_f32.h"
#include "fake_quant_half/fake_quant_half.h"
#include "fingerprint/fingerprint.h"
#include "gate_u8/gate_u8.h"
#include "gemm_f32/gemm_f32.h"
#include "gemm_s8u4/gemm_s8u4.h"
#include "igemm_nhwc/igemm_nhwc.h"
#include "igemm_u8s8/igemm_u8s8.h"
#include "half/half.h"
#include "histogram/histogram.h"
#include "int_quant/int_quant.h"
#include "interleave_u8/interleave_u8.h"
#include "interpolate_f32/interpolate_f32.h"
#include "conv_chw_u8s8/conv_chw_u8s8.h"
#include "amx_gemm/amx_gemm.h"
#include "maxpool_nhwc/maxpool_nhwc.h"
#include "pack_u8/pack_u8.h"
#include "product_f32/product_f32.h"
#include "ste/ste.h"
#include "sum_f32/sum_f32.h"
#include "transpose_f32/transpose_f32.h"
#include "winograd/winograd.h"
#include "winograd_nhwc/winograd_nhwc.h"

typedef struct {
    pqc_int_quant_f32_fn *quantize_f32, *fake_quant_f32, *fake_quant_stream_f32;
    pqc_int_quant_each_f32_fn *quantize_each_f32, *fake_quant_each_f32;
    pqc_fake_quant_half_fn *fake_quant_f16, *fake_quant_bf16;
    pqc_f16_to_f32_fn *f16_to_f32;
    pqc_f32_to_f16_fn *f32_to_f16;
    pqc_bf16_to_f32_fn *bf16_to_f32;
    pqc_f32_to_bf16_fn *f32_to_bf16;
    pqc_affine_f32_fn *affine_f32;
    pqc_float_quant_f32_fn *float_quant_f32;
    pqc_float_quant_each_f32_fn *float_quant_each_f32;
    pqc_rescale_row_fn *rescale_row;
    pqc_block_quant_f32_fn *block_quant_f32;
    pqc_encode_elements_fn *encode_elements;
    pqc_decode_elements_fn *decode_elements;
    pqc_ste_f32_fn *ste_f32;
    pqc_ste_each_f32_fn *ste_each_f32;
    pqc_amax_f32_fn *amax_f32;
    pqc_amax_each_f32_fn *amax_each_f32;
    pqc_min_f32_fn *min_f32;
    pqc_bin_f32_fn *bin_f32;
    pqc_magnitudes_f32_fn *magnitudes_f32;
    pqc_search_logs_fn *search_logs;
    pqc_pack_u8_fn *pack_u8, *pack_u8_c4;
    pqc_igemm_u8s8_fn *igemm_u8s8;
    pqc_gemm_s8u4_fn *gemm_s8u4;
    pqc_conv_chw_u8s8_fn *conv_chw_u8s8;
    pqc_fingerprint_fn *fingerprint;
    pqc_requantize_fn *requantize_nhwc, *requantize_nchw;
    pqc_dwconv_nhwc_fn *dwconv_nhwc;
    pqc_maxpool_nhwc_fn *maxpool_nhwc;
    pqc_finish_nhwc_fn *finish_nhwc;
    pqc_chain_f32_fn *chain_f32;
    pqc_sum_f32_fn *sum_f32;
    pqc_interpolate_f32_fn *interpolate_f32;
    pqc_gemm_f32_fn *gemm_f32;
    pqc_dwconv_f32_fn *dwconv_f32;
    pqc_transpose_f32_fn *transpose_f32;
    pqc_interleave_u8_fn *interleave_u8;
    pqc_softmax_f32_fn *softmax_f32;
    pqc_layer_norm_f32_fn *layer_norm_f32;
    pqc_lstm_f32_fn *lstm_f32;
    pqc_gru_f32_fn *gru_f32;
    pqc_gru_gates_f32_fn *gru_gates_f32;
    pqc_gru_finish_f32_fn *gru_finish_f32;
    pqc_product_f32_fn *product_f32;
    pqc_decode_f32_fn *decode_f32;
    pqc_encode_f32_fn *encode_f32;
    pqc_dwconv_u8s8_fn *dwconv_u8s8;             /* these eleven, the last, may be NULL */
    pqc_igemm_u8s8_f32_fn *igemm_u8s8_f32;       /* or NULL */
    pqc_igemm_u8s8_codes_fn *igemm_u8s8_codes;   /* or NULL */
    pqc_dwconv_nhwc_codes_fn *dwconv_nhwc_codes; /* or NULL */
    pqc_gemv_u8s8_fn *gemv_u8s8;                 /* or NULL */
    pqc_gate_u8_fn *gate_u8;                     /* or NULL */
    const pqc_winograd *winograd;                /* or NULL */
    const pqc_winograd_nhwc *winograd_nhwc;      /* or NULL */
    const pqc_amx_gemm *amx_gemm;                /* or NULL */
    pqc_gemm_s8u4_fn *gemm_s8u4_amx;             /* or NULL */
    const pqc_igemm_nhwc *igemm_nhwc;            /* or NULL */
} pqc_kernels;

/* The table in use.  A table never changes once it is published; pqc_select replaces it.  Calls that run meanwhile
 * may take kernels from either, with the same bits. */
extern _Atomic(const pqc_kernels *) pqc_table;
#define pqc (*atomic_load_explicit(&pqc_table, memory_order_acquire))

unsigned pqc_detect(void); /* PQC_BIT(i) is set: this CPU and its OS run ISA i */

/* True if a core reads its last-level cache at a third of the usual speed (35 GB/s on Emerald Rapids, 98 on Zen 4).
 * Prefetching from it is then worthwhile. */
bool pqc_last_cache_is_far(void);

#if PQC_AMX_COMPILES
/* Asks the OS for permission to use AMX tiles, whose 8 KiB are part of a thread's state only in processes that have
 * it.  Linux refuses while a thread's signal stack is too small for them, and refuses such stacks afterwards.  Once
 * refused, AMX is no longer detected. */
bool pqc_request_tiles(void);
#endif

/* Selects the best kernels of the ISAs that are both allowed and detected; scalar always is.  Returns those ISAs.
 * Safe from several threads at once and while kernels run. */
unsigned pqc_select(unsigned allowed);

unsigned pqc_selected(void); /* the ISAs of the table in use; 0 before the first pqc_select */
const char *pqc_isa_name(pqc_isa isa); /* "scalar", "avx2", ...; NULL past the end */

#endif
