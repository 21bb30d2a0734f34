/* Tests of the C code below Python.  Usage: kernel_tests [name ...] [-name ...]: those tests, or
 * all; and not those after a dash. */
#include "check.h"
#include "dispatch.h"
#include "tests.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name;
    void (*run)(void);
} test;

static const test per_isa[] = {
    {"int_quant", test_int_quant},
    {"fake_quant_half", test_fake_quant_half},
    {"half", test_half},
    {"float_quant", test_float_quant},
    {"block_quant", test_block_quant},
    {"rescale_row", test_rescale_row},
    {"ste", test_ste},
    {"amax", test_amax},
    {"affine", test_affine},
    {"pack_u8", test_pack_u8},
    {"gemm_s8u4", test_gemm_s8u4},
    {"igemm_u8s8", test_igemm_u8s8},
    {"requantize", test_requantize},
    {"conv_chw_u8s8", test_conv_chw_u8s8},
    {"dwconv_nhwc", test_dwconv_nhwc},
    {"maxpool_nhwc", test_maxpool_nhwc},
    {"interleave_u8", test_interleave_u8},
    {"dwconv_u8s8", test_dwconv_u8s8},
    {"finish_nhwc", test_finish_nhwc},
    {"gate_u8", test_gate_u8},
    {"conv_step", test_conv_step},
    {"chain_f32", test_chain_f32},
    {"sum_f32", test_sum_f32},
    {"interpolate_f32", test_interpolate_f32},
    {"reduce_step", test_reduce_step},
    {"float_conv_step", test_float_conv_step},
    {"codes_f32", test_codes_f32},
    {"rows_f32", test_rows_f32},
    {"product_f32", test_product_f32},
    {"cell_f32", test_cell_f32},
    {"gemm_f32", test_gemm_f32},
    {"dwconv_f32", test_dwconv_f32},
    {"transpose_f32", test_transpose_f32},
    {"winograd", test_winograd},
    {"winograd_nhwc", test_winograd_nhwc},
    {"amx_gemm", test_amx_gemm},
    {"conv_amx", test_conv_amx},
    {"histogram", test_histogram},
    {"search_logs", test_search_logs},
    {"fingerprint", test_fingerprint},
    {"collect", test_collect},
    {"calib_search", test_calib_search},
};

static const test once[] = {
    {"avxvnni", test_avxvnni}, {"dispatch", test_dispatch}, {"quant_params", test_quant_params},
    {"f64", test_f64},         {"parallel", test_parallel}, {"float_mode", test_float_mode},
    {"fork", test_fork},       {"at_once", test_at_once},   {"code_sum", test_code_sum},
    {"im2col", test_im2col},   {"erf", test_erf},           {"histc_edges", test_histc_edges},
};

static bool wanted(const char *name, int argc, char **argv)
{
    bool all = true, named = false;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && strcmp(argv[i] + 1, name) == 0)
            return false;
        all = all && argv[i][0] == '-';
        named = named || strcmp(argv[i], name) == 0;
    }
    return all || named;
}

static int run(const test *t, const char *context)
{
    int before = failed_checks();
    set_context(context);
    t->run();
    int failed = failed_checks() - before;
    printf("%-12s %-8s %s\n", t->name, context, failed ? "FAILED" : "ok");
    fflush(stdout);
    return 1;
}

int main(int argc, char **argv)
{
    int ran = 0;
    for (int isa = 0; isa < PQC_ISAS; isa++) {
        if (!(pqc_detect() & PQC_BIT(isa)))
            continue;
        pqc_select(PQC_BIT(isa)); /* this one and scalar */
        for (size_t i = 0; i < sizeof per_isa / sizeof *per_isa; i++)
            if (wanted(per_isa[i].name, argc, argv))
                ran += run(&per_isa[i], pqc_isa_name((pqc_isa)isa));
    }
    pqc_select(~0u);
    for (size_t i = 0; i < sizeof once / sizeof *once; i++)
        if (wanted(once[i].name, argc, argv))
            ran += run(&once[i], "");
    if (failed_checks())
        printf("%d checks failed\n", failed_checks());
    return failed_checks() != 0 || ran == 0;
}
