/* `drover-worker install`: from a join token to a worker that the master has answered.

   Happy path: token (from a terminal without echo, or from standard input) → checked → user, state folder, program, worker.conf, unit → started → DIR/status says connected.
   Failures: told in a sentence with what to do, by their own exit codes (install.h). Until the token has been checked nothing is written; every file is written whole; running it again goes on
   from whatever is there. The token is in no argument, environment or log, and wiped when worker.conf has it. */
#include "worker/install_int.h"
#include "worker/os.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "common/str.h"

enum { WAIT_S = 30, WAIT_S_MAX = 3600 };

static const char help[] =
  "usage: drover-worker install [options]        as root\n"
  "\n"
  "Sets this host up as a worker: asks for the join token (`drover worker add NAME` on the master\n"
  "prints one) on the terminal without echo, or reads it from standard input; never as an argument.\n"
  "Puts the program, its user, " CONF_FILE " and the service in place,\n"
  "starts it and waits for the master's answer. It may be run again at any time.\n"
  "\n"
  "  --dir DIR        the state folder (default " CONF_DIR ")\n"
  "  --user NAME      who the worker and its commands run as, made where missing (default " INSTALL_USER ")\n"
  "  --proxy URL      reach the master through this HTTP proxy (CONNECT); no: directly\n"
  "  --upgrade        let the master replace the program (`drover worker upgrade`): it goes to DIR/bin,\n"
  "                   as that user's, with `upgrade = yes` in worker.conf\n"
  "  --force          replace a worker.conf of another master or name, or one that can't be read\n"
  "  --no-start       set up only\n"
  "  --background     where there is no systemd: start the worker now, until it is stopped\n"
  "  --wait SECONDS   how long to wait for the master's answer (default 30)\n"
  "  --root DIR       put all files below DIR, as for an image: no user is made, no service started\n"
  "\n"
  "exit codes: 0 done, 1 something could not be written or started, 2 wrong usage or token, or\n"
  "            another master's worker.conf, 3 another drover-worker runs on the state folder,\n"
  "            4 the master refuses this worker or is not the token's, 5 the master was not reached\n";

int install_tell(int code, const char *fmt, ...)
{
  va_list ap;

  fputs("drover-worker: ", stderr);
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputc('\n', stderr);
  return code;
}

char *install_below(const struct install *in, const char *path) { return xasprintf("%s%s", in->root, path); }

/* ---- the token ---- */

static struct termios terminal;
static const int enders[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

static void on_end(int sig)
{
  tcsetattr(0, TCSANOW, &terminal);
  signal(sig, SIG_DFL);
  raise(sig);
}

/* A line; -1 and errno. Reads not a byte behind it. */
static ssize_t read_line(char *out, size_t most)
{
  size_t n = 0;
  ssize_t r;

  while ((r = read(0, out + n, 1)) != 0) {
    if (r < 0 && errno == EINTR)
      continue;
    if (r < 0)
      return -1;
    if (out[n] == '\n' && n)
      break;
    if (++n == most) {
      errno = EFBIG;
      return -1;
    }
  }
  out[n] = 0;
  return (ssize_t)n;
}

static ssize_t ask_token(char *out, size_t most)
{
  struct sigaction end = { .sa_handler = on_end }, old[COUNT(enders)];
  struct termios quiet;
  ssize_t n;

  if (!isatty(0) || tcgetattr(0, &terminal))
    return read_line(out, most);
  quiet = terminal;
  quiet.c_lflag &= (tcflag_t)~ECHO;
  for (size_t i = 0; i < COUNT(enders); i++)
    sigaction(enders[i], &end, &old[i]);
  tcsetattr(0, TCSAFLUSH, &quiet); /* first: it drops what was typed so far */
  fputs("Token: ", stderr);
  n = read_line(out, most);
  tcsetattr(0, TCSANOW, &terminal);
  for (size_t i = 0; i < COUNT(enders); i++)
    sigaction(enders[i], &old[i], NULL);
  fputc('\n', stderr);
  return n;
}

static int get_token(struct install *in)
{
  static char text[CONF_TOKEN_MAX + 1];
  const char *why = "";
  ssize_t n = ask_token(text, CONF_TOKEN_MAX);
  enum err e;

  if (n < 0)
    return install_tell(INSTALL_USAGE, "the token can't be read: %s", strerror(errno));
  e = token_parse(text, &in->token, &why);
  mem_wipe(text, sizeof text);
  if (e && !n)
    return install_tell(INSTALL_USAGE, "there is no token on standard input: `drover worker add NAME` on the master prints one");
  if (e)
    return install_tell(INSTALL_USAGE, "this is no join token: %s; `drover worker add NAME` on the master prints one. Nothing was written", why);
  return 0;
}

/* ---- what is there ---- */

static bool same_credential(const struct token *a, const struct token *b)
{
  bool shared = !a->pins && !b->pins;

  for (int i = 0; i < a->pins; i++)
    for (int k = 0; k < b->pins; k++)
      shared = shared || !memcmp(a->pin[i], b->pin[k], sizeof a->pin[i]);
  return shared && a->pool == b->pool && !strcmp(a->name, b->name);
}

/* The worker.conf that is there: its text, and its `dir` where none was given now. */
static int look_at_conf(struct install *in)
{
  struct conf_given given = { .config = in->conf_path };
  struct stat st;
  struct conf c;
  int fd = open(in->conf_path, O_RDONLY | O_CLOEXEC | O_NOCTTY), code = 0;

  if (fd < 0 && errno == ENOENT)
    return 0;
  if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
    if (fd >= 0)
      close(fd);
    return install_tell(INSTALL_FAILED, "%s can't be read: %s", in->conf_path, fd < 0 ? strerror(errno) : "it is no file");
  }
  if (conf_load(&c, &given)) {
    if (!in->force)
      code = install_tell(INSTALL_USAGE, "the present %s is not right (see above): mend or remove it, or write a new one with --force", in->conf_path);
  } else if (!in->force && !same_credential(&c.token, &in->token)) {
    code = install_tell(INSTALL_USAGE, "this host is %s %s already, by another token (%s): --force makes it %s of the new token's master, `drover-worker uninstall` ends it", c.token.pool ? "of the pool" : "worker", c.token.name, in->conf_path,
                        in->token.name);
  } else {
    in->conf_text = conf_slurp(fd, CONF_FILE_MAX);
    in->upgrade = in->upgrade || c.upgrade;
    if (!in->dir_given)
      in->dir = xstrdup(c.dir);
  }
  close(fd);
  conf_free(&c);
  return code;
}

