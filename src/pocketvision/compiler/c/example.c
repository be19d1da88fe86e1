/* What is on a photo? example photo.rgb WIDTH HEIGHT [weights.bin]: rows of 8-bit RGB pixels, as
   `convert photo.jpg -depth 8 photo.rgb` or `ffmpeg -i photo.jpg -pix_fmt rgb24 photo.rgb` write. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "model.h"

static float input[UPPER_INPUT_0_SIZE];
@OUTPUT_ARRAYS@

static int stop(const char *what) {
  fprintf(stderr, "error: %s\n", what);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 4) return stop("usage: example photo.rgb WIDTH HEIGHT [weights.bin]");
  int width = atoi(argv[2]), height = atoi(argv[3]), code;
  if (width < 1 || height < 1) return stop("the width and height must be 1 or more");
  size_t bytes = (size_t)width * (size_t)height * 3;
  unsigned char *rgb = (unsigned char *)malloc(bytes);
  FILE *file = fopen(argv[1], "rb");
  if (file == NULL || rgb == NULL || fread(rgb, 1, bytes, file) != bytes)
    return stop("the photo cannot be read, or is smaller than WIDTH x HEIGHT");
  fclose(file);

  NAME_t *model;
  const float *inputs[UPPER_INPUTS] = {input};
  float *outputs[UPPER_OUTPUTS] = {@OUTPUT_LIST@};
  if ((code = NAME_load(&model, argc > 4 ? argv[4] : "weights.bin", @THREADS@)) != UPPER_OK ||
      (code = NAME_preprocess(rgb, height, width, input)) != UPPER_OK ||
      (code = NAME_run(model, inputs, outputs)) != UPPER_OK)
    return stop(NAME_error(code));

  double sum = 0.0, most = -INFINITY;
  for (int i = 0; i < UPPER_OUTPUT_0_SIZE; i++)
    if (!NAME_hidden(0, i) && output_0[i] > most) most = output_0[i];
  for (int i = 0; i < UPPER_OUTPUT_0_SIZE; i++)
    if (!NAME_hidden(0, i)) sum += exp(output_0[i] - most);
  for (int rank = 0; rank < 5 && rank < UPPER_OUTPUT_0_SIZE; rank++) {
    int best = -1;
    for (int i = 0; i < UPPER_OUTPUT_0_SIZE; i++)
      if (!NAME_hidden(0, i) && (best < 0 || output_0[i] > output_0[best])) best = i;
    if (best < 0 || output_0[best] == -INFINITY) break;
    printf("%6.2f%%  %s\n", 100.0 * exp(output_0[best] - most) / sum, NAME_labels(0)[best]);
    output_0[best] = -INFINITY;
  }
  NAME_destroy(model);
  free(rgb);
  return 0;
}
