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
    other.gemm_s8 = gemm_s8_in_other_encoding;
    other.lines_s8 = lines_s8_in_other_encoding;
    atomic_store(&pqc_table, &other);
    test_gemm_s8();
    test_lines_s8();
    pqc_select(before);
#endif
}
