/* drover attach ID[:STEP]: this end's standard input for a step's command, and its log.

   Two processes: a child follows the log as drover log does, this one reads and sends. What was sent is kept until the command was given it, so that it can be sent again: each byte has its place (docs/api.md, Input), and the
   answer says how far the command is. When the child ends, the step has; when the input ends, that is told, and the child goes on.

   One sends at a time, and is known by a word of its own. While nothing is typed it says every few seconds that it is still there, and learns by that whether another one has taken the input over. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/js.h"
#include "master/cli/patience.h"

enum { WINDOW = 65536, LEAVE = 0x1d /* Ctrl-] */, SIZE_MAX_CHARS = 24, QUIET_MS = 3000, SENDER_BYTES = 8, STILL_MS = 5000, BYE_MS = 2000 };

struct attach {
  struct cli *c;
  char *path, *step, *way;
  char sender[2 * SENDER_BYTES + 1];
  char *kept;             /* bytes from `given` on, WINDOW at most */
  size_t n;
  int64_t given, next;    /* to the command; of the next byte to send */
  int64_t first;          /* ours begin there: what others sent may come before it */
  int64_t off, limit;     /* where the command is, perhaps in others' bytes; what may be sent */
  bool ended, closed;     /* the input has ended here; and that was told */
  bool over;              /* nobody reads any more */
  bool had;               /* the input was ours */
  bool pty, keys;         /* it has a terminal; and so have we, which passes keys on */
  struct patience patience;
};

