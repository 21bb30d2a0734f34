#include "avxvnni.h"

#if PQC_X86
#include "../kernels/dwconv_nhwc/dwconv_nhwc_avxvnni.c"
#endif
