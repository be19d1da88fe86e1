struct pv_context {
  const float *weights;
  float *arena;
  const float *const *inputs;
  float *const *outputs;
  int32_t n_threads;
  pv_thread threads[PV_MAX_THREADS];
  void *memory;
  void *loaded;
  struct pv_pool *pool;
  int32_t next[PV_MAX_THREADS][PV_STEPS + 16]; /* units of each step that each share has given */
};

PV_INLINE float *pv_base(const pv_thread *th, const pv_tensor *t) {
  return (t->local ? th->own : th->context->arena) + t->at;
}

/* The first pixel of row y, borders left out; a row of zeros above and below the image. */
PV_INLINE float *pv_pixels(const pv_thread *th, const pv_tensor *t, int y) {
  int slot = (y < 0 || y >= t->h) ? t->slots : (t->slots == t->h ? y : y % t->slots);
  return pv_base(th, t) + (int64_t)slot * t->row + t->left * t->pixel;
}

static void pv_zero(float *p, int64_t n) {
  for (int64_t i = 0; i < n; i++) p[i] = 0.0f;
}

/* Whole pixels of 16 floats. */
PV_INLINE void pv_zero_pixels(float *p, int n) {
  for (int i = 0; i < n * 16; i += PV_LANES) pv_store(p + i, pv_all(0.0f));
}

/* Zeros beside row y of some blocks, and the row of zeros where y is the first. */
static void pv_borders(const pv_thread *th, const pv_tensor *t, int block, int blocks, int y) {
  int first = t->zeros && y == 0 && !t->local;
  if (t->left == 0 && t->right == 0 && !first) return;
  float *p = pv_pixels(th, t, y) + (int64_t)block * t->plane;
  for (int b = block; b < block + blocks; b++, p += t->plane) {
    if (t->pixel == 16) {
      pv_zero_pixels(p - t->left * 16, t->left);
      pv_zero_pixels(p + t->w * 16, t->right);
    } else {
      pv_zero(p - t->left, t->left);
      pv_zero(p + t->w, t->right);
    }
    if (first) pv_zero(pv_base(th, t) + (int64_t)b * t->plane + (int64_t)t->slots * t->row, t->row);
  }
}

/* ---- convolutions as matrix products ---- */

static const float *pv_scaled(const pv_thread *th, const pv_stage *s, const pv_panel *p) {
  const float *b = th->context->weights + p->b;
  if (s->gate < 0) return b;
  const pv_tensor *in = &pv_tensors[s->in], *gate = &pv_tensors[s->gate];
  float *out = th->panel;
  memcpy(out, b, (size_t)p->width * sizeof *b);
  b += p->width; out += p->width;
  for (int n = 0; n < p->n_segments; n++) {
    const pv_segment *seg = &pv_segments[p->segment + n];
    const float *g =
        pv_pixels(th, gate, 0) + seg->at / in->plane * (int64_t)gate->plane + seg->at % in->plane;
    for (int k = 0; k < seg->count; k++, b += p->width, out += p->width)
      for (int i = 0; i < p->width; i++) out[i] = b[i] * g[k];
  }
  return th->panel;
}

/* Tiles from .. to of the runs that begin in output rows y0 .. y1, for one panel. */
static void pv_gemm_runs(const pv_thread *th, const pv_stage *s, const pv_panel *p, int y0, int y1,
                         int from, int to) {
  const pv_tensor *in = &pv_tensors[s->in], *out = &pv_tensors[s->out];
  const pv_tensor *r = s->res >= 0 ? &pv_tensors[s->res] : NULL;
  const float *rows[PV_MAX_KERNEL];
  pv_tile t = {.rows = rows, .segments = pv_segments + p->segment, .n_segments = p->n_segments,
               .b = pv_scaled(th, s, p), .c_plane = out->plane, .alpha = s->alpha,
               .beta = s->beta};
  int64_t c_at = (int64_t)p->block * out->plane + p->part, res_at = 0;
  if (r) {
    t.res_plane = r->plane;
    res_at = (int64_t)p->block * r->plane + p->part;
  }
  int main_to = to < p->main_tiles ? to : p->main_tiles;
  int last_from = from > p->main_tiles ? from : p->main_tiles;
  int main_pixel = from * p->main_rows;
  int last_pixel = p->main_tiles * p->main_rows + (last_from - p->main_tiles) * p->last_rows;
  for (int y = y0; y < y1; y++) {
    for (int k = 0; k < s->kernel_h; k++)
      rows[k] = pv_pixels(th, in, y * s->stride_h - s->pad_top + k * s->dilation_h) + s->x;
    float *c = pv_pixels(th, out, y) + c_at;
    const float *res = r ? pv_pixels(th, r, y) + res_at : NULL;
    if (from < main_to) {
      t.x = (int64_t)main_pixel * s->step;
      t.c = c + main_pixel * 16;
      t.res = res ? res + main_pixel * 16 : NULL;
      t.tiles = main_to - from;
      p->main(&t);
    }
    if (last_from < to) {
      t.x = (int64_t)last_pixel * s->step;
      t.c = c + last_pixel * 16;
      t.res = res ? res + last_pixel * 16 : NULL;
      t.tiles = to - last_from;
      p->last(&t);
    }
    /* A block's borders are written once: by the panel that begins it, in the first share. */
    int blocks = (p->part + p->width + 15) / 16, begun = p->part > 0;
    if (from == 0 && to > 0 && blocks > begun)
      pv_borders(th, out, p->block + begun, blocks - begun, y);
  }
}

