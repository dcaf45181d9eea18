/* Any bytes as a .drover.yml and as a site's file: no crash, a position with each error, and what is written reads back the same. */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/pipe_explain.h"
#include "master/conf/pipeline.h"
#include "master/conf/schema.h"
#include "master/conf/zone.h"

static void check_diags(struct diags *d)
{
  struct buf b;

  for (int i = 0; i < d->n; i++) {
    uint32_t c;
    const char *s = d->v[i].source;
    assert(d->v[i].line > 0 && d->v[i].column > 0);
    for (size_t at = 0, n = s ? strlen(s) : 0, len; at < n; at += len) {
      len = str_utf8(s + at, n - at, &c);
      assert(len && c >= 0x20);
    }
  }
  buf_init(&b, BUF_NO_MAX);
  diag_sort(d);
  diag_print(d, &b);
  assert((d->n == 0) == (b.len == 0));
  buf_free(&b);
  diag_free(d);
}

/* Written out, read and written again: the same. */
static void check_written(const struct yml_doc *doc)
{
  struct buf first, second;
  struct diags d;
  struct yml_doc *again;

  buf_init(&first, YML_TEXT_MAX);
  buf_init(&second, YML_TEXT_MAX);
  diag_init(&d);
  yml_write(doc->root, NULL, &first);
  if (!first.failed) {
    again = yml_parse("again", buf_str(&first), first.len, &d);
    assert(again && again->root->size == doc->root->size);
    yml_write(again->root, NULL, &second);
    assert(!strcmp(buf_str(&first), buf_str(&second)));
    yml_drop(again);
  }
  buf_free(&first);
  buf_free(&second);
}

static void check_scheduler(const struct pipeline *p, const struct pipe_scheduler *s)
{
  struct buf json, why;

  assert(s->trigger < PIPE_TRIGGERS && pipeline_scheduler(p, s->name) == s && s->nbuilders > 0);
  assert(s->stable_ms >= 0 && s->priority >= 0 && s->priority <= 100 && (s->trigger != PIPE_ON_TAG || s->nbranches > 0));
  assert((!s->stable_ms || s->trigger == PIPE_ON_CHANGE) && (!s->supersede || s->trigger == PIPE_ON_CHANGE || s->trigger == PIPE_ON_PULL));
  for (int k = 0; k < s->nbuilders; k++)
    assert(pipeline_builder(p, s->builders[k]));
  if (s->trigger == PIPE_ON_EVERY)
    assert(s->every_ms >= 1000);
  if (s->trigger == PIPE_ON_CRON) {
    int64_t at = cron_next(&s->cron, s->zone, 1700000000);
    assert(zone_exists(s->zone) && (at == CRON_NEVER || at > 1700000000));
  }
  buf_init(&json, BUF_NO_MAX);
  buf_init(&why, BUF_NO_MAX);
  for (int i = 0; i < s->nparams; i++)
    assert(!s->params[i].fallback || param_read(&s->params[i], s->params[i].fallback, &json, &why));
  buf_free(&json);
  buf_free(&why);
}

static void check_explained(const struct pipeline *p, const struct pipe_builder *b)
{
  struct explain x = explain_builder(p, b);

  assert(x.n > 0);
  for (int i = 0; i < x.n; i++)
    assert(x.v[i].key && x.v[i].value && !strchr(x.v[i].value, '\n') && (!x.v[i].file || x.v[i].line > 0));
  explain_free(&x);
}

/* What others rely on. */
static void check_pipeline(const struct pipeline *p)
{
  int steps = 0;

  assert(p->nbuilders <= PIPELINE_BUILDERS_MAX);
  for (int i = 0; i < p->nbuilders; i++) {
    const struct pipe_builder *b = &p->builders[i], *all;
    int n;
    assert(pipeline_builder(p, b->name) == b && b->nsteps > 0);
    assert(pipeline_is_builder(b->name, strlen(b->name)) && str_starts(b->name, b->base));
    all = pipeline_named(p, b->base, &n);
    assert(all <= b && b < all + n && (b->naxes ? n <= PIPELINE_COMBINATIONS_MAX : n == 1));
    for (int a = 0; a < b->naxes; a++)
      assert(strstr(b->name, b->axes[a].value));
    steps += b->nsteps;
    for (int k = 0; k < b->nsteps; k++) {
      const struct pipe_step *s = &b->steps[k];
      assert(strlen(s->name) > 0 && strlen(s->name) <= 64 && s->total_ms >= 0 && s->idle_ms >= 0);
      assert(s->kind == PIPE_CHECKOUT ? !s->script && !s->argv : !s->script != !s->argv);
    }
  }
  assert(steps <= PIPELINE_STEPS_MAX);
  check_explained(p, &p->builders[0]);
  for (int i = 0; i < p->nschedulers; i++)
    check_scheduler(p, &p->schedulers[i]);
}

/* The pipelines that a site's file gives its projects. */
static void check_projects(struct yml_doc *doc, struct diags *d)
{
  const struct yml_node *projects = yml_get(doc->root, "projects");

  for (int i = 0; projects && projects->kind == YML_MAP && i < projects->n; i++) {
    const struct yml_node *it = projects->items[i];
    struct pipeline *p;
    if (!yml_get(it, "steps") && !yml_get(it, "builders"))
      continue;
    p = pipeline_from(doc, it, projects->keys[i]->text, d);
    assert(!p == (diag_count(d) > 0));
    if (p)
      check_pipeline(p);
    pipeline_free(p);
  }
}

/* As what a build reports: on a pipeline that it may need and use, and on itself. */
static void check_reported(const unsigned char *data, size_t size)
{
  static const char base[] = "templates: {t: {parameters: {x: {type: string, default: a}}, steps: [{run: [a, \"${{ x }}\"]}]}}\nbuilders: {gen: {steps: [a]}, a: {matrix: {N: [1, 2]}, steps: [b]}}\n";
  struct diags d;
  struct pipeline *p, *q;

  diag_init(&d);
  p = pipeline_parse("f", base, sizeof base - 1, "project", &d);
  assert(p);
  q = pipeline_extend(p, (const char *)data, size, "gen", &d);
  assert(!q == (diag_count(&d) > 0));
  if (q) {
    check_pipeline(q);
    assert(q->nown == p->nbuilders && q->nbuilders > q->nown);
    assert(!pipeline_extend(q, (const char *)data, size, "gen", &d)); /* each name is there */
  }
  pipeline_free(q);
  pipeline_free(p);
  check_diags(&d);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
  struct diags d;
  struct yml_doc *doc;
  struct pipeline *p;

  diag_init(&d);
  doc = yml_parse("f", (const char *)data, size, &d);
  assert(!doc == (diag_count(&d) > 0));
  if (doc) {
    check_written(doc);
    schema_check(doc, SCHEMA_SITE, &d);
    if (!diag_count(&d))
      check_projects(doc, &d);
    schema_check(doc, SCHEMA_CONFD, &d);
  }
  yml_drop(doc);
  check_diags(&d);
  p = pipeline_parse("f", (const char *)data, size, "project", &d);
  assert(!p == (diag_count(&d) > 0));
  if (p)
    check_pipeline(p);
  pipeline_free(p);
  check_diags(&d);
  check_reported(data, size);
  return 0;
}
