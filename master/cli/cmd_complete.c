/* drover completion SHELL: a script for the shell, which asks `drover complete -- WORDS` for what may come next. All words come from the tables of commands and flags; names of builders, workers and
   projects from the master, where it answers at once. */
#include <stdlib.h>
#include <string.h>

#include "common/str.h"
#include "master/cli/call.h"
#include "master/cli/commands.h"
#include "master/cli/http.h"
#include "master/cli/js.h"

enum { COMPLETE_MS = 500 }; /* a person waits with a finger on the key */

static const struct { const char *shell, *script; } scripts[] = {
  { "bash", "# bash completion for drover; made by: drover completion bash\n"
            "_drover() {\n"
            "  COMPREPLY=()\n"
            "  local i\n"
            "  mapfile -t COMPREPLY < <(\"${COMP_WORDS[0]}\" complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
            "  case \"${COMP_WORDS[COMP_CWORD]}\" in [\\'\\\"]*) return ;; esac\n"
            "  for i in \"${!COMPREPLY[@]}\"; do printf -v \"COMPREPLY[$i]\" %q \"${COMPREPLY[i]}\"; done\n"
            "}\n"
            "complete -o default -F _drover drover\n" },
  { "zsh", "#compdef drover\n"
           "# zsh completion for drover; made by: drover completion zsh\n"
           "_drover() {\n"
           "  local -a found\n"
           "  found=(${(f)\"$(\"${words[1]}\" complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
           "  if (( $#found )); then compadd -- $found; else _files; fi\n"
           "}\n"
           "if [ \"$funcstack[1]\" = \"_drover\" ]; then _drover \"$@\"; else compdef _drover drover; fi\n" },
  { "fish", "# fish completion for drover; made by: drover completion fish\n"
            "complete -c drover -f -a '(drover complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'\n"
            "complete -c drover -n '__fish_seen_subcommand_from check' -F\n" },
};

int cmd_completion(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  (void)a, (void)narg;
  for (size_t i = 0; i < COUNT(scripts); i++)
    if (str_eq(scripts[i].shell, arg[0])) {
      out_bytes(c, scripts[i].script, strlen(scripts[i].script));
      return CLI_OK;
    }
  return cli_error(c, CLI_USAGE, "there is a script for bash, zsh and fish, but not for \"%s\"", arg[0]);
}

/* ---- what may come next ---- */

struct ask {
  struct cli *c;
  const char *cur;                 /* the word that is being written */
  const struct command *cmd;       /* NULL: not there yet */
  const char *noun;                /* the first of a command's two words; or NULL */
  int narg;                        /* whole arguments of the command so far */
  const struct flag *value_of;     /* cur is this flag's value; or NULL */
};

/* Nothing that a shell could take for something else, whoever made the name; brackets and commas the scripts quote, or the shell does. */
static void offer(struct ask *q, const char *word)
{
  static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-[],+";

  if (!str_starts(word, q->cur) || !*word || word[strspn(word, safe)])
    return;
  out_bytes(q->c, word, strlen(word));
  out_end(q->c);
}

static void offer_words(struct ask *q, const char *words, const char *between)
{
  for (const char *s = words + strspn(words, between); *s; s += strspn(s, between)) {
    size_t n = strcspn(s, between);
    char *word = xstrndup(s, n);
    offer(q, word);
    free(word);
    s += n;
  }
}

/* suffix: behind each name. */
static void offer_names(struct ask *q, const char *list, const char *field, const char *suffix)
{
  char *path = xasprintf("/api/v1/%s", list);
  const cJSON *it;
  cJSON *answer;

  if (call_try(q->c, "GET", path, NULL, &answer) == CALL_OK) {
    cJSON_ArrayForEach(it, js_get(answer, "items")) {
      char *word = xasprintf("%s%s", js_text(it, field), suffix);
      offer(q, word);
      free(word);
    }
    cJSON_Delete(answer);
  }
  free(path);
}

static void offer_versions(struct ask *q)
{
  const cJSON *it;
  cJSON *answer;

  if (call_try(q->c, "GET", "/api/v1/config/history", NULL, &answer) != CALL_OK)
    return;
  cJSON_ArrayForEach(it, js_get(answer, "items")) {
    char *word = xasprintf("%lld", (long long)js_num(it, "version"));
    if (!js_has(it, "refused"))
      offer(q, word);
    free(word);
  }
  cJSON_Delete(answer);
}

static void offer_commands(struct ask *q)
{
  const char *before = "";

  for (int i = 0; i < commands_count; i++) {
    const char *blank = strchr(commands[i].name, ' ');
    char *first = blank ? xstrndup(commands[i].name, (size_t)(blank - commands[i].name)) : xstrdup(commands[i].name);
    bool hidden = commands[i].help && !*commands[i].help;
    if (q->noun && blank && str_eq(first, q->noun))
      offer(q, blank + 1);
    if (!q->noun && !hidden && !(blank && str_starts(before, first)))
      offer(q, first);
    before = commands[i].name;
    free(first);
  }
}

static void offer_flags(struct ask *q)
{
  uint64_t mask = FLAGS_GLOBAL | (q->cmd ? q->cmd->flags : 0);

  for (int f = 0; f < FLAG_COUNT; f++) {
    char *word = xasprintf("--%s", args_flags[f].name);
    if (mask >> f & 1)
      offer(q, word);
    free(word);
  }
}

