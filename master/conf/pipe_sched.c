/* Schedulers of a pipeline: what sets them off, and which builders they ask for. */
#include "master/conf/pipe_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"
#include "master/conf/zone.h"

static void unknown_builder(struct maker *m, const struct yml_node *n)
{
  const struct pipeline *p = &m->w->p;
  unsigned best = 3; /* as far is too far */
  char *help = NULL;

  for (int i = 0; i < p->nbuilders; i++) {
    unsigned far = str_distance(n->text, p->builders[i].name);
    if (far < best) {
      best = far;
      free(help);
      help = xasprintf("did you mean \"%s\"?", p->builders[i].name);
    }
  }
  yml_error(m->d, n, help, "there is no builder \"%s\"", n->text);
  free(help);
}

static void add_builder(struct maker *m, struct pipe_scheduler *s, const struct yml_node *n,
                        struct map *seen)
{
  const struct pipe_builder *b = n->kind == YML_SCALAR ? map_get(m->builders, n->text) : NULL;

  if (b && map_set(seen, n->text, s))
    yml_error(m->d, n, NULL, "builder \"%s\" stands twice", n->text);
  else if (b)
    s->builders[s->nbuilders++] = b->name;
  else if (n->kind == YML_SCALAR && diag_count(m->d) < DIAG_MAX)
    unknown_builder(m, n);
}

static void want_builders(struct maker *m, struct pipe_scheduler *s, const struct yml_node *n)
{
  struct map *seen;

  if (!n || (n->kind == YML_SCALAR && !strcmp(n->text, "all"))) {
    s->builders = m->all;
    s->nbuilders = m->w->p.nbuilders;
    return;
  }
  seen = map_new();
  s->builders = pipe_take(m->w, n->kind == YML_LIST ? (size_t)n->n : 1, sizeof *s->builders);
  if (n->kind == YML_LIST && !n->n)
    yml_error(m->d, n, NULL, "the scheduler has no builder");
  for (int i = 0; n->kind == YML_LIST && i < n->n; i++)
    add_builder(m, s, n->items[i], seen);
  if (n->kind == YML_SCALAR)
    add_builder(m, s, n, seen);
  map_free(seen);
}

static const char *const triggers[PIPE_TRIGGERS] = { [PIPE_ON_CHANGE] = "change", [PIPE_CRON] = "cron", [PIPE_EVERY] = "every", [PIPE_FORCE] = "force" };

const char *pipe_trigger_name(enum pipe_trigger t)
{
  return triggers[t];
}

const struct pipe_scheduler *pipeline_scheduler(const struct pipeline *p, const char *name)
{
  for (int i = 0; i < p->nschedulers; i++)
    if (!strcmp(p->schedulers[i].name, name))
      return &p->schedulers[i];
  return NULL;
}

/* Keys that make sense only with some of them. */
static const struct {
  const char *key;
  unsigned with; /* bits */
  const char *help;
} bound[] = {
  { "stable", 1u << PIPE_ON_CHANGE, "it is for schedulers with `change`" },
  { "zone", 1u << PIPE_CRON, "it is for schedulers with `cron`" },
  { "missed", 1u << PIPE_CRON | 1u << PIPE_EVERY, "it is for schedulers with `cron` or `every`" },
  { "only_if", 1u << PIPE_CRON | 1u << PIPE_EVERY, "it is for schedulers with `cron` or `every`" },
  { "branch", 1u << PIPE_CRON | 1u << PIPE_EVERY | 1u << PIPE_FORCE, "a change says itself which branch: change: {branches: …}" },
};

/* The key that says what sets it off; told where there is none, or a second one. */
static const struct yml_node *trigger(struct maker *m, struct pipe_scheduler *s, const struct yml_node *key, const struct yml_node *n)
{
  const struct yml_node *found = NULL;

  for (int i = 0; i < PIPE_TRIGGERS; i++) {
    const struct yml_node *it = yml_get(n, triggers[i]);
    if (it && found)
      yml_error(m->d, yml_get_key(n, triggers[i]), "make a second scheduler of it", "a scheduler has only one thing that sets it off");
    if (!it || found)
      continue;
    found = it;
    s->trigger = (enum pipe_trigger)i;
  }
  if (!found && n->kind == YML_MAP && !pipe_strange_key(n, SCHEMA_SCHEDULER))
    yml_error(m->d, key, "for each new revision: change: {}", "nothing sets scheduler \"%s\" off", key->text);
  for (size_t i = 0; found && i < COUNT(bound); i++)
    if (yml_get(n, bound[i].key) && !(bound[i].with >> s->trigger & 1))
      yml_error(m->d, yml_get_key(n, bound[i].key), bound[i].help, "\"%s\" can't stand beside \"%s\"", bound[i].key, triggers[s->trigger]);
  return found;
}

