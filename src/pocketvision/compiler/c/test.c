/* Does the network answer here as it did where it was made? test [weights [golden [threads]]]
   Exits with 1 where an output differs by more than 1e-4 of the largest, or a check fails. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model.h"

#define TOLERANCE 1e-4
@TEST_DEFINES@

static void fail(const char *what) {
  fprintf(stderr, "NAME: FAILED: %s\n", what);
  exit(1);
}

static void expect(int code, int wanted, const char *what) {
  if (code == wanted) return;
  fprintf(stderr, "NAME: %s gave \"%s\", not \"%s\"\n", what, NAME_error(code),
          NAME_error(wanted));
  exit(1);
}

/* The file in memory at a multiple of 64 bytes, within `block`. */
static unsigned char *read_file(const char *path, size_t *bytes, void **block) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END)) fail(path);
  long size = ftell(file);
  if (size < 0) fail(path);
  rewind(file);
  if ((*block = malloc((size_t)size + 128)) == NULL) fail("memory");
  unsigned char *data = (unsigned char *)*block + (64 - (uintptr_t)*block % 64);
  if (fread(data, 1, (size_t)size, file) != (size_t)size) fail(path);
  fclose(file);
  *bytes = (size_t)size;
  return data;
}

static void refusals(const unsigned char *weights, size_t bytes) {
  NAME_t *m;
  char small[64];
  unsigned char *other = (unsigned char *)malloc(bytes + 128);
  if (other == NULL) fail("memory");
  unsigned char *damaged = other + (64 - (uintptr_t)other % 64);
  memcpy(damaged, weights, bytes);
  expect(NAME_create(NULL, weights, bytes, 1), UPPER_NULL_POINTER, "no place");
  expect(NAME_create(&m, NULL, bytes, 1), UPPER_NULL_POINTER, "no weights");
  expect(NAME_create(&m, weights, bytes, 0), UPPER_BAD_THREADS, "no thread");
  expect(NAME_create(&m, weights, bytes, UPPER_MAX_THREADS + 1), UPPER_BAD_THREADS,
         "too many threads");
  expect(NAME_create(&m, weights, bytes + 4, 1), UPPER_WRONG_WEIGHTS, "too many weights");
  expect(NAME_create(&m, weights + 4, bytes, 1), UPPER_UNALIGNED, "weights out of line");
  if (bytes > 0) {
    expect(NAME_create(&m, weights, bytes - 4, 1), UPPER_WRONG_WEIGHTS, "weights cut short");
    damaged[bytes / 2] ^= 1;
    expect(NAME_create(&m, damaged, bytes, 1), UPPER_WRONG_WEIGHTS, "damaged weights");
  }
  expect(NAME_create_in(&m, small, sizeof small, weights, bytes, 1), UPPER_SMALL_MEMORY,
         "little memory");
  expect(NAME_load(&m, "there/is/no/such.file", 1), UPPER_NO_FILE, "no file");
  if (m != NULL) fail("a model was made of nothing");
  expect(NAME_run(NULL, NULL, NULL), UPPER_NULL_POINTER, "no model");
  NAME_destroy(NULL);
  free(other);
}

static const unsigned char *at, *end; /* what of golden.bin is still to be read */

static const unsigned char *take(size_t bytes) {
  const unsigned char *p = at;
  if (bytes > (size_t)(end - at)) fail("golden.bin is cut short");
  at += bytes;
  return p;
}

static uint32_t take_number(void) {
  uint32_t n;
  memcpy(&n, take(4), 4);
  return n;
}

/* The largest difference of n floats, over the largest of `expected`. */
static double relative(const float *got, const unsigned char *expected, size_t n) {
  double most = 0.0, apart = 0.0;
  for (size_t i = 0; i < n; i++) {
    float wanted;
    memcpy(&wanted, expected + 4 * i, 4);
    double d = fabs((double)got[i] - wanted);
    if (!(d <= apart)) apart = d; /* also where it is not a number */
    if (fabs(wanted) > most) most = fabs(wanted);
  }
  return apart / (most > 1e-30 ? most : 1e-30);
}

static void check_image(int with_image, const float *input);

int main(int argc, char **argv) {
  const char *path = argc > 1 ? argv[1] : "weights.bin";
  int threads = argc > 3 ? atoi(argv[3]) : 1;
  size_t bytes, golden_bytes;
  void *memory, *weights_block, *golden_block;
  unsigned char *weights = read_file(path, &bytes, &weights_block);
  NAME_t *loaded, *placed;
  float *inputs[UPPER_INPUTS], *outputs[UPPER_OUTPUTS], *again[UPPER_OUTPUTS];
  double worst = 0.0;
  at = read_file(argc > 2 ? argv[2] : "golden.bin", &golden_bytes, &golden_block);
  end = at + golden_bytes;
  if (memcmp(take(8), "PVGOLDEN", 8) || take_number() != 1) fail("golden.bin is of another kind");
  uint32_t cases = take_number(), images = take_number(), zero = take_number();
  if (zero || cases == 0) fail("golden.bin is damaged");
  refusals(weights, bytes);
  memory = malloc(NAME_memory(threads));
  expect(NAME_load(&loaded, path, threads), UPPER_OK, "load");
  expect(NAME_create_in(&placed, memory, NAME_memory(threads), weights, bytes, threads), UPPER_OK,
         "create_in");
  for (int i = 0; i < UPPER_INPUTS; i++)
    inputs[i] = (float *)malloc(NAME_input_size(i) * sizeof(float));
  for (int i = 0; i < UPPER_OUTPUTS; i++) {
    outputs[i] = (float *)malloc(NAME_output_size(i) * sizeof(float));
    again[i] = (float *)malloc(NAME_output_size(i) * sizeof(float));
  }
  for (uint32_t n = 0; n < cases; n++) {
    const unsigned char *image = at;
    if (images) {
      size_t h = take_number(), w = take_number();
      take((h * w * 3 + 3) / 4 * 4);
    }
    for (int i = 0; i < UPPER_INPUTS; i++)
      memcpy(inputs[i], take(NAME_input_size(i) * 4), NAME_input_size(i) * 4);
    if (images) {
      const unsigned char *next = at;
      at = image;
      check_image(1, inputs[0]);
      at = next;
    }
    expect(NAME_run(loaded, (const float *const *)inputs, outputs), UPPER_OK, "run");
    expect(NAME_run(placed, (const float *const *)inputs, again), UPPER_OK, "run");
    for (int i = 0; i < UPPER_OUTPUTS; i++) {
      size_t size = NAME_output_size(i);
      double error = relative(outputs[i], take(size * 4), size);
      if (!(error <= worst)) worst = error;
      if (memcmp(outputs[i], again[i], size * 4)) fail("two models answer differently");
    }
  }
  NAME_destroy(loaded);
  NAME_destroy(placed);
  free(memory);
  free(weights_block);
  free(golden_block);
  for (int i = 0; i < UPPER_INPUTS; i++) free(inputs[i]);
  for (int i = 0; i < UPPER_OUTPUTS; i++) {
    free(outputs[i]);
    free(again[i]);
  }
  printf("NAME: largest relative error %.3g (allowed %.0e), cases %u, threads %d: %s\n", worst,
         TOLERANCE, (unsigned)cases, threads, worst <= TOLERANCE ? "ok" : "FAILED");
  return worst <= TOLERANCE ? 0 : 1;
}

@TEST_IMAGE@
