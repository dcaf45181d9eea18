/* The git poller: what is known of a repository's branches (rows), what a helper process finds there now, and one transaction that makes the changes and moves the heads. */
#include <inttypes.h>
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/str.h"
#include "master/changes/githelper.h"
#include "master/conf/conf.h"
#include "master/core/master.h"
#include "master/core/secret_values.h"
#include "master/db/db.h"
#include "master/events/events.h"
#include "master/events/hints.h"
#include "master/schedulers/worlds_int.h"

enum { LOOK_LEAST_MS = 1000, AWAY_MS = 2000 /* without the database */, BACK_OFF_SHIFT = 4, BACK_OFF_MOST_MS = 15 * 60000 };

struct look {                 /* one poll under way */
  struct poll_state *ps;
  int64_t epoch;              /* of the lease when it began */
  struct gith_head *known, *known_tags;
  int nknown, nknown_tags;
  bool tags_seen;             /* they were noted, so what is new among them is told */
};

static void on_timer(uv_timer_t *t);

/* However often somebody asks, at most one look begins in LOOK_LEAST_MS. */
static void look_now(struct poll_state *ps)
{
  int64_t since = clock_mono_ms() - ps->began_ms;

  uv_timer_start(&ps->timer, on_timer, (uint64_t)(since < LOOK_LEAST_MS ? LOOK_LEAST_MS - since : 0), 0);
}

static void maybe_free(struct poll_state *ps)
{
  if (!ps->closed || ps->busy)
    return;
  list_remove(&ps->node);
  world_drop(ps->p);
  free(ps->name);
  free(ps->mirror);
  free(ps->trouble);
  free(ps);
}

/* A tenth of jitter, so that a hundred projects don't all ask in the same second. One that fails is looked at ever more seldom. */
static int64_t interval(const struct poll_state *ps)
{
  int64_t ms = poll_conf(ps)->poll_ms, most = ms > BACK_OFF_MOST_MS ? ms : BACK_OFF_MOST_MS;
  uint16_t r;

  if (ps->failures > 1)
    ms <<= ps->failures - 1 < BACK_OFF_SHIFT ? ps->failures - 1 : BACK_OFF_SHIFT;
  if (ms > most)
    ms = most;
  str_random(&r, sizeof r);
  return ms - ms / 20 + ms / 10 * r / 65536;
}

void poller_arm(struct poll_state *ps)
{
  int64_t now = clock_mono_ms();

  if (ps->busy || ps->closed || ps->w->m->stopping || !lease_held(ps) || uv_is_active((uv_handle_t *)&ps->timer))
    return;
  if (ps->once_more)
    look_now(ps);
  else if (ps->due_ms != POLL_NEVER)
    uv_timer_start(&ps->timer, on_timer, ps->due_ms > now ? (uint64_t)(ps->due_ms - now) : 0, 0);
}

static void again_in(struct poll_state *ps, int64_t ms)
{
  ps->busy = false;
  if (ps->p->gone) {
    maybe_free(ps);
    return;
  }
  if (ps->w->m->stopping)
    return;
  ps->due_ms = ms == POLL_NEVER ? ms : clock_mono_ms() + ms;
  ps->changed = true;
  lease_rest(ps);
  if (ps->once_more && !ps->epoch)
    look_now(ps); /* by who has the lease */
  else
    poller_arm(ps);
}

static void again(struct poll_state *ps)
{
  again_in(ps, poll_conf(ps)->poll_ms ? interval(ps) : POLL_NEVER);
}

static void heads_free(struct gith_head *heads, int n)
{
  for (int i = 0; i < n; i++) {
    free(heads[i].branch);
    free(heads[i].revision);
  }
  free(heads);
}

static void look_free(struct look *l)
{
  heads_free(l->known, l->nknown);
  heads_free(l->known_tags, l->nknown_tags);
  free(l);
}

static void trouble(struct poll_state *ps, const char *why)
{
  if (str_eq(ps->trouble, why))
    return;
  if (why)
    log_warn("poll", "%s: %s", ps->name, why);
  else
    log_info("poll", "%s: answers again", ps->name);
  if (!ps->trouble)
    ps->trouble_ms = clock_mono_ms();
  free(ps->trouble);
  ps->trouble = xstrdup(why);
}

struct world_look worlds_looks(const struct world *p, int codebase)
{
  const struct poll_state *ps = p->polls[codebase];

