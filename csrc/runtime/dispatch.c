/* Fills a table of kernels for a set of ISAs and makes it the one in use. */
#include "dispatch.h"

_Atomic(const pqc_kernels *) pqc_table;

static pqc_kernels
    tables[PQC_BIT(PQC_ISAS)]; /* indexed by set of ISAs; guarded by `filling` until it is in use */
static bool filled[PQC_BIT(PQC_ISAS)];
static atomic_flag filling = ATOMIC_FLAG_INIT;

static const char *const names[PQC_ISAS] = {
    [PQC_SCALAR] = "scalar", [PQC_AVX2] = "avx2",       [PQC_AVXVNNI] = "avxvnni",
    [PQC_AVX512] = "avx512", [PQC_VNNI] = "vnni",       [PQC_AMX] = "amx",
    [PQC_NEON] = "neon",     [PQC_DOTPROD] = "dotprod",
};

static void use_scalar(pqc_kernels *t)
{
    t->quantize_f32 = pqc_quantize_f32_scalar;
    t->fake_quant_f32 = pqc_fake_quant_f32_scalar;
    t->fake_quant_stream_f32 = pqc_fake_quant_f32_scalar;
    t->quantize_each_f32 = pqc_quantize_each_f32_scalar;
    t->fake_quant_each_f32 = pqc_fake_quant_each_f32_scalar;
    t->fake_quant_f16 = pqc_fake_quant_f16_scalar;
    t->fake_quant_bf16 = pqc_fake_quant_bf16_scalar;
    t->f16_to_f32 = pqc_f16_to_f32_scalar;
    t->f32_to_f16 = pqc_f32_to_f16_scalar;
    t->bf16_to_f32 = pqc_bf16_to_f32_scalar;
    t->f32_to_bf16 = pqc_f32_to_bf16_scalar;
    t->affine_f32 = pqc_affine_f32_scalar;
    t->float_quant_f32 = pqc_float_quant_f32_scalar;
    t->float_quant_each_f32 = pqc_float_quant_each_f32_scalar;
    t->rescale_row = pqc_rescale_row_scalar;
    t->block_quant_f32 = pqc_block_quant_f32_scalar;
    t->encode_elements = pqc_encode_elements_scalar;
    t->decode_elements = pqc_decode_elements_scalar;
    t->ste_f32 = pqc_ste_f32_scalar;
    t->ste_each_f32 = pqc_ste_each_f32_scalar;
    t->amax_f32 = pqc_amax_f32_scalar;
    t->amax_each_f32 = pqc_amax_each_f32_scalar;
    t->min_f32 = pqc_min_f32_scalar;
    t->bin_f32 = pqc_bin_f32_scalar;
    t->magnitudes_f32 = pqc_magnitudes_f32_scalar;
    t->search_logs = pqc_search_logs_scalar;
    t->fingerprint = pqc_fingerprint_scalar;
    t->pack_u8 = pqc_pack_u8_scalar;
    t->pack_u8_c4 = pqc_pack_u8_c4_scalar;
    t->requantize_nhwc = pqc_requantize_nhwc_scalar;
    t->requantize_nchw = pqc_requantize_nchw_scalar;
    t->igemm_u8s8 = pqc_igemm_u8s8_scalar;
    t->gemm_s8u4 = pqc_gemm_s8u4_scalar;
    t->conv_chw_u8s8 = pqc_conv_chw_u8s8_scalar;
    t->dwconv_nhwc = pqc_dwconv_nhwc_scalar;
    t->maxpool_nhwc = pqc_maxpool_nhwc_scalar;
    t->finish_nhwc = pqc_finish_nhwc_scalar;
    t->chain_f32 = pqc_chain_f32_scalar;
    t->sum_f32 = pqc_sum_f32_scalar;
    t->interpolate_f32 = pqc_interpolate_f32_scalar;
    t->softmax_f32 = pqc_softmax_f32_scalar;
    t->gemm_f32 = pqc_gemm_f32_scalar;
    t->dwconv_f32 = pqc_dwconv_f32_scalar;
    t->transpose_f32 = pqc_transpose_f32_scalar;
    t->interleave_u8 = pqc_interleave_u8_scalar;
    t->layer_norm_f32 = pqc_layer_norm_f32_scalar;
    t->lstm_f32 = pqc_lstm_f32_scalar;
    t->gru_f32 = pqc_gru_f32_scalar;
    t->gru_gates_f32 = pqc_gru_gates_f32_scalar;
    t->gru_finish_f32 = pqc_gru_finish_f32_scalar;
    t->product_f32 = pqc_product_f32_scalar;
    t->decode_f32 = pqc_decode_f32_scalar;
    t->encode_f32 = pqc_encode_f32_scalar;
    t->dwconv_u8s8 = NULL;
    t->winograd = NULL;
    t->winograd_nhwc = NULL;
    t->igemm_u8s8_f32 = NULL;
    t->igemm_u8s8_codes = NULL;
    t->dwconv_nhwc_codes = NULL;
    t->gemv_u8s8 = NULL;
    t->gate_u8 = NULL;
    t->amx_gemm = NULL;
    t->gemm_s8u4_amx = NULL;
    t->igemm_nhwc = NULL;
}

