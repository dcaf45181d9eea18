/* Which worker gets which request: thousands of generated cases against a naive model, and the reasons by hand. */
#include "master/dispatch/choose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

enum { CASES = 40000, WORKERS_MAX = 7, TAGS_MAX = 4, TERMS_MAX = 3 };

/* Conditions, and the same ones in C. */
static bool model_memory(const struct worker_is *w) { return w->memory >= INT64_C(8) << 30; }
static bool model_cores(const struct worker_is *w) { return w->cores >= 0 && (w->cores == 2 || w->cores > 4); }
static bool model_linux(const struct worker_is *w) { return w->os && !strcmp(w->os, "linux"); }
static bool model_gpu(const struct worker_is *w)
{
  for (int i = 0; i < w->ntags; i++)
    if (!strcmp(w->tags[i], "gpu"))
      return true;
  return false;
}
static bool model_never(const struct worker_is *w) { return (void)w, false; }

static const struct {
  const char *text;
  bool (*model)(const struct worker_is *w);
} conditions[] = {
  { "memory >= 8G", model_memory }, { "cores == 2 or cores > 4", model_cores }, { "os == \"linux\"", model_linux }, { "\"gpu\" in tags", model_gpu }, { "slots / 0 == 1", model_never },
  { "moon == \"full\"", model_never }, /* of another version */
};

static const char *const tag_names[] = { "linux", "arm64", "gpu", "linux2", "" };

static uint64_t seed = 20240229;

static int below(int n)
{
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (int)((seed >> 33) % (unsigned)n);
}

static int some_tags(const char **out, int max)
{
  int n = below(max + 1);

  for (int i = 0; i < n; i++)
    out[i] = tag_names[below((int)COUNT(tag_names))];
  return n;
}

static bool among(const char *tag, const char *const *tags, int n)
{
  for (int i = 0; i < n; i++)
    if (!strcmp(tags[i], tag))
      return true;
  return false;
}

/* A request of a case. */
struct asked {
  const char *tags[TAGS_MAX];
  const struct want_term *terms[TERMS_MAX];
  int which[TERMS_MAX], ntags, nterms;
};

static bool tagged(const struct choose_worker *w, const struct asked *a)
{
  for (int i = 0; i < a->ntags; i++)
    if (!among(a->tags[i], w->is.tags, w->is.ntags))
      return false;
  return true;
}

static bool suits(const struct choose_worker *w, const struct asked *a)
{
  for (int i = 0; i < a->nterms; i++)
    if (!conditions[a->which[i]].model(&w->is))
      return false;
  return tagged(w, a);
}

static int choose(const struct choose_worker *w, int n, const struct asked *a, enum choose_reason *why, int *which)
{
  return choose_worker(w, n, &(struct choose_want){ a->tags, a->ntags, a->terms, a->nterms }, why, which);
}

static struct worker_is some_worker(const char **tags)
{
  static const char *const systems[] = { "linux", "freebsd", "", NULL };
  static const int64_t memories[] = { WANT_UNKNOWN, 0, (INT64_C(8) << 30) - 1, INT64_C(8) << 30, INT64_MAX };

  return (struct worker_is){ .name = "w", .tags = tags, .ntags = some_tags(tags, TAGS_MAX), .slots = 1 + below(4), .os = systems[below(4)], .cores = below(7) - 1, .memory = memories[below(5)],
                             .disk = WANT_UNKNOWN, .disk_free = WANT_UNKNOWN };
}

/* Of all that suit and can take it: none that is before it in the order. Written as the definition, with a number for each part of it, not as a search. */
static bool may_have_it(const struct choose_worker *w)
{
  return w->used < w->is.slots && !w->low && !w->cleaning && !w->paused && !w->closed && !w->quarantined;
}

enum { PARTS = 6 };

static void place(const struct choose_worker *w, int at, double out[PARTS])
{
  out[0] = w->spoilt;
  out[1] = w->weight == 0;
  out[2] = !(w->warm && w->used <= w->is.slots / 2.0);
  out[3] = (double)w->used / w->is.slots / (w->weight ? w->weight : 1);
  out[4] = -w->weight;
  out[5] = at;
}