/* Where the program is to be: where it is, when that is where a package or we would put it. */
static char *place_of_program(const struct install *in)
{
  char self[512];
  ssize_t n = os_self_name(self, sizeof self - 1);

  self[n > 0 ? n : 0] = 0;
  if (in->upgrade)
    return xasprintf("%s/bin/drover-worker", in->dir);
  if (!*in->root && !strcmp(self, INSTALL_PROGRAM_OF_PACKAGE))
    return xstrdup(INSTALL_PROGRAM_OF_PACKAGE);
  return xstrdup(INSTALL_PROGRAM);
}

/* ---- writing ---- */

static void put_token(struct buf *out, const struct token *t)
{
  buf_adds(out, "join = ");
  token_put(out, t);
  buf_addc(out, '\n');
}

/* The old file's lines with the new token in its place; what was not given now stays. */
static void compose(struct buf *out, struct install *in)
{
  bool token = false, dir = false, proxy = !in->proxy, upgrade = !in->upgrade;
  char *key, *value, *next;

  if (!in->conf_text)
    buf_adds(out, "# What this worker is told at its start: drover-worker(8). Holds the join token: mode 0600.\n");
  for (char *line = in->conf_text; line && *line; line = next) {
    size_t n = strcspn(line, "\n");
    char *copy = xstrndup(line, n);
    next = line + n + (line[n] == '\n');
    if (!conf_split(copy, &key, &value)) {
      buf_addf(out, "%.*s\n", (int)n, line);
    } else if (!strcmp(key, "join") || !strcmp(key, "join_file")) {
      if (!token)
        put_token(out, &in->token);
      token = true;
    } else if (!strcmp(key, "dir")) {
      buf_addf(out, "dir = %s\n", in->dir);
      dir = true;
    } else if (!strcmp(key, "proxy") && in->proxy) {
      buf_addf(out, "proxy = %s\n", in->proxy);
      proxy = true;
    } else if (!strcmp(key, "upgrade") && in->upgrade) {
      buf_adds(out, "upgrade = yes\n");
      upgrade = true;
    } else {
      buf_addf(out, "%.*s\n", (int)n, line);
    }
    mem_wipe(copy, n);
    free(copy);
  }
  if (!token)
    put_token(out, &in->token);
  if (!dir)
    buf_addf(out, "dir = %s\n", in->dir);
  if (!proxy)
    buf_addf(out, "proxy = %s\n", in->proxy);
  if (!upgrade)
    buf_adds(out, "upgrade = yes\n");
  if (!in->conf_text) { /* what builds here can rely on is decided now, once: a host that builds already keeps what it has */
    buf_adds(out, "isolate = auto\ncgroup = auto\n");
    if (!in->uid)
      buf_adds(out, "slot_uids = " INSTALL_SLOT_UIDS "\n");
  }
}

