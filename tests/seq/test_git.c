/* The checkout, exhaustively: every script of replies, cancelled after every number of commands, for each kind of repository and target, taken over by another master at every point.
   Each run is compared with the same checkout written as a straight line (model). */
#include "tests/lib/stepfix.h"

#include "master/changes/githelper.h"

enum { COMMANDS_MAX = STEPFIX_COMMANDS_MAX, NEVER = -1, ALWAYS = -2 };

/* What the worker may answer to a command. LOST also stands for a worker that stayed away. In the state `revision` an OK is of several kinds. */
enum answer { A_OK, A_FAILED, A_NOTFOUND, A_TIMEOUT, A_BROKEN, A_LOST, A_PLAIN, A_CANCELLED = 99 };
static const enum reply_kind kind_of[A_PLAIN] = { REPLY_OK, REPLY_FAILED, REPLY_NOTFOUND, REPLY_TIMEOUT, REPLY_BROKEN, REPLY_LOST };

#define HEX40 "0123456789abcdef0123456789abcdef01234567"
#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
static const struct { const char *output, *revision; } heads[] = {
  { HEX40 "\n", HEX40 }, { HEX64 "\n", HEX64 }, { HEX40, HEX40 }, { "", NULL }, { "HEAD\n", NULL }, { "0123456789abcdef\n", NULL },
  { HEX40 "0\n", NULL }, { "0123456789ABCDEF0123456789ABCDEF01234567\n", NULL }, { " " HEX40 "\n", NULL }, { HEX40 "; touch x\n", NULL }, { HEX64 "00\n", NULL },
};

struct world {
  const char *name, *url, *branch, *revision, *target;
  bool local;
  const char *ref, *spec;
  const char *patch;
  struct pipe_checkout how;
  const char *left;      /* how the tree was left; NULL: nobody knows */
  const char *codebase;  /* the one that is found, of several; NULL: there is one repository */
  bool other;            /* the build was set off by another codebase, whose ref and patch are not this one's */
};
static const char *const nested[] = { "lib/core", "a*b c", NULL };
static const struct world worlds[] = {
  { "remote, tip", "https://git.example.org/libfoo.git", "main", "", "refs/remotes/origin/main", false, NULL, NULL, .patch = NULL },
  { "remote, revision", "git@git.example.org:libfoo.git", "release/1.x", HEX40, HEX40, false, NULL, NULL, .patch = NULL },
  { "remote, revision without branch", "ssh://git@git.example.org/libfoo.git", "", "0123abc", "0123abc", false, NULL, NULL, .patch = NULL },
  { "local, tip", "/srv/git/lib foo.git", "main", "", "refs/remotes/origin/main", true, NULL, NULL, .patch = NULL },
  { "local, revision", "file:///srv/git/libfoo.git", "main", HEX64, HEX64, true, NULL, NULL, .patch = NULL },
  { "remote, tag", "https://git.example.org/libfoo.git", "", HEX40, HEX40, false, "refs/tags/v1.0", "+refs/tags/v1.0:refs/tags/v1.0", .patch = NULL },
  { "remote, patch", "https://git.example.org/libfoo.git", "main", HEX40, HEX40, false, NULL, NULL, .patch = "--- a/x\n+++ b/x\n" },
  { "local, pull request", "/srv/git/libfoo.git", "", HEX40, HEX40, true, "refs/pull/7/head", "+refs/pull/7/head:refs/pull/7/head", .patch = NULL },
  { "another layout", "https://git.example.org/libfoo.git", "main", HEX40, HEX40, .how = { .layout = "" }, .left = "core of core\nui of ui" },
  { "the same layout", "https://git.example.org/libfoo.git", "main", HEX40, HEX40, .how = { .layout = "core of core" , .to = "core", .codebase = "core" }, .left = "core of core", .codebase = "core" },
  { "depth, tip", "https://git.example.org/libfoo.git", "main", "", "refs/remotes/origin/main", .spec = "+refs/heads/main:refs/remotes/origin/main", .how = { .depth = 3 } },
  { "depth, tag, another layout", "https://git.example.org/libfoo.git", "", HEX40, HEX40, .ref = "refs/tags/v1.0", .spec = "+refs/tags/v1.0:refs/tags/v1.0", .how = { .depth = 3, .layout = "short" }, .left = "" },
  { "submodules", "https://git.example.org/libfoo.git", "main", HEX40, HEX40, .how = { .submodules = true } },
  { "submodules, not cleaned", "https://git.example.org/libfoo.git", "main", HEX40, HEX40, .how = { .submodules = true, .keep = true } },
  { "not cleaned", "https://git.example.org/libfoo.git", "main", HEX40, HEX40, .how = { .keep = true } },
  { "the main codebase with others in it", "/srv/git/core.git", "main", HEX40, HEX40, true, .how = { .to = "sub/dir", .inside = (const char **)nested }, .codebase = "core" },
  { "a codebase that did not set it off", "https://git.example.org/ui.git", "main", HEX40, HEX40, .ref = "refs/tags/v1.0", .patch = "--- a/x\n", .how = { .codebase = "ui" }, .codebase = "ui", .other = true },
};

