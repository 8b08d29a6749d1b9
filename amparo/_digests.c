/* MD5, SHA-1 and SHA-256 of the same bytes in one pass, their rounds interleaved.
 *
 * MD5 is one long chain of dependent additions that leaves most of a processor idle; the SHA instructions of x86 fill that
 * idle time. Together the three cost little more than MD5 alone; and where two contents are at hand, two such chains run side
 * by side, at two thirds of the time for each. Sources: RFC 1321; FIPS 180-4; Intel's description of the
 * SHA extensions. Where the processor has no such instructions the module says so, and hashlib is used instead
 * (amparo/digests.py, whose tests hold both equal).
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
#define WORD(from, i) (*(const uint32_t __attribute__((aligned(1), may_alias)) *)((from) + 4 * (i)))
#define MD5_F(a, b, c, d, w, s, k) a += (d ^ (b & (c ^ d))) + (w) + k, a = ROTATE(a, s) + b
#define MD5_G(a, b, c, d, w, s, k) a += (c & ~d) + (w) + k, a += (b & d), a = ROTATE(a, s) + b
#define MD5_H(a, b, c, d, w, s, k) a += (b ^ (c ^ d)) + (w) + k, a = ROTATE(a, s) + b
#define MD5_I(a, b, c, d, w, s, k) a += (c ^ (b | ~d)) + (w) + k, a = ROTATE(a, s) + b
/* Four steps of the only lane, and of two lanes side by side. */
#define MD5_4(STEP, i0, i1, i2, i3, s0, s1, s2, s3, k0, k1, k2, k3)                                                       \
    STEP(a, b, c, d, WORD(data, i0), s0, k0);                                                                              \
    STEP(d, a, b, c, WORD(data, i1), s1, k1);                                                                              \
    STEP(c, d, a, b, WORD(data, i2), s2, k2);                                                                              \
    STEP(b, c, d, a, WORD(data, i3), s3, k3)
#define MD5_4_TWICE(STEP, i0, i1, i2, i3, s0, s1, s2, s3, k0, k1, k2, k3)                                                 \
    STEP(a, b, c, d, WORD(data, i0), s0, k0);                                                                              \
    STEP(p, q, r, s, WORD(other, i0), s0, k0);                                                                             \
    STEP(d, a, b, c, WORD(data, i1), s1, k1);                                                                              \
    STEP(s, p, q, r, WORD(other, i1), s1, k1);                                                                             \
    STEP(c, d, a, b, WORD(data, i2), s2, k2);                                                                              \
    STEP(r, s, p, q, WORD(other, i2), s2, k2);                                                                             \
    STEP(b, c, d, a, WORD(data, i3), s3, k3);                                                                              \
    STEP(q, r, s, p, WORD(other, i3), s3, k3)

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

/* What SHA-1 and SHA-256 do with one block, in sixteen parts that go between the steps of MD5. */
#define SHA_00 e0 = _mm_add_epi32(e0, w0); e1 = abcd; abcd = _mm_sha1rnds4_epu32(abcd, e0, 0); SHA256_4(v0, 0)
#define SHA_01 SHA1_4(0, e1, e0, w1); SHA256_4(v1, 4)
#define SHA_02 SHA1_4(0, e0, e1, w2); SHA256_4(v2, 8)
#define SHA_03 SHA1_4(0, e1, e0, w3); SHA256_4(v3, 12)
#define SHA_04 SHA1_NEXT(w0, w1, w2, w3); SHA1_4(0, e0, e1, w0); SHA256_NEXT(v0, v1, v2, v3); SHA256_4(v0, 16)
#define SHA_05 SHA1_NEXT(w1, w2, w3, w0); SHA1_4(1, e1, e0, w1); SHA256_NEXT(v1, v2, v3, v0); SHA256_4(v1, 20)
#define SHA_06 SHA1_NEXT(w2, w3, w0, w1); SHA1_4(1, e0, e1, w2); SHA256_NEXT(v2, v3, v0, v1); SHA256_4(v2, 24)
#define SHA_07 SHA1_NEXT(w3, w0, w1, w2); SHA1_4(1, e1, e0, w3); SHA256_NEXT(v3, v0, v1, v2); SHA256_4(v3, 28)
#define SHA_08 SHA1_NEXT(w0, w1, w2, w3); SHA1_4(1, e0, e1, w0); SHA1_NEXT(w1, w2, w3, w0);                               \
    SHA1_4(1, e1, e0, w1); SHA256_NEXT(v0, v1, v2, v3); SHA256_4(v0, 32)
