/* Reading the lines that we write ourselves, as sscanf does, strictly: it brings no reader of floats, no locale and no streams into the static worker (10 KB of its 400). */
#ifndef COMMON_SCAN_H
#define COMMON_SCAN_H
#ifndef SCAN_FORMAT
#define SCAN_FORMAT scanf /* the compiler has other names for it, where the system has formats of its own */
#endif

/* How many conversions were made of text, as sscanf counts them; it stops at the first byte that differs. All other bytes of the format, blanks too, stand for themselves; nothing is skipped before a number.
 * %d int, %ld, %lu, %lld, %llu, %zu (all in decimal, with '-' where the type has a sign; a number that its type does not hold is no number), %Nx unsigned of at most N digits, %Ns a word of 1 to N bytes up to a blank or line feed,
 * which has to end there, %c one byte, %n where it stands (not counted); * reads and forgets. */
int scan(const char *text, const char *format, ...) __attribute__((format(SCAN_FORMAT, 2, 3)));
#endif
