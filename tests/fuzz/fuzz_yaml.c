/* Any bytes as a .drover.yml and as a site's file: no crash, a position with each error, and what is written reads back the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/pipeline.h"
#include "master/conf/schema.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

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
  for (int i = 0; i < p->nschedulers; i++)
    for (int k = 0; k < p->schedulers[i].nbuilders; k++)
      assert(pipeline_builder(p, p->schedulers[i].builders[k]));
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
  return 0;
}
