/* The private extension module `_C`, which only the package's own Python files call. */
#define PQC_IMPORT_NUMPY
#include "numpy_api.h"

#include "dispatch.h"
#include "families.h"
#include "parallel.h"

#include <stdlib.h>

/* True if PQC_ISA is set.  The package will then select what it names; until then AMX, which a process must ask the
 * OS for, is left out. */
static bool is_restricted(void)
{
    const char *names = getenv("PQC_ISA");
    return names && *names;
}

static int module_exec(PyObject *module)
{
    PyMethodDef *families[] = {
        pqc_affine_methods,    pqc_calib_methods,   pqc_float_methods,
        pqc_integer_methods,   pqc_machine_methods, pqc_pack_methods,
        pqc_prepared_methods,  pqc_program_methods, pqc_program_weights_methods,
        pqc_recurrent_methods, pqc_quant_methods,   pqc_reduce_methods,
        pqc_u4_methods,        pqc_formats_methods, pqc_rows_methods,
    };
    if (PyArray_ImportNumPyAPI() < 0)
        return -1;
    if (pqc_selected() == 0) { /* another interpreter in this process may have selected already */
        pqc_select(is_restricted() ? ~PQC_BIT(PQC_AMX) : ~0u);
        pqc_set_num_threads(pqc_available_cpus());
    }
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (PyModule_AddFunctions(module, families[i]) < 0)
            return -1;
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)module_exec},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_C",
    .m_doc = "C kernels of pytorch_quantization_c.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__C(void)
{
    return PyModuleDef_Init(&module_def);
}
