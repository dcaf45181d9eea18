/* The git helper with servers on loopback: git daemon, servers that refuse, that say nothing or nonsense, and mirrors that break. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "tests/lib/gitfix.h"

enum { SILENT = 10 };

static pid_t daemon_pid;
static int daemon_port;

static int listen_here(int *port)
{
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t n = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
  assert_int_equal(listen(fd, 64), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
  *port = ntohs(at.sin_port);
  return fd;
}

/* Serves each connection by `git daemon --inetd`, or, with `text`, by this answer to whatever is asked. */
static void serve(int fd, const char *text)
{
  char *base = xasprintf("--base-path=%s", gitfix_dir), bytes[4096];

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int c = accept(fd, NULL, NULL);
    if (c < 0 || fork() > 0) {
      close(c);
      continue;
    }
    signal(SIGCHLD, SIG_DFL);
    if (!text) {
      dup2(c, 0);
      dup2(c, 1);
      execlp("git", "git", "daemon", "--inetd", "--export-all", "--forbid-override=receive-pack", base, (char *)NULL);
      _exit(127);
    }
    if (read(c, bytes, sizeof bytes) > 0 && write(c, text, strlen(text)) > 0)
      shutdown(c, SHUT_WR);
    while (read(c, bytes, sizeof bytes) > 0)
      ;
    _exit(0);
  }
}

static pid_t start_server(const char *text, int *port)
{
  int fd = listen_here(port);
  pid_t pid = fork();

  assert_true(pid >= 0);
  if (pid == 0)
    serve(fd, text);
  close(fd);
  return pid;
}

static void stop_server(pid_t pid)
{
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

static char *git_url(const char *repo)
{
  return xasprintf("git://127.0.0.1:%d/%s", daemon_port, repo);
}

static void new_repo(const char *repo)
{
  gitfix_git(NULL, "init", "-q", "-b", "main", repo);
}

static void poll_repo(struct gitfix_got *got, const char *repo, const struct gitfix_got *known)
{
  char *url = git_url(repo);

  gitfix_poll_with(got, repo, url, false, known, NULL, 0);
  if (got->err)
    fail_msg("%s: %s", repo, got->why);
  free(url);
}

static void text_is(const struct gitfix_got *got, const char *text)
{
  assert_string_equal(buf_str(&got->text), text);
}

static void the_life_of_a_repository(void **state)
{
  struct gitfix_got got = { 0 };

  (void)state;
  new_repo("life");
  poll_repo(&got, "life", NULL);
  assert_int_equal(got.nheads, 0);
  gitfix_commit("life", "main", NULL, "one", "a", "1");
  gitfix_commit("life", "main", NULL, "two", "a", "2");
  poll_repo(&got, "life", &got);
  text_is(&got, "main two [a]\n"); /* no head was known */
  gitfix_commit("life", "main", NULL, "three", "b", "3");
  gitfix_commit("life", "topic", "refs/heads/main~1", "t", "c", "3");
  poll_repo(&got, "life", &got);
  text_is(&got, "main three [b]\ntopic t [c]\n");
  gitfix_commit("life", "main", "refs/heads/main~1", "forced", "d", "3"); /* a force push */
  gitfix_git("life", "branch", "-q", "-D", "topic");
  gitfix_git("life", "branch", "topic/sub", "main~1");
  poll_repo(&got, "life", &got);
  text_is(&got, "main forced [d]\n");
  assert_null(gitfix_head(&got, "topic"));
  assert_non_null(gitfix_head(&got, "topic/sub"));
  poll_repo(&got, "life", &got);
  text_is(&got, "");
  gitfix_free_got(&got);
}

static void reading_fetches_what_is_missing(void **state)
{
  struct gitfix_got got = { 0 };
  char *url = git_url("fetch"), *away = xstrdup("git://127.0.0.1:1/fetch"), *rev;

  (void)state;
  new_repo("fetch");
  gitfix_commit("fetch", "main", NULL, "one", ".drover.yml", "1");
  rev = gitfix_rev("fetch", "main");
  gitfix_read(&got, "fetch", url, false, "main", "", ".drover.yml");
  assert_string_equal(got.file, "1");
  gitfix_commit("fetch", "main", NULL, "two", ".drover.yml", "2");
  gitfix_read(&got, "fetch", url, false, "main", "", ".drover.yml");
  assert_string_equal(got.file, "2");
  gitfix_read(&got, "fetch", away, false, "main", rev, ".drover.yml"); /* the mirror has it: nobody is asked */
  assert_int_equal(got.err, ERR_OK);
  assert_string_equal(got.file, "1");
  gitfix_commit("fetch", "main", NULL, "three", ".drover.yml", "3");
  free(rev);
  rev = gitfix_rev("fetch", "main");
  gitfix_read(&got, "fetch", url, false, "main", rev, ".drover.yml");
  assert_string_equal(got.file, "3");
  gitfix_read(&got, "fetch", url, false, "other", "", "x");
  assert_int_equal(got.err, ERR_NOTFOUND);
  gitfix_free_got(&got);
  free(url);
  free(away);
  free(rev);
}

static int spoil_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
  const char *dot = strrchr(path + at->base, '.');

  if (type == FTW_F && dot && !strcmp(dot, ".pack")) {
    chmod(path, 0600);
    return truncate(path, st->st_size / 2);
  }
  return 0;
}

