/* Statistics of rows of logits: two passes over each row, which stays in a core's cache between them.
 *
 * The first finds the highest logit, the k highest, and how many come before the target; the second
 * takes x = logit - highest and sums e^x, e^x x, e^x x^2 and other x. With Z = sum e^x:
 *
 *     entropy = ln Z - sum e^x x / Z,   varentropy = sum e^x x^2 / Z - (sum e^x x / Z)^2
 *
 * ``prob_rows`` and ``nearest`` read probabilities p in one pass each.
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

typedef struct {
    const float *probs;     /* [rows, vocabulary] */
    const float *other;     /* the same, or nothing */
    float *entropy, *crossed, *overlap, *top_probs;
    int64_t *top_ids;
    int64_t vocabulary, stride, other_stride, k;
} Probs;

/* ln x for x from the smallest normal number on: x = 2^n m with m in [2/3, 4/3), and with
 * s = (m - 1) / (m + 1), at most 1/5, ln m = 2 (s + s^3/3 + s^5/5 + s^7/7 + s^9/9), to 1e-8. */
INLINE vec logarithm(vec x) {
    bits n = ((bits)x - 0x3f2aaaab) >> 23;
    vec m = (vec)((bits)x - (n << 23));
    vec s = (m - 1.0f) / (m + 1.0f), square = s * s;
    vec series = square * (1 / 9.f) + 1 / 7.f;
    series = series * square + 1 / 5.f;
    series = series * square + 1 / 3.f;
    return __builtin_convertvector(n, vec) * 0.69314718f + 2 * (s + s * square * series);
}

INLINE vec probs_at(const float *row, int64_t at, int64_t size) {
    return at + LANES <= size ? *(const vec *)(row + at) : fitted(row + at, size - at, 0);
}

/* Entropy and the k likeliest of p; beside another r: -sum r ln p, infinite where p lacks a token
 * that r has, and sum min(p, r). */
static void described(const Probs *rows, int64_t row) {
    const int64_t size = rows->vocabulary, k = rows->k;
    const float *p = rows->probs + row * rows->stride;
    const float *other = rows->other ? rows->other + row * rows->other_stride : 0;
    const vec least = (vec){0} + 1.17549435e-38f;
    float *best = rows->top_probs + row * k;
    int64_t *ids = rows->top_ids + row * k, held = 0;
    double own = 0, crossed = 0, overlap = 0;
    bits lacking = {0};
    for (int64_t start = 0; start < size; start += STRIP) {
        vec once = {0}, beside = {0}, both = {0}, most = {0};
        int64_t stop = start + STRIP < size ? start + STRIP : size;
        for (int64_t at = start; at < stop; at += LANES) {
            vec x = probs_at(p, at, size), log_x = logarithm(larger(least, x));
            once += x * log_x;
            most = larger(x, most);
            if (!other) continue;
            vec y = probs_at(other, at, size);
            beside += y * log_x;
            both += (vec)(((bits)x & (x < y)) | ((bits)y & ~(x < y)));
            lacking |= (bits)(x == 0) & (bits)(y > 0);
        }
        own += sum_of(once);
        crossed += sum_of(beside);
        overlap += sum_of(both);
        if (k && (held < k || highest_of(most) > best[k - 1]))
            for (int64_t at = start; at < stop; at++) enter(best, ids, &held, k, p[at], at);
    }
    int lacks = 0;
    for (int n = 0; n < LANES; n++) lacks |= lacking[n];
    rows->entropy[row] = (float)(own > 0 ? 0 : -own);
    if (!other) return;
    rows->crossed[row] = lacks ? INFINITY : (float)-crossed;
    rows->overlap[row] = (float)overlap;
}

void prob_rows(const Probs *rows, int64_t start, int64_t stop) {
    for (int64_t row = start; row < stop; row++) described(rows, row);
}

INLINE int nearer(float value, float than, int ahead) {
    return ahead ? value <= than : value > than;
}

/* Puts a token among the n nearest on one side, the nearest first; ids come ascending, so that of
 * equals the later is nearer to what is behind them, and farther from what is ahead. */
