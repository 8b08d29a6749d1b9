/* PDQ: luma to 64 x 64 samples, to a 16 x 16 cosine transform, to 256 bits. All in integers, so that every path gives the
 * same bits: portable C, AVX2, AVX-512, and the twin in NumPy (amparo/known/pdq.py, where the arithmetic is explained).
 *
 * The published filter (two passes of a box, then 64 x 64 samples) is linear and separable: its weights for one dimension are
 * made once a call, in time that grows with that dimension only, and the rows run through them once.
 */
#include "kernels.h"

#include <stdlib.h>

#define SIDE 64      /* samples each way */
#define KEPT 16      /* frequencies each way */
#define WEIGHT 14    /* bits: the weights of a sample sum to 1 << WEIGHT */
#define BLOCK 32     /* weights are padded with zeros to a multiple of this many */
#define LONGEST (1 << 20) /* of either dimension of the whole picture: sums stay within 64 bits */

/* One dimension of the operator: sample k is the sum of weights[k * padded + i] * pixel[start[k] + i], i < count[k]. */
typedef struct {
    int32_t start[SIDE], count[SIDE];
    int32_t padded;
    int16_t *weights;
} Side;

/* The two loops that see every pixel. rows: `count` rows, `stride` bytes apart, become one row of luma << 7 in out.
 * gather: one such row becomes 64 samples of luma << 21. */
typedef void (*RowsToOne)(const uint8_t *rows, Py_ssize_t stride, int32_t count, const int16_t *weights, int32_t width,
                          int16_t *out);
typedef void (*Gather)(const int16_t *row, const Side *side, int32_t *samples);
typedef void (*Transform)(const int32_t *samples, int32_t *coefficients, int *quality);

typedef struct {
    const char *name;
    RowsToOne rows_to_one;
    Gather gather;
    Transform transform;
} Path;

/* ---- weights ---------------------------------------------------------------------------------------------------- */

/* The reach of a box of `window` pixels, clipped to the picture: [*low, *high]. */
static void box(int32_t at, int32_t window, int32_t length, int32_t *low, int32_t *high)
{
    int32_t right = window / 2, left = window - 1 - right;
    *low = at > left ? at - left : 0;
    *high = at + right < length - 1 ? at + right : length - 1;
}

/* Weights for `length` pixels of which `factor` at a time were averaged into one. 0, or -1 without memory. */
static int make_side(Side *side, int32_t length, int32_t factor)
{
    int32_t window = (length + 2 * SIDE - 1) / (2 * SIDE);
    int32_t most = (2 * window + 1) / factor + 2;
    side->padded = (most + BLOCK - 1) / BLOCK * BLOCK;
    side->weights = calloc((size_t)SIDE * (size_t)side->padded, sizeof(int16_t));
    if (side->weights == NULL)
        return -1;
    for (int32_t k = 0; k < SIDE; k++) {
        int32_t centre = (int32_t)(((int64_t)(2 * k + 1) * length) / (2 * SIDE));
        int32_t first, last, low, high, unused;
        box(centre, window, length, &first, &last);
        box(first, window, length, &low, &unused);
        box(last, window, length, &unused, &high);
        /* Each pixel of the second box spreads an equal share, 1 << 32, over its own box. The share of a pixel, summed from
         * the left and rounded at the end of each averaged pixel, gives weights that sum exactly to 1 << WEIGHT. */
        int64_t total = 0;
        for (int32_t i = first; i <= last; i++) {
            int32_t a, b;
            box(i, window, length, &a, &b);
            total += (((int64_t)1 << 32) / (b - a + 1)) * (b - a + 1);
        }
        int16_t *weights = side->weights + (size_t)k * (size_t)side->padded;
        int32_t begin = low / factor, entering = first, leaving = first;
        int64_t density = 0, sum = 0, before = 0;
        side->start[k] = begin;
        side->count[k] = high / factor - begin + 1;
        for (int32_t j = low; j <= high; j++) {
            int32_t a, b;
            for (; entering <= last; entering++) {
                box(entering, window, length, &a, &b);
                if (a > j)
                    break;
                density += ((int64_t)1 << 32) / (b - a + 1);
            }
            for (; leaving < entering; leaving++) {
                box(leaving, window, length, &a, &b);
                if (b >= j)
                    break;
                density -= ((int64_t)1 << 32) / (b - a + 1);
            }
            sum += density;
            if (j == high || (j + 1) % factor == 0) {
                int64_t now = ((sum << (WEIGHT + 1)) + total) / (2 * total);
                weights[j / factor - begin] = (int16_t)(now - before);
                before = now;
            }
        }
    }
    return 0;
}

