#include "avxvnni.h"

#if PQC_X86
#include "../kernels/winograd_nhwc/winograd_nhwc_avxvnni.c"
#endif
