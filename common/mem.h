/* Memory that is there or the process ends: running out is fatal (docs/design.md), limits on sizes are checked before these are called. */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H
#include <stdarg.h>
#include <stddef.h>

#define must_check __attribute__((warn_unused_result))
#define printf_like(f, a) __attribute__((format(printf, f, a)))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* All return memory that the caller frees with free(); they never return NULL. */
void *xmalloc(size_t n) must_check;
void *xcalloc(size_t count, size_t size) must_check;
void *xrealloc(void *p, size_t n) must_check;
void *xmemdup(const void *p, size_t n) must_check;
char *xstrdup(const char *s) must_check;                     /* NULL stays NULL */
char *xstrndup(const char *s, size_t n) must_check;          /* always ends in NUL */
char *xasprintf(const char *fmt, ...) must_check printf_like(1, 2);
char *xvasprintf(const char *fmt, va_list ap) must_check printf_like(1, 0);

/* n strings and what they stand in. */
void mem_free_all(char **v, int n);
/* Overwrites memory that held a secret; the compiler can't drop it. */
void mem_wipe(void *p, size_t n);
#endif