static PV_COLD void pv_conv_rows(const pv_thread *th, const pv_stage *s, int from, int to) {
  for (int i = 0; i < s->count; i++) {
    const pv_panel *p = &pv_panels[s->first + i];
    pv_gemm_runs(th, s, p, from, to, 0, p->main_tiles + p->last_tiles);
  }
}

/* A unit is a share of a panel: some rows, or some tiles of the one run. */
static PV_COLD void pv_conv_unit(const pv_thread *th, const pv_stage *s, int unit) {
  const pv_panel *p = &pv_panels[s->first + unit / s->chunks];
  int share = unit % s->chunks, tiles = p->main_tiles + p->last_tiles;
  int h = pv_tensors[s->out].h;
  if (s->whole)
    pv_gemm_runs(th, s, p, 0, 1, tiles * share / s->chunks, tiles * (share + 1) / s->chunks);
  else
    pv_gemm_runs(th, s, p, h * share / s->chunks, h * (share + 1) / s->chunks, 0, tiles);
}

/* ---- depthwise ---- */

#define PV_DW_ROWS 8 /* output rows a call: weights stay in registers over them */

/* Output rows y .. y + n of a block, n at most PV_DW_ROWS. */
static void pv_dw_some(const pv_thread *th, const pv_stage *s, int block, int y, int n) {
  const pv_tensor *in = &pv_tensors[s->in], *out = &pv_tensors[s->out];
  const pv_filter *f = &pv_filters[s->first + block];
  const float *rows[(PV_DW_ROWS - 1) * PV_MAX_STRIDE + PV_MAX_KERNEL], *res[PV_DW_ROWS];
  float *outs[PV_DW_ROWS];
  int64_t at = (int64_t)block * in->plane + f->x;
  if (s->dilation_h == 1) {
    for (int k = 0; k < (n - 1) * s->stride_h + f->kernel_h; k++)
      rows[k] = pv_pixels(th, in, y * s->stride_h - f->pad_top + k) + at;
  } else { /* one row a call: the rows under a kernel are not beside each other */
    for (int k = 0; k < f->kernel_h; k++)
      rows[k] = pv_pixels(th, in, y * s->stride_h - f->pad_top + k * s->dilation_h) + at;
  }
  for (int i = 0; i < n; i++)
    outs[i] = pv_pixels(th, out, y + i) + (int64_t)block * out->plane;
  pv_row t = {.rows = rows, .res = res, .out = outs, .w = th->context->weights + f->w,
              .n = n, .tiles = s->tiles, .alpha = s->alpha, .beta = s->beta};
  if (s->res >= 0)
    for (int i = 0; i < n; i++)
      res[i] = pv_pixels(th, &pv_tensors[s->res], y + i) +
               (int64_t)block * pv_tensors[s->res].plane;
  if (s->sum >= 0)
    t.sum = pv_pixels(th, &pv_tensors[s->sum], y) + (int64_t)block * pv_tensors[s->sum].plane;
  f->kernel(&t);
  for (int i = 0; i < n; i++) pv_borders(th, out, block, 1, y + i);
}

static void pv_dw_block(const pv_thread *th, const pv_stage *s, int block, int from, int to) {
  int most = s->dilation_h == 1 ? PV_DW_ROWS : 1;
  for (int y = from; y < to; y += most) pv_dw_some(th, s, block, y, to - y < most ? to - y : most);
}

static PV_COLD void pv_dw_rows(const pv_thread *th, const pv_stage *s, int from, int to) {
  for (int block = 0; block < s->count; block++) pv_dw_block(th, s, block, from, to);
}

static PV_COLD void pv_dw_unit(const pv_thread *th, const pv_stage *s, int unit) {
  int h = pv_tensors[s->out].h, share = unit % s->chunks;
  pv_dw_block(th, s, unit / s->chunks, h * share / s->chunks, h * (share + 1) / s->chunks);
}

