/* The checkouts by svn and hg, exhaustively: every script of replies, cancelled after every number of commands, for each kind of repository and target, taken over by another master at every point.
   Each run is compared with the same checkout as a straight line, which is a list of states for each kind; and names that must not reach the programs end before any command. */
#include "tests/lib/stepfix.h"

#include "master/changes/githelper.h"

enum { COMMANDS_MAX = 13, NEVER = -1, ALWAYS = -2, WORDS = 24 };

enum answer { A_OK, A_FAILED, A_NOTFOUND, A_TIMEOUT, A_BROKEN, A_LOST, A_PLAIN, A_CANCELLED = 99 };
static const enum reply_kind kind_of[A_PLAIN] = { REPLY_OK, REPLY_FAILED, REPLY_NOTFOUND, REPLY_TIMEOUT, REPLY_BROKEN, REPLY_LOST };

#define HEX40 "0123456789abcdef0123456789abcdef01234567"
struct head {
  const char *output, *revision; /* NULL: none */
};
static const struct head svn_heads[] = { { "42\n", "42" }, { "2147483647", "2147483647" }, { "", NULL }, { "0\n", NULL }, { "2147483648\n", NULL }, { "42; touch x\n", NULL }, { "-1\n", NULL },
                                         { "421111111111111111111111111\n", NULL }, { "42\n43\n", NULL } };
static const struct head hg_heads[] = { { HEX40 "\n", HEX40 }, { HEX40, HEX40 }, { "", NULL }, { HEX40 "0\n", NULL }, { "0123456\n", NULL }, { HEX40 "+\n", NULL }, { " " HEX40, NULL } };

/* anew and there, up to NULL: what brings a tree where none was and where one was; then both go through `then`. */
static const struct machine {
  const struct step_kind *kind;
  const char *hidden;
  const char *anew[2], *there[3], *then[3];
  const struct head *heads;
  int nheads;
} svn = { &step_svn, ".svn", { "checkout" }, { "cleanup", "switch" }, { "revert", "purge" }, svn_heads, COUNT(svn_heads) },
  hg = { &step_hg, ".hg", { "clone" }, { "pull" }, { "update", "purge" }, hg_heads, COUNT(hg_heads) };

struct world {
  const char *name;
  const struct machine *machine;
  enum vcs vcs;
  const char *url, *branch, *revision;
  bool local;
  const char *place, *at; /* what the program is told: svn's URL and revision; hg's set */
  struct pipe_checkout how;
  const char *left;       /* the layout that the last checkout left */
};
static const char *inside[] = { "lib/core", "u i", NULL };
static const struct world worlds[] = {
  { "svn, tip", &svn, VCS_SVN, "https://svn.example.org/x", "trunk", "", false, "https://svn.example.org/x/trunk@HEAD", "HEAD", { 0 }, NULL },
  { "svn, revision", &svn, VCS_SVN, "svn://svn.example.org/x@y/", "branches/1.x", "42", false, "svn://svn.example.org/x@y/branches/1.x@42", "42", { 0 }, NULL },
  { "svn, local tag", &svn, VCS_SVN, "file:///srv/svn/a b", "tags/v1", "7", true, "file:///srv/svn/a b/tags/v1@7", "7", { 0 }, NULL },
  { "svn, folder", &svn, VCS_SVN_FOLDER, "http://svn.example.org/x/manual//", "trunk", "42", false, "http://svn.example.org/x/manual@42", "42", { 0 }, NULL },
  { "hg, tip", &hg, VCS_HG, "https://hg.example.org/x", "default", "", false, "https://hg.example.org/x", "last(head() and branch('literal:default') and not closed())", { 0 }, NULL },
  { "hg, revision", &hg, VCS_HG, "http://hg.example.org/", "feature", HEX40, false, "http://hg.example.org/", "id(" HEX40 ")", { 0 }, NULL },
  { "hg, tag", &hg, VCS_HG, "/srv/hg/a b", "", "0123abc", true, "/srv/hg/a b", "id(0123abc)", { 0 }, NULL },
  { "svn, of several", &svn, VCS_SVN, "https://svn.example.org/x", "branches/1.x", "42", false, "https://svn.example.org/x/branches/1.x@42", "42", { .codebase = "manual", .to = "man/ual", .layout = "b" }, "a" },
  { "svn, kept", &svn, VCS_SVN, "https://svn.example.org/x", "trunk", "42", false, "https://svn.example.org/x/trunk@42", "42", { .keep = true }, NULL },
  { "hg, of several", &hg, VCS_HG, "https://hg.example.org/x", "default", HEX40, false, "https://hg.example.org/x", "id(" HEX40 ")", { .codebase = "manual", .to = "man/ual", .inside = inside, .layout = "b" }, "a" },
  { "hg, kept", &hg, VCS_HG, "https://hg.example.org/x", "default", "", false, "https://hg.example.org/x", "last(head() and branch('literal:default') and not closed())", { .keep = true, .layout = "b" }, "b" },
};

