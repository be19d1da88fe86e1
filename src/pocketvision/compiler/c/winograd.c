/* Winograd convolution WINO, a unit some rows of tiles. Numbers of a stage: where the biases are,
   tiles in a row, rows of tiles a unit, floats of a panel's position. */
static PV_COLD void pv_winograd_WINO_unit(const pv_thread *th, const pv_stage *s, int unit) {
  enum { M = TILE, N = TILE + 2 };
  const pv_tensor *in = &pv_tensors[s->in], *out = &pv_tensors[s->out];
  const pv_tensor *u = &pv_tensors[s->gate], *x = &pv_tensors[s->sum];
  const int32_t *numbers = pv_numbers + s->more;
  const float *bias = th->context->weights + numbers[0];
  const int tiles = numbers[1], rows = numbers[2], blocks = (out->c + 15) / 16;
  float *at = pv_base(th, u), *made = pv_base(th, x);
  for (int b = 0; b < (in->c + 15) / 16; b++)
    for (int r = 0; r < rows; r++) {
      const float *from[N];
      for (int k = 0; k < N; k++)
        from[k] = pv_pixels(th, in, (unit * rows + r) * M - s->pad_top + k) +
                  (int64_t)b * in->plane + s->x;
      pv_winograd_in_TILE(from, at + (int64_t)b * u->plane + r * tiles * 16, u->row, tiles);
    }
  for (int i = 0; i < s->count; i++) {
    const pv_panel *p = &pv_panels[s->first + i];
    for (int position = 0; position < N * N; position++) {
      const float *row = at + (int64_t)position * u->row;
      pv_tile t = {.rows = &row, .segments = pv_segments + p->segment,
                   .n_segments = p->n_segments, .tiles = p->main_tiles,
                   .b = th->context->weights + p->b + (int64_t)position * numbers[3 + i],
                   .c = made + (int64_t)position * x->row + (int64_t)p->block * x->plane + p->part,
                   .c_plane = x->plane};
      if (t.tiles) p->main(&t);
      if (p->last_tiles) {
        int pixel = p->main_tiles * p->main_rows;
        t.x = (int64_t)pixel * 16; t.c += pixel * 16; t.tiles = p->last_tiles;
        p->last(&t);
      }
    }
  }
  for (int b = 0; b < blocks; b++)
    for (int r = 0; r < rows; r++) {
      int y = (unit * rows + r) * M, high = out->h - y < M ? out->h - y : M;
      for (int i = 0; i < tiles && high > 0; i++) {
        const float *from = made + (int64_t)b * x->plane + (r * tiles + i) * 16;
        float *to[M], part[M * M * 16];
        const float *res[M];
        int wide = out->w - i * M < M ? out->w - i * M : M, whole = high == M && wide == M;
        for (int k = 0; k < M; k++) {
          int64_t pixel = i * M * 16;
          int there = k < high ? k : 0;
          to[k] = whole ? pv_pixels(th, out, y + k) + b * (int64_t)out->plane + pixel
                        : part + k * M * 16;
          res[k] = to[k];
          if (s->res >= 0)
            res[k] = pv_pixels(th, &pv_tensors[s->res], y + there) +
                     b * (int64_t)pv_tensors[s->res].plane + pixel;
        }
        pv_winograd_out_WINO(from, x->row, bias + b * 16, to, res, s->alpha, s->beta);
        for (int k = 0; !whole && k < high; k++)
          memcpy(pv_pixels(th, out, y + k) + b * (int64_t)out->plane + i * M * 16, to[k],
                 (size_t)wide * 16 * sizeof(float));
      }
      for (int k = 0; k < high; k++) pv_borders(th, out, b, 1, y + k);
    }
}
