/* Repositories of Subversion, by the program svn. There is no mirror: svn asks the server for a list or a log, and its folder beside the mirrors holds nothing but its own settings.
   A look: what the repository's newest revision is, which branches and tags there are as of that one (and at which revision each was changed last: that is its head), and the log of each that moved.
   Failures: svn's own codes (E170013 …) say which; a log that is too large is asked for once more without its files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/changes/helper/helper.h"
#include "master/changes/helper/svnxml.h"
#include "proto/records.h"

enum { ARGS_MAX = 32, MOST = 32 /* of a number as text */, LED_MAX = 65536 };
#define XML_BYTES_MAX (32u << 20) /* of one answer of svn */
#define TRUNK "trunk"
#define BRANCHES "branches"
#define TAGS "tags"

/* What svn's codes mean here. */
static const struct help_words known_codes[] = {
  { "E170001", ERR_DENIED, HELP_ASKED },
  { "E215004", ERR_DENIED, HELP_ASKED },
  { "E175013", ERR_DENIED, "the server refuses access" },
  { "E230001", ERR_DENIED, "the server's certificate is not trusted" },
  { "E160013", ERR_NOTFOUND, NULL },
  { "W160013", ERR_NOTFOUND, NULL },
  { "E200009", ERR_NOTFOUND, NULL },
  { "E160006", ERR_NOTFOUND, "there is no such revision" },
  { "E160005", ERR_NOTFOUND, NULL },
  { "E210005", ERR_NOTFOUND, "no such repository" },
  { "E180001", ERR_NOTFOUND, "no such repository" },
  { "E160043", ERR_FAILED, NULL },
  { "E170000", ERR_NOTFOUND, "no such folder in the repository" },
  { "E000028", ERR_NOSPACE, NULL },
  { "E170013", ERR_AWAY, NULL },
  { "E175002", ERR_AWAY, NULL },
  { "E175003", ERR_AWAY, NULL },
  { "E210002", ERR_AWAY, NULL },
  { "E670002", ERR_AWAY, NULL },
  { "E670003", ERR_AWAY, NULL },
  { "E000111", ERR_AWAY, NULL },
  { "E000110", ERR_AWAY, NULL },
  { "E000104", ERR_AWAY, NULL },
};

static enum err said(struct help *h, const char *what, struct buf *errors)
{
  const struct help_words *w = help_words_in(buf_str(errors), known_codes, COUNT(known_codes));

  return help_words_fail(h, what, w, help_said(errors));
}

/* svn would tell the password to whatever server it is led to. So it asks without first: who leads does so before asking for one. */
static enum err look_where_it_leads(struct help *h)
{
  struct help_program kept = h->program;
  char *folder = help_mirror_path(h);
  const char *const argv[] = { "svn", "info", "--non-interactive", "--no-auth-cache", "--config-dir", folder, "--", h->url, NULL };
  struct buf out, errors;
  int code;
  enum err e;

  h->led = true;
  buf_init(&out, LED_MAX);
  buf_init(&errors, HELP_ERRORS_MAX);
  h->program.in = -1;
  e = help_run(h, argv, help_sink_buf, &out, &errors, &code);
  h->program.in = kept.in;
  if (!e && (strstr(buf_str(&out), LOGIN_SVN_LED) || strstr(buf_str(&errors), LOGIN_SVN_LED)))
    e = help_fail(h, ERR_DENIED, "it redirects to another address, and no password goes there; write the address where the repository is");
  buf_free(&out);
  buf_free(&errors);
  free(folder);
  return e == ERR_TOOBIG ? help_fail(h, e, "svn info says too much") : e;
}

/* Runs svn with these words (NULL-ended). None of its settings but those written here, none of its credentials, and no program of its own for another way to a server. */
static enum err run(struct help *h, const char *const *words, help_sink *sink, void *arg, struct buf *errors, int *code)
{
  char *folder = help_mirror_path(h);
  const char *argv[ARGS_MAX] = { "svn" };
  const char *const after[] = { "--non-interactive", "--no-auth-cache", "--config-dir", folder, "--config-option", "config:tunnels:ssh=/bin/false" };
  size_t n = 1;
  enum err e = ERR_OK;

