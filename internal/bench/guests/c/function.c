// The C guest as a function.
#include "answer.h"

#define IMPORT(name) __attribute__((import_module("ruedo"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("input_read") int input_read(void *p, unsigned cap);
IMPORT("output_write") int output_write(const void *p, unsigned n);

EXPORT("ruedo_abi_1") void marker(void) {}

EXPORT("ruedo_call") int call(void) {
  static char input[4096], out[4096];
  int n = input_read(input, sizeof input);
  output_write(out, answer(input, n, out, sizeof out));
  return 0;
}
