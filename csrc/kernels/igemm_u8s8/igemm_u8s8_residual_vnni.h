/* The part of pqc_igemm_u8s8_codes_vnni for output stages with a residual. */
#ifndef PQC_IGEMM_U8S8_RESIDUAL_VNNI_H
#define PQC_IGEMM_U8S8_RESIDUAL_VNNI_H

#include "finish_nhwc/finish_nhwc_plain_avx512.h"
#include "igemm_u8s8_vnni.h"

pqc_igemm_u8s8_codes_fn pqc_igemm_u8s8_residual_vnni;

#endif
