/* Some channels of a rectangle of pixels to another place.

   numbers: rows, columns; first row, first column, step down, step along of the input, the same of
   the output; then of every output block that is reached (a unit each, in `chunks` shares): its
   number, where its pieces begin behind these, how many there are. A piece: input block and lane,
   output lane, channels (1, 2, 4, 8 or 16). */
#define PV_COPY(N)                                      \
  for (int x = 0; x < n; x++, p += p_step, o += o_step) \
    memcpy(o, p, (N) * sizeof *p);                      \
  return

static PV_COLD void pv_move_run(float *o, const float *p, int n, int o_step, int p_step, int size) {
  if (size == 16 && o_step == 16 && p_step == 16) {
    memcpy(o, p, (size_t)n * 16 * sizeof *p);
    return;
  }
  switch (size) {
    case 16: PV_COPY(16);
    case 8: PV_COPY(8);
    case 4: PV_COPY(4);
    case 2: PV_COPY(2);
    default: PV_COPY(1);
  }
}

static PV_COLD void pv_move_unit(const pv_thread *th, const pv_stage *s, int unit) {
  const pv_tensor *in = &pv_tensors[s->in], *out = &pv_tensors[s->out];
  const int32_t *n = pv_numbers + s->more, *from = n + 2, *to = n + 6;
  const int32_t *block = n + 10 + unit / s->chunks * 3, *pieces = n + block[1];
  int share = unit % s->chunks;
  for (int y = n[0] * share / s->chunks; y < n[0] * (share + 1) / s->chunks; y++) {
    const float *p = pv_pixels(th, in, from[0] + y * from[2]) + from[1] * 16;
    float *o = pv_row_of(th, s->out, block[0], to[0] + y * to[2]) + to[1] * 16;
    for (int k = 0; k < block[2]; k++) {
      const int32_t *piece = pieces + 4 * k;
      pv_move_run(o + piece[2], p + (int64_t)piece[0] * in->plane + piece[1], n[1], to[3] * 16,
                  from[3] * 16, piece[3]);
    }
    pv_borders(th, out, block[0], 1, to[0] + y * to[2]);
  }
}
