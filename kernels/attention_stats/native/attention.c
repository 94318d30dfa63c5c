/* Causal grouped-query attention with statistics: one job is a run of queries of one key-value group.
 *
 * Rows are the queries of a block times the heads of the group, query by query. Keys are walked in
 * strips of 64, the newest first: the product with a strip gives logits x in bits, which become
 * e = 2^(x - c) in place; each row keeps its sum Z of e, X of e (x - c), Y of e (i - j) and the sum of
 * e v. The shift c is the highest logit of the first strip that the row sees (the learned sink, where
 * there is one) and moves only if a later logit exceeds it by more than 60 bits. Then
 *
 *     output = sum e v / Z,   entropy = ln Z - ln 2 X / Z,   distance = Y / Z
 *
 * (online softmax: Milakov and Gimelshein, 2018, arXiv:1805.02867). All e of a block are kept, so that
 * what is summed over queries follows once every Z is known. Single-threaded, no library calls that
 * lock; memory of a block is rows x keys floats, so O(T).
 */
#include "vectors.h"

#define TALL 6          /* rows of a product's tile: with WIDE vectors of columns it fills the registers */
#define STRIP 64        /* keys */
#define PER_STRIP (STRIP / LANES)
#define MOST_FACTORS 4  /* forgetting factors summed in one go */
#define HIDDEN (-1e30f)
#define NOTHING (-3e38f)
#define FAR 60.0f       /* bits */
#define LN2 0.693147180559945f

typedef struct {
    const float *q, *k, *v, *sinks, *mask, *factors;
    const int64_t *cuts, *tile_rows, *segment_of, *key_edges, *column_keys, *diagonal_backs;
    float *out, *entropy, *distance, *columns, *diagonals;
    float *received, *last, *segments, *decayed, *tile_sums, *tile_peaks;
    int64_t q_head, q_query, k_group, v_group, mask_head, mask_query;
    int64_t heads, per_group, queries, keys, size, value_size, value_width;
    int64_t offset, window, rows, column_count, diagonal_count, factor_count;
    int64_t last_piece, segment_count, tile_row_count, tile_column_count;
    float scaling, softcap;
    int64_t keeps; /* whether anything is summed over queries or picked out of the weights */
} Layer;

typedef struct {
    int64_t group, start, stop, oldest, width;
    int64_t first_piece, beyond_piece, factor_count;
    const int64_t *factor_rows;
    float *pieces, *peaks, *decayed; /* [per_group, pieces or factors, width] */
} Job;

/* What a block of queries works with. ``first`` and ``beyond`` are strips. */
typedef struct {
    const Layer *layer;
    const Job *job;
    int64_t start, count, rows, padded, first, beyond;
    float *q, *e, *sums, *shift, *inverse;
    vec *z, *x, *y;
} Block;

/* c[TALL, n LANES] = a[TALL, depth] b[depth, n LANES], or added to it. */
INLINE void tile(int n, int add, int64_t depth, const float *a, int64_t a_row, const float *b,
                 int64_t b_row, float *c, int64_t c_row) {
    vec sum[TALL][WIDE];
    for (int r = 0; r < TALL; r++)
        for (int i = 0; i < n; i++)
            sum[r][i] = add ? *(vec *)(c + r * c_row + i * LANES) : (vec){0};
    for (int64_t d = 0; d < depth; d++) {
        vec column[WIDE];
        for (int i = 0; i < n; i++) column[i] = *(const vec *)(b + d * b_row + i * LANES);
        for (int r = 0; r < TALL; r++) {
            float factor = a[r * a_row + d];
            for (int i = 0; i < n; i++) sum[r][i] += factor * column[i];
        }
    }
    for (int r = 0; r < TALL; r++)
        for (int i = 0; i < n; i++) *(vec *)(c + r * c_row + i * LANES) = sum[r][i];
}

