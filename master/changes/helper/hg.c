/* Repositories of Mercurial, by the program hg. A mirror (a repository without a tree) below the mirrors folder takes in what is new; heads and commits are asked of it. It may go at any time.
   A look: bookmarks from the server, which hg does not mirror; pull; is something in the mirror that the server has no more (strip): then the mirror is made anew; named branches and tags from the mirror;
   the commits between the known heads and those that moved.
   Failures: hg has no codes, so its words say which; names that are not taken are counted, as git's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>

#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/changes/helper/helper.h"
#include "proto/records.h"

enum {
  ARGS_MAX = 24,
  KNOWN_MOST = 1000, /* heads that one question names: a command line has an end */
  LINE_MAX_BYTES = 8 << 20,
  NAMES_BYTES_MAX = 16 << 20,
  PROBE_MAX = 256,
};

static const struct help_words known_words[] = {
  { "HTTP Error 401", ERR_DENIED, HELP_ASKED },
  { "authorization failed", ERR_DENIED, HELP_ASKED },
  { "authorization required", ERR_DENIED, HELP_ASKED },
  { "HTTP Error 403", ERR_DENIED, "the server refuses access" },
  { "HTTP Error 404", ERR_NOTFOUND, "no such repository" },
  { "HTTP Error 5", ERR_AWAY, NULL },
  { "does not appear to be an hg repository", ERR_NOTFOUND, "what is there is no repository of Mercurial" },
  { "not found", ERR_NOTFOUND, NULL },
  { "ambiguous", ERR_BADARG, NULL },
  { "No space left", ERR_NOSPACE, NULL },
  { "certificate", ERR_DENIED, NULL },
  { "error: ", ERR_AWAY, NULL }, /* of the network */
  { "stream ended unexpectedly", ERR_AWAY, NULL },
};

static enum err said(struct help *h, const char *what, struct buf *errors)
{
  const char *text = buf_str(errors);
  const struct help_words *w = help_words_in(text, known_words, COUNT(known_words));
  enum err e;

  return help_ssh_said(h, what, text, &e) ? e : help_words_fail(h, what, w, help_said(errors));
}

/* Runs hg with these words (NULL-ended); settings of user and host are out by its environment (run.c). in_mirror: on the mirror. */
static enum err run(struct help *h, bool in_mirror, const char *const *words, help_sink *sink, void *arg, struct buf *errors, int *code)
{
  char *mirror = help_mirror_path(h);
  const char *argv[ARGS_MAX] = { "hg", "--noninteractive", "--config", "ui.timeout=10" };
  size_t n = 4;
  enum err e;

  for (int i = 0; i < h->program.noptions; i++)
    argv[n++] = h->program.options[i];
  if (in_mirror) {
    argv[n++] = "-R";
    argv[n++] = mirror;
  }
  for (; *words && n < ARGS_MAX - 1; words++)
    argv[n++] = *words;
  e = help_run(h, argv, sink, arg, errors, code);
  free(mirror);
  return e;
}

/* ---- lines ---- */

struct lines {
  struct help *h;
  void (*line)(struct help *h, char *line, void *arg);
  void *arg;
  struct buf rest;
  size_t bytes, max;
};

static enum err sink_lines(void *arg, const char *p, size_t n)
{
  struct lines *l = arg;
  const char *end;

  l->bytes += n;
  if (l->bytes > l->max)
    return ERR_TOOBIG;
  while ((end = memchr(p, '\n', n))) {
    buf_add(&l->rest, p, (size_t)(end - p));
    if (l->rest.failed)
      return ERR_TOOBIG;
    l->line(l->h, (char *)(uintptr_t)buf_str(&l->rest), l->arg);
    buf_reset(&l->rest);
    n -= (size_t)(end + 1 - p);
    p = end + 1;
  }
  buf_add(&l->rest, p, n);
  return l->rest.failed ? ERR_TOOBIG : ERR_OK;
}

