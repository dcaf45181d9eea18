/* The one table of commands, and what is printed from it. */
#include "master/cli/commands.h"

#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/cli/cmd_config.h"

#define F(id) FLAG_BIT(id)
#define F_GO_ON (F(WAIT) | F(FOLLOW) | F(RETRY))
#define F_BUILD (F(BRANCH) | F(REVISION) | F(PROPERTY) | F(REASON) | F_GO_ON)
#define F_LIST (F(LIMIT) | F(BEFORE) | F(BUILDER) | F(BUILDSET) | F(STATE) | F(BRANCH) | F(PROJECT))
#define F_CHANGE (F(PROJECT) | F(CODEBASE) | F(BRANCH) | F(REVISION) | F(AUTHOR) | F(COMMITTER) | F(CATEGORY) | F(MESSAGE) | F(FILE) | F(PROPERTY) | F(REPOSITORY))

const struct command commands[] = {
  { "status", "", 0, 0, F(WATCH), cmd_status, "what runs, what waits and why", NULL },
  { "list", "[builders|builds|requests|changes|workers|pools|projects]", 0, 1, F_LIST, cmd_list, "lists, newest first (default: builds)", NULL },
  { "builders", "", 0, 0, 0, cmd_builders, "all builders: last result, what runs, what waits", NULL },
  { "show", "ID", 1, 1, F(ALL), cmd_show, "all about a build, step, request, buildset, change, builder or worker", NULL },
  { "last", "BUILDER", 1, 1, F(ALL), cmd_last, "all about a builder's newest build", NULL },
  { "log", "ID[:STEP]", 1, 1, F(FOLLOW) | F(RAW) | F(LOG) | F(RETRY) | F(FAILED), cmd_log, "the log of a build, or of one of its steps",
    "--failed takes a build or a builder, and says since which change it fails.\n"
    "Control bytes are shown as ^X, so that a log can't do anything to the terminal; --raw writes the bytes as they are." },
  { "attach", "ID[:STEP]", 1, 1, F(RAW) | F(RETRY) | F(TAKE), cmd_attach, "send input to a step that runs with `stdin: {open: true}`, and show its log",
    "Standard input goes to the command, to its end. From a terminal to a step with `pty`, each key goes there as it is pressed, Ctrl-C too, and the log comes as it is: Ctrl-] leaves, and the step goes on. The step's terminal gets the size of this one." },
  { "build", "BUILDER", 1, 1, F_BUILD | F(CODEBASE) | F(AT), cmd_build, "ask for a build",
    "Of a project with several codebases --branch and --revision are of its main one, or of --codebase; what goes with them in the others the project's `stamps` say, or --at." },
  { "try", "[BUILDER ...]", 0, 64, F_BUILD | F(PROJECT) | F(CODEBASE) | F(AT) | F(PATCH), cmd_try, "build what is here and not pushed yet", NULL },
  { "force", "BUILDER", 1, 1, F_BUILD | F(CODEBASE) | F(AT), cmd_build, NULL, NULL },
  { "rerun", "ID", 1, 1, F_GO_ON | F(REASON) | F(ONLY), cmd_rerun, "build the same again, and what needed it", NULL },
  { "requeue", "ID", 1, 1, F_GO_ON | F(REASON) | F(ONLY), cmd_rerun, NULL, NULL },
  { "cancel", "ID", 1, 1, F(REASON) | F(OTHERS), cmd_cancel, "cancel a build, a request or a buildset", NULL },
  { "approve", "REQUEST", 1, 1, 0, cmd_approve, "let a build be made again that was lost in a step with on_lost: ask", NULL },
  { "watch", "ID", 1, 1, F(RETRY), cmd_watch, "follow a build, request or buildset to its end",
    "Ctrl-C ends watching, never the build." },
  { "pause", "[OBJECT]", 0, 1, F(REASON) | F(FOR), cmd_pause, "start nothing new: all, a project, PROJECT/BUILDER, a worker, pool/NAME; alone: what is paused", NULL },
  { "resume", "OBJECT", 1, 1, 0, cmd_resume, "go on with what was paused", NULL },
  { "priority", "ID N", 2, 2, 0, cmd_priority, "which start first, 0 to 100: of a request, or all of a buildset", NULL },
  { "why", "ID", 1, 1, 0, cmd_why, "why it waits, why it ran, why it ended so", NULL },
  { "queue", "", 0, 0, F(LIMIT), cmd_queue, "what waits for a worker, in which order, why, and until about when", NULL },
  { "events", "[OBJECT]", 0, 1, F(LIMIT) | F(FOLLOW) | F(RETRY), cmd_events, "what has happened, a line each; with -f also what happens, until Ctrl-C",
    "OBJECT: only those of it and of what is below it: libfoo, libfoo/linux, r118, worker/build1, worker. --limit: how many of the past are looked at." },
  { "locks", "", 0, 0, 0, cmd_locks, "who holds the site's locks, and who waits for them", NULL },
  { "scheduler list", "[PROJECT]", 0, 1, 0, cmd_scheduler_list, "what sets builds off: when next, what it did last and why", NULL },
  { "scheduler show", "PROJECT/NAME", 1, 1, 0, cmd_scheduler_show, "one scheduler: its next times, what waits, its last decisions", NULL },
  { "scheduler enable", "PROJECT/NAME", 1, 1, F(REASON), cmd_scheduler_enable, "let it act again; times that passed are not made up for", NULL },
  { "scheduler disable", "PROJECT/NAME", 1, 1, F(REASON), cmd_scheduler_disable, "let its times and changes pass until it is enabled", NULL },
  { "scheduler run", "PROJECT/NAME", 1, 1, F(PROPERTY) | F(AT) | F(REASON) | F_GO_ON, cmd_scheduler_run, "build now what it would build",
    "At the tip of its branch. -p gives values of its parameters, where it has some. PROJECT may be left out where only one project has such a scheduler." },
  { "worker add", "NAME", 1, 1, F(SLOTS) | F(TAG) | F(QUIET), cmd_worker_add, "a new worker, or a new token for one",
    "Prints a token that the worker needs to join. An older token of that name is no longer good." },
  { "worker install", "[USER@]HOST [-- OPTION...]", 1, 16, F(NAME) | F(SLOTS) | F(TAG) | F(SSH), cmd_worker_install, "make a host a worker, by your own ssh",
    "Copies the worker program there and has `drover-worker install` do the rest, with a new token by its standard input. Whoever is not root there needs sudo without a password. "
    "What follows -- are options of `drover-worker install`." },
  { "worker list", "", 0, 0, 0, cmd_worker_list, "all workers", NULL },
  { "worker show", "NAME", 1, 1, 0, cmd_worker_show, "one worker, with what it builds", NULL },
  { "worker clean", "NAME [BUILDER]", 1, 2, 0, cmd_worker_clean, "remove its work folders, or only a builder's",
    "Those that no build uses go now, the others when their builds are over. The next build there begins with a fresh checkout." },
  { "worker upgrade", "[NAME ...]", 0, 64, F(ALL) | F(DOWNGRADE), cmd_worker_upgrade, "have workers become the program that the master hands out",
    "--all: all that are connected. Commands that are running live on. Only where the worker's own worker.conf allows it (upgrade = yes). A program that does not start, or that the master does not welcome "
    "within two minutes, is not kept: the worker goes back to the one that it had." },
  { "worker restart", "NAME", 1, 1, 0, cmd_worker_restart, "have a worker's agent start itself anew; what runs there lives on", NULL },
  { "worker drain", "NAME", 1, 1, F(THEN) | F(DOWNGRADE) | F(WAIT), cmd_worker_drain, "start nothing new on a worker, and stop it when nothing is built there any more",
    "It is paused, with the reason drain. After --then restart or upgrade the pause ends; after a stop it stays until drover worker resume." },
  { "worker facts", "NAME [TOOL ...]", 1, 17, 0, cmd_worker_facts, "ask a worker what it is like now, and which versions of tools it has",
    "A tool is a program in the worker's PATH; it is asked by --version. What it says is kept, and in drover worker show." },
  { "worker key", "", 0, 0, F(ROTATE) | F(DROP) | F(FORCE), cmd_worker_key, "print the master's ssh key, for authorized_keys on hosts that it dials",
    "--rotate makes another one. Where a host does not let that in, the one before it is taken, until --drop: so put the new line there, host by host, and then drop the old one." },
  { "worker trust", "NAME [SHA256:...]", 1, 2, 0, cmd_worker_trust, "say that a host that the master dials has the right key",
    "Without a fingerprint it shows the one that the host has shown, which you compare on the host itself. Where the configuration has host_key, that alone counts." },
  { "worker log", "NAME", 1, 1, F(LIMIT), cmd_worker_log, "the last lines of a worker's own log, as it has them now", NULL },
  { "worker forget-ghosts", "NAME", 1, 1, 0, cmd_worker_forget, "free what cancelled builds hold on a worker that is away",
    "A build that is cancelled while its worker is away holds its slot and locks until the worker says that all is ended. Only when you know that nothing of it runs any more." },
  { "worker resume", "NAME", 1, 1, 0, cmd_worker_resume, "end its quarantine, or its pause", NULL },
  { "worker remove", "NAME", 1, 1, 0, cmd_worker_remove, "no new builds for it, and its link is closed", NULL },
  { "pool list", "", 0, 0, 0, cmd_pool_list, "all pools of workers: how many members, how many may be", NULL },
  { "pool show", "NAME", 1, 1, 0, cmd_pool_show, "one pool, with its members", NULL },
  { "pool token", "NAME", 1, 1, F(QUIET), cmd_pool_token, "a new token of a pool, by which any number of hosts join",
    "Each host gets a key and a name of its own at its first contact. An older token of the pool lets nobody in any more; members stay." },
  { "pool remove", "NAME", 1, 1, 0, cmd_pool_remove, "forget a pool that is not in the configuration any more, and its members", NULL },
  { "secret set", "NAME", 1, 1, 0, cmd_secret_set, "store a secret, encrypted; its value comes from standard input",
    "From a terminal one line is read, without echo; else all there is. A secret that exists gets another value. Never give a value as an argument: others would see it." },
  { "secret list", "", 0, 0, 0, cmd_secret_list, "all secrets: where they are, since when, by whom, who takes them; no values", NULL },
  { "secret remove", "NAME", 1, 1, 0, cmd_secret_remove, "take a secret out of the store", NULL },
  { "secret rotate", "", 0, 0, 0, cmd_secret_rotate, "encrypt the store with a new site key, and forget the old one",
    "Values stay as they are. Where it was broken off, call it again: until it is done both keys are there." },
  { "change list", "", 0, 0, F(LIMIT) | F(BEFORE) | F(PROJECT) | F(BRANCH), cmd_change_list, "all changes, newest first", NULL },
  { "change show", "CHANGE", 1, 1, 0, cmd_change_show, "all about a change; what it causes: drover why CHANGE", NULL },
  { "change approve", "CHANGE", 1, 1, 0, cmd_change_approve, "let a pull request from a fork be built, at this revision", NULL },
  { "change send", "", 0, 0, F_CHANGE, cmd_change_send, "tell the master about a change",
    "--project, --branch and --revision must be given. A change that is known already is not built again." },
  { "config check", "[FILE]", 0, 1, F(PROJECT) | F(SITE), cmd_config_check, "check a .drover.yml or the site's files; needs no master",
    "A file master.yaml, a file of a folder conf.d, and with --site any file, is checked as the site's; --site alone: " CONFIG_SITE "." },
  { "config explain", "BUILDER|BUILD|FILE [BUILDER]", 1, 2, F(PROJECT) | F(SITE) | F(BRANCH), cmd_config_explain, "what counts for a builder, and which line says so",
    "Without a file the master is asked: what is active, with the newest pipeline that it has read of the repository (of --branch); for a build what it was pinned to. FILE is a pipeline or, as for config check, "
    "one of the site's, then BUILDER is PROJECT/BUILDER; --site alone stands for " CONFIG_SITE ". A file needs no master." },
  { "config schema", "[pipeline|site]", 0, 1, 0, cmd_config_schema, "print the keys as a JSON Schema, for editors; needs no master", NULL },
  { "config diff", "[VERSION [VERSION]]", 0, 2, 0, cmd_config_diff, "what the files on the master's disk would change, or what two versions differ in",
    "With one VERSION: from it to the active one." },
  { "config activate", "", 0, 0, 0, cmd_config_activate, "make the master take the files over, all or nothing", NULL },
  { "config try", "[FILE]", 0, 1, F(LAST) | F(PROJECT) | F(SITE), cmd_config_try, "what another configuration would have made of the last changes",
    "FILE is a pipeline, then of --project, or as for config check one of the site's; without it the files on the master's disk count. Nothing is written." },
  { "config rollback", "VERSION", 1, 1, 0, cmd_config_rollback, "make an older configuration the active one, until the files change", NULL },
  { "config show", "[VERSION]", 0, 1, 0, cmd_config_show, "the active configuration, or an older one", NULL },
  { "config history", "", 0, 0, F(LIMIT), cmd_config_history, "the versions there were, and what was refused", NULL },
  { "config new", "URL", 1, 1, F(PROJECT), cmd_config_new, "print a project for a file of conf.d", NULL },
  { "master stop", "", 0, 0, 0, cmd_master_stop, "stop the master; running builds go on at their workers", NULL },
  { "completion", "bash|zsh|fish", 1, 1, 0, cmd_completion, "print a script that lets the shell complete words", NULL },
  { "complete", "WORD...", 0, 1000, 0, cmd_complete, "", "What may stand for the last word; completion scripts ask this." },
  { "doctor", "", 0, 0, 0, cmd_doctor, "what is wrong with this master, and what to do",
    "Looks around on this host where the master does not answer. Exit: 0 nothing, or only warnings; 3 something has failed; 5 the master was not reached." },
  { "api-pipe", "", 0, 0, 0, cmd_api_pipe, "", "Joins standard input and output to the master's socket; drover -H runs this over ssh." },
  { "help", "[COMMAND]", 0, 2, 0, cmd_help, "this text, or the help of a command", NULL },
};
const int commands_count = COUNT(commands);