#define SHA_09 SHA1_NEXT(w2, w3, w0, w1); SHA1_4(2, e0, e1, w2); SHA256_NEXT(v1, v2, v3, v0); SHA256_4(v1, 36)
#define SHA_10 SHA1_NEXT(w3, w0, w1, w2); SHA1_4(2, e1, e0, w3); SHA256_NEXT(v2, v3, v0, v1); SHA256_4(v2, 40)
#define SHA_11 SHA1_NEXT(w0, w1, w2, w3); SHA1_4(2, e0, e1, w0); SHA256_NEXT(v3, v0, v1, v2); SHA256_4(v3, 44)
#define SHA_12 SHA1_NEXT(w1, w2, w3, w0); SHA1_4(2, e1, e0, w1); SHA1_NEXT(w2, w3, w0, w1);                               \
    SHA1_4(2, e0, e1, w2); SHA256_NEXT(v0, v1, v2, v3); SHA256_4(v0, 48)
#define SHA_13 SHA1_NEXT(w3, w0, w1, w2); SHA1_4(3, e1, e0, w3); SHA256_NEXT(v1, v2, v3, v0); SHA256_4(v1, 52)
#define SHA_14 SHA1_NEXT(w0, w1, w2, w3); SHA1_4(3, e0, e1, w0); SHA1_NEXT(w1, w2, w3, w0);                               \
    SHA1_4(3, e1, e0, w1); SHA256_NEXT(v2, v3, v0, v1); SHA256_4(v2, 56)
#define SHA_15 SHA1_NEXT(w2, w3, w0, w1); SHA1_4(3, e0, e1, w2); SHA1_NEXT(w3, w0, w1, w2);                               \
    SHA1_4(3, e1, e0, w3); SHA256_NEXT(v3, v0, v1, v2); SHA256_4(v3, 60)

/* The block at ``from`` as the words of SHA-1 and of SHA-256. */
#define SHA_LOAD(from)                                                                                                     \
    v0 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(from)), swap_words);                                           \
    v1 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)((from) + 16)), swap_words);                                    \
    v2 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)((from) + 32)), swap_words);                                    \
    v3 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)((from) + 48)), swap_words);                                    \
    w0 = _mm_shuffle_epi32(v0, 0x1b), w1 = _mm_shuffle_epi32(v1, 0x1b);                                                    \
    w2 = _mm_shuffle_epi32(v2, 0x1b), w3 = _mm_shuffle_epi32(v3, 0x1b)
#define SHA_BEGIN(lane, from)                                                                                              \
    abcd = (lane).abcd, e0 = (lane).e, abef = (lane).abef, cdgh = (lane).cdgh;                                             \
    SHA_LOAD(from)
#define SHA_END(lane)                                                                                                      \
    (lane).e = _mm_sha1nexte_epu32(e0, (lane).e), (lane).abcd = _mm_add_epi32(abcd, (lane).abcd);                          \
    (lane).abef = _mm_add_epi32(abef, (lane).abef), (lane).cdgh = _mm_add_epi32(cdgh, (lane).cdgh)

typedef struct {
    __m128i abcd, e, abef, cdgh;
} Sha;

#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))

SHA_TARGET static Sha sha_of(const State *state)
{
    const __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state->sha256), 0xb1);
    const __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state->sha256 + 4)), 0x1b);
    const Sha sha = {_mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state->sha1), 0x1b),
                     _mm_set_epi32((int)state->sha1[4], 0, 0, 0), _mm_alignr_epi8(low, high, 8),
                     _mm_blend_epi16(high, low, 0xf0)};
    return sha;
}

