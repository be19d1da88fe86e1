/* x where positive, x times the channel's slope where negative; weights from numbers[0] on. */
static PV_COLD void pv_prelu_block(const pv_thread *th, const pv_stage *s, int block, int from,
                                   int to) {
  const float *slopes = pv_weights(th, s) + block * 16;
  for (int y = from; y < to; y++) {
    const float *p = pv_row_of(th, s->in, block, y);
    float *o = pv_row_of(th, s->out, block, y);
    for (int v = 0; v < 16; v += PV_LANES) {
      const pv_v slope = pv_load(slopes + v), zero = pv_all(0.0f);
      for (int x = v; x < pv_tensors[s->out].w * 16; x += 16) {
        const pv_v a = pv_load(p + x);
        pv_store(o + x, pv_max(a, zero) + pv_min(a, zero) * slope);
      }
    }
  }
}
PV_BLOCKWISE(pv_prelu)