static bool has_ref(const struct world *w)
{
  return w->ref && !w->other;
}

/* Too many ways to try each with each: taken over at every place or nowhere, and cancelled only on the straight way. */
static bool is_long(const struct world *w)
{
  return w->how.depth || w->how.submodules;
}

static bool has_patch(const struct world *w)
{
  return w->patch && !w->other;
}

static long runs, adopted_runs, moves_made;
static double scripts_stood_for;
static uint64_t moves_seen[64];

/* ---- the model: the same checkout as a straight line ---- */

struct told {
  const char *state[COMMANDS_MAX + 1];
  int n;
  enum result result;
  const char *revision;
};

static int choices_in(const char *state)
{
  return strcmp(state, "revision") ? A_PLAIN : A_PLAIN + (int)COUNT(heads) - 1;
}

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

static enum result failed(int a)
{
  return a == A_CANCELLED ? RESULT_CANCELLED : a == A_LOST ? RESULT_RETRY : a == A_BROKEN || a == A_TIMEOUT ? RESULT_EXCEPTION : RESULT_FAILURE;
}

static enum result broken(int a)
{
  return a == A_CANCELLED || a == A_LOST ? failed(a) : RESULT_EXCEPTION;
}

/* What brings the revision. */
static int transfer(struct told *t, const struct stepfix_script *s, int cancel, const struct world *w, bool tree)
{
  int a = A_OK;

  if (w->how.depth && !tree)
    a = ask(t, "init", s, cancel);
  if (is_ok(a) && w->how.depth && ((a = ask(t, "shallow", s, cancel)) == A_FAILED || a == A_NOTFOUND))
    a = ask(t, "fetch", s, cancel);
  else if (w->how.depth)
    return a;
  else
    a = ask(t, tree ? "fetch" : "clone", s, cancel);
  if (is_ok(a) && has_ref(w) && ((a = ask(t, "ref", s, cancel)) == A_FAILED || a == A_NOTFOUND))
    a = A_OK; /* the checkout will tell */
  return a;
}

static enum result model(struct told *t, const struct stepfix_script *s, int cancel, const struct world *w)
{
  static const char *const modules[] = { "origin", "sync", "submodules" };
  bool wiped = false, tree;
  int a;

  if (w->local && !is_ok(a = ask(t, "trust", s, cancel)))
    return failed(a);
  a = ask(t, "stat", s, cancel);
  tree = is_ok(a);
  if (!tree && a != A_NOTFOUND)
    return broken(a);
  if (w->left && strcmp(w->left, w->how.layout)) {
    if (!is_ok(a = ask(t, "wipe", s, cancel)))
      return broken(a);
    tree = false;
  }
  for (;;) {
    a = transfer(t, s, cancel, w, tree);
    if (is_ok(a))
      a = ask(t, "checkout", s, cancel);
    for (size_t i = 0; i < COUNT(modules) && w->how.submodules && is_ok(a); i++)
      a = ask(t, modules[i], s, cancel);
    if (is_ok(a) && !w->how.keep)
      a = ask(t, "clean", s, cancel);
    if (is_ok(a) && !w->how.keep && w->how.submodules)
      a = ask(t, "subclean", s, cancel);
    if (is_ok(a))
      break;
    if (wiped || a == A_BROKEN || a == A_LOST || a == A_CANCELLED)
      return failed(a);
    if (!is_ok(a = ask(t, "remove", s, cancel)))
      return broken(a);
    wiped = true;
    tree = false;
  }
  a = ask(t, "revision", s, cancel);
  if (!is_ok(a))
    return broken(a);
  t->revision = heads[a == A_OK ? 0 : a - A_PLAIN + 1].revision;
  if (!t->revision || !has_patch(w))
    return t->revision ? RESULT_SUCCESS : RESULT_EXCEPTION;
  a = ask(t, "patch", s, cancel);
  return is_ok(a) ? RESULT_SUCCESS : a == A_FAILED ? RESULT_FAILURE : broken(a);
}

