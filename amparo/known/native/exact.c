/* Look-ups of many digests in one table (amparo/known/table.py, whose _find_block is the twin): memory is asked for the
   directory, then the heads, then the tails of a group of digests before any of them is needed. The search within a prefix
   takes the twin's steps, so that a damaged table is answered alike. */
#include "kernels.h"

#define GROUP 64
#define UNSETTLED (-2) /* the heads are the same and the tails are not: the caller looks at all places with this head */

#if defined(__GNUC__) || defined(__clang__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)0)
#endif

typedef struct {
    const uint64_t *heads;
    const uint8_t *tails;
    const uint32_t *directory;
    size_t rows, width;
    int shift;
} Table;

static uint64_t head_of(const uint8_t *digest)
{
    uint64_t head = 0;
    for (int byte = 0; byte < 8; byte++) /* compilers make one load of it */
        head = head << 8 | digest[byte];
    return head;
}

/* -1 where a prefix has places that cannot be. */
static int find_group(const Table *table, const uint8_t *digests, size_t count, int64_t *found)
{
    uint64_t wanted[GROUP];
    uint32_t lows[GROUP], ends[GROUP];
    size_t tail = table->width - 8;
    for (size_t i = 0; i < count; i++) {
        wanted[i] = head_of(digests + i * table->width);
        PREFETCH(&table->directory[wanted[i] >> table->shift]);
    }
    for (size_t i = 0; i < count; i++) {
        size_t prefix = (size_t)(wanted[i] >> table->shift);
        lows[i] = table->directory[prefix], ends[i] = table->directory[prefix + 1];
        if (lows[i] > ends[i] || ends[i] > table->rows)
            return -1;
        if (lows[i] < ends[i])
            PREFETCH(&table->heads[lows[i] + ((ends[i] - lows[i]) >> 1)]);
    }
    for (size_t i = 0; i < count; i++) {
        size_t low = lows[i], high = ends[i];
        while (low < high) {
            size_t middle = (low + high) >> 1;
            if (table->heads[middle] < wanted[i])
                low = middle + 1;
            else
                high = middle;
        }
        lows[i] = (uint32_t)low;
        if (low < ends[i] && table->heads[low] == wanted[i]) {
            const uint8_t *at = table->tails + low * tail;
            PREFETCH(at);
            PREFETCH(at + tail - 1);
        }
        else
            ends[i] = lows[i];
    }
    for (size_t i = 0; i < count; i++) {
        if (lows[i] == ends[i])
            found[i] = -1;
        else if (memcmp(table->tails + lows[i] * tail, digests + i * table->width + 8, tail) == 0)
            found[i] = lows[i];
        else
            found[i] = UNSETTLED;
    }
    return 0;
}

static PyObject *find(PyObject *self, PyObject *args)
{
    Py_buffer heads, tails, directory, digests, found;
    Table table;
    int width, shift, sound = 1, fits;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*iiy*w*", &heads, &tails, &directory, &width, &shift, &digests, &found))
        return NULL;
    table.heads = heads.buf, table.tails = tails.buf, table.directory = directory.buf;
    table.rows = (size_t)heads.len / 8, table.width = (size_t)width, table.shift = shift;
    fits = width > 8 && width <= 64 && shift > 0 && shift < 64 && heads.len % 8 == 0 && table.rows <= UINT32_MAX
        && (size_t)tails.len == table.rows * ((size_t)width - 8)
        && (size_t)directory.len == (((size_t)1 << (64 - shift)) + 1) * 4 && digests.len % width == 0
        && found.len == digests.len / width * 8;
    if (fits) {
        size_t count = (size_t)(digests.len / width);
        Py_BEGIN_ALLOW_THREADS
        for (size_t at = 0; sound && at < count; at += GROUP)
            sound = find_group(&table, (const uint8_t *)digests.buf + at * table.width, count - at < GROUP ? count - at : GROUP,
                               (int64_t *)found.buf + at) == 0;
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&heads);
    PyBuffer_Release(&tails);
    PyBuffer_Release(&directory);
    PyBuffer_Release(&digests);
    PyBuffer_Release(&found);
    if (!fits)
        PyErr_SetString(PyExc_ValueError, "not a table, or not so many digests and places");
    else if (!sound)
        PyErr_SetString(PyExc_OverflowError, "the directory is not in order");
    return fits && sound ? Py_NewRef(Py_None) : NULL;
}

void exact_choose(void) {}

PyMethodDef EXACT_METHODS[] = {
    {"exact_find", find, METH_VARARGS,
     "exact_find(heads, tails, directory, width, shift, digests, found)\n--\n\n"
     "Fill found (int64) with the first place of each digest, -1 where there is none, -2 where its head has others first.\n"
     "OverflowError: the directory is not in order."},
    {NULL, NULL, 0, NULL}};
