/* MD5, SHA-1 and SHA-256 of the same bytes in one pass, their rounds interleaved.
 *
 * MD5 is one long chain of dependent additions that leaves most of a processor idle; the SHA instructions of x86 fill that
 * idle time. Together the three cost little more than MD5 alone. Sources: RFC 1321; FIPS 180-4; Intel's description of the
 * SHA extensions. Where the processor has no such instructions the module says so, and hashlib is used instead
 * (amparo/evidence/digests.py, whose tests hold both equal).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_KERNEL 1
#include <cpuid.h>
#include <immintrin.h>
#else
#define HAVE_KERNEL 0
#endif

typedef struct {
    uint32_t md5[4];
    uint32_t sha1[5];
    uint32_t sha256[8];
    uint64_t length;
    unsigned char held[64];
} State;

static const uint32_t MD5_START[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
static const uint32_t SHA1_START[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
static const uint32_t SHA256_START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

#if HAVE_KERNEL

static const uint32_t SHA256_K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* MD5 steps. G is split into two terms that share no bit, so that only one of them waits for the step before. */
#define ROTATE(x, s) (((x) << (s)) | ((x) >> (32 - (s))))
#define WORD(i) (*(const uint32_t __attribute__((aligned(1), may_alias)) *)(data + 4 * (i)))
#define MD5_F(a, b, c, d, i, s, k) a += (d ^ (b & (c ^ d))) + WORD(i) + k, a = ROTATE(a, s) + b
#define MD5_G(a, b, c, d, i, s, k) a += (c & ~d) + WORD(i) + k, a += (b & d), a = ROTATE(a, s) + b
#define MD5_H(a, b, c, d, i, s, k) a += (b ^ (c ^ d)) + WORD(i) + k, a = ROTATE(a, s) + b
#define MD5_I(a, b, c, d, i, s, k) a += (c ^ (b | ~d)) + WORD(i) + k, a = ROTATE(a, s) + b
#define MD5_4(STEP, i0, i1, i2, i3, s0, s1, s2, s3, k0, k1, k2, k3)                                                       \
    STEP(a, b, c, d, i0, s0, k0);                                                                                          \
    STEP(d, a, b, c, i1, s1, k1);                                                                                          \
    STEP(c, d, a, b, i2, s2, k2);                                                                                          \
    STEP(b, c, d, a, i3, s3, k3)

/* Four rounds of SHA-1. e is what the four before left; the other takes the state for the four after. */
#define SHA1_4(f, e, other, w)                                                                                             \
    e = _mm_sha1nexte_epu32(e, w);                                                                                         \
    other = abcd;                                                                                                          \
    abcd = _mm_sha1rnds4_epu32(abcd, e, f)
/* w0 becomes the four words sixteen further on. */
#define SHA1_NEXT(w0, w1, w2, w3) w0 = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w0, w1), w2), w3)

#define SHA256_4(w, i)                                                                                                     \
    k = _mm_add_epi32(w, _mm_load_si128((const __m128i *)(SHA256_K + (i))));                                               \
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);                                                                           \
    abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e))
#define SHA256_NEXT(w0, w1, w2, w3)                                                                                        \
    w0 = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)), w3)