/* Each line that hg writes to `line`. ERR_TOOBIG without a sentence: more than is taken. A question to the mirror that fails without a network in it means that the mirror is broken. */
static enum err run_lines(struct help *h, const char *what, bool in_mirror, const char *const *words, void (*line)(struct help *, char *, void *), void *arg)
{
  struct lines l = { .h = h, .line = line, .arg = arg, .max = NAMES_BYTES_MAX };
  struct buf errors;
  int code = 0;
  enum err e;

  buf_init(&l.rest, LINE_MAX_BYTES);
  buf_init(&errors, HELP_ERRORS_MAX);
  e = run(h, in_mirror, words, sink_lines, &l, &errors, &code);
  if (!e && code > 1) {
    e = said(h, what, &errors);
    h->broken = in_mirror && !h->fresh && e == ERR_FAILED;
  }
  buf_free(&l.rest);
  buf_free(&errors);
  return e;
}

/* "HEX NAME" or "NAME\tHEX", of either order: the one that is 40 digits. */
static bool take_name(struct help *h, char *line, char between, bool hex_first, char **name, git_oid *oid)
{
  char *at = hex_first ? strchr(line, between) : strrchr(line, between), *hex;

  if (!at)
    return false;
  *at++ = 0;
  hex = hex_first ? line : at;
  *name = hex_first ? at : line;
  return help_rev_read(h, hex, oid);
}

static struct help_head *find(struct help *h, const char *name)
{
  for (size_t i = 0; i < h->nheads; i++)
    if (!strcmp(h->heads[i].branch, name))
      return &h->heads[i];
  return NULL;
}

static void on_branch(struct help *h, char *line, void *arg)
{
  char *name;
  git_oid oid;

  (void)arg;
  if (take_name(h, line, ' ', true, &name, &oid) && !find(h, name)) /* of one name the bookmark counts */
    help_add_branch(h, name, &oid);
}

static void on_bookmark(struct help *h, char *line, void *arg)
{
  char *name;
  git_oid oid;

  (void)arg;
  if (take_name(h, line, '\t', false, &name, &oid))
    help_add_branch(h, name, &oid);
}

static void on_tag(struct help *h, char *line, void *arg)
{
  char *name;
  git_oid oid;

  (void)arg;
  if (take_name(h, line, ' ', true, &name, &oid) && strcmp(name, "tip"))
    help_add_tag(h, name, &oid);
}

static void on_any(struct help *h, char *line, void *arg)
{
  (void)h;
  *(bool *)arg |= *line != 0;
}

/* ---- the mirror ---- */

static enum err init(struct help *h)
{
  char *mirror = help_mirror_path(h), *store = xasprintf("%s/.hg/requires", mirror);
  FILE *there = fopen(store, "r");
  struct buf errors;
  int code = 0;
  enum err e = ERR_OK;

  buf_init(&errors, HELP_ERRORS_MAX);
  if (there) {
    fclose(there);
  } else {
    h->fresh = true;
    e = run(h, false, (const char *const[]){ "init", "--", mirror, NULL }, help_sink_none, NULL, &errors, &code);
    if (!e && code) {
      e = said(h, "can't make the mirror", &errors);
      h->broken = strstr(buf_str(&errors), "already exists") != NULL; /* half of one */
    }
  }
  buf_free(&errors);
  free(store);
  free(mirror);
  return e;
}

/* With --debug it says each thing that it takes in, which is a sign of life. What a killed one has left is put right, or the mirror is made anew. */
static enum err pull(struct help *h)
{
  struct buf errors;
  int code = 0;
  enum err e = init(h);

