/* Range search in Hamming space over hashes of 256 bits: bands, postings, and a scan where bands do not pay.

   A row is four words of 64 bits as the machine reads them from its 32 bytes. A band is a range of those bits. Its
   directory has for each value of the band the place where the postings with it begin (2^width + 1 numbers). The postings
   are all rows, ordered by the value, and beside them the sign of each: the first bits of the band that follows, by which
   nearly every candidate is dismissed before its row is looked up (amparo/known/nearest/bands.py says why none is lost).
   Nothing read from these files is believed: places and rows are held against their bounds before they are followed. The
   twin is amparo/known/nearest/twin.py. */
#include "kernels.h"
#include <stdlib.h>

#define MOST_BANDS 64
#define WIDEST 26
#define MOST_PROBES (1u << 22) /* of one band */
#define BLOCK 256              /* queries whose hits are sorted together; 8 bits of a sorting key */
#define SCAN_ROWS 256          /* rows that a scan lays out at a time: 8 KB */
#define RING 64                /* candidates on their way: first their rows are asked of memory, then their hashes */
#define AHEAD 24
#define CANDIDATES 64          /* signs that are looked at in the time that one hash is fetched and compared */

#if defined(__GNUC__) || defined(__clang__)
#define ALWAYS static inline __attribute__((always_inline))
#define PREFETCH(address) __builtin_prefetch(address)
#define PREFETCH_SOON(address) __builtin_prefetch(address, 0, 2) /* more than the nearest cache takes */
#define PREFETCH_TO_WRITE(address) __builtin_prefetch(address, 1)
#define COUNT(word) ((unsigned)__builtin_popcountll(word))
#define LOWEST(word) __builtin_ctz(word)
#else
#define ALWAYS static inline
#define PREFETCH(address) ((void)0)
#define PREFETCH_SOON(address) ((void)0)
#define PREFETCH_TO_WRITE(address) ((void)0)
static unsigned COUNT(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (unsigned)(((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
}
static int LOWEST(uint32_t x)
{
    int n = 0;
    for (; !(x & 1); x >>= 1)
        n++;
    return n;
}
#endif

enum { FINE, SCAN, DAMAGED, NO_MEMORY, OVERFLOWED };

typedef struct {
    uint32_t start, width;
    int radius; /* -1: not probed */
    uint32_t sign;
    int bound; /* of the differences in the band and in the sign together */
    uint64_t mask[4], sign_mask[4];
    const uint32_t *directory, *postings;
    const uint16_t *signs;
} Band;

typedef struct {
    uint32_t low, high;
    int most; /* differences of the sign */
} Span;

typedef struct {
    const uint8_t *hashes;
    size_t rows;
    Band bands[MOST_BANDS];
    int count;
    unsigned radius;
    size_t scan_beyond;  /* hashes fetched for one query that cost more than a scan */
    uint32_t *probes[2]; /* values of two bands in turn */
    Span *spans;
    /* What is found. A key is query in block << 41 | distance << 32 | row: sorted keys are sorted hits. */
    uint64_t *keys;
    size_t held, room, budget; /* more keys than the budget end a block early */
    int64_t *parents; /* where set, a hit joins two rows, and is not kept */
    const int64_t *numbers;
} Search;

/* At most 26 bits of a row, which is a ring. */
ALWAYS uint32_t bits_of(const uint64_t *row, uint32_t start, uint32_t width)
{
    uint32_t word = start >> 6 & 3, shift = start & 63;
    uint64_t value = row[word] >> shift;
    if (shift + width > 64)
        value |= row[(word + 1) & 3] << (64 - shift);
    return (uint32_t)(value & (((uint64_t)1 << width) - 1));
}

ALWAYS uint32_t value_of(const uint64_t *row, const Band *band) { return bits_of(row, band->start, band->width); }

ALWAYS uint32_t sign_of(const uint64_t *row, const Band *band)
{
    return bits_of(row, band->start + band->width, band->sign);
}

static int64_t root_of(int64_t *parents, int64_t row)
{
    while (parents[row] != row) {
        parents[row] = parents[parents[row]];
        row = parents[row];
    }
    return row;
}

static int grow(Search *search)
{
    size_t room = search->room ? search->room * 2 : 1024;
    uint64_t *keys = realloc(search->keys, room * sizeof *keys);
    if (keys == NULL)
        return NO_MEMORY;
    search->keys = keys;
    search->room = room;
    return FINE;
}

static int found(Search *search, uint32_t query, uint32_t row, unsigned distance)
{
    if (search->parents != NULL) {
        int64_t one = root_of(search->parents, search->numbers[query]), other = root_of(search->parents, row);
        if (one < other)
            search->parents[other] = one;
        else
            search->parents[one] = other;
        return FINE;
    }
    if (search->held == search->room && grow(search) != FINE)
        return NO_MEMORY;
    search->keys[search->held++] = (uint64_t)query << 41 | (uint64_t)distance << 32 | row;
    return FINE;
}

/* Bands */

/* The values within the radius of one value, those with the fewest flips first; asks memory for their places in the directory. */
ALWAYS size_t spread(const Band *band, uint32_t value, uint32_t *out)
{
    size_t held = 0;
    uint32_t end = (uint32_t)1 << band->width;
    if (band->radius < 0)
        return 0;
    PREFETCH(&band->directory[value]);
    out[held++] = value;
    for (int bits = 1; bits <= band->radius && bits <= (int)band->width; bits++)
        for (uint32_t flipped = ((uint32_t)1 << bits) - 1; flipped < end;) {
            PREFETCH(&band->directory[value ^ flipped]);
            out[held++] = value ^ flipped;
            uint32_t low = flipped & (0 - flipped), ripple = flipped + low; /* the next number with as many bits */
            flipped = ripple | (ripple ^ flipped) >> 2 >> LOWEST(low);
        }
    return held;
}

ALWAYS int compare(Search *search, const uint64_t *query, uint32_t number, uint32_t row, int band)
{
    uint64_t x[4];
    memcpy(x, search->hashes + (size_t)row * 32, 32);
    x[0] ^= query[0], x[1] ^= query[1];
    unsigned distance = COUNT(x[0]) + COUNT(x[1]);
    if (distance > search->radius)
        return FINE;
    x[2] ^= query[2], x[3] ^= query[3];
    distance += COUNT(x[2]) + COUNT(x[3]);
    if (distance > search->radius)
        return FINE;
    for (int before = 0; before < band; before++) { /* told already, where an earlier band finds it too */
        const Band *other = &search->bands[before];
        int apart = 0, following = 0;
        for (int word = 0; word < 4; word++) {
            apart += (int)COUNT(x[word] & other->mask[word]);
            following += (int)COUNT(x[word] & other->sign_mask[word]);
        }
        if (apart <= other->radius && apart + following <= other->bound)
            return FINE;
    }
    return found(search, number, row, distance);
}

typedef struct {
    Search *search;
    const uint64_t *query;
    uint32_t number;
    uint64_t ring[RING];         /* band << 32 | place of a posting, then band << 32 | row */
    size_t begun, fetched, done; /* each behind the one before */
} Candidates;

ALWAYS int fetch(Candidates *held)
{
    uint64_t *one = &held->ring[held->fetched++ & (RING - 1)];
    uint32_t row = held->search->bands[*one >> 32].postings[(uint32_t)*one];
    if (row >= held->search->rows)
        return DAMAGED;
    PREFETCH(held->search->hashes + (size_t)row * 32);
    *one = *one >> 32 << 32 | row;
    return FINE;
}

ALWAYS int settle(Candidates *held)
{
    uint64_t one = held->ring[held->done++ & (RING - 1)];
    return compare(held->search, held->query, held->number, (uint32_t)one, (int)(one >> 32));
}

ALWAYS int candidate(Candidates *held, uint32_t place, int band)
{
    int outcome = FINE;
    PREFETCH(&held->search->bands[band].postings[place]);
    held->ring[held->begun++ & (RING - 1)] = (uint64_t)band << 32 | place;
    if (held->begun - held->fetched > AHEAD)
        outcome = fetch(held);
    if (outcome == FINE && held->fetched - held->done > AHEAD)
        outcome = settle(held);
    return outcome != FINE ? outcome : held->begun > held->search->scan_beyond ? SCAN : FINE;
}

/* The postings of one span whose signs are near the query's. */
ALWAYS int sift_words(Candidates *held, const uint16_t *signs, Span span, uint32_t sign, int band)
{
    int outcome = FINE;
    for (uint32_t place = span.low; place < span.high && outcome == FINE; place++)
        if ((int)COUNT(signs[place] ^ sign) <= span.most)
            outcome = candidate(held, place, band);
    return outcome;
}

typedef int Sift(Candidates *, const uint16_t *, Span, uint32_t, int);

ALWAYS int probe(Search *search, const uint64_t *query, uint32_t number, Sift *sift)
{
    Candidates held;
    size_t candidates = 0, rows = search->rows;
    const Band *bands = search->bands;
    held.search = search, held.query = query, held.number = number;
    held.begun = held.fetched = held.done = 0;
    size_t next = spread(&bands[0], value_of(query, &bands[0]), search->probes[0]);
    for (int at = 0; at < search->count; at++) {
        const Band *band = &bands[at];
        const uint32_t *directory = band->directory, *values = search->probes[at & 1];
        const uint16_t *signs = band->signs;
        size_t probes = next, spans = 0, end = 1, ways = 1;
        if (at + 1 < search->count)
            next = spread(band + 1, value_of(query, band + 1), search->probes[(at + 1) & 1]);
        int flips = 0;
        for (size_t i = 0; i < probes; i++) {
            if (i == end) { /* the values with one flip more */
                ways = ways * (band->width - (uint32_t)flips) / ((uint32_t)flips + 1);
                end += ways;
                flips++;
            }
            uint32_t low = directory[values[i]], high = directory[values[i] + 1];
            if (low > high || high > rows)
                return DAMAGED;
            search->spans[spans].low = low, search->spans[spans].high = high;
            search->spans[spans].most = band->bound - flips;
            if (low < high) {
                for (uint32_t place = low; place < high && place < low + 512; place += 32)
                    PREFETCH_SOON(&signs[place]);
                PREFETCH(&signs[high - 1]);
                candidates += high - low;
                spans++;
            }
        }
        if (candidates / CANDIDATES > search->scan_beyond)
            return SCAN;
        uint32_t sign = sign_of(query, band);
        for (size_t i = 0; i < spans; i++) {
            int outcome = sift(&held, signs, search->spans[i], sign, at);
            if (outcome != FINE)
                return outcome;
        }
    }
    int outcome = FINE;
    while (outcome == FINE && held.fetched < held.begun)
        outcome = fetch(&held);
    while (outcome == FINE && held.done < held.begun)
        outcome = settle(&held);
    return outcome;
}

static int sift_portable(Candidates *held, const uint16_t *signs, Span span, uint32_t sign, int band)
{
    return sift_words(held, signs, span, sign, band);
}

static int probe_portable(Search *search, const uint64_t *query, uint32_t number)
{
    return probe(search, query, number, sift_portable);
}

/* Scans: rows lie turned, word by word; `which` and `distances` have room for SCAN_ROWS. They give how many were found. */

ALWAYS size_t scan_words(const uint64_t *turned, size_t rows, const uint64_t *query, unsigned radius, uint16_t *which,
                         uint16_t *distances)
{
    size_t held = 0;
    for (size_t row = 0; row < rows; row++) {
        unsigned distance = COUNT(turned[row] ^ query[0]) + COUNT(turned[SCAN_ROWS + row] ^ query[1]);
        if (distance > radius)
            continue;
        distance += COUNT(turned[2 * SCAN_ROWS + row] ^ query[2]) + COUNT(turned[3 * SCAN_ROWS + row] ^ query[3]);
        if (distance > radius)
            continue;
        which[held] = (uint16_t)row, distances[held++] = (uint16_t)distance;
    }
    return held;
}

static size_t scan_portable(const uint64_t *turned, size_t rows, const uint64_t *query, unsigned radius, uint16_t *which,
                            uint16_t *distances)
{
    return scan_words(turned, rows, query, radius, which, distances);
}

#if ON_X86
__attribute__((target("popcnt"))) static int sift_popcnt(Candidates *held, const uint16_t *signs, Span span, uint32_t sign,
                                                         int band)
{
    return sift_words(held, signs, span, sign, band);
}

__attribute__((target("popcnt"))) static int probe_popcnt(Search *search, const uint64_t *query, uint32_t number)
{
    return probe(search, query, number, sift_popcnt);
}

__attribute__((target("popcnt"))) static size_t scan_popcnt(const uint64_t *turned, size_t rows, const uint64_t *query,
                                                            unsigned radius, uint16_t *which, uint16_t *distances)
{
    return scan_words(turned, rows, query, radius, which, distances);
}

__attribute__((target("avx2,popcnt"))) static inline __m256i bits_in_bytes(__m256i x)
{
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2,
                                           3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, low)),
                           _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low)));
}

