/* The git helper and its driver with local repositories: what is told of new, merged, forced, deleted branches, what is read, and the sentences of failures. */
#include "tests/lib/gitfix.h"

static char *url_of(const char *repo)
{
  return gitfix_path(repo);
}

static void new_repo(const char *repo)
{
  char *path = gitfix_path(repo);

  gitfix_remove(path);
  gitfix_git(NULL, "init", "-q", "-b", "main", repo);
  free(path);
}

static void poll_repo(struct gitfix_got *got, const char *repo, const struct gitfix_got *known)
{
  char *url = url_of(repo);

  gitfix_poll_with(got, repo, url, true, known, NULL, 0);
  if (got->err)
    fail_msg("%s: %s", repo, got->why);
  free(url);
}

static void read_repo(struct gitfix_got *got, const char *repo, const char *branch, const char *revision, const char *path)
{
  char *url = url_of(repo);

  gitfix_read(got, repo, url, true, branch, revision, path);
  free(url);
}

static void text_is(const struct gitfix_got *got, const char *text)
{
  assert_string_equal(buf_str(&got->text), text);
}

static void an_empty_repository_has_no_heads(void **state)
{
  struct gitfix_got got = { 0 };

  (void)state;
  new_repo("empty");
  poll_repo(&got, "empty", NULL);
  assert_int_equal(got.nheads, 0);
  text_is(&got, "");
  gitfix_commit("empty", "main", NULL, "first", "a", "1");
  poll_repo(&got, "empty", &got);
  text_is(&got, "main first root [a]\n");
  gitfix_free_got(&got);
}

static void pushes_are_told_oldest_first(void **state)
{
  struct gitfix_got got = { 0 };

  (void)state;
  new_repo("push");
  gitfix_commit("push", "main", NULL, "one", "a", "1");
  gitfix_commit("push", "main", NULL, "two", "b", "1");
  poll_repo(&got, "push", NULL);
  text_is(&got, "main two [b]\n"); /* nothing known: only the tip */
  assert_string_equal(got.author, "Ada <ada@example.org>");
  assert_string_equal(got.message, "two");
  assert_int_equal(got.author_ms, 1700000000000);
  poll_repo(&got, "push", &got);
  text_is(&got, "");
  assert_int_equal(got.nheads, 1);
  gitfix_commit("push", "main", NULL, "three", "dir/c", "1");
  gitfix_commit("push", "main", NULL, "four", "a", "2");
  gitfix_commit("push", "main", NULL, "five", "dir/d e", "2");
  poll_repo(&got, "push", &got);
  text_is(&got, "main three [dir/c]\nmain four [a]\nmain five [dir/d e]\n");
  gitfix_free_got(&got);
}

static void a_new_branch_tells_what_no_head_reaches(void **state)
{
  struct gitfix_got got = { 0 };

  (void)state;
  new_repo("branch");
  gitfix_commit("branch", "main", NULL, "one", "a", "1");
  gitfix_commit("branch", "main", NULL, "two", "a", "2");
  poll_repo(&got, "branch", NULL);
  gitfix_git("branch", "branch", "same", "main");
  gitfix_git("branch", "branch", "older", "main~1");
  gitfix_commit("branch", "topic/x", "refs/heads/main^0", "topic one", "t", "1");
  gitfix_commit("branch", "topic/x", NULL, "topic two", "t", "2");
  poll_repo(&got, "branch", &got);
  text_is(&got, "topic/x topic one [t]\ntopic/x topic two [t]\n");
  assert_int_equal(got.nheads, 4);
  assert_non_null(gitfix_head(&got, "older"));
  gitfix_free_got(&got);
}

static void a_merge_is_compared_with_its_first_parent(void **state)
{
  struct gitfix_got got = { 0 };

  (void)state;
  new_repo("merge");
  gitfix_commit("merge", "main", NULL, "base", "a", "1");
  poll_repo(&got, "merge", NULL);
  gitfix_commit("merge", "side", "refs/heads/main^0", "side", "s", "1");
  gitfix_commit("merge", "main", NULL, "trunk", "m", "1");
  gitfix_git("merge", "checkout", "-q", "main");
  gitfix_git("merge", "merge", "-q", "--no-ff", "-m", "join", "side");
  gitfix_git("merge", "branch", "-q", "-D", "side");
  poll_repo(&got, "merge", &got);
  assert_int_equal(got.ncommits, 3);
  assert_non_null(strstr(buf_str(&got.text), "main side [s]\n"));
  assert_non_null(strstr(buf_str(&got.text), "main trunk [m]\n"));
  assert_true(str_eq(got.message, "join\n"));
  assert_true(strstr(buf_str(&got.text), "main join [s]\n") > strstr(buf_str(&got.text), "trunk"));
  gitfix_free_got(&got);
}

