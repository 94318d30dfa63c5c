/* Statistics of rows of logits: two passes over each row, which stays in a core's cache between them.
 *
 * The first finds the highest logit, the k highest, and how many come before the target; the second
 * takes x = logit - highest and sums e^x, e^x x, e^x x^2 and other x. With Z = sum e^x:
 *
 *     entropy = ln Z - sum e^x x / Z,   varentropy = sum e^x x^2 / Z - (sum e^x x / Z)^2
 *
 * Vectors are summed over a strip and the strips in double. Single-threaded, no library calls that
 * lock; other rows may be computed meanwhile.
 */
#include "vectors.h"

#define STRIP 128           /* logits between two sums in double; whole vectors */
#define LOWEST (-1e18f)     /* finite: a probability of zero times infinity would be NaN */
#define LEAST_BITS (-126.f) /* below this e^x counts as 0 */
#define PER_LN 1.442695040888963f

typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

typedef struct {
    const void *logits;     /* [rows, vocabulary], float32 or bfloat16 */
    const int64_t *targets; /* [rows], or nothing */
    const float *other;     /* probabilities [rows, vocabulary], or nothing */
    float *probs;           /* [rows, vocabulary], or nothing */
    float *logsumexp, *entropy, *varentropy, *surprisal, *crossed, *top_probs;
    int64_t *rank, *top_ids;
    int64_t vocabulary, stride, other_stride, k, rounded;
} Rows;

INLINE vec fitted(const float *from, int64_t count, float rest) {
    float part[LANES];
    for (int n = 0; n < LANES; n++) part[n] = n < count ? from[n] : rest;
    vec whole;
    memcpy(&whole, part, sizeof whole);
    return whole;
}

/* LANES logits from ``at`` on; beyond the row there are those that nobody would choose. */
INLINE vec logits_at(const Rows *rows, int64_t row, int64_t at) {
    int64_t left = rows->vocabulary - at;
    if (!rows->rounded) {
        const float *from = (const float *)rows->logits + row * rows->stride + at;
        return left >= LANES ? *(const vec *)from : fitted(from, left, -INFINITY);
    }
    const uint16_t *from = (const uint16_t *)rows->logits + row * rows->stride + at;
    if (left >= LANES) return (vec)(__builtin_convertvector(*(const halves *)from, bits) << 16);
    float part[LANES];
    for (int n = 0; n < left; n++) {
        uint32_t whole = (uint32_t)from[n] << 16;
        memcpy(part + n, &whole, sizeof whole);
    }
    return fitted(part, left, -INFINITY);
}

/* Puts a logit among the k highest if it is; equals stay behind those that came before. */
static void enter(float *values, int64_t *ids, int64_t *held, int64_t k, float value, int64_t id) {
    if (*held == k && !(value > values[k - 1])) return;
    int64_t at = *held < k ? (*held)++ : k - 1;
    for (; at && value > values[at - 1]; at--) {
        values[at] = values[at - 1];
        ids[at] = ids[at - 1];
    }
    values[at] = value;
    ids[at] = id;
}

static void one(const Rows *rows, int64_t row) {
    const int64_t size = rows->vocabulary, k = rows->k;
    const int64_t target = rows->targets ? rows->targets[row] : -1;
    const float nan = NAN;
    float of_target = nan;
    if (target >= 0) of_target = logits_at(rows, row, target)[0];

    float best[k ? k : 1];
    int64_t *ids = rows->top_ids + row * k, held = 0, before = 0;
    float highest = -INFINITY;
    for (int64_t start = 0; start < size; start += STRIP) {
        vec most = (vec){0} - INFINITY;
        bits counted = {0};
        int64_t stop = start + STRIP < size ? start + STRIP : size;
        for (int64_t at = start; at < stop; at += LANES) {
            vec x = logits_at(rows, row, at);
            most = larger(x, most);
            if (target < 0) continue;
            if (at + LANES <= target) counted -= (bits)(x >= of_target);
            else if (at > target) counted -= (bits)(x > of_target);
            else
                for (int n = 0; n < LANES; n++)
                    before += at + n < target ? x[n] >= of_target : x[n] > of_target;
        }
        for (int n = 0; n < LANES; n++) before += counted[n];
        float here = highest_of(most);
        if (here > highest) highest = here;
        if (k && (held < k || here > best[k - 1]))
            for (int64_t at = start; at < stop; at += LANES) {
                vec x = logits_at(rows, row, at);
                for (int n = 0; n < LANES && at + n < stop; n++)
                    enter(best, ids, &held, k, x[n], at + n);
            }
    }

    double z = 0, first = 0, second = 0, crossed = 0;
    float *probs = rows->probs ? rows->probs + row * size : 0;
    const float *other = rows->other ? rows->other + row * rows->other_stride : 0;
    for (int64_t start = 0; start < size; start += STRIP) {
        vec sum = {0}, once = {0}, twice = {0}, beside = {0};
        int64_t stop = start + STRIP < size ? start + STRIP : size;
        for (int64_t at = start; at < stop; at += LANES) {
            vec x = logits_at(rows, row, at) - highest; /* NaN where a logit is, or all are -inf */
            bits known = (bits)(x >= LOWEST), wrong = (bits)(x != x);
            vec bounded = (vec)(((bits)x & (known | wrong)) | ((bits)((vec){0} + LOWEST) & ~(known | wrong)));
            vec exponent = bounded * PER_LN;
            bits counts = (bits)(exponent >= LEAST_BITS);
            vec e = (vec)(((bits)power((vec)((bits)exponent & counts)) & counts) | ((bits)x & wrong));
            sum += e;
            once += e * bounded;
            twice += e * bounded * bounded;
            int64_t left = size - at;
            if (other)
                beside += bounded * (left >= LANES ? *(const vec *)(other + at)
                                                   : fitted(other + at, left, 0));
            if (!probs) continue;
            if (left >= LANES) *(vec *)(probs + at) = e;
            else
                for (int n = 0; n < left; n++) probs[at + n] = e[n];
        }
        z += sum_of(sum);
        first += sum_of(once);
        second += sum_of(twice);
        crossed += sum_of(beside);
    }

    double log_sum = log(z), mean = first / z, spread = second / z - mean * mean;
    rows->logsumexp[row] = (float)(highest + log_sum);
    rows->entropy[row] = (float)(log_sum - mean);
    if (rows->varentropy) rows->varentropy[row] = (float)(spread < 0 ? 0 : spread);
    if (rows->surprisal) {
        rows->surprisal[row] = (float)(log_sum + (highest - of_target));
        rows->rank[row] = before;
    }
    if (other) rows->crossed[row] = (float)(log_sum - crossed);
    for (int64_t n = 0; n < k; n++) rows->top_probs[row * k + n] = (float)(exp(best[n] - highest) / z);
    if (probs) {
        float scale = (float)(1 / z);
        for (int64_t at = 0; at < size; at++) probs[at] *= scale;
    }
}

void vocab_rows(const Rows *rows, int64_t start, int64_t stop) {
    for (int64_t row = start; row < stop; row++) one(rows, row);
}
