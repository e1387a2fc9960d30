// A guest that burns its processor: as many rounds as the input says, a
// little-endian number of 8 bytes. No input means one round: a trivial call.
#define IMPORT(name) __attribute__((import_module("ruedo"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("input_read") int input_read(void *p, unsigned cap);

EXPORT("ruedo_abi_1") void marker(void) {}

EXPORT("ruedo_call") int call(void) {
  unsigned long long rounds = 1;
  input_read(&rounds, sizeof rounds);
  for (; rounds; rounds--) __asm__ volatile("" : "+r"(rounds)); // is not to be reckoned out
  return 0;
}
