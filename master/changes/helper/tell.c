/* Commits of repositories that are not git's, told to the master. */
#include <string.h>

#include "common/utf8.h"
#include "master/changes/githelper.h"
#include "master/changes/gitwire.h"
#include "master/changes/helper/helper.h"
#include "proto/records.h"

void help_put_text(struct buf *out, const char *key, const char *s, size_t n, bool line)
{
  struct buf clean;

  buf_init(&clean, BUF_NO_MAX);
  utf8_clean(&clean, s, n, line);
  records_put(out, key, buf_str(&clean));
  buf_free(&clean);
}

void help_tell(struct help *h, const char *branch, const struct help_commit *c)
{
  size_t most = h->out.len > HELP_OUT_SHORT ? HELP_SHORT_MESSAGE : GITW_MESSAGE_MAX;
  bool cut = c->files_cut || c->nfiles > GITH_FILES_MAX || h->out.len > HELP_OUT_NO_FILES;
  size_t files = h->out.len > HELP_OUT_NO_FILES ? 0 : c->nfiles < GITH_FILES_MAX ? c->nfiles : GITH_FILES_MAX;

  records_put(&h->out, "commit", c->revision);
  records_put(&h->out, "branch", branch);
  records_put(&h->out, "previous", c->previous);
  help_put_text(&h->out, "author", c->author, utf8_cut(c->author, HELP_SHORT_MESSAGE), true);
  help_put_text(&h->out, "committer", c->author, utf8_cut(c->author, HELP_SHORT_MESSAGE), true);
  records_putf(&h->out, "time", "%lld", (long long)c->time_ms);
  help_put_text(&h->out, "message", c->message, utf8_cut(c->message, most / 3), false); /* U+FFFD takes three bytes */
  for (size_t i = 0; i < files; i++)
    help_put_text(&h->out, "file", c->files[i], strlen(c->files[i]), true);
  if (cut)
    records_put(&h->out, "cut", "1");
}
