/* embedded: the Lua modules of lua/, as bytes in the program.
 *
 * scripts/embed-lua makes the table from lua/, so that a copied mprun or mp.so
 * runs alone. lua/mp/flow/run.lua is the module "mp.flow.run", lua/mp/x/init.lua
 * the module "mp.x". The bytes are the source text; `chunk` is the name to
 * load it under, "=mp/flow/run.lua", for readable tracebacks. The one who
 * loads calls the chunk as `require` does: with the name and `chunk`.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_EMBEDDED_H
#define MP_EMBEDDED_H

#include <stddef.h>

typedef struct mp_embedded {
	const char *name;
	const char *chunk;
	const unsigned char *bytes;
	size_t len;
} mp_embedded;

extern const mp_embedded mp_embedded_modules[];  /* ends with a NULL name */

#endif
