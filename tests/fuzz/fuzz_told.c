/* What the master is told by workers and by its git helper, who have spoken to strangers: arbitrary bytes as a report, a listing, a worker's facts, a look at a repository, what another master has kept of a log, by the first
   byte. What is taken is within its limits and fit for the database, and told again it is the same. */
#include "tests/fuzz/fuzz.h"

#include <cjson/cJSON.h>
#include <string.h>

#include "common/buf.h"
#include "common/str.h"
#include "common/utf8.h"
#include "master/changes/gitresult.h"
#include "master/changes/gitwire.h"
#include "master/logs/warn.h"
#include "master/steps/listing.h"
#include "master/steps/report.h"
#include "master/steps/step.h"
#include "master/workers/told.h"
#include "proto/records.h"

#define HEX40 "0123456789abcdef0123456789abcdef01234567"

static void check_text(const char *s, size_t most)
{
  must(strlen(s) <= most && utf8_valid(s, strlen(s)));
}

static void check_line(const char *s, size_t most)
{
  check_text(s, most);
  for (; *s; s++)
    must((unsigned char)*s >= ' ' && *s != 127);
}

/* ---- a report ---- */

static void check_properties(const struct report *r)
{
  cJSON *own = cJSON_Parse(r->properties), *all = cJSON_Parse(r->all), *it;

  must(cJSON_IsObject(own) && cJSON_IsObject(all) && cJSON_GetArraySize(own) >= 1 && cJSON_GetArraySize(own) <= REPORT_PROPERTIES_MAX);
  must(strlen(r->all) <= REPORT_BUILD_MAX);
  cJSON_ArrayForEach(it, own) {
    char *value = cJSON_PrintUnformatted(it);
    must(strlen(it->string) <= REPORT_NAME_MAX && strcmp(it->string, "got_revision") && strcmp(it->string, "got_revisions"));
    must(strlen(value) <= REPORT_VALUE_MAX && cJSON_Compare(it, cJSON_GetObjectItemCaseSensitive(all, it->string), true));
    check_text(value, REPORT_VALUE_MAX);
    free(value);
  }
  cJSON_Delete(own);
  cJSON_Delete(all);
}

/* A list of objects: lines of the strings at a, b and perhaps c, with blanks between. */
static void put_lines(struct buf *out, const char *key, const char *json, int most, const char *a, const char *b, const char *c)
{
  cJSON *list = cJSON_Parse(json), *it;
  struct buf lines;

  must(cJSON_IsArray(list) && cJSON_GetArraySize(list) >= 1 && cJSON_GetArraySize(list) <= most);
  buf_init(&lines, BUF_NO_MAX);
  cJSON_ArrayForEach(it, list) {
    const char *x = cJSON_GetStringValue(cJSON_GetObjectItem(it, a)), *y = cJSON_GetStringValue(cJSON_GetObjectItem(it, b)), *z = c ? cJSON_GetStringValue(cJSON_GetObjectItem(it, c)) : "";
    must(x && y && z);
    check_line(x, REPORT_VALUE_MAX);
    check_line(y, REPORT_VALUE_MAX);
    buf_addf(&lines, *z ? "%s %s %s\n" : "%s %s\n", x, y, z);
  }
  records_put(out, key, buf_str(&lines));
  buf_free(&lines);
  cJSON_Delete(list);
}

static void report(const char *p, size_t n)
{
  static struct build_stamp stamps[] = { { .vcs = VCS_GIT, .codebase = "core", .branch = "main", .revision = HEX40 }, { .vcs = VCS_SVN, .codebase = "manual", .branch = "trunk", .revision = "1" } };
  static struct build_ctx c = { .stamps = stamps, .nstamps = COUNT(stamps), .reported = "{\"a\":1,\"b\":[\"x\"]}" };
  struct report r, again;
  struct buf b;

  report_parse(p, n, &c, &r);
  buf_init(&b, BUF_NO_MAX);
  must(!r.properties == !r.all);
  must(!r.trouble || !(r.properties || r.stamps || r.links || r.summary || r.nodes));
  if (r.trouble)
    check_line(r.trouble, REPORT_TROUBLE_MAX);
  if (r.properties)
    check_properties(&r), records_put(&b, "properties_json", r.properties);
  if (r.summary)
    check_line(r.summary, REPORT_SUMMARY_MAX), records_put(&b, "summary", r.summary);
  if (r.links)
    put_lines(&b, "links", r.links, REPORT_LINKS_MAX, "name", "url", NULL);
  if (r.stamps)
    put_lines(&b, "stamps", r.stamps, REPORT_STAMPS_MAX, "codebase", "revision", "branch");
  if (r.nodes)
    records_put(&b, "nodes", r.nodes);
  must(!r.nodes || r.has_nodes);
  if (!r.trouble) {
    report_parse(buf_str(&b), b.len, &c, &again);
    must(str_eq(r.properties, again.properties) && str_eq(r.all, again.all) && str_eq(r.summary, again.summary) && str_eq(r.links, again.links) && str_eq(r.stamps, again.stamps) && str_eq(r.nodes, again.nodes) && !again.trouble);
    report_free(&again);
  }
  buf_free(&b);
  report_free(&r);
}

