/* drover-worker: runs commands for a master, and never forgets a byte of their output.

   Exit codes: 0 stopped by a signal, 2 wrong usage or configuration, 3 the state folder is in use by another drover-worker, 1 else.
   `--minder` is how the program starts itself for one command (minder.h); it is not for people. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/agent.h"
#include "worker/minder.h"

static const char help[] =
  "usage: drover-worker --join-file FILE --dir DIR [options]\n"
  "\n"
  "Connects to a drover master and runs its commands, in the foreground, until SIGTERM.\n"
  "Commands that are running then go on, and the next drover-worker on the same folder\n"
  "takes them over.\n"
  "\n"
  "  --join-file FILE    the join token; FILE must not be readable by others; - is standard input\n"
  "  --dir DIR           the state folder, made where missing; commands work in DIR/work\n"
  "  --connect ADDRESS   unix:PATH or HOST:PORT instead of the token's addresses\n"
  "  --log-level LEVEL   debug, info (default) or warn; the log goes to stderr and DIR/log\n"
  "  --help, --version\n"
  "\n"
  "DIR/worker.conf, if it is there, may hold: path = PATH of the commands\n"
  "\n"
  "exit codes: 0 stopped by a signal, 2 wrong usage or configuration,\n"
  "            3 the folder is in use by another drover-worker, 1 anything else\n";

static int usage(const char *what)
{
  if (what)
    fprintf(stderr, "drover-worker: %s\n", what);
  fputs("usage: drover-worker --join-file FILE --dir DIR [options]; --help tells more\n", stderr);
  return EXIT_USAGE;
}

static int run_minder(char **word)
{
  struct minder_args a = { word[0], word[1], word[2], word[3], word[4], atoi(word[5]), atoi(word[6]), atoi(word[7]),
                           atoi(word[8]), *word[9] == '1' };
  return minder_main(&a);
}

static bool parse_level(const char *word, enum log_level *level)
{
  static const char *const words[] = { [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn" };

  for (size_t i = 0; i < COUNT(words); i++)
    if (!strcmp(words[i], word)) {
      *level = (enum log_level)i;
      return true;
    }
  return false;
}

static int parse(int argc, char **argv, struct conf *c)
{
  static const struct option options[] = {
    { "join-file", required_argument, NULL, 'j' }, { "dir", required_argument, NULL, 'd' },
    { "connect", required_argument, NULL, 'c' },   { "log-level", required_argument, NULL, 'l' },
    { "help", no_argument, NULL, 'h' },            { "version", no_argument, NULL, 'v' },
    { NULL, 0, NULL, 0 },
  };
  int o;

  while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1)
    switch (o) {
    case 'j':
      c->join_file = optarg;
      break;
    case 'd':
      c->dir = optarg;
      break;
    case 'c':
      c->connect = optarg;
      break;
    case 'l':
      if (!parse_level(optarg, &c->level))
        return usage("--log-level is debug, info or warn");
      break;
    case 'h':
      fputs(help, stdout);
      exit(0);
    case 'v':
      puts("drover-worker " DROVER_VERSION);
      exit(0);
    default:
      return usage(NULL);
    }
  if (optind < argc)
    return usage("there are words too many");
  if (!c->join_file || !c->dir)
    return usage(c->dir ? "--join-file is missing" : "--dir is missing");
  return 0;
}

int main(int argc, char **argv)
{
  struct conf c = { .level = LOG_INFO };
  int code;

  if (argc == MINDER_ARGS + 2 && !strcmp(argv[1], "--minder"))
    return run_minder(argv + 2);
  code = parse(argc, argv, &c);
  if (code)
    return code;
  log_set_level(c.level);
  if (conf_read_token(&c))
    return EXIT_USAGE;
  code = agent_main(&c);
  conf_free(&c);
  return code;
}