__attribute__((target("avx2,popcnt"))) static int sift_avx2(Candidates *held, const uint16_t *signs, Span span, uint32_t sign,
                                                            int band)
{
    const __m256i wanted = _mm256_set1_epi16((short)sign), most = _mm256_set1_epi16((short)span.most),
                  ones = _mm256_set1_epi8(1);
    while (span.high - span.low >= 16) {
        __m256i apart = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(signs + span.low)), wanted);
        __m256i far = _mm256_cmpgt_epi16(_mm256_maddubs_epi16(bits_in_bytes(apart), ones), most);
        for (uint32_t near = ~(uint32_t)_mm256_movemask_epi8(far) & 0x55555555; near; near &= near - 1) {
            int outcome = candidate(held, span.low + (uint32_t)LOWEST(near) / 2, band);
            if (outcome != FINE)
                return outcome;
        }
        span.low += 16;
    }
    return sift_words(held, signs, span, sign, band);
}

__attribute__((target("avx2,popcnt"))) static int probe_avx2(Search *search, const uint64_t *query, uint32_t number)
{
    return probe(search, query, number, sift_avx2);
}

__attribute__((target("avx512f,avx512bw,avx512bitalg,popcnt"))) static int sift_avx512(Candidates *held,
                                                                                       const uint16_t *signs, Span span,
                                                                                       uint32_t sign, int band)
{
    const __m512i wanted = _mm512_set1_epi16((short)sign), most = _mm512_set1_epi16((short)span.most);
    for (uint32_t place = span.low; place < span.high; place += 32) {
        uint32_t left = span.high - place;
        __mmask32 there = left < 32 ? ((uint32_t)1 << left) - 1 : 0xffffffff;
        __m512i apart = _mm512_xor_si512(_mm512_maskz_loadu_epi16(there, signs + place), wanted);
        for (uint32_t near = _mm512_mask_cmple_epi16_mask(there, _mm512_popcnt_epi16(apart), most); near; near &= near - 1) {
            int outcome = candidate(held, place + (uint32_t)LOWEST(near), band);
            if (outcome != FINE)
                return outcome;
        }
        if (left <= 32)
            break;
    }
    return FINE;
}