static void a_force_push_tells_what_the_old_head_did_not_reach(void **state)
{
  struct gitfix_got got = { 0 };

  (void)state;
  new_repo("force");
  gitfix_commit("force", "main", NULL, "one", "a", "1");
  gitfix_commit("force", "main", NULL, "two", "a", "2");
  gitfix_commit("force", "main", NULL, "three", "a", "3");
  poll_repo(&got, "force", NULL);
  gitfix_commit("force", "main", "refs/heads/main~2", "other two", "b", "2");
  gitfix_commit("force", "main", NULL, "other three", "b", "3");
  poll_repo(&got, "force", &got);
  text_is(&got, "main other two [b]\nmain other three [b]\n");
  gitfix_git("force", "update-ref", "refs/heads/main", "refs/heads/main~1");
  poll_repo(&got, "force", &got);
  text_is(&got, ""); /* back: nothing new, but another head */
  assert_int_equal(got.nheads, 1);
  gitfix_free_got(&got);
}

static void a_forgotten_old_head_tells_only_the_tip(void **state)
{
  struct gitfix_got got = { 0 };

  (void)state;
  new_repo("gone");
  gitfix_commit("gone", "main", NULL, "one", "a", "1");
  gitfix_commit("gone", "main", NULL, "two", "a", "2");
  poll_repo(&got, "gone", NULL);
  memset(got.heads[0].revision, 'e', 40);
  poll_repo(&got, "gone", &got);
  text_is(&got, "main two [a]\n");
  gitfix_free_got(&got);
}

static void a_deleted_branch_is_not_in_heads(void **state)
{
  struct gitfix_got got = { 0 };

  (void)state;
  new_repo("del");
  gitfix_commit("del", "main", NULL, "one", "a", "1");
  gitfix_git("del", "branch", "a", "main");
  poll_repo(&got, "del", NULL);
  assert_int_equal(got.nheads, 2);
  gitfix_git("del", "branch", "-q", "-D", "a");
  gitfix_git("del", "branch", "a/b", "main"); /* where a file was is a folder now */
  poll_repo(&got, "del", &got);
  assert_int_equal(got.nheads, 2);
  assert_null(gitfix_head(&got, "a"));
  assert_non_null(gitfix_head(&got, "a/b"));
  text_is(&got, "");
  gitfix_free_got(&got);
}

static void globs_choose_branches(void **state)
{
  static const char *const globs[] = { "main", "release/*" };
  struct gitfix_got got = { 0 };
  char *url = url_of("glob");

  (void)state;
  new_repo("glob");
  gitfix_commit("glob", "main", NULL, "one", "a", "1");
  gitfix_git("glob", "branch", "release/1", "main");
  gitfix_git("glob", "branch", "release/x/1", "main");
  gitfix_git("glob", "branch", "topic", "main");
  gitfix_poll_with(&got, "glob", url, true, NULL, globs, 2);
  assert_int_equal(got.nheads, 2);
  assert_non_null(gitfix_head(&got, "main"));
  assert_non_null(gitfix_head(&got, "release/1"));
  gitfix_free_got(&got);
  free(url);
}

