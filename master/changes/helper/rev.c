/* A revision in the bytes of a git_oid. A number of Subversion is in the first eight of them; the others are zero. */
#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/changes/helper/helper.h"

enum { NUMBER_BYTES = 8 };

void help_rev_of_number(int64_t n, git_oid *out)
{
  memset(out, 0, sizeof *out);
  for (int i = 0; i < NUMBER_BYTES; i++)
    out->id[i] = (unsigned char)((uint64_t)n >> (8 * (NUMBER_BYTES - 1 - i)));
}

int64_t help_rev_number(const git_oid *oid)
{
  uint64_t n = 0;

  for (int i = 0; i < NUMBER_BYTES; i++)
    n = n << 8 | oid->id[i];
  return (int64_t)n;
}

const char *help_rev(const struct help *h, const git_oid *oid, char out[HELP_REV_MAX])
{
  if (!vcs_is_svn(h->vcs))
    return git_oid_tostr(out, HELP_REV_MAX, oid);
  snprintf(out, HELP_REV_MAX, "%lld", (long long)help_rev_number(oid));
  return out;
}

bool help_rev_read(const struct help *h, const char *text, git_oid *out)
{
  int64_t n;

  if (!gith_is_full(h->vcs, text))
    return false;
  if (!vcs_is_svn(h->vcs))
    return git_oid_fromstrn(out, text, GIT_OID_HEXSZ) == 0;
  if (str_number(text, strlen(text), &n))
    return false;
  help_rev_of_number(n, out);
  return true;
}
