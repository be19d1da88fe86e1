/* A value known beforehand; it lies among the weights as it does in memory, without borders. */
static PV_COLD void pv_constant_block(const pv_thread *th, const pv_stage *s, int block, int from,
                                      int to) {
  const pv_tensor *out = &pv_tensors[s->out];
  const float *w = pv_weights(th, s) + (int64_t)block * out->h * out->w * 16;
  for (int y = from; y < to; y++)
    memcpy(pv_row_of(th, s->out, block, y), w + (int64_t)y * out->w * 16,
           (size_t)out->w * 16 * sizeof *w);
}
PV_BLOCKWISE(pv_constant)
