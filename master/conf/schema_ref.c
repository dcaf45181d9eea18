/* The reference of all configuration keys as markdown, from the table of schema.c. */
#include <stdlib.h>
#include <string.h>

#include "master/conf/pipe_expr.h"
#include "master/conf/schema.h"

static const char intro[] =
  "# Configuration\n"
  "\n"
  "Made from the table in `master/conf/schema.def` by `make docs/config.md`; change it there.\n"
  "\n"
  "The site is described by one file, `master.yaml`, and by files `conf.d/*.yaml` beside it, which may add workers and projects. What is\n"
  "built is described by a pipeline: the file `.drover.yml` in the repository, read at the revision that is built; or a file of this host\n"
  "that a project names; or the same keys in the project itself. `drover config check FILE` tells all errors at once, without a master.\n"
  "\n"
  "A running master reads the files anew on SIGHUP and on `drover config activate`: all of them or, where anything is wrong, none. What a\n"
  "running master can't change says \"Restart the master to change it\" below; a reload in which such a key differs is refused.\n"
  "\n"
  "The smallest pipeline:\n"
  "\n"
  "```yaml\n"
  "steps:\n"
  "  - ./configure\n"
  "  - make -j\"$DROVER_CORES\"\n"
  "  - {name: test, run: make check, timeout: 10m}\n"
  "```\n"
  "\n"
  "It is one builder with the project's name; the checkout comes first, and each new revision of any branch builds it.\n"
  "\n"
  "## Values\n"
  "\n"
  "The files are YAML 1.2, one document each, at most 1 MiB, without tags. What a value means depends on its key, never on its looks: where a\n"
  "string is wanted, `no`, `1.10` and `010` are the strings they seem to be. A key that stands twice, and a key that isn't known, are errors.\n"
  "Anchors, aliases and `<<` work within 100,000 values, 16 MiB and 64 levels.\n"
  "\n"
  "- **duration**: a number and `ms`, `s`, `m`, `h` or `d`, such as `250ms`, `90s`, `30m`, `1h`, `2d`; or `0`.\n"
  "- **size**: a whole number and `K`, `M`, `G` or `T` (1024 each step), such as `500M`, `10G`; or `0`.\n"
  "- **true or false**: these two words, without quotes.\n"
  "- **name**: 1 to 64 letters, digits, `.`, `_` and `-`, first a letter or digit.\n"
  "- **a list of strings**: one string stands for a list of one.\n"
  "- **pattern** (of branches): `*` stands for anything but `/`, `**` for anything, `?` for one character but `/`.\n"
  "- **HOST:PORT**: such as `127.0.0.1:7420`, `[::1]:7420`, or `*:7421` for all addresses.\n";

