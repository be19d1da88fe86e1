/* The little of the C library that model.c needs, for WebAssembly without one. */
#include <stdint.h>
#include "wasm_libc.h"

void *memcpy(void *to, const void *from, size_t n) {
  unsigned char *volatile_to = (unsigned char *)to;
  const unsigned char *p = (const unsigned char *)from;
  for (size_t i = 0; i < n; i++) {
    volatile_to[i] = p[i];
    __asm__ volatile("" ::: "memory"); /* or it would become a call of itself */
  }
  return to;
}

void *memset(void *to, int byte, size_t n) {
  unsigned char *p = (unsigned char *)to;
  for (size_t i = 0; i < n; i++) {
    p[i] = (unsigned char)byte;
    __asm__ volatile("" ::: "memory");
  }
  return to;
}

/* Memory from the end of the module's own data on; only the latest piece can be given back. */
extern unsigned char __heap_base;
static uintptr_t next, latest;

void *malloc(size_t n) {
  if (next == 0) next = (uintptr_t)&__heap_base;
  uintptr_t from = (next + 63) / 64 * 64;
  uintptr_t have = __builtin_wasm_memory_size(0) * (uintptr_t)65536;
  if (n > (uintptr_t)-1 - from - 65536) return NULL;
  if (from + n > have &&
      __builtin_wasm_memory_grow(0, (from + n - have + 65535) / 65536) == (size_t)-1)
    return NULL;
  latest = from;
  next = from + n;
  return (void *)from;
}

void free(void *p) {
  if (p != NULL && (uintptr_t)p == latest) next = latest;
}

/* To 1e-7 relative: x = 2^n m, 0.7 <= m < 1.4, and the series of atanh. */
float logf(float x) {
  union { float f; int32_t i; } u = {x};
  if (x <= 0.0f) return x == 0.0f ? -INFINITY : __builtin_nanf("");
  int32_t n = 0;
  if (u.i < 0x00800000) {
    u.f = x * 8388608.0f;
    n = -23;
  }
  if (u.i >= 0x7F800000) return x;
  int32_t whole = (u.i - 0x3F3504F3) >> 23;
  u.i -= whole * 8388608;
  n += whole;
  double m = u.f, t = (m - 1.0) / (m + 1.0), s = t * t;
  return (float)(n * 0.6931471805599453 +
                 2.0 * t * (1.0 + s * (1.0 / 3 + s * (1.0 / 5 + s * (1.0 / 7 + s / 9)))));
}
