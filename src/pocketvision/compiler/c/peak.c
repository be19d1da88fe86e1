/* Multiply-adds as fast as the machine goes: 12 sums that do not wait for each other. */
#define PV_12(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)
#define PV_START(i) pv_v a##i = pv_all(1.0f + (float)i);
#define PV_ADD(i) a##i = a##i * x + y;
#define PV_TAKE(i) total += a##i;
double pv_peak(long rounds);
double pv_peak(long rounds) {
  const pv_v x = pv_all(0.999999f), y = pv_all(1e-6f);
  pv_v total = pv_all(0.0f);
  float f[PV_LANES];
  PV_12(PV_START)
  for (long r = 0; r < rounds; r++) {
    PV_12(PV_ADD)
    __asm__ volatile(""); /* one round after the other */
  }
  PV_12(PV_TAKE)
  memcpy(f, &total, sizeof f);
  return (double)f[0]; /* so that nothing is left out */
}
