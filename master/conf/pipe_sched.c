/* Schedulers of a pipeline: what sets them off, and which builders they ask for. */
#include "master/conf/pipe_int.h"

#include <stdlib.h>
#include <string.h>

#include "common/map.h"
#include "common/str.h"
#include "master/conf/zone.h"

/* Of a combination whose builder is there: what this has. */
static char *combinations(const struct pipeline *p, const char *name)
{
  enum { SHOWN_MAX = 4 };
  char *base = xstrndup(name, strcspn(name, "["));
  const struct pipe_builder *b;
  struct buf text;
  int n;

  b = name[strlen(base)] ? pipeline_named(p, base, &n) : NULL;
  buf_init(&text, BUF_NO_MAX);
  if (b && !b->naxes)
    buf_addf(&text, "builder \"%s\" has no matrix", base);
  for (int i = 0; b && b->naxes && i < n && i < SHOWN_MAX; i++)
    buf_addf(&text, "%s\"%s\"", i ? ", " : "there is ", b[i].name);
  if (b && n > SHOWN_MAX)
    buf_adds(&text, " …");
  free(base);
  if (b)
    return buf_take(&text);
  buf_free(&text);
  return NULL;
}

void pipe_unknown_builder(struct maker *m, const struct yml_node *n, const char *name)
{
  const struct pipeline *p = &m->w->p;
  const char **names = xcalloc((size_t)p->nbuilders * 2 + 1, sizeof *names);
  char *help;

  for (int i = 0; i < p->nbuilders; i++) {
    names[i * 2] = p->builders[i].name;
    names[i * 2 + 1] = p->builders[i].base;
  }
  help = pipe_did_you_mean(name, names, p->nbuilders * 2);
  if (!help)
    help = combinations(p, name);
  yml_error(m->d, n, help, "there is no builder \"%.120s\"", name);
  free(help);
  free(names);
}

void pipe_add_builders(struct maker *m, char **names, int *count, const struct yml_node *n, struct map *seen)
{
  const struct pipe_builder *b = n->kind == YML_SCALAR ? map_get(m->builders, n->text) : NULL, *end = m->w->p.builders + m->w->p.nbuilders;
  const char *base = b && strcmp(b->name, n->text) ? b->base : NULL; /* all combinations: they stand behind each other */
  bool twice = false;

  for (const struct pipe_builder *it = b; it && it < end && (it == b || it->base == base) && !twice; it++) {
    twice = map_set(seen, it->name, m) != NULL;
    if (twice)
      yml_error(m->d, n, NULL, "builder \"%s\" stands twice", it->name);
    else
      names[(*count)++] = it->name;
  }
  if (!b && !m->incomplete && n->kind == YML_SCALAR && pipeline_is_builder(n->text, strlen(n->text)) && diag_count(m->d) < DIAG_MAX)
    pipe_unknown_builder(m, n, n->text);
}

static void want_builders(struct maker *m, struct pipe_scheduler *s, const struct yml_node *n)
{
  struct map *seen;

  if (!n || (n->kind == YML_SCALAR && !strcmp(n->text, "all"))) {
    s->builders = m->all;
    s->nbuilders = m->w->p.nown;
    return;
  }
  seen = map_new();
  s->builders = pipe_take(m->w, (size_t)m->w->p.nbuilders + 1, sizeof *s->builders); /* none stands twice */
  if (n->kind == YML_LIST && !n->n)
    yml_error(m->d, n, NULL, "the scheduler has no builder");
  for (int i = 0; n->kind == YML_LIST && i < n->n; i++)
    pipe_add_builders(m, s->builders, &s->nbuilders, n->items[i], seen);
  if (n->kind == YML_SCALAR)
    pipe_add_builders(m, s->builders, &s->nbuilders, n, seen);
  map_free(seen);
}

