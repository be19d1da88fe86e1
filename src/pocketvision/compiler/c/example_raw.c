/* Runs the network once: example input.f32 [weights.bin]. The file holds its inputs one after the
   other, 32-bit floats in this machine's order; the first numbers of every output are printed. */
#include <stdio.h>
#include <stdlib.h>
#include "model.h"

static int stop(const char *what) {
  fprintf(stderr, "error: %s\n", what);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 2) return stop("usage: example input.f32 [weights.bin]");
  FILE *file = fopen(argv[1], "rb");
  if (file == NULL) return stop("the input cannot be read");
  NAME_t *model;
  float *inputs[UPPER_INPUTS], *outputs[UPPER_OUTPUTS];
  for (int i = 0; i < UPPER_INPUTS; i++) {
    size_t n = NAME_input_size(i);
    inputs[i] = (float *)malloc(n * sizeof(float));
    if (inputs[i] == NULL || fread(inputs[i], sizeof(float), n, file) != n)
      return stop("the input file is too short");
  }
  fclose(file);
  for (int i = 0; i < UPPER_OUTPUTS; i++)
    if ((outputs[i] = (float *)malloc(NAME_output_size(i) * sizeof(float))) == NULL)
      return stop("there is not enough memory");
  int code = NAME_load(&model, argc > 2 ? argv[2] : "weights.bin", @THREADS@);
  if (code != UPPER_OK) return stop(NAME_error(code));
  if ((code = NAME_run(model, (const float *const *)inputs, outputs)) != UPPER_OK)
    return stop(NAME_error(code));
  for (int i = 0; i < UPPER_OUTPUTS; i++) {
    printf("%s:", NAME_output_name(i));
    for (size_t k = 0; k < NAME_output_size(i) && k < 8; k++) printf(" %g", outputs[i][k]);
    printf("\n");
    free(outputs[i]);
  }
  for (int i = 0; i < UPPER_INPUTS; i++) free(inputs[i]);
  NAME_destroy(model);
  return 0;
}