  if (h->token && !h->led && str_starts(h->url, "http") && (e = look_where_it_leads(h))) {
    free(folder);
    return e;
  }
  for (int i = 0; i < h->program.noptions; i++)
    argv[n++] = h->program.options[i];
  for (; *words && n < ARGS_MAX - COUNT(after) - 1; words++)
    argv[n++] = *words;
  for (size_t i = 0; i < COUNT(after); i++)
    argv[n++] = after[i];
  e = help_run(h, argv, sink, arg, errors, code);
  free(folder);
  return e;
}

/* ---- XML ---- */

struct reading {
  struct svnxml *x;
  size_t bytes;
  bool too_large;
};

static enum err sink_xml(void *arg, const char *p, size_t n)
{
  struct reading *r = arg;

  r->bytes += n;
  r->too_large = r->bytes > XML_BYTES_MAX;
  return !r->too_large && svnxml_take(r->x, p, n) ? ERR_OK : ERR_FAILED;
}

/* ERR_TOOBIG without a sentence: more than is taken. what: for the sentence, "can't read from the repository". */
static enum err run_xml(struct help *h, const char *what, const char *const *words, bool (*entry)(void *, const struct svnxml_entry *), void *arg)
{
  struct reading r = { .x = svnxml_new(entry, arg) };
  struct buf errors;
  int code;
  enum err e;

  buf_init(&errors, HELP_ERRORS_MAX);
  e = run(h, words, sink_xml, &r, &errors, &code);
  if (r.too_large)
    e = ERR_TOOBIG;
  else if (e && (h->why || svnxml_why(r.x)))
    e = help_fail(h, e, "%s: what svn wrote is no XML of its own: %s", what, svnxml_why(r.x));
  else if (e) /* `entry` had enough */
    e = h->why ? e : ERR_TOOBIG;
  else if (code)
    e = said(h, what, &errors);
  else if (!svnxml_end(r.x))
    e = help_fail(h, ERR_FAILED, "%s: what svn wrote is no XML of its own: %s", what, svnxml_why(r.x) ? svnxml_why(r.x) : "it ends too early");
  svnxml_free(r.x);
  buf_free(&errors);
  return e;
}

/* ---- places ---- */

/* A folder below the URL ("": itself) at a revision, as svn takes it: the last @ is the one before the revision. All of it has been looked at (gith_is_url_of, gith_is_branch). */
static char *place(const struct help *h, const char *below, const char *revision)
{
  size_t n = strlen(h->url);

  while (n && h->url[n - 1] == '/')
    n--;
  return xasprintf("%.*s%s%s@%s", (int)n, h->url, *below ? "/" : "", below, revision);
}

/* What a branch, or the ref of a tag, is below the URL; NULL: nothing. */
static char *below(const struct help *h, const char *branch)
{
  if (h->vcs == VCS_SVN_FOLDER)
    return strcmp(branch, TRUNK) ? NULL : xstrdup("");
  if (str_starts(branch, "refs/tags/"))
    return xasprintf(TAGS "/%s", branch + strlen("refs/tags/"));
  return str_starts(branch, "refs/") || !*branch ? NULL : xstrdup(branch);
}

struct info {
  bool folder;
  int64_t revision, changed;
  char *url, *root;
};

static bool take_info(void *arg, const struct svnxml_entry *e)
{
  struct info *i = arg;

  if (i->url)
    return false;
  *i = (struct info){ e->folder, e->revision, e->changed, xstrdup(e->url), xstrdup(e->root) };
  return true;
}

static enum err info(struct help *h, const char *where, struct info *out)
{
  enum err e;

  *out = (struct info){ 0 };
  e = run_xml(h, "can't read from the repository", (const char *const[]){ "info", "--xml", where, NULL }, take_info, out);
  if (!e && (!out->url || !*out->url || out->changed < 0 || out->revision < 0 || !str_starts(out->url, out->root)))
    e = help_fail(h, ERR_FAILED, "svn info tells no place or revision of it");
  return e == ERR_TOOBIG ? help_fail(h, e, "svn info says too much") : e;
}

static void info_free(struct info *i)
{
  free(i->url);
  free(i->root);
}