static const char *const triggers[PIPE_TRIGGERS] = {
  [PIPE_ON_CHANGE] = "change", [PIPE_ON_TAG] = "tag",     [PIPE_ON_PULL] = "pull_request",
  [PIPE_ON_CRON] = "cron",     [PIPE_ON_EVERY] = "every", [PIPE_ON_FORCE] = "force",
  [PIPE_ON_AFTER] = "after",   [PIPE_ON_TRIGGER] = "triggered",
};

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
  { "supersede", 1u << PIPE_ON_CHANGE | 1u << PIPE_ON_PULL, "it is for schedulers with `change` or `pull_request`" },
  { "collapse", 1u << PIPE_ON_CHANGE | 1u << PIPE_ON_PULL, "it is for schedulers with `change` or `pull_request`" },
  { "skip", 1u << PIPE_ON_CHANGE | 1u << PIPE_ON_PULL, "it is for schedulers with `change` or `pull_request`" },
  { "if", 1u << PIPE_ON_CHANGE | 1u << PIPE_ON_TAG | 1u << PIPE_ON_PULL, "it is for schedulers with `change`, `tag` or `pull_request`" },
  { "codebases", 1u << PIPE_ON_CHANGE | 1u << PIPE_ON_TAG | 1u << PIPE_ON_PULL, "it is for schedulers with `change`, `tag` or `pull_request`" },
  { "from", 1u << PIPE_ON_CHANGE | 1u << PIPE_ON_TAG | 1u << PIPE_ON_PULL, "it goes by what has changed, and is for schedulers with `change`, `tag` or `pull_request`" },
  { "zone", 1u << PIPE_ON_CRON, "it is for schedulers with `cron`" },
  { "missed", 1u << PIPE_ON_CRON | 1u << PIPE_ON_EVERY, "it is for schedulers with `cron` or `every`" },
  { "only_if", 1u << PIPE_ON_CRON | 1u << PIPE_ON_EVERY, "it is for schedulers with `cron` or `every`" },
  { "priority", ~(1u << PIPE_ON_TRIGGER), "what a step triggers has the priority of its build" },
  { "branch", 1u << PIPE_ON_CRON | 1u << PIPE_ON_EVERY | 1u << PIPE_ON_FORCE, "a change says itself which branch: change: {branches: …}" },
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

/* Of what would never match a path as git tells it. */
static void check_files(struct maker *m, const struct yml_node *n)
{
  const char *s = n->kind == YML_SCALAR ? n->text : "x";

  for (int i = 0; n->kind == YML_LIST && i < n->n; i++)
    check_files(m, n->items[i]);
  if (s[0] == '/' || str_starts(s, "./") || str_starts(s, "../"))
    yml_error(m->d, n, "write it as git lists files: docs/**", "a pattern of files begins at the repository's top, without \"%.*s\"", (int)strcspn(s, "/") + 1, s);
  else if (s[0] && s[strlen(s) - 1] == '/')
    yml_error(m->d, n, "all that is in a folder: docs/**", "a pattern of files can't end in \"/\"");
}

static char **files(struct maker *m, const struct yml_node *on, const char *key, int *count)
{
  const struct yml_node *n = yml_get(on, key);

  if (n)
    check_files(m, n);
  return pipe_strings(m->w, n, count);
}

static void filter(struct maker *m, struct pipe_scheduler *s, const struct yml_node *on, const struct yml_node *n)
{
  const struct yml_node *cond = yml_get(n, "if");

  if (s->trigger == PIPE_ON_TAG)
    s->branches = pipe_strings(m->w, on, &s->nbranches);
  else
    s->branches = pipe_strings(m->w, yml_get(on, "branches"), &s->nbranches);
  if (s->trigger == PIPE_ON_TAG && on && !s->nbranches && on->kind == YML_LIST)
    yml_error(m->d, on, "for every tag: tag: \"**\"", "no tag matches an empty list");
  s->codebases_at = yml_get(n, "codebases");
  s->codebases = pipe_strings(m->w, s->codebases_at, &s->ncodebases);
  if (s->codebases_at && !s->ncodebases && s->codebases_at->kind == YML_LIST)
    yml_error(m->d, s->codebases_at, "without the key it is every codebase's", "no change is of an empty list of codebases");
  s->only = files(m, on, "only", &s->nonly);
  s->not_only = files(m, on, "not_only", &s->nnot_only);
  if (cond && cond->kind == YML_SCALAR) {
    s->cond = pipe_condition(&m->w->exprs, change_names, cond, m->d);
    s->cond_text = cond->text;
  }
  s->skip = schema_bool(n, SCHEMA_SCHEDULER, "skip");
  s->supersede = schema_bool(n, SCHEMA_SCHEDULER, "supersede");
  s->collapse = (int)schema_int(n, SCHEMA_SCHEDULER, "collapse");
  if (s->supersede && s->collapse)
    yml_error(m->d, yml_get_key(n, "collapse"), "supersede: true cancels older builds, collapse: N lets them end as the newer one does: take one of them", "\"collapse\" can't stand beside \"supersede\"");
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
  const struct yml_node *branch = yml_get(n, "branch"), *only_if = yml_get(n, "only_if");
  const char *missed = schema_text(n, SCHEMA_SCHEDULER, "missed");

  s->zone = schema_text(n, SCHEMA_SCHEDULER, "zone");
  s->missed = str_eq(missed, "skip") ? PIPE_MISSED_SKIP : str_eq(missed, "all") ? PIPE_MISSED_ALL : PIPE_MISSED_ONCE;
  if (only_if && only_if->kind == YML_SCALAR) {
    s->only_if = pipe_condition(&m->w->exprs, time_names, only_if, m->d);
    s->only_if_text = only_if->text;
  }
  if (set_off && s->trigger == PIPE_ON_CRON)
    want_cron(m, s, set_off, yml_get(n, "zone"));
  if (s->trigger == PIPE_ON_EVERY)
    s->every_ms = schema_ms(n, SCHEMA_SCHEDULER, "every");
  if (branch && branch->kind == YML_SCALAR && strpbrk(branch->text, "*?"))
    yml_error(m->d, branch, NULL, "\"branch\" wants one branch, not a pattern");
  else if (branch && branch->kind == YML_SCALAR)
    s->branch = branch->text;
}

