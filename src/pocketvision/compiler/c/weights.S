/* The weights as part of the program, for NAME_create(&model, NAME_weights, UPPER_WEIGHTS_BYTES,
   threads). Compile with -I of the folder that holds weights.bin. */
#if defined(__APPLE__)
  .const
  .globl _NAME_weights
  .balign 64
_NAME_weights:
  .incbin "weights.bin"
#else
  .section .rodata
  .globl NAME_weights
  .balign 64
NAME_weights:
  .incbin "weights.bin"
  .byte 0
#if defined(__ELF__)
  .type NAME_weights, %object
  .section .note.GNU-stack, "", %progbits
#endif
#endif
