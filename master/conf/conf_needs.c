/* Builders that need those of other projects, and steps that trigger them. */
#include "master/conf/conf_needs.h"

#include <stdlib.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/pipe_int.h"
#include "master/conf/yaml.h"

static bool allowed(char *const *globs, int n, const char *project)
{
  for (int i = 0; i < n; i++)
    if (str_glob(globs[i], project))
      return true;
  return false;
}

bool conf_may_need(const struct conf_project *p, const char *project)
{
  return allowed(p->needed_by, p->nneeded_by, project);
}

/* trigger: and not need. Who may need a builder makes a fixed thing run; who triggers one also says its branch and its properties, so that is another word. */
static char *refused(const struct conf *c, const char *project, const char *other, const char *builder, bool trigger)
{
  const struct conf_project *p = conf_project(c, other);
  int n;

  if (!p)
    return xasprintf("there is no project \"%s\" in the site's configuration", other);
  if (trigger ? !allowed(p->triggered_by, p->ntriggered_by, project) : !conf_may_need(p, project))
    return xasprintf("project %s doesn't let project %s %s its builders: the site says so with `%s: [%s]` there", other, project, trigger ? "trigger" : "need", trigger ? "triggered_by" : "needed_by", project);
  if (p->pipeline && !pipeline_named(p->pipeline, builder, &n))
    return xasprintf("project %s has no builder \"%s\"", other, builder);
  return NULL;
}

char *conf_need_refused(const struct conf *c, const char *project, const char *other, const char *builder)
{
  return refused(c, project, other, builder, false);
}

char *conf_trigger_refused(const struct conf *c, const char *project, const char *other, const char *builder)
{
  return refused(c, project, other, builder, true);
}

/* last: what was looked at before; of a matrix all combinations say the same. */
static void check(const struct conf *c, const char *project, const struct pipe_outside *o, bool trigger, const struct yml_node **last, struct diags *d)
{
  char *why = *o->project && o->at != *last ? refused(c, project, o->project, o->builder, trigger) : NULL;

  *last = o->at;
  if (why)
    yml_error(d, o->at, NULL, "%s", why);
  free(why);
}

void conf_check_needs(const struct conf *c, const char *project, const struct pipeline *p, struct diags *d)
{
  const struct yml_node *last = NULL;

  for (int b = 0; b < p->nbuilders; b++) {
    for (int i = 0; i < p->builders[b].noutside; i++)
      check(c, project, &p->builders[b].outside[i], false, &last, d);
    for (int s = 0; s < p->builders[b].nsteps; s++)
      for (int i = 0; p->builders[b].steps[s].asks && i < p->builders[b].steps[s].asks->noutside; i++)
        check(c, project, &p->builders[b].steps[s].asks->outside[i], true, &last, d);
  }
}
