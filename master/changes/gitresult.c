/* Reads a helper's answer. The helper has spoken to strangers, so each name, number and text is looked at again here. */
#include "master/changes/gitresult.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "common/utf8.h"
#include "master/changes/gitwire.h"
#include "proto/records.h"

struct reader {
  struct gith_result *r;
  enum vcs vcs;
  bool ended;
};

/* Room for one more in an array that has n; doubled at each power of two. */
static void *more(void *array, int n, size_t size)
{
  return n & (n - 1) ? array : xrealloc(array, (n ? 2 * (size_t)n : 1) * size);
}

static bool take_head(enum vcs vcs, struct gith_head **heads, int *n, char *value)
{
  struct gith_head *head;
  char *name = strchr(value, ' ');

  if (!name)
    return false;
  *name++ = 0;
  if (!gith_is_full(vcs, value) || !gith_is_branch(name) || *n == GITH_HEADS_MAX)
    return false;
  *heads = more(*heads, *n, sizeof **heads);
  head = &(*heads)[(*n)++];
  head->revision = value;
  head->branch = name;
  return true;
}

/* In the order of their names, which the poller relies on. */
static bool take_tag(enum vcs vcs, struct gith_result *r, char *value)
{
  return take_head(vcs, &r->tags, &r->ntags, value) && (r->ntags < 2 || strcmp(r->tags[r->ntags - 2].branch, r->tags[r->ntags - 1].branch) < 0);
}

static bool take_commit(enum vcs vcs, struct gith_result *r, char *value)
{
  static char nothing[1];
  struct gith_commit *c;

  if (!gith_is_full(vcs, value))
    return false;
  r->commits = more(r->commits, r->ncommits, sizeof *r->commits);
  c = &r->commits[r->ncommits++];
  memset(c, 0, sizeof *c);
  c->revision = value;
  c->branch = c->previous = c->author = c->committer = c->message = nothing;
  return true;
}

static bool take_count(const char *value, int *out)
{
  int64_t n;

  if (str_number(value, strlen(value), &n) || n > INT_MAX)
    return false;
  *out = (int)n;
  return true;
}

static bool take_text(struct gith_result *r, char *value)
{
  size_t n = strlen(value);

  if (n % 2 || n / 2 > GITH_FILE_BYTES_MAX)
    return false;
  free(r->text);
  r->text = xmalloc(n / 2 + 1);
  r->text_len = n / 2;
  r->text[n / 2] = 0;
  return str_unhex(value, n, r->text, n / 2) == ERR_OK;
}

static bool take_file(struct gith_commit *c, char *value)
{
  if (c->nfiles == GITH_FILES_MAX || !utf8_valid(value, strlen(value)))
    return false;
  c->files = more(c->files, c->nfiles, sizeof *c->files);
  c->files[c->nfiles++] = value;
  return true;
}

/* A record of the commit that was begun last. */
static bool take_of_commit(enum vcs vcs, struct gith_commit *c, const char *key, char *value)
{
  if (!strcmp(key, "branch"))
    return c->branch = value, !*value || gith_is_branch(value);
  if (!strcmp(key, "previous"))
    return c->previous = value, !*value || gith_is_full(vcs, value);
  if (!strcmp(key, "author"))
    return c->author = value, utf8_valid(value, strlen(value));
  if (!strcmp(key, "committer"))
    return c->committer = value, utf8_valid(value, strlen(value));
  if (!strcmp(key, "message"))
    return c->message = value, utf8_valid(value, strlen(value)) && strlen(value) <= GITW_MESSAGE_MAX;
  if (!strcmp(key, "time"))
    return str_number(value, strlen(value), &c->author_ms) == ERR_OK;
  if (!strcmp(key, "of_tag"))
    return c->tag = value, gith_is_branch(value);
  if (!strcmp(key, "file"))
    return take_file(c, value);
  if (!strcmp(key, "cut"))
    return c->files_cut = true;
  return false;
}

static bool take(struct reader *in, const char *key, char *value)
{
  struct gith_result *r = in->r;

  if (in->ended)
    return false;
  if (!strcmp(key, "alive"))
    return true;
  if (!strcmp(key, "head"))
    return take_head(in->vcs, &r->heads, &r->nheads, value);
  if (!strcmp(key, "tag"))
    return take_tag(in->vcs, r, value);
  if (!strcmp(key, "tags_more"))
    return r->tags_more = true;
  if (!strcmp(key, "tags_over"))
    return r->tags_over = true;
  if (!strcmp(key, "commit"))
    return take_commit(in->vcs, r, value);
  if (!strcmp(key, "revision"))
    return r->revision = value, gith_is_full(in->vcs, value);
  if (!strcmp(key, "found"))
    return r->found = !strcmp(value, "1"), true;
  if (!strcmp(key, "text"))
    return take_text(r, value);
  if (!strcmp(key, "ignored"))
    return take_count(value, &r->ignored);
  if (!strcmp(key, "left_out"))
    return take_count(value, &r->left_out);
  if (!strcmp(key, "err"))
    return gitw_err_of(value, &r->err);
  if (!strcmp(key, "why"))
    return r->why = *value ? value : NULL, utf8_valid(value, strlen(value));
  if (!strcmp(key, "end"))
    return in->ended = true;
  return r->ncommits > 0 && take_of_commit(in->vcs, &r->commits[r->ncommits - 1], key, value);
}

static bool refuse(struct gith_result *r, const char *why)
{
  static char text[64];

  gitres_free(r);
  snprintf(text, sizeof text, "%s", why);
  r->err = ERR_FAILED;
  r->why = text;
  return false;
}

bool gitres_parse(struct gith_result *r, enum vcs vcs, struct buf *answer)
{
  struct reader in = { .r = r, .vcs = vcs };
  char key[RECORDS_KEY_MAX + 1];
  const char *value;
  size_t at = 0;
  enum err e;

  memset(r, 0, sizeof *r);
  while ((e = records_next(answer->data, answer->len, &at, key, &value)) == ERR_OK)
    if (!take(&in, key, answer->data + (value - answer->data)))
      return refuse(r, "the git helper's answer makes no sense");
  if (e != ERR_NOTFOUND || !in.ended)
    return refuse(r, "the git helper ended in the middle of its answer");
  return true;
}

void gitres_free(struct gith_result *r)
{
  for (int i = 0; i < r->ncommits; i++)
    free(r->commits[i].files);
  free(r->commits);
  free(r->heads);
  free(r->tags);
  free(r->text);
  memset(r, 0, sizeof *r);
}
