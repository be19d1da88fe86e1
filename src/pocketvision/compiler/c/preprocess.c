/* ---- from a decoded image to the input: cut, resampled to 8 bit, scaled ---- */

typedef struct { int top, left, h, w; } pv_box; /* whole pixels */
typedef struct { pv_box source, target; } pv_place;

PV_UNUSED static pv_box pv_centred(int outer_h, int outer_w, int h, int w) {
  pv_box box = {(outer_h - h) / 2, (outer_w - w) / 2, h, w};
  return box;
}

PV_UNUSED static int pv_rounded(double side, double scale, int most) {
  volatile double length = side * scale; /* rounded here: not part of a multiply-add */
  int n = (int)(length + 0.5);
  return n < 1 ? 1 : n > most ? most : n;
}

/* Where the contract reads an image of h x w, and where it puts that. */
static pv_place pv_placement(int h, int w) {
  pv_place at = {{0, 0, h, w}, {0, 0, PV_PRE_H, PV_PRE_W}};
#if PV_PRE_RESIZE == 1 /* crop: the largest centred box of the input's aspect, times a fraction */
  volatile double by_h = (double)h / PV_PRE_H, by_w = (double)w / PV_PRE_W;
  volatile double scale = PV_PRE_FRACTION * (by_h < by_w ? by_h : by_w);
  at.source = pv_centred(h, w, pv_rounded(PV_PRE_H, scale, h), pv_rounded(PV_PRE_W, scale, w));
#elif PV_PRE_RESIZE == 2 /* letterbox: everything, as large as fits, centred */
  volatile double by_h = (double)PV_PRE_H / h, by_w = (double)PV_PRE_W / w;
  volatile double scale = by_h < by_w ? by_h : by_w;
  at.target = pv_centred(PV_PRE_H, PV_PRE_W, pv_rounded(h, scale, PV_PRE_H),
                         pv_rounded(w, scale, PV_PRE_W));
#endif
  return at;
}

/* The channels of one pixel; grey is BT.601 luma, rounded. */
PV_INLINE int pv_channel(const unsigned char *rgb, int c) {
#if PV_PRE_C == 1
  (void)c;
  return (int)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 32768u) >> 16);
#else
  return rgb[c];
#endif
}

/* A level of 255 as the network reads it, into channel c of an input's pixel. */
PV_INLINE void pv_put(float *out, int c, int level) {
  static const float scale[PV_PRE_C] = PV_PRE_SCALE, bias[PV_PRE_C] = PV_PRE_BIAS;
  out[c * PV_PRE_H * PV_PRE_W] = (float)level * scale[c] + bias[c];
}
