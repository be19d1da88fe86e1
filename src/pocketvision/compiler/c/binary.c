/* ACT(x OP y); y is there once a MODE. */
static PV_COLD void pv_OP_MODE_ACT_block(const pv_thread *th, const pv_stage *s, int block,
                                         int from, int to) {
  for (int y = from; y < to; y++) {
    const float *p = pv_row_of(th, s->in, block, y);
    const float *q = pv_row_of(th, s->res, Y_BLOCK, Y_ROW);
    float *o = pv_row_of(th, s->out, block, y);
    for (int x = 0; x < pv_tensors[s->out].w; x++, p += 16, q += Y_STEP, o += 16)
      for (int v = 0; v < 16; v += PV_LANES) {
        const pv_v a = pv_load(p + v), b = Y_VALUE;
        pv_store(o + v, pv_act_ACT(RESULT, s->alpha, s->beta));
      }
  }
}
PV_BLOCKWISE(pv_OP_MODE_ACT)
