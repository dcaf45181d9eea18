/* The last changes decided again by a configuration that is not active: a read like no other, for its question is large. Nothing is written.

   The configuration is that of the body (`site`, or `pipeline` of a `project`), else that of the master's files. Then the changes are asked for, and decided one a turn of the loop; the pipeline of a
   project that has it in its repository is the one that was read for the change. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/core/reload.h"
#include "master/dispatch/actions_int.h"
#include "master/dispatch/pipes.h"
#include "master/schedulers/facts.h"
#include "master/schedulers/trial.h"
#include "master/schedulers/worlds.h"

enum { TRY_LAST = 20, TRY_LAST_MAX = 200 }; /* changes */

/* Columns of try_changes. */
enum { T_ID, T_PROJECT, T_BRANCH, T_REVISION, T_REPOSITORY, T_PIPELINE, T_KIND, T_AUTHOR, T_MESSAGE, T_FILES, T_PROPERTIES, T_NUMBER, T_APPROVED, T_VERDICTS, T_BUILT, T_CODEBASE, T_ALONG };

struct row {
  struct facts *facts;
  int64_t id, pipe_id;     /* pipe_id: of the pipeline it was decided by; 0: none */
  cJSON *verdicts, *built, *along;
};

struct trial {
  struct acting *a;
  struct conf *conf;       /* of a whole site; NULL: only a pipeline */
  struct pipeline *pipe;
  char *project;           /* only of this one; NULL: of all */
  int64_t last;
  struct row *rows;
  int n, at;
  cJSON *list;
  int differ, unknown, would, did;
  uv_timer_t turn;
};

/* ---- the end ---- */

static void trial_free(struct trial *t)
{
  for (int i = 0; i < t->n; i++) {
    facts_free(t->rows[i].facts);
    cJSON_Delete(t->rows[i].verdicts);
    cJSON_Delete(t->rows[i].built);
    cJSON_Delete(t->rows[i].along);
  }
  free(t->rows);
  conf_free(t->conf);
  pipeline_free(t->pipe);
  free(t->project);
  cJSON_Delete(t->list);
  free(t);
}

static void closed(uv_handle_t *h)
{
  trial_free(h->data);
}

static void trial_end(struct trial *t)
{
  uv_close((uv_handle_t *)&t->turn, closed);
}

static void answer(struct trial *t)
{
  cJSON *o = cJSON_CreateObject(), *sum;

  cJSON_AddItemToObject(o, "items", t->list);
  t->list = NULL;
  sum = cJSON_AddObjectToObject(o, "sum");
  cJSON_AddNumberToObject(sum, "changes", t->n);
  cJSON_AddNumberToObject(sum, "differ", t->differ);
  cJSON_AddNumberToObject(sum, "unknown", t->unknown);
  cJSON_AddNumberToObject(sum, "would", t->would);
  cJSON_AddNumberToObject(sum, "did", t->did);
  acting_done(t->a, 200, o);
  trial_end(t);
}

/* ---- one change ---- */

static bool is_watched(const struct conf_project *p, const struct decide_change *c)
{
  const struct conf_codebase *k = conf_codebase(p, c->codebase);

  for (int i = 0; k && i < k->nbranches; i++)
    if (str_glob(k->branches[i], c->branch))
      return true;
  return k && (!k->nbranches || c->kind != CHANGE_BRANCH);
}

/* note: why there is no pipeline for it, or that it is not known; NULL. */
static void tried(struct trial *t, const struct pipeline *p, const char *note, bool known)
{
  struct row *r = &t->rows[t->at++];
  const struct decide_change *c = &r->facts->c;
  cJSON *o = trial_change(p, c, r->verdicts, r->built, r->along);
  char id[32];

  snprintf(id, sizeof id, "c%" PRId64, r->id);
  cJSON_AddStringToObject(o, "change", id);
  cJSON_AddStringToObject(o, "project", c->project);
  cJSON_AddStringToObject(o, "branch", c->branch);
  cJSON_AddStringToObject(o, "revision", c->revision);
  cJSON_AddStringToObject(o, "author", c->author);
  cJSON_AddStringToObject(o, "message", c->message);
  cJSON_AddBoolToObject(o, "known", known);
  cJSON_AddItemToObject(o, "note", note ? cJSON_CreateString(note) : cJSON_CreateNull());
  t->unknown += !known;
  if (known) {
    t->differ += cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "added")) || cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "dropped"));
    t->would += cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "would"));
    t->did += cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "did"));
  }
  cJSON_AddItemToArray(t->list, o);
}