static bool matches(const struct command *cmd, const struct args *a, int *used)
{
  const char *blank = strchr(cmd->name, ' ');

  *used = blank ? 2 : 1;
  if (a->nwords < *used)
    return false;
  if (!blank)
    return str_eq(cmd->name, a->words[0]);
  return strlen(a->words[0]) == (size_t)(blank - cmd->name) && str_starts(cmd->name, a->words[0]) && str_eq(blank + 1, a->words[1]);
}

/* Commands of two words that begin with this one, as "add, list"; empty: none. */
static void add_verbs(const char *noun, struct buf *out)
{
  for (int i = 0; i < commands_count; i++) {
    const char *blank = strchr(commands[i].name, ' ');
    if (blank && strlen(noun) == (size_t)(blank - commands[i].name) && str_starts(commands[i].name, noun))
      buf_addf(out, "%s%s", out->len ? ", " : "", blank + 1);
  }
}

static void tell_unknown(struct cli *c, const struct args *a)
{
  const char *names[COUNT(commands)], *near;
  struct buf verbs;
  char *two = a->nwords > 1 ? xasprintf("%s %s", a->words[0], a->words[1]) : NULL;

  for (int i = 0; i < commands_count; i++)
    names[i] = commands[i].name;
  buf_init(&verbs, BUF_NO_MAX);
  add_verbs(a->words[0], &verbs);
  near = two ? args_nearest(two, names, commands_count) : NULL;
  if (!near)
    near = args_nearest(a->words[0], names, commands_count);
  if (near)
    cli_error(c, CLI_USAGE, "there is no command \"%s\" (did you mean %s?)", two && verbs.len ? two : a->words[0], near);
  else if (verbs.len)
    cli_error(c, CLI_USAGE, "%s what? One of: %s", a->words[0], buf_str(&verbs));
  else
    cli_error(c, CLI_USAGE, "there is no command \"%s\"; drover --help shows all", a->words[0]);
  buf_free(&verbs);
  free(two);
}

