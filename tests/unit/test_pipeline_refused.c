/* Pipelines that are refused: each message with its place, and all of a file at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/str.h"
#include "master/conf/pipeline.h"
#include "master/conf/schema.h"
#include "tests/lib/pipefix.h"

static const struct { const char *text, *printed; } refusals[] = {
  /* keys */
  { "stepz: [a]\n", ":1:1: unknown key \"stepz\" (did you mean \"steps\"?)\n  stepz: [a]\n  ^\n" },
  { "steps:\n  - {run: a, tiemout: 1m}\n",
    ":2:14: unknown key \"tiemout\" (did you mean \"timeout\"?)\n  - {run: a, tiemout: 1m}\n             ^\n" },
  { "steps: [a]\ntimeout: 1h\n", ":2:1: unknown key \"timeout\" (it is a key of `defaults`)\n  timeout: 1h\n  ^\n" },
  { "steps: [a]\nworkers: {}\n", ":2:1: unknown key \"workers\" (it is a key of the site's configuration)\n  workers: {}\n  ^\n" },
  { "steps: [a]\nxyzzy: 1\n", ":2:1: unknown key \"xyzzy\"\n  xyzzy: 1\n  ^\n" },
  { "steps: [a]\nneeds: b\n", ":2:1: unknown key \"needs\" (it is a key of a builder)\n  needs: b\n  ^\n" },
  { "steps: [a]\nmatrix: {CC: [gcc]}\n", ":2:1: unknown key \"matrix\" (it is a key of a builder)\n  matrix: {CC: [gcc]}\n  ^\n" },
  { "steps: [a]\ncron: H\n", ":2:1: unknown key \"cron\" (it is a key of a scheduler)\n  cron: H\n  ^\n" },
  /* the whole */
  { "", ":1:1: there are no \"steps\" and no \"builders\" (the smallest pipeline is one line: steps: [make])\n" },
  { "- make\n", ":1:1: a pipeline is a map, got a list\n  - make\n  ^\n" },
  { "make\n", ":1:1: a pipeline is a map, got \"make\"\n  make\n  ^\n" },
  { "defaults: {}\n", ":1:1: there are no \"steps\" and no \"builders\" (the smallest pipeline is one line: steps: [make])\n"
                      "  defaults: {}\n  ^\n" },
  { "builders: {a: {steps: [a]}}\nsteps: [b]\n",
    ":2:1: there are both \"steps\" and \"builders\" (move them into a builder)\n  steps: [b]\n  ^\n" },
  /* types */
  { "steps: a\n", ":1:8: \"steps\" wants a list of steps, got \"a\"\n  steps: a\n         ^\n" },
  { "steps: {run: a}\n", ":1:8: \"steps\" wants a list of steps, got a map\n  steps: {run: a}\n         ^\n" },
  { "steps:\n", ":1:7: \"steps\" wants a list of steps, got nothing\n  steps:\n        ^\n" },
  { "steps: []\n", ":1:8: \"steps\" has no step\n  steps: []\n         ^\n" },
  { "steps: [[a]]\n", ":1:9: \"steps\" wants a script or a map, got a list\n  steps: [[a]]\n          ^\n" },
  { "steps: [{run: }]\n", ":1:15: \"run\" wants a script or a list of strings, got nothing\n  steps: [{run: }]\n                ^\n" },
  { "steps: [{run: {a: b}}]\n", ":1:15: \"run\" wants a script or a list of strings, got a map\n  steps: [{run: {a: b}}]\n                ^\n" },
  { "steps: [{run: []}]\n", ":1:15: \"run\" wants a script or a list of strings, got an empty list\n  steps: [{run: []}]\n                ^\n" },
  { "steps: [{run: [a, {}]}]\n", ":1:19: \"run\" wants a string, got an empty map\n  steps: [{run: [a, {}]}]\n                    ^\n" },
  { "steps: [{run: [\"\"]}]\n", ":1:16: \"run\" wants a string, got \"\"\n  steps: [{run: [\"\"]}]\n                 ^\n" },
  { "defaults: {worker: {tags: {a: b}}}\nsteps: [a]\n",
    ":1:27: \"tags\" wants a list of strings, got a map\n  defaults: {worker: {tags: {a: b}}}\n                            ^\n" },
  { "defaults: {worker: {tags: [a b]}}\nsteps: [a]\n",
    ":1:28: \"tags\" wants a name, got \"a b\" (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)\n"
    "  defaults: {worker: {tags: [a b]}}\n                             ^\n" },
  { "defaults: 1\nsteps: [a]\n", ":1:11: \"defaults\" wants a map, got \"1\"\n  defaults: 1\n            ^\n" },
  { "steps: [{run: a, timeout: 30}]\n", ":1:27: \"timeout\" wants a duration from 0 to 365d or a map, got \"30\" (a number and ms, s, m, h or d: "
                                        "90s, 30m, 1h)\n  steps: [{run: a, timeout: 30}]\n                            ^\n" },
  { "steps: [{run: a, timeout: {total: 400d}}]\n",
    ":1:35: \"total\" wants a duration from 0 to 365d, got \"400d\" (a number and ms, s, m, h or d: 90s, 30m, 1h)\n"
    "  steps: [{run: a, timeout: {total: 400d}}]\n                                    ^\n" },
  { "steps: [{run: a, output: 10}]\n", ":1:26: \"output\" wants a size from 64 KiB to 16 TiB or a map, got \"10\" (a whole number and K, M, G or T, or 0: 500M, 10G)\n"
                                       "  steps: [{run: a, output: 10}]\n                           ^\n" },
  { "steps: [{run: a, output: {bytes: 63K}}]\n", ":1:34: \"bytes\" wants a size from 64 KiB to 16 TiB, got \"63K\" (a whole number and K, M, G or T, or 0: 500M, 10G)\n"
                                                 "  steps: [{run: a, output: {bytes: 63K}}]\n                                   ^\n" },
  { "steps: [{run: a, output: {lines: 99}}]\n", ":1:34: \"lines\" wants a whole number from 100 to 1000000000, got \"99\"\n  steps: [{run: a, output: {lines: 99}}]\n                                   ^\n" },
  { "steps: [{run: a, stdin: {open: no}}]\n", ":1:25: \"stdin\" wants texts and secrets (a text, {secret: NAME}, {open: true}, or a list of texts and secrets)\n  steps: [{run: a, stdin: {open: no}}]\n                          ^\n" },
  { "steps: [{run: a, stdin: {secret: a b}}]\n", ":1:25: \"stdin\" wants texts and secrets (a text, {secret: NAME}, {open: true}, or a list of texts and secrets)\n  steps: [{run: a, stdin: {secret: a b}}]\n                          ^\n" },
  { "steps: [{run: a, stdin: {secret: a, open: true}}]\n", ":1:25: \"stdin\" wants texts and secrets (a text, {secret: NAME}, {open: true}, or a list of texts and secrets)\n  steps: [{run: a, stdin: {secret: a, open: true}}]\n                          ^\n" },
  { "steps: [{run: a, stdin: []}]\n", ":1:25: a \"stdin\" without a part (a text, {secret: NAME}, {open: true}, or a list of texts and secrets)\n  steps: [{run: a, stdin: []}]\n                          ^\n" },
  { "steps: [{run: a, stdin: [x, [y]]}]\n", ":1:29: \"stdin\" wants texts and secrets (a text, {secret: NAME}, {open: true}, or a list of texts and secrets)\n  steps: [{run: a, stdin: [x, [y]]}]\n                              ^\n" },
  { "steps: [{run: a, stdin: }]\n", ":1:25: \"stdin\" wants a string or a map or a list of strings and secrets, got nothing\n  steps: [{run: a, stdin: }]\n                          ^\n" },
  { "steps: [{run: a, stdin: \"${{ nonsense }}\"}]\n", ":1:30: there is no \"nonsense\" here\n  steps: [{run: a, stdin: \"${{ nonsense }}\"}]\n                               ^\n" },
  { "steps: [{run: a, pty: 0x24}]\n", ":1:23: \"pty\" wants true or false or COLSxROWS, got \"0x24\" (such as 80x24)\n  steps: [{run: a, pty: 0x24}]\n                        ^\n" },
  { "steps: [{run: a, pty: 80}]\n", ":1:23: \"pty\" wants true or false or COLSxROWS, got \"80\" (such as 80x24)\n  steps: [{run: a, pty: 80}]\n                        ^\n" },
  { "steps: [{run: a, pty: 80x10000}]\n", ":1:23: \"pty\" wants true or false or COLSxROWS, got \"80x10000\" (such as 80x24)\n  steps: [{run: a, pty: 80x10000}]\n                        ^\n" },
  { "steps: [{run: a, pty: {cols: 80}}]\n", ":1:23: \"pty\" wants true or false or COLSxROWS, got a map\n  steps: [{run: a, pty: {cols: 80}}]\n                        ^\n" },
  { "steps: [{checkout: git, stdin: x}]\n", ":1:25: a checkout has no \"stdin\"\n  steps: [{checkout: git, stdin: x}]\n                          ^\n" },
  { "steps: [{checkout: git, pty: true}]\n", ":1:25: a checkout has no \"pty\"\n  steps: [{checkout: git, pty: true}]\n                          ^\n" },
  { "steps: [{run: a, stdin: [x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x]}]\n", ":1:25: a \"stdin\" of more than 32 parts\n  steps: [{run: a, stdin: [x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x]}]\n                          ^\n" },
  { "steps: [{run: a, logs: f}]\n", ":1:24: \"logs\" wants a map of files, got \"f\" (NAME: PATH)\n  steps: [{run: a, logs: f}]\n                         ^\n" },
  { "steps: [{run: a, logs: {a-b: f}}]\n", ":1:25: \"a-b\" is not the name of a log (letters, digits and underscores, first no digit)\n  steps: [{run: a, logs: {a-b: f}}]\n                          ^\n" },
  { "steps: [{run: a, logs: {a: ../f}}]\n", ":1:28: \"a\" wants a file below the folder in which `run` starts (a relative path without ..)\n  steps: [{run: a, logs: {a: ../f}}]\n                             ^\n" },
  { "steps: [{run: a, logs: {a: [f]}}]\n", ":1:28: \"a\" wants a file below the folder in which `run` starts (a relative path without ..)\n  steps: [{run: a, logs: {a: [f]}}]\n                             ^\n" },
  { "steps: [{checkout: git, logs: {a: f}}]\n", ":1:25: a checkout has no \"logs\"\n  steps: [{checkout: git, logs: {a: f}}]\n                          ^\n" },
  { "steps: [{run: a, name: a/b}]\n",
    ":1:24: \"name\" wants a name, got \"a/b\" (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)\n"
    "  steps: [{run: a, name: a/b}]\n                         ^\n" },
  { "steps: [{run: a, cwd: /tmp}]\n", ":1:23: \"cwd\" wants a folder below the checkout, got \"/tmp\" (a relative path without ..)\n"
                                      "  steps: [{run: a, cwd: /tmp}]\n                        ^\n" },
  { "steps: [{run: a, cwd: a/../..}]\n", ":1:23: \"cwd\" wants a folder below the checkout, got \"a/../..\" (a relative path without ..)\n"
                                         "  steps: [{run: a, cwd: a/../..}]\n                        ^\n" },
  { "builders: {a: {checkout: \"a b\", steps: [a]}}\n",
    ":1:26: \"checkout\" wants \"git\" or \"none\" or a name or a map or list of codebases, got \"a b\" (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)\n"
    "  builders: {a: {checkout: \"a b\", steps: [a]}}\n                           ^\n" },
  { "steps: [{checkout: none}]\n", ":1:20: \"checkout\" wants \"git\" or a name or a map or list of codebases, got \"none\" (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)\n  steps: [{checkout: none}]\n                     ^\n" },
  /* environment and expressions */
  { "steps: [{run: a, env: {DROVER_X: 1}}]\n",
    ":1:24: variables that start with DROVER_ are set by drover only\n  steps: [{run: a, env: {DROVER_X: 1}}]\n                         ^\n" },
  { "steps: [{run: a, env: {1A: x}}]\n", ":1:24: \"1A\" can't be the name of a variable (letters, digits and underscores, first no digit)\n"
                                         "  steps: [{run: a, env: {1A: x}}]\n                         ^\n" },
  { "steps: [{run: a, env: {A: }}]\n", ":1:27: \"A\" wants a string, got nothing (write \"\" for an empty one)\n"
                                       "  steps: [{run: a, env: {A: }}]\n                            ^\n" },
  { "steps: [{run: a, env: {A: [x]}}]\n", ":1:27: \"A\" wants a string, got a list\n  steps: [{run: a, env: {A: [x]}}]\n                            ^\n" },
  { "steps: [{run: a, env: [A=1]}]\n", ":1:23: \"env\" wants a map of variables, got a list\n  steps: [{run: a, env: [A=1]}]\n                        ^\n" },
  { "steps: [{run: a, env: {A: \"${{ brunch }}\"}}]\n",
    ":1:32: there is no \"brunch\" here (did you mean \"branch\"?)\n"
    "  steps: [{run: a, env: {A: \"${{ brunch }}\"}}]\n                                 ^\n" },
  { "steps: [{run: [a, \"x${{ 1 / }}\"]}]\n",
    ":1:29: the expression ends where a value should stand\n"
    "  steps: [{run: [a, \"x${{ 1 / }}\"]}]\n                              ^\n" },
  { "steps: [{run: a, name: \"${{ x }}\"}]\n",
    ":1:29: there is no \"x\" here\n  steps: [{run: a, name: \"${{ x }}\"}]\n                              ^\n" },
  { "steps: [{run: a, name: \"x-${{ branch }}\"}]\n",
    ":1:24: what \"branch\" is will be known when the build runs (here it can be made of `matrix` and of a template's parameters)\n"
    "  steps: [{run: a, name: \"x-${{ branch }}\"}]\n                         ^\n" },
  { "steps: [{run: a, timeout: \"${{ x }}\"}]\n",
    ":1:27: an expression, ${{ … }}, can't stand here (they may stand in `env` and in a `run` that is a list)\n"
    "  steps: [{run: a, timeout: \"${{ x }}\"}]\n                            ^\n" },
  { "steps:\n  - {run: a, if: branch}\n",
    ":2:18: a condition is true or false, and this is a text (compare it: ==, !=, in, <, >)\n"
    "  - {run: a, if: branch}\n                 ^\n" },
  { "steps:\n  - run: a\n    if: cores >= 4 and brnch == 'x'\n",
    ":3:24: there is no \"brnch\" here (did you mean \"branch\"?)\n"
    "  if: cores >= 4 and brnch == 'x'\n                     ^\n" },
  { "steps: [{run: a, if: }]\n",
    ":1:22: \"if\" wants a condition, got nothing\n"
    "  steps: [{run: a, if: }]\n                       ^\n" },
  /* steps and builders */
  { "steps: [{name: a}]\n", ":1:9: a step wants \"run\", \"checkout\", \"trigger\" or \"use\"\n  steps: [{name: a}]\n          ^\n" },
  { "steps: [{run: a, checkout: {}}]\n", ":1:10: a checkout has no \"run\" (make it a step of its own)\n  steps: [{run: a, checkout: {}}]\n           ^\n" },
  { "steps: [{checkout: {}, env: {A: b}}]\n", ":1:24: a checkout has no \"env\"\n  steps: [{checkout: {}, env: {A: b}}]\n                         ^\n" },
  { "steps: [checkout, a, checkout]\n", ":1:22: a second checkout, the first is in line 1\n  steps: [checkout, a, checkout]\n                       ^\n" },
  { "builders: {a: {checkout: none, steps: [checkout]}}\n",
    ":1:40: the builder says `checkout: none`, but this step is one\n  builders: {a: {checkout: none, steps: [checkout]}}\n"
    "                                         ^\n" },
  { "steps: [{run: a, name: x}, {run: b, name: x}]\n",
    ":1:43: two steps of builder \"libfoo\" have the name \"x\"\n  steps: [{run: a, name: x}, {run: b, name: x}]\n"
    "                                            ^\n" },
  { "builders: {a: }\n", ":1:12: builder \"a\" has no \"steps\"\n  builders: {a: }\n             ^\n" },
  { "builders: {a: 1}\n", ":1:12: builder \"a\" has no \"steps\"\n  builders: {a: 1}\n             ^\n"
                          ":1:15: \"a\" wants a map, got \"1\"\n  builders: {a: 1}\n                ^\n" },
  { "builders: {all: {steps: [a]}}\n",
    ":1:12: a builder can't be called \"all\", which means all of them\n  builders: {all: {steps: [a]}}\n             ^\n" },
  { "builders: {a/b: {steps: [a]}}\n",
    ":1:12: \"builders\" wants a name, got \"a/b\" (1 to 64 letters, digits, dots, underscores and hyphens, first a letter or digit)\n"
    "  builders: {a/b: {steps: [a]}}\n             ^\n" },
  /* schedulers */
  { "steps: [a]\nschedulers: {s: {builders: libfoo}}\n",
    ":2:14: nothing sets scheduler \"s\" off (for each new revision: change: {})\n  schedulers: {s: {builders: libfoo}}\n               ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , builders: libfo}}\n",
    ":2:38: there is no builder \"libfo\" (did you mean \"libfoo\"?)\n  schedulers: {s: {change: , builders: libfo}}\n"
    "                                       ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , builders: [libfoo, libfoo]}}\n",
    ":2:47: builder \"libfoo\" stands twice\n  schedulers: {s: {change: , builders: [libfoo, libfoo]}}\n"
    "                                                ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , builders: []}}\n",
    ":2:38: the scheduler has no builder\n  schedulers: {s: {change: , builders: []}}\n                                       ^\n" },
  { "steps: [a]\nschedulers: {s: {change: {branches: [\"a b\"]}}}\n",
    ":2:38: \"branches\" wants a branch or pattern, got \"a b\" (letters, digits and . _ + @ / -, with * and ? in patterns)\n"
    "  schedulers: {s: {change: {branches: [\"a b\"]}}}\n                                       ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: \"0 25 * * *\"}}\n",
    ":2:27: the hour is 0 to 23\n  schedulers: {n: {cron: \"0 25 * * *\"}}\n                            ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: '0 3 * * Foo'}}\n",
    ":2:33: here a weekday should stand: a number, a name of three letters, *, or H\n  schedulers: {n: {cron: '0 3 * * Foo'}}\n                                  ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: 0 3 * * 8, builders: all}}\n",
    ":2:32: the weekday is 0 to 7\n  schedulers: {n: {cron: 0 3 * * 8, builders: all}}\n                                 ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: 0 0 30 2 *}}\n",
    ":2:24: there is no such day in any year\n  schedulers: {n: {cron: 0 0 30 2 *}}\n                         ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: \"@daily\", zone: Europe/Nowhere}}\n",
    ":2:40: there is no time zone \"Europe/Nowhere\" (such as Europe/Berlin, America/New_York or UTC)\n  schedulers: {n: {cron: \"@daily\", zone: Europe/Nowhere}}\n                                         ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: }}\n",
    ":2:24: \"cron\" wants a string, got nothing\n  schedulers: {n: {cron: }}\n                         ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 4x}}\n",
    ":2:25: \"every\" wants a duration from 1s to 365d, got \"4x\" (a number and ms, s, m, h or d: 90s, 30m, 1h)\n  schedulers: {n: {every: 4x}}\n                          ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 0}}\n",
    ":2:25: \"every\" wants a duration from 1s to 365d, got \"0\" (a number and ms, s, m, h or d: 90s, 30m, 1h)\n  schedulers: {n: {every: 0}}\n                          ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 4h, zone: UTC}}\n",
    ":2:29: \"zone\" can't stand beside \"every\" (it is for schedulers with `cron`)\n  schedulers: {n: {every: 4h, zone: UTC}}\n                              ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 4h, stable: 3s}}\n",
    ":2:29: \"stable\" can't stand beside \"every\" (it is for schedulers with `change`)\n  schedulers: {n: {every: 4h, stable: 3s}}\n                              ^\n" },
  { "steps: [a]\nschedulers: {n: {change: {}, missed: once}}\n",
    ":2:30: \"missed\" can't stand beside \"change\" (it is for schedulers with `cron` or `every`)\n  schedulers: {n: {change: {}, missed: once}}\n                               ^\n" },
  { "steps: [a]\nschedulers: {n: {change: {}, branch: main}}\n",
    ":2:30: \"branch\" can't stand beside \"change\" (a change says itself which branch: change: {branches: …})\n  schedulers: {n: {change: {}, branch: main}}\n                               ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {}, only_if: changed}}\n",
    ":2:29: \"only_if\" can't stand beside \"force\" (it is for schedulers with `cron` or `every`)\n  schedulers: {n: {force: {}, only_if: changed}}\n                              ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: H H * * *, every: 3h}}\n",
    ":2:35: a scheduler has only one thing that sets it off (make a second scheduler of it)\n  schedulers: {n: {cron: H H * * *, every: 3h}}\n                                    ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 3h, missed: twice}}\n",
    ":2:37: \"missed\" wants \"once\" or \"skip\" or \"all\", got \"twice\"\n  schedulers: {n: {every: 3h, missed: twice}}\n                                      ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 3h, only_if: green}}\n",
    ":2:38: there is no \"green\" here\n  schedulers: {n: {every: 3h, only_if: green}}\n                                       ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 3h, only_if: changed and last.resul == failure}}\n",
    ":2:50: there is no \"last.resul\" here (did you mean \"last.result\"?)\n  schedulers: {n: {every: 3h, only_if: changed and last.resul == failure}}\n"
    "                                                   ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 3h, only_if: last.age > failure}}\n",
    ":2:49: a number can't be compared with a text\n  schedulers: {n: {every: 3h, only_if: last.age > failure}}\n                                                  ^\n" },
  { "steps: [a]\nschedulers: {n: {every: 3h, only_if: last.result}}\n",
    ":2:38: a condition is true or false, and this is a text (compare it: ==, !=, in, <, >)\n  schedulers: {n: {every: 3h, only_if: last.result}}\n                                       ^\n" },
  { "steps: [{trigger: libfoo/b}]\n", ":1:19: \"libfoo/b\" is of this project: its name alone says that (builders: b)\n  steps: [{trigger: libfoo/b}]\n                    ^\n" },
  { "steps: [{trigger: {builders: [x/b, x/b]}}]\n", ":1:36: builder \"x/b\" stands twice\n  steps: [{trigger: {builders: [x/b, x/b]}}]\n                                     ^\n" },
  { "steps: [{trigger: {builders: x/b, wait: true, unimportant: x/c}}]\n",
    ":1:60: \"x/c\" is none of the schedulers and builders that the step triggers\n  steps: [{trigger: {builders: x/b, wait: true, unimportant: x/c}}]\n                                                             ^\n" },
  { "steps: [{trigger: {builders: x/b, branch: b, revision: abcdef0}}]\n",
    ":1:46: \"revision\" can't stand beside \"branch\" (a branch has its revision)\n  steps: [{trigger: {builders: x/b, branch: b, revision: abcdef0}}]\n                                               ^\n" },
  { "builders: {a: {steps: [{trigger: {schedulers: s, branch: b}}]}, c: {steps: [x]}}\nschedulers: {s: {triggered: {}, builders: c}}\n",
    ":1:50: \"branch\" can't stand beside \"schedulers\", which ask for the build's own revision (name the builders)\n  builders: {a: {steps: [{trigger: {schedulers: s, branch: b}}]}, c: {steps: [x]}}\n"
    "                                                   ^\n" },
  { "steps: [a]\nschedulers: {n: {cron: H H * * *, from: changed}}\n",
    ":2:35: \"from\" can't stand beside \"cron\" (it goes by what has changed, and is for schedulers with `change`, `tag` or `pull_request`)\n  schedulers: {n: {cron: H H * * *, from: changed}}\n"
    "                                    ^\n" },
  { "steps: [a]\nschedulers: {n: {change: {}, from: main}}\n",
    ":2:36: \"from\" wants \"changed\", got \"main\"\n  schedulers: {n: {change: {}, from: main}}\n                                     ^\n" },
  { "builders: {a: {steps: [x]}}\nschedulers: {n: {change: {}, until: a}}\n",
    ":2:30: \"until\" says how far a change goes, and stands beside \"from\" (from: changed)\n  schedulers: {n: {change: {}, until: a}}\n                               ^\n" },
  { "builders: {a: {steps: [x]}}\nschedulers: {n: {change: {}, from: changed, builders: a}}\n",
    ":2:45: \"builders\" can't stand beside \"from\", which finds them by what has changed (`until` says how far it goes)\n  schedulers: {n: {change: {}, from: changed, builders: a}}\n"
    "                                              ^\n" },
  { "builders: {a: {steps: [x]}}\nschedulers: {n: {change: {}, from: changed, until: [a, b]}}\n",
    ":2:56: there is no builder \"b\" (did you mean \"a\"?)\n  schedulers: {n: {change: {}, from: changed, until: [a, b]}}\n                                                         ^\n" },
  { "builders: {a: {steps: [x]}, b: {checkout: none, steps: [x]}}\nschedulers: {n: {change: {}, from: changed, until: [a, b]}}\n",
    ":2:56: no change leads to builder \"b\" (neither it nor what it needs checks anything out)\n  schedulers: {n: {change: {}, from: changed, until: [a, b]}}\n"
    "                                                         ^\n" },
  { "builders: {a: {checkout: ui, steps: [x]}}\nschedulers: {n: {change: {}, codebases: core, from: changed, until: a}}\n",
    ":2:69: no change leads to builder \"a\" (what it needs must check out one of the scheduler's `codebases`)\n  schedulers: {n: {change: {}, codebases: core, from: changed, until: a}}\n"
    "                                                                      ^\n" },
  { "builders: {a: {checkout: none, steps: [x]}}\nschedulers: {n: {change: {}, from: changed}}\n",
    ":2:36: no builder checks anything out, so nothing follows from a change\n  schedulers: {n: {change: {}, from: changed}}\n                                     ^\n" },
  { "steps: [a]\nschedulers: {n: {force: , branch: \"release/*\"}}\n",
    ":2:35: \"branch\" wants one branch, not a pattern\n  schedulers: {n: {force: , branch: \"release/*\"}}\n                                    ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {type: integer, match: a}}}}}\n",
    ":2:65: \"match\" makes no sense for type integer (it is for strings and texts)\n  schedulers: {n: {force: {parameters: {v: {type: integer, match: a}}}}}\n                                                                  ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {type: integer, default: x}}}}}\n",
    ":2:67: the default: parameter \"v\" is a whole number of at most 15 digits, not \"x\"\n  schedulers: {n: {force: {parameters: {v: {type: integer, default: x}}}}}\n                                                                    ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {type: choice}}}}}\n",
    ":2:39: \"v\" is a choice without \"choices\" (choices: [debug, release])\n  schedulers: {n: {force: {parameters: {v: {type: choice}}}}}\n                                        ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {type: choice, choices: [a, b], default: c}}}}}\n",
    ":2:83: the default: parameter \"v\" is one of a and b, not \"c\"\n  schedulers: {n: {force: {parameters: {v: {type: choice, choices: [a, b], default: c}}}}}\n                                                                                    ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {choices: [a]}}}}}\n",
    ":2:52: \"choices\" makes no sense for type string (it is for type choice)\n  schedulers: {n: {force: {parameters: {v: {choices: [a]}}}}}\n                                                     ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {match: \"a{3}\"}}}}}\n",
    ":2:50: a regular expression has no \\ and no { here ([[:digit:]], [.] and the like say the same)\n  schedulers: {n: {force: {parameters: {v: {match: \"a{3}\"}}}}}\n                                                   ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {match: \"(a\"}}}}}\n",
    ":2:50: the regular expression is not well-formed: Unmatched ( or \\(\n  schedulers: {n: {force: {parameters: {v: {match: \"(a\"}}}}}\n                                                   ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {type: bool}}}}}\n",
    ":2:49: \"type\" wants \"string\" or \"text\" or \"integer\" or \"number\" or \"boolean\" or \"choice\", got \"bool\"\n  schedulers: {n: {force: {parameters: {v: {type: bool}}}}}\n                                                  ^\n" },
  { "steps: [a]\nschedulers: {n: {force: {parameters: {v: {match: '^\\d+[.]\\d+$', default: '1'}}}}}\n",
    ":2:74: the default: parameter \"v\" must match ^\\d+[.]\\d+$, and \"1\" does not\n  schedulers: {n: {force: {parameters: {v: {match: '^\\d+[.]\\d+$', default: '1'}}}}}\n                                                                           ^\n" },
  { "steps: [a]\nschedulers: {s: {change: {branches: -x}}}\n",
    ":2:37: \"branches\" wants a branch or pattern, got \"-x\" (letters, digits and . _ + @ / -, with * and ? in patterns)\n"
    "  schedulers: {s: {change: {branches: -x}}}\n                                      ^\n" },
  { "steps: [a]\nschedulers: {s: {tag: v*, stable: 3s}}\n",
    ":2:27: \"stable\" can't stand beside \"tag\" (it is for schedulers with `change`)\n"
    "  schedulers: {s: {tag: v*, stable: 3s}}\n                            ^\n" },
  { "steps: [a]\nschedulers: {s: {tag: v*, supersede: true}}\n",
    ":2:27: \"supersede\" can't stand beside \"tag\" (it is for schedulers with `change` or `pull_request`)\n"
    "  schedulers: {s: {tag: v*, supersede: true}}\n                            ^\n" },
  { "steps: [a]\nschedulers: {s: {tag: []}}\n",
    ":2:23: no tag matches an empty list (for every tag: tag: \"**\")\n"
    "  schedulers: {s: {tag: []}}\n                        ^\n" },
  { "steps: [a]\nschedulers: {s: {change: {only: /docs}}}\n",
    ":2:33: a pattern of files begins at the repository's top, without \"/\" (write it as git lists files: docs/**)\n"
    "  schedulers: {s: {change: {only: /docs}}}\n                                  ^\n" },
  { "steps: [a]\nschedulers: {s: {change: {not_only: [docs/]}}}\n",
    ":2:38: a pattern of files can't end in \"/\" (all that is in a folder: docs/**)\n"
    "  schedulers: {s: {change: {not_only: [docs/]}}}\n                                       ^\n" },
  { "steps: [a]\nschedulers: {s: {change: {only: ./a}}}\n",
    ":2:33: a pattern of files begins at the repository's top, without \"./\" (write it as git lists files: docs/**)\n"
    "  schedulers: {s: {change: {only: ./a}}}\n                                  ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , if: brnch == \"x\"}}\n",
    ":2:32: there is no \"brnch\" here (did you mean \"branch\"?)\n"
    "  schedulers: {s: {change: , if: brnch == \"x\"}}\n                                 ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , if: branch}}\n",
    ":2:32: a condition is true or false, and this is a text (compare it: ==, !=, in, <, >)\n"
    "  schedulers: {s: {change: , if: branch}}\n                                 ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , tag: v1}}\n",
    ":2:28: a scheduler has only one thing that sets it off (make a second scheduler of it)\n"
    "  schedulers: {s: {change: , tag: v1}}\n                             ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , stable: 1m, priority: number ?? 7}}\n",
    ":2:50: an expression is over one change, and with \"stable\" there may be several (a number from 0 to 100)\n"
    "  schedulers: {s: {change: , stable: 1m, priority: number ?? 7}}\n"
    "                                                   ^\n" },
  { "steps: [a]\nschedulers: {s: {every: 4h, priority: 1 + 1}}\n",
    ":2:39: an expression is over a change, and none sets this off (a number from 0 to 100)\n"
    "  schedulers: {s: {every: 4h, priority: 1 + 1}}\n"
    "                                        ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , priority: branch}}\n",
    ":2:38: this is a text, and a number is wanted\n"
    "  schedulers: {s: {change: , priority: branch}}\n"
    "                                       ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , priority: 1 + brnch}}\n",
    ":2:42: there is no \"brnch\" here (did you mean \"branch\"?)\n"
    "  schedulers: {s: {change: , priority: 1 + brnch}}\n"
    "                                           ^\n" },
  { "steps: [a]\nschedulers: {s: {change: , priority: 101}}\n",
    ":2:38: \"priority\" wants a whole number from 0 to 100 or an expression, got \"101\" (such as branch == \"main\" ? 80 : 50)\n"
    "  schedulers: {s: {change: , priority: 101}}\n                                       ^\n" },
  { "steps: [a]\nschedulers: {s: {pull_request: {forks: build}}}\n",
    ":2:33: unknown key \"forks\" (it is a key of a project of the site)\n"
    "  schedulers: {s: {pull_request: {forks: build}}}\n                                  ^\n" },
  { "steps: [a]\nschedulers: {s: {pull_request: , skip: maybe}}\n",
    ":2:40: \"skip\" wants true or false, got \"maybe\"\n"
    "  schedulers: {s: {pull_request: , skip: maybe}}\n                                         ^\n" },
};

static void test_messages(void **state)
{
  (void)state;
  for (size_t i = 0; i < COUNT(refusals); i++)
    expect_refused(refusals[i].text, refusals[i].printed);
}

static void test_all_at_once(void **state)
{
  (void)state;
  expect_refused("steps:\n  - {run: a, nam: x}\n  - {run: 1, cwd: /}\nschedulers:\n  s: {change: {}, builders: b}\nnotify: {}\n",
                 ":2:14: unknown key \"nam\" (did you mean \"name\"?)\n  - {run: a, nam: x}\n             ^\n"
                 ":3:19: \"cwd\" wants a folder below the checkout, got \"/\" (a relative path without ..)\n"
                 "  - {run: 1, cwd: /}\n                  ^\n"
                 ":5:29: there is no builder \"b\"\n  s: {change: {}, builders: b}\n                            ^\n"
                 ":6:1: \"notify\" is not supported by this version yet\n  notify: {}\n  ^\n");
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_messages), cmocka_unit_test(test_all_at_once) };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