#if PQC_X86
static void use_avx2(pqc_kernels *t)
{
    t->quantize_f32 = pqc_quantize_f32_avx2;
    t->fake_quant_f32 = pqc_fake_quant_f32_avx2;
    t->fake_quant_stream_f32 = pqc_fake_quant_stream_f32_avx2;
    t->quantize_each_f32 = pqc_quantize_each_f32_avx2;
    t->fake_quant_each_f32 = pqc_fake_quant_each_f32_avx2;
    t->fake_quant_f16 = pqc_fake_quant_f16_avx2;
    t->fake_quant_bf16 = pqc_fake_quant_bf16_avx2;
    t->f16_to_f32 = pqc_f16_to_f32_avx2;
    t->f32_to_f16 = pqc_f32_to_f16_avx2;
    t->bf16_to_f32 = pqc_bf16_to_f32_avx2;
    t->f32_to_bf16 = pqc_f32_to_bf16_avx2;
    t->affine_f32 = pqc_affine_f32_avx2;
    t->float_quant_f32 = pqc_float_quant_f32_avx2;
    t->float_quant_each_f32 = pqc_float_quant_each_f32_avx2;
    t->rescale_row = pqc_rescale_row_avx2;
    t->block_quant_f32 = pqc_block_quant_f32_avx2;
    t->encode_elements = pqc_encode_elements_avx2;
    t->decode_elements = pqc_decode_elements_avx2;
    t->ste_f32 = pqc_ste_f32_avx2;
    t->ste_each_f32 = pqc_ste_each_f32_avx2;
    t->amax_f32 = pqc_amax_f32_avx2;
    t->amax_each_f32 = pqc_amax_each_f32_avx2;
    t->min_f32 = pqc_min_f32_avx2;
    t->bin_f32 = pqc_bin_f32_avx2;
    t->search_logs = pqc_search_logs_avx2;
    t->magnitudes_f32 = pqc_magnitudes_f32_avx2;
    t->fingerprint = pqc_fingerprint_avx2;
    t->pack_u8 = pqc_pack_u8_avx2;
    t->pack_u8_c4 = pqc_pack_u8_c4_avx2;
    t->requantize_nhwc = pqc_requantize_nhwc_avx2;
    t->requantize_nchw = pqc_requantize_nchw_avx2;
    t->igemm_u8s8 = pqc_igemm_u8s8_avx2;
    t->gemm_s8u4 = pqc_gemm_s8u4_avx2;
    t->conv_chw_u8s8 = pqc_conv_chw_u8s8_avx2;
    t->dwconv_nhwc = pqc_dwconv_nhwc_avx2;
    t->maxpool_nhwc = pqc_maxpool_nhwc_avx2;
    t->finish_nhwc = pqc_finish_nhwc_avx2;
    t->chain_f32 = pqc_chain_f32_avx2;
    t->sum_f32 = pqc_sum_f32_avx2;
    t->interpolate_f32 = pqc_interpolate_f32_avx2;
    t->softmax_f32 = pqc_softmax_f32_avx2;
    t->gemm_f32 = pqc_gemm_f32_avx2;
    t->dwconv_f32 = pqc_dwconv_f32_avx2;
    t->transpose_f32 = pqc_transpose_f32_avx2;
    t->interleave_u8 = pqc_interleave_u8_avx2;
    t->layer_norm_f32 = pqc_layer_norm_f32_avx2;
    t->lstm_f32 = pqc_lstm_f32_avx2;
    t->gru_f32 = pqc_gru_f32_avx2;
    t->gru_gates_f32 = pqc_gru_gates_f32_avx2;
    t->gru_finish_f32 = pqc_gru_finish_f32_avx2;
    t->product_f32 = pqc_product_f32_avx2;
    t->decode_f32 = pqc_decode_f32_avx2;
    t->encode_f32 = pqc_encode_f32_avx2;
    t->dwconv_u8s8 = pqc_dwconv_u8s8_avx2;
    t->winograd = pqc_winograd_avx2;
    t->winograd_nhwc = &pqc_winograd_nhwc_avx2;
}