__attribute__((target("avx512f,avx512bw,avx512bitalg,popcnt"))) static int probe_avx512(Search *search,
                                                                                        const uint64_t *query,
                                                                                        uint32_t number)
{
    return probe(search, query, number, sift_avx512);
}

/* Both vector kernels look at the first two words of 32 or 16 rows together: nearly always none is near. */

__attribute__((target("avx2,popcnt"))) static size_t scan_avx2(const uint64_t *turned, size_t rows, const uint64_t *query,
                                                               unsigned radius, uint16_t *which, uint16_t *distances)
{
    const __m256i zero = _mm256_setzero_si256(), first = _mm256_set1_epi64x((long long)query[0]),
                  second = _mm256_set1_epi64x((long long)query[1]), most = _mm256_set1_epi64x(radius);
    size_t held = 0;
    for (size_t row = 0; row < rows; row += 16) {
        __m256i near[4];
        for (int i = 0; i < 4; i++) {
            const uint64_t *at = turned + row + 4 * i;
            __m256i one = bits_in_bytes(_mm256_xor_si256(_mm256_loadu_si256((const __m256i *)at), first));
            __m256i two = bits_in_bytes(_mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(at + SCAN_ROWS)), second));
            near[i] = _mm256_sad_epu8(_mm256_add_epi8(one, two), zero);
        }
        __m256i least = _mm256_min_epu32(_mm256_min_epu32(near[0], near[1]), _mm256_min_epu32(near[2], near[3]));
        if (_mm256_movemask_epi8(_mm256_cmpgt_epi64(least, most)) == -1)
            continue;
        size_t end = row + 16 < rows ? 16 : rows - row, more;
        more = scan_words(turned + row, end, query, radius, which + held, distances + held);
        for (size_t i = 0; i < more; i++)
            which[held + i] = (uint16_t)(which[held + i] + row);
        held += more;
    }
    return held;
}

