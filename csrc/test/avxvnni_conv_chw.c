#include "avxvnni.h"

#if PQC_X86
#include "../kernels/conv_chw_u8s8/conv_chw_u8s8_avxvnni.c"
#endif
