/* Any bytes as a cron line: no crash, an error with a column, and times that go forward and are whole minutes. */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "master/conf/cron.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
  static const char *const zones[] = { "UTC", "Europe/Berlin", "Australia/Lord_Howe" };
  struct cron c;
  struct buf why;
  char *text = xstrndup((const char *)data, size);
  int column = 0;
  int64_t t = 1700000000 + (size ? data[0] * INT64_C(1000003) : 0), next;

  buf_init(&why, BUF_NO_MAX);
  if (cron_parse(text, "name", &c, &why, &column)) {
    assert(why.len && column >= 1 && (size_t)column <= strlen(text) + 1);
  } else {
    for (int i = 0; i < 3; i++, t = next) {
      next = cron_next(&c, zones[size % 3], t);
      if (next == CRON_NEVER)
        break;
      assert(next > t && next % 60 == 0);
    }
  }
  buf_free(&why);
  free(text);
  return 0;
}
