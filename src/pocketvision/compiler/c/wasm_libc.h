/* The little of the C library that model.c needs, for WebAssembly without one. */
#ifndef PV_WASM_LIBC_H
#define PV_WASM_LIBC_H
#include <stddef.h>
#define INFINITY __builtin_inff()
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
void *malloc(size_t n);
void free(void *p);
float logf(float x);
static inline float sqrtf(float x) { return __builtin_sqrtf(x); }
#endif