static long runs, adopted_runs;
static uint64_t moves_seen[2][64];

/* ---- the straight line ---- */

struct told {
  const char *state[COMMANDS_MAX + 1];
  int n;
  const char *revision;
};

static bool is_ok(int a)
{
  return a == A_OK || (a >= A_PLAIN && a != A_CANCELLED);
}

static int ask(struct told *t, const char *state, const struct stepfix_script *s, int cancel)
{
  assert_true(t->n < COMMANDS_MAX);
  t->state[t->n++] = state;
  return cancel == t->n - 1 ? A_CANCELLED : s->answer[t->n - 1];
}

/* All of a list up to one that does not go well. */
static int ask_all(struct told *t, const char *const *states, int most, const struct stepfix_script *s, int cancel)
{
  int a = A_OK;

  for (int i = 0; i < most && states[i] && is_ok(a); i++)
    a = ask(t, states[i], s, cancel);
  return a;
}

static enum result failed(int a)
{
  return a == A_CANCELLED ? RESULT_CANCELLED : a == A_LOST ? RESULT_RETRY : a == A_BROKEN || a == A_TIMEOUT ? RESULT_EXCEPTION : RESULT_FAILURE;
}

static enum result broken(int a)
{
  return a == A_CANCELLED || a == A_LOST ? failed(a) : RESULT_EXCEPTION;
}

static enum result model(struct told *t, const struct world *w, const struct stepfix_script *s, int cancel)
{
  const struct machine *m = w->machine;
  int a = ask(t, "stat", s, cancel);
  bool tree = is_ok(a);

  if (!tree && a != A_NOTFOUND)
    return broken(a);
  if (w->left && strcmp(w->left, w->how.layout)) {
    if (!is_ok(a = ask(t, "wipe", s, cancel)))
      return broken(a);
    tree = false;
  }
  for (bool wiped = false;; wiped = true, tree = false) {
    a = tree ? ask_all(t, m->there, COUNT(m->there), s, cancel) : ask_all(t, m->anew, COUNT(m->anew), s, cancel);
    if (is_ok(a))
      a = ask_all(t, m->then, w->how.keep ? 1 : COUNT(m->then), s, cancel);
    if (is_ok(a))
      break;
    if (wiped || a == A_BROKEN || a == A_LOST || a == A_CANCELLED)
      return failed(a);
    if (!is_ok(a = ask(t, "remove", s, cancel)))
      return broken(a);
  }
  a = ask(t, "revision", s, cancel);
  if (!is_ok(a))
    return broken(a);
  t->revision = m->heads[a == A_OK ? 0 : a - A_PLAIN + 1].revision;
  return t->revision ? RESULT_SUCCESS : RESULT_EXCEPTION;
}

/* ---- what may be sent ---- */

#define ALONE "--non-interactive", "--no-auth-cache"
#define HG "hg", "--noninteractive", "--config", "ui.timeout=30"

static void check_argv(const struct world *w, const char *state, const struct intent *in)
{
  const struct { const struct machine *machine; const char *state, *argv[WORDS]; } table[] = {
    { &svn, "checkout", { "svn", "checkout", ALONE, "--ignore-externals", "--force", "-r", w->at, "--", w->place, "." } },
    { &svn, "cleanup", { "svn", "cleanup", "--non-interactive", "." } },
    { &svn, "switch", { "svn", "switch", ALONE, "--ignore-externals", "--ignore-ancestry", "--force", "--accept", "postpone", "--set-depth", "infinity", "-r", w->at, "--", w->place, "." } },
    { &svn, "revert", { "svn", "revert", "--non-interactive", "-q", "-R", "." } },
    { &svn, "purge", { "svn", "cleanup", "--non-interactive", "-q", "--remove-unversioned", "--remove-ignored", "." } },
    { &svn, "revision", { "svn", "info", "--non-interactive", "--show-item", "last-changed-revision", "." } },
    { &hg, "clone", { HG, "clone", "--noupdate", "--", w->place, "." } },
    { &hg, "pull", { HG, "pull", "--", w->place } },
    { &hg, "update", { HG, "update", "--clean", "--rev", w->at } },
    { &hg, "purge", { HG, "--config", "extensions.purge=", "purge", "--all", w->how.inside ? "-X" : NULL, "path:lib/core", "-X", "path:u i" } },
    { &hg, "revision", { HG, "log", "--rev", ".", "--template", "{node}\\n" } },
  };
  const char *argv[STEPFIX_WORDS_MAX + 1];
  int n = stepfix_all(&in->spec, "arg", argv);

  for (size_t i = 0; i < COUNT(table); i++) {
    if (table[i].machine != w->machine || strcmp(table[i].state, state))
      continue;
    for (int k = 0; k < WORDS; k++)
      if (k > n || (table[i].argv[k] ? !argv[k] || strcmp(argv[k], table[i].argv[k]) : argv[k] != NULL))
        fail_msg("%s: word %d of %s is %s", w->name, k, state, k < n ? argv[k] : "(none)");
      else if (!argv[k])
        return;
  }
  fail_msg("%s runs a command", state);
}

