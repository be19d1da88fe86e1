/* The KIND of windows, KERNEL_W pixels wide; windows that hang out are cut. x: the first column,
   step: distance of two windows, alpha: 1 / pixels where padding counts, else 0. */
PV_INLINE pv_v pv_pool_NAME_window(const float *const *rows, int n_rows, int at, int columns) {
  pv_v all = pv_all(START);
  for (int k = 0; k < n_rows; k++) {
    const float *p = rows[k] + at;
    pv_v a = pv_load(p);
    for (int j = 1; j < columns; j++) {
      const pv_v b = pv_load(p + j * 16);
      a = PAIR;
    }
    const pv_v b = all;
    all = PAIR;
  }
  return all;
}

static PV_COLD void pv_pool_NAME_block(const pv_thread *th, const pv_stage *s, int block, int from,
                                       int to) {
  const pv_tensor *in = &pv_tensors[s->in], *out = &pv_tensors[s->out];
  const float *rows[PV_MAX_KERNEL];
  for (int y = from; y < to; y++) {
    int top = y * s->stride_h - s->pad_top, n = 0;
    for (int k = 0; k < s->kernel_h; k++)
      if (top + k >= 0 && top + k < in->h) rows[n++] = pv_row_of(th, s->in, block, top + k);
    float *o = pv_row_of(th, s->out, block, y);
    for (int x = 0; x < out->w; x++, o += 16) {
      int left = x * s->step + s->x, right = left + KERNEL_W;
      int whole = left >= 0 && right <= in->w;
      left = left < 0 ? 0 : left;
      right = right > in->w ? in->w : right;
      int columns = right > left ? right - left : 0, rows_met = columns ? n : 0;
      const pv_v scale = pv_all(s->alpha > 0 ? s->alpha : 1.0f / (float)(rows_met * columns));
      (void)scale;
      for (int v = 0; v < 16; v += PV_LANES) {
        const pv_v a = whole ? pv_pool_NAME_window(rows, n, left * 16 + v, KERNEL_W)
                             : pv_pool_NAME_window(rows, rows_met, left * 16 + v, columns);
        pv_store(o + v, RESULT);
      }
    }
  }
}
PV_BLOCKWISE(pv_pool_NAME)