__attribute__((target("avx512f,avx512vpopcntdq,popcnt"))) static size_t scan_avx512(const uint64_t *turned, size_t rows,
                                                                                    const uint64_t *query, unsigned radius,
                                                                                    uint16_t *which, uint16_t *distances)
{
    const __m512i first = _mm512_set1_epi64((long long)query[0]), second = _mm512_set1_epi64((long long)query[1]),
                  third = _mm512_set1_epi64((long long)query[2]), fourth = _mm512_set1_epi64((long long)query[3]),
                  most = _mm512_set1_epi64(radius);
    size_t held = 0;
    for (size_t row = 0; row < rows; row += 32) {
        __m512i near[4];
        for (int i = 0; i < 4; i++) {
            const uint64_t *at = turned + row + 8 * i;
            near[i] = _mm512_add_epi64(_mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(at), first)),
                                       _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(at + SCAN_ROWS), second)));
        }
        __m512i least = _mm512_min_epu64(_mm512_min_epu64(near[0], near[1]), _mm512_min_epu64(near[2], near[3]));
        if (!_mm512_cmple_epu64_mask(least, most))
            continue;
        for (int i = 0; i < 4; i++) {
            const uint64_t *at = turned + row + 8 * i;
            __m512i all = _mm512_add_epi64(
                near[i],
                _mm512_add_epi64(
                    _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(at + 2 * SCAN_ROWS), third)),
                    _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(at + 3 * SCAN_ROWS), fourth))));
            unsigned within = _mm512_cmple_epu64_mask(all, most);
            uint64_t each[8];
            if (!within)
                continue;
            _mm512_storeu_si512(each, all);
            for (; within; within &= within - 1) {
                size_t place = row + 8 * (size_t)i + (size_t)LOWEST(within);
                if (place < rows)
                    which[held] = (uint16_t)place, distances[held++] = (uint16_t)each[LOWEST(within)];
            }
        }
    }
    return held;
}
#endif