static bool has(const char *const *values, const char *value)
{
  for (; *values; values++)
    if (!strcmp(*values, value))
      return true;
  return false;
}

static void check_intent(const struct world *w, const char *state, const struct intent *in, int *removed)
{
  const char *values[STEPFIX_WORDS_MAX + 1];
  char path[64];

  if (in->want == WANT_RUN) {
    check_argv(w, state, in);
    assert_false(in->spec.failed);
    assert_int_equal(stepfix_all(&in->spec, "cwd", values), 1);
    assert_string_equal(values[0], w->how.to ? "libfoo/linux/3/tree/man/ual" : "libfoo/linux/3/tree");
    stepfix_all(&in->spec, "env", values);
    assert_true(w->vcs != VCS_HG || (has(values, "HGRCPATH=") && has(values, "HGRCSKIPREPO=1") && has(values, "HGPLAIN=1")));
  } else if (in->want == WANT_OP && in->op == VERB_remove) {
    assert_true(!strcmp(state, "remove") || (!strcmp(state, "wipe") && !*removed));
    assert_string_equal(in->path, w->how.to && strcmp(state, "wipe") ? "libfoo/linux/3/tree/man/ual" : "libfoo/linux/3/tree");
    *removed += !strcmp(state, "remove");
    assert_true(*removed < 2);
  } else if (in->want == WANT_OP) {
    assert_int_equal(in->op, VERB_stat);
    assert_string_equal(state, "stat");
    snprintf(path, sizeof path, "libfoo/linux/3/tree/%s%s", w->how.to ? "man/ual/" : "", w->machine->hidden);
    assert_string_equal(in->path, path);
  }
}

/* ---- one run of the machine ---- */

static struct reply reply_of(const struct machine *m, int a)
{
  struct reply r = { REPLY_OK, 0, false, "-", "", "" };

  if (a == A_CANCELLED)
    r = (struct reply){ REPLY_CANCELLED, 15, true, "cancel", "", "" };
  else if (is_ok(a))
    r.output = m->heads[a == A_OK ? 0 : a - A_PLAIN + 1].output;
  else
    r = (struct reply){ kind_of[a], 1, false, a == A_TIMEOUT ? "idle" : a == A_LOST ? "boot" : "-", "why", m->heads[0].output };
  return r;
}

/* Another master makes the step from what the database holds. */
static void take_over(struct step *s, const struct pipe_step *def, struct build_ctx *ctx, struct intent *in)
{
  struct step s2;
  struct intent in2;
  struct buf vars;

  buf_init(&vars, BUF_NO_MAX);
  step_vars(s, &vars);
  assert_int_equal(step_init(&s2, def, ctx, s->kind->name, sm_name(&s->sm), buf_str(&vars)), ERR_OK);
  assert_int_equal(s2.retried, s->retried);
  step_enter(&s2, &in2);
  assert_true(stepfix_same(in, &in2));
  intent_free(in);
  *s = s2;
  *in = in2;
  buf_free(&vars);
}

