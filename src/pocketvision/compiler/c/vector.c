/* Vectors: PV_LANES floats, by GCC's and Clang's vector extensions; plain floats where that is 1. */
#define PV_BLOCK 16 /* channels side by side in memory */
#if defined(__GNUC__)
#define PV_INLINE static inline __attribute__((always_inline, unused))
#define PV_COLD __attribute__((unused, noinline))
#define PV_UNUSED __attribute__((unused))
#else
#define PV_INLINE static inline
#define PV_COLD
#define PV_UNUSED
#endif

#if PV_LANES == 1
typedef float pv_v;
typedef int32_t pv_vi;
PV_INLINE pv_v pv_load(const float *p) { return *p; }
PV_INLINE void pv_store(float *p, pv_v v) { *p = v; }
PV_INLINE pv_v pv_all(float x) { return x; }
PV_INLINE pv_v pv_min(pv_v a, pv_v b) { return a < b ? a : b; }
PV_INLINE pv_v pv_max(pv_v a, pv_v b) { return a > b ? a : b; }
PV_INLINE pv_vi pv_to_int(pv_v v) { return (int32_t)(v + (v < 0 ? -0.5f : 0.5f)); }
PV_INLINE pv_v pv_to_float(pv_vi v) { return (float)v; }
PV_INLINE pv_v pv_as_float(pv_vi v) { float f; memcpy(&f, &v, 4); return f; }
PV_INLINE pv_vi pv_as_int(pv_v v) { int32_t i; memcpy(&i, &v, 4); return i; }
PV_INLINE pv_v pv_sqrt(pv_v a) { return sqrtf(a); }
#define PV_ALL_INT(x) ((pv_vi)(x))
#else
typedef float pv_v __attribute__((vector_size(4 * PV_LANES), may_alias, aligned(4)));
typedef int32_t pv_vi __attribute__((vector_size(4 * PV_LANES), may_alias));
typedef float pv_va __attribute__((vector_size(4 * PV_LANES), may_alias));
PV_INLINE pv_v pv_load(const float *p) { return *(const pv_v *)p; }
PV_INLINE void pv_store(float *p, pv_v v) { *(pv_v *)p = v; }
/* Spelled out, so that compilers take the number from memory in the multiply-add itself: on AVX-512
   a kernel of one vector of channels then runs at the machine's peak (84% of it otherwise). */
