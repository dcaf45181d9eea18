/* The words of an expression, one at a time, for its parser. */
#ifndef MASTER_CONF_EXPR_WORDS_H
#define MASTER_CONF_EXPR_WORDS_H
#include "master/conf/expr_int.h"

enum word { W_END, W_NUMBER, W_TEXT, W_NAME, W_SIGN, W_BAD };

struct parser {
  const char *text;
  int len, pos;
  struct expr *x;
  const struct expr_name *names;
  struct expr_error *e;
  bool failed;
  int depth;
  /* the word that is looked at */
  enum word word;
  int at, end;
  int64_t number;
  char *string;                  /* W_TEXT, in the tree's memory */
  size_t string_len;
};

int expr_stop(struct parser *p, int at, const char *help, const char *what); /* the first error is kept; returns 0, the node that is none */
void expr_next(struct parser *p);
bool expr_is(const struct parser *p, const char *word);        /* a sign or a name */
bool expr_take_word(struct parser *p, const char *word);       /* the next one, where it is that */
void expr_want(struct parser *p, const char *sign, const char *what);
#endif