/* ---- portable ----------------------------------------------------------------------------------------------------- */

static void rows_plain(const uint8_t *rows, Py_ssize_t stride, int32_t count, const int16_t *weights, int32_t width,
                       int16_t *out)
{
    for (int32_t x = 0; x < width; x += 256) {
        int32_t sums[256], many = width - x < 256 ? width - x : 256;
        for (int32_t i = 0; i < many; i++)
            sums[i] = 1 << (WEIGHT - 8);
        for (int32_t y = 0; y < count; y++) {
            const uint8_t *row = rows + y * stride + x;
            int32_t weight = weights[y];
            for (int32_t i = 0; i < many; i++)
                sums[i] += weight * row[i];
        }
        for (int32_t i = 0; i < many; i++)
            out[x + i] = (int16_t)(sums[i] >> (WEIGHT - 7));
    }
}

static void gather_plain(const int16_t *row, const Side *side, int32_t *samples)
{
    for (int32_t k = 0; k < SIDE; k++) {
        const int16_t *weights = side->weights + (size_t)k * (size_t)side->padded, *pixels = row + side->start[k];
        int32_t sum = 0;
        for (int32_t i = 0; i < side->count[k]; i++)
            sum += (int32_t)weights[i] * pixels[i];
        samples[k] = sum;
    }
}

/* round(16384 * sqrt(2 / 64) * cos(pi * m / 128)), m from 0 to 64 */
static const int16_t COSINE[65] = {
    2896, 2895, 2893, 2888, 2882, 2875, 2865, 2854, 2841, 2826, 2810, 2791, 2772, 2750, 2727, 2702, 2676,
    2648, 2618, 2587, 2554, 2520, 2484, 2447, 2408, 2368, 2326, 2283, 2239, 2193, 2146, 2098, 2048, 1997,
    1945, 1892, 1837, 1782, 1725, 1668, 1609, 1550, 1489, 1428, 1365, 1302, 1238, 1174, 1108, 1042, 976,
    909, 841, 772, 704, 635, 565, 495, 425, 355, 284, 213, 142, 71, 0};

/* The cosine of frequency f + 1 at place i of 64, twice: by frequency, and by place. */
static int16_t BY_FREQUENCY[KEPT][SIDE / 2];
static int32_t BY_PLACE[SIDE / 2][KEPT];

static void make_cosines(void)
{
    for (int32_t f = 0; f < KEPT; f++)
        for (int32_t i = 0; i < SIDE / 2; i++) {
            int32_t angle = (f + 1) * (2 * i + 1) % 256; /* of 256 parts of a turn */
            if (angle > 128)
                angle = 256 - angle;
            int16_t cosine = angle <= 64 ? COSINE[angle] : (int16_t)-COSINE[128 - angle];
            BY_FREQUENCY[f][i] = cosine;
            BY_PLACE[i][f] = cosine;
        }
}

/* Samples of luma << 21 to coefficients of luma << 17, and the quality. An even frequency is the same from both ends and an odd
 * one is opposite, so each takes the sum or the difference of the two halves. Inlined into a function for each processor. */