__attribute__((target("sha,sse4.1,ssse3"))) static void blocks(State *state, const unsigned char *data, size_t count)
{
    const __m128i swap_words = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    uint32_t a = state->md5[0], b = state->md5[1], c = state->md5[2], d = state->md5[3];
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state->sha1), 0x1b);
    __m128i e0 = _mm_set_epi32((int)state->sha1[4], 0, 0, 0), e1;
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state->sha256), 0xb1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state->sha256 + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);

    for (; count; count--, data += 64) {
        const uint32_t a_was = a, b_was = b, c_was = c, d_was = d;
        const __m128i abcd_was = abcd, e_was = e0, abef_was = abef, cdgh_was = cdgh;
        __m128i k;
        __m128i v0 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)data), swap_words);
        __m128i v1 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16)), swap_words);
        __m128i v2 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 32)), swap_words);
        __m128i v3 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 48)), swap_words);
        __m128i w0 = _mm_shuffle_epi32(v0, 0x1b), w1 = _mm_shuffle_epi32(v1, 0x1b);
        __m128i w2 = _mm_shuffle_epi32(v2, 0x1b), w3 = _mm_shuffle_epi32(v3, 0x1b);

        e0 = _mm_add_epi32(e0, w0);
        e1 = abcd;
        abcd = _mm_sha1rnds4_epu32(abcd, e0, 0);
        SHA256_4(v0, 0);
        MD5_4(MD5_F, 0, 1, 2, 3, 7, 12, 17, 22, 0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee);
        SHA1_4(0, e1, e0, w1);
        SHA256_4(v1, 4);
        MD5_4(MD5_F, 4, 5, 6, 7, 7, 12, 17, 22, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501);
        SHA1_4(0, e0, e1, w2);
        SHA256_4(v2, 8);
        MD5_4(MD5_F, 8, 9, 10, 11, 7, 12, 17, 22, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be);
        SHA1_4(0, e1, e0, w3);
        SHA256_4(v3, 12);
        MD5_4(MD5_F, 12, 13, 14, 15, 7, 12, 17, 22, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821);
        SHA1_NEXT(w0, w1, w2, w3);
        SHA1_4(0, e0, e1, w0);
        SHA256_NEXT(v0, v1, v2, v3);
        SHA256_4(v0, 16);
        MD5_4(MD5_G, 1, 6, 11, 0, 5, 9, 14, 20, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa);
        SHA1_NEXT(w1, w2, w3, w0);
        SHA1_4(1, e1, e0, w1);
        SHA256_NEXT(v1, v2, v3, v0);
        SHA256_4(v1, 20);
        MD5_4(MD5_G, 5, 10, 15, 4, 5, 9, 14, 20, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8);
        SHA1_NEXT(w2, w3, w0, w1);
        SHA1_4(1, e0, e1, w2);
        SHA256_NEXT(v2, v3, v0, v1);
        SHA256_4(v2, 24);
        MD5_4(MD5_G, 9, 14, 3, 8, 5, 9, 14, 20, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed);
        SHA1_NEXT(w3, w0, w1, w2);
        SHA1_4(1, e1, e0, w3);
        SHA256_NEXT(v3, v0, v1, v2);
        SHA256_4(v3, 28);
        MD5_4(MD5_G, 13, 2, 7, 12, 5, 9, 14, 20, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a);
        SHA1_NEXT(w0, w1, w2, w3);
        SHA1_4(1, e0, e1, w0);
        SHA1_NEXT(w1, w2, w3, w0);
        SHA1_4(1, e1, e0, w1);
        SHA256_NEXT(v0, v1, v2, v3);
        SHA256_4(v0, 32);
        MD5_4(MD5_H, 5, 8, 11, 14, 4, 11, 16, 23, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c);
        SHA1_NEXT(w2, w3, w0, w1);
        SHA1_4(2, e0, e1, w2);
        SHA256_NEXT(v1, v2, v3, v0);
        SHA256_4(v1, 36);
        MD5_4(MD5_H, 1, 4, 7, 10, 4, 11, 16, 23, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70);
        SHA1_NEXT(w3, w0, w1, w2);
        SHA1_4(2, e1, e0, w3);
        SHA256_NEXT(v2, v3, v0, v1);
        SHA256_4(v2, 40);
        MD5_4(MD5_H, 13, 0, 3, 6, 4, 11, 16, 23, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05);
        SHA1_NEXT(w0, w1, w2, w3);
        SHA1_4(2, e0, e1, w0);
        SHA256_NEXT(v3, v0, v1, v2);
        SHA256_4(v3, 44);
        MD5_4(MD5_H, 9, 12, 15, 2, 4, 11, 16, 23, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665);
        SHA1_NEXT(w1, w2, w3, w0);
        SHA1_4(2, e1, e0, w1);
        SHA1_NEXT(w2, w3, w0, w1);
        SHA1_4(2, e0, e1, w2);
        SHA256_NEXT(v0, v1, v2, v3);
        SHA256_4(v0, 48);
        MD5_4(MD5_I, 0, 7, 14, 5, 6, 10, 15, 21, 0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039);
        SHA1_NEXT(w3, w0, w1, w2);
        SHA1_4(3, e1, e0, w3);
        SHA256_NEXT(v1, v2, v3, v0);
        SHA256_4(v1, 52);
        MD5_4(MD5_I, 12, 3, 10, 1, 6, 10, 15, 21, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1);
        SHA1_NEXT(w0, w1, w2, w3);
        SHA1_4(3, e0, e1, w0);
        SHA1_NEXT(w1, w2, w3, w0);
        SHA1_4(3, e1, e0, w1);
        SHA256_NEXT(v2, v3, v0, v1);
        SHA256_4(v2, 56);
        MD5_4(MD5_I, 8, 15, 6, 13, 6, 10, 15, 21, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1);
        SHA1_NEXT(w2, w3, w0, w1);
        SHA1_4(3, e0, e1, w2);
        SHA1_NEXT(w3, w0, w1, w2);
        SHA1_4(3, e1, e0, w3);
        SHA256_NEXT(v3, v0, v1, v2);
        SHA256_4(v3, 60);
        MD5_4(MD5_I, 4, 11, 2, 9, 6, 10, 15, 21, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391);

        a += a_was, b += b_was, c += c_was, d += d_was;
        e0 = _mm_sha1nexte_epu32(e0, e_was);
        abcd = _mm_add_epi32(abcd, abcd_was);
        abef = _mm_add_epi32(abef, abef_was);
        cdgh = _mm_add_epi32(cdgh, cdgh_was);
    }

    state->md5[0] = a, state->md5[1] = b, state->md5[2] = c, state->md5[3] = d;
    _mm_storeu_si128((__m128i *)state->sha1, _mm_shuffle_epi32(abcd, 0x1b));
    state->sha1[4] = (uint32_t)_mm_extract_epi32(e0, 3);
    low = _mm_shuffle_epi32(abef, 0x1b);
    high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state->sha256, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(state->sha256 + 4), _mm_alignr_epi8(high, low, 8));
}