  if (e)
    return e;
  buf_init(&errors, HELP_ERRORS_MAX);
  e = run(h, true, (const char *const[]){ "pull", "--debug", "--", h->url, NULL }, help_sink_none, NULL, &errors, &code);
  if (!e && code) {
    h->broken = !h->fresh && (strstr(buf_str(&errors), "hg recover") || strstr(buf_str(&errors), "integrity") || strstr(buf_str(&errors), "00changelog"));
    e = h->broken ? help_fail(h, ERR_FAILED, "the mirror is damaged: %s", help_said(&errors)) : said(h, "can't read from the repository", &errors);
  }
  buf_free(&errors);
  return e;
}

/* What the server has taken out of its history (strip, or another repository in its place) must not count here either. */
static enum err check_strip(struct help *h)
{
  bool more = false;
  enum err e;

  if (h->fresh)
    return ERR_OK;
  e = run_lines(h, "can't read from the repository", true, (const char *const[]){ "outgoing", "--quiet", "--limit", "1", "--template", "{node}\\n", "--", h->url, NULL }, on_any, &more);
  if (e || !more)
    return e;
  h->broken = true;
  return help_fail(h, ERR_FAILED, "the repository has lost revisions");
}

static enum err too_large(struct help *h, enum err e, const char *what)
{
  return e == ERR_TOOBIG && !h->why ? help_fail(h, e, "%s larger than %d bytes", what, NAMES_BYTES_MAX) : e;
}

/* Bookmarks before the pull: so what they point to is here then, and no head is told without its commits. */
static enum err hg_list(struct help *h)
{
  enum err e = run_lines(h, "can't read from the repository", false, (const char *const[]){ "debugpushkey", "--", h->url, "bookmarks", NULL }, on_bookmark, NULL);

  if (!e)
    e = pull(h);
  if (!e)
    e = check_strip(h);
  if (!e)
    e = run_lines(h, "can't list the branches", true, (const char *const[]){ "branches", "--template", "{node} {branch}\\n", NULL }, on_branch, NULL);
  if (!e && h->with_tags)
    e = run_lines(h, "can't list the tags", true, (const char *const[]){ "tags", "--template", "{node} {tag}\\n", NULL }, on_tag, NULL);
  return e ? too_large(h, e, "the lists of names are") : help_sort(h);
}

/* ---- commits ---- */

#define TEMPLATE(files) "{dict(n=node,p=p1node,a=author,d=date,m=desc" files ")|json}\\n"
#define NO_PARENT "0000000000000000000000000000000000000000"

struct log {
  cJSON **v;
  size_t n, max;
  bool strange; /* a line was none of ours */
};

/* Bytes that are no UTF-8 are halves of a pair in hg's JSON, which no reader takes: U+FFFD instead. */
static void mend(char *s)
{
  for (; *s; s++) {
    if (*s != '\\')
      continue;
    if (s[1] != 'u') {
      s += s[1] != 0;
    } else if ((s[2] == 'd' || s[2] == 'D') && strchr("89abAB", s[3]) && s[6] == '\\' && s[7] == 'u' && (s[8] == 'd' || s[8] == 'D') && strchr("cdefCDEF", s[9])) {
      s += 11; /* a whole pair */
    } else if ((s[2] == 'd' || s[2] == 'D') && s[3] && strchr("89abcdefABCDEF", s[3])) {
      memcpy(s + 2, "fffd", 4);
      s += 5;
    }
  }
}

static void on_commit(struct help *h, char *line, void *arg)
{
  struct log *log = arg;
  cJSON *o;

  (void)h;
  if (log->n == log->max)
    return;
  mend(line);
  o = cJSON_Parse(line);
  if (cJSON_IsObject(o)) {
    log->v[log->n++] = o;
  } else {
    log->strange = true;
    cJSON_Delete(o);
  }
}

static void log_free(struct log *log)
{
  for (size_t i = 0; i < log->n; i++)
    cJSON_Delete(log->v[i]);
  free(log->v);
  *log = (struct log){ 0 };
}

/* Commits of a set, oldest first. Where they are too large to be told with their files: without these. */
static enum err read_log(struct help *h, const char *set, size_t max, struct log *log, bool *files)
{
  enum err e = ERR_TOOBIG;

