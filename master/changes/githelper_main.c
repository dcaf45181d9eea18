/* drover-git-helper: a request about one repository as records on stdin, the answer on stdout, then the next one, until stdin ends. Talks to git
   servers so that the master does not have to: what hangs, eats memory or crashes is this process.
   Happy path: read the request, open the mirror, list the remote's branches, fetch what is missing, tell.
   Failures: a sentence in the answer; a mirror that can't be used is removed and made anew, once; limits on memory, processor time
   and the clock end the process, and the master sees that by the missing last record. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "common/utf8.h"
#include "master/changes/githelper.h"
#include "master/changes/gitwire.h"
#include "master/changes/helper/helper.h"
#include "master/conf/vcs_ssh.h"
#include "proto/records.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1 /* its shadow memory alone is terabytes of addresses */
const char *__asan_default_options(void);
const char *__lsan_default_options(void);
const char *__lsan_default_suppressions(void);
const char *__asan_default_options(void)
{
  return "symbolize=0"; /* looking up where suppressed leaks come from took half a second an end; ASAN_OPTIONS=symbolize=1 names them */
}
const char *__lsan_default_options(void)
{
  return "print_suppressions=0";
}
const char *__lsan_default_suppressions(void)
{
  return "leak:libpcre2\n"; /* libgit2 keeps its compiled patterns */
}
#else
#define SANITIZED 0
#endif

enum {
  MEMORY_MAX = 1 << 30,
  CPU_MAX_S = 60,
  WINDOW_BYTES = 32 << 20,  /* of a pack mapped at once */
  MAPPED_BYTES = 256 << 20, /* all windows */
  CACHE_BYTES = 64 << 20,
  TOKEN_LEAST = 6,          /* what is shorter could not be told from other words of a sentence */
  ALARM_GRACE_S = 5,        /* past the master's own deadline */
};

static const struct help_kind *const kinds[VCS_COUNT] = { [VCS_SVN] = &help_svn, [VCS_SVN_FOLDER] = &help_svn, [VCS_HG] = &help_hg };

static void limit(int what, rlim_t n)
{
  struct rlimit l = { n, what == RLIMIT_CPU ? RLIM_INFINITY : n }; /* that is raised again; past it SIGXCPU says why */

  if (setrlimit(what, &l))
    fprintf(stderr, "can't set a resource limit: %s\n", strerror(errno));
}

/* For the next request. */
static void limit_cpu(void)
{
  struct rusage used;

  if (!getrusage(RUSAGE_SELF, &used))
    limit(RLIMIT_CPU, (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + CPU_MAX_S);
}

static void confine(void)
{
  umask(077);
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody waits for the answer of a dead master */
  limit(RLIMIT_CORE, 0);
  if (!SANITIZED)
    limit(RLIMIT_AS, MEMORY_MAX);
}

/* Only what the request says: no configuration of the machine or of a user, small windows, no owner check (mirrors are ours, local
   paths are the site's own choice). */
static bool set_up_libgit2(void)
{
  static const int levels[] = { GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL };
  int rc = git_libgit2_init() < 0;

  for (size_t i = 0; i < COUNT(levels) && !rc; i++)
    rc = git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
  if (!rc)
    rc = git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
  if (!rc)
    rc = git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, (size_t)WINDOW_BYTES);
  if (!rc)
    rc = git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, (size_t)MAPPED_BYTES);
  if (!rc)
    rc = git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, (ssize_t)CACHE_BYTES);
  return !rc;
}

/* False: there is none any more. */
static bool read_request(struct buf *b)
{
  for (;;) {
    ssize_t n;
    if (!buf_reserve(b, 65536))
      return false;
    n = read(STDIN_FILENO, b->data + b->len, 65536);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return n == 0 && b->len;
    buf_grown(b, (size_t)n);
    if (records_ended(b))
      return true;
  }
}

static bool write_all(const char *p, size_t n)
{
  while (n > 0) {
    ssize_t k = write(STDOUT_FILENO, p, n);
    if (k < 0 && errno == EINTR)
      continue;
    if (k < 0)
      return false;
    p += k;
    n -= (size_t)k;
  }
  return true;
}

static int by_branch(const void *a, const void *b)
{
  return strcmp(((const struct help_head *)a)->branch, ((const struct help_head *)b)->branch);
}

/* "<revision> <branch or tag>" */
static enum err take_known(struct help *h, struct help_head *known, size_t *n, const char *value)
{
  const char *blank = strchr(value, ' ');
  struct help_head *k = &known[*n];

  char text[HELP_REV_MAX] = "";

