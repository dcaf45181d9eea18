/* For tests of the git helper: a folder with repositories made by the git program, and requests that are waited for. */
#ifndef TESTS_LIB_GITFIX_H
#define TESTS_LIB_GITFIX_H
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/str.h"
#include "master/changes/githelper.h"
#include "tests/lib/busy.h"

#define GITFIX_WAIT_MS 60000

/* What a callback was given, copied. `text` has a line for each commit: "branch subject previous? [file file] cut". */
struct gitfix_got {
  bool done;
  enum err err;
  char *why;
  struct gith_head *heads;
  int nheads, ncommits, left_out, ignored;
  struct buf text;
  struct buf tags;    /* "NAME REVISION", then "+NAME SUBJECT" of those that are told, a line each */
  char *author, *committer, *message, *revision; /* of the last commit; of a read */
  int64_t author_ms;
  int nfiles;                        /* of the last commit */
  bool found, files_cut;
  char *file;
  size_t file_len;
  int64_t at_ms;
};

static char gitfix_dir[64], *gitfix_program;
static uv_loop_t gitfix_loop;
static struct gith *gitfix;

static inline char *gitfix_path(const char *name)
{
  return xasprintf("%s/%s", gitfix_dir, name);
}

static inline int gitfix_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
  (void)st, (void)type, (void)at;
  return remove(path);
}

