// What the C guests do: find "name" in a JSON object and greet it. It reads no
// more JSON than the benchmark sends.
#include <stdio.h>
#include <string.h>

static int answer(const char *input, int n, char *out, int cap) {
  static const char key[] = "\"name\":\"";
  const int length = sizeof key - 1;
  for (int i = 0; i + length < n; i++) {
    if (memcmp(input + i, key, length)) continue;
    const char *name = input + i + length;
    const char *end = memchr(name, '"', input + n - name);
    if (!end) break;
    return snprintf(out, cap, "{\"greeting\":\"Hello, %.*s!\"}", (int)(end - name), name);
  }
  return snprintf(out, cap, "{\"error\":\"bad\"}");
}
