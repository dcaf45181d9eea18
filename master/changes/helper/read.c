/* One file of one commit, and the commit. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/changes/helper/helper.h"
#include "proto/records.h"

/* ERR_NOTFOUND without a sentence: not here (yet). */
static enum err find_commit(struct help *h, git_commit **out)
{
  git_object *found;
  git_oid oid;
  size_t n = strlen(h->revision);
  int rc;

  if (n > GIT_OID_HEXSZ)
    return help_fail(h, ERR_FAILED, "%s is a revision of a SHA-256 repository; only SHA-1 repositories can be read", h->revision);
  if (git_oid_fromstrn(&oid, h->revision, n))
    return help_fail(h, ERR_BADARG, "not a revision: %s", h->revision);
  rc = git_object_lookup_prefix(&found, h->repo, &oid, n, GIT_OBJECT_ANY);
  if (!rc) { /* of an annotated tag some forges tell the tag's own id */
    rc = git_object_peel((git_object **)out, found, GIT_OBJECT_COMMIT);
    git_object_free(found);
    if (rc)
      return help_fail(h, ERR_BADARG, "revision %s is no commit", h->revision);
    return ERR_OK;
  }
  if (rc == GIT_EAMBIGUOUS)
    return help_fail(h, ERR_BADARG, "revision %s is ambiguous", h->revision);
  return rc == GIT_ENOTFOUND ? ERR_NOTFOUND : help_repo_fail(h, rc, "can't read the commit");
}

static enum err find_tip(struct help *h, git_commit **out)
{
  const struct help_head *head = help_find(h->heads, h->nheads, h->branch);
  int rc;

  if (!head)
    return help_fail(h, ERR_NOTFOUND, "the repository has no branch %s", h->branch);
  rc = git_commit_lookup(out, h->repo, &head->oid);
  return rc ? help_repo_fail(h, rc, "can't read the commit") : ERR_OK;
}

static enum err get_commit(struct help *h, git_commit **out)
{
  enum err e = ERR_NOTFOUND;

  if (*h->revision)
    e = find_commit(h, out);
  if (e != ERR_NOTFOUND)
    return e;
  if ((e = help_list(h)))
    return e;
  if ((e = help_fetch(h, !*h->branch || (help_is_ref(h) && !h->has_ref) ? NULL : h->branch)))
    return e;
  if (!*h->revision)
    return find_tip(h, out);
  e = find_commit(h, out);
  if (e == ERR_NOTFOUND)
    return help_fail(h, e, "revision %s is not in %s%s", h->revision, !*h->branch ? "any branch" : help_is_ref(h) ? "" : "branch ", h->branch);
  return e;
}

static enum err put_blob(struct help *h, const git_tree_entry *entry)
{
  git_blob *blob;
  enum err e = ERR_OK;
  int rc = git_blob_lookup(&blob, h->repo, git_tree_entry_id(entry));
  size_t n;

  if (rc)
    return help_repo_fail(h, rc, "can't read the file");
  n = (size_t)git_blob_rawsize(blob);
  if (n > GITH_FILE_BYTES_MAX) {
    e = help_fail(h, ERR_TOOBIG, "%s has %zu bytes; at most %u are read", h->path, n, GITH_FILE_BYTES_MAX);
  } else {
    char *hex = xmalloc(2 * n + 1);
    str_hex(git_blob_rawcontent(blob), n, hex);
    records_put(&h->out, "found", "1");
    records_put(&h->out, "text", hex);
    free(hex);
  }
  git_blob_free(blob);
  return e;
}

static enum err put_file(struct help *h, git_commit *c)
{
  git_tree *tree;
  git_tree_entry *entry = NULL;
  enum err e = ERR_OK;
  int rc = git_commit_tree(&tree, c);

  if (rc)
    return help_repo_fail(h, rc, "can't read the commit's tree");
  rc = git_tree_entry_bypath(&entry, tree, h->path);
  if (rc == GIT_ENOTFOUND)
    records_put(&h->out, "found", "0");
  else if (rc)
    e = help_repo_fail(h, rc, "can't read the commit's tree");
  else if (git_tree_entry_filemode(entry) == GIT_FILEMODE_LINK)
    e = help_fail(h, ERR_FAILED, "%s is a symbolic link; it must be a file", h->path);
  else if (git_tree_entry_type(entry) != GIT_OBJECT_BLOB)
    e = help_fail(h, ERR_FAILED, "%s is a folder; it must be a file", h->path);
  else
    e = put_blob(h, entry);
  git_tree_entry_free(entry);
  git_tree_free(tree);
  return e;
}

enum err help_read(struct help *h)
{
  git_commit *c = NULL;
  char hex[GIT_OID_HEXSZ + 1];
  enum err e = get_commit(h, &c);

  if (e)
    return e;
  records_put(&h->out, "revision", git_oid_tostr(hex, sizeof hex, git_commit_id(c)));
  e = put_file(h, c);
  if (!e)
    e = help_tell_commit(h, help_is_ref(h) ? "" : h->branch, c);
  git_commit_free(c);
  return e;
}
