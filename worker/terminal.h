/* The pseudo-terminal of a command. */
#ifndef WORKER_TERMINAL_H
#define WORKER_TERMINAL_H
#include <stdbool.h>

#define TERMINAL_SIDE_MAX 9999 /* columns or rows */

/* COLSxROWS, each 1 to TERMINAL_SIDE_MAX. */
bool terminal_size(const char *text, int *cols, int *rows);
/* A new one: its side of whoever looks at it, non-blocking, and *slave, the command's; both closed by an exec. -1 and errno. */
int terminal_open(int cols, int rows, int *slave);
/* Those in its foreground are told (SIGWINCH). size: as terminal_size() takes it, else nothing happens. */
void terminal_resize(int fd, const char *size);
/* In the process that has called setsid(): `slave` is its controlling terminal. Async-signal-safe. */
void terminal_control(int slave);
/* The byte that ends the input. */
char terminal_eof(int fd);
#endif
