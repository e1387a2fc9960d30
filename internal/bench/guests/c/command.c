// The C guest as a program: stdin to stdout.
#include "answer.h"

int main(void) {
  static char input[4096], out[4096];
  int n = fread(input, 1, sizeof input, stdin);
  return fwrite(out, answer(input, n, out, sizeof out), 1, stdout) != 1;
}
