/* The weights as part of the program, where weights.S cannot be compiled:
   NAME_create(&model, NAME_weights, UPPER_WEIGHTS_BYTES, threads). */
extern const float NAME_weights[];
#if defined(__GNUC__)
__attribute__((aligned(64)))
#endif
const float NAME_weights[] = {
  @NUMBERS@
};