static void put(const char *path, const char *text)
{
  FILE *f;

  unlink(path);
  f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
}

static void broken_mirrors_are_made_anew(void **state)
{
  struct gitfix_got got = { 0 };
  char *mirror = gitfix_path("mirrors/broken.git"), *head = gitfix_path("mirrors/broken.git/HEAD"), *config = gitfix_path("mirrors/broken.git/config"),
       *ref = gitfix_path("mirrors/broken.git/refs/drover/heads/main"), *lock = xasprintf("%s.lock", ref), *objects = gitfix_path("mirrors/broken.git/objects"),
       *half = gitfix_path("mirrors/broken.git/objects/pack/pack_git2_a1b2c3");

  (void)state;
  new_repo("broken");
  gitfix_commit("broken", "main", NULL, "base", "a", "0");
  poll_repo(&got, "broken", NULL);
  for (int i = 0; i < 9; i++) {
    char subject[32], want[48];
    switch (i) {
    case 0: gitfix_remove(mirror); break;
    case 1: unlink(head); break;
    case 2: put(config, "[core\n"); break;
    case 3: put(ref, "nonsense\n"); break;
    case 4: put(lock, ""), put(half, "half a pack"); break;
    case 5: assert_int_equal(nftw(objects, spoil_one, 16, FTW_PHYS), 0); break;
    case 6: gitfix_remove(objects); break;
    case 7: gitfix_remove(mirror), put(mirror, "a file"); break;
    case 8: put(ref, "0123456789abcdef0123456789abcdef01234567\n"); break;
    }
    snprintf(subject, sizeof subject, "push %d", i);
    snprintf(want, sizeof want, "main push %d [a]\n", i);
    gitfix_commit("broken", "main", NULL, subject, "a", subject);
    poll_repo(&got, "broken", &got);
    if (strcmp(buf_str(&got.text), want))
      fail_msg("case %d: %s", i, buf_str(&got.text));
    assert_int_equal(access(lock, F_OK), -1);
    assert_int_equal(access(half, F_OK), -1);
  }
  gitfix_free_got(&got);
  free(mirror);
  free(head);
  free(config);
  free(ref);
  free(lock);
  free(objects);
  free(half);
}