static int hex(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path of a URL below its repository's root, without its escapes: as logs write it. */
static char *prefix_of(const struct info *i)
{
  const char *s = i->url + strlen(i->root);
  char *out = xcalloc(1, strlen(s) + 1), *p = out;

  for (; *s; s++)
    if (*s == '%' && hex(s[1]) >= 0 && hex(s[2]) >= 0) {
      *p++ = (char)(hex(s[1]) << 4 | hex(s[2]));
      s += 2;
    } else {
      *p++ = *s;
    }
  while (p > out && p[-1] == '/')
    p--;
  *p = 0;
  return out;
}

/* ---- the list ---- */

static bool take_layout(void *arg, const struct svnxml_entry *e)
{
  struct help *h = arg;
  git_oid oid;

  if (!e->folder || e->changed < 0)
    return true;
  if (!strcmp(e->name, TRUNK)) {
    help_rev_of_number(e->changed, &oid);
    help_add_branch(h, TRUNK, &oid);
  }
  h->svn.branches |= !strcmp(e->name, BRANCHES);
  h->svn.tags |= !strcmp(e->name, TAGS);
  return true;
}

static bool take_branch(void *arg, const struct svnxml_entry *e)
{
  struct help *h = arg;
  char *name = xasprintf(BRANCHES "/%s", e->name);
  git_oid oid;

  if (e->folder && e->changed >= 0) {
    help_rev_of_number(e->changed, &oid);
    help_add_branch(h, name, &oid);
  }
  free(name);
  return h->nheads <= GITH_HEADS_MAX;
}

static bool take_tag(void *arg, const struct svnxml_entry *e)
{
  struct help *h = arg;
  git_oid oid;

  if (e->folder && e->changed >= 0) {
    help_rev_of_number(e->changed, &oid);
    help_add_tag(h, e->name, &oid);
  }
  return !h->tags_over;
}

static enum err list(struct help *h, const char *folder, bool (*entry)(void *, const struct svnxml_entry *))
{
  char number[MOST], *where;
  enum err e;

  snprintf(number, sizeof number, "%lld", (long long)h->svn.head);
  where = place(h, folder, number);
  e = run_xml(h, "can't list the branches", (const char *const[]){ "list", "--xml", where, NULL }, entry, h);
  free(where);
  return e == ERR_TOOBIG && !h->tags_over && !help_over(h) ? help_fail(h, e, "the list of %s is larger than %u bytes", *folder ? folder : "the folder", XML_BYTES_MAX) : e == ERR_TOOBIG && h->tags_over ? ERR_OK : e;
}

/* Where the folder itself is the branch. */
static void only_trunk(struct help *h, const struct info *i)
{
  git_oid oid;

  help_rev_of_number(i->changed, &oid);
  help_add_branch(h, TRUNK, &oid);
}

static enum err list_layout(struct help *h)
{
  enum err e = list(h, "", take_layout);

  if (!e && !h->nheads && !h->svn.branches && !h->svn.tags)
    return help_fail(h, ERR_NOTFOUND, "there is no trunk, branches or tags at that URL; where the folder itself is what is built, the project wants `layout: folder`");
  if (!e && h->svn.branches)
    e = list(h, BRANCHES, take_branch);
  if (!e && h->svn.tags && h->with_tags)
    e = list(h, TAGS, take_tag);
  return e;
}

static enum err look(struct help *h, struct info *i)
{
  char *where = place(h, "", "");
  enum err e = info(h, where, i);

  free(where);
  if (e)
    return e;
  if (!i->folder)
    return help_fail(h, ERR_BADARG, "that is a file; svn wants the URL of a folder");
  h->svn.head = i->revision;
  h->svn.prefix = prefix_of(i);
  return ERR_OK;
}

static enum err svn_list(struct help *h)
{
  struct info i;
  enum err e = look(h, &i);

  if (!e && h->vcs == VCS_SVN_FOLDER)
    only_trunk(h, &i);
  else if (!e)
    e = list_layout(h);
  info_free(&i);
  return e ? e : help_sort(h);
}

/* ---- the log ---- */

struct logged {
  int64_t revision, time_ms;
  char *author, *message;
  char **files;
  size_t nfiles;
  bool files_cut;
};

struct log {
  const struct help *h;
  char *top;              /* the branch's path in the repository, with a slash at its end */
  struct logged *v;       /* the newest first, as svn tells them */
  size_t n, max;
};

/* What is below the branch, relative to it. Of folders only what was deleted, copied or changed itself: files that come with it are told by their own paths, unless it was copied. */
static void take_files(struct logged *l, const struct log *log, const struct svnxml_entry *e)
{
  size_t top = strlen(log->top);

  l->files = xcalloc(e->npaths + 1, sizeof *l->files);
  l->files_cut = e->paths_cut;
  for (size_t i = 0; i < e->npaths; i++) {
    const struct svnxml_path *p = &e->paths[i];
    if (strncmp(p->path, log->top, top) || !p->path[top]) {
      continue;
    }
    if (p->folder && p->action == 'A' && !p->copied)
      continue;
    l->files_cut |= p->folder && p->action != 'M'; /* what is in it is not told */
    l->files[l->nfiles++] = xstrdup(p->path + top);
  }
}

static bool take_log(void *arg, const struct svnxml_entry *e)
{
  struct log *log = arg;
  struct logged *l;

  if (e->revision < 0 || log->n == log->max)
    return false;
  l = &log->v[log->n++];
  *l = (struct logged){ .revision = e->revision, .time_ms = e->time_ms, .author = xstrdup(e->author), .message = xstrdup(e->message) };
  take_files(l, log, e);
  return true;
}

static void log_free(struct log *log)
{
  for (size_t i = 0; i < log->n; i++) {
    free(log->v[i].author);
    free(log->v[i].message);
    for (size_t k = 0; k < log->v[i].nfiles; k++)
      free(log->v[i].files[k]);
    free(log->v[i].files);
  }
  log->n = 0;
}

/* What a branch was from revision `to` on, the newest `max` of it, in how it is at revision `from`. */
static enum err read_log(struct help *h, const char *folder, int64_t from, int64_t to, size_t max, struct log *log)
{
  char peg[MOST], range[2 * MOST], limit[MOST], *where;
  enum err e;

  snprintf(peg, sizeof peg, "%lld", (long long)from);
  snprintf(range, sizeof range, "%lld:%lld", (long long)from, (long long)to);
  snprintf(limit, sizeof limit, "%zu", max);
  where = place(h, folder, peg);
  *log = (struct log){ .h = h, .max = max, .v = xcalloc(max, sizeof *log->v), .top = xasprintf("%s%s%s/", h->svn.prefix, *folder ? "/" : "", folder) };
  e = run_xml(h, "can't read the log", (const char *const[]){ "log", "--xml", "--stop-on-copy", "-v", "-l", limit, "-r", range, where, NULL }, take_log, log);
  if (e == ERR_TOOBIG && !h->why) { /* a large import, say: without the files */
    log_free(log);
    e = run_xml(h, "can't read the log", (const char *const[]){ "log", "--xml", "--stop-on-copy", "-l", limit, "-r", range, where, NULL }, take_log, log);
    for (size_t i = 0; i < log->n; i++)
      log->v[i].files_cut = true;
  }
  free(where);
  return e == ERR_TOOBIG ? help_fail(h, e, "the log is larger than %u bytes", XML_BYTES_MAX) : e;
}

static void tell(struct help *h, const char *branch, const struct logged *l, int64_t previous)
{
  char revision[MOST], before[MOST] = "";
  struct help_commit c = { .revision = revision, .previous = before, .author = l->author, .message = l->message, .time_ms = l->time_ms, .files = (const char *const *)l->files, .nfiles = l->nfiles,
                           .files_cut = l->files_cut };

  snprintf(revision, sizeof revision, "%lld", (long long)l->revision);
  if (previous > 0)
    snprintf(before, sizeof before, "%lld", (long long)previous);
  help_tell(h, branch, &c);
}

/* From what the branch was known to be at; a new one from what was known of any: so what it was before it was copied is not told again. */
static int64_t known_of(const struct help *h, const struct help_head *head)
{
  const struct help_head *known = help_find(h->known, h->nknown, head->branch);
  int64_t most = 0;

  if (known)
    return help_rev_number(&known->oid);
  for (size_t i = 0; i < h->nknown; i++)
    most = help_rev_number(&h->known[i].oid) > most ? help_rev_number(&h->known[i].oid) : most;
  return most;
}

static enum err tell_branch(struct help *h, const struct help_head *head)
{
  int64_t now = help_rev_number(&head->oid), known = known_of(h, head);
  bool tip = !known || known >= now; /* nothing to compare with, or an older repository was put in its place */
  char *folder = below(h, head->branch);
  struct log log = { 0 };
  size_t max = tip ? 1 : GITH_COMMITS_MAX + 1, first;
  enum err e = read_log(h, folder, now, tip ? now : known + 1, max, &log);

  free(folder);
  if (!e && (!log.n || log.v[0].revision != now))
    e = help_fail(h, ERR_FAILED, "the log of %s does not tell revision %lld", head->branch, (long long)now);
  first = log.n > GITH_COMMITS_MAX ? GITH_COMMITS_MAX : log.n;
  h->left_out += log.n > GITH_COMMITS_MAX; /* there may be more */
  for (size_t i = first; i-- > 0 && !e;) {
    if (h->out.len > HELP_OUT_FULL && i)
      h->left_out++;
    else
      tell(h, head->branch, &log.v[i], i + 1 < log.n ? log.v[i + 1].revision : tip ? 0 : help_find(h->known, h->nknown, head->branch) ? known : 0);
  }
  log_free(&log);
  free(log.v);
  free(log.top);
  return e;
}

static enum err tell_at(struct help *h, const char *branch, const char *folder, int64_t revision)
{
  struct log log = { 0 };
  enum err e = read_log(h, folder, revision, revision, 1, &log);

  if (!e && !log.n)
    e = help_fail(h, ERR_FAILED, "the log does not tell revision %lld", (long long)revision);
  if (!e)
    tell(h, branch, &log.v[0], 0);
  log_free(&log);
  free(log.v);
  free(log.top);
  return e;
}

static enum err svn_tell_one(struct help *h, const char *tag, const git_oid *oid)
{
  char *folder = xasprintf(TAGS "/%s", tag);
  enum err e = tell_at(h, "", folder, help_rev_number(oid));

  free(folder);
  return e;
}

/* ---- a file ---- */

static enum err cat(struct help *h, const char *folder, const char *revision)
{
  char *path = xasprintf("%s%s%s", folder, *folder ? "/" : "", h->path), *where = place(h, path, revision), *text;
  struct buf bytes, errors;
  int code = 0;
  enum err e;

  buf_init(&bytes, GITH_FILE_BYTES_MAX);
  buf_init(&errors, HELP_ERRORS_MAX);
  e = run(h, (const char *const[]){ "cat", where, NULL }, help_sink_buf, &bytes, &errors, &code);
  if (e == ERR_TOOBIG) {
    e = help_fail(h, e, "%s is larger than %u bytes", h->path, GITH_FILE_BYTES_MAX);
  } else if (!e && code && (strstr(buf_str(&errors), "160013") || strstr(buf_str(&errors), "E200009"))) {
    records_put(&h->out, "found", "0");
  } else if (!e && code) {
    e = said(h, "can't read the file", &errors);
  } else if (!e) {
    text = xmalloc(2 * bytes.len + 1);
    str_hex(bytes.data, bytes.len, text);
    records_put(&h->out, "found", "1");
    records_put(&h->out, "text", text);
    free(text);
  }
  buf_free(&bytes);
  buf_free(&errors);
  free(where);
  free(path);
  return e;
}

static enum err svn_read(struct help *h)
{
  char *folder = below(h, h->branch), *where = NULL, revision[MOST];
  struct info top = { 0 }, i = { 0 };
  enum err e;

  if (!folder && h->vcs == VCS_SVN_FOLDER)
    return help_fail(h, ERR_NOTFOUND, "the repository has no branch %s: its folder is the branch " TRUNK, h->branch);
  if (!folder)
    return help_fail(h, ERR_BADARG, "a revision of Subversion says nothing without its branch");
  e = look(h, &top);
  info_free(&top);
  where = place(h, folder, *h->revision ? h->revision : "HEAD");
  if (!e && (e = info(h, where, &i)) == ERR_NOTFOUND) {
    free(h->why);
    h->why = NULL;
    e = help_fail(h, e, "the repository has no %s%s%s", *folder ? folder : "such folder", *h->revision ? " at revision " : "", h->revision);
  }
  snprintf(revision, sizeof revision, "%lld", (long long)i.changed);
  if (!e) {
    records_put(&h->out, "revision", revision);
    e = cat(h, folder, *h->revision ? h->revision : "HEAD");
  }
  if (!e)
    e = tell_at(h, str_starts(h->branch, "refs/") ? "" : h->branch, folder, i.changed);
  info_free(&i);
  free(where);
  free(folder);
  return e;
}

const struct help_kind help_svn = { svn_list, tell_branch, svn_tell_one, svn_read };