/* Each follows one that there is, and no chain of them is a ring. */
static void check_after(struct maker *m, const struct yml_node *named)
{
  const struct pipeline *p = &m->w->p;
  const char **names = xcalloc((size_t)p->nschedulers + 1, sizeof *names);

  for (int i = 0; i < p->nschedulers; i++)
    names[i] = p->schedulers[i].name;
  for (int i = 0; i < p->nschedulers; i++) {
    const struct pipe_scheduler *s = &p->schedulers[i], *it = s;
    const struct yml_node *n = yml_get(named->items[i], "after");
    int steps = 0;
    if (!s->after)
      continue;
    while (it && it->after && steps++ < p->nschedulers)
      it = pipeline_scheduler(p, it->after);
    if (!pipeline_scheduler(p, s->after)) {
      char *help = pipe_did_you_mean(s->after, names, p->nschedulers);
      yml_error(m->d, n, help, "there is no scheduler \"%.80s\"", s->after);
      free(help);
    } else if (it && it->after) {
      yml_error(m->d, n, "something else must set one of them off", "scheduler \"%s\" would wait for itself", s->name);
    }
  }
  free(names);
}

static void want_priority(struct maker *m, struct pipe_scheduler *s, const struct yml_node *n)
{
  const struct yml_node *at = yml_get(n, "priority");

  s->priority = (int)schema_int(n, SCHEMA_SCHEDULER, "priority");
  if (!at || at->kind != YML_SCALAR || schema_is_number(at->text) || yml_is_null(at))
    return;
  if (s->trigger > PIPE_ON_PULL || s->stable_ms) {
    yml_error(m->d, at, "a number from 0 to 100", s->stable_ms ? "an expression is over one change, and with \"stable\" there may be several" : "an expression is over a change, and none sets this off");
    return;
  }
  s->priority_of = pipe_number(&m->w->exprs, change_names, at, m->d);
  s->priority_text = at->text;
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
        (struct pipe_scheduler){ .name = strcpy(pipe_take(m->w, 1, sizeof "commits"), "commits"), .skip = true, .priority = PIPELINE_PRIORITY };
    want_builders(m, p->schedulers, NULL);
  }
  for (int i = 0; given && i < named->n; i++) {
    struct pipe_scheduler *s = &p->schedulers[i];
    const struct yml_node *n = named->items[i], *set_off;
    s->name = named->keys[i]->text;
    set_off = trigger(m, s, named->keys[i], n);
    filter(m, s, set_off, n);
    s->stable_ms = schema_ms(n, SCHEMA_SCHEDULER, "stable");
    want_priority(m, s, n);
    want_time(m, s, set_off, n);
    s->after = s->trigger == PIPE_ON_AFTER && set_off && set_off->kind == YML_SCALAR ? set_off->text : NULL;
    s->fail_fast = schema_bool(n, SCHEMA_SCHEDULER, "fail_fast");
    s->fresh = str_eq(schema_text(n, SCHEMA_SCHEDULER, "reuse"), "none");
    pipe_make_params(m, s, yml_get(set_off, "parameters"));
    pipe_want_changed(m, s, n);
    if (!s->from_changed)
      want_builders(m, s, yml_get(n, "builders"));
  }
  if (given)
    check_after(m, named);
}