  return (struct world_look){ .name = ps->name, .ours = ps->epoch || ps->at_once, /* of one that is new, or another one now, the row tells the past */
                              .looked_ms = ps->looked_ms, .trouble = ps->trouble, .trouble_ms = ps->trouble_ms, .failures = ps->failures,
                              .next_ms = ps->busy || ps->due_ms == POLL_NEVER ? INT64_MIN : clock_wall_ms() + ps->due_ms - clock_mono_ms() };
}

const char *world_repository(const struct world *p)
{
  const char *git = p->conf->codebases[p->conf->main].git;

  return git ? git : "";
}

/* A hook moved the head while we looked: what we saw may be old. The first statement is the fence. */
static bool was_apart(struct db_res *res, int told)
{
  for (int i = 1; i < told; i++)
    if (!strcmp(db_str(res, i, 0, 0), "apart"))
      return true;
  return false;
}

static void log_made(struct poll_state *ps, const char *made)
{
  cJSON *list = cJSON_Parse(made), *it;

  cJSON_ArrayForEach(it, list)
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(it, "new")))
      log_info("change", "%s %s %s %.12s by the poller", ps->name, cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(it, "change")),
               cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(it, "branch")), cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(it, "revision")));
  cJSON_Delete(list);
}

static void stored(struct db_res *res, void *arg)
{
  struct poll_state *ps = arg;
  int told = ps->told;

  if (lease_lost(res))
    log_info("poll", "%s: what was seen is left to the master that looks there now", ps->name);
  else if (db_err(res) == ERR_FAILED)
    log_error("poll", "%s: %s", ps->name, db_errtext(res));
  if (!db_err(res)) {
    ps->looked_ms = clock_wall_ms();
    for (int i = 1; i < told; i++)
      log_made(ps, db_str(res, i, 0, 1));
    ps->once_more = ps->once_more || was_apart(res, told);
    events_kick(ps->w->m->events);
    worlds_kick(ps->w);
  }
  if (db_err(res))
    again_in(ps, AWAY_MS);
  else
    again(ps);
}

static cJSON *commit_json(const struct gith_commit *c, const char *category)
{
  cJSON *o = cJSON_CreateObject();

  cJSON_AddStringToObject(o, "revision", c->revision);
  if (*c->previous)
    cJSON_AddStringToObject(o, "previous", c->previous);
  cJSON_AddStringToObject(o, "author", c->author);
  cJSON_AddStringToObject(o, "committer", c->committer);
  if (category)
    cJSON_AddStringToObject(o, "category", category);
  cJSON_AddNumberToObject(o, "at", (double)c->author_ms);
  cJSON_AddStringToObject(o, "message", c->message);
  cJSON_AddItemToObject(o, "files", c->nfiles ? cJSON_CreateStringArray((const char *const *)c->files, c->nfiles) : cJSON_CreateArray()); /* cJSON makes nothing of an empty list */
  if (c->files_cut)
    cJSON_AddTrueToObject(cJSON_AddObjectToObject(o, "properties"), "files_cut");
  return o;
}

/* A branch went from one revision to another (NULL: new; deleted), with those of the commits that are its own. */
static void put_branch(struct db_tx *tx, struct poll_state *ps, const struct gith_result *g, const char *branch, const char *from, const char *to, bool with_commits)
{
  cJSON *list = cJSON_CreateArray();
  char *json;

  for (int i = 0; with_commits && i < g->ncommits; i++)
    if (!g->commits[i].tag && !strcmp(g->commits[i].branch, branch))
      cJSON_AddItemToArray(list, commit_json(&g->commits[i], poll_conf(ps)->category));
  json = cJSON_PrintUnformatted(list);
  db_q(tx, SQL_branch_told, "nssssss", ps->p->id, poll_conf(ps)->git, branch, from, to, json, poll_conf(ps)->name);
  free(json);
  cJSON_Delete(list);
}

static int by_name(const void *a, const void *b)
{
  return strcmp(((const struct gith_head *)a)->branch, ((const struct gith_head *)b)->branch);
}

/* The revision of a branch or tag, or NULL. There may be thousands, all at each look; all lists are in the order of names. */
static const char *revision_in(const struct gith_head *heads, int n, const char *name)
{
  struct gith_head key = { .branch = (char *)(uintptr_t)name };
  const struct gith_head *found = n ? bsearch(&key, heads, (size_t)n, sizeof key, by_name) : NULL;

  return found ? found->revision : NULL;
}

