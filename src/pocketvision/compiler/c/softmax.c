/* Over the channels of every pixel; whole 1: its logarithm. A unit is some rows. */

/* The largest of 16, and the sum, in pairs: short chains, and the same for every vector length. */
static float pv_most(float *a) {
  for (int n = 8; n > 0; n /= 2)
    for (int i = 0; i < n; i++) a[i] = a[i] > a[i + n] ? a[i] : a[i + n];
  return a[0];
}

static float pv_total(float *a) {
  for (int n = 8; n > 0; n /= 2)
    for (int i = 0; i < n; i++) a[i] += a[i + n];
  return a[0];
}

PV_INLINE void pv_softmax_pixel(const float *p, int64_t p_plane, float *o, int64_t o_plane, int c,
                                int log_too) {
  float last[16], most[16], sums[16] = {0};
  const int full = (c - 1) / 16, rest = c - full * 16; /* channels of the last block: 1 .. 16 */
  const float *end = p + full * p_plane;
  for (int i = 0; i < 16; i++) most[i] = last[i] = i < rest ? end[i] : -INFINITY;
  for (int b = 0; b < full; b++)
    for (int v = 0; v < 16; v += PV_LANES)
      pv_store(most + v, pv_max(pv_load(most + v), pv_load(p + b * p_plane + v)));
  const float top = pv_most(most);
  for (int b = 0; b <= full; b++)
    for (int v = 0; v < 16; v += PV_LANES) {
      const pv_v e = pv_exp(pv_load((b < full ? p + b * p_plane : last) + v) - top);
      pv_store(o + b * o_plane + v, e);
      pv_store(sums + v, pv_load(sums + v) + e);
    }
  const float sum = pv_total(sums), scale = 1.0f / sum, less = top + (log_too ? logf(sum) : 0.0f);
  for (int b = 0; b <= full; b++)
    for (int v = 0; v < 16; v += PV_LANES) {
      float *at = o + b * o_plane + v;
      pv_store(at, log_too ? pv_load(p + b * p_plane + v) - less : pv_load(at) * scale);
    }
}

static PV_COLD void pv_softmax_unit(const pv_thread *th, const pv_stage *s, int unit) {
  const pv_tensor *in = &pv_tensors[s->in], *out = &pv_tensors[s->out];
  for (int y = out->h * unit / s->units; y < out->h * (unit + 1) / s->units; y++) {
    for (int x = 0; x < out->w; x++)
      pv_softmax_pixel(pv_pixels(th, in, y) + x * 16, in->plane, pv_pixels(th, out, y) + x * 16,
                       out->plane, out->c, s->whole);
    pv_borders(th, out, 0, (out->c + 15) / 16, y);
  }
}
