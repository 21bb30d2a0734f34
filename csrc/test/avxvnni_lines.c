#include "avxvnni.h"

#if PQC_X86
#include "../kernels/lines_s8/lines_s8_avxvnni.c"
#endif
