/* The second half of `install`: starting the worker as a service or in the background, and what its master says, which the worker writes into DIR/status. */
#include "worker/install_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "proto/records.h"
#include "worker/os.h"
#include "worker/status.h"

enum { POLL_MS = 50, FACTS_MAX = 16384, LOCK_TRIES = 100 };

/* ---- starting ---- */

bool install_is_running(const char *dir)
{
  char *path = xasprintf("%s/lock", dir);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool held = false;

  free(path);
  if (fd < 0)
    return false;
  for (int i = 0; i < LOCK_TRIES; i++) { /* one that was just stopped may have a child on its way to an exec */
    held = flock(fd, LOCK_EX | LOCK_NB) != 0;
    if (!held)
      break;
    poll(NULL, 0, POLL_MS / 5);
  }
  close(fd);
  return held;
}

static int start_service(struct install *in)
{
  const char *const reload[] = { "systemctl", "daemon-reload", NULL }, *const enable[] = { "systemctl", "enable", "--quiet", "--now", INSTALL_UNIT, NULL };

  (void)in;
  if (setup_run(reload) || setup_run(enable))
    return install_tell(INSTALL_FAILED, "the service does not start: `journalctl -u " INSTALL_UNIT " -n 20` has its log");
  return 0;
}

/* Becomes the worker: as its user, in a session of its own, with nothing of ours. */
static void be_worker(const struct install *in)
{
  char *program = install_below(in, in->program);
  char *argv[] = { program, (char *)(uintptr_t)"--config", in->conf_path, *in->root ? (char *)(uintptr_t)"--dir" : NULL, in->dir_path, NULL };
  int null = open("/dev/null", O_RDWR);

  setsid();
  if (chdir("/"))
    _exit(1);
  for (int fd = 0; fd < 3; fd++)
    dup2(null, fd);
  os_close_from(3);
  if (in->uid != SETUP_NOBODY && os_be_user(in->user, in->uid, in->gid))
    _exit(1);
  execve(program, argv, (char *[]){ NULL });
  _exit(1);
}

static int start_background(struct install *in)
{
  fflush(NULL);
  in->started = fork();
  if (!in->started)
    be_worker(in);
  return in->started < 0 ? install_tell(INSTALL_FAILED, "can't start the worker: %s", strerror(errno)) : 0;
}

/* ---- the master's answer ---- */

static const char *advice(const char *tag)
{
  static const struct {
    const char *tag, *what;
  } of[] = {
    { "no-name", "make a new token on the master: drover worker add NAME, or of a pool drover pool token NAME" },
    { "no-secret", "the token is no longer good: make a new one on the master (drover worker add NAME, or drover pool token NAME), and install again with it" },
    { "no-full", "it joins as soon as another member is gone; the pool's `max` in the master's configuration says how many there may be" },
    { "no-user", "run worker and master as different users, as their packages do" },
    { "no-clone", "the state folder was copied from another host: remove it here" },
    { "no-duplicate", "another host is connected under this name: make a token with another name (drover worker add)" },
    { "no-version", "take the worker of the master's version: /download/ on its page" },
    { "key", "the token is another master's, or somebody is in between: compare it with the key that `drover status` shows on the master" },
    { "unreachable", "is the master running, and is its port open from here? Through an HTTP proxy: --proxy URL" },
    { "unknown-host", "is the name right, and does this host's name server know it?" },
    { "proxy", "look at `proxy` in " CONF_FILE ": user, password, and whether the proxy allows that port" },
    { "incarnation", "this host has already met the same master with later data: was it restored from a backup without `drover-master restore`?" },
  };

  for (size_t i = 0; i < COUNT(of); i++)
    if (!strcmp(tag, of[i].tag))
      return of[i].what;
  return "its log tells more: DIR/log";
}

/* Waiting longer would not change it. */
static bool is_final(const struct install *in, const struct status *s)
{
  static const char *const refusals[] = { "no-name", "no-secret", "no-user", "no-clone", "no-version", "incarnation" };

  for (size_t i = 0; i < COUNT(refusals); i++)
    if (!strcmp(s->note.tag, refusals[i]))
      return true;
  return !strcmp(s->note.tag, "key") && s->note.count >= (unsigned)in->token.addresses;
}

