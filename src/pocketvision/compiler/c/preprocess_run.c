/* The part of an image that `source` says, into the pixels that `target` says; 0 if too large. */
static int pv_fit(const unsigned char *rgb, int width, pv_place at, float *out) {
  const unsigned char *from = rgb + ((size_t)at.source.top * (size_t)width +
                                     (size_t)at.source.left) * 3;
  return pv_resampled(from, (size_t)width * 3, at.source.h, at.source.w, at.target.h, at.target.w,
                      out + at.target.top * PV_PRE_W + at.target.left);
}

int PV_NAME(preprocess)(const unsigned char *rgb, int height, int width, float *out) {
  if (rgb == NULL || out == NULL) return PV_CODE(NULL_POINTER);
  if (height < 1 || width < 1) return PV_CODE(BAD_IMAGE);
  pv_place at = pv_placement(height, width);
  if (at.target.h < PV_PRE_H || at.target.w < PV_PRE_W)
    for (int i = 0; i < PV_PRE_H * PV_PRE_W; i++)
      for (int c = 0; c < PV_PRE_C; c++) pv_put(out + i, c, PV_PRE_FILL);
  return pv_fit(rgb, width, at, out) ? PV_CODE(OK) : PV_CODE(BAD_IMAGE);
}
