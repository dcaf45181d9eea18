/* The text of a version, as somebody may post it: refused, or made into parts that make the same text again. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  char *rest = xstrndup((const char *)data, size), *text = xasprintf("# drover configuration 1\n%s%s", size && *data == '-' ? "" : "--- # site ", rest), *again;
  struct parts *p;
  struct conf *c;
  struct diags d;
  struct buf why;

  buf_init(&why, BUF_NO_MAX);
  p = parts_of_text(text, &why);
  if (p) {
    again = parts_text(p);
    parts_free(p);
    p = parts_of_text(again, &why);
    if (!p)
      abort();
    parts_free(p);
    free(again);
  }
  diag_init(&d);
  c = conf_of_text("it", text, NULL, &d);
  if (!c != (diag_count(&d) > 0))
    abort();
  conf_free(c);
  diag_free(&d);
  buf_free(&why);
  free(text);
  free(rest);
  return 0;
}