static long long gib(const char *kib) { return kib ? (atoll(kib) + (1 << 19)) >> 20 : 0; }

static void print_joined(const struct install *in, const struct status *s)
{
  struct buf facts;
  const char *cores, *memory, *disk, *system, *release, *arch;

  buf_init(&facts, FACTS_MAX);
  os_facts(&facts, in->dir_path);
  cores = records_get(facts.data, facts.len, "cores");
  memory = records_get(facts.data, facts.len, "memory_kib");
  disk = records_get(facts.data, facts.len, "disk_free_kib");
  system = records_get(facts.data, facts.len, "os");
  release = records_get(facts.data, facts.len, "release");
  arch = records_get(facts.data, facts.len, "arch");
  printf("connected to %s%s; I am %s: %s cores, %lld GiB, %lld GiB free, %s %s %s; isolation %s\n", s->address,
         !strcmp(s->key, "matched") ? ", key matches the token" : "", s->name, cores ? cores : "?", gib(memory), gib(disk), system ? system : "?",
         release ? release : "?", arch ? arch : "?", *s->isolation ? s->isolation : "?");
  buf_free(&facts);
}

static int not_joined(const struct install *in, const struct status *s, bool final)
{
  printf("set up, but not joined: %s\n", s->note.count ? s->note.why : "there was no answer in time");
  printf("  %s\n", s->note.count ? advice(s->note.tag) : advice("unreachable"));
  printf("  the worker goes on trying; %s/log is its log, `drover-worker uninstall` removes it\n", in->dir);
  return final || !strncmp(s->note.tag, "no-", 3) || !strcmp(s->note.tag, "key") ? INSTALL_REFUSED : INSTALL_NO_ANSWER;
}

static int wait_answer(const struct install *in)
{
  int dir = open(in->dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), state;
  int64_t end = clock_mono_ms() + in->wait_ms;
  struct status s;

  if (dir < 0)
    return install_tell(INSTALL_FAILED, "%s can't be opened: %s", in->dir_path, strerror(errno));
  for (;;) {
    bool there = !status_read(dir, &s), final = there && is_final(in, &s);
    if (there && s.connected) {
      print_joined(in, &s);
      close(dir);
      return INSTALL_OK;
    }
    if (in->started > 0 && waitpid(in->started, &state, WNOHANG) == in->started) {
      close(dir);
      return install_tell(INSTALL_FAILED, "the worker ended at once with %d: %s/log is its log", WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state), in->dir_path);
    }
    if (final || clock_mono_ms() >= end) {
      close(dir);
      return not_joined(in, &s, final);
    }
    poll(NULL, 0, POLL_MS);
  }
}

static void forget_status(const struct install *in)
{
  char *path = xasprintf("%s/status", in->dir_path);

  unlink(path);
  free(path);
}

int install_start(struct install *in)
{
  const char *const stop[] = { "systemctl", "--quiet", "stop", INSTALL_UNIT, NULL };
  bool systemd = !*in->root && setup_has_systemd();
  int code;

  if (in->no_start || (!systemd && !in->background)) {
    printf("; not started\n%s  to start it: %s%s --config %s\n", in->no_start ? "" : *in->root ? "" : "there is no systemd running here\n", in->root, in->program, in->conf_path);
    return INSTALL_OK;
  }
  fflush(stdout);
  if (systemd)
    (void)setup_run(stop); /* commands go on; a unit that is not loaded is fine */
  if (install_is_running(in->dir_path)) {
    putchar('\n');
    return install_tell(INSTALL_IN_USE, "a drover-worker that is not the service's runs on %s with the old settings: stop it (SIGTERM; its commands go on) and install again", in->dir_path);
  }
  forget_status(in);
  code = systemd ? start_service(in) : start_background(in);
  puts(code ? "" : systemd ? "; started" : "; started in the background (nothing starts it when the host does)");
  return code ? code : in->wait_ms ? wait_answer(in) : INSTALL_OK;
}