/* ---- a listing ---- */

static void listing(const char *p, size_t n)
{
  static const char *const types[] = { "file", "dir", "link", "other" };
  struct listing_entry e;
  struct buf b;
  size_t at = 0;
  enum err end;

  buf_init(&b, BUF_NO_MAX);
  while (!(end = listing_next(p, n, &at, &e))) {
    must(*e.name && !strchr(e.name, '/') && strcmp(e.name, ".") && strcmp(e.name, "..") && e.size >= 0 && e.mode <= 07777 && e.mtime >= 0);
    records_put(&b, "name", e.name);
    records_put(&b, "type", types[e.type]);
    records_putf(&b, "size", "%lld", (long long)e.size);
    records_putf(&b, "mode", "%04o", e.mode);
    records_putf(&b, "mtime", "%lld", (long long)e.mtime);
    must(!b.failed);
  }
  must(end == ERR_SYNTAX || at == n);
  for (size_t from = 0, to = 0; to < b.len;) { /* what was written is as long as what was read, but for a mode's zeros */
    must(!listing_next(b.data, b.len, &to, &e) && to > from);
    from = to;
  }
  buf_free(&b);
}

/* ---- a worker's facts ---- */

static void facts(const char *p, size_t n)
{
  char *json = told_json(p, n, "run"), *other;
  struct told t, again;
  cJSON *o = cJSON_Parse(json);

  must(cJSON_IsObject(o) && !cJSON_GetObjectItemCaseSensitive(o, "secret") && !cJSON_GetObjectItemCaseSensitive(o, "key") && !cJSON_GetObjectItemCaseSensitive(o, "machine"));
  cJSON_Delete(o);
  check_line(json, strlen(json));
  told_read(&t, p, n);
  check_line(t.release, TOLD_TEXT_MAX - 1);
  check_line(t.host, TOLD_TEXT_MAX - 1);
  must(t.cores >= -1 && t.cores <= TOLD_CORES_MAX && t.memory >= -1 && strlen(t.os) < WORKER_WORD_MAX && strlen(t.arch) < WORKER_WORD_MAX);
  told_read_json(&again, json);
  must(!strcmp(t.os, again.os) && !strcmp(t.arch, again.arch) && !strcmp(t.kind, again.kind) && !strcmp(t.version, again.version) && !strcmp(t.started, again.started));
  must(!strcmp(t.release, again.release) && !strcmp(t.host, again.host) && t.cores == again.cores && t.memory == again.memory);
  other = told_json(p, n, NULL);
  must(strlen(other) < strlen(json));
  free(json);
  free(other);
}

/* ---- a repository ---- */

static void put_commit(struct buf *b, const struct gith_commit *c)
{
  records_put(b, "commit", c->revision);
  records_put(b, "branch", c->branch);
  records_put(b, "previous", c->previous);
  records_put(b, "author", c->author);
  records_put(b, "committer", c->committer);
  records_putf(b, "time", "%lld", (long long)c->author_ms);
  records_put(b, "message", c->message);
  if (c->tag)
    records_put(b, "of_tag", c->tag);
  for (int i = 0; i < c->nfiles; i++)
    records_put(b, "file", c->files[i]);
  if (c->files_cut)
    records_put(b, "cut", "1");
}