static inline __attribute__((always_inline)) void transform(const int32_t *samples, int32_t *coefficients, int *quality)
{
    int16_t luma[SIDE][SIDE], halves[2][SIDE / 2][SIDE];
    int32_t down[KEPT][SIDE], gradient = 0;
    for (int32_t y = 0; y < SIDE; y++)
        for (int32_t x = 0; x < SIDE; x++)
            luma[y][x] = (int16_t)((samples[y * SIDE + x] + (1 << 13)) >> 14);
    /* Steps of a hundredth of the range: 51401 / 2^24 is 100 / (255 * 128), exact for every difference there is. */
    for (int32_t y = 0; y < SIDE - 1; y++)
        for (int32_t x = 0; x < SIDE; x++)
            gradient += (int32_t)((uint32_t)abs(luma[y][x] - luma[y + 1][x]) * 51401u >> 24);
    for (int32_t y = 0; y < SIDE; y++)
        for (int32_t x = 0; x < SIDE - 1; x++)
            gradient += (int32_t)((uint32_t)abs(luma[y][x] - luma[y][x + 1]) * 51401u >> 24);
    *quality = gradient / 90 < 100 ? gradient / 90 : 100;

    for (int32_t y = 0; y < SIDE / 2; y++)
        for (int32_t x = 0; x < SIDE; x++) {
            int32_t near = luma[y][x] - 16384, far = luma[SIDE - 1 - y][x] - 16384;
            halves[0][y][x] = (int16_t)(near - far);
            halves[1][y][x] = (int16_t)(near + far);
        }
    for (int32_t f = 0; f < KEPT; f++) {
        int32_t sums[SIDE] = {0};
        for (int32_t y = 0; y < SIDE / 2; y++)
            for (int32_t x = 0; x < SIDE; x++)
                sums[x] += (int32_t)BY_FREQUENCY[f][y] * halves[f & 1][y][x];
        for (int32_t x = 0; x < SIDE; x++)
            down[f][x] = (sums[x] + 2) >> 2;
    }
    for (int32_t f = 0; f < KEPT; f++) {
        int64_t sums[KEPT] = {0};
        for (int32_t x = 0; x < SIDE / 2; x++) {
            int32_t both[2] = {down[f][x] - down[f][SIDE - 1 - x], down[f][x] + down[f][SIDE - 1 - x]};
            for (int32_t g = 0; g < KEPT; g += 2) {
                sums[g] += (int64_t)BY_PLACE[x][g] * both[0];
                sums[g + 1] += (int64_t)BY_PLACE[x][g + 1] * both[1];
            }
        }
        for (int32_t g = 0; g < KEPT; g++)
            coefficients[f * KEPT + g] = (int32_t)((sums[g] + (1 << 15)) >> 16);
    }
}

static void transform_plain(const int32_t *samples, int32_t *coefficients, int *quality)
{
    transform(samples, coefficients, quality);
}

/* ---- x86 ---------------------------------------------------------------------------------------------------------- */

#if ON_X86

/* Two rows at a time, their bytes interleaved, so that one instruction multiplies both by their weights and adds. The last
 * strip of columns overlaps the one before, and gives the same again. */
__attribute__((target("avx2"))) static void rows_avx2(const uint8_t *rows, Py_ssize_t stride, int32_t count,
                                                      const int16_t *weights, int32_t width, int16_t *out)
{
    if (width < 32) {
        rows_plain(rows, stride, count, weights, width, out);
        return;
    }
    const __m256i zero = _mm256_setzero_si256(), half = _mm256_set1_epi32(1 << (WEIGHT - 8));
    for (int32_t at = 0; at < width; at += 32) {
        int32_t x = at + 32 <= width ? at : width - 32;
        __m256i s0 = half, s1 = half, s2 = half, s3 = half;
        for (int32_t y = 0; y < count; y += 2) {
            const uint8_t *row = rows + y * stride + x, *next = y + 1 < count ? row + stride : row;
            /* the weight after the last one is padding, zero */
            __m256i pair = _mm256_set1_epi32((int32_t)((uint16_t)weights[y] | (uint32_t)(uint16_t)weights[y + 1] << 16));
            __m256i a = _mm256_loadu_si256((const __m256i *)row), b = _mm256_loadu_si256((const __m256i *)next);
            __m256i low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
            s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), pair));
            s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), pair));
            s2 = _mm256_add_epi32(s2, _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), pair));
            s3 = _mm256_add_epi32(s3, _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), pair));
        }
        __m256i left = _mm256_packs_epi32(_mm256_srai_epi32(s0, WEIGHT - 7), _mm256_srai_epi32(s1, WEIGHT - 7));
        __m256i right = _mm256_packs_epi32(_mm256_srai_epi32(s2, WEIGHT - 7), _mm256_srai_epi32(s3, WEIGHT - 7));
        _mm256_storeu_si256((__m256i *)(out + x), _mm256_permute2x128_si256(left, right, 0x20));
        _mm256_storeu_si256((__m256i *)(out + x + 16), _mm256_permute2x128_si256(left, right, 0x31));
    }
}

