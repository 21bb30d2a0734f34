#include "avxvnni.h"

#if PQC_X86
#include "../kernels/igemm_u8s8/igemm_u8s8_avxvnni.c"
#endif