typedef size_t Scan(const uint64_t *, size_t, const uint64_t *, unsigned, uint16_t *, uint16_t *);
static Scan *scan = scan_portable;
static int (*probe_best)(Search *, const uint64_t *, uint32_t) = probe_portable;
static const char *chosen = "portable";

static int choose(const char *wanted)
{
    const char *best = "portable";
    scan = scan_portable, probe_best = probe_portable;
#if ON_X86
    __builtin_cpu_init();
    int any = wanted == NULL;
    if ((any || strcmp(wanted, "portable")) && __builtin_cpu_supports("popcnt")) {
        scan = scan_popcnt, probe_best = probe_popcnt, best = "popcnt";
        if ((any || strcmp(wanted, "popcnt")) && __builtin_cpu_supports("avx2")) {
            scan = scan_avx2, probe_best = probe_avx2, best = "avx2";
            if ((any || strcmp(wanted, "avx2")) && __builtin_cpu_supports("avx512f")
                && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512bitalg")
                && __builtin_cpu_supports("avx512vpopcntdq"))
                scan = scan_avx512, probe_best = probe_avx512, best = "avx512";
        }
    }
#endif
    chosen = best;
    return wanted == NULL || strcmp(wanted, best) == 0;
}

void nearest_choose(void) { choose(NULL); }

/* Every row against the queries whose numbers are given. More hits than the budget stop it. */
static int scan_all(Search *search, const uint8_t *queries, const uint32_t *numbers, size_t count)
{
    uint64_t turned[4 * SCAN_ROWS], query[4];
    uint16_t which[SCAN_ROWS], distances[SCAN_ROWS];
    for (size_t base = 0; base < search->rows; base += SCAN_ROWS) {
        size_t rows = search->rows - base < SCAN_ROWS ? search->rows - base : SCAN_ROWS;
        if (rows < SCAN_ROWS)
            memset(turned, 0, sizeof turned);
        for (size_t row = 0; row < rows; row++) {
            uint64_t words[4];
            memcpy(words, search->hashes + (base + row) * 32, 32);
            for (int word = 0; word < 4; word++)
                turned[word * SCAN_ROWS + row] = words[word];
        }
        for (size_t i = 0; i < count; i++) {
            memcpy(query, queries + (size_t)numbers[i] * 32, 32);
            size_t held = scan(turned, rows, query, search->radius, which, distances);
            for (size_t hit = 0; hit < held; hit++)
                if (found(search, numbers[i], (uint32_t)(base + which[hit]), distances[hit]) != FINE)
                    return NO_MEMORY;
        }
        if (search->held > search->budget && count > 1)
            return OVERFLOWED;
    }
    return FINE;
}

/* Hits */

static int sorted(uint64_t *keys, size_t count)
{
    if (count <= 64) {
        for (size_t i = 1; i < count; i++) {
            uint64_t key = keys[i];
            size_t at = i;
            for (; at && keys[at - 1] > key; at--)
                keys[at] = keys[at - 1];
            keys[at] = key;
        }
        return FINE;
    }
    uint64_t *other = malloc(count * sizeof *other), *from = keys, *to = other;
    if (other == NULL)
        return NO_MEMORY;
    for (int shift = 0; shift < 56; shift += 8) {
        size_t places[257] = {0};
        for (size_t i = 0; i < count; i++)
            places[(from[i] >> shift & 255) + 1]++;
        if (places[(from[0] >> shift & 255) + 1] == count)
            continue;
        for (int value = 0; value < 256; value++)
            places[value + 1] += places[value];
        for (size_t i = 0; i < count; i++)
            to[places[from[i] >> shift & 255]++] = from[i];
        uint64_t *turn = from;
        from = to, to = turn;
    }
    if (from != keys)
        memcpy(keys, from, count * sizeof *keys);
    free(other);
    return FINE;
}

typedef struct {
    int64_t *query, *row;
    uint8_t *distance;
    size_t held, room;
} Hits;

static int take(Hits *hits, const Search *search, size_t first, uint32_t end, size_t most)
{
    size_t of_query = 0;
    uint64_t before = UINT64_MAX;
    for (size_t i = 0; i < search->held; i++) {
        uint64_t key = search->keys[i], query = key >> 41;
        if (query >= end)
            break;
        of_query = query == before ? of_query + 1 : 0;
        before = query;
        if (of_query >= most)
            continue;
        if (hits->held == hits->room) {
            size_t room = hits->room ? hits->room * 2 : 1024;
            void *queries = realloc(hits->query, room * 8);
            if (queries == NULL)
                return NO_MEMORY;
            hits->query = queries;
            void *rows = realloc(hits->row, room * 8);
            if (rows == NULL)
                return NO_MEMORY;
            hits->row = rows;
            void *distances = realloc(hits->distance, room);
            if (distances == NULL)
                return NO_MEMORY;
            hits->distance = distances;
            hits->room = room;
        }
        hits->query[hits->held] = (int64_t)(first + query);
        hits->row[hits->held] = (int64_t)(uint32_t)key;
        hits->distance[hits->held++] = (uint8_t)(key >> 32);
    }
    return FINE;
}