static void on_turn(uv_timer_t *h);

static void pipe_here(bool ok, void *arg)
{
  struct trial *t = arg;
  const struct row *r = &t->rows[t->at];
  struct pipe_ref *ref = ok ? pipes_ref(t->a->m, r->pipe_id, r->facts->c.project) : NULL;
  const struct pipeline *p = ref ? pipes_of(ref) : NULL;

  tried(t, p, p ? NULL : "its pipeline can't be read now", p != NULL);
  pipes_unref(ref);
  uv_timer_start(&t->turn, on_turn, 0, 0);
}

/* The pipeline that it was decided by is the repository's, and not what the site had given the project. */
static bool read_then(const struct trial *t, const struct row *r)
{
  const struct world *w = worlds_find(t->a->m->worlds, r->facts->c.project);
  return r->pipe_id && !(w && w->pipe_id == r->pipe_id);
}

static void on_turn(uv_timer_t *h)
{
  struct trial *t = h->data;
  const struct row *r = &t->rows[t->at];
  const struct conf_project *p;

  if (t->at == t->n) {
    answer(t);
    return;
  }
  p = t->conf ? conf_project(t->conf, r->facts->c.project) : NULL;
  if (t->pipe) {
    tried(t, t->pipe, NULL, true);
  } else if (!p) {
    tried(t, NULL, "the project is not there", true);
  } else if (!is_watched(p, &r->facts->c)) {
    tried(t, NULL, conf_codebase(p, r->facts->c.codebase) ? "the project does not watch the branch" : "the project has no such codebase", true);
  } else if (p->pipeline) {
    tried(t, p->pipeline, NULL, true);
  } else if (read_then(t, r)) {
    pipes_load(t->a->m, r->pipe_id, r->facts->c.project, pipe_here, t);
    return;
  } else {
    tried(t, NULL, "the pipeline in the repository was not read for it", false);
  }
  uv_timer_start(&t->turn, on_turn, 0, 0);
}

/* ---- the changes ---- */

static void take_row(struct trial *t, const struct db_res *res, int i, struct row *r)
{
  const char *name = db_str(res, 0, i, T_PROJECT);
  const struct conf_project *p = conf_project(t->conf ? t->conf : t->a->m->conf, name);

  r->id = db_num(res, 0, i, T_ID);
  r->pipe_id = db_null(res, 0, i, T_PIPELINE) ? 0 : db_num(res, 0, i, T_PIPELINE);
  r->verdicts = cJSON_Parse(db_str(res, 0, i, T_VERDICTS));
  r->built = cJSON_Parse(db_str(res, 0, i, T_BUILT));
  r->along = cJSON_Parse(db_str(res, 0, i, T_ALONG));
  r->facts = facts_new(&(struct facts_in){ .project = name, .branch = db_str(res, 0, i, T_BRANCH), .revision = db_str(res, 0, i, T_REVISION), .repository = db_str(res, 0, i, T_REPOSITORY),
                                           .kind = db_str(res, 0, i, T_KIND), .author = db_str(res, 0, i, T_AUTHOR), .message = db_str(res, 0, i, T_MESSAGE), .files = db_str(res, 0, i, T_FILES),
                                           .properties = db_str(res, 0, i, T_PROPERTIES), .number = db_num(res, 0, i, T_NUMBER), .codebase = db_str(res, 0, i, T_CODEBASE), .main = p ? conf_main(p) : NULL,
                                           .build_forks = (p && p->forks_build) || db_num(res, 0, i, T_APPROVED) });
}

