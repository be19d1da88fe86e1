/* KIND(x * gate), a block a unit; in place where input and output are one. */
static PV_COLD void pv_gate_KIND_unit(const pv_thread *th, const pv_stage *s, int unit) {
  const pv_tensor *in = &pv_tensors[s->in], *out = &pv_tensors[s->out];
  const float *gate = pv_base(th, &pv_tensors[s->gate]) + unit * 16;
  for (int y = 0; y < in->h; y++) {
    const float *p = pv_pixels(th, in, y) + (int64_t)unit * in->plane;
    float *o = pv_pixels(th, out, y) + (int64_t)unit * out->plane;
    for (int v = 0; v < 16; v += PV_LANES) {
      const pv_v g = pv_load(gate + v);
      for (int x = v; x < in->w * 16; x += 16)
        pv_store(o + x, pv_act_KIND(pv_load(p + x) * g, s->alpha, s->beta));
    }
    pv_borders(th, out, unit, 1, y);
  }
}