__attribute__((target("avx2"))) static inline __m256i dot_avx2(const int16_t *row, const Side *side, int32_t k)
{
    const int16_t *weights = side->weights + (size_t)k * (size_t)side->padded, *pixels = row + side->start[k];
    __m256i sum = _mm256_setzero_si256();
    for (int32_t i = 0; i < side->count[k]; i += 16)
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *)(weights + i)),
                                                      _mm256_loadu_si256((const __m256i *)(pixels + i))));
    return sum;
}

__attribute__((target("avx2"))) static void gather_avx2(const int16_t *row, const Side *side, int32_t *samples)
{
    for (int32_t k = 0; k < SIDE; k += 4) {
        __m256i first = _mm256_hadd_epi32(dot_avx2(row, side, k), dot_avx2(row, side, k + 1));
        __m256i second = _mm256_hadd_epi32(dot_avx2(row, side, k + 2), dot_avx2(row, side, k + 3));
        __m256i four = _mm256_hadd_epi32(first, second);
        _mm_storeu_si128((__m128i *)(samples + k),
                         _mm_add_epi32(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1)));
    }
}

__attribute__((target("avx2"))) static void transform_avx2(const int32_t *samples, int32_t *coefficients, int *quality)
{
    transform(samples, coefficients, quality);
}

__attribute__((target("avx512f,avx512bw"))) static void rows_avx512(const uint8_t *rows, Py_ssize_t stride, int32_t count,
                                                                     const int16_t *weights, int32_t width, int16_t *out)
{
    if (width < 64) {
        rows_avx2(rows, stride, count, weights, width, out);
        return;
    }
    const __m512i zero = _mm512_setzero_si512(), half = _mm512_set1_epi32(1 << (WEIGHT - 8));
    const __m512i lower = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), upper = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    for (int32_t at = 0; at < width; at += 64) {
        int32_t x = at + 64 <= width ? at : width - 64;
        __m512i s0 = half, s1 = half, s2 = half, s3 = half;
        for (int32_t y = 0; y < count; y += 2) {
            const uint8_t *row = rows + y * stride + x, *next = y + 1 < count ? row + stride : row;
            __m512i pair = _mm512_set1_epi32((int32_t)((uint16_t)weights[y] | (uint32_t)(uint16_t)weights[y + 1] << 16));
            __m512i a = _mm512_loadu_si512(row), b = _mm512_loadu_si512(next);
            __m512i low = _mm512_unpacklo_epi8(a, b), high = _mm512_unpackhi_epi8(a, b);
            s0 = _mm512_add_epi32(s0, _mm512_madd_epi16(_mm512_unpacklo_epi8(low, zero), pair));
            s1 = _mm512_add_epi32(s1, _mm512_madd_epi16(_mm512_unpackhi_epi8(low, zero), pair));
            s2 = _mm512_add_epi32(s2, _mm512_madd_epi16(_mm512_unpacklo_epi8(high, zero), pair));
            s3 = _mm512_add_epi32(s3, _mm512_madd_epi16(_mm512_unpackhi_epi8(high, zero), pair));
        }
        __m512i left = _mm512_packs_epi32(_mm512_srai_epi32(s0, WEIGHT - 7), _mm512_srai_epi32(s1, WEIGHT - 7));
        __m512i right = _mm512_packs_epi32(_mm512_srai_epi32(s2, WEIGHT - 7), _mm512_srai_epi32(s3, WEIGHT - 7));
        _mm512_storeu_si512(out + x, _mm512_permutex2var_epi64(left, lower, right));
        _mm512_storeu_si512(out + x + 32, _mm512_permutex2var_epi64(left, upper, right));
    }
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))) static void transform_avx512(const int32_t *samples,
                                                                                         int32_t *coefficients, int *quality)
{
    transform(samples, coefficients, quality);
}