  for (int with = 1; with >= 0 && e == ERR_TOOBIG; with--) {
    log_free(log);
    *log = (struct log){ .v = xcalloc(max, sizeof *log->v), .max = max };
    *files = with;
    e = run_lines(h, "can't read the log", true, (const char *const[]){ "log", "--rev", set, "--template", with ? TEMPLATE(",f=files") : TEMPLATE(""), NULL }, on_commit, log);
  }
  if (!e && log->strange)
    e = help_fail(h, ERR_FAILED, "hg wrote what is no log");
  return too_large(h, e, "the log is");
}

static const char *text(const cJSON *o, const char *key)
{
  const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));

  return s ? s : "";
}

static enum err tell(struct help *h, const char *branch, const cJSON *o, bool with_files)
{
  const cJSON *files = cJSON_GetObjectItemCaseSensitive(o, "f"), *date = cJSON_GetObjectItemCaseSensitive(o, "d"), *it;
  double s = cJSON_GetNumberValue(cJSON_GetArrayItem(date, 0));
  struct help_commit c = { .revision = text(o, "n"), .previous = text(o, "p"), .author = text(o, "a"), .message = text(o, "m"), .files_cut = !with_files };
  const char **v = xcalloc((size_t)cJSON_GetArraySize(files) + 1, sizeof *v);

  if (!gith_is_full(VCS_HG, c.revision) || (*c.previous && !gith_is_full(VCS_HG, c.previous))) {
    free(v);
    return help_fail(h, ERR_FAILED, "hg wrote what is no log");
  }
  if (!strcmp(c.previous, NO_PARENT))
    c.previous = "";
  c.time_ms = s > 0 && s < 253402300799.0 ? (int64_t)s * 1000 : 0; /* to the end of the year 9999 */
  cJSON_ArrayForEach(it, files)
    if (cJSON_IsString(it))
      v[c.nfiles++] = it->valuestring;
  c.files = v;
  help_tell(h, branch, &c);
  free(v);
  return ERR_OK;
}

/* "id(…)" of what is known: of the branch itself, then of others. What is not in the mirror is nothing, for hg too. "": nothing is known. */
static void put_known(struct help *h, const char *branch, struct buf *out)
{
  const struct help_head *own = help_find(h->known, h->nknown, branch);
  char rev[HELP_REV_MAX];

  if (own)
    buf_addf(out, "id(%s)", help_rev(h, &own->oid, rev));
  for (size_t i = 0; i < h->nknown && i < KNOWN_MOST; i++)
    if (&h->known[i] != own)
      buf_addf(out, "%sid(%s)", out->len ? "+" : "", help_rev(h, &h->known[i].oid, rev));
}

static enum err tell_branch(struct help *h, const struct help_head *head)
{
  char rev[HELP_REV_MAX], *set;
  struct log log = { 0 };
  struct buf known;
  bool some = false, files = true;
  enum err e = ERR_OK;

  buf_init(&known, BUF_NO_MAX);
  put_known(h, head->branch, &known);
  if (known.len)
    e = run_lines(h, "can't read the log", true, (const char *const[]){ "log", "--rev", buf_str(&known), "--limit", "1", "--template", "{node}\\n", NULL }, on_any, &some);
  if (some)
    set = xasprintf("sort(last(only(id(%s), %s), %d), rev)", help_rev(h, &head->oid, rev), buf_str(&known), GITH_COMMITS_MAX + 1);
  else /* nothing to compare with: all would be new */
    set = xasprintf("id(%s)", help_rev(h, &head->oid, rev));
  if (!e)
    e = read_log(h, set, GITH_COMMITS_MAX + 1, &log, &files);
  h->left_out += log.n > GITH_COMMITS_MAX; /* there may be more */
  for (size_t i = log.n > GITH_COMMITS_MAX; i < log.n && !e; i++) {
    if (h->out.len > HELP_OUT_FULL && i + 1 < log.n)
      h->left_out++;
    else
      e = tell(h, head->branch, log.v[i], files);
  }
  log_free(&log);
  buf_free(&known);
  free(set);
  return e;
}