static void approach(float *values, int64_t *ids, int64_t *held, int64_t n, float value, int64_t id,
                     int ahead) {
    if (*held == n && !nearer(value, values[n - 1], ahead)) return;
    int64_t at = *held < n ? (*held)++ : n - 1;
    for (; at && nearer(value, values[at - 1], ahead); at--) {
        values[at] = values[at - 1];
        ids[at] = ids[at - 1];
    }
    values[at] = value;
    ids[at] = id;
}

/* The n tokens before and the n after one in the order of p, likeliest first, of equals the lower
 * id: ids [2 n + 1], -1 where there is none. */
void nearest(const float *p, int64_t size, int64_t token, int64_t n, int64_t *ids) {
    float before[n ? n : 1], after[n ? n : 1];
    int64_t likelier[n ? n : 1], others[n ? n : 1], ahead = 0, behind = 0;
    const float own = p[token];
    for (int64_t start = 0; n && start < size; start += STRIP) {
        int64_t stop = start + STRIP < size ? start + STRIP : size;
        float most = ahead < n ? INFINITY : before[n - 1], least = behind < n ? -1 : after[n - 1];
        bits wanted = {0};
        for (int64_t at = start; at < stop; at += LANES) {
            vec x = at + LANES <= size ? *(const vec *)(p + at) : fitted(p + at, size - at, own);
            wanted |= ((bits)(x >= own) & (bits)(x <= most)) | ((bits)(x <= own) & (bits)(x > least));
        }
        int any = 0;
        for (int lane = 0; lane < LANES; lane++) any |= wanted[lane];
        if (!any) continue;
        for (int64_t at = start; at < stop; at++) {
            float x = p[at];
            if (x > own || (x == own && at < token))
                approach(before, likelier, &ahead, n, x, at, 1);
            else if (at != token)
                approach(after, others, &behind, n, x, at, 0);
        }
    }
    for (int64_t place = 0; place < n; place++) {
        ids[n - 1 - place] = place < ahead ? likelier[place] : -1;
        ids[n + 1 + place] = place < behind ? others[place] : -1;
    }
    ids[n] = token;
}

/* The first token at which the cumulated p passes uniform in [0, 1) of its sum; never one of 0. */
int64_t drawn(const float *p, int64_t size, double uniform) {
    double masses[size / STRIP + 1], total = 0, below = 0;
    for (int64_t start = 0; start < size; start += STRIP) {
        vec sum = {0};
        int64_t stop = start + STRIP < size ? start + STRIP : size;
        for (int64_t at = start; at < stop; at += LANES) sum += probs_at(p, at, size);
        total += masses[start / STRIP] = sum_of(sum);
    }
    double reach = uniform * total;
    int64_t found = size - 1;
    for (int64_t start = 0; start < size; start += STRIP) {
        double mass = masses[start / STRIP];
        int64_t stop = start + STRIP < size ? start + STRIP : size;
        if (!(mass > 0)) continue;
        /* rounding may leave every strip below what is to be reached: the last with mass has it */
        for (int64_t at = start; at < stop; at++)
            if (p[at] > 0) found = at;
        if (!(below + mass > reach)) {
            below += mass;
            continue;
        }
        for (int64_t at = start; at < stop; at++)
            if (p[at] > 0 && (below += p[at]) > reach) return at;
        return found;
    }
    return found;
}

/* Writes max(0, p - q) divided by its sum, p where that is 0. */
void left_over(const float *p, const float *q, int64_t size, float *out) {
    double total = 0;
    for (int64_t start = 0; start < size; start += STRIP) {
        vec sum = {0};
        int64_t stop = start + STRIP < size ? start + STRIP : size;
        for (int64_t at = start; at < stop; at += LANES) {
            vec x = larger((vec){0}, probs_at(p, at, size) - probs_at(q, at, size));
            sum += x;
            if (at + LANES <= size) *(vec *)(out + at) = x;
            else
                for (int64_t n = 0; at + n < size; n++) out[at + n] = x[n];
        }
        total += sum_of(sum);
    }
    if (!(total > 0)) {
        memcpy(out, p, size * sizeof *out);
        return;
    }
    float divisor = (float)total;
    for (int64_t at = 0; at < size; at++) out[at] /= divisor;
}