#endif

static Path PATHS[3] = {{"portable", rows_plain, gather_plain, transform_plain}};
static int path_count = 1;

void pdq_choose(void)
{
    make_cosines();
#if ON_X86
    path_count = 1;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) {
        PATHS[path_count++] = (Path){"avx2", rows_avx2, gather_avx2, transform_avx2};
        if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
            PATHS[path_count++] = (Path){"avx512", rows_avx512, gather_avx2, transform_avx512};
    }
#endif
}

/* ---- coefficients to bits ------------------------------------------------------------------------------------------ */

/* The 128th smallest of 256 (Hoare's selection; three-way, so that equal values cost nothing more). */
static int32_t median(const int32_t *values)
{
    int32_t left[KEPT * KEPT];
    int32_t low = 0, high = KEPT * KEPT - 1, wanted = KEPT * KEPT / 2 - 1;
    memcpy(left, values, sizeof left);
    while (low < high) {
        int32_t pivot = left[(low + high) / 2], i = low, below = low, above = high;
        while (i <= above) {
            int32_t value = left[i];
            if (value < pivot) {
                left[i++] = left[below];
                left[below++] = value;
            } else if (value > pivot) {
                left[i] = left[above];
                left[above--] = value;
            } else
                i++;
        }
        if (wanted < below)
            high = below - 1;
        else if (wanted > above)
            low = above + 1;
        else
            return pivot;
    }
    return left[low];
}

/* Bit 0, of row 0 and column 0, is the last of the 32 bytes as they are printed; `turned` swaps rows and columns. */
static void write_bits(const int32_t *values, int32_t middle, int turned, uint8_t *bits)
{
    memset(bits, 0, 32);
    for (int32_t y = 0; y < KEPT; y++)
        for (int32_t x = 0; x < KEPT; x++) {
            int32_t bit = turned ? x * KEPT + y : y * KEPT + x;
            bits[31 - bit / 8] |= (uint8_t)((values[y * KEPT + x] > middle) << (bit % 8));
        }
}

/* The eight forms, in the reference's order: as it is, turned by 90, 180 and 270 degrees, flipped by X, by Y, by either diagonal.
 * Each is a pattern of signs, by parity of column (1) and of row (2), with or without rows and columns swapped. */
static const struct {
    int by_column, by_row, negative, turned;
} FORMS[8] = {{0, 0, 0, 0}, {1, 0, 1, 1}, {1, 1, 0, 0}, {0, 1, 1, 1}, {0, 1, 1, 0}, {1, 0, 1, 0}, {0, 0, 0, 1}, {1, 1, 0, 1}};

static void bits_of(const int32_t *coefficients, int forms, uint8_t *bits)
{
    int32_t medians[4];
    int known[4] = {0};
    for (int form = 0; form < forms; form++) {
        int32_t values[KEPT * KEPT];
        int pattern = FORMS[form].by_column + 2 * FORMS[form].by_row;
        for (int32_t y = 0; y < KEPT; y++)
            for (int32_t x = 0; x < KEPT; x++) {
                int flip = ((FORMS[form].by_column & x) ^ (FORMS[form].by_row & y) ^ FORMS[form].negative) & 1;
                values[y * KEPT + x] = flip ? -coefficients[y * KEPT + x] : coefficients[y * KEPT + x];
            }
        if (!known[pattern]) {
            medians[pattern] = median(values);
            known[pattern] = 1;
        }
        write_bits(values, medians[pattern], FORMS[form].turned, bits + 32 * form);
    }
}

