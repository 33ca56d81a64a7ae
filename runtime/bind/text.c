/* text: takes texts apart for flows, on the table mp.core; not for scripts.
 *
 *   core.text.words(text, list, [at], [max]) -> n, next
 *   core.text.lines(text, list, [at], [max]) -> n, next
 *   core.text.split(text, sep, list, [at], [max]) -> n, next
 *                    fills list[1] to list[n] with what begins at byte `at` (1) or
 *                    later: `max` pieces (256) at the most; the rest begins at
 *                    `next`, nil when nothing is left. What was in the list
 *                    behind n stays there.
 *   core.text.count_lines(text, [at]) -> how many lines that would give
 *   core.text.match(text, pattern) -> what string.match gives: nil, its one
 *                    capture (or the match), or a list of several
 *
 * A line has no "\n"; the last one may lack it. A text has one field more than
 * separators.
 *
 * SPDX-License-Identifier: MIT */
#include "../text/word.h"
#include "bind.h"

enum { MOST = 256 };

/* A list to be filled from a text. */
typedef struct pieces {
	const char *text;
	size_t len, at;         /* at: of the next piece, from 0 on */
	int list;
	lua_Integer n, max;
} pieces;

/* Arguments list, at, max from `arg` on, of a call whose first one is the text. */
static pieces pieces_of(lua_State *L, int arg, const char *call)
{
	pieces p = { .list = arg };
	lua_Integer at = luaL_optinteger(L, arg + 1, 1);
	p.max = luaL_optinteger(L, arg + 2, MOST);
	p.text = luaL_checklstring(L, 1, &p.len);
	luaL_checktype(L, arg, LUA_TTABLE);
	if (at < 1 || (lua_Unsigned)at > p.len + 1)
		mp_misuse(L, call, "a text of %I bytes has no place %I", (LUAI_UACINT)p.len,
		          (LUAI_UACINT)at);
	if (p.max < 1)
		mp_misuse(L, call, "max must be at least 1, got %I", (LUAI_UACINT)p.max);
	p.at = (size_t)at - 1;
	return p;
}

static inline void piece(lua_State *L, pieces *p, size_t from, size_t to)
{
	lua_pushlstring(L, p->text + from, to - from);
	lua_rawseti(L, p->list, ++p->n);
}

static int filled(lua_State *L, const pieces *p, bool more)
{
	lua_pushinteger(L, p->n);
	if (more)
		lua_pushinteger(L, (lua_Integer)p->at + 1);
	else
		lua_pushnil(L);
	return 2;
}

static int text_words(lua_State *L)
{
	pieces p = pieces_of(L, 2, "core.text.words");
	mp_words w = mp_words_of(p.text, p.len, p.at);
	size_t from, to;
	while (p.n < p.max) {
		if (!mp_words_next(&w, &from, &to))
			return filled(L, &p, false);
		piece(L, &p, from, to);
		p.at = to;
	}
	return filled(L, &p, p.at < p.len);
}

static int text_lines(lua_State *L)
{
	pieces p = pieces_of(L, 2, "core.text.lines");
	while (p.n < p.max && p.at < p.len) {
		const char *nl = memchr(p.text + p.at, '\n', p.len - p.at);
		size_t to = nl ? (size_t)(nl - p.text) : p.len;
		piece(L, &p, p.at, to);
		p.at = to + 1;
	}
	return filled(L, &p, p.at < p.len);
}

static const char *find(const char *s, size_t len, const char *sep, size_t seplen)
{
	if (seplen == 1)
		return memchr(s, *sep, len);
	return memmem(s, len, sep, seplen);
}

static int text_split(lua_State *L)
{
	static const char call[] = "core.text.split";
	size_t seplen;
	const char *sep = luaL_checklstring(L, 2, &seplen);
	pieces p = pieces_of(L, 3, call);
	if (!seplen)
		mp_misuse(L, call, "the separator is empty");
	while (p.n < p.max) {
		const char *found = find(p.text + p.at, p.len - p.at, sep, seplen);
		piece(L, &p, p.at, found ? (size_t)(found - p.text) : p.len);
		if (!found)
			return filled(L, &p, false);
		p.at = (size_t)(found - p.text) + seplen;
	}
	return filled(L, &p, true);
}

static int text_count_lines(lua_State *L)
{
	size_t len;
	const char *s = luaL_checklstring(L, 1, &len), *end = s + len;
	lua_Integer at = luaL_optinteger(L, 2, 1), n = 0;
	if (at < 1 || (lua_Unsigned)at > len + 1)
		mp_misuse(L, "core.text.count_lines", "a text of %I bytes has no place %I",
		          (LUAI_UACINT)len, (LUAI_UACINT)at);
	for (s += at - 1; s < end; n++) {
		const char *nl = memchr(s, '\n', (size_t)(end - s));
		s = nl ? nl + 1 : end;
	}
	lua_pushinteger(L, n);
	return 1;
}

/* Upvalue 1 is string.match. */
static int text_match(lua_State *L)
{
	lua_settop(L, 2);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, 2, LUA_MULTRET);
	int n = lua_gettop(L);
	if (n == 1)
		return 1;
	lua_createtable(L, n, 0);
	lua_insert(L, 1);
	for (int i = n; i >= 1; i--)
		lua_rawseti(L, 1, i);
	return 1;
}

void mp_open_text(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "words", text_words },
		{ "lines", text_lines },
		{ "split", text_split },
		{ "count_lines", text_count_lines },
		{ NULL, NULL }
	};
	lua_getfield(L, -1, "core");
	luaL_newlib(L, functions);
	lua_getglobal(L, "string");
	lua_getfield(L, -1, "match");
	lua_remove(L, -2);
	lua_pushcclosure(L, text_match, 1);
	lua_setfield(L, -2, "match");
	lua_setfield(L, -2, "text");
	lua_pop(L, 1);
}
