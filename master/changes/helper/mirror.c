/* The repository on this machine that a request works in: a bare mirror below the mirrors folder, which is a cache and made anew
   when it can't be used, or a local repository, which is only ever read. One process at a time has a mirror (flock on <name>.lock). */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "master/changes/helper/helper.h"

enum { WALK_FDS = 16 };

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
  (void)st, (void)type, (void)at;
  return remove(path) && errno != ENOENT ? -1 : 0;
}

char *help_mirror_path(const struct help *h)
{
  return xasprintf("%s/%s.%s", h->mirrors, h->name, vcs_program(h->vcs));
}

enum err help_mirror_remove(struct help *h)
{
  char *path = help_mirror_path(h);
  enum err e = ERR_OK;

  if (nftw(path, remove_one, WALK_FDS, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
    e = help_fail(h, ERR_FAILED, "can't remove the broken mirror %s: %s", path, strerror(errno));
  free(path);
  return e;
}

/* A process that was killed leaves lock files and half packs. We hold the lock: nobody needs them. */
static int packs_seen;

static int sweep_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
  const char *name = path + at->base;
  size_t n = strlen(name);

  (void)st;
  if (type == FTW_D || type == FTW_DNR)
    return 0;
  if (n > 5 && !strcmp(name + n - 5, ".pack"))
    packs_seen++;
  if ((n > 5 && !strcmp(name + n - 5, ".lock")) || strstr(name, "_git2_"))
    unlink(path);
  return 0;
}

static void sweep(const char *mirror)
{
  static const char *const folders[] = { "refs", "objects/pack" };
  static const char *const locks[] = { "HEAD.lock", "config.lock", "packed-refs.lock" };

  packs_seen = 0;
  for (size_t i = 0; i < COUNT(folders); i++) {
    char *path = xasprintf("%s/%s", mirror, folders[i]);
    nftw(path, sweep_one, WALK_FDS, FTW_PHYS);
    free(path);
  }
  for (size_t i = 0; i < COUNT(locks); i++) {
    char *path = xasprintf("%s/%s", mirror, locks[i]);
    unlink(path);
    free(path);
  }
}

static enum err lock(struct help *h)
{
  char *path = xasprintf("%s/%s.lock", h->mirrors, h->name);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  enum err e = ERR_OK;

  if (fd < 0 || flock(fd, LOCK_EX)) /* kept until help_unlock */
    e = help_fail(h, errno == ENOSPC ? ERR_NOSPACE : ERR_FAILED, "can't lock the mirror (%s): %s", path, strerror(errno));
  h->lock_fd = fd;
  free(path);
  return e;
}

void help_unlock(struct help *h)
{
  if (h->lock_fd >= 0)
    close(h->lock_fd);
  h->lock_fd = -1;
}

static enum err make_mirror(struct help *h, const char *path)
{
  git_repository_init_options opts;
  int rc;

  git_repository_init_options_init(&opts, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
  opts.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH | GIT_REPOSITORY_INIT_NO_REINIT;
  opts.mode = GIT_REPOSITORY_INIT_SHARED_UMASK;
  rc = git_repository_init_ext(&h->repo, path, &opts);
  if (rc)
    return help_git_fail(h, rc, "can't make the mirror");
  h->fresh = true;
  return ERR_OK;
}

static enum err make_folder(struct help *h, const char *path)
{
  if (mkdir(path, 0700) && errno != EEXIST)
    return help_fail(h, errno == ENOSPC ? ERR_NOSPACE : ERR_FAILED, "can't make the folder %s: %s", path, strerror(errno));
  return ERR_OK;
}

enum err help_folder(struct help *h)
{
  char *path = help_mirror_path(h);
  enum err e = make_folder(h, h->mirrors);

  if (!e && h->lock_fd < 0)
    e = lock(h);
  if (!e)
    e = make_folder(h, path);
  free(path);
  return e;
}

static enum err open_mirror(struct help *h)
{
  char *path = help_mirror_path(h);
  enum err e = make_folder(h, h->mirrors);
  int rc;

  if (!e && h->lock_fd < 0)
    e = lock(h);
  if (!e) {
    sweep(path);
    rc = git_repository_open_ext(&h->repo, path, GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_BARE, NULL);
    if (rc || packs_seen > HELP_PACKS_MAX) {
      git_repository_free(h->repo);
      h->repo = NULL;
      e = help_mirror_remove(h);
      if (!e)
        e = make_mirror(h, path);
    }
  }
  free(path);
  if (!e && (rc = git_remote_create_anonymous(&h->remote, h->repo, h->url)))
    e = help_git_fail(h, rc, "can't use the address");
  return e;
}

/* As git does: the folder itself, its .git, or the name with .git added. */
static enum err open_local(struct help *h)
{
  const char *path = str_starts(h->url, "file://") ? h->url + strlen("file://") : h->url;
  unsigned flags = GIT_REPOSITORY_OPEN_NO_SEARCH;
  int rc = git_repository_open_ext(&h->repo, path, flags, NULL);
  struct stat st;

  if (rc == GIT_ENOTFOUND) {
    char *longer = xasprintf("%s.git", path);
    if (!git_repository_open_ext(&h->repo, longer, flags, NULL))
      rc = 0;
    free(longer);
  }
  if (!rc)
    return ERR_OK;
  if (stat(path, &st))
    return help_fail(h, errno == EACCES ? ERR_DENIED : ERR_NOTFOUND, "can't open %s: %s", path, strerror(errno));
  if (rc == GIT_ENOTFOUND)
    return help_fail(h, ERR_NOTFOUND, "%s is no git repository", path);
  return help_git_fail(h, rc, "can't open the repository");
}

enum err help_open(struct help *h)
{
  return h->allow_local && (h->url[0] == '/' || str_starts(h->url, "file://")) ? open_local(h) : open_mirror(h);
}

void help_close(struct help *h)
{
  for (size_t i = 0; i < h->nheads; i++)
    free(h->heads[i].branch);
  for (size_t i = 0; i < h->ntags; i++)
    free(h->tags[i].branch);
  free(h->tags);
  h->tags = NULL;
  h->ntags = 0;
  h->tags_over = false;
  free(h->heads);
  h->heads = NULL;
  h->nheads = 0;
  h->ignored = h->left_out = 0;
  h->has_ref = false;
  free(h->svn.prefix);
  h->svn.prefix = NULL;
  git_remote_free(h->remote);
  git_repository_free(h->repo);
  h->remote = NULL;
  h->repo = NULL;
  h->fresh = false;
}