SHA_TARGET static void keep_sha(State *state, Sha sha)
{
    const __m128i low = _mm_shuffle_epi32(sha.abef, 0x1b), high = _mm_shuffle_epi32(sha.cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state->sha1, _mm_shuffle_epi32(sha.abcd, 0x1b));
    state->sha1[4] = (uint32_t)_mm_extract_epi32(sha.e, 3);
    _mm_storeu_si128((__m128i *)state->sha256, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(state->sha256 + 4), _mm_alignr_epi8(high, low, 8));
}

SHA_TARGET static void blocks(State *state, const unsigned char *data, size_t count)
{
    const __m128i swap_words = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    uint32_t a = state->md5[0], b = state->md5[1], c = state->md5[2], d = state->md5[3];
    Sha sha = sha_of(state);
    for (; count; count--, data += 64) {
        const uint32_t a_was = a, b_was = b, c_was = c, d_was = d;
        __m128i abcd, e0, e1, abef, cdgh, k, v0, v1, v2, v3, w0, w1, w2, w3;
        SHA_BEGIN(sha, data);
        SHA_00;
        MD5_4(MD5_F, 0, 1, 2, 3, 7, 12, 17, 22, 0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee);
        SHA_01;
        MD5_4(MD5_F, 4, 5, 6, 7, 7, 12, 17, 22, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501);
        SHA_02;
        MD5_4(MD5_F, 8, 9, 10, 11, 7, 12, 17, 22, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be);
        SHA_03;
        MD5_4(MD5_F, 12, 13, 14, 15, 7, 12, 17, 22, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821);
        SHA_04;
        MD5_4(MD5_G, 1, 6, 11, 0, 5, 9, 14, 20, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa);
        SHA_05;
        MD5_4(MD5_G, 5, 10, 15, 4, 5, 9, 14, 20, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8);
        SHA_06;
        MD5_4(MD5_G, 9, 14, 3, 8, 5, 9, 14, 20, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed);
        SHA_07;
        MD5_4(MD5_G, 13, 2, 7, 12, 5, 9, 14, 20, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a);
        SHA_08;
        MD5_4(MD5_H, 5, 8, 11, 14, 4, 11, 16, 23, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c);
        SHA_09;
        MD5_4(MD5_H, 1, 4, 7, 10, 4, 11, 16, 23, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70);
        SHA_10;
        MD5_4(MD5_H, 13, 0, 3, 6, 4, 11, 16, 23, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05);
        SHA_11;
        MD5_4(MD5_H, 9, 12, 15, 2, 4, 11, 16, 23, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665);
        SHA_12;
        MD5_4(MD5_I, 0, 7, 14, 5, 6, 10, 15, 21, 0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039);
        SHA_13;
        MD5_4(MD5_I, 12, 3, 10, 1, 6, 10, 15, 21, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1);
        SHA_14;
        MD5_4(MD5_I, 8, 15, 6, 13, 6, 10, 15, 21, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1);
        SHA_15;
        MD5_4(MD5_I, 4, 11, 2, 9, 6, 10, 15, 21, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391);
        SHA_END(sha);
        a += a_was, b += b_was, c += c_was, d += d_was;
    }
    state->md5[0] = a, state->md5[1] = b, state->md5[2] = c, state->md5[3] = d;
    keep_sha(state, sha);
}