static int has_instructions(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & (1u << 29)))
        return 0;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 19)) && (c & (1u << 9));
}

#else

static void blocks(State *state, const unsigned char *data, size_t count)
{
    (void)state, (void)data, (void)count; /* never called: available is 0 */
}

static int has_instructions(void) { return 0; }

#endif

/* Asked once: on a virtual machine each question to the processor costs as much as hashing a small file. */
static int available;

static void start(State *state)
{
    memcpy(state->md5, MD5_START, sizeof MD5_START);
    memcpy(state->sha1, SHA1_START, sizeof SHA1_START);
    memcpy(state->sha256, SHA256_START, sizeof SHA256_START);
    state->length = 0;
}

static void feed(State *state, const unsigned char *data, size_t size)
{
    size_t held = (size_t)(state->length & 63);
    state->length += size;
    if (held) {
        size_t take = 64 - held < size ? 64 - held : size;
        memcpy(state->held + held, data, take);
        data += take, size -= take;
        if (held + take < 64)
            return;
        blocks(state, state->held, 1);
    }
    if (size >= 64)
        blocks(state, data, size / 64);
    memcpy(state->held, data + size / 64 * 64, size & 63);
}

static char *hex(char *out, const uint32_t *words, int count, int big_endian)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < count; i++)
        for (int byte = 0; byte < 4; byte++) {
            unsigned value = (words[i] >> 8 * (big_endian ? 3 - byte : byte)) & 255;
            *out++ = digits[value >> 4], *out++ = digits[value & 15];
        }
    return out;
}

/* The padding of MD5 and of SHA differ in the order of the length's bytes, so the last block is made twice. */
static PyObject *finish(const State *given)
{
    State little = *given, big = *given;
    unsigned char end[128] = {0};
    size_t held = (size_t)(given->length & 63), size = held < 56 ? 64 : 128;
    uint64_t bits = given->length * 8;
    char text[32 + 40 + 64];
    memcpy(end, given->held, held);
    end[held] = 0x80;
    for (int i = 0; i < 8; i++)
        end[size - 8 + i] = (unsigned char)(bits >> 8 * i);
    blocks(&little, end, size / 64);
    for (int i = 0; i < 8; i++)
        end[size - 1 - i] = (unsigned char)(bits >> 8 * i);
    blocks(&big, end, size / 64);
    hex(hex(hex(text, little.md5, 4, 0), big.sha1, 5, 1), big.sha256, 8, 1);
    return Py_BuildValue("(s#s#s#)", text, (Py_ssize_t)32, text + 32, (Py_ssize_t)40, text + 72, (Py_ssize_t)64);
}

typedef struct {
    PyObject_HEAD
    State state;
} Digests;

static PyObject *digests_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    Digests *self;
    if (PyTuple_GET_SIZE(args) || (names && PyDict_GET_SIZE(names))) {
        PyErr_SetString(PyExc_TypeError, "Digests takes no arguments");
        return NULL;
    }
    if (!available) {
        PyErr_SetString(PyExc_RuntimeError, "this processor has no SHA instructions");
        return NULL;
    }
    self = (Digests *)type->tp_alloc(type, 0);
    if (self)
        start(&self->state);
    return (PyObject *)self;
}

static PyObject *digests_update(Digests *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    feed(&self->state, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    Py_RETURN_NONE;
}

static PyObject *digests_hexdigests(Digests *self, PyObject *nothing)
{
    (void)nothing;
    return finish(&self->state);
}

static PyMethodDef digests_methods[] = {
    {"update", (PyCFunction)digests_update, METH_O, "Add bytes."},
    {"hexdigests", (PyCFunction)digests_hexdigests, METH_NOARGS, "MD5, SHA-1 and SHA-256 of all bytes so far, in lower hex."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject DigestsType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "amparo.evidence._digests.Digests",
    .tp_basicsize = sizeof(Digests),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Three digests of one content, fed a piece at a time by one thread.",
    .tp_methods = digests_methods,
    .tp_new = digests_new,
};

static PyObject *module_available(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    return PyBool_FromLong(available);
}

static PyMethodDef module_methods[] = {
    {"available", module_available, METH_NOARGS, "Whether this processor has the instructions that Digests needs."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "amparo.evidence._digests", "Three digests in one pass.", -1, module_methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__digests(void)
{
    PyObject *made;
    available = has_instructions();
    if (PyType_Ready(&DigestsType) < 0 || !(made = PyModule_Create(&module)))
        return NULL;
    Py_INCREF(&DigestsType);
    if (PyModule_AddObject(made, "Digests", (PyObject *)&DigestsType) < 0) {
        Py_DECREF(&DigestsType);
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