/* One block of queries: all of them, or as many as the budget lets through, at least one. `done` says how many. */
static int search_block(Search *search, const uint8_t *queries, uint32_t count, uint32_t *done)
{
    uint32_t to_scan[BLOCK];
    size_t scans = 0;
    search->held = 0;
    *done = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t query[4];
        size_t before = search->held;
        memcpy(query, queries + (size_t)i * 32, 32);
        int outcome = search->count ? probe_best(search, query, i) : SCAN;
        if (outcome == SCAN) {
            search->held = before;
            to_scan[scans++] = i;
        }
        else if (outcome != FINE)
            return outcome;
        if (search->held > search->budget) {
            *done = count = i + 1;
            break;
        }
    }
    size_t probed = search->held;
    while (scans) {
        int outcome = scan_all(search, queries, to_scan, scans);
        if (outcome != OVERFLOWED)
            return outcome;
        search->held = probed;
        scans /= 2;
        *done = to_scan[scans];
    }
    return FINE;
}

/* What Python gives */

static uint64_t within_radius(uint32_t width, int radius)
{
    uint64_t all = 0, ways = 1;
    for (uint32_t bits = 0; (int)bits <= radius && bits <= width; bits++) {
        all += ways;
        if (all > MOST_PROBES)
            break;
        ways = ways * (width - bits) / (bits + 1);
    }
    return all;
}

static int wrong(const char *what)
{
    PyErr_SetString(PyExc_ValueError, what);
    return -1;
}

static int prepare(Search *search, const Py_buffer *hashes, const Py_buffer *directory, const Py_buffer *postings,
                   const Py_buffer *signs, const Py_buffer *bands, const Py_buffer *queries, int radius,
                   Py_ssize_t scan_beyond)
{
    search->hashes = hashes->buf;
    search->rows = (size_t)hashes->len / 32;
    search->count = (int)(bands->len / 20);
    search->radius = (unsigned)radius;
    search->scan_beyond = (size_t)scan_beyond;
    if (hashes->len % 32 || queries->len % 32 || search->rows >= UINT32_MAX || radius < 0 || radius > 255 || scan_beyond < 0)
        return wrong("not so many hashes of 32 bytes, or not a radius");
    if (bands->len % 20 || bands->len / 20 > MOST_BANDS)
        return wrong("not a table of bands");
    size_t offset = 0, largest = 1;
    for (int at = 0; at < search->count; at++) {
        Band *band = &search->bands[at];
        int32_t described[5];
        memcpy(described, (const char *)bands->buf + 20 * at, 20);
        if (described[0] < 0 || described[0] > 255 || described[1] < 1 || described[1] > WIDEST
            || described[0] + described[1] > 256 || described[2] < -1 || described[3] < 0 || described[3] > 16
            || described[4] < -1 || described[4] > 256)
            return wrong("not a band");
        band->sign = (uint32_t)described[3], band->bound = described[4];
        for (uint32_t bit = 0; bit < band->sign; bit++) {
            uint32_t place = (uint32_t)(described[0] + described[1]) + bit;
            band->sign_mask[place >> 6 & 3] |= (uint64_t)1 << (place & 63);
        }
        band->start = (uint32_t)described[0], band->width = (uint32_t)described[1], band->radius = described[2];
        for (uint32_t bit = band->start; bit < band->start + band->width; bit++)
            band->mask[bit >> 6] |= (uint64_t)1 << (bit & 63);
        uint64_t probes = within_radius(band->width, band->radius);
        if (probes > MOST_PROBES)
            return wrong("a band's radius is too large");
        if (probes > largest)
            largest = (size_t)probes;
        size_t size = (((size_t)1 << band->width) + 1) * 4;
        if (offset + size > (size_t)directory->len)
            return wrong("the directory is too short");
        band->directory = (const uint32_t *)((const char *)directory->buf + offset);
        band->postings = (const uint32_t *)postings->buf + (size_t)at * search->rows;
        band->signs = (const uint16_t *)signs->buf + (size_t)at * search->rows;
        offset += size;
    }
    if (offset != (size_t)directory->len || (size_t)postings->len != search->rows * 4 * (size_t)search->count
        || (size_t)signs->len != search->rows * 2 * (size_t)search->count)
        return wrong("the directory, the postings or their signs are not of their size");
    search->probes[0] = malloc((largest + 1) * 4);
    search->probes[1] = malloc((largest + 1) * 4);
    search->spans = malloc((largest + 1) * sizeof *search->spans);
    if (search->probes[0] == NULL || search->probes[1] == NULL || search->spans == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static void let_go(Search *search)
{
    free(search->probes[0]);
    free(search->probes[1]);
    free(search->spans);
    free(search->keys);
}

static PyObject *tell(int outcome)
{
    if (outcome == NO_MEMORY)
        return PyErr_NoMemory();
    PyErr_SetString(PyExc_OverflowError, "out of range"); /* the wrapper says that the file is damaged */
    return NULL;
}

static PyObject *within(PyObject *self, PyObject *args)
{
    Py_buffer hashes, directory, postings, signs, bands, queries;
    Py_ssize_t first, scan_beyond, chunk, most;
    int radius, outcome = FINE;
    PyObject *answer = NULL;
    Search search = {0};
    Hits hits = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*ninnn", &hashes, &directory, &postings, &signs, &bands, &queries, &first, &radius,
                          &scan_beyond, &chunk, &most))
        return NULL;
    size_t count = (size_t)queries.len / 32, at = (size_t)first;
    if (first < 0 || at > count || chunk < 1 || most < 0)
        wrong("out of the queries");
    else if (prepare(&search, &hashes, &directory, &postings, &signs, &bands, &queries, radius, scan_beyond) == 0) {
        Py_BEGIN_ALLOW_THREADS
        while (outcome == FINE && at < count && hits.held < (size_t)chunk) {
            uint32_t done, block = (uint32_t)(count - at < BLOCK ? count - at : BLOCK);
            search.budget = (size_t)chunk - hits.held;
            outcome = search_block(&search, (const uint8_t *)queries.buf + at * 32, block, &done);
            if (outcome == FINE)
                outcome = sorted(search.keys, search.held);
            if (outcome == FINE)
                outcome = take(&hits, &search, at, done, (size_t)most);
            at += done;
        }
        let_go(&search);
        memset(&search, 0, sizeof search);
        Py_END_ALLOW_THREADS
        if (outcome == FINE)
            answer = Py_BuildValue(
                "nNNN", (Py_ssize_t)at,
                PyByteArray_FromStringAndSize((const char *)hits.query, (Py_ssize_t)hits.held * 8),
                PyByteArray_FromStringAndSize((const char *)hits.row, (Py_ssize_t)hits.held * 8),
                PyByteArray_FromStringAndSize((const char *)hits.distance, (Py_ssize_t)hits.held));
        else
            tell(outcome);
    }
    let_go(&search);
    free(hits.query);
    free(hits.row);
    free(hits.distance);
    PyBuffer_Release(&hashes);
    PyBuffer_Release(&directory);
    PyBuffer_Release(&postings);
    PyBuffer_Release(&signs);
    PyBuffer_Release(&bands);
    PyBuffer_Release(&queries);
    return answer;
}

