/* Separable resampling with a kernel stretched by the scale where that is over 1, cut at the border
   and scaled to sum 1: along rows first. Memory: some 30 KB of stack, whatever the image. */
#define PV_TILE 64                                      /* output columns at a time */
#define PV_TAPS 4096                                    /* weights of a tile, of a row */
#define PV_KEPT (64 / (int)sizeof(pv_mid))              /* rows that are kept, done along x */

typedef struct { /* one axis */
  double scale, support, inverse;
  int source, target, shift;
} pv_axis;

/* Source pixels that output i reads: the first, and how many. */
static int pv_window(const pv_axis *a, int i, int *first) {
  double centre = a->scale * (i + 0.5);
  int from = (int)(centre - a->support + 0.5), to = (int)(centre + a->support + 0.5);
  *first = from < 0 ? 0 : from;
  return (to > a->source ? a->source : to) - *first;
}

PV_INLINE double pv_weight(const pv_axis *a, int i, int source) {
  return pv_kernel((source - a->scale * (i + 0.5) + 0.5) * a->inverse);
}

static double pv_total(const pv_axis *a, int i, int first, int n) {
  double total = 0.0;
  for (int k = 0; k < n; k++) total += pv_weight(a, i, first + k);
  return total;
}

/* The weights of output i. */
static void pv_taps(const pv_axis *a, int i, int first, int n, pv_tap *taps) {
  double total = pv_total(a, i, first, n);
  for (int k = 0; k < n; k++) taps[k] = pv_as_tap(pv_weight(a, i, first + k) / total, a->shift);
}

static pv_axis pv_axis_of(int source, int target) {
  pv_axis a = {(double)source / target, PV_SUPPORT, 1.0, source, target, 0};
  double most = 0.0;
  if (a.scale >= 1.0) {
    a.support = PV_SUPPORT * a.scale;
    a.inverse = 1.0 / a.scale;
  }
  for (int i = 0; i < target; i++) {
    int first, n = pv_window(&a, i, &first);
    double total = pv_total(&a, i, first, n);
    for (int k = 0; k < n; k++) {
      double w = pv_weight(&a, i, first + k) / total;
      most = w > most ? w : most;
    }
  }
  a.shift = pv_shift(most);
  return a;
}

typedef struct { /* columns x .. x + n of the output */
  int x, n, first[PV_TILE], count[PV_TILE], at[PV_TILE];
  pv_tap taps[PV_TAPS];
} pv_columns;

static void pv_columns_from(const pv_axis *a, int x, pv_columns *t) {
  int used = 0;
  t->x = x;
  for (t->n = 0; t->n < PV_TILE && x + t->n < a->target; t->n++) {
    int first, n = pv_window(a, x + t->n, &first);
    if (used + n > PV_TAPS) return;
    t->first[t->n] = first;
    t->count[t->n] = n;
    t->at[t->n] = used;
    pv_taps(a, x + t->n, first, n, t->taps + used);
    used += n;
  }
}

/* A row of the source along x. */
static void pv_along(const unsigned char *row, const pv_columns *t, int shift, pv_mid *out) {
  for (int i = 0; i < t->n; i++) {
    const unsigned char *p = row + (size_t)t->first[i] * 3;
    const pv_tap *w = t->taps + t->at[i];
    pv_sum sums[PV_PRE_C];
    for (int c = 0; c < PV_PRE_C; c++) sums[c] = pv_half(shift);
    for (int k = 0; k < t->count[i]; k++, p += 3)
      for (int c = 0; c < PV_PRE_C; c++) sums[c] += (pv_sum)w[k] * (pv_sum)pv_channel(p, c);
    for (int c = 0; c < PV_PRE_C; c++) *out++ = pv_between(sums[c], shift);
  }
}

static int pv_resampled(const unsigned char *rgb, size_t row_bytes, int h, int w, int out_h,
                        int out_w, float *out) {
  pv_axis down = pv_axis_of(h, out_h), along = pv_axis_of(w, out_w);
  pv_columns t;
  pv_tap taps[PV_TAPS];
  pv_mid kept[PV_KEPT][PV_TILE * PV_PRE_C];
  int32_t row_of[PV_KEPT];
  if (2.0 * down.support + 3.0 > PV_TAPS || 2.0 * along.support + 3.0 > PV_TAPS) return 0;
  for (int x = 0; x < out_w; x += t.n) {
    pv_columns_from(&along, x, &t);
    for (int i = 0; i < PV_KEPT; i++) row_of[i] = -1;
    for (int y = 0; y < out_h; y++) {
      int first, n = pv_window(&down, y, &first), m = t.n * PV_PRE_C;
      pv_sum sums[PV_TILE * PV_PRE_C];
      pv_taps(&down, y, first, n, taps);
      for (int i = 0; i < m; i++) sums[i] = pv_half(down.shift);
      for (int k = 0; k < n; k++) {
        int row = first + k, slot = row % PV_KEPT;
        pv_mid *p = kept[slot];
        if (row_of[slot] != row) {
          pv_along(rgb + (size_t)row * row_bytes, &t, along.shift, p);
          row_of[slot] = row;
        }
        for (int i = 0; i < m; i++) sums[i] += (pv_sum)taps[k] * (pv_sum)p[i];
      }
      for (int i = 0; i < m; i++)
        pv_put(out + y * PV_PRE_W + x + i / PV_PRE_C, i % PV_PRE_C, pv_level(sums[i], down.shift));
    }
  }
  return 1;
}
