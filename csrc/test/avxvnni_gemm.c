#include "avxvnni.h"

#if PQC_X86
#include "../kernels/gemm_s8/gemm_s8_avxvnni.c"
#endif
