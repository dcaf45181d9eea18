/* Tags: which there are, and the commits of those that are new or were moved. A tag of something else than a commit counts as none. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/changes/helper/helper.h"
#include "proto/records.h"

#define PEELED "^{}" /* behind the name, in a line of its own that follows: what an annotated tag points to */

void help_add_tag(struct help *h, const char *name, const git_oid *oid)
{
  size_t n = strlen(name), mark = strlen(PEELED);
  struct help_head *last = h->ntags ? &h->tags[h->ntags - 1] : NULL;

  if (h->tags_over)
    return;
  if (n > mark && !strcmp(name + n - mark, PEELED)) {
    if (last && strlen(last->branch) == n - mark && !strncmp(last->branch, name, n - mark))
      git_oid_cpy(&last->oid, oid);
    return;
  }
  if (!gith_is_branch(name))
    return;
  if (h->ntags == GITH_HEADS_MAX) {
    h->tags_over = true;
    return;
  }
  if (!(h->ntags & (h->ntags - 1))) /* full at each power of two */
    h->tags = xrealloc(h->tags, (h->ntags ? 2 * h->ntags : 1) * sizeof *h->tags);
  last = &h->tags[h->ntags++];
  *last = (struct help_head){ .branch = xstrdup(name) };
  git_oid_cpy(&last->oid, oid);
}

bool help_pick_tags(struct help *h)
{
  size_t picked = 0;

  for (size_t i = 0; h->tell_tags && !h->tags_over && i < h->ntags && picked < GITH_TAGS_MAX; i++) {
    struct help_head *tag = &h->tags[i];
    const struct help_head *known = help_find(h->known_tags, h->nknown_tags, tag->branch);
    tag->wanted = !known || !git_oid_equal(&known->oid, &tag->oid);
    picked += tag->wanted;
  }
  return picked > 0;
}

static void put_tag(struct help *h, const char *name, const git_oid *oid)
{
  char text[HELP_REV_MAX];

  records_putf(&h->out, "tag", "%s %s", help_rev(h, oid, text), name);
}

/* One that is to be told, and then is in the list. */
static enum err tell(struct help *h, const struct help_head *tag)
{
  git_commit *c;
  enum err e;

  if (h->kind) {
    if ((e = h->kind->tell_one(h, tag->branch, &tag->oid)))
      return e;
    put_tag(h, tag->branch, &tag->oid);
    records_put(&h->out, "of_tag", tag->branch);
    return ERR_OK;
  }
  if (git_commit_lookup(&c, h->repo, &tag->oid))
    return ERR_OK; /* of a tree, a file */
  put_tag(h, tag->branch, &tag->oid);
  e = help_tell_commit(h, "", c);
  records_put(&h->out, "of_tag", tag->branch);
  git_commit_free(c);
  return e;
}

enum err help_tell_tags(struct help *h)
{
  enum err e = ERR_OK;
  bool more = false;

  if (h->tags_over) {
    records_put(&h->out, "tags_over", "1");
    return ERR_OK;
  }
  for (size_t i = 0; i < h->ntags && !e; i++) {
    const struct help_head *tag = &h->tags[i], *known = h->tell_tags ? help_find(h->known_tags, h->nknown_tags, tag->branch) : tag;
    bool same = known && git_oid_equal(&known->oid, &tag->oid);
    if (same) {
      put_tag(h, tag->branch, &tag->oid);
    } else if (tag->wanted && h->out.len <= HELP_OUT_FULL) {
      e = tell(h, tag);
    } else {
      more = true;
      if (known)
        put_tag(h, tag->branch, &known->oid);
    }
  }
  if (more)
    records_put(&h->out, "tags_more", "1");
  return e;
}