static bool is_best(const struct choose_worker *w, int n, const struct asked *asked, int at)
{
  double mine[PARTS], other[PARTS];

  if (!suits(&w[at], asked) || !may_have_it(&w[at]))
    return false;
  place(&w[at], at, mine);
  for (int i = 0; i < n; i++) {
    if (i == at || !suits(&w[i], asked) || !may_have_it(&w[i]))
      continue;
    place(&w[i], i, other);
    for (int k = 0; k < PARTS; k++)
      if (other[k] < mine[k] - 1e-12)
        return false;
      else if (other[k] > mine[k] + 1e-12)
        break;
  }
  return true;
}

static void check_none_fits(const struct choose_worker *w, int n, const struct asked *a, enum choose_reason why, int which)
{
  int some_tagged = 0;

  for (int i = 0; i < n; i++)
    some_tagged += tagged(&w[i], a);
  assert_int_equal(why, some_tagged ? CHOOSE_NO_WANT : CHOOSE_NO_TAG);
  assert_in_range(which, 0, some_tagged ? a->nterms : a->ntags);
  for (int t = 0; t < a->ntags && !some_tagged && t <= which; t++) { /* had by somebody up to there, by nobody there */
    bool had = false;
    for (int i = 0; i < n; i++)
      had = had || among(a->tags[t], w[i].is.tags, w[i].is.ntags);
    assert_int_equal(had, t < which);
  }
  for (int t = 0; t < a->nterms && some_tagged && t <= which; t++) { /* likewise met by somebody with all tags */
    bool met = false;
    for (int i = 0; i < n; i++)
      met = met || (tagged(&w[i], a) && conditions[a->which[t]].model(&w[i].is));
    assert_int_equal(met, t < which);
  }
}

/* What keeps a worker from it, the gravest first; of all that suit the one whose gravest is the mildest is told. */
static enum choose_reason gravest(const struct choose_worker *w)
{
  if (w->paused)
    return CHOOSE_PAUSED;
  if (w->closed)
    return CHOOSE_CALENDAR;
  if (w->low)
    return CHOOSE_DISK;
  if (w->quarantined)
    return CHOOSE_QUARANTINE;
  return w->used >= w->is.slots ? CHOOSE_FULL : CHOOSE_CLEANING;
}

static void check_waits(const struct choose_worker *w, int n, const struct asked *a, enum choose_reason why, int which)
{
  assert_in_range(which, 0, n - 1);
  assert_true(suits(&w[which], a));
  assert_int_equal(gravest(&w[which]), why);
  for (int i = 0; i < n; i++)
    if (suits(&w[i], a)) {
      assert_true(gravest(&w[i]) >= why);
      assert_true(gravest(&w[i]) > why || i >= which); /* the first of them */
    }
}

static void against_the_model(void **state)
{
  int seen[CHOOSE_REASONS] = { 0 };
  struct wants *wants = wants_new();

  (void)state;
  for (int c = 0; c < CASES; c++) {
    const char *worker_tags[WORKERS_MAX][TAGS_MAX];
    struct choose_worker w[WORKERS_MAX];
    struct asked a = { .nterms = below(TERMS_MAX + 1) };
    int n = below(WORKERS_MAX + 1), at, which, best = -1, suiting = 0;
    enum choose_reason why;

    a.ntags = some_tags(a.tags, 3);
    for (int i = 0; i < a.nterms; i++) {
      a.which[i] = below(below(4) ? 4 : (int)COUNT(conditions));
      a.terms[i] = wants_get(wants, conditions[a.which[i]].text);
    }
    for (int i = 0; i < n; i++) {
      struct worker_is is = some_worker(worker_tags[i]);
      w[i] = (struct choose_worker){ .is = is, .used = below(is.slots + 2), .weight = below(5) * 25, .low = !below(6), .paused = !below(6), .closed = !below(6), .quarantined = !below(6),
                                     .cleaning = !below(6), .warm = !below(3), .spoilt = !below(3) };
    }
    at = choose(w, n, &a, &why, &which);
    for (int i = 0; i < n; i++) {
      suiting += suits(&w[i], &a);
      if (is_best(w, n, &a, i)) {
        assert_int_equal(best, -1); /* the order is total */
        best = i;
      }
    }
    assert_int_equal(at, best);
    seen[why]++;
    if (best >= 0) {
      assert_int_equal(why, CHOOSE_OK);
      assert_int_equal(which, -1);
    } else if (!n) {
      assert_int_equal(why, CHOOSE_NONE_CONNECTED);
    } else if (!suiting) {
      check_none_fits(w, n, &a, why, which);
    } else {
      check_waits(w, n, &a, why, which);
    }
  }
  assert_int_equal(wants_count(wants), COUNT(conditions));
  wants_free(wants);
  for (size_t i = 0; i < COUNT(seen); i++)
    assert_true(seen[i] > CASES / 200);
  print_message("choose: %d cases (%d chosen, %d none connected, %d no tag, %d no such condition, %d full, %d low, %d cleaning, %d quarantine, %d calendar, %d paused)\n", CASES, seen[CHOOSE_OK],
                seen[CHOOSE_NONE_CONNECTED], seen[CHOOSE_NO_TAG], seen[CHOOSE_NO_WANT], seen[CHOOSE_FULL], seen[CHOOSE_DISK], seen[CHOOSE_CLEANING], seen[CHOOSE_QUARANTINE], seen[CHOOSE_CALENDAR],
                seen[CHOOSE_PAUSED]);
}