  if (blank && blank - value < HELP_REV_MAX)
    memcpy(text, value, (size_t)(blank - value));
  if (!help_rev_read(h, text, &k->oid))
    return help_fail(h, ERR_BADARG, "not a known head: %s", value);
  k->branch = xstrdup(blank + 1);
  ++*n;
  return ERR_OK;
}

static bool path_ok(const char *p)
{
  size_t n = strlen(p);

  if (!n || n > 4096 || *p == '/' || p[n - 1] == '/' || strstr(p, "//"))
    return false;
  for (const char *c = p; *c; c += strcspn(c, "/"), c += *c == '/') {
    size_t k = strcspn(c, "/");
    if ((k == 1 && *c == '.') || (k == 2 && !memcmp(c, "..", 2)))
      return false;
  }
  return true;
}

static enum err check_request(struct help *h)
{
  if (!h->mirrors || h->mirrors[0] != '/' || !h->name || !gith_is_mirror(h->name))
    return help_fail(h, ERR_BADARG, "bad name of a mirror");
  if (!h->url || !gith_is_url_of(h->vcs, h->url, h->allow_local))
    return help_fail(h, ERR_BADARG, "not an address of a repository");
  if (h->poll)
    return ERR_OK;
  if (!h->branch || !h->revision || (*h->branch && !gith_is_branch(h->branch) && !gith_is_ref(h->branch)) ||
      (*h->revision ? !gith_is_revision_of(h->vcs, h->revision) : !*h->branch))
    return help_fail(h, ERR_BADARG, "not a branch or revision");
  if (!h->path || !path_ok(h->path))
    return help_fail(h, ERR_BADARG, "not a path in a repository");
  return ERR_OK;
}

static enum err take_request(struct help *h, const struct buf *in)
{
  size_t at = 0, n = 0;
  char key[RECORDS_KEY_MAX + 1];
  const char *value;
  enum err e;

  while ((e = records_next(in->data, in->len, &at, key, &value)) == ERR_OK)
    n++;
  if (e != ERR_NOTFOUND)
    return help_fail(h, ERR_BADARG, "the request is not records");
  value = records_get(in->data, in->len, "vcs");
  if (!value || !vcs_of(value, &h->vcs))
    return help_fail(h, ERR_BADARG, "no kind of repository");
  h->kind = kinds[h->vcs];
  h->globs = xcalloc(n, sizeof *h->globs);
  h->host_keys = xcalloc(n, sizeof *h->host_keys);
  h->known = xcalloc(n, sizeof *h->known);
  h->known_tags = xcalloc(n, sizeof *h->known_tags);
  for (at = 0, e = ERR_OK; !e && !records_next(in->data, in->len, &at, key, &value);) {
    if (!strcmp(key, "glob"))
      h->globs[h->nglobs++] = value;
    else if (!strcmp(key, "host_key"))
      h->host_keys[h->nhost_keys++] = value;
    else if (!strcmp(key, "known"))
      e = take_known(h, h->known, &h->nknown, value);
    else if (!strcmp(key, "known_tag"))
      e = take_known(h, h->known_tags, &h->nknown_tags, value);
  }
  if (e)
    return e;
  if (h->nknown)
    qsort(h->known, h->nknown, sizeof *h->known, by_branch);
  if (h->nknown_tags)
    qsort(h->known_tags, h->nknown_tags, sizeof *h->known_tags, by_branch);
  value = records_get(in->data, in->len, "tags");
  h->with_tags = value != NULL;
  h->tell_tags = value && !strcmp(value, "tell");
  value = records_get(in->data, in->len, "op");
  h->poll = value && !strcmp(value, "poll");
  value = records_get(in->data, in->len, "local");
  h->allow_local = value && !strcmp(value, "1");
  h->mirrors = records_get(in->data, in->len, "mirrors");
  h->name = records_get(in->data, in->len, "name");
  h->url = records_get(in->data, in->len, "url");
  h->branch = records_get(in->data, in->len, "branch");
  h->revision = records_get(in->data, in->len, "revision");
  h->path = records_get(in->data, in->len, "path");
  h->key = records_get(in->data, in->len, "key");
  h->token = records_get(in->data, in->len, "token");
  h->user = records_get(in->data, in->len, "user");
  value = records_get(in->data, in->len, "as");
  h->bearer = value && !strcmp(value, "bearer");
  if (h->token && (!h->user || strlen(h->token) < TOKEN_LEAST))
    return help_fail(h, ERR_BADARG, "a token without a user, or a short one");
  value = records_get(in->data, in->len, "deadline");
  if (!value || str_number(value, strlen(value), &h->deadline_ms))
    return help_fail(h, ERR_BADARG, "no deadline");
  return check_request(h);
}

