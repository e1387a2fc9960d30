// Work that keeps a processor busy: loops, calls and memory.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define KEEP(x) __asm__ volatile("" : "+r"(x)) // is not to be reckoned out

static uint32_t seed;
static uint32_t next(void) { return (seed = seed * 1664525 + 1013904223) >> 8; }

// The tightest loop there is.
EXPORT("count") uint32_t count(uint32_t n) {
  uint32_t sum = 0;
  for (; n; n--) {
    KEEP(n);
    sum += n;
  }
  return sum;
}

// Calls, and nothing else.
__attribute__((noinline)) static uint32_t fibonacci(uint32_t n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}
EXPORT("fib") uint32_t fib(uint32_t n) { return fibonacci(n); }

// Calls with branches: how many ways to place n queens.
static uint32_t place(uint32_t all, uint32_t left, uint32_t down, uint32_t right) {
  if (down == all) return 1;
  uint32_t sum = 0;
  for (uint32_t free = all & ~(left | down | right); free; free &= free - 1) {
    uint32_t bit = free & -free;
    sum += place(all, (left | bit) << 1, down | bit, (right | bit) >> 1);
  }
  return sum;
}
EXPORT("queens") uint32_t queens(uint32_t n) { return place((1u << n) - 1, 0, 0, 0); }

// Nested loops over numbers.
EXPORT("matmul") uint32_t matmul(uint32_t n) {
  double *a = malloc(n * n * 8), *b = malloc(n * n * 8), *c = calloc(n * n, 8), sum = 0;
  for (uint32_t i = 0; i < n * n; i++) a[i] = i % 7, b[i] = i % 5;
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < n; k++)
      for (uint32_t j = 0; j < n; j++) c[i * n + j] += a[i * n + k] * b[k * n + j];
  for (uint32_t i = 0; i < n * n; i++) sum += c[i];
  free(a), free(b), free(c);
  return (uint32_t)sum;
}

// Strides through memory.
EXPORT("sieve") uint32_t sieve(uint32_t n) {
  char *gone = calloc(n + 1, 1);
  uint32_t primes = 0;
  for (uint32_t i = 2; i <= n; i++) {
    if (gone[i]) continue;
    primes++;
    for (uint32_t k = 2 * i; k <= n; k += i) gone[k] = 1;
  }
  free(gone);
  return primes;
}

// Bit by bit.
EXPORT("crc") uint32_t crc(uint32_t n) {
  uint32_t sum = ~0u;
  for (seed = 1; n; n--) {
    sum ^= next() & 255;
    for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return sum;
}

// Calls through a pointer.
static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}
EXPORT("order") uint32_t order(uint32_t n) {
  uint32_t *v = malloc(n * 4), middle;
  seed = 1;
  for (uint32_t i = 0; i < n; i++) v[i] = next();
  qsort(v, n, 4, compare);
  middle = v[n / 2];
  free(v);
  return middle;
}

// Pointers that the cache does not know beforehand.
EXPORT("chase") uint32_t chase(uint32_t n) {
  enum { size = 1 << 18 };
  uint32_t *to = malloc(size * 4), at = 0;
  for (uint32_t i = 0; i < size; i++) to[i] = i;
  seed = 1;
  for (uint32_t i = size - 1; i; i--) {
    uint32_t k = next() % i, was = to[i];
    to[i] = to[k], to[k] = was;
  }
  for (; n; n--) at = to[at];
  free(to);
  return at;
}

// The C library's formatting and scanning.
EXPORT("text") uint32_t text(uint32_t n) {
  char line[64];
  uint32_t sum = 0;
  for (; n; n--) {
    snprintf(line, sizeof line, "item-%u:%x:%s", n, n * 7, "abc");
    sum = sum * 31 + strlen(line) + strtoul(line + 5, 0, 10);
  }
  return sum;
}

// Memory in bulk, from a byte to a mebibyte.
EXPORT("bulk") uint32_t bulk(uint32_t n) {
  char *a = malloc(1 << 20), *b = malloc(1 << 20);
  uint32_t sum = 0;
  for (; n; n--) {
    memset(a, n, 1u << n % 21);
    memcpy(b, a, 1u << n % 21);
    sum += b[0];
  }
  free(a), free(b);
  return sum;
}
