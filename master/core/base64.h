/* Base64 as people and other programs write it; the other direction is str_base64(). */
#ifndef MASTER_CORE_BASE64_H
#define MASTER_CORE_BASE64_H
#include <stddef.h>

#include "common/mem.h"

/* The bytes of base64 text (NULL: none) with padding, a NUL behind them; NULL: it is something else. The caller frees them. */
char *base64_read(const char *text, size_t *n) must_check;
#endif