static PyObject *join(PyObject *self, PyObject *args)
{
    Py_buffer hashes, directory, postings, signs, bands, queries, numbers, parents;
    Py_ssize_t scan_beyond;
    int radius, outcome = FINE, sound;
    Search search = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*y*w*in", &hashes, &directory, &postings, &signs, &bands, &queries, &numbers, &parents,
                          &radius, &scan_beyond))
        return NULL;
    size_t count = (size_t)queries.len / 32;
    sound = prepare(&search, &hashes, &directory, &postings, &signs, &bands, &queries, radius, scan_beyond) == 0;
    if (sound && ((size_t)numbers.len != count * 8 || (size_t)parents.len != search.rows * 8))
        sound = wrong("not a number for each query and a parent for each row") == 0;
    if (sound) {
        search.parents = parents.buf;
        Py_BEGIN_ALLOW_THREADS
        /* Parents that are never later than their children have no circle. */
        for (size_t row = 0; row < search.rows && outcome == FINE; row++)
            if (search.parents[row] < 0 || search.parents[row] > (int64_t)row)
                outcome = DAMAGED;
        for (size_t i = 0; i < count && outcome == FINE; i++) {
            int64_t number;
            memcpy(&number, (const char *)numbers.buf + i * 8, 8);
            if (number < 0 || (size_t)number >= search.rows)
                outcome = DAMAGED;
        }
        for (size_t at = 0; outcome == FINE && at < count;) {
            uint32_t done, block = (uint32_t)(count - at < BLOCK ? count - at : BLOCK);
            search.numbers = (const int64_t *)numbers.buf + at;
            outcome = search_block(&search, (const uint8_t *)queries.buf + at * 32, block, &done);
            at += done;
        }
        Py_END_ALLOW_THREADS
        if (outcome != FINE)
            tell(outcome);
    }
    let_go(&search);
    PyBuffer_Release(&hashes);
    PyBuffer_Release(&directory);
    PyBuffer_Release(&postings);
    PyBuffer_Release(&signs);
    PyBuffer_Release(&bands);
    PyBuffer_Release(&queries);
    PyBuffer_Release(&numbers);
    PyBuffer_Release(&parents);
    return sound && outcome == FINE ? Py_NewRef(Py_None) : NULL;
}