static void odd_branch_names_are_left_alone(void **state)
{
  static const char *const odd[] = { "--upload-pack=x", "--upload-pack=touch${IFS}marker", "-oProxyCommand=x", "$(touch${IFS}marker)", "`touch`", ";touch", "|touch", "&", "'q'", "\"q\"",
                                     "a#1", "{a}", "a,b", "a=b", "!x", "%s%n", "\xc3\xa4", "(x)", "<x>", "a/-b$" };
  static const char *const fine[] = { "a+b", "a@b", "x_y", "1.2", "a/-b", "HEAD" };
  struct gitfix_got got = { 0 };
  char *marker = gitfix_path("marker"), *ref;

  (void)state;
  new_repo("odd");
  gitfix_commit("odd", "main", NULL, "one", "a", "1");
  for (size_t i = 0; i < COUNT(odd) + COUNT(fine); i++) {
    ref = xasprintf("refs/heads/%s", i < COUNT(odd) ? odd[i] : fine[i - COUNT(odd)]);
    gitfix_git("odd", "update-ref", ref, "refs/heads/main");
    free(ref);
  }
  poll_repo(&got, "odd", NULL);
  assert_int_equal(got.nheads, 1 + (int)COUNT(fine));
  assert_int_equal(got.ignored, (int)COUNT(odd));
  for (size_t i = 0; i < COUNT(fine); i++)
    assert_non_null(gitfix_head(&got, fine[i]));
  assert_int_equal(access(marker, F_OK), -1);
  gitfix_free_got(&got);
  free(marker);
}

/* n commits, each with one file, by one fast-import. */
static void many_commits(const char *repo, int n)
{
  struct buf b;

  buf_init(&b, BUF_NO_MAX);
  for (int i = 0; i < n; i++) {
    buf_addf(&b, "commit refs/heads/main\ncommitter Ada <ada@example.org> %d +0000\ndata <<X\npush %d\nX\n", 1700000000 + i / 50, i);
    if (i == 0)
      buf_addf(&b, "from refs/heads/main^0\n");
    buf_addf(&b, "M 644 inline f%d\ndata 2\nx\n\n", i);
  }
  free(gitfix_git_in(repo, b.data, (const char *const[]){ "git", "fast-import", "--quiet", NULL }));
  buf_free(&b);
}

static void a_push_of_300_tells_the_newest_200(void **state)
{
  struct gitfix_got got = { 0 };
  const char *at;

  (void)state;
  new_repo("big");
  gitfix_commit("big", "main", NULL, "base", "a", "1");
  poll_repo(&got, "big", NULL);
  many_commits("big", 300);
  poll_repo(&got, "big", &got);
  assert_int_equal(got.ncommits, GITH_COMMITS_MAX);
  assert_int_equal(got.left_out, 300 - GITH_COMMITS_MAX);
  at = buf_str(&got.text);
  for (int i = 100; i < 300; i++) {
    char line[64];
    snprintf(line, sizeof line, "main push %d [f%d]\n", i, i);
    assert_memory_equal(at, line, strlen(line));
    at += strlen(line);
  }
  gitfix_free_got(&got);
}

static void many_files_are_cut(void **state)
{
  struct gitfix_got got = { 0 };
  struct buf b;

  (void)state;
  new_repo("files");
  buf_init(&b, BUF_NO_MAX);
  buf_adds(&b, "commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\ndata 1\nx\n");
  for (int i = 0; i < GITH_FILES_MAX + 5; i++)
    buf_addf(&b, "M 644 inline d/f%d\ndata 2\nx\n\n", i);
  free(gitfix_git_in("files", b.data, (const char *const[]){ "git", "fast-import", "--quiet", NULL }));
  buf_free(&b);
  poll_repo(&got, "files", NULL);
  assert_int_equal(got.nfiles, GITH_FILES_MAX);
  assert_true(got.files_cut);
  gitfix_free_got(&got);
}

