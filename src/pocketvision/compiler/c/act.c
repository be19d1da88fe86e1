/* KIND(x), a block a unit. */
static PV_COLD void pv_act_KIND_unit(const pv_thread *th, const pv_stage *s, int unit) {
  const pv_tensor *in = &pv_tensors[s->in], *out = &pv_tensors[s->out];
  for (int y = 0; y < in->h; y++) {
    const float *p = pv_pixels(th, in, y) + (int64_t)unit * in->plane;
    float *o = pv_pixels(th, out, y) + (int64_t)unit * out->plane;
    for (int x = 0; x < in->w * 16; x += PV_LANES)
      pv_store(o + x, pv_act_KIND(pv_load(p + x), s->alpha, s->beta));
    pv_borders(th, out, unit, 1, y);
  }
}