static enum err write_conf(struct install *in)
{
  struct buf text;
  enum err e;

  buf_init(&text, 2 * CONF_FILE_MAX);
  buf_reserve(&text, CONF_FILE_MAX + 2 * CONF_TOKEN_MAX); /* it does not move, so nothing of the token stays elsewhere */
  compose(&text, in);
  e = text.failed ? ERR_TOOBIG : setup_write(in->conf_path, text.data, text.len, 0600, in->uid, in->gid);
  mem_wipe(text.data, text.len);
  buf_free(&text);
  if (in->conf_text) {
    mem_wipe(in->conf_text, strlen(in->conf_text));
    free(in->conf_text);
    in->conf_text = NULL;
  }
  if (in->token.secret)
    mem_wipe(in->token.secret, strlen(in->token.secret));
  return e;
}

static enum err write_program(const struct install *in)
{
  char *path = install_below(in, in->program), *folder = xstrndup(path, (size_t)(strrchr(path, '/') - path));
  uid_t uid = in->upgrade ? in->uid : SETUP_NOBODY;
  gid_t gid = in->upgrade ? in->gid : (gid_t)-1;
  int self;
  enum err e = ERR_OK;

  if (strcmp(in->program, INSTALL_PROGRAM_OF_PACKAGE)) {
    self = open(os_self(), O_RDONLY | O_CLOEXEC);
    e = self < 0 ? ERR_IO : setup_folder(folder, 0755, uid, gid);
    if (self < 0)
      install_tell(0, "the program itself can't be read: %s", strerror(errno));
    if (!e)
      e = setup_copy(self, path, 0755);
    if (!e && uid != SETUP_NOBODY && lchown(path, uid, gid)) {
      install_tell(0, "%s can't be given to %s: %s", path, in->user, strerror(errno));
      e = ERR_IO;
    }
    if (self >= 0)
      close(self);
  }
  free(path);
  free(folder);
  return e;
}

/* The package's unit will do where everything is as the package has it. */
static bool package_has_unit(const struct install *in)
{
  static const char *const places[] = { "/usr/lib/systemd/system/" INSTALL_UNIT, "/lib/systemd/system/" INSTALL_UNIT };
  bool there = false;

  for (size_t i = 0; i < COUNT(places); i++) {
    char *path = install_below(in, places[i]);
    there = there || !access(path, R_OK);
    free(path);
  }
  return there && !strcmp(in->program, INSTALL_PROGRAM_OF_PACKAGE) && !strcmp(in->user, INSTALL_USER) && !strcmp(in->dir, CONF_DIR);
}

static enum err write_unit(const struct install *in)
{
  char *path = install_below(in, INSTALL_UNIT_FILE), *folder = install_below(in, "/etc/systemd/system");
  struct buf text;
  enum err e;

  buf_init(&text, BUF_NO_MAX);
  setup_unit(&text, in->program, in->user, in->dir);
  e = setup_folder(folder, 0755, SETUP_NOBODY, (gid_t)-1);
  if (!e)
    e = setup_write(path, text.data, text.len, 0644, SETUP_NOBODY, (gid_t)-1);
  buf_free(&text);
  free(path);
  free(folder);
  return e;
}

static int write_all_of_it(struct install *in)
{
  char *folder = install_below(in, "/etc/drover");
  bool unit = !package_has_unit(in);
  enum err e = *in->root ? ERR_OK : setup_user(in->user, in->dir, &in->uid, &in->gid);

  if (!e)
    e = setup_state(in->dir_path, in->uid, in->gid);
  if (!e)
    e = setup_folder(folder, 0755, SETUP_NOBODY, (gid_t)-1);
  if (!e)
    e = write_program(in);
  if (!e)
    e = write_conf(in);
  if (!e && unit)
    e = write_unit(in);
  free(folder);
  if (e)
    return INSTALL_FAILED;
  printf("wrote %s%s%s (0600)%s%s", strcmp(in->program, INSTALL_PROGRAM_OF_PACKAGE) ? in->program : "", strcmp(in->program, INSTALL_PROGRAM_OF_PACKAGE) ? ", " : "", CONF_FILE,
         unit ? ", " INSTALL_UNIT : "", *in->root ? " below " : "");
  printf("%s", in->root);
  return 0;
}

/* ---- the verbs ---- */

enum { OPT_DIR = 256, OPT_USER, OPT_PROXY, OPT_FORCE, OPT_NO_START, OPT_BACKGROUND, OPT_WAIT, OPT_ROOT, OPT_PURGE, OPT_UPGRADE };