static const char reports[] =
  "\nA step's command reports by files in the folder that the variable `DROVER_REPORT` names; it is empty when the command starts, and read when all of it has ended:\n\n"
  "- `properties`: lines `NAME=VALUE`, and `properties.json`: an object of texts, whole numbers, true or false, or lists of these. They are properties of the build from then on: in expressions\n"
  "  (`properties.NAME`) and as variables (`DROVER_PROPERTY_NAME`) of later steps, over those that it was asked for with. At most 64 in a step, 64 KiB in a build.\n"
  "- `summary`: its first line is what the step's line says. `links`: lines `NAME URL`, http and https only, at most 32.\n"
  "- `stamps`: lines `CODEBASE REVISION` or `CODEBASE REVISION BRANCH`, for what the command has made in a codebase and pushed, a merge, say, or a tag: steps behind it may trigger builds of\n"
  "  that (`stamps: {CODEBASE: derived}`). The revision is written in full; at most 32.\n"
  "- `nodes.yml`: more builders for the buildset, below.\n\n"
  "Where something is wrong with a report, nothing of it is taken, and the step says why; its result is what it is. Secrets that the command has are masked in it.\n"
  "\n### nodes.yml: builders that a build reports\n\n"
  "```yaml\n"
  "# .drover.yml\n"
  "templates: {unit: {parameters: {dir: {type: string}}, steps: [{name: test, run: [make, -C, \"${{ dir }}\", check]}]}}\n"
  "builders:\n"
  "  plan: {steps: [./list-what-changed >\"$DROVER_REPORT/nodes.yml\"]}\n"
  "\n"
  "# what it writes\n"
  "builders:\n"
  "  net: {steps: [{use: unit, with: {dir: src/net}}]}\n"
  "  all: {needs: [net, {docs: soft}], steps: [make dist]}\n"
  "```\n"
  "\n"
  "A command that leaves a file `nodes.yml` in its report adds builders to the buildset that runs. It is a map with `builders` and nothing else, in the language of a pipeline, checked like one; the pipeline's `defaults`\n"
  "count for them, its `templates` may be used. They are added when the build has ended well (of a build that fails, or an attempt that is lost, nothing is added), and then the buildset is over with the last of them, with their\n"
  "results. Each needs the builder that reported it, whatever else it needs, and so has `needs.plan.NAME`; it may need the others of the report and any builder of the pipeline, which is asked for too unless it is in the\n"
  "buildset or was good at the same revisions. A builder of the pipeline that needs `plan` does not wait for what that reports;\n"
  "where `plan` is taken from before because it was good, so is that.\n"
  "\n"
  "They are builders of that buildset only: no scheduler, trigger or `drover build` knows them. `drover rerun` builds one again as it was reported; where the builder that reports is built again, it reports anew. No name is\n"
  "one of the pipeline's, and two builds of a buildset report no name twice. What was reported may report as well. At most 200 builders in a report, matrices written out, and 500 in a buildset. Whatever is wrong makes the step an\n"
  "exception that says what and where, and nothing of its report is taken. Builds of pull requests from forks report none, and of projects\n"
  "whose pipeline is the site's only those with `report_builders`: what is reported is the word of the code that runs.\n";

static const char flags[] =
  "\n### What a step's end makes of the build\n\n"
  "A build is as bad as the worst of what its steps count for: skipped, success, warnings, failure, exception, retry, cancelled. What other systems have flags for is said by three keys:\n\n"
  "| flag | here | without a word |\n"
  "| --- | --- | --- |\n"
  "| haltOnFailure | `halt: true` | yes where `on_failure` is `fail`, else no |\n"
  "| flunkOnFailure | `on_failure: fail` | yes |\n"
  "| warnOnFailure | `on_failure: warn` | no |\n"
  "| neither of these two | `on_failure: ignore` | no |\n"
  "| flunkOnWarnings | `on_warnings: fail` | no |\n"
  "| warnOnWarnings | `on_warnings: warn` | yes |\n"
  "| neither of these two | `on_warnings: ignore` | no |\n"
  "| alwaysRun | `always: true` | no |\n\n"
  "An exception, a loss and a cancel end a build whatever its steps say.\n";

static const char matrices[] =
  "\n### Matrices and templates\n\n"
  "```yaml\n"
  "templates:\n"
  "  cmake:\n"
  "    parameters: {preset: {type: string}, tests: {type: boolean, default: true}}\n"
  "    steps:\n"
  "      - {name: configure, run: [cmake, --preset, \"${{ preset }}\"]}\n"
  "      - {name: test, if: tests, run: [ctest, --preset, \"${{ preset }}\"]}\n"
  "builders:\n"
  "  linux:\n"
  "    matrix: {arch: [x86_64, arm64], CC: [gcc, clang], exclude: [{arch: arm64, CC: clang}], include: [{arch: riscv64, CC: gcc}]}\n"
  "    worker: {tags: [\"${{ matrix.arch }}\"]}\n"
  "    steps: [{use: cmake, with: {preset: \"${{ matrix.CC }}\"}}]\n"
  "```\n"
  "\n"
  "These are four builders, `linux[x86_64,gcc]`, `linux[x86_64,clang]`, `linux[arm64,gcc]` and `linux[riscv64,gcc]`, each with numbers, logs and work folders of its own. `builders: linux` of a\n"
  "scheduler and `drover build linux` mean all of them, `\"linux[arm64,gcc]\"` one (in a shell it wants quotes). The first axis turns slowest. In a work folder's name the brackets and commas become `@`:\n"
  "`linux@arm64@gcc`, because makefiles and linkers take them for something else. An axis is a variable of every step, over one of `defaults` and below one of the builder's own `env`, which can be\n"
  "made of it: `env: {CC: \"ccache ${{ matrix.CC }}\"}`. A value is a text, a number, true or false, as it stands in the file, of 1 to 32 letters, digits and `. _ + -`.\n"
  "An item of `exclude` takes away all combinations that have its values, and one that takes none is an error; an item of `include` names a value for each axis, also one that no list has.\n"
  "At most 8 axes and 256 combinations a builder, 1,000 builders and 4,096 steps a pipeline.\n"
  "\n"
  "A step with `use` stands for the template's steps. They see the template's parameters, and nothing else of the place where it is used. Templates may use templates, 8 deep.\n";

