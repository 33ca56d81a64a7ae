/* json: Lua values <-> JSON (RFC 8259).
 *
 * Written on one line, names in order, so that equal values give equal bytes: numbers
 * before strings, then by value or by bytes. A table whose keys are whole numbers
 * from 1 on, at least half of them there, is an array, with null for what is
 * missing; any other one is an object, also an empty one. A float has as many
 * digits as give it back, and shows that it is one ("3.0"). Strings go out as
 * they are, but for what JSON wants escaped; the null that lua-cjson knows (a
 * light userdata) is null.
 * Read, a whole number is an integer if it fits, and null is nil: a field that
 * is not there, an element that is missing.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_JSON_H
#define MP_CODEC_JSON_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* Tables inside each other, and brackets: deeper than this is refused. */
enum { MP_JSON_DEPTH = 1000 };

/* Scratch memory, that of its Lua state. */
typedef struct mp_json_field mp_json_field;
typedef struct mp_json {
	char *text;
	size_t captext;
	mp_json_field *fields;
	size_t capfields;
} mp_json;

void mp_json_free(mp_json *j);

/* Pushes the value at idx as a text, true; or why that cannot be, false. Raises
 * for want of memory. No Lua object is made meanwhile, so no finalizer can
 * change what is being written. */
bool mp_json_write(lua_State *L, mp_json *j, int idx);

/* Pushes the value of a text, true; or what is wrong with it, false, and *at is
 * the offset where. The text must stay where it is. */
bool mp_json_read(lua_State *L, mp_json *j, const char *text, size_t len, size_t *at);

#endif
