/* ACT(x * scale + bias), a number each channel; a block's weights: 16 scales, 16 biases. */
static PV_COLD void pv_affine_ACT_block(const pv_thread *th, const pv_stage *s, int block, int from,
                                        int to) {
  const float *w = pv_weights(th, s) + block * 32;
  for (int y = from; y < to; y++) {
    const float *p = pv_row_of(th, s->in, block, y);
    float *o = pv_row_of(th, s->out, block, y);
    for (int v = 0; v < 16; v += PV_LANES) {
      const pv_v scale = pv_load(w + v), bias = pv_load(w + 16 + v);
      for (int x = v; x < pv_tensors[s->out].w * 16; x += 16)
        pv_store(o + x, pv_act_ACT(pv_load(p + x) * scale + bias, s->alpha, s->beta));
    }
  }
}
PV_BLOCKWISE(pv_affine_ACT)
