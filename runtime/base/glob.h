/* glob: the paths that match a pattern, as a shell finds them.
 *
 * In a name, `*` is any bytes, `?` one, `[a-z]` one of those, `\` takes the
 * next byte as it is; a name that begins with a dot is matched only by a dot.
 * `**` alone between slashes is any number of folders, also none; it does not
 * enter hidden ones, nor follow links. A folder that cannot be read holds
 * nothing.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_GLOB_H
#define MP_GLOB_H

#include <stddef.h>

typedef struct mp_names {
	char **list;
	size_t n, cap;
} mp_names;

/* Puts them, sorted by their bytes and each once, into *found, which was {0}. 0, or -errno:
 * no memory, no descriptor is left; what was found is to be freed then, too. */
int mp_glob(const char *pattern, mp_names *found);
void mp_names_free(mp_names *names);

#endif
