/* drover-master: options. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/notify.h"
#include "master/core/conf.h"
#include "master/core/master_int.h"
#include "master/core/place.h"
#include "master/core/verbs.h"

#define CONFIG_FILE "/etc/drover/master.yaml"

static const char usage[] =
  "usage: drover-master [--config FILE] [--check] [--log-level debug|info|warn|error] [--log-format text|json] [--new-incarnation]\n"
  "       drover-master --reference\n";
static const char usage_rest[] =
  "\n"
  "  --config FILE       the site's configuration (conf.d/*.yaml beside it is read too); default " CONFIG_FILE "\n"
  "  --check             only check it\n"
  "  --log-level LEVEL   least level that is written to stderr (info)\n"
  "  --log-format FORMAT text (the default): \"level area: what\"; json: an object a line\n"
  "  --new-incarnation   the database is a restored backup: ids of the past must not come back\n"
  "  --database-unit     the private PostgreSQL is a service of its own: wait for it, don't start or stop it\n"
  "  --database-only     be that service: make the private PostgreSQL where there is none, and run it in the foreground\n"
  "  --needs-database    only tell by the exit code whether there is a private PostgreSQL to run (0: yes, 1: `database` is given)\n"
  "  --git-helper        answer one request about a git repository on stdin (the master starts this itself)\n"
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

int main(int argc, char **argv)
{
  enum { CHECK = 256, LEVEL, FORMAT, HELPER, REFERENCE, RAISE, DB_ONLY, DB_UNIT, DB_NEEDED };
  static const struct option options[] = { { "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, CHECK },
    { "log-level", required_argument, NULL, LEVEL }, { "log-format", required_argument, NULL, FORMAT }, { "git-helper", no_argument, NULL, HELPER }, { "reference", no_argument, NULL, REFERENCE },
    { "new-incarnation", no_argument, NULL, RAISE }, { "database-only", no_argument, NULL, DB_ONLY }, { "database-unit", no_argument, NULL, DB_UNIT },
    { "needs-database", no_argument, NULL, DB_NEEDED }, { "version", no_argument, NULL, 'v' }, { "help", no_argument, NULL, 'h' }, { 0 } };
  const char *file = CONFIG_FILE;
  bool check = false, raise = false, db_only = false, db_unit = false, db_needed = false;
  struct conf *conf;
  const struct verb *verb = argc > 1 ? verb_find(argv[1]) : NULL;
  int c, rc = 0;

  notify_init();
  if (verb)
    return verb_main(verb, argc - 1, argv + 1);
  while ((c = getopt_long(argc, argv, "c:vh", options, NULL)) != -1)
    switch (c) {
    case 'c': file = optarg; break;
    case CHECK: check = true; break;
    case RAISE: raise = true; break;
    case DB_ONLY: db_only = true; break;
    case DB_UNIT: db_unit = true; break;
    case DB_NEEDED: db_needed = true; break;
    case HELPER: return git_helper();
    case REFERENCE: return reference();
    case LEVEL:
      if (level(optarg) < 0) {
        fprintf(stderr, "drover-master: no log level %s\n", optarg);
        return 2;
      }
      log_set_level((enum log_level)level(optarg));
      break;
    case FORMAT:
      if (!log_set_format(optarg)) {
        fprintf(stderr, "drover-master: no log format %s\n", optarg);
        return 2;
      }
      break;
    case 'v': puts("drover-master " DROVER_VERSION); return 0;
    case 'h': return help(stdout);
    default: return help(stderr);
    }
  if (optind < argc)
    return help(stderr);
  conf = verb_conf(file);
  if (!conf)
    return 2;
  if (!check && !db_needed && !db_only)
    return master_run(conf, raise, db_unit);
  if (check)
    printf("%s: ok, %d projects, %d workers\n", file, conf->nprojects, conf->nworkers);
  else if (db_needed)
    rc = conf->database ? 1 : 0;
  else
    rc = master_database(conf);
  conf_free(conf);
  return rc;
}
