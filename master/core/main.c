/* drover-master: options. */
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "master/core/conf.h"
#include "master/core/diag.h"
#include "master/core/master_int.h"

static const char usage[] =
  "usage: drover-master --config FILE [--check] [--log-level debug|info|warn|error] [--new-incarnation] [--web-dir DIR]\n"
  "       drover-master --reference\n"
  "\n"
  "  --config FILE       the site's configuration (conf.d/*.yaml beside it is read too)\n"
  "  --check             only check it\n"
  "  --log-level LEVEL   least level that is written to stderr (info)\n"
  "  --new-incarnation   the database is a restored backup: ids of the past must not come back\n"
  "  --web-dir DIR       take the page's files from DIR at each request (for working on them)\n"
  "  --git-helper        answer one request about a git repository on stdin (the master starts this itself)\n"
  "  --reference         print the reference of all configuration keys, in markdown\n"
  "  --version, --help\n"
  "\n"
  "Runs in the foreground and logs to stderr, one line an event. SIGTERM: finish writes and leave; running builds go on at their workers.\n"
  "exit: 0 stopped · 1 the system failed · 2 usage or configuration · 3 another master runs on the same state folder\n";

static int git_helper(void)
{
  char self[4096], path[4200];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

  if (n < 0)
    return 1;
  self[n] = 0;
  snprintf(path, sizeof path, "%s/drover-git-helper", dirname(self));
  execl(path, path, (char *)NULL);
  fprintf(stderr, "drover-master: can't start %s\n", path);
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

static struct conf *load(const char *file)
{
  struct conf *conf;
  struct diags d;
  struct buf text;

  diag_init(&d);
  conf = conf_load(file, &d);
  buf_init(&text, BUF_NO_MAX);
  diag_print(&d, &text);
  fputs(buf_str(&text), stderr);
  buf_free(&text);
  diag_free(&d);
  return conf;
}

int main(int argc, char **argv)
{
  enum { CHECK = 256, LEVEL, HELPER, REFERENCE, RAISE, WEB_DIR };
  static const struct option options[] = { { "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, CHECK },
    { "log-level", required_argument, NULL, LEVEL }, { "git-helper", no_argument, NULL, HELPER }, { "reference", no_argument, NULL, REFERENCE },
    { "new-incarnation", no_argument, NULL, RAISE }, { "web-dir", required_argument, NULL, WEB_DIR }, { "version", no_argument, NULL, 'v' }, { "help", no_argument, NULL, 'h' }, { 0 } };
  const char *file = NULL, *web_dir = NULL;
  bool check = false, raise = false;
  struct conf *conf;
  int c, rc = 0;

  while ((c = getopt_long(argc, argv, "c:vh", options, NULL)) != -1)
    switch (c) {
    case 'c': file = optarg; break;
    case CHECK: check = true; break;
    case RAISE: raise = true; break;
    case WEB_DIR: web_dir = optarg; break;
    case HELPER: return git_helper();
    case REFERENCE: return reference();
    case LEVEL:
      if (level(optarg) < 0) {
        fprintf(stderr, "drover-master: no log level %s\n", optarg);
        return 2;
      }
      log_set_level((enum log_level)level(optarg));
      break;
    case 'v': puts("drover-master " DROVER_VERSION); return 0;
    case 'h': fputs(usage, stdout); return 0;
    default: fputs(usage, stderr); return 2;
    }
  if (!file || optind < argc) {
    fputs(usage, stderr);
    return 2;
  }
  conf = load(file);
  if (!conf)
    return 2;
  conf->web_dir = xstrdup(web_dir);
  if (check)
    printf("%s: ok, %d projects, %d workers\n", file, conf->nprojects, conf->nworkers);
  else
    rc = master_run(conf, raise);
  conf_free(conf);
  return rc;
}
