/* Bytes from builds and servers made harmless for a terminal: a filter that may be fed in pieces.

   C0 but \n and \t, and DEL, become ^X; C1, as a byte or in UTF-8, becomes M-^X; bytes that are not UTF-8 become M-x and the like
   (as `cat -v` shows them); the characters that turn the direction of writing become <U+202E>. With sgr, escape sequences that
   only set colour or weight from an allow-list pass; every other ESC is ^[. */
#ifndef MASTER_CLI_SAFE_H
#define MASTER_CLI_SAFE_H
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

#define SAFE_SEQUENCE_MAX 48 /* an SGR sequence longer than this is none */

struct safe {
  bool sgr, line;      /* line: \n and \t are control bytes too */
  bool coloured;       /* a sequence passed that nothing has reset */
  unsigned char held[SAFE_SEQUENCE_MAX]; /* the beginning of a sequence or character */
  size_t nheld, want;  /* want: bytes of the UTF-8 character that is held; 0: held is an escape sequence */
};

void safe_init(struct safe *s, bool sgr);
/* Appends what came of the n bytes to out; the beginning of an unfinished sequence is held back. */
void safe_add(struct safe *s, const void *p, size_t n, struct buf *out);
/* What was held, and colours off. The filter is as new. */
void safe_end(struct safe *s, struct buf *out);

/* One line of text, \n and \t too as ^J and ^I; the caller frees it. */
char *safe_line(const char *s) must_check;
#endif