static void one(const struct world *w, struct stepfix_script *sc, int cancel, int adopt)
{
  const struct machine *m = w->machine;
  struct pipe_step def = { .name = "checkout", .kind = PIPE_CHECKOUT, .checkout = w->how };
  struct build_ctx ctx = stepfix_ctx(w->url, w->branch, w->revision);
  struct build_stamp stamps[] = { { VCS_GIT, "core", "https://git.example.org/x", "main", HEX40, true, .got = NULL }, { w->vcs, "manual", w->url, w->branch, w->revision, false, .got = NULL } };
  struct told told = { .n = 0 }, want = { .n = 0 };
  enum result result;
  struct intent in;
  struct step s;
  int n = 0, removed = 0, at;
  char *got;

  ctx.allow_local = w->local;
  ctx.vcs = w->how.codebase ? VCS_GIT : w->vcs;
  ctx.layout = w->left;
  if (w->how.codebase) { /* of a set that something in git has set off */
    ctx.stamps = stamps;
    ctx.nstamps = COUNT(stamps);
    ctx.main = "core";
  }
  assert_int_equal(step_init(&s, &def, &ctx, NULL, NULL, NULL), ERR_OK);
  assert_ptr_equal(s.kind, m->kind);
  for (step_enter(&s, &in); in.want != WANT_END; n++) {
    struct reply r;
    if (n == COMMANDS_MAX)
      fail_msg("%s: no end after %d commands", stepfix_case, n);
    check_intent(w, sm_name(&s.sm), &in, &removed);
    if (adopt == ALWAYS || adopt == n)
      take_over(&s, &def, &ctx, &in);
    ctx.fresh = ctx.fresh && in.want != WANT_RUN; /* sent */
    told.state[n] = sm_name(&s.sm);
    if (cancel != n) {
      sc->choices[n] = strcmp(told.state[n], "revision") ? A_PLAIN : A_PLAIN + m->nheads - 1;
      sc->used = n + 1;
    }
    r = reply_of(m, cancel == n ? A_CANCELLED : sc->answer[n]);
    intent_free(&in);
    at = s.sm.state;
    step_got(&s, &r, &in);
    if (s.sm.state != at)
      moves_seen[m == &hg][at] |= SM_TO(s.sm.state);
  }
  result = model(&want, w, sc, cancel);
  if (want.n != n || in.result != result)
    fail_msg("%s: %d commands, %s; the straight line has %d, %s", stepfix_case, n, result_text(in.result), want.n, result_text(result));
  for (int i = 0; i < n; i++)
    assert_string_equal(want.state[i], told.state[i]);
  assert_int_equal(s.result, result);
  assert_true(*in.summary);
  got = w->how.codebase ? stamps[1].got : ctx.got_revision;
  assert_true((got != NULL) == (want.revision != NULL));
  if (got)
    assert_string_equal(got, want.revision);
  assert_true(!w->how.codebase || (!ctx.got_revision && !stamps[0].got)); /* that of the codebase which set it off */
  intent_free(&in);
  free(got);
}

static void describe(const struct world *w, const struct stepfix_script *s, int cancel, int adopt)
{
  size_t n = (size_t)snprintf(stepfix_case, sizeof stepfix_case, "%s, cancel after %d, taken over at %d, replies", w->name, cancel, adopt);

  for (int i = 0; i < COMMANDS_MAX; i++)
    n += (size_t)snprintf(stepfix_case + n, sizeof stepfix_case - n, " %d", s->answer[i]);
  snprintf(stepfix_case + n, sizeof stepfix_case - n, "\n");
}

static void all_scripts(const struct world *w, int cancel)
{
  struct stepfix_script s = { .used = 0 };

  do {
    int used;
    describe(w, &s, cancel, NEVER);
    one(w, &s, cancel, NEVER);
    used = s.used;
    runs++;
    for (int adopt = ALWAYS; cancel == NEVER && adopt < used; adopt++) {
      if (adopt == NEVER)
        continue;
      describe(w, &s, cancel, adopt);
      one(w, &s, cancel, adopt);
      adopted_runs++;
    }
    s.used = used;
  } while (stepfix_next(&s));
}

static void every_script_and_cancel(void **state)
{
  static const struct machine *const machines[] = { &svn, &hg };

  (void)state;
  for (size_t i = 0; i < COUNT(worlds); i++)
    for (int cancel = NEVER; cancel <= COMMANDS_MAX; cancel++)
      all_scripts(&worlds[i], cancel);
  print_message("svn, hg: %ld runs, and %ld taken over on the way\n", runs, adopted_runs);
  /* The tables allow nothing that never happens. */
  for (size_t k = 0; k < COUNT(machines); k++)
    for (int i = 0; i < machines[k]->kind->count; i++)
      if (moves_seen[k][i] != machines[k]->kind->rows[i].next)
        fail_msg("%s, state %s: the table allows %llx, seen were %llx", machines[k]->kind->name, machines[k]->kind->rows[i].name, (unsigned long long)machines[k]->kind->rows[i].next,
                 (unsigned long long)moves_seen[k][i]);
}