static void two_at_once_on_one_mirror(void **state)
{
  struct gitfix_got got[6];
  char *url = git_url("twice");
  struct gith_poll q = { .name = "twice", .url = url };

  (void)state;
  memset(got, 0, sizeof got);
  new_repo("twice");
  gitfix_commit("twice", "main", NULL, "one", "a", "1");
  for (int i = 0; i < 6; i++)
    i % 2 ? gith_read(gitfix, VCS_GIT, "twice", url, false, NULL, "main", "", "a", gitfix_cb, &got[i]) : gith_poll(gitfix, &q, gitfix_cb, &got[i]);
  for (int i = 0; i < 6; i++) {
    gitfix_wait(&got[i]);
    assert_int_equal(got[i].err, ERR_OK);
    assert_true(i == 0 || got[i].at_ms >= got[i - 1].at_ms); /* in order */
    if (i % 2)
      assert_string_equal(got[i].file, "1");
  }
  for (int i = 0; i < 6; i++)
    gitfix_free_got(&got[i]);
  free(url);
}

static void servers_that_do_not_serve(void **state)
{
  static const struct {
    const char *text, *scheme;
    enum err err;
    const char *words;
  } cases[] = {
    { "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "http", ERR_NOTFOUND, "no such repository" },
    { "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n", "http", ERR_DENIED, "" },
    { "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "http", ERR_DENIED, "refuses" },
    { "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", "http", ERR_AWAY, "503" },
    { "HTTP/1.1 302 There\r\nLocation: file:///etc\r\nContent-Length: 0\r\n\r\n", "http", ERR_DENIED, "redirect" },
    { "HTTP/1.1 302 There\r\nLocation: ext::sh -c x\r\nContent-Length: 0\r\n\r\n", "http", ERR_DENIED, "redirect" },
    { "HTTP/1.1 302 There\r\nLocation: http://169.254.169.254/latest/info/refs?service=git-upload-pack\r\nContent-Length: 0\r\n\r\n", "http", ERR_DENIED, "another host" },
    { "HTTP/1.1 302 There\r\nLocation: https://localhost/x/info/refs?service=git-upload-pack\r\nContent-Length: 0\r\n\r\n", "http", ERR_DENIED, "another host" },
    { "HTTP/1.1 302 There\r\nLocation: ssh://-oProxyCommand=x/y\r\nContent-Length: 0\r\n\r\n", "http", ERR_DENIED, "redirect" },
    { "HTTP/1.1 302 There\r\nLocation: /again/info/refs?service=git-upload-pack\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "http", ERR_DENIED, "redirect" },
    { "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p>\n", "http", ERR_NOTFOUND, "no git repository" },
    { "what?\n", "http", ERR_AWAY, "" },
    { "what?\n", "git", ERR_AWAY, "" },
    { "0032want 0123456789abcdef0123456789abcdef01234567\n", "git", ERR_FAILED, "can't be read" },
    { "ffff", "git", ERR_AWAY, "" },
    { "SSH-2.0-x\r\n", "ssh", ERR_AWAY, "" },
    { "HTTP/1.1 200 OK\r\n\r\n", "https", ERR_AWAY, "" },
  };
  struct gitfix_got got = { 0 };

  (void)state;
  for (size_t i = 0; i < COUNT(cases); i++) {
    int port;
    pid_t pid = start_server(cases[i].text, &port);
    char *url = xasprintf("%s://127.0.0.1:%d/x", cases[i].scheme, port);
    gitfix_poll_with(&got, "bad", url, false, NULL, NULL, 0);
    stop_server(pid);
    if (got.err != cases[i].err || !got.why || !strstr(got.why, cases[i].words))
      fail_msg("case %zu: %s, %s", i, err_text(got.err), got.why ? got.why : "-");
    free(url);
  }
  gitfix_free_got(&got);
}

static void remotes_that_are_not_there(void **state)
{
  struct gitfix_got got = { 0 };
  char *url = git_url("nosuch"), *sha256 = git_url("sha256");

  (void)state;
  gitfix_poll_with(&got, "x", "git://127.0.0.1:1/x", false, NULL, NULL, 0);
  assert_int_equal(got.err, ERR_AWAY);
  gitfix_poll_with(&got, "x", "http://127.0.0.1:1/x", false, NULL, NULL, 0);
  assert_int_equal(got.err, ERR_AWAY);
  gitfix_poll_with(&got, "x", url, false, NULL, NULL, 0);
  assert_int_equal(got.err, ERR_NOTFOUND);
  gitfix_git(NULL, "init", "-q", "-b", "main", "--object-format=sha256", "sha256");
  gitfix_commit("sha256", "main", NULL, "one", "a", "1");
  gitfix_poll_with(&got, "x", sha256, false, NULL, NULL, 0);
  assert_int_equal(got.err, ERR_FAILED);
  assert_non_null(strstr(got.why, "SHA-256"));
  gitfix_free_got(&got);
  free(url);
  free(sha256);
}

/* Ten servers that take the connection and say nothing, while a local repository is polled on time. */
static void silent_servers_do_not_hold_all(void **state)
{
  struct gitfix_got local = { 0 }, silent[SILENT];
  int fd[SILENT], port, during = 0;
  char *path = gitfix_path("local"), *told;
  int64_t begin, worst = 0, deadline = busy_ms(1000) / 2 + 500; /* of the local ones, too; less than PATIENCE_MS of gitturn.c */

  (void)state;
  memset(silent, 0, sizeof silent);
  new_repo("local");
  gitfix_commit("local", "main", NULL, "one", "a", "1");
  gitfix_poll_with(&local, "local", path, true, NULL, NULL, 0);
  gith_set_deadline(gitfix, deadline);
  begin = clock_mono_ms();
  for (int i = 0; i < SILENT; i++) {
    char name[32], url[64];
    fd[i] = listen_here(&port);
    snprintf(name, sizeof name, "silent%d", i);
    snprintf(url, sizeof url, "%s://127.0.0.1:%d/x", i % 3 == 0 ? "git" : i % 3 == 1 ? "http" : "https", port);
    gith_poll(gitfix, &(struct gith_poll){ .name = name, .url = url }, gitfix_cb, &silent[i]);
  }
  while (!silent[SILENT - 1].done) {
    int64_t before = clock_mono_ms(), took;
    gitfix_poll_with(&local, "local", path, true, &local, NULL, 0);
    assert_int_equal(local.err, ERR_OK);
    took = clock_mono_ms() - before;
    worst = took > worst ? took : worst;
    during++;
  }
  assert_in_range(clock_mono_ms() - begin, SILENT / 2 * deadline, busy_ms(GITFIX_WAIT_MS)); /* two of three slots at a time */
  for (int i = 0; i < SILENT; i++) {
    gitfix_wait(&silent[i]);
    assert_int_equal(silent[i].err, ERR_TIMEOUT);
    told = strstr(silent[i].why, "no answer within ");
    assert_non_null(told);
    assert_true(strtod(told + strlen("no answer within "), NULL) * 1000 > (double)deadline - 100);
    gitfix_free_got(&silent[i]);
    close(fd[i]);
  }
  print_message("%d local polls meanwhile, the slowest took %d ms\n", during, (int)worst);
  assert_true(during > SILENT / 2); /* had one of them waited for a slot, it were one a second */
  gith_set_deadline(gitfix, GITH_DEADLINE_MS);
  gitfix_free_got(&local);
  free(path);
}

static int begin(void **state)
{
  int rc = gitfix_begin(state);

  if (!rc)
    daemon_pid = start_server(NULL, &daemon_port);
  return rc;
}

static int end(void **state)
{
  stop_server(daemon_pid);
  return gitfix_end(state);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_life_of_a_repository),     cmocka_unit_test(reading_fetches_what_is_missing), cmocka_unit_test(broken_mirrors_are_made_anew),
    cmocka_unit_test(two_at_once_on_one_mirror),    cmocka_unit_test(servers_that_do_not_serve),       cmocka_unit_test(remotes_that_are_not_there),
    cmocka_unit_test(silent_servers_do_not_hold_all),
  };
  return cmocka_run_group_tests(tests, begin, end) ? 1 : 0;
}