const struct command *command_find(struct cli *c, const struct args *a, int *used)
{
  for (int i = 0; i < commands_count; i++)
    if (matches(&commands[i], a, used))
      return &commands[i];
  tell_unknown(c, a);
  return NULL;
}

static void print_flags(struct cli *c, uint64_t mask)
{
  for (int f = 0; f < FLAG_COUNT; f++) {
    const struct flag *flag = &args_flags[f];
    struct buf b;
    if (!(mask >> f & 1))
      continue;
    buf_init(&b, BUF_NO_MAX);
    if (flag->letter)
      buf_addf(&b, "-%c, ", flag->letter);
    buf_addf(&b, "--%s%s%s", flag->name, flag->value ? " " : "", flag->value ? flag->value : "");
    out(c, STYLE_NONE, "  %-27s %s", buf_str(&b), flag->help);
    out_end(c);
    buf_free(&b);
  }
}

static void print_paragraph(struct cli *c, enum style style, const char *text)
{
  out(c, style, "%s", text);
  out_end(c);
}

void command_help(struct cli *c, const struct command *cmd)
{
  const struct command *row = cmd;

  while (!row->help) /* another name of the row above */
    row--;
  out(c, STYLE_BOLD, "drover %s", cmd->name);
  out(c, STYLE_NONE, "%s%s%s", *cmd->args ? " " : "", cmd->args, cmd->flags ? " [flags]" : "");
  out_end(c);
  out(c, STYLE_NONE, "  %s", row->help);
  out_end(c);
  if (row->more)
    print_paragraph(c, STYLE_NONE, row->more);
  for (const struct command *other = row; other < commands + commands_count && (other == row || !other->help); other++)
    if (other != cmd) {
      out(c, STYLE_NONE, "  the same: drover %s", other->name);
      out_end(c);
    }
  if (cmd->flags) {
    out_end(c);
    print_flags(c, cmd->flags);
  }
}