static bool moved(const struct help *h)
{
  for (size_t i = 0; i < h->nheads; i++) {
    const struct help_head *known = help_find(h->known, h->nknown, h->heads[i].branch);
    if (h->heads[i].wanted && !(known && git_oid_equal(&known->oid, &h->heads[i].oid)))
      return true;
  }
  return false;
}

static enum err poll_once(struct help *h)
{
  char text[HELP_REV_MAX];
  enum err e = h->kind ? h->kind->list(h) : help_list(h);

  if (e)
    return e;
  for (size_t i = 0; i < h->nheads; i++)
    if (h->heads[i].wanted)
      records_putf(&h->out, "head", "%s %s", help_rev(h, &h->heads[i].oid, text), h->heads[i].branch);
  if (help_pick_tags(h) || moved(h)) {
    e = h->kind ? ERR_OK : help_fetch(h, NULL);
    if (!e)
      e = help_tell_new(h);
  }
  return e || !h->with_tags ? e : help_tell_tags(h);
}

static enum err attempt(struct help *h)
{
  enum err e = h->kind ? help_folder(h) : help_open(h);

  if (e)
    return e;
  if (h->kind && !h->poll)
    return h->kind->read(h);
  return h->poll ? poll_once(h) : help_read(h);
}

/* A mirror is a cache: the one remedy for whatever is wrong with it is a new one. */
static enum err work(struct help *h)
{
  enum err e = attempt(h);

  if (e && h->broken) {
    fprintf(stderr, "mirror %s is made anew: %s\n", h->name, h->why);
    help_close(h);
    buf_reset(&h->out);
    free(h->why);
    h->why = NULL;
    h->broken = false;
    e = help_mirror_remove(h);
    if (!e)
      e = attempt(h);
  }
  return e;
}

/* Whatever a server or a library says back: no sentence has the token in it. */
static void hide_token(struct help *h)
{
  size_t n = h->token ? strlen(h->token) : 0;

  for (char *at = h->why; n && at && (at = strstr(at, h->token)); at += n)
    memset(at, '*', n);
}

static bool answer(struct help *h, enum err e)
{
  struct buf why;

  hide_token(h);
  if (h->out.failed) {
    e = help_fail(h, ERR_TOOBIG, "the answer is larger than %u bytes", GITH_OUTPUT_MAX);
    buf_reset(&h->out);
  } else if (e) {
    buf_reset(&h->out);
  }
  buf_init(&why, BUF_NO_MAX);
  if (h->why)
    utf8_clean(&why, h->why, utf8_cut(h->why, GITW_WHY_MAX / 3), true);
  records_putf(&h->out, "ignored", "%d", h->ignored);
  records_putf(&h->out, "left_out", "%d", h->left_out);
  records_put(&h->out, "err", gitw_err_tag(e));
  records_put(&h->out, "why", buf_str(&why));
  records_put(&h->out, "end", "1");
  buf_free(&why);
  return write_all(h->out.data, h->out.len);
}

void help_set_alarm(const struct help *h)
{
  alarm((unsigned)(h->deadline_ms / 1000) + ALARM_GRACE_S);
}

static bool serve(const struct buf *in)
{
  struct help h = { .lock_fd = -1, .program = { .fd = -1, .in = -1 } };
  enum err e;
  bool ok;

  buf_init(&h.out, GITH_OUTPUT_MAX - 4096); /* room for `alive` */
  e = take_request(&h, in);
  h.by_git = !e && h.vcs == VCS_GIT && h.key && vcs_key_is_rsa(h.key);
  if (!e && (h.kind || h.by_git))
    e = help_program(&h);
  if (!e) {
    limit_cpu();
    help_set_alarm(&h);
    e = work(&h);
    alarm(0);
  }
  ok = answer(&h, e);
  help_close(&h);
  help_unlock(&h);
  help_program_end(&h);
  for (size_t i = 0; i < h.nknown; i++)
    free(h.known[i].branch);
  free(h.known);
  for (size_t i = 0; i < h.nknown_tags; i++)
    free(h.known_tags[i].branch);
  free(h.known_tags);
  free(h.globs);
  free(h.host_keys);
  free(h.why);
  buf_free(&h.out);
  return ok;
}

int main(void)
{
  struct buf in;
  bool ok = true;

  confine();
  buf_init(&in, GITW_REQUEST_MAX);
  if (!set_up_libgit2()) {
    fprintf(stderr, "can't start\n");
    return 1;
  }
  while (ok && read_request(&in)) {
    ok = serve(&in);
    mem_wipe(in.data, in.len);
    buf_reset(&in);
  }
  buf_free(&in);
  git_libgit2_shutdown();
  return ok ? 0 : 1;
}
