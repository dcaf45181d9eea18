/* Intrusive doubly linked list. A node knows its neighbours, so removing needs no head and can't name the wrong one. */
#ifndef COMMON_LIST_H
#define COMMON_LIST_H
#include <stdbool.h>
#include <stddef.h>

struct list {
  struct list *next, *prev;
};

#define list_of(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))
/* The body may remove `it` itself, nothing else. */
#define list_each(it, head)                                                    \
  for (struct list *it = (head)->next, *it##_next = it->next; it != (head);    \
       it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
static inline void list_push(struct list *head, struct list *n) /* at the end */
{
  n->prev = head->prev;
  n->next = head;
  head->prev->next = n;
  head->prev = n;
}
static inline void list_remove(struct list *n) /* also of a node that is in no list but initialised */
{
  n->prev->next = n->next;
  n->next->prev = n->prev;
  list_init(n);
}
#endif
