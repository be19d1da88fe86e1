/* Nearest: numbers: the row of every row of the output, then the column of every column. */
static PV_COLD void pv_nearest_block(const pv_thread *th, const pv_stage *s, int block, int from,
                                     int to) {
  const pv_tensor *out = &pv_tensors[s->out];
  const int32_t *rows = pv_numbers + s->more, *columns = rows + out->h;
  for (int y = from; y < to; y++) {
    const float *p = pv_row_of(th, s->in, block, rows[y]);
    float *o = pv_row_of(th, s->out, block, y);
    for (int x = 0; x < out->w; x++, o += 16)
      for (int v = 0; v < 16; v += PV_LANES) pv_store(o + v, pv_load(p + columns[x] * 16 + v));
  }
}
PV_BLOCKWISE(pv_nearest)

/* Linear: numbers: where its weights are; two rows for every row, then two columns for every
   column. Weights: the second row's share of every row, then the same for columns. */
static PV_COLD void pv_linear_block(const pv_thread *th, const pv_stage *s, int block, int from,
                                    int to) {
  const pv_tensor *out = &pv_tensors[s->out];
  const int32_t *rows = pv_numbers + s->more + 1, *columns = rows + 2 * out->h;
  const float *down = pv_weights(th, s), *along = down + out->h;
  for (int y = from; y < to; y++) {
    const float *p = pv_row_of(th, s->in, block, rows[2 * y]);
    const float *q = pv_row_of(th, s->in, block, rows[2 * y + 1]);
    float *o = pv_row_of(th, s->out, block, y);
    const pv_v d = pv_all(down[y]);
    for (int x = 0; x < out->w; x++, o += 16) {
      const int a = columns[2 * x] * 16, b = columns[2 * x + 1] * 16;
      const pv_v f = pv_all(along[x]);
      for (int v = 0; v < 16; v += PV_LANES) {
        const pv_v left = pv_load(p + a + v), right = pv_load(p + b + v);
        pv_v l = left + (pv_load(q + a + v) - left) * d, r = right + (pv_load(q + b + v) - right) * d;
        pv_store(o + v, l + (r - l) * f);
      }
    }
  }
}
PV_BLOCKWISE(pv_linear)