static void put_look(struct buf *b, const struct gith_result *r)
{
  char *hex = xmalloc(r->text_len * 2 + 1);

  buf_init(b, BUF_NO_MAX);
  for (int i = 0; i < r->nheads; i++)
    records_putf(b, "head", "%s %s", r->heads[i].revision, r->heads[i].branch);
  for (int i = 0; i < r->ntags; i++)
    records_putf(b, "tag", "%s %s", r->tags[i].revision, r->tags[i].branch);
  if (r->tags_more)
    records_put(b, "tags_more", "1");
  if (r->tags_over)
    records_put(b, "tags_over", "1");
  records_putf(b, "ignored", "%d", r->ignored);
  records_putf(b, "left_out", "%d", r->left_out);
  if (r->revision)
    records_put(b, "revision", r->revision);
  records_put(b, "found", r->found ? "1" : "0");
  if (r->text) {
    str_hex(r->text, r->text_len, hex);
    records_put(b, "text", hex);
  }
  for (int i = 0; i < r->ncommits; i++)
    put_commit(b, &r->commits[i]);
  records_put(b, "err", gitw_err_tag(r->err));
  if (r->why)
    records_put(b, "why", r->why);
  records_put(b, "end", "1");
  must(!b->failed);
  free(hex);
}

static void check_look(enum vcs vcs, const struct gith_result *r)
{
  must(r->nheads <= GITH_HEADS_MAX && r->ntags <= GITH_HEADS_MAX && r->ignored >= 0 && r->left_out >= 0);
  for (int i = 0; i < r->nheads; i++)
    must(gith_is_full(vcs, r->heads[i].revision) && gith_is_branch(r->heads[i].branch));
  for (int i = 1; i < r->ntags; i++)
    must(strcmp(r->tags[i - 1].branch, r->tags[i].branch) < 0);
  for (int i = 0; i < r->ncommits; i++) {
    const struct gith_commit *c = &r->commits[i];
    must(gith_is_full(vcs, c->revision) && (!*c->previous || gith_is_full(vcs, c->previous)) && (!*c->branch || gith_is_branch(c->branch)) && (!c->tag || gith_is_branch(c->tag)));
    must(c->nfiles <= GITH_FILES_MAX && c->author_ms >= 0);
    check_text(c->message, GITW_MESSAGE_MAX);
    check_text(c->author, strlen(c->author));
    check_text(c->committer, strlen(c->committer));
    for (int k = 0; k < c->nfiles; k++)
      check_text(c->files[k], strlen(c->files[k]));
  }
}

static void look(enum vcs vcs, const char *p, size_t n)
{
  struct gith_result r, s;
  struct buf b, first, second;

  buf_init(&b, BUF_NO_MAX);
  buf_add(&b, p, n);
  if (gitres_parse(&r, vcs, &b)) {
    check_look(vcs, &r);
    put_look(&first, &r);
    buf_free(&b);
    buf_init(&b, BUF_NO_MAX);
    buf_add(&b, first.data, first.len); /* as long as the result that is made of it */
    gitres_free(&r);
    must(gitres_parse(&s, vcs, &b));
    put_look(&second, &s);
    must(first.len == second.len && !memcmp(first.data, second.data, first.len));
    gitres_free(&s);
    buf_free(&first);
    buf_free(&second);
  } else {
    must(r.err == ERR_FAILED && r.why && *r.why);
    gitres_free(&r);
  }
  buf_free(&b);
}

/* ---- what another master has kept ---- */

static void kept(const char *p, size_t n)
{
  struct warn *w = warn_new("a", true), *v = warn_new("a", true);
  struct buf first, second;

  buf_init(&first, BUF_NO_MAX);
  buf_init(&second, BUF_NO_MAX);
  warn_resume(w, 7, p, n);
  warn_keep(w, &first);
  warn_resume(v, 7, first.data, first.len);
  warn_keep(v, &second);
  must(first.len == second.len && !memcmp(first.data, second.data, first.len));
  must(warn_count(w) == 7 && warn_count_at_end(w) == warn_count_at_end(v) && warn_count(w) <= 7 + WARN_CHANNELS);
  warn_free(w);
  warn_free(v);
  buf_free(&first);
  buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  char *copy;

  if (!n)
    return 0;
  copy = xmemdup(p + 1, n - 1);
  switch (*p % 5) {
  case 0: report(copy, n - 1); break;
  case 1: listing(copy, n - 1); break;
  case 2: facts(copy, n - 1); break;
  case 3: look((enum vcs)(*p / 5 % VCS_COUNT), copy, n - 1); break;
  case 4: kept(copy, n - 1); break;
  }
  free(copy);
  return 0;
}
