/* The method tables of the py_<family>.c files; module.c adds them all. */
#ifndef PQC_FAMILIES_H
#define PQC_FAMILIES_H

#include "numpy_api.h"

extern PyMethodDef pqc_affine_methods[];
extern PyMethodDef pqc_calib_methods[];
extern PyMethodDef pqc_float_methods[];
extern PyMethodDef pqc_formats_methods[];
extern PyMethodDef pqc_integer_methods[];
extern PyMethodDef pqc_machine_methods[];
extern PyMethodDef pqc_pack_methods[];
extern PyMethodDef pqc_prepared_methods[];
extern PyMethodDef pqc_program_methods[];
extern PyMethodDef pqc_program_weights_methods[];
extern PyMethodDef pqc_quant_methods[];
extern PyMethodDef pqc_recurrent_methods[];
extern PyMethodDef pqc_reduce_methods[];
extern PyMethodDef pqc_rows_methods[];
extern PyMethodDef pqc_u4_methods[];

#endif