static struct termios terminal;
static volatile sig_atomic_t resized, child;
static const int enders[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

static void on_resize(int sig)
{
  (void)sig;
  resized = 1;
}

static void on_child(int sig) { (void)sig; } /* it ends a wait */

static void on_end(int sig)
{
  tcsetattr(0, TCSANOW, &terminal);
  if (child > 0)
    kill((pid_t)child, SIGTERM);
  signal(sig, SIG_DFL);
  raise(sig);
}

/* ---- asking ---- */

static cJSON *new_ask(const struct attach *at)
{
  cJSON *body = cJSON_CreateObject();

  cJSON_AddStringToObject(body, "sender", at->sender);
  if (at->step)
    cJSON_AddStringToObject(body, "step", at->step);
  if (at->way)
    cJSON_AddStringToObject(body, "way", at->way);
  return body;
}

/* What the answer says about what we keep. False: it can't be ours. */
static bool learn(struct attach *at, const cJSON *answer)
{
  int64_t off = js_num(answer, "off");

  at->off = off;
  at->limit = js_num(answer, "limit");
  if (off < at->given && at->given == at->first) {
    if (str_eq(js_text(answer, "way"), at->way))
      off = at->given; /* others' bytes are on their way */
    else
      at->first = at->given = at->next = off; /* they were lost with it: ours take their place */
  }
  if (off < at->given || off > at->given + (int64_t)at->n) {
    cli_error(at->c, CLI_EXCEPTION, "somebody else sends input to that step, too: its command is at byte %lld", (long long)off);
    return false;
  }
  at->n -= (size_t)(off - at->given);
  memmove(at->kept, at->kept + (off - at->given), at->n);
  at->given = off;
  free(at->way);
  at->way = xstrdup(js_text(answer, "way"));
  if (!js_true(answer, "taken")) {
    at->next = off;
    at->closed = false;
  } else if (at->next < off) {
    at->next = off;
  }
  if (!str_eq(js_text(answer, "state"), "open"))
    at->over = true;
  return true;
}

static bool log_ended(void)
{
  siginfo_t info = { .si_pid = 0 };

  return child > 0 && !waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid == (pid_t)child;
}

/* Where the master answers the command has ended, most probably, and the step is about to: nothing is said of that. */
static bool wait_again(struct attach *at)
{
  at->patience.quiet_ms = call_status(at->c) == 503 ? QUIET_MS : 0;
  return patience_wait(&at->patience, at->c, call_why(at->c));
}

/* One question, again while the master or the worker is away and the log is still followed. Deletes body. False: no more of them, at->c->code is what is wrong. */
static bool ask(struct attach *at, cJSON *body, bool *taken)
{
  enum call_result got = CALL_AWAY;
  cJSON *answer = NULL;
  bool good = false;

  *taken = false;
  while (got == CALL_AWAY && !at->over) {
    got = call_try(at->c, "POST", at->path, body, &answer);
    if (got != CALL_AWAY)
      patience_progress(&at->patience);
    else if (log_ended())
      at->over = good = true;
    else if (!wait_again(at))
      break;
  }
  if (got == CALL_OK) {
    good = learn(at, answer);
    *taken = js_true(answer, "taken");
  } else if (got == CALL_ERROR && at->had && str_eq(call_code(at->c), "input_held")) {
    cli_error(at->c, CLI_EXCEPTION, "taken over: %s", call_why(at->c));
  } else if (got == CALL_ERROR && child > 0 && call_status(at->c) == 409) {
    good = at->over = true; /* it has ended: the log says how */
  } else if (got == CALL_ERROR) {
    call_report(at->c);
  }
  cJSON_Delete(answer);
  cJSON_Delete(body);
  return good;
}

static bool send_bytes(struct attach *at)
{
  size_t from = (size_t)(at->next - at->given), n = at->n - from < (size_t)(at->limit - at->next) ? at->n - from : (size_t)(at->limit - at->next);
  char *text = str_base64(at->kept + from, n);
  cJSON *body = new_ask(at);
  bool taken, good;
  int64_t off = at->next;

  cJSON_AddNumberToObject(body, "off", (double)off);
  cJSON_AddStringToObject(body, "data", text);
  mem_wipe(text, strlen(text));
  free(text);
  good = ask(at, body, &taken);
  if (taken)
    at->next = off + (int64_t)n;
  return good;
}

static bool send_end(struct attach *at)
{
  cJSON *body = new_ask(at);

  cJSON_AddNumberToObject(body, "off", (double)at->next);
  cJSON_AddTrueToObject(body, "close");
  return ask(at, body, &at->closed);
}

static bool wait_room(struct attach *at)
{
  cJSON *body = new_ask(at);
  bool taken;

  cJSON_AddNumberToObject(body, "after", (double)at->off);
  return ask(at, body, &taken);
}

/* That we are still there. */
static bool send_still(struct attach *at)
{
  bool taken;

  return ask(at, new_ask(at), &taken);
}

/* Whoever comes next need not wait until we count as gone. Nothing is made of it where that fails. */
static void send_leave(struct attach *at)
{
  cJSON *body = new_ask(at), *answer = NULL;
  int ms = at->c->call_ms;

  cJSON_AddTrueToObject(body, "leave");
  at->c->call_ms = BYE_MS;
  if (call_try(at->c, "POST", at->path, body, &answer) == CALL_OK)
    cJSON_Delete(answer);
  at->c->call_ms = ms;
  cJSON_Delete(body);
}

static bool send_size(struct attach *at)
{
  char size[SIZE_MAX_CHARS];
  cJSON *body = new_ask(at);
  struct winsize ws;
  bool taken;

  resized = 0;
  if (ioctl(0, TIOCGWINSZ, &ws) || !ws.ws_col || !ws.ws_row || ws.ws_col > 9999 || ws.ws_row > 9999) {
    cJSON_Delete(body);
    return true;
  }
  snprintf(size, sizeof size, "%ux%u", ws.ws_col, ws.ws_row);
  cJSON_AddStringToObject(body, "size", size);
  return ask(at, body, &taken);
}

/* ---- this end ---- */

/* What is there to read. False: the person leaves. */
static bool take_input(struct attach *at)
{
  char *in = at->kept + at->n, *leave;
  ssize_t n = read(0, in, WINDOW - at->n);

  if (n < 0 && (errno == EINTR || errno == EAGAIN))
    return true;
  if (n <= 0) {
    at->ended = true;
    return true;
  }
  leave = at->keys ? memchr(in, LEAVE, (size_t)n) : NULL;
  at->n += (size_t)(leave ? leave - in : n);
  return !leave;
}

/* Until the log is over, or the person leaves (*left). False: told. */
static bool pass_on(struct attach *at, bool *left)
{
  struct pollfd in = { 0, POLLIN, 0 };
  sigset_t none;
  bool good = true;

  sigemptyset(&none);
  while (good && !log_ended()) {
    if (at->keys && resized && !at->over) {
      good = send_size(at);
    } else if (!at->over && at->next < at->given + (int64_t)at->n && at->next < at->limit) {
      good = send_bytes(at);
    } else if (!at->over && at->next < at->given + (int64_t)at->n) {
      good = wait_room(at);
    } else if (!at->over && at->ended && !at->closed) {
      good = send_end(at);
    } else if (!at->over && (at->n == WINDOW || at->closed)) { /* until the end was given, too: it may have to be sent again */
      good = wait_room(at);
    } else {
      bool reads = !at->ended && (!at->over || at->keys);
      if (at->over)
        at->n = 0, at->next = at->given; /* keys are read for the one that leaves */
      const struct timespec still = { STILL_MS / 1000, 0 };
      int n = ppoll(&in, reads ? 1 : 0, at->over ? NULL : &still, &none);
      if (n > 0 && !take_input(at)) {
        *left = true;
        return true;
      }
      if (!n)
        good = send_still(at);
    }
  }
  return good;
}

static void raw_terminal(void)
{
  struct sigaction end = { .sa_handler = on_end }, size = { .sa_handler = on_resize };
  struct termios raw = terminal;

  for (size_t i = 0; i < COUNT(enders); i++)
    sigaction(enders[i], &end, NULL);
  sigaction(SIGWINCH, &size, NULL);
  cfmakeraw(&raw);
  tcsetattr(0, TCSADRAIN, &raw);
}

static int code_of(struct cli *c, int status)
{
  return WIFEXITED(status) ? WEXITSTATUS(status) : cli_error(c, CLI_EXCEPTION, "the process that followed the log was ended by signal %d", WTERMSIG(status));
}

static int attach(struct attach *at, const struct args *a, const char *build)
{
  struct sigaction ends = { .sa_handler = on_child };
  bool left = false, good;
  sigset_t hold, before;
  int status = 0;

  sigaction(SIGCHLD, &ends, NULL);
  sigemptyset(&hold);
  sigaddset(&hold, SIGCHLD);
  sigaddset(&hold, SIGWINCH);
  sigprocmask(SIG_BLOCK, &hold, &before);
  out_flush(at->c);
  child = (sig_atomic_t)fork();
  if (child < 0)
    return cli_error(at->c, CLI_EXCEPTION, "can't follow the log: %s", strerror(errno));
  if (!child) {
    int code;
    sigprocmask(SIG_SETMASK, &before, NULL);
    code = log_follow_step(at->c, a, at->keys || args_has(a, FLAG_RAW), build, at->step);
    out_flush(at->c);
    _exit(code);
  }
  if (at->keys)
    raw_terminal();
  resized = at->keys;
  good = pass_on(at, &left);
  if (left)
    send_leave(at);
  if (left || !good)
    kill((pid_t)child, SIGTERM);
  waitpid((pid_t)child, &status, 0);
  if (at->keys)
    tcsetattr(0, TCSADRAIN, &terminal);
  return left ? CLI_OK : good ? code_of(at->c, status) : at->c->code;
}

int cmd_attach(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  struct attach at = { .c = c };
  unsigned char random[SENDER_BYTES];
  struct cli_id id;
  cJSON *build, *first = NULL;
  int code;

  (void)narg;
  if (!id_parse(arg[0], &id))
    return cli_error(c, CLI_USAGE, "\"%s\" is no id of a build or step: libfoo/linux/42, linux/last:test", arg[0]);
  if (!(build = call_build(c, &id)))
    return c->code;
  at.path = id_path("builds/%p/input", js_text(build, "id"));
  at.step = id.kind == ID_STEP ? xstrdup(id.step) : NULL;
  str_random(random, sizeof random);
  str_hex(random, sizeof random, at.sender);
  first = new_ask(&at);
  if (args_has(a, FLAG_TAKE))
    cJSON_AddTrueToObject(first, "take");
  cJSON *answer = call_send(c, "POST", at.path, first);
  cJSON_Delete(first);
  if (answer) {
    at.kept = xmalloc(WINDOW);
    at.had = true;
    at.given = at.next = at.first = js_num(answer, "next");
    at.off = js_num(answer, "off");
    at.limit = js_num(answer, "limit");
    at.way = xstrdup(js_text(answer, "way"));
    at.over = !str_eq(js_text(answer, "state"), "open");
    at.pty = js_true(answer, "pty");
    at.keys = at.pty && !tcgetattr(0, &terminal);
    free(at.step);
    at.step = xstrdup(js_text(answer, "step"));
    cJSON_Delete(answer);
    code = attach(&at, a, js_text(build, "id"));
    mem_wipe(at.kept, WINDOW);
  } else {
    code = c->code;
  }
  free(at.kept);
  free(at.path);
  free(at.step);
  free(at.way);
  cJSON_Delete(build);
  return code;
}
