/* The remote side: which branches there are, and bringing what is missing here.
   Happy path: connect, list, and only where a head is not here yet download (smart transports negotiate by the refs that the mirror
   holds). Failures: away, refused, credentials asked for, a silent server (the master kills us), a redirect (the first request may be
   led to another http or https address of the same host, nowhere else). */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/changes/helper/helper.h"

#if defined(__SANITIZE_ADDRESS__) /* libgit2 1.5 forgets things of its connections: what it looked for in known_hosts, and more when they are lost */
#include <sanitizer/lsan_interface.h>
#else
#define __lsan_disable() ((void)0)
#define __lsan_enable() ((void)0)
#endif

#define HEADS_PREFIX "refs/heads/"
#define TAGS_PREFIX "refs/tags/"
#define ALIVE_EVERY_MS 1000
#define ALIVE_BYTES 4096       /* less is no progress: a server may drip for ever */
#define PACK_BYTES_MAX (8ull << 30)

static int on_progress(const git_indexer_progress *stats, void *arg)
{
  static const char alive[] = "alive=1";
  struct help *h = arg;
  int64_t now = clock_mono_ms();

  if (stats->received_bytes > PACK_BYTES_MAX) {
    help_fail(h, ERR_TOOBIG, "the repository sends more than %llu bytes", PACK_BYTES_MAX);
    return -1;
  }
  if (now - h->told_ms >= ALIVE_EVERY_MS && (stats->received_bytes >= h->told_bytes + ALIVE_BYTES ||
                                       (stats->received_objects == stats->total_objects && stats->indexed_objects + stats->indexed_deltas > h->told_objects))) {
    h->told_ms = now;
    h->told_bytes = stats->received_bytes;
    h->told_objects = stats->indexed_objects + stats->indexed_deltas;
    help_set_alarm(h);
    if (write(STDOUT_FILENO, alive, sizeof alive) < 0) /* with its NUL */
      return -1;
  }
  return 0;
}

bool help_is_ref(const struct help *h)
{
  return !h->poll && *h->revision && gith_is_ref(h->branch);
}

void help_add_branch(struct help *h, const char *name, const git_oid *oid)
{
  struct help_head *head;

  if (!gith_is_branch(name)) {
    h->ignored++;
    return;
  }
  if (h->nheads > GITH_HEADS_MAX)
    return; /* help_over tells */
  if (!(h->nheads & (h->nheads - 1))) /* full at each power of two */
    h->heads = xrealloc(h->heads, (h->nheads ? 2 * h->nheads : 1) * sizeof *h->heads);
  head = &h->heads[h->nheads++];
  head->branch = xstrdup(name);
  git_oid_cpy(&head->oid, oid);
  head->wanted = h->nglobs == 0;
  for (size_t i = 0; i < h->nglobs && !head->wanted; i++)
    head->wanted = str_glob(h->globs[i], name);
}

enum err help_over(struct help *h)
{
  return h->nheads > GITH_HEADS_MAX ? help_fail(h, ERR_TOOBIG, "the repository has more than %d branches", GITH_HEADS_MAX) : ERR_OK;
}

enum err help_add_ref(struct help *h, const char *ref, const git_oid *oid)
{
  const char *branch = ref + strlen(HEADS_PREFIX);

  if (help_is_ref(h) && !strcmp(ref, h->branch)) {
    git_oid_cpy(&h->ref, oid);
    h->has_ref = true;
  }
  if (h->with_tags && str_starts(ref, TAGS_PREFIX))
    help_add_tag(h, ref + strlen(TAGS_PREFIX), oid);
  if (!str_starts(ref, HEADS_PREFIX))
    return ERR_OK;
  help_add_branch(h, branch, oid);
  return help_over(h);
}

static int by_branch(const void *a, const void *b)
{
  return strcmp(((const struct help_head *)a)->branch, ((const struct help_head *)b)->branch);
}

const struct help_head *help_find(const struct help_head *heads, size_t n, const char *branch)
{
  struct help_head key = { .branch = (char *)(uintptr_t)branch };

  return n ? bsearch(&key, heads, n, sizeof key, by_branch) : NULL;
}

/* glob: of the refs. One that points to no commit is none. */
static enum err list_refs(struct help *h, const char *glob)
{
  git_reference_iterator *it;
  git_reference *ref;
  enum err e = ERR_OK;
  int rc = git_reference_iterator_glob_new(&it, h->repo, glob);

  if (rc)
    return help_git_fail(h, rc, "can't list the branches");
  while (!e && !(rc = git_reference_next(&ref, it))) {
    git_object *tip;
    if (!git_reference_peel(&tip, ref, GIT_OBJECT_COMMIT)) {
      e = help_add_ref(h, git_reference_name(ref), git_object_id(tip));
      git_object_free(tip);
    }
    git_reference_free(ref);
  }
  git_reference_iterator_free(it);
  return e || rc == GIT_ITEROVER ? e : help_git_fail(h, rc, "can't list the branches");
}

static enum err list_local(struct help *h)
{
  enum err e = list_refs(h, HEADS_PREFIX "*");

  return e || !h->with_tags ? e : list_refs(h, TAGS_PREFIX "*");
}

static enum err list_remote(struct help *h)
{
  git_remote_connect_options opts;
  struct help_login login;
  const git_remote_head **heads;
  size_t n;
  enum err e = ERR_OK;
  int rc;