static const struct {
  enum schema_group group;
  const char *title;
} sections[] = {
  { SCHEMA_SITE, "## The site: master.yaml" },
  { SCHEMA_INCLUDE, "### include, as a map" },
  { SCHEMA_SITE_INFO, "### site" },
  { SCHEMA_LISTEN, "### listen" },
  { SCHEMA_DATABASE, "### database" },
  { SCHEMA_WORKER, "### workers.NAME" },
  { SCHEMA_POOL, "### pools.NAME" },
  { SCHEMA_PROJECT, "### projects.NAME" },
  { SCHEMA_CODEBASE, "### projects.NAME.codebases.NAME" },
  { SCHEMA_STAMPS, "### projects.NAME.stamps" },
  { SCHEMA_HOOK, "### hook, of a project" },
  { SCHEMA_HOOK_SECRET, "### secret, of a hook" },
  { SCHEMA_KEY, "### key, of a project" },
  { SCHEMA_TOKEN, "### token, of a project" },
  { SCHEMA_SECRET, "### secrets.NAME" },
  { SCHEMA_SECRET_FOR, "### for, of a secret" },
  { SCHEMA_LOCK, "### locks.NAME" },
  { SCHEMA_PIPELINE, "## A pipeline: .drover.yml, or in a project" },
  { SCHEMA_DEFAULTS, "### defaults" },
  { SCHEMA_BUILDER, "### builders.NAME" },
  { SCHEMA_WANT, "### worker, of a builder or defaults" },
  { SCHEMA_STEP, "### steps, each" },
  { SCHEMA_TRIGGER, "### trigger, as a map" },
  { SCHEMA_RETRY, "### retry, as a map" },
  { SCHEMA_ON_LOST, "### on_lost, as a map" },
  { SCHEMA_WARNINGS, "### warnings, as a map" },
  { SCHEMA_CHECKOUT, "### checkout, its options" },
  { SCHEMA_TIMEOUT, "### timeout, as a map" },
  { SCHEMA_OUTPUT, "### output, as a map" },
  { SCHEMA_TEMPLATE, "### templates.NAME" },
  { SCHEMA_PARAMETER, "### parameters.NAME, of a template" },
  { SCHEMA_SCHEDULER, "### schedulers.NAME" },
  { SCHEMA_CHANGE, "### change, of a scheduler" },
  { SCHEMA_PULL_REQUEST, "### pull_request, of a scheduler" },
  { SCHEMA_FORCE, "### force, of a scheduler" },
  { SCHEMA_TRIGGERED, "### triggered, of a scheduler" },
  { SCHEMA_FORCE_PARAMETER, "### parameters.NAME, of force or triggered" },
};

