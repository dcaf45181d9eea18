/* Any bytes, as svn might be made to write them: bounded texts, valid UTF-8, no leak. The first byte says in which pieces they come. */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "common/utf8.h"
#include "master/changes/helper/svnxml.h"

static bool on_entry(void *arg, const struct svnxml_entry *e)
{
  const char *const texts[] = { e->list, e->name, e->url, e->root, e->author, e->message };
  int *left = arg;

  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    assert(strlen(texts[i]) <= SVNXML_TEXT_MAX && utf8_valid(texts[i], utf8_cut(texts[i], SVNXML_TEXT_MAX)));
  assert(e->npaths <= SVNXML_PATHS_MAX && e->revision >= -1 && e->changed >= -1 && e->time_ms >= 0);
  for (size_t i = 0; i < e->npaths; i++)
    assert(strlen(e->paths[i].path) <= SVNXML_NAME_MAX);
  return --*left > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
  size_t piece = n ? (data[0] & 63) + 1u : 1;
  int left = n ? data[0] >> 1 : 0;
  struct svnxml *x = svnxml_new(on_entry, &left);
  bool ok = true;

  for (size_t at = 1; at < n && ok; at += piece)
    ok = svnxml_take(x, (const char *)data + at, n - at < piece ? n - at : piece);
  if (ok)
    ok = svnxml_end(x);
  assert(ok || left <= 0 || svnxml_why(x));
  svnxml_free(x);
  return 0;
}