  git_remote_connect_options_init(&opts, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
  opts.callbacks.transfer_progress = on_progress;
  opts.callbacks.payload = h;
  help_login(h, &login, &opts.callbacks, &opts.custom_headers, &opts.follow_redirects);
  __lsan_disable();
  rc = git_remote_connect_ext(h->remote, GIT_DIRECTION_FETCH, &opts);
  __lsan_enable();
  help_login_free(&login);
  if (!rc)
    rc = git_remote_ls(&heads, &n, h->remote);
  if (rc)
    return help_git_fail(h, rc, "can't read from the repository");
  for (size_t i = 0; i < n && !e; i++)
    e = help_add_ref(h, heads[i]->name, &heads[i]->oid);
  return e;
}

enum err help_sort(struct help *h)
{
  if (h->nheads)
    qsort(h->heads, h->nheads, sizeof *h->heads, by_branch);
  if (h->ntags)
    qsort(h->tags, h->ntags, sizeof *h->tags, by_branch);
  return help_over(h);
}

enum err help_list(struct help *h)
{
  enum err e = !h->remote ? list_local(h) : h->by_git ? help_git_list(h) : list_remote(h);

  return e ? e : help_sort(h);
}

/* Before new refs are made, so that a branch `a` that went does not stand in the way of `a/b`. */
static enum err drop_stale(struct help *h)
{
  git_strarray refs;
  enum err e = ERR_OK;
  int rc = git_reference_list(&refs, h->repo);

  if (rc)
    return help_repo_fail(h, rc, "can't list what the mirror has");
  for (size_t i = 0; i < refs.count && !e; i++) {
    const char *ref = refs.strings[i];
    if (str_starts(ref, HELP_REF_PREFIX) && help_find(h->heads, h->nheads, ref + strlen(HELP_REF_PREFIX)))
      continue;
    if ((rc = git_reference_remove(h->repo, ref)))
      e = help_repo_fail(h, rc, "can't remove a branch from the mirror");
  }
  git_strarray_dispose(&refs);
  return e;
}

static enum err download(struct help *h, const git_strarray *specs)
{
  git_fetch_options opts;
  struct help_login login;
  int rc;

  git_fetch_options_init(&opts, GIT_FETCH_OPTIONS_VERSION);
  opts.callbacks.transfer_progress = on_progress;
  opts.callbacks.payload = h;
  opts.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
  help_login(h, &login, &opts.callbacks, &opts.custom_headers, &opts.follow_redirects);
  __lsan_disable();
  rc = git_remote_download(h->remote, specs, &opts);
  __lsan_enable();
  help_login_free(&login);
  if (rc) {
    enum err e = help_git_fail(h, rc, "can't fetch from the repository");
    if (e != ERR_FAILED && e != ERR_NOTFOUND) /* what is not found after the list was read is missing here */
      return e;
    h->broken = !h->fresh;
    return ERR_FAILED;
  }
  git_remote_disconnect(h->remote);
  return ERR_OK;
}

static enum err set_refs(struct help *h, const struct help_head *const *want, size_t n)
{
  enum err e = ERR_OK;

  for (size_t i = 0; i < n && !e; i++) {
    char *name = xasprintf(HELP_REF_PREFIX "%s", want[i]->branch);
    git_reference *ref = NULL;
    int rc = git_reference_create(&ref, h->repo, name, &want[i]->oid, 1, NULL);
    if (rc)
      e = help_repo_fail(h, rc, "can't keep a branch in the mirror");
    git_reference_free(ref);
    free(name);
  }
  return e;
}

enum err help_fetch(struct help *h, const char *want)
{
  const struct help_head **missing;
  git_strarray specs = { 0 };
  git_odb *odb;
  size_t branches;
  enum err e;
  int rc;

  if (!h->remote)
    return ERR_OK;
  if ((rc = git_repository_odb(&odb, h->repo)))
    return help_repo_fail(h, rc, "can't open the mirror's objects");
  missing = xcalloc(h->nheads + 1, sizeof *missing);
  specs.strings = xcalloc(h->nheads + h->ntags + 1, sizeof *specs.strings);
  for (size_t i = 0; i < h->nheads; i++) {
    const struct help_head *head = &h->heads[i];
    if ((want ? !strcmp(head->branch, want) : head->wanted) && !git_odb_exists(odb, &head->oid)) {
      missing[specs.count] = head;
      specs.strings[specs.count++] = xasprintf("+" HEADS_PREFIX "%s:" HELP_REF_PREFIX "%s", head->branch, head->branch);
    }
  }
  branches = specs.count;
  if (want && h->has_ref && !git_odb_exists(odb, &h->ref)) /* what comes stays here without a ref of its own: nobody prunes a mirror */
    specs.strings[specs.count++] = xasprintf("+%s:%s", h->branch, h->branch);
  for (size_t i = 0; !want && i < h->ntags; i++)
    if (h->tags[i].wanted && !git_odb_exists(odb, &h->tags[i].oid))
      specs.strings[specs.count++] = xasprintf("+" TAGS_PREFIX "%s:" TAGS_PREFIX "%s", h->tags[i].branch, h->tags[i].branch);
  git_odb_free(odb);
  e = drop_stale(h);
  if (!e && specs.count)
    e = h->by_git ? help_git_fetch(h, &specs) : download(h, &specs);
  if (!e)
    e = set_refs(h, missing, branches);
  for (size_t i = 0; i < specs.count; i++)
    free(specs.strings[i]);
  free(specs.strings);
  free(missing);
  return e;
}