/* ---- means ---- */

static void pv_mean_store(const pv_thread *th, const pv_stage *s, int unit, const float *total) {
  const pv_tensor *t = &pv_tensors[s->out];
  float *out = pv_pixels(th, t, 0) + (int64_t)unit * t->plane;
  for (int i = 0; i < 16; i++) out[i] = total[i] * s->alpha;
  pv_borders(th, t, unit, 1, 0);
}

/* The mean from the sums that a depthwise convolution left, a row each; a unit is a block. */
static PV_COLD void pv_mean_unit(const pv_thread *th, const pv_stage *s, int unit) {
  const pv_tensor *sum = &pv_tensors[s->in];
  float total[16] = {0};
  for (int y = 0; y < sum->h; y++) {
    const float *p = pv_pixels(th, sum, y) + (int64_t)unit * sum->plane;
    for (int i = 0; i < 16; i++) total[i] += p[i];
  }
  pv_mean_store(th, s, unit, total);
}

static PV_COLD void pv_mean_image_unit(const pv_thread *th, const pv_stage *s, int unit) {
  const pv_tensor *in = &pv_tensors[s->in];
  float total[16] = {0};
  for (int y = 0; y < in->h; y++) {
    const float *p = pv_pixels(th, in, y) + (int64_t)unit * in->plane;
    float row[16] = {0};
    for (int x = 0; x < in->w; x++)
      for (int i = 0; i < 16; i++) row[i] += p[x * 16 + i];
    for (int i = 0; i < 16; i++) total[i] += row[i];
  }
  pv_mean_store(th, s, unit, total);
}

/* Zeros in the last block behind the last channel. */
static PV_COLD void pv_clear_unit(const pv_thread *th, const pv_stage *s, int unit) {
  const pv_tensor *t = &pv_tensors[s->out];
  (void)unit;
  for (int y = 0; y < t->h; y++) {
    float *p = pv_pixels(th, t, y) + (int64_t)(t->c / 16) * t->plane;
    for (int x = 0; x < t->w; x++, p += 16)
      for (int i = t->c % 16; i < 16; i++) p[i] = 0.0f;
  }
}

/* ---- input and output ---- */

/* Rows of the caller's image into planes with borders; numbers: input, order (0 nchw, 1 nhwc). */
static PV_COLD void pv_input_rows(const pv_thread *th, const pv_stage *s, int from, int to) {
  const pv_tensor *out = &pv_tensors[s->out];
  const float *x = th->context->inputs[s->first];
  int per = out->pixel == 16 ? 16 : 1;
  for (int y = from; y < to; y++) {
    for (int c = 0; c < out->c; c++) {
      float *p = pv_pixels(th, out, y) + (int64_t)(c / per) * out->plane + c % per;
      const float *q = s->whole ? x + (int64_t)y * out->w * out->c + c
                                : x + ((int64_t)c * out->h + y) * out->w;
      int q_step = s->whole ? out->c : 1;
      if (per == 1 && q_step == 1) memcpy(p, q, (size_t)out->w * sizeof *p);
      else for (int i = 0; i < out->w; i++) p[i * out->pixel] = q[i * q_step];
    }
    pv_borders(th, out, 0, (out->c + per - 1) / per, y);
  }
}

static PV_COLD void pv_input_unit(const pv_thread *th, const pv_stage *s, int unit) {
  int h = pv_tensors[s->out].h;
  pv_input_rows(th, s, h * unit / s->units, h * (unit + 1) / s->units);
}

/* The value as the file orders it: whole 0 channels first, 1 channels last; a unit is some rows of
   a block. */
static PV_COLD void pv_output_unit(const pv_thread *th, const pv_stage *s, int unit) {
  const pv_tensor *in = &pv_tensors[s->in];
  const int block = unit / s->chunks, share = unit % s->chunks, w = in->w;
  const int n = in->c - block * 16 < 16 ? in->c - block * 16 : 16;
  const int64_t pixels = (int64_t)in->h * w;
  for (int y = in->h * share / s->chunks; y < in->h * (share + 1) / s->chunks; y++) {
    const float *p = pv_pixels(th, in, y) + (int64_t)block * in->plane;
    float *o = th->context->outputs[s->first];
    if (s->whole) {
      o += (int64_t)y * w * in->c + block * 16;
      for (int x = 0; x < w; x++, o += in->c, p += 16)
        for (int i = 0; i < n; i++) o[i] = p[i];
    } else {
      o += block * 16 * pixels + (int64_t)y * w;
      for (int i = 0; i < n; i++, o += pixels)
        for (int x = 0; x < w; x++) o[x] = p[x * 16 + i];
    }
  }
}