static void use_avxvnni(pqc_kernels *t)
{
    t->igemm_u8s8 = pqc_igemm_u8s8_avxvnni;
    t->conv_chw_u8s8 = pqc_conv_chw_u8s8_avxvnni;
    t->dwconv_nhwc = pqc_dwconv_nhwc_avxvnni;
    t->winograd = NULL;
    t->winograd_nhwc = &pqc_winograd_nhwc_avxvnni;
}

static void use_avx512(pqc_kernels *t)
{
    t->quantize_f32 = pqc_quantize_f32_avx512;
    t->fake_quant_f32 = pqc_fake_quant_f32_avx512;
    t->fake_quant_stream_f32 = pqc_fake_quant_stream_f32_avx512;
    t->quantize_each_f32 = pqc_quantize_each_f32_avx512;
    t->fake_quant_each_f32 = pqc_fake_quant_each_f32_avx512;
    t->fake_quant_f16 = pqc_fake_quant_f16_avx512;
    t->fake_quant_bf16 = pqc_fake_quant_bf16_avx512;
    t->f16_to_f32 = pqc_f16_to_f32_avx512;
    t->f32_to_f16 = pqc_f32_to_f16_avx512;
    t->bf16_to_f32 = pqc_bf16_to_f32_avx512;
    t->f32_to_bf16 = pqc_f32_to_bf16_avx512;
    t->float_quant_f32 = pqc_float_quant_f32_avx512;
    t->float_quant_each_f32 = pqc_float_quant_each_f32_avx512;
    t->block_quant_f32 = pqc_block_quant_f32_avx512;
    t->encode_elements = pqc_encode_elements_avx512;
    t->decode_elements = pqc_decode_elements_avx512;
    t->ste_f32 = pqc_ste_f32_avx512;
    t->ste_each_f32 = pqc_ste_each_f32_avx512;
    t->amax_f32 = pqc_amax_f32_avx512;
    t->amax_each_f32 = pqc_amax_each_f32_avx512;
    t->min_f32 = pqc_min_f32_avx512;
    t->bin_f32 = pqc_bin_f32_avx512;
    t->search_logs = pqc_search_logs_avx512;
    t->fingerprint = pqc_fingerprint_avx512;
    t->pack_u8 = pqc_pack_u8_avx512;
    t->pack_u8_c4 = pqc_pack_u8_c4_avx512;
    t->requantize_nhwc = pqc_requantize_nhwc_avx512;
    t->requantize_nchw = pqc_requantize_nchw_avx512;
    t->maxpool_nhwc = pqc_maxpool_nhwc_avx512;
    t->finish_nhwc = pqc_finish_nhwc_avx512;
    t->chain_f32 = pqc_chain_f32_avx512;
    t->gate_u8 = pqc_gate_u8_avx512;
    t->sum_f32 = pqc_sum_f32_avx512;
    t->interpolate_f32 = pqc_interpolate_f32_avx512;
    t->softmax_f32 = pqc_softmax_f32_avx512;
    t->gemm_f32 = pqc_gemm_f32_avx512;
    t->dwconv_f32 = pqc_dwconv_f32_avx512;
    t->layer_norm_f32 = pqc_layer_norm_f32_avx512;
    t->lstm_f32 = pqc_lstm_f32_avx512;
    t->gru_f32 = pqc_gru_f32_avx512;
    t->gru_gates_f32 = pqc_gru_gates_f32_avx512;
    t->gru_finish_f32 = pqc_gru_finish_f32_avx512;
    t->product_f32 = pqc_product_f32_avx512;
    t->decode_f32 = pqc_decode_f32_avx512;
    t->encode_f32 = pqc_encode_f32_avx512;
    t->winograd_nhwc = &pqc_winograd_nhwc_avx512;
}

static void use_vnni(pqc_kernels *t)
{
    t->igemm_u8s8 = pqc_igemm_u8s8_vnni;
    t->gemm_s8u4 = pqc_gemm_s8u4_vnni;
    t->igemm_u8s8_f32 = pqc_igemm_u8s8_f32_vnni;
    t->igemm_u8s8_codes = pqc_igemm_u8s8_codes_vnni;
    t->gemv_u8s8 = pqc_igemm_u8s8_gemv_vnni;
    t->conv_chw_u8s8 = pqc_conv_chw_u8s8_vnni;
    t->dwconv_u8s8 = pqc_dwconv_u8s8_vnni;
    t->dwconv_nhwc = pqc_dwconv_nhwc_vnni;
    t->dwconv_nhwc_codes = pqc_dwconv_nhwc_codes_vnni;
    t->winograd = NULL;
    t->winograd_nhwc = &pqc_winograd_nhwc_vnni;
}
#endif