static int check_options(struct install *in)
{
  struct proxy p = { .credentials = NULL };
  const char *why = NULL;
  int code = 0;

  if (in->dir_given && (*in->dir_given != '/' || strpbrk(in->dir_given, "\n\r\t ")))
    return install_tell(INSTALL_USAGE, "--dir %s is not an absolute path without blanks", in->dir_given);
  if (*in->root && *in->root != '/')
    return install_tell(INSTALL_USAGE, "--root %s is not an absolute path", in->root);
  if (!str_is_name(in->user, strlen(in->user)))
    return install_tell(INSTALL_USAGE, "--user %s is no name of a user", in->user);
  if (in->proxy && strcmp(in->proxy, "no")) {
    if (proxy_parse(in->proxy, &p, &why))
      code = install_tell(INSTALL_USAGE, "--proxy: %s", why);
    else if (p.credentials)
      code = install_tell(INSTALL_USAGE, "--proxy: a password is not given on the command line, where others see it: install without, then write `proxy = URL` into " CONF_FILE);
    proxy_free(&p);
  }
  if (!code && !*in->root && geteuid())
    code = install_tell(INSTALL_USAGE, "only root can do this: sudo, or --root DIR to put the files elsewhere");
  return code;
}

/* -1: go on. Else the exit code. */
int install_parse(int argc, char **argv, struct install *in, const char *text)
{
  static const struct option options[] = {
    { "dir", required_argument, NULL, OPT_DIR },         { "user", required_argument, NULL, OPT_USER }, { "proxy", required_argument, NULL, OPT_PROXY },
    { "force", no_argument, NULL, OPT_FORCE },           { "no-start", no_argument, NULL, OPT_NO_START }, { "background", no_argument, NULL, OPT_BACKGROUND },
    { "wait", required_argument, NULL, OPT_WAIT },       { "root", required_argument, NULL, OPT_ROOT }, { "purge", no_argument, NULL, OPT_PURGE },
    { "upgrade", no_argument, NULL, OPT_UPGRADE },
    { "help", no_argument, NULL, 'h' },                  { NULL, 0, NULL, 0 },
  };
  int o, code;
  int64_t seconds;

  while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1)
    switch (o) {
    case OPT_DIR: in->dir_given = optarg; break;
    case OPT_USER: in->user = optarg; break;
    case OPT_PROXY: in->proxy = optarg; break;
    case OPT_FORCE: in->force = true; break;
    case OPT_NO_START: in->no_start = true; break;
    case OPT_BACKGROUND: in->background = true; break;
    case OPT_ROOT: in->root = optarg; break;
    case OPT_PURGE: in->purge = true; break;
    case OPT_UPGRADE: in->upgrade = true; break;
    case OPT_WAIT:
      if (str_number(optarg, strlen(optarg), &seconds) || seconds > WAIT_S_MAX)
        return install_tell(INSTALL_USAGE, "--wait %s is no number of seconds up to %d", optarg, WAIT_S_MAX);
      in->wait_ms = seconds * 1000;
      break;
    case 'h':
      fputs(text, stdout);
      return 0;
    default:
      fprintf(stderr, "drover-worker: %s --help tells what there is\n", argv[0]);
      return INSTALL_USAGE;
    }
  if (optind < argc)
    return install_tell(INSTALL_USAGE, "a token is never given as an argument: others can see it there, and it stays in the shell's history. Give it on the terminal or on standard input; if that was one, make a new one with `drover worker add NAME`");
  code = check_options(in);
  return code ? code : -1;
}

void install_init(struct install *in)
{
  *in = (struct install){ .root = "", .user = INSTALL_USER, .wait_ms = WAIT_S * 1000, .uid = SETUP_NOBODY, .gid = (gid_t)-1 };
}

void install_free(struct install *in)
{
  token_free(&in->token);
  free(in->dir);
  free(in->program);
  free(in->conf_path);
  free(in->dir_path);
}

int install_main(int argc, char **argv)
{
  struct install in;
  int code;

  install_init(&in);
  code = install_parse(argc, argv, &in, help);
  if (code >= 0)
    return code;
  in.conf_path = install_below(&in, CONF_FILE);
  code = get_token(&in);
  if (!code)
    code = look_at_conf(&in);
  if (!code) {
    if (!in.dir)
      in.dir = xstrdup(in.dir_given ? in.dir_given : CONF_DIR);
    in.dir_path = install_below(&in, in.dir);
    in.program = place_of_program(&in);
    code = write_all_of_it(&in);
  }
  if (!code)
    code = install_start(&in);
  install_free(&in);
  return code;
}