/* Of the known ones from *at on those that were deleted, before the one called `before` (NULL: all). Told in the order of names, in which others take their locks too. */
static void drop_branches(struct db_tx *tx, struct look *l, const struct gith_result *g, int *at, const char *before)
{
  for (; *at < l->nknown && (!before || strcmp(l->known[*at].branch, before) < 0); ++*at)
    if (!revision_in(g->heads, g->nheads, l->known[*at].branch))
      put_branch(tx, l->ps, g, l->known[*at].branch, l->known[*at].revision, NULL, false);
}

/* ---- tags ---- */

/* A pipeline in the repository may want tags at any revision, so there they are looked at; a pin may be one. */
static bool wants_tags(const struct poll_state *ps)
{
  const struct pipeline *own = ps->p->conf->pipeline;

  if (poll_conf(ps)->pin)
    return true;

  for (int i = 0; own && i < own->nschedulers; i++)
    if (own->schedulers[i].trigger == PIPE_ON_TAG)
      return true;
  return !own;
}

/* c NULL: it was deleted. */
static void put_tag(struct db_tx *tx, struct poll_state *ps, const char *tag, const char *from, const struct gith_commit *c)
{
  cJSON *o = c ? commit_json(c, poll_conf(ps)->category) : cJSON_CreateObject();
  char *json;

  cJSON_DeleteItemFromObject(o, "previous"); /* of a tag that is where it was, not the commit's parent */
  cJSON_DeleteItemFromObject(o, "files");
  if (from)
    cJSON_AddStringToObject(o, "previous", from);
  json = cJSON_PrintUnformatted(o);
  db_q(tx, SQL_tag_told, "nsssss", ps->p->id, poll_conf(ps)->git, tag, from, json, poll_conf(ps)->name);
  free(json);
  cJSON_Delete(o);
}

/* The first look notes all of them: history is not built. */
static void note_tags(struct db_tx *tx, struct poll_state *ps, const struct gith_result *g)
{
  cJSON *list = cJSON_CreateArray();
  char *json;

  for (int i = 0; i < g->ntags; i++) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "tag", g->tags[i].branch);
    cJSON_AddStringToObject(o, "revision", g->tags[i].revision);
    cJSON_AddItemToArray(list, o);
  }
  json = cJSON_PrintUnformatted(list);
  db_q(tx, SQL_tags_noted, "nss", ps->p->id, poll_conf(ps)->name, json);
  free(json);
  cJSON_Delete(list);
}

/* As drop_branches. */
static void drop_tags(struct db_tx *tx, struct look *l, const struct gith_result *g, int *at, const char *before)
{
  for (; *at < l->nknown_tags && (!before || strcmp(l->known_tags[*at].branch, before) < 0); ++*at)
    if (!revision_in(g->tags, g->ntags, l->known_tags[*at].branch))
      put_tag(tx, l->ps, l->known_tags[*at].branch, l->known_tags[*at].revision, NULL);
}

static void put_tags(struct db_tx *tx, struct look *l, const struct gith_result *g)
{
  int at = 0;

  if (g->tags_over) {
    log_warn("poll", "%s: the repository has more than %d tags; they are not looked at", l->ps->name, GITH_HEADS_MAX);
    return;
  }
  for (int i = 0; i < g->ncommits; i++) {
    const char *tag = g->commits[i].tag;
    if (!tag)
      continue;
    drop_tags(tx, l, g, &at, tag);
    put_tag(tx, l->ps, tag, revision_in(l->known_tags, l->nknown_tags, tag), &g->commits[i]);
  }
  drop_tags(tx, l, g, &at, NULL);
  l->ps->once_more |= g->tags_more;
}