/* ---- what may be sent ---- */

#define SAFE "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"

static void check_argv(const struct world *w, const char *state, const struct intent *in)
{
  const struct { const char *state, *argv[16]; } table[] = {
    { "trust", { "git", "config", "--global", "--replace-all", "safe.directory", "*" } },
    { "clone", { "git", SAFE, "clone", "--no-checkout", "--no-local", "--origin", "origin", "--", w->url, "." } },
    { w->how.depth ? "" : "fetch", { "git", SAFE, "fetch", "--force", "--prune", "--", w->url, "+refs/heads/*:refs/remotes/origin/*" } },
    { "fetch", { "git", SAFE, "fetch", "--force", "--prune", "--depth", "2147483647", "--", w->url, "+refs/heads/*:refs/remotes/origin/*" } },
    { "init", { "git", SAFE, "init", "--quiet" } },
    { "shallow", { "git", SAFE, "fetch", "--force", "--no-tags", "--depth", "3", "--", w->url, *w->revision ? "+" HEX40 ":refs/drover/built" : w->spec } },
    { "origin", { "git", "config", "--replace-all", "remote.origin.url", w->url } },
    { "sync", { "git", SAFE, "submodule", "sync", "--recursive" } },
    { "submodules", { "git", SAFE, "submodule", "update", "--init", "--recursive", "--force", "--checkout" } },
    { "subclean", { "git", SAFE, "submodule", "foreach", "--recursive", "git clean -ffdqx" } },
    { "patch", { "git", SAFE, "apply", "--index", "--whitespace=nowarn", "-p1", "-" } },
    { "ref", { "git", SAFE, "fetch", "--force", "--no-tags", "--", w->url, w->spec } },
    { "checkout", { "git", SAFE, "-c", "advice.detachedHead=false", "checkout", "--force", "--detach", w->target, "--" } },
    { w->how.inside ? "clean" : "", { "git", SAFE, "clean", "-ffdqx", "-e", "/lib/core", "-e", "/a\\*b\\ c" } },
    { "clean", { "git", SAFE, "clean", "-ffdqx" } },
    { "revision", { "git", "rev-parse", "--verify", "HEAD" } },
  };
  const char *argv[STEPFIX_WORDS_MAX + 1];
  int n = stepfix_all(&in->spec, "arg", argv);

  for (size_t i = 0; i < COUNT(table); i++) {
    if (strcmp(table[i].state, state))
      continue;
    for (int k = 0; k < 16; k++)
      if (k > n || (table[i].argv[k] ? !argv[k] || strcmp(argv[k], table[i].argv[k]) : argv[k] != NULL))
        fail_msg("%s: word %d of %s is %s", w->name, k, state, k < n ? argv[k] : "(none)");
      else if (!argv[k])
        return;
  }
  fail_msg("%s runs a command", state);
}

static void check_intent(const struct world *w, const char *state, const struct intent *in, int *removed)
{
  const char *values[STEPFIX_WORDS_MAX + 1], *to = w->how.to;
  char tree[128], path[200];

  snprintf(tree, sizeof tree, "libfoo/linux/3/tree%s%s", to ? "/" : "", to ? to : "");
  if (in->want == WANT_RUN) {
    check_argv(w, state, in);
    assert_false(in->spec.failed);
    assert_int_equal(stepfix_all(&in->spec, "cwd", values), 1);
    assert_string_equal(values[0], strcmp(state, "trust") ? tree : "libfoo/linux/3/home");
    assert_int_equal(stepfix_all(&in->spec, "path", values), 4);
    *strrchr(tree, '/') = 0;
    snprintf(path, sizeof path, "GIT_CEILING_DIRECTORIES=%s", tree);
    assert_string_equal(values[3], path);
  } else if (in->want == WANT_OP && in->op == VERB_remove) {
    if (strcmp(state, "wipe"))
      assert_string_equal(state, "remove");
    assert_string_equal(in->path, strcmp(state, "wipe") ? tree : "libfoo/linux/3/tree");
    *removed += !strcmp(state, "remove");
    assert_true(*removed <= 1);
  } else if (in->want == WANT_OP) {
    assert_int_equal(in->op, VERB_stat);
    assert_string_equal(state, "stat");
    snprintf(path, sizeof path, "%s/.git", tree);
    assert_string_equal(in->path, path);
  }
}

