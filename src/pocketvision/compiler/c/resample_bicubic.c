/* Keys' cubic with a = -1/2 in float: it overshoots, which 8 bit between the axes would cut off. */
#define PV_SUPPORT 2.0
typedef float pv_tap, pv_sum, pv_mid;

static double pv_kernel(double x) {
  x = x < 0.0 ? -x : x;
  if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1.0;
  return x < 2.0 ? ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0 : 0.0;
}
static int pv_shift(double most) { (void)most; return 0; }
static pv_tap pv_as_tap(double w, int shift) { (void)shift; return (pv_tap)w; }
PV_INLINE pv_sum pv_half(int shift) { (void)shift; return 0.0f; }
PV_INLINE pv_mid pv_between(pv_sum sum, int shift) { (void)shift; return sum; }
PV_INLINE int pv_level(pv_sum sum, int shift) {
  (void)shift;
  return (int)((sum < 0.0f ? 0.0f : sum > 255.0f ? 255.0f : sum) + 0.5f);
}