/* ---- Python -------------------------------------------------------------------------------------------------------- */

/* 0, or -1 without memory. */
static int fingerprint(const uint8_t *luma, Py_ssize_t stride, int32_t height, int32_t width, int32_t full_height,
                       int32_t full_width, int32_t factor, int forms, const Path *path, uint8_t *bits, int *quality)
{
    Side down = {.weights = NULL}, across = {.weights = NULL};
    int32_t samples[SIDE * SIDE], coefficients[KEPT * KEPT];
    int16_t *row = calloc((size_t)width + 2 * BLOCK, sizeof(int16_t));
    int result = -1;
    (void)height;
    if (row != NULL && make_side(&down, full_height, factor) == 0 && make_side(&across, full_width, factor) == 0) {
        for (int32_t k = 0; k < SIDE; k++) {
            path->rows_to_one(luma + down.start[k] * stride, stride, down.count[k],
                              down.weights + (size_t)k * (size_t)down.padded, width, row);
            path->gather(row, &across, samples + k * SIDE);
        }
        path->transform(samples, coefficients, quality);
        bits_of(coefficients, forms, bits);
        result = 0;
    }
    free(row);
    free(down.weights);
    free(across.weights);
    return result;
}

static PyObject *pdq(PyObject *self, PyObject *arguments)
{
    Py_buffer view;
    Py_ssize_t stride;
    int height, width, full_height, full_width, factor, forms, which = -1, quality = 0;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*niiiiii|i", &view, &stride, &height, &width, &full_height, &full_width, &factor, &forms,
                          &which))
        return NULL;
    uint8_t bits[8 * 32] = {0};
    PyObject *result = NULL;
    if (full_height < 1 || full_width < 1 || full_height > LONGEST || full_width > LONGEST || factor < 1 || factor > 8
        || height != (full_height + factor - 1) / factor || width != (full_width + factor - 1) / factor)
        PyErr_SetString(PyExc_ValueError, "the sizes of the picture and of its reduction do not fit each other");
    else if (stride < width || view.len < width || (view.len - width) / stride < height - 1)
        PyErr_SetString(PyExc_ValueError, "the buffer does not hold the picture");
    else if ((forms != 1 && forms != 8) || which >= path_count)
        PyErr_SetString(PyExc_ValueError, "there is no such form or path");
    else {
        int failed = 0;
        /* The published hash of a picture below five pixels either way is all zero, with quality 0. */
        if (full_height >= 5 && full_width >= 5) {
            const Path *path = &PATHS[which < 0 ? path_count - 1 : which];
            Py_BEGIN_ALLOW_THREADS
            failed = fingerprint(view.buf, stride, height, width, full_height, full_width, factor, forms, path, bits, &quality);
            Py_END_ALLOW_THREADS
        }
        if (failed)
            PyErr_NoMemory();
        else
            result = Py_BuildValue("y#i", (const char *)bits, (Py_ssize_t)(32 * forms), quality);
    }
    PyBuffer_Release(&view);
    return result;
}

static PyObject *pdq_paths(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyObject *names = PyTuple_New(path_count);
    for (int i = 0; names != NULL && i < path_count; i++) {
        PyObject *name = PyUnicode_FromString(PATHS[i].name);
        if (name == NULL)
            Py_CLEAR(names);
        else
            PyTuple_SET_ITEM(names, i, name);
    }
    return names;
}

PyMethodDef PDQ_METHODS[] = {
    {"pdq", pdq, METH_VARARGS,
     "pdq(luma, stride, height, width, full_height, full_width, factor, forms, path=-1) -> (32 * forms bytes, quality)"},
    {"pdq_paths", pdq_paths, METH_NOARGS, "The names of the paths that this processor can take, the last one by default."},
    {NULL, NULL, 0, NULL}};