/* ---- one run of the machine ---- */

static struct reply reply_of(int a)
{
  struct reply r = { REPLY_OK, 0, false, "-", "", "" };

  if (a == A_CANCELLED)
    r = (struct reply){ REPLY_CANCELLED, 15, true, "cancel", "", "" };
  else if (a == A_OK || a >= A_PLAIN)
    r.output = heads[a == A_OK ? 0 : a - A_PLAIN + 1].output;
  else
    r = (struct reply){ kind_of[a], 128, false, a == A_TIMEOUT ? "idle" : a == A_LOST ? "boot" : "-", "why", HEX40 "\n" };
  return r;
}

/* Another master makes the step from what the database holds: kind, state, variables, and the build's properties. */
static void take_over(struct step *s, struct build_ctx *ctx, struct intent *in, const struct pipe_step *def)
{
  struct build_ctx ctx2 = *ctx;
  struct step s2;
  struct intent in2;
  struct buf vars, vars2;

  buf_init(&vars, BUF_NO_MAX);
  buf_init(&vars2, BUF_NO_MAX);
  step_vars(s, &vars);
  ctx2.got_revision = xstrdup(ctx->got_revision);
  assert_int_equal(step_init(&s2, def, &ctx2, "git", sm_name(&s->sm), buf_str(&vars)), ERR_OK);
  step_vars(&s2, &vars2);
  assert_string_equal(buf_str(&vars), buf_str(&vars2));
  step_enter(&s2, &in2);
  assert_true(stepfix_same(in, &in2));
  intent_free(in);
  free(ctx->got_revision);
  *ctx = ctx2;
  *s = s2;
  s->ctx = ctx;
  *in = in2;
  buf_free(&vars);
  buf_free(&vars2);
}

static void one(const struct world *w, struct stepfix_script *sc, int cancel, int adopt)
{
  const struct pipe_step def = { .name = "checkout", .kind = PIPE_CHECKOUT, .checkout = w->how };
  struct build_stamp stamps[] = { { VCS_GIT, "another", "https://git.example.org/another.git", "dev", HEX64, w->other, .got = NULL }, { VCS_GIT, w->codebase, w->url, w->branch, w->revision, !w->other, .got = NULL } };
  struct build_ctx ctx = w->codebase ? stepfix_ctx("https://git.example.org/another.git", "dev", HEX64) : stepfix_ctx(w->url, w->branch, w->revision);
  struct told told = { .n = 0 };
  struct intent in;
  struct step s;
  int n = 0, removed = 0, at;

  ctx.allow_local = w->local;
  ctx.layout = w->left;
  ctx.ref = w->ref;
  if (w->codebase) {
    ctx.stamps = stamps;
    ctx.nstamps = COUNT(stamps);
    ctx.main = "core";
  }
  ctx.patch = w->patch;
  ctx.patch_len = w->patch ? strlen(w->patch) : 0;
  ctx.patch_level = 1;
  assert_int_equal(step_init(&s, &def, &ctx, NULL, NULL, NULL), ERR_OK);
  for (step_enter(&s, &in); in.want != WANT_END; n++) {
    struct reply r;
    if (n == COMMANDS_MAX)
      fail_msg("%s: no end after %d commands", stepfix_case, n);
    check_intent(w, sm_name(&s.sm), &in, &removed);
    if (adopt == ALWAYS || adopt == n)
      take_over(&s, &ctx, &in, &def);
    ctx.fresh = ctx.fresh && in.want != WANT_RUN; /* sent */
    told.state[n] = sm_name(&s.sm);
    if (cancel != n) {
      sc->choices[n] = choices_in(sm_name(&s.sm));
      sc->used = n + 1;
    }
    r = reply_of(cancel == n ? A_CANCELLED : sc->answer[n]);
    intent_free(&in);
    at = s.sm.state;
    step_got(&s, &r, &in);
    if (s.sm.state != at) {
      assert_true(step_git.rows[at].next & SM_TO(s.sm.state));
      moves_seen[at] |= SM_TO(s.sm.state);
      moves_made++;
    }
  }
  /* The straight line says the same. */
  struct told want = { .n = 0 };
  enum result result = model(&want, sc, cancel, w);
  if (want.n != n || in.result != result)
    fail_msg("%s: %d commands, %s; the model says %d, %s", stepfix_case, n, result_text(in.result), want.n, result_text(result));
  for (int i = 0; i < n; i++)
    assert_string_equal(want.state[i], told.state[i]);
  assert_int_equal(s.result, result);
  assert_true(*in.summary);
  if (w->codebase) {
    assert_true((stamps[1].got != NULL) == (want.revision != NULL));
    if (want.revision)
      assert_string_equal(stamps[1].got, want.revision);
  }
  assert_true((ctx.got_revision != NULL) == (want.revision && !w->other));
  if (ctx.got_revision)
    assert_string_equal(ctx.got_revision, want.revision);
  free(stamps[1].got);
  if (result == RESULT_CANCELLED)
    assert_true(cancel == n - 1);
  intent_free(&in);
  free(ctx.got_revision);
}