/* As many blocks of two contents. Their MD5 run side by side; the SHA of the first go with the first half of its steps. */
SHA_TARGET static void blocks_of_two(State *first, const unsigned char *data, State *second, const unsigned char *other,
                                     size_t count)
{
    const __m128i swap_words = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    uint32_t a = first->md5[0], b = first->md5[1], c = first->md5[2], d = first->md5[3];
    uint32_t p = second->md5[0], q = second->md5[1], r = second->md5[2], s = second->md5[3];
    Sha sha = sha_of(first), sha_other = sha_of(second);
    for (; count; count--, data += 64, other += 64) {
        __m128i abcd, e0, e1, abef, cdgh, k, v0, v1, v2, v3, w0, w1, w2, w3;
        SHA_BEGIN(sha, data);
        SHA_00;
        SHA_01;
        MD5_4_TWICE(MD5_F, 0, 1, 2, 3, 7, 12, 17, 22, 0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee);
        SHA_02;
        SHA_03;
        MD5_4_TWICE(MD5_F, 4, 5, 6, 7, 7, 12, 17, 22, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501);
        SHA_04;
        SHA_05;
        MD5_4_TWICE(MD5_F, 8, 9, 10, 11, 7, 12, 17, 22, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be);
        SHA_06;
        SHA_07;
        MD5_4_TWICE(MD5_F, 12, 13, 14, 15, 7, 12, 17, 22, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821);
        SHA_08;
        SHA_09;
        MD5_4_TWICE(MD5_G, 1, 6, 11, 0, 5, 9, 14, 20, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa);
        SHA_10;
        SHA_11;
        MD5_4_TWICE(MD5_G, 5, 10, 15, 4, 5, 9, 14, 20, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8);
        SHA_12;
        SHA_13;
        MD5_4_TWICE(MD5_G, 9, 14, 3, 8, 5, 9, 14, 20, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed);
        SHA_14;
        SHA_15;
        MD5_4_TWICE(MD5_G, 13, 2, 7, 12, 5, 9, 14, 20, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a);
        SHA_END(sha);
        SHA_BEGIN(sha_other, other);
        SHA_00;
        SHA_01;
        MD5_4_TWICE(MD5_H, 5, 8, 11, 14, 4, 11, 16, 23, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c);
        SHA_02;
        SHA_03;
        MD5_4_TWICE(MD5_H, 1, 4, 7, 10, 4, 11, 16, 23, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70);
        SHA_04;
        SHA_05;
        MD5_4_TWICE(MD5_H, 13, 0, 3, 6, 4, 11, 16, 23, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05);
        SHA_06;
        SHA_07;
        MD5_4_TWICE(MD5_H, 9, 12, 15, 2, 4, 11, 16, 23, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665);
        SHA_08;
        SHA_09;
        MD5_4_TWICE(MD5_I, 0, 7, 14, 5, 6, 10, 15, 21, 0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039);
        SHA_10;
        SHA_11;
        MD5_4_TWICE(MD5_I, 12, 3, 10, 1, 6, 10, 15, 21, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1);
        SHA_12;
        SHA_13;
        MD5_4_TWICE(MD5_I, 8, 15, 6, 13, 6, 10, 15, 21, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1);
        SHA_14;
        SHA_15;
        MD5_4_TWICE(MD5_I, 4, 11, 2, 9, 6, 10, 15, 21, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391);
        SHA_END(sha_other);
        /* Kept in memory from block to block: the registers are all taken. */
        first->md5[0] = a += first->md5[0], first->md5[1] = b += first->md5[1];
        first->md5[2] = c += first->md5[2], first->md5[3] = d += first->md5[3];
        second->md5[0] = p += second->md5[0], second->md5[1] = q += second->md5[1];
        second->md5[2] = r += second->md5[2], second->md5[3] = s += second->md5[3];
    }
    keep_sha(first, sha);
    keep_sha(second, sha_other);
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

static void blocks_of_two(State *first, const unsigned char *data, State *second, const unsigned char *other, size_t count)
{
    (void)first, (void)data, (void)second, (void)other, (void)count;
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

/* ``waiting`` is the content's first piece, held until the digests are asked for or taken together with others'. */
typedef struct {
    PyObject_HEAD
    State state;
    PyObject *waiting;
} Digests;

static PyTypeObject DigestsType;

static void take_waiting(Digests *self)
{
    PyObject *piece = self->waiting;
    if (piece) {
        self->waiting = NULL;
        feed(&self->state, (const unsigned char *)PyBytes_AS_STRING(piece), (size_t)PyBytes_GET_SIZE(piece));
        Py_DECREF(piece);
    }
}

static void digests_dealloc(Digests *self)
{
    Py_CLEAR(self->waiting);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

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
    if (!self->waiting && !self->state.length && PyBytes_CheckExact(data)) {
        Py_INCREF(data);
        self->waiting = data;
        Py_RETURN_NONE;
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    take_waiting(self);
    feed(&self->state, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    Py_RETURN_NONE;
}

static PyObject *digests_hexdigests(Digests *self, PyObject *nothing)
{
    (void)nothing;
    take_waiting(self);
    return finish(&self->state);
}

static PyMethodDef digests_methods[] = {
    {"update", (PyCFunction)digests_update, METH_O, "Add bytes."},
    {"hexdigests", (PyCFunction)digests_hexdigests, METH_NOARGS, "MD5, SHA-1 and SHA-256 of all bytes so far, in lower hex."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject DigestsType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "amparo._digests.Digests",
    .tp_basicsize = sizeof(Digests),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Three digests of one content, fed a piece at a time by one thread.",
    .tp_dealloc = (destructor)digests_dealloc,
    .tp_methods = digests_methods,
    .tp_new = digests_new,
};

static PyObject *module_available(PyObject *module, PyObject *nothing)
{
    (void)module, (void)nothing;
    return PyBool_FromLong(available);
}

/* One of the two contents in hand: its digests, its piece, and how much of that is still to be taken in whole blocks. */
typedef struct {
    Digests *digests;
    PyObject *piece;
    const unsigned char *data;
    size_t blocks;
} Lane;

/* Put the next content with a waiting piece of a block or more into the lane, or nothing where there is none. */
static void next_content(Lane *lane, PyObject *all, Py_ssize_t *at)
{
    while (*at < PyList_GET_SIZE(all)) {
        Digests *digests = (Digests *)PyList_GET_ITEM(all, (*at)++);
        if (digests->waiting && PyBytes_GET_SIZE(digests->waiting) >= 64) {
            lane->digests = digests;
            lane->piece = digests->waiting;
            lane->data = (const unsigned char *)PyBytes_AS_STRING(lane->piece);
            lane->blocks = (size_t)PyBytes_GET_SIZE(lane->piece) / 64;
            digests->waiting = NULL; /* whoever is named twice is taken once */
            return;
        }
    }
    lane->digests = NULL;
}

static void step(Lane *lane, size_t count)
{
    lane->data += 64 * count;
    lane->blocks -= count;
    lane->digests->state.length += 64 * count;
}

/* Take what is left of the piece, and let go of it. */
static void finish_content(Lane *lane)
{
    const unsigned char *end = (const unsigned char *)PyBytes_AS_STRING(lane->piece) + PyBytes_GET_SIZE(lane->piece);
    feed(&lane->digests->state, lane->data, (size_t)(end - lane->data));
    Py_DECREF(lane->piece);
}

static PyObject *module_together(PyObject *module, PyObject *given)
{
    Lane one, other;
    Py_ssize_t at = 0;
    PyObject *all = PySequence_List(given);
    (void)module;
    if (!all)
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(all); i++)
        if (Py_TYPE(PyList_GET_ITEM(all, i)) != &DigestsType) {
            Py_DECREF(all);
            PyErr_SetString(PyExc_TypeError, "together takes Digests only");
            return NULL;
        }
    next_content(&one, all, &at);
    next_content(&other, all, &at);
    while (one.digests && other.digests) {
        size_t count = one.blocks < other.blocks ? one.blocks : other.blocks;
        blocks_of_two(&one.digests->state, one.data, &other.digests->state, other.data, count);
        step(&one, count), step(&other, count);
        if (!one.blocks) {
            finish_content(&one);
            next_content(&one, all, &at);
        }
        if (!other.blocks) {
            finish_content(&other);
            next_content(&other, all, &at);
        }
    }
    if (one.digests)
        finish_content(&one);
    if (other.digests)
        finish_content(&other);
    Py_DECREF(all);
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"together", module_together, METH_O, "Take the pieces that wait in these Digests, two contents at a time."},
    {"available", module_available, METH_NOARGS, "Whether this processor has the instructions that Digests needs."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "amparo._digests", "Three digests in one pass.", -1, module_methods, NULL, NULL, NULL, NULL,
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
