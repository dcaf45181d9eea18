/* The size of a terminal as a record has it. Pure. */
#include "worker/terminal.h"

#include <string.h>

#include "common/str.h"

static bool side(const char *p, size_t n, int *out)
{
  int64_t v;

  if (str_number(p, n, &v) || v < 1 || v > TERMINAL_SIDE_MAX)
    return false;
  *out = (int)v;
  return true;
}

bool terminal_size(const char *text, int *cols, int *rows)
{
  const char *x = strchr(text, 'x');

  return x && side(text, (size_t)(x - text), cols) && side(x + 1, strlen(x + 1), rows);
}