static void offer_value(struct ask *q)
{
  if (q->value_of == &args_flags[FLAG_BUILDER])
    offer_names(q, "builders", "id", "");
  else if (q->value_of == &args_flags[FLAG_PROJECT])
    offer_names(q, "projects", "name", "");
  else if (q->value_of == &args_flags[FLAG_STATE])
    offer_words(q, "waiting pending claimed running cancelling done", " ");
}

/* By what the command's usage calls its argument. */
static void offer_argument(struct ask *q)
{
  const char *args = q->cmd->args;

  if (q->narg >= q->cmd->most)
    return;
  if (str_starts(args, "BUILDER|"))
    offer_names(q, "builders", "id", "");
  else if (strchr(args, '|'))
    offer_words(q, args, "[]|");
  else if (!strcmp(args, "BUILDER") || !strcmp(args, "[BUILDER ...]"))
    offer_names(q, "builders", "id", "");
  else if (str_starts(args, "ID")) {
    offer_names(q, "builders", "id", "/last");
    if (q->cmd->flags & FLAG_BIT(FAILED))
      offer_names(q, "builders", "id", "");
  } else if (!strcmp(args, "NAME") && str_starts(q->cmd->name, "worker") && strcmp(q->cmd->name, "worker add"))
    offer_names(q, "workers", "name", "");
  else if (!strcmp(args, "NAME") && str_starts(q->cmd->name, "pool"))
    offer_names(q, "pools", "name", "");
  else if (!strcmp(args, "NAME") && str_starts(q->cmd->name, "secret"))
    offer_names(q, "secrets", "name", "");
  else if (!strcmp(args, "PROJECT/NAME"))
    offer_names(q, "schedulers", "id", "");
  else if (strstr(args, "VERSION"))
    offer_versions(q);
  else if (!strcmp(args, "OBJECT") || !strcmp(args, "[OBJECT]")) {
    offer(q, "all");
    offer_names(q, "projects", "name", "");
    offer_names(q, "workers", "name", "");
    offer_names(q, "builders", "id", "");
  } else if (!strcmp(args, "[PROJECT]"))
    offer_names(q, "projects", "name", "");
  else if (!strcmp(args, "[COMMAND]"))
    offer_commands(q);
}

static const struct flag *flag_of(const char *word)
{
  for (int f = 0; f < FLAG_COUNT; f++) {
    const struct flag *flag = &args_flags[f];
    if (word[0] == '-' && (word[1] == '-' ? !strcmp(word + 2, flag->name) : flag->letter && word[1] == flag->letter && !word[2]))
      return flag;
  }
  return NULL;
}

static void use_socket(struct cli *c, const char *path)
{
  http_free(c->http);
  c->socket = path;
  c->http = http_new(path);
}

/* words[n - 1] is cur. */
static void understand(struct ask *q, const char *const *words, int n)
{
  const char *plain[2] = { "", "" };
  int nplain = 0;

  for (int i = 0; i < n - 1; i++) {
    const struct flag *flag = flag_of(words[i]);
    if (flag && flag->value) {
      i += i + 1 < n && str_eq(words[i + 1], "="); /* bash takes --state=x apart */
      if (++i >= n - 1)
        q->value_of = flag;
      else if (flag == &args_flags[FLAG_SOCKET])
        use_socket(q->c, words[i]);
    } else if (words[i][0] != '-') {
      if (nplain < 2)
        plain[nplain] = words[i];
      nplain++;
    }
  }
  if (q->value_of && str_eq(q->cur, "="))
    q->cur = "";
  for (int i = 0; i < commands_count; i++) {
    const char *blank = strchr(commands[i].name, ' ');
    bool first = nplain && strlen(plain[0]) == (blank ? (size_t)(blank - commands[i].name) : strlen(commands[i].name)) && str_starts(commands[i].name, plain[0]);
    if (first && blank)
      q->noun = plain[0];
    if (first && (!blank || (nplain > 1 && str_eq(blank + 1, plain[1])))) {
      q->cmd = &commands[i];
      q->narg = nplain - (blank ? 2 : 1);
    }
  }
}

/* Words come as they were typed, with their quotes; none of our names has any. */
static char *unquoted(const char *word)
{
  char *s = xstrdup(word), *out = s;

  for (const char *p = word; *p; p++)
    if (!strchr("\\'\"", *p))
      *out++ = *p;
  *out = 0;
  return s;
}

static void complete(struct cli *c, const char *const *words, int n)
{
  struct ask q = { .c = c, .cur = n ? words[n - 1] : "" };

  understand(&q, words, n);
  if (q.value_of)
    offer_value(&q);
  else if (*q.cur == '-')
    offer_flags(&q);
  else if (q.cmd)
    offer_argument(&q);
  else
    offer_commands(&q);
}

/* Tests are more patient than people: their machine may be busy. */
static int64_t patience_ms(void)
{
  const char *given = getenv("DROVER_TEST_COMPLETE_MS");

  return given ? atoi(given) : COMPLETE_MS;
}

int cmd_complete(struct cli *c, const struct args *a, const char *const *arg, int narg)
{
  char **words = xcalloc((size_t)narg + 1, sizeof *words);

  (void)a;
  c->call_ms = patience_ms();
  for (int i = 0; i < narg; i++)
    words[i] = unquoted(arg[i]);
  complete(c, (const char *const *)words, narg);
  for (int i = 0; i < narg; i++)
    free(words[i]);
  free(words);
  return CLI_OK;
}
