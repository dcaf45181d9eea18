/* This program's place in the system: where its parts lie, and who may look into it.

   The parts are beside it (a build folder), or in ../lib/drover (where it is installed). */
#ifndef MASTER_CORE_PLACE_H
#define MASTER_CORE_PLACE_H

/* The path of NAME ("drover-git-helper", "worker"), seen from the program's real path; where it is in neither place, the first. The caller's to free. */
char *place_find(const char *name);
/* From now on this process leaves no core and lets no other of its user look into it: values of secrets go through it. */
void place_close(void);
#endif
