/* drover-master: options. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/notify.h"
#include "master/conf/conf.h"
#include "master/core/master_int.h"
#include "master/core/place.h"
#include "master/keep/verbs.h"

static const char usage[] =
  "usage: drover-master [--config FILE] [--check] [--log-level debug|info|warn|error] [--log-format text|json] [--new-incarnation] [--web-dir DIR]\n"
  "       drover-master --reference\n";
static const char usage_rest[] =
  "\n"
  "  --config FILE       the site's configuration (conf.d/*.yaml beside it is read too); default " CONF_DEFAULT "\n"
  "  --check             only check it\n"
  "  --log-level LEVEL   least level that is written to stderr (info)\n"
  "  --log-format FORMAT text (the default): \"level area: what\"; json: an object a line\n"
  "  --new-incarnation   the database is a restored backup: ids of the past must not come back\n"
  "  --database-unit     the private PostgreSQL is a service of its own: wait for it, don't start or stop it\n"
  "  --database-only     be that service: make the private PostgreSQL where there is none, and run it in the foreground\n"
  "  --needs-database    only tell by the exit code whether there is a private PostgreSQL to run (0: yes, 1: `database` is given)\n"
  "  --web-dir DIR       take the page's files from DIR at each request (for working on them)\n"
  "  --git-helper        answer requests about repositories on stdin (the master starts this itself)\n"
  "  --reference         print the reference of all configuration keys, in markdown\n"
  "  --version, --help\n"
  "\n"
  "Runs in the foreground and logs to stderr, one line an event. SIGTERM: finish writes and leave; running builds go on at their workers.\n"
  "SIGHUP: read the configuration anew.\n"
  "exit: 0 stopped · 1 the system failed · 2 usage or configuration · 3 another master runs on the same state folder\n";

static int git_helper(void)
{
  char *path = place_find("drover-git-helper");

  execl(path, path, (char *)NULL);
  fprintf(stderr, "drover-master: can't start %s\n", path);
  free(path);
  return 1;
}

static int level(const char *name)
{
  static const char *const names[] = { "debug", "info", "warn", "error" };

  for (int i = 0; i < (int)COUNT(names); i++)
    if (!strcmp(names[i], name))
      return i;
  return -1;
}

static int reference(void)
{
  struct buf text;

  buf_init(&text, BUF_NO_MAX);
  conf_reference(&text);
  fputs(buf_str(&text), stdout);
  buf_free(&text);
  return fflush(stdout) ? 1 : 0;
}

static int help(FILE *to)
{
  struct buf verbs;

  buf_init(&verbs, BUF_NO_MAX);
  verbs_usage(&verbs);
  fprintf(to, "%s%s%s", usage, buf_str(&verbs), usage_rest);
  buf_free(&verbs);
  return to == stdout ? 0 : 2;
}

/* What is to be done. */
struct wish {
  const char *file;
  enum { RUN, CHECK, DATABASE_ONLY, NEEDS_DATABASE } what;
  struct master_options run;
};

enum { KEEP_GOING = -1 };

static int bad_word(const char *what, const char *word)
{
  fprintf(stderr, "drover-master: no log %s %s\n", what, word);
  return 2;
}

/* KEEP_GOING, or the exit code. */
static int parse(int argc, char **argv, struct wish *w)
{
  enum { O_CHECK = 256, O_LEVEL, O_FORMAT, O_HELPER, O_REFERENCE, O_RAISE, O_DB_ONLY, O_DB_UNIT, O_DB_NEEDED, O_WEB_DIR };
  static const struct option options[] = {
    { "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, O_CHECK }, { "log-level", required_argument, NULL, O_LEVEL },
    { "log-format", required_argument, NULL, O_FORMAT }, { "git-helper", no_argument, NULL, O_HELPER }, { "reference", no_argument, NULL, O_REFERENCE },
    { "new-incarnation", no_argument, NULL, O_RAISE }, { "database-only", no_argument, NULL, O_DB_ONLY }, { "database-unit", no_argument, NULL, O_DB_UNIT },
    { "needs-database", no_argument, NULL, O_DB_NEEDED }, { "web-dir", required_argument, NULL, O_WEB_DIR }, { "version", no_argument, NULL, 'v' },
    { "help", no_argument, NULL, 'h' }, { 0 } };
  int c;

  while ((c = getopt_long(argc, argv, "c:vh", options, NULL)) != -1)
    switch (c) {
    case 'c': w->file = optarg; break;
    case O_CHECK: w->what = CHECK; break;
    case O_DB_ONLY: w->what = DATABASE_ONLY; break;
    case O_DB_NEEDED: w->what = NEEDS_DATABASE; break;
    case O_RAISE: w->run.raise = true; break;
    case O_DB_UNIT: w->run.database_unit = true; break;
    case O_WEB_DIR: w->run.web_dir = optarg; break;
    case O_HELPER: return git_helper();
    case O_REFERENCE: return reference();
    case O_LEVEL:
      if (level(optarg) < 0)
        return bad_word("level", optarg);
      log_set_level((enum log_level)level(optarg));
      break;
    case O_FORMAT:
      if (!log_set_format(optarg))
        return bad_word("format", optarg);
      break;
    case 'v': puts("drover-master " DROVER_VERSION); return 0;
    case 'h': return help(stdout);
    default: return help(stderr);
    }
  return optind < argc ? help(stderr) : KEEP_GOING;
}

int main(int argc, char **argv)
{
  const struct verb *verb = argc > 1 ? verb_find(argv[1]) : NULL;
  struct wish w = { .file = CONF_DEFAULT };
  struct conf *conf;
  int rc;

  notify_init();
  if (verb)
    return verb_main(verb, argc - 1, argv + 1);
  rc = parse(argc, argv, &w);
  if (rc != KEEP_GOING)
    return rc;
  conf = verb_conf(w.file, w.what == RUN || w.what == CHECK);
  if (!conf)
    return 2;
  switch (w.what) {
  case CHECK:
    printf("%s: ok, %d projects, %d workers\n", w.file, conf->nprojects, conf->nworkers);
    rc = 0;
    break;
  case NEEDS_DATABASE: rc = conf->database ? 1 : 0; break;
  case DATABASE_ONLY: rc = master_database(conf); break;
  default: return master_run(conf, &w.run);
  }
  conf_free(conf);
  return rc;
}
