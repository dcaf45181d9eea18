#ifndef WORKER_WINDOWS_SPEC_H
#define WORKER_WINDOWS_SPEC_H
/* NAME=path with each / a \, in place; returns it. */
char *win_backslashes(char *assignment);
#define SPEC_NATIVE(assignment) win_backslashes(assignment)
#define SPEC_BETWEEN ";"
#endif
