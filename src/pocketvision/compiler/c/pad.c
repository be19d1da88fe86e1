/* Borders: alpha (whole 0), mirrored (1) or repeated pixels (2); numbers: kind, top, left. */
PV_INLINE int pv_pad_source(int i, int n, int kind) {
  if (kind == 1) return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
  return i < 0 ? 0 : i >= n ? n - 1 : i;
}

PV_INLINE void pv_pad_pixel(float *o, const float *p, float value) {
  for (int v = 0; v < 16; v += PV_LANES) pv_store(o + v, p ? pv_load(p + v) : pv_all(value));
}

static PV_COLD void pv_pad_block(const pv_thread *th, const pv_stage *s, int block, int from,
                                 int to) {
  const pv_tensor *in = &pv_tensors[s->in], *out = &pv_tensors[s->out];
  const int32_t *n = pv_numbers + s->more;
  for (int y = from; y < to; y++) {
    int from_y = y - n[1], outside = n[0] == 0 && (from_y < 0 || from_y >= in->h);
    const float *p = pv_row_of(th, s->in, block, pv_pad_source(from_y, in->h, n[0]));
    float *o = pv_row_of(th, s->out, block, y);
    for (int x = 0; x < out->w; x++) {
      int from_x = x - n[2], none = outside || (n[0] == 0 && (from_x < 0 || from_x >= in->w));
      pv_pad_pixel(o + x * 16, none ? NULL : p + pv_pad_source(from_x, in->w, n[0]) * 16, s->alpha);
    }
  }
}
PV_BLOCKWISE(pv_pad)