/* Claims taken one by one from the same choice: no worker gets more than its slots, and all slots are filled. */
static void slots_are_filled_and_not_more(void **state)
{
  (void)state;
  for (int c = 0; c < 500; c++) {
    struct choose_worker w[WORKERS_MAX];
    int n = 1 + below(WORKERS_MAX), room = 0, given = 0, which;
    enum choose_reason why;

    for (int i = 0; i < n; i++) {
      w[i] = (struct choose_worker){ .is = { .name = "w", .slots = 1 + below(8) }, .weight = CHOOSE_WEIGHT };
      room += w[i].is.slots;
    }
    for (int at; (at = choose(w, n, &(struct asked){ .ntags = 0 }, &why, &which)) >= 0; given++) {
      w[at].used++;
      assert_true(w[at].used <= w[at].is.slots);
      for (int i = 0; i < n; i++) /* even: nobody is more than one build ahead of another's share */
        assert_true((w[at].used - 1) * w[i].is.slots <= w[i].used * w[at].is.slots);
    }
    assert_int_equal(given, room);
    assert_int_equal(why, CHOOSE_FULL);
  }
}

static void by_hand(void **state)
{
  static const char *const linux_tag[] = { "linux" }, *const gpu_tag[] = { "gpu" };
  const struct asked for_linux = { .tags = { "linux" }, .ntags = 1 }, both = { .tags = { "linux", "gpu" }, .ntags = 2 }, gpu = { .tags = { "gpu" }, .ntags = 1 }, any = { .ntags = 0 };
  struct choose_worker w[] = { { .is = { .name = "a", .tags = linux_tag, .ntags = 1, .slots = 2 }, .used = 1 }, { .is = { .name = "b", .tags = gpu_tag, .ntags = 1, .slots = 4 }, .used = 1 },
                               { .is = { .name = "c", .tags = linux_tag, .ntags = 1, .slots = 2 }, .used = 1 } };
  enum choose_reason why;
  int which;

  (void)state;
  assert_int_equal(choose(w, 3, &for_linux, &why, &which), 0);  /* first of equals */
  assert_int_equal(choose(w, 3, &any, &why, &which), 1);        /* a quarter used is less than a half */
  assert_int_equal(choose(w, 3, &both, &why, &which), -1);      /* both are there, on no one worker */
  assert_int_equal(why, CHOOSE_NO_TAG);
  assert_int_equal(which, 2);
  w[0].used = w[2].used = 2;
  assert_int_equal(choose(w, 3, &for_linux, &why, &which), -1);
  assert_int_equal(why, CHOOSE_FULL);
  assert_int_equal(which, 0);
  w[2].used = 1;
  w[2].low = true; /* it would have a slot, but no room */
  assert_int_equal(choose(w, 3, &for_linux, &why, &which), -1);
  assert_int_equal(why, CHOOSE_FULL);
  w[0].low = true;
  assert_int_equal(choose(w, 3, &for_linux, &why, &which), -1);
  assert_int_equal(why, CHOOSE_DISK);
  assert_int_equal(which, 0);
  assert_int_equal(choose(w, 3, &gpu, &why, &which), 1);
  assert_true(choose_has_tags(&w[0].is, NULL, 0));
  assert_false(choose_has_tags(&w[0].is, both.tags, 2));
}

