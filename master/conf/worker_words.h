/* Words for systems and processors: each of them has one here, whatever its system calls it. */
#ifndef MASTER_CONF_WORKER_WORDS_H
#define MASTER_CONF_WORKER_WORDS_H
#include <stddef.h>

#define WORKER_WORD_MAX 64 /* bytes, with the NUL */

/* From "Linux" to linux, from "aarch64" to arm64. out: WORKER_WORD_MAX bytes; "" where s is no such word (too long, blanks, other bytes). Returns out. */
char *worker_os(const char *s, char *out);
char *worker_arch(const char *s, char *out);
#endif
