/* A few queries with many keys, and sums of many values: rows that were chosen are read where they lie,
 * each once for all queries of a head, and none is copied. */
#include "vectors.h"

#define TOGETHER 4 /* queries whose sums are kept in registers */

typedef struct {
    const float *q, *rows;  /* q: products' queries [groups, count, size], or weights [groups, count, width] */
    const int64_t *at;      /* [groups, width] rows; NULL: the rows of each group in their order */
    float *out;             /* products [groups, count, width], or sums [groups, count, size] */
    int64_t groups, count, size, width;
    int64_t q_group, q_row, group, row; /* floats between groups and rows of q, and between those of rows */
} Chosen;

INLINE float total_of(vec a) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)a);
#elif defined(__AVX__)
    __m128 half = _mm_add_ps(_mm256_castps256_ps128((__m256)a), _mm256_extractf128_ps((__m256)a, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
#else
    return sum_of(a);
#endif
}

INLINE const float *row_of(const Chosen *c, int64_t group, int64_t place) {
    int64_t row = c->at ? c->at[group * c->width + place] : place;
    return c->rows + group * c->group + row * c->row;
}

INLINE void one_product(int count, const float *q, int64_t q_row, const float *key, int64_t size, float *out,
                        int64_t out_row) {
    vec sums[TOGETHER] = {{0}};
    int64_t d = 0;
    for (; d + LANES <= size; d += LANES) {
        vec part = *(const vec *)(key + d);
        for (int r = 0; r < count; r++) sums[r] += *(const vec *)(q + r * q_row + d) * part;
    }
    for (int r = 0; r < count; r++) {
        float found = total_of(sums[r]);
        for (int64_t rest = d; rest < size; rest++) found += q[r * q_row + rest] * key[rest];
        out[r * out_row] = found;
    }
}

/* out[g, r, k] = q[g, r] . rows[g, at[g, k]] for start <= k < stop. */
void chosen_products(const Chosen *c, int64_t start, int64_t stop) {
    for (int64_t g = 0; g < c->groups; g++)
        for (int64_t k = start; k < stop; k++) {
            const float *key = row_of(c, g, k), *q = c->q + g * c->q_group;
            float *out = c->out + g * c->count * c->width + k;
            int64_t left = c->count;
            for (; left >= 4; left -= 4, q += 4 * c->q_row, out += 4 * c->width)
                one_product(4, q, c->q_row, key, c->size, out, c->width);
            if (left == 3) one_product(3, q, c->q_row, key, c->size, out, c->width);
            if (left == 2) one_product(2, q, c->q_row, key, c->size, out, c->width);
            if (left == 1) one_product(1, q, c->q_row, key, c->size, out, c->width);
        }
}

/* Sums of ``count`` queries over all chosen rows, ``wide`` vectors of their columns from ``d`` on. */
INLINE void some_sums(const Chosen *c, int64_t group, int64_t first, int count, int64_t d, int wide) {
    vec sums[TOGETHER][WIDE] = {{{0}}};
    const float *weights = c->q + group * c->q_group + first * c->q_row;
    for (int64_t k = 0; k < c->width; k++) {
        const float *row = row_of(c, group, k) + d;
        for (int n = 0; n < wide; n++) {
            vec part = *(const vec *)(row + n * LANES);
            for (int r = 0; r < count; r++) sums[r][n] += weights[r * c->q_row + k] * part;
        }
    }
    for (int r = 0; r < count; r++)
        for (int n = 0; n < wide; n++)
            *(vec *)(c->out + (group * c->count + first + r) * c->size + d + n * LANES) = sums[r][n];
}

INLINE void all_columns(const Chosen *c, int64_t group, int64_t first, int count) {
    int64_t d = 0;
    for (; d + WIDE * LANES <= c->size; d += WIDE * LANES) some_sums(c, group, first, count, d, WIDE);
    for (; d + LANES <= c->size; d += LANES) some_sums(c, group, first, count, d, 1);
    for (; d < c->size; d++)
        for (int r = 0; r < count; r++) {
            const float *weights = c->q + group * c->q_group + (first + r) * c->q_row;
            float sum = 0;
            for (int64_t k = 0; k < c->width; k++) sum += weights[k] * row_of(c, group, k)[d];
            c->out[(group * c->count + first + r) * c->size + d] = sum;
        }
}

/* out[g, r] = sum over k of q[g, r, k] rows[g, at[g, k]]. */
void chosen_sums(const Chosen *c) {
    for (int64_t g = 0; g < c->groups; g++) {
        int64_t r = 0;
        for (; r + 4 <= c->count; r += 4) all_columns(c, g, r, 4);
        if (c->count - r == 3) all_columns(c, g, r, 3);
        if (c->count - r == 2) all_columns(c, g, r, 2);
        if (c->count - r == 1) all_columns(c, g, r, 1);
    }
}