static void describe(const struct world *w, const struct stepfix_script *s, int cancel, int adopt)
{
  size_t n = (size_t)snprintf(stepfix_case, sizeof stepfix_case, "git: %s, cancel after %d, taken over at %d, replies", w->name, cancel, adopt);

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
    if (cancel == NEVER || used == cancel) { /* else it ended before: the same run as without a cancel */
      double stands_for = 1;
      for (int i = used; i < COMMANDS_MAX; i++)
        stands_for *= A_PLAIN;
      scripts_stood_for += stands_for;
      for (int adopt = ALWAYS; adopt < (cancel != NEVER || is_long(w) ? NEVER : used); adopt++) { /* a cancelled run's beginnings are among the others */
        if (adopt == NEVER)
          continue;
        describe(w, &s, cancel, adopt);
        one(w, &s, cancel, adopt);
        adopted_runs++;
      }
    }
    s.used = used;
  } while (!(is_long(w) && cancel != NEVER) && stepfix_next(&s));
}

static void every_script_and_cancel(void **state)
{
  (void)state;
  for (size_t i = 0; i < COUNT(worlds); i++)
    for (int cancel = NEVER; cancel <= COMMANDS_MAX; cancel++)
      all_scripts(&worlds[i], cancel);
  print_message("git: %ld runs, and %ld taken over on the way; %ld moves; they stand for %.3g scripts of %d replies\n", runs, adopted_runs, moves_made,
                scripts_stood_for, COMMANDS_MAX);
  /* The table allows nothing that never happens. */
  for (int i = 0; i < step_git.count; i++)
    if (moves_seen[i] != step_git.rows[i].next)
      fail_msg("state %s: the table allows %llx, seen were %llx", step_git.rows[i].name, (unsigned long long)step_git.rows[i].next, (unsigned long long)moves_seen[i]);
}

/* ---- names that must not reach git ---- */

static long refused;

static void must_refuse(const char *url, const char *branch, const char *revision, bool allow_local)
{
  static const struct pipe_step def = { .name = "checkout", .kind = PIPE_CHECKOUT };
  struct build_ctx ctx = stepfix_ctx(url, branch, revision);
  struct intent in;
  struct step s;

  snprintf(stepfix_case, sizeof stepfix_case, "git: url %.100s branch %.100s revision %.100s\n", url, branch, revision);
  ctx.allow_local = allow_local;
  assert_int_equal(step_init(&s, &def, &ctx, NULL, NULL, NULL), ERR_OK);
  step_enter(&s, &in);
  if (in.want != WANT_END || in.result != RESULT_EXCEPTION || !*in.summary || in.spec.len)
    fail_msg("taken: %s", stepfix_case);
  assert_string_equal(sm_name(&s.sm), "failed");
  assert_null(ctx.got_revision);
  intent_free(&in);
  refused++;
}