/* One commit by what was said of it; *found: its 40 digits, or "". */
static enum err tell_at(struct help *h, const char *branch, const char *revision, bool silent, char found[HELP_REV_MAX])
{
  char set[PROBE_MAX];
  struct log log = { 0 };
  bool files;
  enum err e;

  snprintf(set, sizeof set, "id(%s)", revision);
  e = read_log(h, set, 1, &log, &files);
  snprintf(found, HELP_REV_MAX, "%s", !e && log.n ? text(log.v[0], "n") : "");
  if (!e && log.n && !silent)
    e = tell(h, branch, log.v[0], files);
  log_free(&log);
  return e;
}

static enum err hg_tell_one(struct help *h, const char *tag, const git_oid *oid)
{
  char rev[HELP_REV_MAX], found[HELP_REV_MAX];
  enum err e = tell_at(h, "", help_rev(h, oid, rev), false, found);

  return e || *found ? e : help_fail(h, ERR_FAILED, "tag %s is at a revision that the repository does not have", tag);
}

/* ---- a file ---- */

static enum err cat(struct help *h, const char *revision)
{
  char set[PROBE_MAX], *path = xasprintf("path:%s", h->path), *hex;
  struct buf bytes, errors;
  int code = 0;
  enum err e;

  snprintf(set, sizeof set, "id(%s)", revision);
  buf_init(&bytes, GITH_FILE_BYTES_MAX);
  buf_init(&errors, HELP_ERRORS_MAX);
  e = run(h, true, (const char *const[]){ "cat", "--rev", set, "--", path, NULL }, help_sink_buf, &bytes, &errors, &code);
  if (e == ERR_TOOBIG) {
    e = help_fail(h, e, "%s is larger than %u bytes", h->path, GITH_FILE_BYTES_MAX);
  } else if (!e && code == 1) {
    records_put(&h->out, "found", "0");
  } else if (!e && code) {
    e = said(h, "can't read the file", &errors);
  } else if (!e) {
    hex = xmalloc(2 * bytes.len + 1);
    str_hex(bytes.data, bytes.len, hex);
    records_put(&h->out, "found", "1");
    records_put(&h->out, "text", hex);
    free(hex);
  }
  buf_free(&bytes);
  buf_free(&errors);
  free(path);
  return e;
}

/* Of a revision that the mirror has nobody is asked. */
static enum err find_revision(struct help *h, char found[HELP_REV_MAX])
{
  const struct help_head *head;
  enum err e = init(h);

  *found = 0;
  if (!e && *h->revision && !h->fresh)
    e = tell_at(h, h->branch, h->revision, true, found);
  if (e || *found)
    return e;
  if (*h->revision) {
    e = pull(h);
    if (!e)
      e = tell_at(h, h->branch, h->revision, true, found);
    return e || *found ? e : help_fail(h, ERR_NOTFOUND, "the repository has no revision %s", h->revision);
  }
  e = hg_list(h);
  head = e ? NULL : help_find(h->heads, h->nheads, h->branch);
  if (head)
    help_rev(h, &head->oid, found);
  return e || head ? e : help_fail(h, ERR_NOTFOUND, "the repository has no branch %s", h->branch);
}

static enum err hg_read(struct help *h)
{
  char revision[HELP_REV_MAX], same[HELP_REV_MAX];
  enum err e = find_revision(h, revision);

  if (e)
    return e;
  records_put(&h->out, "revision", revision);
  e = cat(h, revision);
  return e ? e : tell_at(h, str_starts(h->branch, "refs/") ? "" : h->branch, revision, false, same);
}

const struct help_kind help_hg = { hg_list, tell_branch, hg_tell_one, hg_read };