/* Who is taken where several can. */
static void preferences(void **state)
{
  struct choose_worker w[] = { { .is = { .name = "a", .slots = 2 }, .weight = 50 }, { .is = { .name = "b", .slots = 2 }, .weight = 80 }, { .is = { .name = "c", .slots = 2 }, .weight = 0 } };
  const struct asked any = { .ntags = 0 };
  enum choose_reason why;
  int which, got[2] = { 0 };

  (void)state;
  assert_int_equal(choose(w, 3, &any, &why, &which), 1); /* idle: the heavier one */
  w[0].warm = true;
  assert_int_equal(choose(w, 3, &any, &why, &which), 0); /* it has the tree */
  w[0].used = 1;
  assert_int_equal(choose(w, 3, &any, &why, &which), 0); /* half of it is free */
  w[0].used = 2;
  assert_int_equal(choose(w, 3, &any, &why, &which), 1);
  w[0].used = 0;
  w[0].spoilt = true;
  assert_int_equal(choose(w, 3, &any, &why, &which), 1); /* anywhere else */
  w[1].used = 2;
  assert_int_equal(choose(w, 3, &any, &why, &which), 2); /* even there */
  w[2].paused = true;
  assert_int_equal(choose(w, 3, &any, &why, &which), 0); /* rather than not at all */
  w[0] = (struct choose_worker){ .is = { .name = "a", .slots = 100 }, .weight = 25 };
  w[1] = (struct choose_worker){ .is = { .name = "b", .slots = 100 }, .weight = 75 };
  w[2].paused = false;
  for (int i = 0; i < 100; i++) {
    int at = choose(w, 3, &any, &why, &which);
    assert_in_range(at, 0, 1); /* weight 0: somebody else can */
    w[at].used++;
    got[at]++;
  }
  assert_int_equal(got[0], 25);
  assert_int_equal(got[1], 75);
}

/* What is said where no worker meets a condition. */
static void in_words(void **state)
{
  static const struct worker_is a = { .name = "build1", .os = "linux", .arch = "arm64", .isolation = "plain", .slots = 2, .cores = 4, .memory = INT64_C(8) << 30, .disk = WANT_UNKNOWN, .disk_free = WANT_UNKNOWN },
                                b = { .name = "build2", .os = "freebsd", .slots = 2, .cores = 2, .memory = WANT_UNKNOWN, .disk = WANT_UNKNOWN, .disk_free = WANT_UNKNOWN };
  static const struct { const char *text, *said; } cases[] = {
    { "memory >= 16G", " (the most is 8 GiB on build1)" }, { "16G <= memory", " (the most is 8 GiB on build1)" }, { "cores > 8", " (the most is 4 on build1)" },
    { "cores < 2", " (the least is 2 on build2)" }, { "disk_free > 1G", " (none tells it)" }, { "os == \"macos\"", " (there are linux and freebsd)" }, { "arch == \"x86\"", " (there is arm64)" },
    { "release == \"6\"", " (none tells it)" }, { "isolation == \"namespaces\"", " (there is plain)" }, { "cgroup == \"kill\"", " (none tells it)" }, { "os in [\"macos\"]", "" }, { "cores == 7", "" }, { "cores > slots", "" }, { "not tags", ", which this version of the master can't read" },
  };
  const struct worker_is *both[] = { &a, &b };
  struct wants *wants = wants_new();
  char said[200];

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    want_say(wants_get(wants, cases[i].text), both, 2, said, sizeof said);
    assert_string_equal(said, cases[i].said);
    assert_false(want_met(wants_get(wants, cases[i].text), &a) && i != 12);
  }
  want_say(wants_get(wants, "cores > 8"), both, 0, said, sizeof said);
  assert_string_equal(said, "");
  wants_free(wants);
}

/* However many conditions there are, memory has an end. */
static void known_conditions_are_bounded(void **state)
{
  struct wants *wants = wants_new();
  char text[40];

  (void)state;
  for (int i = 0; i < WANTS_KNOWN_MAX * 2 + 10; i++) {
    snprintf(text, sizeof text, "cores > %d", i);
    wants_trim(wants);
    assert_string_equal(wants_get(wants, text)->text, text);
    assert_ptr_equal(wants_get(wants, text), wants_get(wants, text));
    assert_true(wants_count(wants) <= WANTS_KNOWN_MAX + 1);
  }
  wants_free(wants);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(against_the_model), cmocka_unit_test(slots_are_filled_and_not_more), cmocka_unit_test(by_hand), cmocka_unit_test(preferences), cmocka_unit_test(in_words),
                                     cmocka_unit_test(known_conditions_are_bounded) };

  return cmocka_run_group_tests_name("choose", tests, NULL, NULL) ? 1 : 0;
}