static void looked(const struct gith_result *g, void *arg)
{
  struct look *l = arg;
  struct poll_state *ps = l->ps;
  bool first = l->nknown == 0, wants;
  struct db_tx *tx;
  int at = 0;

  log_debug("poll", "%s: looked, lease %" PRId64, ps->name, l->epoch);
  if (lease_same(ps, l->epoch)) { /* else it is another repository's trouble, another master's, or nobody's */
    ps->failures = g->err ? ps->failures + 1 : 0;
    trouble(ps, g->err ? g->why : NULL);
  }
  if (!lease_same(ps, l->epoch) || !db_is_up(ps->w->m->db)) {
    look_free(l);
    again_in(ps, AWAY_MS);
    return;
  }
  if (g->err) {
    look_free(l);
    again(ps);
    return;
  }
  wants = wants_tags(ps);
  tx = db_tx(ps->w->m->db, DB_ANY);
  lease_fence(tx, ps, l->epoch);
  for (int i = 0; i < g->nheads; i++) {
    const char *known = revision_in(l->known, l->nknown, g->heads[i].branch);
    drop_branches(tx, l, g, &at, g->heads[i].branch);
    if (str_eq(known, g->heads[i].revision))
      continue;
    if (first && !poll_conf(ps)->first_build)
      log_info("poll", "%s: %s is at %.12s; history is not built", ps->name, g->heads[i].branch, g->heads[i].revision);
    put_branch(tx, ps, g, g->heads[i].branch, known, g->heads[i].revision, !first || poll_conf(ps)->first_build);
  }
  drop_branches(tx, l, g, &at, NULL);
  if (wants && l->tags_seen)
    put_tags(tx, l, g);
  ps->told = db_count(tx);
  if (wants && !l->tags_seen && !g->tags_over)
    note_tags(tx, ps, g);
  else if (!wants && l->tags_seen)
    db_q(tx, SQL_tags_forgotten, "ns", ps->p->id, poll_conf(ps)->name);
  look_free(l);
  if (db_count(tx) == 1) { /* nothing behind the fence */
    ps->looked_ms = clock_wall_ms();
    db_drop(tx);
    again(ps);
    return;
  }
  db_send(tx, stored, ps);
}

/* Rows of names and revisions; one without a name is none. */
static struct gith_head *take_heads(const struct db_res *res, int stmt, int *n)
{
  int rows = db_rows(res, stmt);
  struct gith_head *heads = xcalloc((size_t)rows + 1, sizeof *heads);

  *n = 0;
  for (int i = 0; i < rows; i++)
    if (!db_null(res, stmt, i, 0))
      heads[(*n)++] = (struct gith_head){ .branch = xstrdup(db_str(res, stmt, i, 0)), .revision = xstrdup(db_str(res, stmt, i, 1)) };
  return heads;
}

static void heads_read(struct db_res *res, void *arg)
{
  struct poll_state *ps = arg;
  const struct conf_codebase *c = poll_conf(ps);
  struct secret_rows *rows = !db_err(res) && ps->stored ? secret_rows_take(res, 2) : NULL;
  struct poll_login login;
  struct gith_poll q = { .name = ps->mirror, .url = c->git, .vcs = c->vcs, .allow_local = ps->w->m->conf->allow_local,
                         .login = &login.l, .branches = (const char *const *)c->branches, .nbranches = c->nbranches };
  struct look *l;
  struct buf why;

  if (db_err(res) || ps->p->gone || ps->w->m->stopping || !lease_held(ps)) {
    secret_rows_free(rows);
    again_in(ps, AWAY_MS);
    return;
  }
  log_debug("poll", "%s: a look at the repository, lease %" PRId64, ps->name, ps->epoch);
  l = xcalloc(1, sizeof *l);
  l->ps = ps;
  l->epoch = ps->epoch;
  l->known = take_heads(res, 0, &l->nknown);
  l->tags_seen = db_num(res, 1, 0, 2) != 0;
  l->known_tags = take_heads(res, 1, &l->nknown_tags);
  q.known = l->known;
  q.nknown = l->nknown;
  if (wants_tags(ps))
    q.tags = l->tags_seen ? GITH_TAGS_TELL : GITH_TAGS_LIST;
  q.known_tags = l->known_tags;
  q.nknown_tags = l->nknown_tags;
  buf_init(&why, BUF_NO_MAX);
  if (poll_login(ps, rows, &login, &why))
    gith_poll(ps->w->m->gith, &q, looked, l);
  else
    looked(&(struct gith_result){ .err = ERR_DENIED, .why = (char *)(uintptr_t)buf_str(&why) }, l);
  poll_login_free(&login);
  secret_rows_free(rows);
  buf_free(&why);
}

static void owner_asked(struct db_res *res, void *arg)
{
  struct master *m = arg;

  if (db_err(res) == ERR_FAILED)
    log_error("poll", "%s", db_errtext(res));
  else if (!db_err(res))
    hints_say(m->hints, HINT_looks);
}

