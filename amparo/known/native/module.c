/* The one extension of amparo.known: its kernels, each with a twin in NumPy that gives the same bit for bit. */
#include "kernels.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "amparo.known._native", "Kernels: PDQ, range search in Hamming space, look-ups of digests.", -1,
    NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    if (PyModule_AddFunctions(module, PDQ_METHODS) < 0 || PyModule_AddFunctions(module, NEAREST_METHODS) < 0
        || PyModule_AddFunctions(module, EXACT_METHODS) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    pdq_choose();
    nearest_choose();
    exact_choose();
    return module;
}