static void bad_text_becomes_utf8(void **state)
{
  static const char in[] = "commit refs/heads/main\nauthor \xff\xfe\x1b[31m <x@\xc0\xaf> 1 +0000\ncommitter A <a@b> 1 +0000\ndata 5\n\xe4\x01 x\n\n"
                           "M 644 inline \"\\377\\n\\303\\244\"\ndata 2\nx\n\n";
  struct gitfix_got got = { 0 };

  (void)state;
  new_repo("text");
  free(gitfix_git_in("text", in, (const char *const[]){ "git", "fast-import", "--quiet", NULL }));
  poll_repo(&got, "text", NULL);
  assert_string_equal(got.committer, "A <a@b>");
  assert_string_equal(got.author, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd[31m <x@\xef\xbf\xbd\xef\xbf\xbd>");
  assert_string_equal(got.message, "\xef\xbf\xbd\x01 x\n");
  assert_non_null(strstr(buf_str(&got.text), "[\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4]"));
  gitfix_free_got(&got);
}

static void a_long_message_is_cut(void **state)
{
  struct gitfix_got got = { 0 };
  char *subject = xmalloc(200001);

  (void)state;
  memset(subject, 'm', 200000);
  subject[200000] = 0;
  new_repo("long");
  gitfix_commit("long", "main", NULL, subject, "a", "1");
  poll_repo(&got, "long", NULL);
  assert_in_range(strlen(got.message), 20000, 65536);
  gitfix_free_got(&got);
  free(subject);
}

static void files_are_read(void **state)
{
  struct gitfix_got got = { 0 };
  char *first, *tip, *big = xmalloc((2u << 20) + 1);

  (void)state;
  memset(big, 'b', 2u << 20);
  big[2u << 20] = 0;
  new_repo("read");
  gitfix_commit("read", "main", NULL, "one", ".drover.yml", "old");
  first = gitfix_rev("read", "main");
  gitfix_commit("read", "main", NULL, "two", ".drover.yml", "new");
  gitfix_commit("read", "main", NULL, "big", "big", big);
  tip = gitfix_rev("read", "main");
  read_repo(&got, "read", "main", "", ".drover.yml");
  assert_int_equal(got.err, ERR_OK);
  assert_true(got.found);
  assert_string_equal(got.file, "new");
  assert_string_equal(got.revision, tip);
  text_is(&got, "main big [big]\n");
  first[9] = 0; /* a short revision; the full one is told */
  read_repo(&got, "read", "main", first, ".drover.yml");
  assert_string_equal(got.file, "old");
  assert_int_equal(strlen(got.revision), 40);
  text_is(&got, "main one root [.drover.yml]\n");
  read_repo(&got, "read", "", first, ".drover.yml"); /* a revision needs no branch */
  assert_string_equal(got.file, "old");
  read_repo(&got, "read", "main", "", "no/such");
  assert_int_equal(got.err, ERR_OK);
  assert_false(got.found);
  assert_string_equal(got.revision, tip);
  read_repo(&got, "read", "main", "", "big");
  assert_int_equal(got.err, ERR_TOOBIG);
  assert_non_null(strstr(got.why, "2097152"));
  gitfix_free_got(&got);
  free(big);
  free(first);
  free(tip);
}

static void a_binary_file_is_read(void **state)
{
  static const char in[] = "commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 1\nx\nM 120000 inline link\ndata 3\nbin\nM 644 inline dir/f\ndata 0\n\nM 644 :1 bin\n";
  struct gitfix_got got = { 0 };
  char *blob, *file = gitfix_path("bytes"), *text;
  FILE *f = fopen(file, "w");

  (void)state;
  for (int i = 0; i < 1024; i++)
    fputc(i & 255, f);
  fclose(f);
  new_repo("bin");
  blob = gitfix_ask("bin", "hash-object", "-w", file);
  text = xasprintf("%.*s%s bin\n", (int)(strstr(in, ":1 bin") - in), in, blob);
  free(gitfix_git_in("bin", text, (const char *const[]){ "git", "fast-import", "--quiet", NULL }));
  read_repo(&got, "bin", "main", "", "bin");
  assert_true(got.found);
  assert_int_equal(got.file_len, 1024);
  for (int i = 0; i < 1024; i++)
    assert_int_equal((unsigned char)got.file[i], i & 255);
  read_repo(&got, "bin", "main", "", "link");
  assert_int_equal(got.err, ERR_FAILED);
  assert_non_null(strstr(got.why, "symbolic link"));
  read_repo(&got, "bin", "main", "", "dir");
  assert_int_equal(got.err, ERR_FAILED);
  assert_non_null(strstr(got.why, "folder"));
  read_repo(&got, "bin", "main", "", "dir/f");
  assert_true(got.found);
  assert_int_equal(got.file_len, 0);
  gitfix_free_got(&got);
  free(text);
  free(blob);
  free(file);
}

static void what_is_not_there(void **state)
{
  static const char *const paths[] = { "", "/etc/passwd", "../x", "a/../b", "a//b", ".", "a/", "./a" };
  struct gitfix_got got = { 0 };
  char *dir = gitfix_path("nothing"), *none = gitfix_path("none"), *repo = url_of("there");

  (void)state;
  new_repo("there");
  gitfix_commit("there", "main", NULL, "one", "a", "1");
  read_repo(&got, "there", "other", "", "a");
  assert_int_equal(got.err, ERR_NOTFOUND);
  assert_string_equal(got.why, "the repository has no branch other");
  read_repo(&got, "there", "main", "0123456789abcdef0123456789abcdef01234567", "a");
  assert_int_equal(got.err, ERR_NOTFOUND);
  assert_non_null(strstr(got.why, "is not in branch main"));
  read_repo(&got, "there", "main", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "a");
  assert_non_null(strstr(got.why, "SHA-256"));
  for (size_t i = 0; i < COUNT(paths); i++) {
    read_repo(&got, "there", "main", "", paths[i]);
    assert_int_equal(got.err, ERR_BADARG);
  }
  assert_int_equal(mkdir(dir, 0700), 0);
  gitfix_poll_with(&got, "x", dir, true, NULL, NULL, 0);
  assert_int_equal(got.err, ERR_NOTFOUND);
  assert_non_null(strstr(got.why, "is no git repository"));
  gitfix_poll_with(&got, "x", none, true, NULL, NULL, 0);
  assert_int_equal(got.err, ERR_NOTFOUND);
  assert_non_null(strstr(got.why, "No such file"));
  gitfix_poll_with(&got, "there", repo, false, NULL, NULL, 0);
  assert_int_equal(got.err, ERR_DENIED);
  assert_non_null(strstr(got.why, "allow_local"));
  gitfix_free_got(&got);
  free(dir);
  free(none);
  free(repo);
}

/* What a poll that asks for tags says of them: "name revision" of each, then "+name message" of what is told. */
static void tags_are(enum gith_tags how, const struct gith_head *known, int nknown, const char *want)
{
  char *url = url_of("tags");
  struct gith_poll q = { .name = "tags", .url = url, .allow_local = true, .tags = how, .known_tags = known, .nknown_tags = nknown };
  struct gitfix_got got = { 0 };

  gith_poll(gitfix, &q, gitfix_cb, &got);
  gitfix_wait(&got);
  if (got.err)
    fail_msg("%s", got.why);
  if (strcmp(buf_str(&got.tags), want))
    fail_msg("is\n%swant\n%s", buf_str(&got.tags), want);
  gitfix_free_got(&got);
  free(url);
}

static void tags_are_listed_and_told(void **state)
{
  char *one, *two, *list, *told;

  (void)state;
  new_repo("tags");
  gitfix_commit("tags", "main", NULL, "one", "a", "1");
  gitfix_git("tags", "tag", "v1");
  gitfix_commit("tags", "main", NULL, "two", "a", "2");
  gitfix_git("tags", "tag", "-a", "-m", "a word", "v2");
  gitfix_git("tags", "tag", "tree", "HEAD^{tree}");
  gitfix_git("tags", "tag", "odd;name");
  one = gitfix_rev("tags", "v1^{commit}");
  two = gitfix_rev("tags", "v2^{commit}");
  list = xasprintf("v1 %s\nv2 %s\n", one, two);
  tags_are(GITH_TAGS_NO, NULL, 0, "");
  tags_are(GITH_TAGS_LIST, NULL, 0, list);
  told = xasprintf("%s+v1 one\n+v2 two\n", list);
  tags_are(GITH_TAGS_TELL, NULL, 0, told);
  free(told);
  struct gith_head known[] = { { (char *)"gone", one }, { (char *)"v1", two }, { (char *)"v2", two } }; /* v1 was moved */
  told = xasprintf("%s+v1 one\n", list);
  tags_are(GITH_TAGS_TELL, known, 3, told);
  known[1].revision = one;
  tags_are(GITH_TAGS_TELL, known, 3, list);
  free(told);
  free(list);
  free(one);
  free(two);
}

static void hostile_arguments_are_refused(void **state)
{
  static const char *const bad[] = { "--upload-pack=touch x", "-oProxyCommand=x", "ext::sh -c x", "$(x)", "../x", "", "a b", "a\nb" };
  struct gitfix_got got = { 0 };

  (void)state;
  for (size_t i = 0; i < COUNT(bad); i++) {
    gitfix_poll_with(&got, "x", bad[i], true, NULL, NULL, 0);
    assert_int_equal(got.err, ERR_BADARG);
    gitfix_poll_with(&got, bad[i], "https://127.0.0.1:1/x", false, NULL, NULL, 0);
    assert_int_equal(got.err, ERR_BADARG);
    gitfix_read(&got, "x", "/tmp", true, bad[i], "", "a");
    assert_int_equal(got.err, ERR_BADARG);
    if (*bad[i]) {
      gitfix_read(&got, "x", "/tmp", true, "main", bad[i], "a");
      assert_int_equal(got.err, ERR_BADARG);
    }
  }
  gitfix_free_got(&got);
}

static void kinds_of_local_repositories(void **state)
{
  struct gitfix_got got = { 0 };
  char *plain = url_of("kinds"), *bare = url_of("kinds-bare.git"), *tree = url_of("kinds-tree"), *sha256 = url_of("kinds-sha256"), *stem = url_of("kinds-bare"),
       *as_url = xasprintf("file://%s", plain);
  const char *const urls[] = { plain, bare, stem, tree, as_url };

  (void)state;
  new_repo("kinds");
  gitfix_commit("kinds", "main", NULL, "one", "a", "1");
  gitfix_git(NULL, "clone", "-q", "--bare", "kinds", "kinds-bare.git");
  gitfix_git("kinds", "worktree", "add", "-q", "-b", "tree", tree, "main");
  for (size_t i = 0; i < COUNT(urls); i++) {
    gitfix_poll_with(&got, "kinds", urls[i], true, NULL, NULL, 0);
    if (got.err)
      fail_msg("%s: %s", urls[i], got.why);
    assert_non_null(gitfix_head(&got, "main"));
  }
  if (geteuid() == 0) { /* a repository of somebody else's */
    assert_int_equal(chown(bare, 65534, 65534), 0);
    gitfix_poll_with(&got, "kinds", bare, true, NULL, NULL, 0);
    assert_int_equal(got.err, ERR_OK);
  }
  gitfix_git(NULL, "init", "-q", "--object-format=sha256", "kinds-sha256");
  gitfix_poll_with(&got, "kinds", sha256, true, NULL, NULL, 0);
  assert_int_equal(got.err, ERR_FAILED);
  assert_non_null(strstr(got.why, "SHA-256"));
  gitfix_free_got(&got);
  free(plain);
  free(bare);
  free(tree);
  free(sha256);
  free(stem);
  free(as_url);
}

static void no_helper(void **state)
{
  struct gitfix_got got = { 0 };
  char *program = gitfix_program;
  static const struct { const char *path, *words; } bad[] = {
    { "/nonexistent/helper", "no such file" }, { "/bin/false", "exit code 1" }, { "/bin/true", "in the middle" }, { "/bin/cat", "makes no sense" }, { "/dev/null", "can't start" },
  };

  (void)state;
  for (size_t i = 0; i < COUNT(bad); i++) {
    gitfix_close();
    gitfix_program = (char *)(uintptr_t)bad[i].path;
    gitfix_new(1);
    gitfix_poll_with(&got, "x", "https://127.0.0.1:1/x", false, NULL, NULL, 0);
    assert_int_equal(got.err, ERR_FAILED);
    if (!strstr(got.why, bad[i].words))
      fail_msg("%s: %s", bad[i].path, got.why);
  }
  gitfix_free_got(&got);
  gitfix_close();
  gitfix_program = program;
  gitfix_new(3);
}

static void closing_ends_all(void **state)
{
  struct gitfix_got got[20];
  char *url = url_of("close");
  struct gith_poll q = { .url = url, .allow_local = true };

  (void)state;
  memset(got, 0, sizeof got);
  new_repo("close");
  for (size_t i = 0; i < COUNT(got); i++) {
    char name[8];
    snprintf(name, sizeof name, "n%zu", i);
    q.name = name;
    gith_poll(gitfix, &q, gitfix_cb, &got[i]);
  }
  uv_run(&gitfix_loop, UV_RUN_NOWAIT); /* some run, some wait */
  gitfix_close();
  assert_int_equal(got[COUNT(got) - 1].err, ERR_AWAY);
  for (size_t i = 0; i < COUNT(got); i++) {
    assert_true(got[i].done); /* everybody is answered, or what they keep for the answer would be lost */
    assert_true(got[i].err == ERR_AWAY || got[i].err == ERR_OK);
    gitfix_free_got(&got[i]);
  }
  gitfix_new(3);
  free(url);
}

/* How many helper processes were started: the program in front of the real one writes a line. */
static int started(void)
{
  char *path = gitfix_path("started"), line[64];
  FILE *f = fopen(path, "r");
  int n = 0;

  while (f && fgets(line, sizeof line, f))
    n++;
  if (f)
    fclose(f);
  free(path);
  return n;
}

static void a_process_is_asked_again(void **state)
{
  static const struct gith_login secret = { .token = "0123456789abcdef" };
  struct gitfix_got got = { 0 };
  char *url = gitfix_path("again"), *front = gitfix_path("front"), *real = gitfix_program;
  struct gith_poll q = { .name = "again", .url = url, .allow_local = true, .login = &secret };
  FILE *f = fopen(front, "w");

  (void)state;
  assert_non_null(f);
  fprintf(f, "#!/bin/sh\necho x >>%s/started\nexec %s\n", gitfix_dir, real);
  fclose(f);
  chmod(front, 0755);
  new_repo("again");
  gitfix_commit("again", "main", NULL, "one", "a", "1");
  gitfix_close();
  gitfix_program = front;
  gitfix_new(3);
  for (int i = 0; i < 5; i++) {
    poll_repo(&got, "again", &got);
    assert_int_equal(got.err, ERR_OK);
  }
  assert_int_equal(started(), 1);
  gitfix_poll_with(&got, "nowhere", "/nowhere", true, NULL, NULL, 0); /* after a failure nothing is asked of it any more */
  assert_int_equal(got.err, ERR_NOTFOUND);
  poll_repo(&got, "again", NULL);
  assert_int_equal(started(), 2);
  for (int i = 0; i < 2; i++) { /* what is secret has a process of its own */
    gitfix_free_got(&got);
    gith_poll(gitfix, &q, gitfix_cb, &got);
    gitfix_wait(&got);
    assert_int_equal(got.err, ERR_OK);
    assert_int_equal(started(), 3 + i);
  }
  poll_repo(&got, "again", NULL);
  assert_int_equal(started(), 4);
  gitfix_free_got(&got);
  gith_poll(gitfix, &q, gitfix_cb, &got);
  gith_kill(gitfix, "again", "no more");
  gitfix_wait(&got);
  assert_int_equal(got.err, ERR_AWAY);
  assert_string_equal(got.why, "no more");
  gitfix_free_got(&got);
  gitfix_close();
  gitfix_program = real;
  gitfix_new(3);
  free(front);
  free(url);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_process_is_asked_again),
    cmocka_unit_test(an_empty_repository_has_no_heads),
    cmocka_unit_test(pushes_are_told_oldest_first),
    cmocka_unit_test(a_new_branch_tells_what_no_head_reaches),
    cmocka_unit_test(a_merge_is_compared_with_its_first_parent),
    cmocka_unit_test(a_force_push_tells_what_the_old_head_did_not_reach),
    cmocka_unit_test(a_forgotten_old_head_tells_only_the_tip),
    cmocka_unit_test(a_deleted_branch_is_not_in_heads),
    cmocka_unit_test(globs_choose_branches),
    cmocka_unit_test(odd_branch_names_are_left_alone),
    cmocka_unit_test(a_push_of_300_tells_the_newest_200),
    cmocka_unit_test(many_files_are_cut),
    cmocka_unit_test(bad_text_becomes_utf8),
    cmocka_unit_test(a_long_message_is_cut),
    cmocka_unit_test(files_are_read),
    cmocka_unit_test(a_binary_file_is_read),
    cmocka_unit_test(what_is_not_there),
    cmocka_unit_test(tags_are_listed_and_told), cmocka_unit_test(hostile_arguments_are_refused),
    cmocka_unit_test(kinds_of_local_repositories),
    cmocka_unit_test(no_helper),
    cmocka_unit_test(closing_ends_all),
  };
  return cmocka_run_group_tests(tests, gitfix_begin, gitfix_end) ? 1 : 0;
}
