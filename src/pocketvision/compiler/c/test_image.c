/* The golden image must become the golden input, up to a level or two where resizing rounds. */
static void check_image(int with_image, const float *input) {
  int h = (int)take_number(), w = (int)take_number();
  const unsigned char *rgb = take(((size_t)h * (size_t)w * 3 + 3) / 4 * 4);
  float *prepared = (float *)malloc(UPPER_INPUT_0_SIZE * sizeof(float));
  if (prepared == NULL || !with_image) fail("memory");
  expect(NAME_preprocess(rgb, 0, w, prepared), UPPER_BAD_IMAGE, "an empty image");
  expect(NAME_preprocess(NULL, h, w, prepared), UPPER_NULL_POINTER, "no image");
  expect(NAME_preprocess(rgb, h, w, prepared), UPPER_OK, "preprocess");
  for (int i = 0; i < UPPER_INPUT_0_SIZE; i++)
    if (!(fabs(prepared[i] - input[i]) <= INPUT_TOLERANCE)) fail("an image is prepared differently");
  free(prepared);
}
