/* NAME: a network as plain C, made by pocketvision. Needs libc and libm (and POSIX threads, unless
 * UPPER_NO_THREADS is defined when model.c is compiled).
 *
 *   NAME_t *model;
 *   int code = NAME_load(&model, "weights.bin", 1);
 *   if (code != UPPER_OK) { fprintf(stderr, "%s\n", NAME_error(code)); return 1; }
 *   const float *inputs[UPPER_INPUTS] = {input};
 *   float *outputs[UPPER_OUTPUTS] = {output};
 *   code = NAME_run(model, inputs, outputs);
 *   NAME_destroy(model);
 *
 * Every function that can fail returns UPPER_OK or one of the codes below. No function allocates
 * memory but NAME_create and NAME_load. Several models may be made and run in several threads at
 * once; one model serves one call of NAME_run at a time. Weights are only read: several models may
 * share them.
 */
#ifndef UPPER_MODEL_H
#define UPPER_MODEL_H
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct NAME_context NAME_t;

enum { /* what functions return; NAME_error says each in words */
  UPPER_OK = 0,
  UPPER_NULL_POINTER = 1,
  UPPER_WRONG_WEIGHTS = 2, /* of another network, damaged or cut short */
  UPPER_UNALIGNED = 3,     /* weights must begin at a multiple of 64 bytes */
  UPPER_BAD_THREADS = 4,   /* from 1 to UPPER_MAX_THREADS */
  UPPER_NO_MEMORY = 5,
  UPPER_NO_THREAD = 6,
  UPPER_NO_FILE = 7,
  UPPER_WRONG_CPU = 8, /* the processor lacks instructions that model.c was compiled for */
  UPPER_BAD_IMAGE = 9, /* a side is below 1 or too large */
  UPPER_SMALL_MEMORY = 10
};

/* SIZES */

/* The text of a code; never null. */
const char *NAME_error(int code);

/* Make a model that runs on `threads` threads, the caller's included. `weights` are the `bytes` of
 * weights.bin at a multiple of 64 bytes; they must stay until NAME_destroy. */
int NAME_create(NAME_t **model, const void *weights, size_t bytes, int threads);

/* The same, weights read from a file. */
int NAME_load(NAME_t **model, const char *path, int threads);

/* The same in `memory` of the caller's, NAME_memory(threads) bytes at any address, which must stay
 * until NAME_destroy; nothing is allocated but the threads' own stacks. */
int NAME_create_in(NAME_t **model, void *memory, size_t memory_bytes, const void *weights,
                   size_t bytes, int threads);

/* Bytes that a model needs beside the weights; 0 for a wrong number of threads. */
size_t NAME_memory(int threads);

/* Run once. inputs[i] holds NAME_input_size(i) floats, outputs[i] has room for
 * NAME_output_size(i), each in the order of the network's own file (channels, height, width). */
int NAME_run(NAME_t *model, const float *const *inputs, float *const *outputs);

/* Stop the threads and free what was allocated; null is allowed. */
void NAME_destroy(NAME_t *model);

/* Floats of an input or output; 0 where there is none of that number. */
size_t NAME_input_size(int input);
size_t NAME_output_size(int output);
/* MORE */

#ifdef __cplusplus
}
#endif
#endif
