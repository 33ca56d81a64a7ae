/* fuzz_json: arbitrary bytes as JSON, and what is accepted once more around: what
 * was read can be written and read again, and is the same text from then on.
 *
 * The text is copied to where it ends at the end of an allocation, so that
 * reading past it is seen.
 *
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Replaces the value on top by that of its text, which goes below it. */
static void again(lua_State *L, mp_json *j)
{
	size_t len, at;
	if (!mp_json_write(L, j, -1))
		abort();
	const char *text = lua_tolstring(L, -1, &len);
	lua_replace(L, -2);
	if (!mp_json_read(L, j, text, len, &at))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static lua_State *L;
	static mp_json j;
	size_t at;
	if (!L)
		L = luaL_newstate();
	lua_settop(L, 0);
	char *text = malloc(size + !size);
	memcpy(text, data, size);
	if (mp_json_read(L, &j, text, size, &at)) {
		again(L, &j);
		again(L, &j);
		again(L, &j);
		/* the texts at 1, 2, 3: an object of whole numbers is one of strings now */
		if (!lua_rawequal(L, 2, 3))
			abort();
	} else if (at > size || lua_type(L, -1) != LUA_TSTRING) {
		abort();
	}
	free(text);
	return 0;
}
