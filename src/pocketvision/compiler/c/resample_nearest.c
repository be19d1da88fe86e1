/* The source pixel that holds the output's centre. */
static int pv_resampled(const unsigned char *rgb, size_t row_bytes, int h, int w, int out_h,
                        int out_w, float *out) {
  for (int y = 0; y < out_h; y++) {
    const unsigned char *row = rgb + (size_t)(((int64_t)2 * y + 1) * h / (2 * out_h)) * row_bytes;
    for (int x = 0; x < out_w; x++) {
      const unsigned char *p = row + (size_t)(((int64_t)2 * x + 1) * w / (2 * out_w)) * 3;
      for (int c = 0; c < PV_PRE_C; c++) pv_put(out + y * PV_PRE_W + x, c, pv_channel(p, c));
    }
  }
  return 1;
}