static inline void gitfix_remove(const char *path)
{
  nftw(path, gitfix_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Runs git in a repository (NULL: in the test's folder), gives `in` to it, returns its output without the last LF. */
static inline char *gitfix_git_in(const char *repo, const char *in, const char *const argv[])
{
  char *in_file = gitfix_path("stdin"), *out_file = gitfix_path("stdout"), *repo_dir = gitfix_path(repo ? repo : "");
  FILE *f = fopen(in_file, "w");
  char *out;
  size_t n;
  pid_t pid;
  int status;

  assert_non_null(f);
  fputs(in ? in : "", f);
  fclose(f);
  pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    dup2(open(in_file, O_RDONLY), 0);
    dup2(open(out_file, O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
    if (chdir(repo_dir))
      _exit(126);
    execvp("git", (char *const *)(uintptr_t)argv);
    _exit(127);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (status)
    fail_msg("git %s: status %d", argv[1], status);
  f = fopen(out_file, "r");
  assert_non_null(f);
  out = xcalloc(1, 1 << 16);
  n = fread(out, 1, (1 << 16) - 1, f);
  fclose(f);
  while (n > 0 && out[n - 1] == '\n')
    out[--n] = 0;
  free(in_file);
  free(out_file);
  free(repo_dir);
  return out;
}

#define gitfix_git(repo, ...) free(gitfix_git_in((repo), NULL, (const char *const[]){ "git", __VA_ARGS__, NULL }))
#define gitfix_ask(repo, ...) gitfix_git_in((repo), NULL, (const char *const[]){ "git", __VA_ARGS__, NULL })

static inline char *gitfix_rev(const char *repo, const char *name)
{
  return gitfix_ask(repo, "rev-parse", "--verify", name);
}

/* One commit on top of a branch (made where missing; `from` NULL: where it is), writing `text` to `path`. */
static inline void gitfix_commit(const char *repo, const char *branch, const char *from, const char *subject, const char *path, const char *text)
{
  struct buf b;
  char *tip = NULL;

  buf_init(&b, BUF_NO_MAX);
  if (!from) {
    char *ref = xasprintf("refs/heads/%s", branch);
    from = tip = gitfix_ask(repo, "for-each-ref", "--format=%(objectname)", ref);
    free(ref);
  }
  buf_addf(&b, "commit refs/heads/%s\ncommitter Ada <ada@example.org> 1700000000 +0100\ndata %zu\n%s\n", branch, strlen(subject), subject);
  if (*from)
    buf_addf(&b, "from %s\n", from);
  buf_addf(&b, "M 644 inline %s\ndata %zu\n%s\n", path, strlen(text), text);
  free(gitfix_git_in(repo, b.data, (const char *const[]){ "git", "fast-import", "--quiet", "--force", NULL }));
  buf_free(&b);
  free(tip);
}

static inline void gitfix_new(int max)
{
  char *mirrors = gitfix_path("mirrors");
  gitfix = gith_new(&gitfix_loop, gitfix_program, mirrors, max);
  free(mirrors);
}

static inline int gitfix_begin(void **state)
{
  const char *build = getenv("DROVER_BUILD");
  char *cwd = getcwd(NULL, 0);

  (void)state;
  setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
  setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
  setenv("HOME", "/nonexistent", 1);
  setenv("GIT_AUTHOR_NAME", "Ada", 1);
  setenv("GIT_AUTHOR_EMAIL", "ada@example.org", 1);
  setenv("GIT_COMMITTER_NAME", "Ada", 1);
  setenv("GIT_COMMITTER_EMAIL", "ada@example.org", 1);
  setenv("LC_ALL", "C", 1);
  signal(SIGPIPE, SIG_IGN);
  gitfix_program = !build ? xasprintf("%s/build/drover-git-helper", cwd) : build[0] == '/' ? xasprintf("%s/drover-git-helper", build)
                                                                       : xasprintf("%s/%s/drover-git-helper", cwd, build);
  free(cwd);
  snprintf(gitfix_dir, sizeof gitfix_dir, "/tmp/drover-githelper-XXXXXX");
  if (!mkdtemp(gitfix_dir))
    return -1;
  uv_loop_init(&gitfix_loop);
  gitfix_new(3);
  return 0;
}

static inline void gitfix_on_closed(void *arg)
{
  *(bool *)arg = true;
}

static inline void gitfix_close(void)
{
  bool closed = false;

  gith_close(gitfix, gitfix_on_closed, &closed);
  while (!closed)
    uv_run(&gitfix_loop, UV_RUN_ONCE);
}

static inline int gitfix_end(void **state)
{
  (void)state;
  gitfix_close();
  gitfix_remove(gitfix_dir);
  free(gitfix_program);
  return uv_loop_close(&gitfix_loop);
}

static inline void gitfix_free_got(struct gitfix_got *got)
{
  for (int i = 0; i < got->nheads; i++) {
    free(got->heads[i].branch);
    free(got->heads[i].revision);
  }
  free(got->heads);
  free(got->why);
  free(got->author);
  free(got->committer);
  free(got->message);
  free(got->revision);
  free(got->file);
  buf_free(&got->text);
  buf_free(&got->tags);
  memset(got, 0, sizeof *got);
}

static inline void gitfix_take_commit(struct gitfix_got *got, const struct gith_commit *c)
{
  buf_addf(&got->text, "%s %.*s%s [", c->branch, (int)strcspn(c->message, "\n"), c->message, *c->previous ? "" : " root");
  for (int i = 0; i < c->nfiles; i++)
    buf_addf(&got->text, "%s%s", i ? " " : "", c->files[i]);
  buf_addf(&got->text, "]%s\n", c->files_cut ? " cut" : "");
  free(got->author);
  free(got->committer);
  free(got->message);
  got->author = xstrdup(c->author);
  got->committer = xstrdup(c->committer);
  got->message = xstrdup(c->message);
  got->author_ms = c->author_ms;
  got->nfiles = c->nfiles;
  got->files_cut = c->files_cut;
}

static inline void gitfix_cb(const struct gith_result *r, void *arg)
{
  struct gitfix_got *got = arg;

  assert_false(got->done);
  got->done = true;
  got->at_ms = clock_mono_ms();
  got->err = r->err;
  got->why = xstrdup(r->why);
  got->ncommits = r->ncommits;
  got->left_out = r->left_out;
  got->ignored = r->ignored;
  got->found = r->found;
  got->revision = xstrdup(r->revision);
  got->file = r->text ? xmemdup(r->text, r->text_len + 1) : NULL;
  got->file_len = r->text_len;
  got->heads = xcalloc((size_t)r->nheads, sizeof *got->heads);
  for (got->nheads = 0; got->nheads < r->nheads; got->nheads++) {
    got->heads[got->nheads].branch = xstrdup(r->heads[got->nheads].branch);
    got->heads[got->nheads].revision = xstrdup(r->heads[got->nheads].revision);
  }
  buf_init(&got->tags, BUF_NO_MAX);
  for (int i = 0; i < r->ntags; i++)
    buf_addf(&got->tags, "%s %s\n", r->tags[i].branch, r->tags[i].revision);
  for (int i = 0; i < r->ncommits; i++)
    if (r->commits[i].tag)
      buf_addf(&got->tags, "+%s %.*s\n", r->commits[i].tag, (int)strcspn(r->commits[i].message, "\n"), r->commits[i].message);
  buf_init(&got->text, BUF_NO_MAX);
  for (int i = 0; i < r->ncommits; i++)
    gitfix_take_commit(got, &r->commits[i]);
}

static inline void gitfix_tick(uv_timer_t *t)
{
  (void)t; /* only so that uv_run comes back */
}

static inline void gitfix_wait(struct gitfix_got *got)
{
  uv_timer_t timer;
  int64_t end = clock_mono_ms() + busy_ms(GITFIX_WAIT_MS);

  uv_timer_init(&gitfix_loop, &timer);
  uv_timer_start(&timer, gitfix_tick, 5, 5);
  while (!got->done && clock_mono_ms() < end)
    uv_run(&gitfix_loop, UV_RUN_ONCE);
  uv_close((uv_handle_t *)&timer, NULL);
  uv_run(&gitfix_loop, UV_RUN_NOWAIT);
  assert_true(got->done);
}

/* Polls with what the last poll knew (NULL: nothing) and replaces it by what came. */
static inline void gitfix_poll_with(struct gitfix_got *got, const char *name, const char *url, bool local, const struct gitfix_got *known, const char *const *globs, int nglobs)
{
  struct gith_poll q = { .name = name, .url = url, .allow_local = local, .branches = globs, .nbranches = nglobs,
                         .known = known ? known->heads : NULL, .nknown = known ? known->nheads : 0 };
  struct gitfix_got next = { 0 };

  gith_poll(gitfix, &q, gitfix_cb, &next);
  assert_false(next.done); /* never from inside the call */
  gitfix_wait(&next);
  gitfix_free_got(got);
  *got = next;
}

static inline const char *gitfix_head(const struct gitfix_got *got, const char *branch)
{
  for (int i = 0; i < got->nheads; i++)
    if (!strcmp(got->heads[i].branch, branch))
      return got->heads[i].revision;
  return NULL;
}

static inline void gitfix_read(struct gitfix_got *got, const char *name, const char *url, bool local, const char *branch, const char *revision, const char *path)
{
  gitfix_free_got(got);
  gith_read(gitfix, VCS_GIT, name, url, local, NULL, branch, revision, path, gitfix_cb, got);
  assert_false(got->done);
  gitfix_wait(got);
}
#endif
