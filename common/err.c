/* Texts and classes of the error codes, from the one list. */
#include "common/err.h"

const char *err_text(enum err e)
{
  switch (e) {
#define X(code, class, text) case code: return text;
    ERR_LIST(X)
#undef X
  }
  return "unknown error";
}

enum err_class err_class(enum err e)
{
  switch (e) {
#define X(code, class, text) case code: return ERR_CLASS_##class;
    ERR_LIST(X)
#undef X
  }
  return ERR_CLASS_NEVER;
}
