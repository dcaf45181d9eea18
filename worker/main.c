/* drover-worker: runs commands for a master, and never forgets a byte of their output.

   Exit codes: 0 stopped by a signal, 2 wrong usage or configuration, 3 the state folder is in use by another drover-worker, 4 stopped by the master, 1 else;
   those of `install` are in install.h. `--minder` is how the program starts itself for one command (minder.h); it is not for people. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/notify.h"
#include "worker/agent.h"
#include "worker/install.h"
#include "worker/minder.h"
#include "worker/os.h"
#include "worker/stdio.h"
#include "worker/version.h"
#include "worker/wrap.h"

#ifndef HELP_MORE
#define HELP_MORE /* words that only a build for another system has */
#endif

static const char help_head[] =
  "usage: drover-worker [--config FILE] [options]\n"
  "       drover-worker install [options]       set this host up as a worker; --help after it tells more\n"
  "       drover-worker uninstall [options]\n"
  HELP_MORE
  "       drover-worker --stdio NAME [--dir DIR]   as a master starts it by ssh\n"
  "\n"
  "Connects to a drover master and runs its commands, in the foreground, until SIGTERM.\n"
  "Commands that are running then go on, and the next drover-worker on the same folder\n"
  "takes them over.\n"
  "\n"
  "  --config FILE       the settings (default: DIR/worker.conf where --dir is given, else " CONF_FILE ")\n"
  "  --stdio NAME        the master has dialled this worker, by that name: standard input and output are the link,\n"
  "                      there is no token, and DIR is ~/" STDIO_DIR " where it is not given\n"
  "  --help, --version\n"
  "\n"
  "Settings: lines `name = value` of FILE, or options, which win:\n";
static const char help_tail[] =
  "\n"
  "exit codes: 0 stopped by a signal, 2 wrong usage or configuration,\n"
  "            3 the folder is in use by another drover-worker,\n"
  "            4 stopped by the master (`drover worker drain`), 1 anything else\n";

enum { OPTION_FIRST = 1000 }; /* val of an option of conf.def, by its number */

static int usage(const char *what)
{
  if (what)
    fprintf(stderr, "drover-worker: %s\n", what);
  fputs("usage: drover-worker [--config FILE] [options], or drover-worker install; --help tells more\n", stderr);
  return EXIT_USAGE;
}

static int run_minder(char **word)
{
  struct minder_args a = { word[0], word[1], word[2], word[3], word[4], atoi(word[5]), atoi(word[6]), atoi(word[7]),
                           atoi(word[8]), atoi(word[9]), *word[10] == '1', word[11] };
  return minder_main(&a);
}

/* conf.def's name as an option's. */
static const char *option_name(const char *key, char out[32])
{
  snprintf(out, 32, "%s", key);
  for (char *p = out; *p; p++)
    *p = *p == '_' ? '-' : *p;
  return out;
}

static void print_help(void)
{
  char name[32], left[64];

  fputs(help_head, stdout);
  for (int i = 0; i < CONF_KEYS; i++) {
    const struct conf_key *k = &conf_keys[i];
    if (k->option)
      snprintf(left, sizeof left, "--%s %s", option_name(k->name, name), k->argument);
    else
      snprintf(left, sizeof left, "%s = %s", k->name, k->argument);
    printf("  %-20s%s%s\n", left, k->what, k->option ? "" : "; never as an option");
  }
  fputs(help_tail, stdout);
}

static int parse(int argc, char **argv, struct conf_given *g)
{
  static char names[CONF_KEYS][32];
  struct option options[CONF_KEYS + 5] = { { "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' }, { "stdio", required_argument, NULL, 's' } };
  int n = 4, o;

  for (int i = 0; i < CONF_KEYS; i++)
    if (conf_keys[i].option)
      options[n++] = (struct option){ option_name(conf_keys[i].name, names[i]), required_argument, NULL, OPTION_FIRST + i };
  while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1)
    if (o == 'c') {
      g->config = optarg;
    } else if (o == 's') {
      g->stdio = optarg;
    } else if (o == 'h') {
      print_help();
      exit(0);
    } else if (o == 'v') {
      printf("drover-worker %s\n", worker_version);
      exit(0);
    } else if (o >= OPTION_FIRST) {
      g->value[o - OPTION_FIRST] = optarg;
    } else {
      return usage(NULL);
    }
  return optind < argc ? usage("there are words too many (a token is never given as an argument: others would see it)") : 0;
}

int main(int argc, char **argv)
{
  struct conf_given given = { .config = NULL };
  struct conf c;
  int code;

  os_init(argv[0]);
  if (argc == MINDER_ARGS + 2 && !strcmp(argv[1], "--minder"))
    return run_minder(argv + 2);
  if (argc > 1 && !strcmp(argv[1], "--unwrap"))
    return wrap_main(argv);
  notify_init();
  if (argc > 1 && !strcmp(argv[1], "install"))
    return install_main(argc - 1, argv + 1);
  if (argc > 1 && !strcmp(argv[1], "uninstall"))
    return uninstall_main(argc - 1, argv + 1);
  code = parse(argc, argv, &given);
  if (code)
    return code;
  if (given.stdio && !stdio_begin())
    return EXIT_OTHER;
  if (conf_load(&c, &given)) {
    conf_free(&c);
    return EXIT_USAGE;
  }
  log_set_level(c.level);
  if (!log_set_format(c.format))
    return EXIT_USAGE;
  code = agent_main(&c, &given, argv);
  conf_free(&c);
  return code;
}
