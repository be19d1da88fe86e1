/* ACT(x). */
static PV_COLD void pv_act_ACT_block(const pv_thread *th, const pv_stage *s, int block, int from,
                                     int to) {
  int n = pv_tensors[s->out].w * 16;
  for (int y = from; y < to; y++) {
    const float *p = pv_row_of(th, s->in, block, y);
    float *o = pv_row_of(th, s->out, block, y);
    for (int x = 0; x < n; x += PV_LANES)
      pv_store(o + x, pv_act_ACT(pv_load(p + x), s->alpha, s->beta));
  }
}
PV_BLOCKWISE(pv_act_ACT)