#define PV_4(x) x, x, x, x
#if PV_LANES == 16
PV_INLINE pv_v pv_all(float x) { return (pv_v){PV_4(x), PV_4(x), PV_4(x), PV_4(x)}; }
#elif PV_LANES == 8
PV_INLINE pv_v pv_all(float x) { return (pv_v){PV_4(x), PV_4(x)}; }
#else
PV_INLINE pv_v pv_all(float x) { return (pv_v){PV_4(x)}; }
#endif
PV_INLINE pv_vi pv_as_int(pv_v v) { return (pv_vi)v; }
PV_INLINE pv_v pv_as_float(pv_vi v) { return (pv_v)v; }
PV_INLINE pv_v pv_to_float(pv_vi v) { return __builtin_convertvector(v, pv_v); }
#define PV_ALL_INT(x) ((x) - (pv_vi){0})
/* One instruction where the machine has one; a comparison and a choice elsewhere. */
#if PV_LANES == 16 && defined(__AVX512F__)
PV_INLINE pv_v pv_min(pv_v a, pv_v b) { return (pv_v)_mm512_min_ps((__m512)a, (__m512)b); }
PV_INLINE pv_v pv_max(pv_v a, pv_v b) { return (pv_v)_mm512_max_ps((__m512)a, (__m512)b); }
#elif PV_LANES == 8 && defined(__AVX__)
PV_INLINE pv_v pv_min(pv_v a, pv_v b) { return (pv_v)_mm256_min_ps((__m256)a, (__m256)b); }
PV_INLINE pv_v pv_max(pv_v a, pv_v b) { return (pv_v)_mm256_max_ps((__m256)a, (__m256)b); }
#elif PV_LANES == 4 && defined(__ARM_NEON)
PV_INLINE pv_v pv_min(pv_v a, pv_v b) { return (pv_v)vminq_f32((float32x4_t)a, (float32x4_t)b); }
PV_INLINE pv_v pv_max(pv_v a, pv_v b) { return (pv_v)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
#elif PV_LANES == 4 && defined(__wasm_simd128__)
PV_INLINE pv_v pv_min(pv_v a, pv_v b) { return (pv_v)wasm_f32x4_pmin((v128_t)b, (v128_t)a); }
PV_INLINE pv_v pv_max(pv_v a, pv_v b) { return (pv_v)wasm_f32x4_pmax((v128_t)b, (v128_t)a); }
#else
PV_INLINE pv_v pv_pick(pv_vi yes, pv_v a, pv_v b) {
  return (pv_v)((yes & (pv_vi)a) | (~yes & (pv_vi)b));
}
PV_INLINE pv_v pv_min(pv_v a, pv_v b) { return pv_pick((pv_vi)(a < b), a, b); }
PV_INLINE pv_v pv_max(pv_v a, pv_v b) { return pv_pick((pv_vi)(a > b), a, b); }
#endif
PV_INLINE pv_vi pv_to_int(pv_v v) { /* to the nearest: the sum's low bits are the number */
  return pv_as_int(v + 12582912.0f) - PV_ALL_INT(0x4B400000);
}
PV_INLINE pv_v pv_sqrt(pv_v a) {
  for (int i = 0; i < PV_LANES; i++) a[i] = sqrtf(a[i]);
  return a;
}
#endif

#if PV_HALF /* vectors of half the length, for the last channels */
typedef float pv_h __attribute__((vector_size(2 * PV_LANES), may_alias, aligned(4)));
PV_INLINE pv_h pv_load_h(const float *p) { return *(const pv_h *)p; }
PV_INLINE void pv_store_h(float *p, pv_h v) { *(pv_h *)p = v; }
PV_INLINE void pv_store_low(float *p, pv_v v) { memcpy(p, &v, sizeof(pv_h)); }
PV_INLINE pv_h pv_all_h(float x) { return (pv_h){PV_4(x), PV_4(x)}; }
PV_INLINE pv_h pv_min_h(pv_h a, pv_h b) { return (pv_h)_mm256_min_ps((__m256)a, (__m256)b); }
PV_INLINE pv_h pv_max_h(pv_h a, pv_h b) { return (pv_h)_mm256_max_ps((__m256)a, (__m256)b); }
#endif

/* 1 / x to 1e-6 relative for 1 <= x: a guess of the machine's and steps of Newton's, where that is
   faster than a division. */
#if PV_LANES == 16 && defined(__AVX512F__)
PV_INLINE pv_v pv_reciprocal(pv_v x) {
  pv_v y = (pv_v)_mm512_rcp14_ps((__m512)x);
  return y * (2.0f - x * y);
}
#elif PV_LANES == 8 && defined(__AVX__)
PV_INLINE pv_v pv_reciprocal(pv_v x) {
  pv_v y = (pv_v)_mm256_rcp_ps((__m256)x);
  return y * (2.0f - x * y);
}
#else
PV_INLINE pv_v pv_reciprocal(pv_v x) { return 1.0f / x; }
#endif

/* 2^t for |t| < 126, to 1e-7: the whole part goes to the exponent, the rest through a polynomial. */
PV_INLINE pv_v pv_exp2(pv_v t) {
  pv_vi n = pv_to_int(t);
  pv_v f = t - pv_to_float(n);
  pv_v p = f * 1.3276457e-3f + 9.6755412e-3f;
  p = p * f + 5.5507133e-2f;
  p = p * f + 2.4022120e-1f;
  p = p * f + 6.9314697e-1f;
  p = p * f + 1.0f;
  return pv_as_float(pv_as_int(p) + n * 8388608);
}
PV_INLINE pv_v pv_exp(pv_v x) {
  return pv_exp2(pv_min(pv_max(x, pv_all(-87.0f)), pv_all(87.0f)) * 1.44269504f);
}
/* 1 / (1 + exp(-x)), to 3e-6 relative: four terms are enough beside the 1. */
PV_INLINE pv_v pv_sigmoid(pv_v x) {
  pv_v t = pv_min(pv_max(x * -1.44269504f, pv_all(-125.0f)), pv_all(125.0f));
#if PV_LANES == 16 && defined(__AVX512F__)
  __m512 n = _mm512_roundscale_ps((__m512)t, 8);
  pv_v f = t - (pv_v)n;
#else
  pv_vi n = pv_to_int(t);
  pv_v f = t - pv_to_float(n);
#endif
  pv_v p = f * 9.5700870e-3f + 5.5917859e-2f;
  p = p * f + 2.4024745e-1f;
  p = p * f + 6.9312181e-1f;
  p = p * f + 9.9999926e-1f;
#if PV_LANES == 16 && defined(__AVX512F__)
  return pv_reciprocal(1.0f + (pv_v)_mm512_scalef_ps((__m512)p, n));
#else
  return pv_reciprocal(1.0f + pv_as_float(pv_as_int(p) + n * 8388608));
#endif
}