static void refs(void **state)
{
  static const char *const good[] = { "refs/tags/v1", "refs/tags/a/b", "refs/pull/1/head", "refs/merge-requests/12/head", "refs/pull-requests/3/from" };
  static const char *const bad[] = { "", "refs/tags/", "refs/tags/-x", "refs/tags/a b", "refs/tags/a..b", "refs/tags/v1^{}", "refs/heads/main", "refs/pull/0/head", "refs/pull/7/merge", "refs/pull/x/head",
                                     "refs/pull/7/head:refs/x", "refs/pull/-7/head", "refs/pull/7", "refs/pull//head", "refs/pull-requests/3/head", "+refs/tags/v1", "tags/v1", "refs/tags/v1\n" };
  static const struct pipe_step def = { .name = "checkout", .kind = PIPE_CHECKOUT };

  (void)state;
  for (size_t i = 0; i < COUNT(good); i++)
    assert_true(gith_is_ref(good[i]));
  for (size_t i = 0; i < COUNT(bad); i++) {
    struct build_ctx ctx = stepfix_ctx("https://git.example.org/x.git", "", HEX40);
    struct intent in;
    struct step s;
    assert_false(gith_is_ref(bad[i]));
    ctx.ref = bad[i];
    assert_int_equal(step_init(&s, &def, &ctx, NULL, NULL, NULL), ERR_OK);
    step_enter(&s, &in);
    assert_true(in.want == WANT_END && in.result == RESULT_EXCEPTION && in.spec.len == 0);
    intent_free(&in);
  }
}

static const char GOOD_URL[] = "https://git.example.org/x.git", GOOD_BRANCH[] = "main", GOOD_REVISION[] = HEX40;

/* Each in the place of the branch, the revision and the address, the other two being fine. */
static void everywhere(const char *word)
{
  for (int local = 0; local < 2; local++) {
    if (*word) {
      must_refuse(GOOD_URL, word, "", local);
      must_refuse(GOOD_URL, word, GOOD_REVISION, local);
      must_refuse(GOOD_URL, GOOD_BRANCH, word, local);
    }
    must_refuse(word, GOOD_BRANCH, "", local);
    must_refuse(word, GOOD_BRANCH, GOOD_REVISION, local);
  }
}

static void hostile_words_end_at_once(void **state)
{
  static const char *const words[] = {
    "-", "--", "--upload-pack=touch x", "--upload-pack=x", "-oProxyCommand=x", "-u", "-c", "--exec=x", "--output=/tmp/x", "--config=core.sshCommand=x", "--template=x", "-b",
    "ext::sh -c x", "ext::sh%20-c%20x", "fd::17", "./x", "../x", "~/x", "$(touch x)", "`touch x`", "; touch x", "| touch x", "& touch x", "a b", "a\tb", "a\nb", "a\rb",
    "a\x7f" "b", "a\x01" "b", "a\x1b[31m", "'x'", "\"x\"", "${IFS}", "<x", ">x", "*", "?", "a*b", "[a]", "a^", "a^{}", "a~1", "a\\b", "a..b", "..", ".", "a.lock", "a//b", "a/", "@{",
    "a@{1}", "@{-1}", "HEAD^{/x}", ":/x", "main:x", "+main", "^main", "%x", "#", "!x", "{a}", "a,b", "a=b", "\xff", "javascript://h/x", "transport::https://h/x", "refs/heads/../x",
  };
  char word[64];

  (void)state;
  everywhere("");
  for (size_t i = 0; i < COUNT(words); i++)
    everywhere(words[i]);
  must_refuse(GOOD_URL, "", "", false); /* nothing to check out */
  for (size_t i = 0; i < COUNT(words); i++)
    must_refuse(GOOD_URL, "", words[i], false);
  print_message("git: %ld hostile names, all refused before any command\n", refused);
  /* Every byte before, in and behind a name: a name that is taken has no byte that means anything to git or a shell. */
  for (int c = 1; c < 256; c++) {
    static const char *const shapes[] = { "%cmain", "ma%cin", "main%c", "0123abc%c", "%c0123abc" };
    for (size_t k = 0; k < COUNT(shapes); k++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
      snprintf(word, sizeof word, shapes[k], c);
#pragma GCC diagnostic pop
      if (!gith_is_branch(word))
        must_refuse(GOOD_URL, word, "", true);
      else
        assert_true(word[0] != '-' && !strpbrk(word, " \t\r\n\"'`$\\;&|<>*?[]{}()~^:!#%,="));
      if (!gith_is_revision(word))
        must_refuse(GOOD_URL, GOOD_BRANCH, word, true);
      else
        assert_int_equal(strspn(word, "0123456789abcdef"), strlen(word));
    }
  }
}