/* The line and its zone. The name that H goes by is the scheduler's in its project, so that it stays where the line moves. */
static void want_cron(struct maker *m, struct pipe_scheduler *s, const struct yml_node *line, const struct yml_node *zone)
{
  char *name = xasprintf("%s/%s", m->project, s->name);
  struct buf why;
  int column;

  buf_init(&why, BUF_NO_MAX);
  s->cron_text = line->text;
  if (line->kind == YML_SCALAR && line->text[0] && cron_parse(line->text, name, &s->cron, &why, &column))
    pipe_tell(m->d, line, column - 1, NULL, buf_str(&why));
  else if (line->kind == YML_SCALAR && line->text[0] && cron_next(&s->cron, "UTC", 0) == CRON_NEVER)
    yml_error(m->d, line, NULL, "there is no such day in any year");
  if (zone && zone->kind == YML_SCALAR && zone->text[0] && !zone_exists(zone->text))
    yml_error(m->d, zone, "such as Europe/Berlin, America/New_York or UTC", "there is no time zone \"%.64s\"", zone->text);
  buf_free(&why);
  free(name);
}

static void want_time(struct maker *m, struct pipe_scheduler *s, const struct yml_node *set_off, const struct yml_node *n)
{
  const struct yml_node *branch = yml_get(n, "branch");
  const char *missed = schema_text(n, SCHEMA_SCHEDULER, "missed");

  s->zone = schema_text(n, SCHEMA_SCHEDULER, "zone");
  s->missed = str_eq(missed, "skip") ? PIPE_MISSED_SKIP : str_eq(missed, "all") ? PIPE_MISSED_ALL : PIPE_MISSED_ONCE;
  s->only_if_changed = str_eq(schema_text(n, SCHEMA_SCHEDULER, "only_if"), "changed");
  if (set_off && s->trigger == PIPE_CRON)
    want_cron(m, s, set_off, yml_get(n, "zone"));
  if (s->trigger == PIPE_EVERY)
    s->every_ms = schema_ms(n, SCHEMA_SCHEDULER, "every");
  if (branch && branch->kind == YML_SCALAR && strpbrk(branch->text, "*?"))
    yml_error(m->d, branch, NULL, "\"branch\" wants one branch, not a pattern");
  else if (branch && branch->kind == YML_SCALAR)
    s->branch = branch->text;
}

void pipe_make_schedulers(struct maker *m, const struct yml_node *named)
{
  struct pipeline *p = &m->w->p;
  bool given = named && named->kind == YML_MAP && named->n;

  if (given && named->n > PIPELINE_SCHEDULERS_MAX) {
    yml_error(m->d, named, NULL, "more than %d schedulers", PIPELINE_SCHEDULERS_MAX);
    return;
  }
  p->nschedulers = given ? named->n : 1;
  p->schedulers = pipe_take(m->w, (size_t)p->nschedulers, sizeof *p->schedulers);
  if (!given) {
    p->schedulers[0] =
        (struct pipe_scheduler){ .name = strcpy(pipe_take(m->w, 1, sizeof "commits"), "commits") };
    want_builders(m, p->schedulers, NULL);
  }
  for (int i = 0; given && i < named->n; i++) {
    struct pipe_scheduler *s = &p->schedulers[i];
    const struct yml_node *n = named->items[i], *set_off;
    s->name = named->keys[i]->text;
    set_off = trigger(m, s, named->keys[i], n);
    s->branches = pipe_strings(m->w, yml_get(set_off, "branches"), &s->nbranches);
    s->stable_ms = schema_ms(n, SCHEMA_SCHEDULER, "stable");
    want_time(m, s, set_off, n);
    pipe_make_params(m, s, yml_get(set_off, "parameters"));
    want_builders(m, s, yml_get(n, "builders"));
  }
}