/* Somebody wants a look, and another master has the lease. Where nobody is known to have it just now (giving, the database is away) the next heartbeat says more. */
static void ask_owner(struct poll_state *ps)
{
  struct db_tx *tx;

  if (!ps->once_more || ps->epoch || !ps->id || !db_is_up(ps->w->m->db))
    return;
  ps->once_more = false;
  ps->began_ms = clock_mono_ms();
  tx = db_tx(ps->w->m->db, DB_ANY);
  db_q(tx, SQL_poll_asked, "n", ps->id);
  db_send(tx, owner_asked, ps->w->m);
}

static void on_timer(uv_timer_t *t)
{
  struct poll_state *ps = t->data;
  struct db_tx *tx;
  char *stored;

  if (ps->busy || ps->w->m->stopping)
    return;
  if (!lease_held(ps)) {
    ask_owner(ps);
    return;
  }
  ps->busy = true;
  ps->once_more = false;
  ps->began_ms = clock_mono_ms();
  ps->served = ps->asked;
  tx = db_tx(ps->w->m->db, DB_ANY);
  db_q(tx, SQL_heads_get, "ns", ps->p->id, poll_conf(ps)->name);
  db_q(tx, SQL_tags_get, "ns", ps->p->id, poll_conf(ps)->name);
  stored = login_stored(ps->w->m->conf, &poll_conf(ps)->login);
  ps->stored = stored != NULL;
  if (stored)
    db_q(tx, SQL_secrets_named, "s", stored);
  free(stored);
  db_send(tx, heads_read, ps);
}

const struct conf_codebase *poll_conf(const struct poll_state *ps)
{
  return &ps->p->conf->codebases[ps->codebase];
}

bool poll_login(const struct poll_state *ps, const struct secret_rows *rows, struct poll_login *out, struct buf *why)
{
  const struct conf_login *l = &poll_conf(ps)->login;
  enum vcs_login kind = poll_conf(ps)->git ? conf_login_kind(l, poll_conf(ps)->git) : VCS_LOGIN_NONE;

  *out = (struct poll_login){ .l = { .user = l->user, .bearer = l->bearer, .host_keys = (const char *const *)l->host_keys, .nhost_keys = l->nhost_keys } };
  if (kind == VCS_LOGIN_NONE)
    return true;
  out->value = login_value(ps->w->m->conf, rows, l, why);
  if (kind == VCS_LOGIN_KEY)
    out->l.key = out->value;
  else
    out->l.token = out->value;
  return out->value != NULL;
}

void poll_login_free(struct poll_login *l)
{
  secret_wipe(l->value);
}

/* ---- life ---- */

void poller_add(struct worlds *w, struct world *p)
{
  const struct conf_project *conf = p->conf;

  p->polls = xcalloc((size_t)conf->ncodebases, sizeof(struct poll_state *));
  for (int i = 0; i < conf->ncodebases; i++) {
    struct poll_state *ps = xcalloc(1, sizeof *ps);
    const char *name = conf->codebases[i].name;
    *ps = (struct poll_state){ .w = w, .p = world_hold(p), .codebase = i };
    ps->name = xasprintf("%s%s%s", conf->name, *name ? "/" : "", name);
    ps->mirror = xasprintf("%s%s%s", conf->name, *name ? "@" : "", name);
    p->polls[i] = ps;
    uv_timer_init(w->m->loop, &ps->timer);
    ps->timer.data = ps;
    list_init(&ps->waiters);
    list_push(&w->polls, &ps->node);
    w->handles++;
  }
  p->poll = p->polls[conf->main];
}

void worlds_look(struct worlds *w, struct world *p, int codebase)
{
  struct poll_state *ps = p->polls ? p->polls[codebase] : NULL;

  if (!ps || !poll_conf(ps)->git || w->m->stopping)
    return;
  ps->once_more = true; /* also where a look is under way: what happened may be younger than what that sees */
  if (!ps->busy)
    look_now(ps);
}

static void timer_closed(uv_handle_t *h)
{
  struct poll_state *ps = h->data;
  struct worlds *w = ps->w;

  ps->closed = true;
  maybe_free(ps);
  worlds_closed(w);
}

void poller_remove(struct world *p)
{
  struct poll_state **polls = p->polls;

  for (int i = 0; i < p->conf->ncodebases; i++) {
    lease_forget(polls[i]);
    uv_close((uv_handle_t *)&polls[i]->timer, timer_closed);
  }
  free(polls);
  p->polls = NULL;
  p->poll = NULL;
}

/* Helpers and database have answered all: no look is under way. */
void poller_close(struct worlds *w)
{
  for (int i = 0; i < w->n; i++)
    poller_remove(w->v[i]);
}
