#ifndef GUARD
#define GUARD
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct pv_context NAME_t;

int NAME_create(NAME_t **model, const void *weights, size_t bytes, int threads);
int NAME_run(NAME_t *model, const float *const *inputs, float *const *outputs);
void NAME_destroy(NAME_t *model);
size_t NAME_memory(int threads);

#ifdef __cplusplus
}
#endif
#endif