/* Counting sort of all rows by one band. The directory is filled one place late, so that placing moves it right. */
static void sort_by(const uint8_t *hashes, size_t rows, const Band *band, uint32_t *values, uint32_t *directory,
                    uint32_t *postings, uint16_t *signs)
{
    const size_t ahead = 32, nearer = 12, values_of_band = (size_t)1 << band->width;
    uint64_t words[4];
    memset(directory, 0, (values_of_band + 1) * 4);
    for (size_t row = 0; row < rows; row++) {
        memcpy(words, hashes + row * 32, 32);
        values[row] = value_of(words, band);
        PREFETCH_TO_WRITE(&directory[values[row] + 1]);
        if (row >= ahead)
            directory[values[row - ahead] + 1]++;
    }
    for (size_t row = rows < ahead ? 0 : rows - ahead; row < rows; row++)
        directory[values[row] + 1]++;
    uint32_t before = 0; /* directory[v + 1] becomes where v begins */
    for (size_t value = 1; value <= values_of_band; value++) {
        uint32_t held = directory[value];
        directory[value] = before;
        before += held;
    }
    for (size_t row = 0; row < rows; row++) {
        if (row + ahead < rows) {
            PREFETCH_TO_WRITE(&directory[values[row + ahead] + 1]);
            uint32_t soon = directory[values[row + nearer] + 1];
            PREFETCH_TO_WRITE(&postings[soon]);
            PREFETCH_TO_WRITE(&signs[soon]);
        }
        memcpy(words, hashes + row * 32, 32);
        uint32_t place = directory[values[row] + 1]++;
        postings[place] = (uint32_t)row;
        signs[place] = (uint16_t)sign_of(words, band);
    }
}

static PyObject *sort(PyObject *self, PyObject *args)
{
    Py_buffer hashes, directory, postings, signs;
    Band band = {0};
    int start, width, sign, sound = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*iiiw*w*w*", &hashes, &start, &width, &sign, &directory, &postings, &signs))
        return NULL;
    size_t rows = (size_t)hashes.len / 32;
    uint32_t *values = NULL;
    if (hashes.len % 32 || rows >= UINT32_MAX || start < 0 || start > 255 || width < 1 || width > WIDEST
        || start + width > 256 || sign < 0 || sign > 16 || (size_t)directory.len != (((size_t)1 << width) + 1) * 4
        || (size_t)postings.len != rows * 4 || (size_t)signs.len != rows * 2)
        wrong("not a band, or no room for its directory and postings");
    else if ((values = malloc(rows * 4 + 4)) == NULL)
        PyErr_NoMemory();
    else {
        band.start = (uint32_t)start, band.width = (uint32_t)width, band.sign = (uint32_t)sign;
        Py_BEGIN_ALLOW_THREADS
        sort_by(hashes.buf, rows, &band, values, directory.buf, postings.buf, signs.buf);
        Py_END_ALLOW_THREADS
        sound = 1;
    }
    free(values);
    PyBuffer_Release(&hashes);
    PyBuffer_Release(&directory);
    PyBuffer_Release(&postings);
    PyBuffer_Release(&signs);
    return sound ? Py_NewRef(Py_None) : NULL;
}

static PyObject *kernel(PyObject *self, PyObject *args)
{
    const char *wanted = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "|z", &wanted))
        return NULL;
    if (PyTuple_GET_SIZE(args))
        choose(wanted);
    return PyUnicode_FromString(chosen);
}

PyMethodDef NEAREST_METHODS[] = {
    {"nearest_within", within, METH_VARARGS,
     "nearest_within(hashes, directory, postings, signs, bands, queries, first, radius, scan_beyond, chunk, most)\n--\n\n"
     "The query to go on with, and queries, rows (int64) and distances (uint8) of the hits up to it, in order."},
    {"nearest_join", join, METH_VARARGS,
     "nearest_join(hashes, directory, postings, signs, bands, queries, numbers, parents, radius, scan_beyond)\n--\n\n"
     "Join in parents (int64, each no later than its child) the row number of each query with every row near it."},
    {"nearest_sort", sort, METH_VARARGS,
     "nearest_sort(hashes, start, width, sign, directory, postings, signs)\n--\n\nFill the files of one band."},
    {"nearest_kernel", kernel, METH_VARARGS,
     "nearest_kernel([name])\n--\n\nThe kernel in use; with a name, or None for the best there is, choose it."},
    {NULL, NULL, 0, NULL}};