/* ---- what must not reach the programs ---- */

static long refused;

static void must_refuse(enum vcs vcs, const char *url, const char *branch, const char *revision, bool local, const char *patch)
{
  const struct pipe_step def = { .name = "checkout", .kind = PIPE_CHECKOUT };
  struct build_ctx ctx = stepfix_ctx(url, branch, revision);
  struct intent in;
  struct step s;

  snprintf(stepfix_case, sizeof stepfix_case, "%d: url %.100s branch %.100s revision %.100s\n", (int)vcs, url, branch, revision);
  ctx.allow_local = local;
  ctx.vcs = vcs;
  ctx.patch = patch;
  ctx.patch_len = patch ? strlen(patch) : 0;
  assert_int_equal(step_init(&s, &def, &ctx, NULL, NULL, NULL), ERR_OK);
  step_enter(&s, &in);
  if (in.want != WANT_END || in.result != RESULT_EXCEPTION || !*in.summary || in.spec.len)
    fail_msg("taken: %s", stepfix_case);
  assert_string_equal(sm_name(&s.sm), "failed");
  intent_free(&in);
  refused++;
}

static void hostile_words_end_at_once(void **state)
{
  static const char *const words[] = {
    "-", "--", "--config=x", "-r1", "--debugger", "$(touch x)", "; touch x", "a b", "a\tb", "a\nb", "a\x7f" "b", "'x'", "\"x\"", "*", "a^", "a~1", "a\\b", "a..b", "..", ".", "a//b", "a/", "@{", "a@{1}",
    "x') or all() or branch('", "svn+ssh://h/x", "ssh://-oProxyCommand=x/y", "ext::sh", "static-http://h/x", "bundle:x", "union:a+b", "file:x", "./x", "~/x", "\xff", "HEAD", "tip", "1:HEAD", "{2020-01-01}", "all()",
  };
  static const struct { enum vcs vcs; const char *url, *branch, *revision; } good[] = {
    { VCS_SVN, "https://svn.example.org/x", "trunk", "42" }, { VCS_SVN_FOLDER, "https://svn.example.org/x", "trunk", "42" }, { VCS_HG, "https://hg.example.org/x", "default", HEX40 } };

  (void)state;
  for (size_t k = 0; k < COUNT(good); k++)
    for (size_t i = 0; i < COUNT(words); i++)
      for (int local = 0; local < 2; local++) {
        must_refuse(good[k].vcs, words[i], good[k].branch, good[k].revision, local, NULL);
        must_refuse(good[k].vcs, good[k].url, good[k].branch, words[i], local, NULL);
        if (!gith_is_branch(words[i]))
          must_refuse(good[k].vcs, good[k].url, words[i], good[k].revision, local, NULL);
      }
  for (size_t k = 0; k < COUNT(good); k++) {
    must_refuse(good[k].vcs, "", good[k].branch, good[k].revision, true, NULL);
    must_refuse(good[k].vcs, "file:///srv/x", good[k].branch, good[k].revision, false, NULL);
    must_refuse(good[k].vcs, "/srv/x", good[k].branch, good[k].revision, false, NULL);
    must_refuse(good[k].vcs, good[k].url, "", "", true, NULL);
    must_refuse(good[k].vcs, good[k].url, good[k].branch, good[k].revision, true, "--- a/x\n+++ b/x\n");
    must_refuse(VCS_COUNT, good[k].url, good[k].branch, good[k].revision, true, NULL);
  }
  must_refuse(VCS_SVN, "/srv/x", "trunk", "42", true, NULL); /* svn wants file:// */
  must_refuse(VCS_SVN, good[0].url, "", "42", true, NULL);   /* of which branch? */
  must_refuse(VCS_SVN, good[0].url, "trunk", HEX40, true, NULL);
  must_refuse(VCS_SVN_FOLDER, good[0].url, "branches/x", "42", true, NULL);
  must_refuse(VCS_HG, good[2].url, "default", "42", true, NULL);
  must_refuse(VCS_HG, "svn://h/x", "default", "", true, NULL);
  print_message("svn, hg: %ld hostile names, all refused before any command\n", refused);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(every_script_and_cancel), cmocka_unit_test(hostile_words_end_at_once) };

  stepfix_watch_aborts();
  return cmocka_run_group_tests_name("checkouts", tests, NULL, NULL) ? 1 : 0;
}
