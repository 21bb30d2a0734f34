/* The tests: each checks what is in the kernel table now, or code that has one body only. */
#ifndef PQC_TESTS_H
#define PQC_TESTS_H

void test_int_quant(void);
void test_fake_quant_half(void);
void test_half(void);
void test_float_quant(void);
void test_block_quant(void);
void test_rescale_row(void);
void test_ste(void);
void test_amax(void);
void test_affine(void);
void test_pack_u8(void);
void test_gemm_s8u4(void);
void test_igemm_u8s8(void);
void test_requantize(void);
void test_dwconv_nhwc(void);
void test_maxpool_nhwc(void);
void test_interleave_u8(void);
void test_dwconv_u8s8(void);
void test_finish_nhwc(void);
void test_gate_u8(void);
void test_conv_step(void);
void test_chain_f32(void);
void test_sum_f32(void);
void test_interpolate_f32(void);
void test_reduce_step(void);
void test_codes_f32(void);
void test_rows_f32(void);
void test_product_f32(void);
void test_cell_f32(void);
void test_gemm_f32(void);
void test_dwconv_f32(void);
void test_transpose_f32(void);
void test_winograd(void);
void test_amx_gemm(void);
void test_conv_amx(void);
void test_conv_chw_u8s8(void);
void test_histogram(void);
void test_search_logs(void);
void test_fingerprint(void);
void test_collect(void);
void test_calib_search(void);

void test_avxvnni(void);
void test_dispatch(void);
void test_quant_params(void);
void test_f64(void);
void test_im2col(void);
void test_erf(void);
void test_histc_edges(void);
void test_parallel(void);
void test_float_mode(void);
void test_at_once(void);
void test_fork(void);

#endif