#if PQC_AMX_COMPILES
static void use_amx(pqc_kernels *t)
{
    t->amx_gemm = &pqc_amx_gemm_amx;
    t->gemm_s8u4_amx = pqc_gemm_s8u4_amx;
    t->igemm_nhwc = &pqc_igemm_nhwc_amx;
}
#endif

#if PQC_ARM
static void use_neon(pqc_kernels *t)
{
    t->quantize_f32 = pqc_quantize_f32_neon;
    t->fake_quant_f32 = pqc_fake_quant_f32_neon;
    t->fake_quant_stream_f32 = pqc_fake_quant_f32_neon;
    t->quantize_each_f32 = pqc_quantize_each_f32_neon;
    t->fake_quant_each_f32 = pqc_fake_quant_each_f32_neon;
    t->fake_quant_f16 = pqc_fake_quant_f16_neon;
    t->fake_quant_bf16 = pqc_fake_quant_bf16_neon;
    t->f16_to_f32 = pqc_f16_to_f32_neon;
    t->f32_to_f16 = pqc_f32_to_f16_neon;
    t->bf16_to_f32 = pqc_bf16_to_f32_neon;
    t->f32_to_bf16 = pqc_f32_to_bf16_neon;
    t->float_quant_f32 = pqc_float_quant_f32_neon;
    t->float_quant_each_f32 = pqc_float_quant_each_f32_neon;
    t->ste_f32 = pqc_ste_f32_neon;
    t->ste_each_f32 = pqc_ste_each_f32_neon;
    t->amax_f32 = pqc_amax_f32_neon;
    t->amax_each_f32 = pqc_amax_each_f32_neon;
    t->min_f32 = pqc_min_f32_neon;
    t->bin_f32 = pqc_bin_f32_neon;
    t->pack_u8 = pqc_pack_u8_neon;
    t->pack_u8_c4 = pqc_pack_u8_c4_neon;
    t->requantize_nhwc = pqc_requantize_nhwc_neon;
    t->requantize_nchw = pqc_requantize_nchw_neon;
    t->igemm_u8s8 = pqc_igemm_u8s8_neon;
    t->gemm_s8u4 = pqc_gemm_s8u4_neon;
    t->conv_chw_u8s8 = pqc_conv_chw_u8s8_neon;
    t->dwconv_nhwc = pqc_dwconv_nhwc_neon;
    t->maxpool_nhwc = pqc_maxpool_nhwc_neon;
    t->interleave_u8 = pqc_interleave_u8_neon;
    t->chain_f32 = pqc_chain_f32_neon;
    t->gemm_f32 = pqc_gemm_f32_neon;
    t->dwconv_f32 = pqc_dwconv_f32_neon;
}

static void use_dotprod(pqc_kernels *t)
{
    t->igemm_u8s8 = pqc_igemm_u8s8_dotprod;
    t->gemm_s8u4 = pqc_gemm_s8u4_dotprod;
    t->conv_chw_u8s8 = pqc_conv_chw_u8s8_dotprod;
}
#endif

static const struct {
    pqc_isa isa;
    void (*use)(pqc_kernels *);
} order[] = {
    {PQC_SCALAR, use_scalar},
#if PQC_X86
    {PQC_AVX2, use_avx2},     {PQC_AVXVNNI, use_avxvnni},
    {PQC_AVX512, use_avx512}, {PQC_VNNI, use_vnni},
#endif
#if PQC_AMX_COMPILES
    {PQC_AMX, use_amx},
#endif
#if PQC_ARM
    {PQC_NEON, use_neon},     {PQC_DOTPROD, use_dotprod},
#endif
};

unsigned pqc_select(unsigned allowed)
{
    unsigned used = (allowed & pqc_detect()) | PQC_BIT(PQC_SCALAR);
#if PQC_AMX_COMPILES
    if ((used & PQC_BIT(PQC_AMX)) && !pqc_request_tiles())
        used &= ~PQC_BIT(PQC_AMX);
#endif
    while (atomic_flag_test_and_set(&filling))
        ;
    for (size_t i = 0; !filled[used] && i < sizeof order / sizeof *order; i++)
        if (used & PQC_BIT(order[i].isa)) /* slowest first: the later wins */
            order[i].use(&tables[used]);
    filled[used] = true;
    atomic_store(&pqc_table, &tables[used]);
    atomic_flag_clear(&filling);
    return used;
}

unsigned pqc_selected(void)
{
    const pqc_kernels *table = atomic_load(&pqc_table);
    return table ? (unsigned)(table - tables) : 0;
}

const char *pqc_isa_name(pqc_isa isa)
{
    return (unsigned)isa < PQC_ISAS ? names[isa] : NULL;
}