static void changes_here(struct db_res *res, void *arg)
{
  struct trial *t = arg;

  if (acting_db_failed(t->a, res)) {
    trial_end(t);
    return;
  }
  t->rows = xcalloc((size_t)db_rows(res, 0) + 1, sizeof *t->rows);
  for (t->n = 0; t->n < db_rows(res, 0); t->n++)
    take_row(t, res, t->n, &t->rows[t->n]);
  t->list = cJSON_CreateArray();
  uv_timer_start(&t->turn, on_turn, 0, 0);
}

static void ask_changes(struct trial *t)
{
  struct db_tx *tx = db_tx(t->a->m->db, DB_ANY);

  db_q(tx, SQL_try_changes, "sn", t->project, t->last);
  db_send(tx, changes_here, t);
}

/* ---- the configuration ---- */

static void refuse(struct trial *t, const struct diags *d)
{
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  diag_print(d, &text);
  acting_fail(t->a, 400, "bad_config", buf_str(&text), "it has %d error%s", diag_count(d), diag_count(d) == 1 ? "" : "s");
  buf_free(&text);
  trial_end(t);
}

static void take_text(struct trial *t, const char *site, const char *pipeline)
{
  struct diags d;

  diag_init(&d);
  if (site)
    t->conf = conf_of_text("the site", site, NULL, &d);
  else
    t->pipe = pipeline_parse(PIPELINE_FILE, pipeline, strlen(pipeline), t->project, &d);
  if (t->conf || t->pipe)
    ask_changes(t);
  else
    refuse(t, &d);
  diag_free(&d);
}

static void files_here(const struct reload_seen *s, void *arg)
{
  struct trial *t = arg;

  if (s->conf) {
    t->conf = conf_hold(s->conf);
    ask_changes(t);
    return;
  }
  acting_fail(t->a, 400, "bad_config", s->text, "the files have %d error%s", s->count, s->count == 1 ? "" : "s");
  trial_end(t);
}

/* false: answered. */
static bool good(struct acting *a, const char *project, const char *site, const char *pipeline, int64_t last)
{
  if (last < 1 || last > TRY_LAST_MAX)
    acting_fail(a, 400, "bad_request", NULL, "\"last\" is a number of changes from 1 to %d", TRY_LAST_MAX);
  else if (site && pipeline)
    acting_fail(a, 400, "bad_request", NULL, "either a \"site\" or a \"pipeline\"");
  else if (project && !worlds_find(a->m->worlds, project))
    acting_fail(a, 404, "not_found", "drover list projects shows all", "there is no project \"%s\"", project);
  else if (pipeline && !project)
    acting_fail(a, 400, "bad_request", "drover list projects shows all", "of which project is the pipeline?");
  else
    return true;
  return false;
}

void act_config_try(struct acting *a, const cJSON *args)
{
  const cJSON *last = cJSON_GetObjectItemCaseSensitive(args, "last");
  const char *project = act_string(args, "project"), *site = act_string(args, "site"), *pipeline = act_string(args, "pipeline");
  const struct world *only = worlds_only(a->m->worlds);
  int64_t n = cJSON_IsNumber(last) && last->valuedouble > 0 && last->valuedouble <= TRY_LAST_MAX ? (int64_t)last->valuedouble : last ? 0 : TRY_LAST;
  struct trial *t;

  if (pipeline && !project && only)
    project = only->conf->name;
  if (!good(a, project, site, pipeline, n))
    return;
  t = xcalloc(1, sizeof *t);
  *t = (struct trial){ .a = a, .project = xstrdup(project), .last = n };
  uv_timer_init(a->m->loop, &t->turn);
  t->turn.data = t;
  if (site || pipeline)
    take_text(t, site, pipeline);
  else
    reload_look(a->m->reload, files_here, t);
}
