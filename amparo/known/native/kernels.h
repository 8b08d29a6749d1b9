/* What the kernels of amparo.known share. Each file gives its functions as a table that module.c joins. */
#ifndef AMPARO_KERNELS_H
#define AMPARO_KERNELS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))
#define ON_X86 1
#include <immintrin.h>
#else
#define ON_X86 0
#endif

extern PyMethodDef PDQ_METHODS[];
extern PyMethodDef NEAREST_METHODS[];
extern PyMethodDef EXACT_METHODS[];

/* Asks the processor what it can do; called once, when the module is loaded. */
void pdq_choose(void);
void nearest_choose(void);
void exact_choose(void);

#endif
