/* Where the parts lie that belong to this program: beside it (a build folder), or in ../lib/drover (where it is installed). */
#ifndef MASTER_CORE_PLACE_H
#define MASTER_CORE_PLACE_H

/* The path of NAME ("drover-git-helper", "worker"), seen from the program's real path; where it is in neither place, the first. The caller's to free. */
char *place_find(const char *name);
#endif