static void local_places_need_the_setting(void **state)
{
  static const char *const places[] = { "/srv/git/x.git", "file:///srv/git/x.git", "/etc", "file:///" };

  (void)state;
  for (size_t i = 0; i < COUNT(places); i++) {
    must_refuse(places[i], GOOD_BRANCH, "", false);
    must_refuse(places[i], GOOD_BRANCH, GOOD_REVISION, false);
  }
}

/* ---- what the database may hold ---- */

static void strange_rows_are_refused(void **state)
{
  static const struct pipe_step def = { .name = "checkout", .kind = PIPE_CHECKOUT };
  struct build_ctx ctx = stepfix_ctx(GOOD_URL, GOOD_BRANCH, "");
  struct step s;

  (void)state;
  assert_int_equal(step_init(&s, &def, &ctx, "cvs", "stat", "{}"), ERR_UNKNOWN);
  assert_int_equal(step_init(&s, &def, &ctx, "git", "rebase", "{}"), ERR_UNKNOWN);
  assert_int_equal(step_init(&s, &def, &ctx, "git", "", "{}"), ERR_UNKNOWN);
  static const char *const vars[] = { "", "{}", "{", "[]", "null", "{\"retried\":1}", "{\"retried\":\"true\"}", "{\"other\":{\"retried\":true}}" };
  for (size_t i = 0; i < COUNT(vars); i++) {
    assert_int_equal(step_init(&s, &def, &ctx, "git", "fetch", vars[i]), ERR_OK);
    assert_false(s.retried);
  }
  assert_int_equal(step_init(&s, &def, &ctx, "git", "fetch", "{\"retried\":true,\"new\":1}"), ERR_OK);
  assert_true(s.retried);
}

/* Names that lead to no codebase of the build end the step before any command. */
static void codebases_that_are_none(void **state)
{
  struct build_stamp stamps[] = { { VCS_GIT, "core", GOOD_URL, GOOD_BRANCH, "", true, .got = NULL }, { VCS_GIT, "ui", "--upload-pack=x", GOOD_BRANCH, "", false, .got = NULL } };
  static const struct { const char *said, *main, *summary; int n; } rows[] = {
    { "core", NULL, "the project has one repository, and no codebase \"core\"", 0 },
    { NULL, NULL, "the project has several codebases: say which is to be checked out", 2 },
    { NULL, "gone", "nothing of the codebase \"gone\" is to be built: it was no codebase of the project when this was asked for", 2 },
    { "server", "core", "nothing of the codebase \"server\" is to be built: it was no codebase of the project when this was asked for", 2 },
    { "ui", "core", "this repository address may not be used: --upload-pack=x", 2 },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(rows); i++) {
    struct pipe_step def = { .name = "checkout", .kind = PIPE_CHECKOUT, .checkout = { .codebase = rows[i].said } };
    struct build_ctx ctx = stepfix_ctx(GOOD_URL, GOOD_BRANCH, "");
    struct intent in;
    struct step s;
    ctx.stamps = stamps;
    ctx.nstamps = rows[i].n;
    ctx.main = rows[i].main;
    assert_int_equal(step_init(&s, &def, &ctx, NULL, NULL, NULL), ERR_OK);
    step_enter(&s, &in);
    assert_int_equal(in.want, WANT_END);
    assert_int_equal(in.result, RESULT_EXCEPTION);
    assert_string_equal(in.summary, rows[i].summary);
    intent_free(&in);
  }
}

/* A step that is made anew in an end state has not succeeded unless it had. */
static void stored_ends_are_no_success(void **state)
{
  static const struct pipe_step def = { .name = "checkout", .kind = PIPE_CHECKOUT };
  struct build_ctx ctx = stepfix_ctx(GOOD_URL, GOOD_BRANCH, "");
  struct intent in;
  struct step s;

  (void)state;
  assert_int_equal(step_init(&s, &def, &ctx, "git", "failed", "{}"), ERR_OK);
  step_enter(&s, &in);
  assert_int_equal(in.want, WANT_END);
  assert_int_equal(in.result, RESULT_EXCEPTION);
  intent_free(&in);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_script_and_cancel),       cmocka_unit_test(refs), cmocka_unit_test(hostile_words_end_at_once), cmocka_unit_test(local_places_need_the_setting),
    cmocka_unit_test(codebases_that_are_none), cmocka_unit_test(strange_rows_are_refused),      cmocka_unit_test(stored_ends_are_no_success),
  };

  stepfix_watch_aborts();
  return cmocka_run_group_tests_name("git", tests, NULL, NULL) ? 1 : 0;
}
