/* The table of verbs and their options. */
#include "master/keep/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/str.h"
#include "master/conf/conf.h"
#include "master/conf/diag.h"

static const struct verb verbs[] = {
  { "backup", "DIR [--no-logs]", true, "no-logs", verb_backup },
  { "verify", "DIR", true, "", verb_verify },
  { "restore", "DIR [--force --replace CLUSTER] [--above INCARNATION]", true, "force replace above", verb_restore },
  { "upgrade-db", "[--check] [--from BINDIR --to BINDIR]", false, "check from to", verb_upgrade_db },
};
static const char *name = "";

const struct verb *verb_find(const char *word)
{
  for (size_t i = 0; i < COUNT(verbs); i++)
    if (!strcmp(verbs[i].name, word))
      return &verbs[i];
  return NULL;
}

void verbs_usage(struct buf *out)
{
  for (size_t i = 0; i < COUNT(verbs); i++)
    buf_addf(out, "       drover-master %s %s [--config FILE]\n", verbs[i].name, verbs[i].usage);
}

int verb_error(int code, const char *fmt, ...)
{
  va_list ap;

  fflush(stdout);
  fprintf(stderr, "drover-master %s: ", name);
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputc('\n', stderr);
  return code;
}

static bool takes(const struct verb *v, const char *flag)
{
  size_t n = strlen(flag);

  for (const char *at = v->flags; (at = strstr(at, flag)); at += n)
    if ((at == v->flags || at[-1] == ' ') && (!at[n] || at[n] == ' '))
      return true;
  return false;
}

static int wrong(const struct verb *v)
{
  fprintf(stderr, "usage: drover-master %s %s [--config FILE]\n", v->name, v->usage);
  return VERB_USAGE;
}

int verb_main(const struct verb *v, int argc, char **argv)
{
  enum { NO_LOGS = 256, FORCE, REPLACE, ABOVE, CHECK, FROM, TO };
  static const struct option options[] = { { "config", required_argument, NULL, 'c' }, { "no-logs", no_argument, NULL, NO_LOGS }, { "force", no_argument, NULL, FORCE },
    { "replace", required_argument, NULL, REPLACE }, { "above", required_argument, NULL, ABOVE }, { "check", no_argument, NULL, CHECK }, { "from", required_argument, NULL, FROM }, { "to", required_argument, NULL, TO },
    { "help", no_argument, NULL, 'h' }, { 0 } };
  struct verb_args a = { .config = CONF_DEFAULT };
  int c, index = 0;

  name = v->name;
  while ((c = getopt_long(argc, argv, "c:h", options, &index)) != -1) {
    if (c >= NO_LOGS && !takes(v, options[index].name)) {
      fprintf(stderr, "drover-master %s takes no --%s\n", v->name, options[index].name);
      return wrong(v);
    }
    switch (c) {
    case 'c': a.config = optarg; break;
    case NO_LOGS: a.no_logs = true; break;
    case FORCE: a.force = true; break;
    case REPLACE: a.replace = optarg; break;
    case ABOVE:
      if (str_number(optarg, strlen(optarg), &a.above)) {
        fprintf(stderr, "drover-master %s: --above wants a number\n", v->name);
        return wrong(v);
      }
      break;
    case CHECK: a.check = true; break;
    case FROM: a.from = optarg; break;
    case TO: a.to = optarg; break;
    case 'h': printf("usage: drover-master %s %s [--config FILE]\n", v->name, v->usage); return VERB_OK;
    default: return wrong(v);
    }
  }
  if (argc - optind != (v->folder ? 1 : 0) || (v->folder && !*argv[optind]))
    return wrong(v);
  a.folder = v->folder ? argv[optind] : NULL;
  return v->run(&a);
}

struct conf *verb_conf(const char *file, bool run)
{
  struct conf *conf;
  struct diags d;
  struct buf text;

  diag_init(&d);
  conf = run ? conf_load(file, &d) : conf_look(file, NULL, &d);
  buf_init(&text, BUF_NO_MAX);
  diag_print(&d, &text);
  fputs(buf_str(&text), stderr);
  buf_free(&text);
  diag_free(&d);
  return conf;
}

int verb_lock_state(const char *state)
{
  char *path = xasprintf("%s/lock", state);
  struct stat st;
  int fd = -1;

  if (mkdir(state, 0755) && errno != EEXIST) {
    verb_error(0, "can't make the state folder %s: %s", state, strerror(errno));
  } else {
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB)) {
      if (fd >= 0 && errno == EWOULDBLOCK)
        verb_error(0, "a master runs on the state folder %s: stop it first (systemctl stop drover-master, or drover master stop)", state);
      else
        verb_error(0, "can't use the state folder %s: %s", state, strerror(errno));
      if (fd >= 0)
        close(fd);
      fd = -1;
    } else if (!geteuid() && !stat(state, &st) && fchown(fd, st.st_uid, st.st_gid)) {
      verb_error(0, "can't give %s to the owner of its folder: %s", path, strerror(errno)); /* whose master could not lock it */
    }
  }
  free(path);
  return fd;
}
