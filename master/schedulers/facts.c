/* From the columns of a change to what decides about it. */
#include "master/schedulers/facts.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/changes/githelper.h"

static char *keep(struct facts *f, int at, const char *s)
{
  return f->own[at] = xstrdup(s);
}

static void take_files(struct facts *f, const char *json)
{
  const cJSON *it;
  char **v;

  f->files = cJSON_Parse(json);
  v = xcalloc((size_t)cJSON_GetArraySize(f->files) + 1, sizeof *v);
  cJSON_ArrayForEach(it, f->files)
    if (cJSON_IsString(it))
      v[f->c.nfiles++] = it->valuestring;
  f->c.files = v;
}

/* A fork's own pipeline is its author's word: what counts is that of the branch which it wants to go into, as it is now. */
static void find_pipeline(struct facts *f, const cJSON *pull)
{
  const char *ref = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pull, "ref"));

  f->place = f->c.branch;
  f->at = f->c.revision;
  if (f->c.kind == CHANGE_TAG)
    f->place = f->own[6] = xasprintf("refs/tags/%s", f->c.branch);
  else if (f->c.fork)
    f->at = "";
  else if (f->c.kind == CHANGE_PULL) /* "": somewhere on a branch */
    f->place = ref && gith_is_ref(ref) ? ref : "";
}

struct facts *facts_new(const struct facts_in *in)
{
  struct facts *f = xcalloc(1, sizeof *f);
  const cJSON *pull;

  f->c = (struct decide_change){ .kind = change_kind_of(in->kind), .project = keep(f, 5, in->project), .codebase = keep(f, 9, in->codebase ? in->codebase : ""), .main = keep(f, 12, in->main ? in->main : ""), .branch = keep(f, 0, in->branch), .revision = keep(f, 1, in->revision),
                                 .repository = keep(f, 2, in->repository), .author = keep(f, 3, in->author), .committer = keep(f, 7, in->committer), .category = keep(f, 8, in->category), .message = keep(f, 4, in->message), .number = in->number,
                                 .build_forks = in->build_forks };
  if (f->c.kind == CHANGE_KINDS) /* of a later version: nothing here wants it */
    f->c.kind = CHANGE_COMMENT;
  take_files(f, in->files);
  f->properties = cJSON_Parse(in->properties);
  f->c.properties = f->properties;
  f->c.whole = f->c.nfiles > 0 && !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(f->properties, "files_cut"));
  pull = cJSON_GetObjectItemCaseSensitive(f->properties, "pull_request");
  f->c.fork = f->c.kind == CHANGE_PULL && !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(pull, "fork")); /* unless the forge said that it is none */
  find_pipeline(f, pull);
  if (in->main_revision) {
    f->place = keep(f, 10, in->main_branch);
    f->at = keep(f, 11, in->main_revision);
  }
  return f;
}

void facts_free(struct facts *f)
{
  if (!f)
    return;
  for (size_t i = 0; i < COUNT(f->own); i++)
    free(f->own[i]);
  free((char **)(uintptr_t)f->c.files);
  cJSON_Delete(f->files);
  cJSON_Delete(f->properties);
  free(f);
}
