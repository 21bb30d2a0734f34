#include "avxvnni.h"
#include "tests.h"

void test_avxvnni(void)
{
#if PQC_X86
    unsigned before = pqc_selected();
    if (!(pqc_detect() & PQC_BIT(PQC_VNNI)))
        return;
    static pqc_kernels other;
    other = pqc;
    other.igemm_u8s8 = igemm_u8s8_in_other_encoding;
    other.conv_chw_u8s8 = conv_chw_u8s8_in_other_encoding;
    other.dwconv_nhwc = dwconv_nhwc_in_other_encoding;
    other.winograd_nhwc = &winograd_nhwc_in_other_encoding;
    atomic_store(&pqc_table, &other);
    test_igemm_u8s8();
    test_conv_chw_u8s8();
    test_dwconv_nhwc();
    test_winograd_nhwc();
    pqc_select(before);
#endif
}