static void product(int add, int64_t columns, int64_t depth, const float *a, int64_t a_row,
                    const float *b, int64_t b_row, float *c, int64_t c_row) {
    int64_t at = 0;
    for (; at + WIDE * LANES <= columns; at += WIDE * LANES)
        tile(WIDE, add, depth, a, a_row, b + at, b_row, c + at, c_row);
    for (; at < columns; at += LANES) tile(1, add, depth, a, a_row, b + at, b_row, c + at, c_row);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t position(const Block *block, int64_t row) {
    return block->layer->offset + block->start + row / block->layer->per_group;
}

static int64_t oldest_seen(const Layer *layer, int64_t position) {
    return layer->window ? most(0, position - layer->window + 1) : 0;
}

/* Move a row's shift up to ``to``, and with it what was found under the old one. */
static __attribute__((noinline)) void move_shift(Block *b, int64_t row, int64_t strip, float to) {
    const Layer *layer = b->layer;
    float d = to - b->shift[row], f = d < 126 ? exp2f(-d) : 0.0f;
    int known = b->shift[row] > NOTHING;
    b->shift[row] = to;
    if (!known) return;
    b->x[row] = f * (b->x[row] - (f > 0 ? d : 0.0f) * b->z[row]);
    b->z[row] *= f;
    b->y[row] *= f;
    float *sums = b->sums + row * layer->value_width;
    for (int64_t n = 0; n < layer->value_width; n++) sums[n] *= f;
    if (!layer->keeps) return;
    for (int64_t s = strip + 1; s < b->beyond; s++) {
        float *e = b->e + ((s - b->first) * b->padded + row) * STRIP;
        for (int n = 0; n < STRIP; n++) e[n] *= f;
    }
}

/* Logits of one row and strip, as products gave them, to what the softmax sees. */
static void cap_and_mask(const Block *b, int64_t row, int64_t key, float *e) {
    const Layer *layer = b->layer;
    if (layer->softcap > 0) { /* c tanh x = c - 2 c / (1 + 2^x'); the softmax does not see the first c */
        const float scale = -2 / LN2 * layer->softcap;
        for (int n = 0; n < PER_STRIP; n++) {
            vec x = ((vec *)e)[n];
            x = -larger((vec){0} - 126.0f, -larger((vec){0} - 126.0f, x));
            ((vec *)e)[n] = scale / (power(x) + 1.0f);
        }
    }
    if (layer->mask) {
        int64_t head = b->job->group * layer->per_group + row % layer->per_group;
        int64_t query = b->start + row / layer->per_group;
        const float *mask = layer->mask + head * layer->mask_head + query * layer->mask_query;
        int64_t count = least(STRIP, layer->keys - key);
        for (int64_t n = 0; n < count; n++) {
            float added = mask[key + n] / LN2;
            e[n] += added < HIDDEN ? HIDDEN : added;
        }
    }
}

/* Turn one row's logits of a strip into e, and add them to the row's Z, X and Y. */
static void weigh(Block *b, int64_t row, int64_t strip, float *e) {
    const Layer *layer = b->layer;
    int64_t key = strip * STRIP, here = position(b, row);
    int64_t low = most(oldest_seen(layer, here) - key, 0), high = least(here + 1 - key, STRIP);
    if (low >= high) {
        memset(e, 0, STRIP * sizeof(float));
        return;
    }
    if (layer->softcap > 0 || layer->mask) cap_and_mask(b, row, key, e);
    for (int64_t n = 0; n < low; n++) e[n] = HIDDEN;
    for (int64_t n = high; n < STRIP; n++) e[n] = HIDDEN;
    vec *at = (vec *)e, top = at[0];
    for (int n = 1; n < PER_STRIP; n++) top = larger(top, at[n]);
    float h = highest_of(top);
    if (h > b->shift[row] + FAR) move_shift(b, row, strip, h);
    const float shift = b->shift[row];
    const vec floor = (vec){0} - 126.0f;
    vec z = b->z[row], x = b->x[row], y = b->y[row], back;
    for (int n = 0; n < LANES; n++) back[n] = (float)(here - key - n);
    for (int n = 0; n < PER_STRIP; n++) {
        vec t = larger(floor, at[n] - shift); /* in this order NaN stays NaN */
        vec found = (vec)((bits)power(t) & ~(bits)(t <= floor));
        at[n] = found;
        z += found;
        x += found * t;
        y += found * back;
        back -= (float)LANES;
    }
    b->z[row] = z;
    b->x[row] = x;
    b->y[row] = y;
}

static void gather_queries(Block *b) {
    const Layer *layer = b->layer;
    for (int64_t row = 0; row < b->padded; row++) {
        float *to = b->q + row * layer->size;
        if (row >= b->rows) {
            memset(to, 0, layer->size * sizeof(float));
            continue;
        }
        int64_t head = b->job->group * layer->per_group + row % layer->per_group;
        int64_t query = b->start + row / layer->per_group;
        const float *from = layer->q + head * layer->q_head + query * layer->q_query;
        for (int64_t n = 0; n < layer->size; n++) to[n] = from[n] * layer->scaling;
        b->shift[row] = layer->sinks ? layer->sinks[head] : NOTHING;
    }
}

/* Which rows see any key of a strip: whole tiles of rows, from the first to the one after the last. */
static void seeing(const Block *b, int64_t strip, int64_t *from, int64_t *to) {
    const Layer *layer = b->layer;
    int64_t here = layer->offset + b->start, key = strip * STRIP;
    int64_t first = most(0, key - here) * layer->per_group;
    int64_t beyond = b->rows;
    if (layer->window)
        beyond = least(beyond, most(0, key + STRIP + layer->window - 1 - here) * layer->per_group);
    *from = first / TALL * TALL;
    *to = least((beyond + TALL - 1) / TALL * TALL, b->padded);
}

static void attend(Block *b) {
    const Layer *layer = b->layer;
    const float *k = layer->k + b->job->group * layer->k_group;
    const float *v = layer->v + b->job->group * layer->v_group;
    for (int64_t strip = b->beyond - 1; strip >= b->first; strip--) {
        float *e = b->e + (layer->keeps ? (strip - b->first) * b->padded * STRIP : 0);
        const float *keys = k + strip * STRIP * layer->size;
        const float *values = v + strip * STRIP * layer->value_width;
        int64_t from, to;
        seeing(b, strip, &from, &to);
        if (layer->keeps && to > from) {
            memset(e, 0, from * STRIP * sizeof(float));
            memset(e + to * STRIP, 0, (b->padded - to) * STRIP * sizeof(float));
        } else if (layer->keeps)
            memset(e, 0, b->padded * STRIP * sizeof(float));
        for (int64_t row = from; row < to; row += TALL) {
            product(0, STRIP, layer->size, b->q + row * layer->size, layer->size, keys, STRIP,
                    e + row * STRIP, STRIP);
            for (int64_t r = row; r < row + TALL; r++) {
                if (r < b->rows) weigh(b, r, strip, e + r * STRIP);
                else memset(e + r * STRIP, 0, STRIP * sizeof(float));
            }
        }
        for (int64_t row = from; row < to; row += TALL) {
            int64_t last = position(b, least(row + TALL, b->rows) - 1);
            int64_t depth = least(STRIP, last + 1 - strip * STRIP);
            product(1, layer->value_width, depth, e + row * STRIP, STRIP, values,
                    layer->value_width, b->sums + row * layer->value_width, layer->value_width);
        }
    }
}

static void finish_rows(Block *b) {
    const Layer *layer = b->layer;
    for (int64_t row = 0; row < b->rows; row++) {
        int64_t head = b->job->group * layer->per_group + row % layer->per_group;
        int64_t query = b->start + row / layer->per_group;
        float share = sum_of(b->z[row]), total = share;
        if (layer->sinks) {
            float sink = layer->sinks[head] - b->shift[row];
            total += sink < -126 ? 0 : exp2f(sink);
        }
        float inverse = 1 / total;
        b->inverse[row] = inverse;
        int64_t at = head * layer->queries + query;
        if (layer->entropy)
            layer->entropy[at] = (logf(total) * share - LN2 * sum_of(b->x[row])) * inverse;
        if (layer->distance) layer->distance[at] = sum_of(b->y[row]) * inverse;
        const float *sums = b->sums + row * layer->value_width;
        float *out = layer->out + (query * layer->heads + head) * layer->value_size;
        for (int64_t n = 0; n < layer->value_size; n++) out[n] = sums[n] * inverse;
    }
}

/* A row's weight on a key; 0 where it does not see it. */
static float weight(const Block *b, int64_t row, int64_t key) {
    int64_t strip = key / STRIP;
    if (key < 0 || strip < b->first || strip >= b->beyond) return 0;
    return b->e[((strip - b->first) * b->padded + row) * STRIP + key % STRIP] * b->inverse[row];
}

static void pick(const Block *b) {
    const Layer *layer = b->layer;
    for (int64_t row = 0; row < b->rows; row++) {
        int64_t head = b->job->group * layer->per_group + row % layer->per_group;
        int64_t query = b->start + row / layer->per_group, here = position(b, row);
        for (int64_t n = 0; n < layer->column_count; n++)
            layer->columns[(head * layer->column_count + n) * layer->queries + query] =
                weight(b, row, layer->column_keys[n]);
        for (int64_t n = 0; n < layer->diagonal_count; n++) {
            int64_t key = here - layer->diagonal_backs[n];
            layer->diagonals[(head * layer->diagonal_count + n) * layer->queries + query] =
                key < 0 ? NAN : weight(b, row, key);
        }
    }
}

/* Of some rows of one head: sums and maxima of a strip's weights, and sums under forgetting. */
INLINE void strip_sums(int factors, int columns, int64_t count, const float *e, int64_t e_row,
                       const float *inverse, int64_t inverse_row, const float *const *forgotten,
                       float *sum, float *peak, float (*decayed)[STRIP]) {
    vec total[WIDE], top[WIDE], kept[MOST_FACTORS][WIDE];
    for (int n = 0; n < columns; n++) {
        total[n] = top[n] = (vec){0};
        for (int f = 0; f < factors; f++) kept[f][n] = (vec){0};
    }
    for (int64_t r = 0; r < count; r++) {
        const vec *at = (const vec *)(e + r * e_row);
        float scale = inverse[r * inverse_row];
        for (int n = 0; n < columns; n++) {
            vec w = at[n] * scale;
            total[n] += w;
            top[n] = larger(top[n], w);
            for (int f = 0; f < factors; f++) kept[f][n] += w * forgotten[f][r];
        }
    }
    for (int n = 0; n < columns; n++) {
        ((vec *)sum)[n] = total[n];
        ((vec *)peak)[n] = top[n];
        for (int f = 0; f < factors; f++) ((vec *)decayed[f])[n] = kept[f][n];
    }
}

static void sums_of_strip(int factors, int64_t count, const float *e, int64_t e_row,
                          const float *inverse, int64_t inverse_row, const float *const *forgotten,
                          float *sum, float *peak, float (*decayed)[STRIP]) {
    for (int at = 0; at < STRIP; at += WIDE * LANES) {
        float(*kept)[STRIP] = (float(*)[STRIP])(decayed[0] + at);
#define WITH(n)                                                                                   \
    strip_sums(n, WIDE, count, e + at, e_row, inverse, inverse_row, forgotten, sum + at, peak + at, \
               kept)
        switch (factors) {
        case 0: WITH(0); break;
        case 1: WITH(1); break;
        case 2: WITH(2); break;
        case 3: WITH(3); break;
        default: WITH(4);
        }
#undef WITH
    }
}

INLINE void add_to(float *to, const float *from, int64_t low, int64_t high) {
    for (int64_t n = low; n < high; n++) to[n] += from[n];
}

INLINE void raise_to(float *to, const float *from, int64_t low, int64_t high) {
    for (int64_t n = low; n < high; n++) to[n] = from[n] > to[n] ? from[n] : to[n];
}

/* Add what rows [from, to) of the block's queries give one head and strip. */
static void add_strip(const Block *b, int64_t p, int64_t piece, int64_t strip, int64_t from,
                      int64_t to) {
    const Layer *layer = b->layer;
    const Job *job = b->job;
    const int64_t P = layer->per_group, row = from * P + p;
    const float *e = b->e + ((strip - b->first) * b->padded + row) * STRIP;
    float sum[STRIP], peak[STRIP], decayed[MOST_FACTORS][STRIP];
    const float *forgotten[MOST_FACTORS];
    int64_t key = strip * STRIP - job->oldest;
    int64_t low = most(0, -key), high = least(STRIP, job->width - key);
    int64_t done = 0;
    do {
        int count = (int)least(MOST_FACTORS, job->factor_count - done);
        for (int f = 0; f < count; f++)
            forgotten[f] = layer->factors + job->factor_rows[done + f] * layer->queries + b->start + from;
        sums_of_strip(count, to - from, e, P * STRIP, b->inverse + row, P, forgotten, sum, peak, decayed);
        for (int f = 0; f < count; f++)
            add_to(job->decayed + (p * job->factor_count + done + f) * job->width + key, decayed[f], low, high);
        done += MOST_FACTORS;
    } while (done < job->factor_count);
    if (piece < 0) return;
    int64_t pieces = job->beyond_piece - job->first_piece;
    int64_t at = (p * pieces + piece - job->first_piece) * job->width + key;
    add_to(job->pieces + at, sum, low, high);
    if (layer->tile_sums) raise_to(job->peaks + at, peak, low, high);
}

static void add_sums(const Block *b) {
    const Layer *layer = b->layer;
    const Job *job = b->job;
    int64_t stop = b->start + b->count, piece = job->first_piece;
    int by_piece = job->beyond_piece > job->first_piece;
    if (!by_piece && !job->factor_count) return;
    for (int64_t at = b->start; at < stop;) {
        int64_t next = stop;
        if (by_piece) {
            while (layer->cuts[piece + 1] <= at) piece++;
            next = least(stop, layer->cuts[piece + 1]);
        }
        for (int64_t strip = b->first; strip < b->beyond; strip++) {
            int64_t here = layer->offset, key = strip * STRIP;
            int64_t from = most(at, key - here), to = next; /* rows before see nothing of the strip */
            if (layer->window) to = least(to, key + STRIP + layer->window - 1 - here);
            for (int64_t p = 0; p < layer->per_group && from < to; p++)
                add_strip(b, p, by_piece ? piece : -1, strip, from - b->start, to - b->start);
        }
        at = next;
    }
}

static float *taken(float **memory, int64_t count) {
    float *found = *memory;
    *memory += (count + 15) / 16 * 16;
    return found;
}

static void lay_out(Block *b, float *memory) {
    const Layer *layer = b->layer;
    int64_t rows = b->padded, strips = layer->keeps ? b->beyond - b->first : 1;
    b->e = taken(&memory, strips * rows * STRIP);
    b->q = taken(&memory, rows * layer->size);
    b->sums = taken(&memory, rows * layer->value_width);
    b->z = (vec *)taken(&memory, rows * LANES);
    b->x = (vec *)taken(&memory, rows * LANES);
    b->y = (vec *)taken(&memory, rows * LANES);
    b->shift = taken(&memory, rows);
    b->inverse = taken(&memory, rows);
    memset(b->sums, 0, rows * layer->value_width * sizeof(float));
    memset(b->z, 0, rows * sizeof(vec));
    memset(b->x, 0, rows * sizeof(vec));
    memset(b->y, 0, rows * sizeof(vec));
}

static int64_t floats_of(const Layer *layer, int64_t count) {
    int64_t rows = (count * layer->per_group + TALL - 1) / TALL * TALL;
    int64_t seen = layer->window ? least(layer->keys, layer->window + count) : layer->keys;
    int64_t strips = layer->keeps ? seen / STRIP + 2 : 1;
    return rows * (strips * STRIP + layer->size + layer->value_width + 3 * LANES + 2) + 16 * 8;
}

/* Bytes of memory that a job needs, 64-byte aligned, of which it expects nothing. */
int64_t attention_memory(const Layer *layer) { return floats_of(layer, layer->rows) * 4; }

/* Compute the queries [start, stop) of a group, ``rows`` queries at a time. */
void attention_job(const Layer *layer, const Job *job, float *memory) {
#if defined(__SSE__)
    unsigned control = _mm_getcsr(); /* far tokens' weights are denormal, which is slow: make them 0 */
    _mm_setcsr(control | 0x8040);
#endif
    for (int64_t start = job->start; start < job->stop; start += layer->rows) {
        Block b = {.layer = layer, .job = job, .start = start};
        b.count = least(layer->rows, job->stop - start);
        b.rows = b.count * layer->per_group;
        b.padded = (b.rows + TALL - 1) / TALL * TALL;
        b.first = oldest_seen(layer, layer->offset + start) / STRIP;
        b.beyond = (layer->offset + start + b.count - 1) / STRIP + 1;
        lay_out(&b, memory);
        gather_queries(&b);
        attend(&b);
        finish_rows(&b);
        if (layer->column_count || layer->diagonal_count) pick(&b);
        add_sums(&b);
    }
#if defined(__SSE__)
    _mm_setcsr(control);
#endif
}

/* Pool one piece's sums and maxima [width] to the columns of its row of tiles. */
static void pool(const Layer *layer, const Job *job, const float *sums, const float *peaks,
                 float *tile_sums, float *tile_peaks) {
    for (int64_t c = 0; c < layer->tile_column_count; c++) {
        int64_t low = most(0, layer->key_edges[c] - job->oldest);
        int64_t high = least(job->width, layer->key_edges[c + 1] - job->oldest);
        float sum = 0, peak = tile_peaks[c];
        for (int64_t n = low; n < high; n++) {
            sum += sums[n];
            peak = peaks[n] > peak ? peaks[n] : peak;
        }
        tile_sums[c] += sum;
        tile_peaks[c] = peak;
    }
}

/* Add a finished job to the layer's sums over queries; not while another one of the group is added. */
void attention_add(const Layer *layer, const Job *job) {
    int64_t pieces = job->beyond_piece - job->first_piece, keys = layer->keys, width = job->width;
    for (int64_t p = 0; p < layer->per_group; p++) {
        int64_t head = job->group * layer->per_group + p;
        for (int64_t f = 0; f < job->factor_count; f++)
            add_to(layer->decayed + (head * layer->factor_count + job->factor_rows[f]) * keys + job->oldest,
                   job->decayed + (p * job->factor_count + f) * width, 0, width);
        for (int64_t n = 0; n < pieces; n++) {
            const float *sums = job->pieces + (p * pieces + n) * width;
            int64_t piece = job->first_piece + n, at = head * keys + job->oldest;
            if (layer->received) add_to(layer->received + at, sums, 0, width);
            if (layer->last && piece >= layer->last_piece) add_to(layer->last + at, sums, 0, width);
            if (layer->segments)
                add_to(layer->segments + (head * layer->segment_count + layer->segment_of[piece]) * keys + job->oldest,
                       sums, 0, width);
            if (!layer->tile_sums || layer->tile_rows[piece] < 0) continue;
            int64_t row = (head * layer->tile_row_count + layer->tile_rows[piece]) * layer->tile_column_count;
            pool(layer, job, sums, job->peaks + (p * pieces + n) * width, layer->tile_sums + row,
                 layer->tile_peaks + row);
        }
    }
}
