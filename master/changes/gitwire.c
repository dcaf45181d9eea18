/* What both ends of the helper's pipe need: the names of errors. */
#include "master/changes/gitwire.h"

#include <string.h>

static const struct {
  enum err err;
  const char *tag;
} tags[] = {
  { ERR_OK, "ok" },             { ERR_AWAY, "away" },       { ERR_TIMEOUT, "timeout" }, { ERR_NOSPACE, "nospace" },
  { ERR_NOTFOUND, "notfound" }, { ERR_DENIED, "denied" },   { ERR_BADARG, "badarg" },   { ERR_TOOBIG, "toobig" },
  { ERR_FAILED, "failed" },
};

const char *gitw_err_tag(enum err e)
{
  for (size_t i = 0; i < COUNT(tags); i++)
    if (tags[i].err == e)
      return tags[i].tag;
  return "failed";
}

bool gitw_err_of(const char *tag, enum err *e)
{
  for (size_t i = 0; i < COUNT(tags); i++)
    if (!strcmp(tags[i].tag, tag)) {
      *e = tags[i].err;
      return true;
    }
  return false;
}
