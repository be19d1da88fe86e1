/* An image as a vector: channel after channel (whole 0) or pixel after pixel (1); a unit is a block
   of the input. */
static PV_COLD void pv_flatten_unit(const pv_thread *th, const pv_stage *s, int unit) {
  const pv_tensor *in = &pv_tensors[s->in], *out = &pv_tensors[s->out];
  float *o = pv_pixels(th, out, 0);
  int n = in->c - unit * 16 < 16 ? in->c - unit * 16 : 16;
  for (int y = 0; y < in->h; y++) {
    const float *p = pv_row_of(th, s->in, unit, y);
    for (int x = 0; x < in->w; x++)
      for (int i = 0; i < n; i++) {
        int pixel = y * in->w + x, c = unit * 16 + i;
        int at = s->whole ? pixel * in->c + c : c * in->h * in->w + pixel;
        o[(int64_t)(at / 16) * out->plane + at % 16] = p[x * 16 + i];
      }
  }
  if (unit == 0) pv_borders(th, out, 0, (out->c + 15) / 16, 0);
}
