/* What every fuzzer has: the function that libFuzzer calls, and a check that ends it and says which. Which parser is shown by which fuzzer is a table of docs/faults.md. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define must(what)                                                          \
  do {                                                                      \
    if (!(what)) {                                                          \
      fprintf(stderr, "%s:%d: must(%s)\n", __FILE__, __LINE__, #what);      \
      abort();                                                              \
    }                                                                       \
  } while (0)
#endif
