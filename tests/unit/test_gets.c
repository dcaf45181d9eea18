/* Why a worker gets nothing: what is said of many kinds of requests, put together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "common/mem.h"
#include "common/str.h"
#include "master/dispatch/gets.h"
#include "master/dispatch/why.h"

static void lines(void **state)
{
  static const struct { struct why w; const char *builder; int64_t request, n; } said[] = {
    { { .kind = "tag", .object = "big", .text = "one has no tag big" }, "p/a", 12, 3 },
    { { .kind = "slots", .object = "one", .text = "one is full" }, "p/b", 20, 1 },
    { { .kind = "tag", .object = "big", .text = "other words" }, "p/b", 9, 4 },
    { { .kind = "tag", .object = "small", .text = "one has no tag small" }, "p/b", 30, 8 },
    { { .kind = "tag", .object = "big" }, "p/a", 40, 1 },
    { { .kind = "tag", .object = "big" }, "p/c", 41, 1 },
    { { .kind = "tag", .object = "big" }, "p/d", 42, 1 },
    { { .kind = "tag", .object = "big" }, "p/e", 43, 1 },
    { { .kind = "starting", .text = "about to start on one" }, "p/f", 44, 1 },
    { { .kind = "other", .object = "two", .text = "two is taken before one" }, "p/g", 45, 1 },
    { { .kind = "of a later version" }, "p/h", 46, 100 },
  };
  static const char want[] = "[{\"kind\":\"starting\",\"object\":\"\",\"text\":\"about to start on one\",\"requests\":1,\"first\":\"r44\",\"builders\":[\"p/f\"],\"more\":0},"
                             "{\"kind\":\"other\",\"object\":\"two\",\"text\":\"two is taken before one\",\"requests\":1,\"first\":\"r45\",\"builders\":[\"p/g\"],\"more\":0},"
                             "{\"kind\":\"slots\",\"object\":\"one\",\"text\":\"one is full\",\"requests\":1,\"first\":\"r20\",\"builders\":[\"p/b\"],\"more\":0},"
                             "{\"kind\":\"tag\",\"object\":\"big\",\"text\":\"one has no tag big\",\"requests\":11,\"first\":\"r9\",\"builders\":[\"p/a\",\"p/b\",\"p/c\"],\"more\":2},"
                             "{\"kind\":\"tag\",\"object\":\"small\",\"text\":\"one has no tag small\",\"requests\":8,\"first\":\"r30\",\"builders\":[\"p/b\"],\"more\":0},"
                             "{\"kind\":\"of a later version\",\"object\":\"\",\"text\":\"\",\"requests\":100,\"first\":\"r46\",\"builders\":[\"p/h\"],\"more\":0}]";
  cJSON *items = cJSON_CreateArray();
  char *text;

  (void)state;
  gets_sort(items);
  assert_int_equal(cJSON_GetArraySize(items), 0);
  for (size_t i = 0; i < COUNT(said); i++)
    gets_add(items, &said[i].w, said[i].builder, said[i].request, said[i].n);
  gets_sort(items);
  text = cJSON_PrintUnformatted(items);
  assert_string_equal(text, want);
  free(text);
  cJSON_Delete(items);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(lines) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
