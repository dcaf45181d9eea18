/* Regular expressions of people: POSIX extended ones, bounded, without what makes the C library slow or large (counts, back references). */
#ifndef MASTER_CONF_PATTERN_H
#define MASTER_CONF_PATTERN_H
#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/mem.h"

#define PATTERN_MAX 256     /* bytes of a pattern */
#define PATTERN_WHY_MAX 200

/* False: why says what is wrong, *help what to write instead (or NULL). Else the caller ends it with regfree. */
bool pattern_make(const char *pattern, regex_t *re, char why[PATTERN_WHY_MAX], const char **help) must_check;
/* The same where \d, \w, \s and a backslash before a punctuation mark may stand outside of [ ]. */
bool pattern_make_perl(const char *pattern, regex_t *re, char why[PATTERN_WHY_MAX], const char **help) must_check;
#endif