static const char expressions[] =
  "\n## Expressions\n\n"
  "`if` of a step, of a scheduler or of what a worker must be is an expression, so is `only_if` of a scheduler, and `${{ EXPRESSION }}` may stand in the items of a `run` that is a list and in the values of `env`, of `with` of a `trigger`, its `reason` and `revision`, there with a value in any case: `${{ properties.jobs ?? 1 }}`.\n"
  "In `name`, `cwd`, `tags`, `os` and `arch`, and in what `with` hands to a template, it may be made of what is known before the build: `matrix` and parameters.\n"
  "In a `run` that is a text nothing is ever replaced: give it a variable. `$${{` stands for `${{`. Expressions are typed, without loops, and what is wrong with them is told when the file is read,\n"
  "wherever the types are known then.\n\n"
  "- `and`, `or`, `not`; `==`, `!=`, `<`, `<=`, `>`, `>=`; `in`, `not in` (a list, or a text in a text); `a ?? b`: b where a has no value; `c ? a : b`; `+ - * / %`, and `+` of texts.\n"
  "- `12`, `8G` (K M G T: 1024 and so on), `30m` (ms s m h d: milliseconds), `\"text\"`, `'text'`, `[a, b]`, `true`, `false`, `none`. Numbers are whole; an overflow is an error.\n"
  "- A name without a value is `none`. In a condition that is false; where a value is needed, it is an error, and the step ends as an exception.\n\n"
  "### Names in a step\n\n";

static void add_expressions(struct buf *out)
{
  struct expr_function_view f = { 0 };
  size_t at = 0;

  buf_adds(out, expressions);
  for (const struct expr_name *n = pipe_names; n->name; n++)
    buf_addf(out, "- `%s`: %s\n", n->name, n->doc);
  buf_adds(out, "- `matrix.AXIS`: in a builder with a matrix, the value that the axis has in it: a number or true or false where all its values are, else a text\n"
                "- a template's parameters, in its steps, by their names; there `matrix` has no meaning: hand over what is needed\n");
  buf_adds(out, "\n### Names in a scheduler\n\n");
  for (const struct expr_name *n = change_names; n->name; n++)
    buf_addf(out, "- `%s`: %s\n", n->name, n->doc);
  buf_adds(out, "\n### Names in only_if\n\nOf a scheduler with `cron` or `every`, reckoned when its time has come: where it is not true, nothing is built, and the scheduler's trace says so with the values of these.\n\n");
  for (const struct expr_name *n = time_names; n->name; n++)
    buf_addf(out, "- `%s`: %s\n", n->name, n->doc);
  buf_adds(out, "\n### Names of a worker\n\nFor `if` of `worker`. Beside them there are `matrix.AXIS`. What a worker does not tell has no value there, and it does not get the build. All but name, tags and slots is its own "
                "word, good for narrowing where a build goes; what it must be trusted with goes by tags.\n\n");
  for (const struct expr_name *n = worker_names; n->name; n++)
    buf_addf(out, "- `%s`: %s\n", n->name, n->doc);
  buf_adds(out, "\n### Functions\n\n");
  while (expr_functions(&at, &f))
    buf_addf(out, "- `%s`: %s\n", f.usage, f.doc);
}

static void add_key(const struct schema_view *v, struct buf *out)
{
  char *wants = schema_view_wants(v);

  buf_addf(out, "- **`%s`**: %s", v->key, wants);
  free(wants);
  if (v->required)
    buf_adds(out, ", required");
  if (v->fallback)
    buf_addf(out, ", default `%s`", v->fallback);
  buf_addf(out, ". %s", v->doc);
  if (v->restart)
    buf_adds(out, " Restart the master to change it.");
  if (v->example)
    buf_addf(out, " Example: `%s`", v->example);
  buf_addc(out, '\n');
}

void schema_reference(struct buf *out)
{
  buf_adds(out, intro);
  for (size_t i = 0; i < COUNT(sections); i++) {
    struct schema_view v = { 0 };
    size_t at = 0;
    buf_addf(out, "\n%s\n\n", sections[i].title);
    while (schema_keys(&at, &v))
      if (v.group == sections[i].group && !(v.group == SCHEMA_PROJECT && schema_has(SCHEMA_PIPELINE, v.key)))
        add_key(&v, out);
    if (sections[i].group == SCHEMA_PARAMETER)
      buf_adds(out, matrices);
    if (sections[i].group == SCHEMA_RETRY)
      buf_adds(out, flags);
    if (sections[i].group == SCHEMA_STEP)
      buf_adds(out, reports);
    if (sections[i].group == SCHEMA_PROJECT)
      buf_adds(out, "\nInstead of `pipeline` a project may have the keys of a pipeline itself, below.\n");
  }
  add_expressions(out);
}
