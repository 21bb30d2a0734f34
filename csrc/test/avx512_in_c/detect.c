/* With --wrap: AVX-512, VNNI and AMX are there, in plain C. */
#include "dispatch.h"

unsigned __real_pqc_detect(void);
unsigned __wrap_pqc_detect(void);
bool __wrap_pqc_request_tiles(void);

unsigned __wrap_pqc_detect(void)
{
    return __real_pqc_detect() | PQC_BIT(PQC_AVX512) | PQC_BIT(PQC_VNNI) | PQC_BIT(PQC_AMX);
}

bool __wrap_pqc_request_tiles(void)
{
    return true;
}
