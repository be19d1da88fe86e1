static void check_image(int with_image, const float *input) {
  (void)with_image;
  (void)input;
}
