/* ---- stages that make some rows of one block at a time ---- */

/* Of NAME_block(th, s, block, from, to): NAME_rows for bands, NAME_unit for a share of a block. */
#define PV_BLOCKWISE(NAME)                                                                     \
  PV_INLINE void NAME##_part(const pv_thread *th, const pv_stage *s, int b, int from, int to) { \
    NAME##_block(th, s, b, from, to);                                                          \
    for (int y = from; y < to; y++) pv_borders(th, &pv_tensors[s->out], b, 1, y);              \
  }                                                                                            \
  static PV_COLD void NAME##_rows(const pv_thread *th, const pv_stage *s, int from, int to) {  \
    int blocks = (pv_tensors[s->out].c + 15) / 16;                                             \
    for (int b = 0; b < blocks; b++) NAME##_part(th, s, b, from, to);                          \
  }                                                                                            \
  static PV_COLD void NAME##_unit(const pv_thread *th, const pv_stage *s, int unit) {          \
    int h = pv_tensors[s->out].h, share = unit % s->chunks;                                    \
    NAME##_part(th, s, unit / s->chunks, h * share / s->chunks, h * (share + 1) / s->chunks);  \
  }

/* Row y of a block. */
PV_INLINE float *pv_row_of(const pv_thread *th, int tensor, int block, int y) {
  const pv_tensor *t = &pv_tensors[tensor];
  return pv_pixels(th, t, y) + (int64_t)block * t->plane;
}

/* The weights of a stage whose first number says where they are. */
PV_INLINE const float *pv_weights(const pv_thread *th, const pv_stage *s) {
  return th->context->weights + pv_numbers[s->more];
}