#define USAGE_WIDTH 26

/* "  name args      help", the help on a line of its own where the usage is too long. */
static void print_command(struct cli *c, const struct command *cmd)
{
  struct buf usage;

  buf_init(&usage, BUF_NO_MAX);
  buf_addf(&usage, "%s %s", cmd->name, cmd->args);
  out(c, STYLE_NONE, "  %-*s", USAGE_WIDTH + 2, buf_str(&usage));
  if (usage.len > USAGE_WIDTH) {
    out_end(c);
    out(c, STYLE_NONE, "  %*s", USAGE_WIDTH + 2, "");
  }
  print_paragraph(c, STYLE_NONE, cmd->help);
  buf_free(&usage);
}

void command_help_all(struct cli *c)
{
  print_paragraph(c, STYLE_BOLD, "drover COMMAND [arguments] [flags]");
  out_end(c);
  for (int i = 0; i < commands_count; i++)
    if (commands[i].help && *commands[i].help) /* "" : hidden */
      print_command(c, &commands[i]);
  out_end(c);
  print_paragraph(c, STYLE_NONE, "Flags of all commands:");
  print_flags(c, FLAGS_GLOBAL);
  out_end(c);
  print_paragraph(c, STYLE_NONE, "Ids say their kind: build libfoo/linux/42 (short linux/42, linux/last), step linux/42:test, request r118, buildset s77, change c991.");
  print_paragraph(c, STYLE_NONE, "Exit: 0 success or warnings, 1 failure, 2 usage or configuration, 3 exception or lost, 4 cancelled or skipped, 5 master not reached.");
}

int cmd_help(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  struct args words = { .words = (const char **)(uintptr_t)arg, .nwords = narg };
  const struct command *cmd;
  int used;

  (void)a;
  if (!narg) {
    command_help_all(c);
    return CLI_OK;
  }
  cmd = command_find(c, &words, &used);
  if (cmd)
    command_help(c, cmd);
  return cmd ? CLI_OK : c->code;
}
