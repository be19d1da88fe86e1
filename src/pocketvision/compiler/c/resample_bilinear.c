/* The triangle in fixed point: weights of 16 bit, rounded to 8 bit after each axis. */
#define PV_SUPPORT 1.0
typedef int16_t pv_tap;
typedef int32_t pv_sum;
typedef unsigned char pv_mid;

static double pv_kernel(double x) {
  x = x < 0.0 ? -x : x;
  return x < 1.0 ? 1.0 - x : 0.0;
}
/* Bits behind the point: as many as the largest weight leaves. */
static int pv_shift(double most) {
  int bits = 0;
  while (bits < 22 && (int)(0.5 + most * (1 << (bits + 1))) < 1 << 15) bits++;
  return bits;
}
static pv_tap pv_as_tap(double w, int shift) { return (pv_tap)(0.5 + w * (1 << shift)); }
PV_INLINE pv_sum pv_half(int shift) { return 1 << (shift - 1); }
PV_INLINE pv_mid pv_between(pv_sum sum, int shift) {
  sum >>= shift;
  return (pv_mid)(sum > 255 ? 255 : sum);
}
PV_INLINE int pv_level(pv_sum sum, int shift) { return pv_between(sum, shift); }
