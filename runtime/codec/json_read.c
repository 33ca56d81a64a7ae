/* json_read: see json.h.
 *
 * By recursion, which the depth bounds. Values are made on the Lua stack: one a
 * level, and its key.
 *
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "state.h"

typedef struct reader {
	lua_State *L;
	mp_json *j;
	const char *s, *end;       /* what is left */
	int depth;
	const char *why;           /* what is wrong at s */
} reader;

void mp_json_free(mp_json *j)
{
	free(j->text);
	free(j->fields);
	*j = (mp_json){ 0 };
}

static bool wrong(reader *r, const char *why)
{
	r->why = why;
	return false;
}

static void skip_space(reader *r)
{
	while (r->s < r->end && (*r->s == ' ' || *r->s == '\t' || *r->s == '\n' || *r->s == '\r'))
		r->s++;
}

static bool next_is(reader *r, char c)
{
	skip_space(r);
	if (r->s == r->end || *r->s != c)
		return false;
	r->s++;
	return true;
}

/* ---- strings --------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind \u; -1: they are none. */
static int32_t hex4(reader *r)
{
	int32_t v = 0;
	if (r->end - r->s < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(r->s[i]);
		if (digit < 0)
			return -1;
		v = v * 16 + digit;
	}
	r->s += 4;
	return v;
}

static size_t utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xC0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xE0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3F));
		to[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	to[0] = (char)(0xF0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3F));
	to[2] = (char)(0x80 | (c >> 6 & 0x3F));
	to[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

/* Behind \u. The bytes written, 0: it is wrong. */
static size_t read_unicode(reader *r, char *to)
{
	int32_t c = hex4(r), low;
	if (c < 0)
		return wrong(r, "four hexadecimal digits expected behind \\u");
	if (c < 0xD800 || c > 0xDFFF)
		return utf8(to, (uint32_t)c);
	if (c > 0xDBFF || r->end - r->s < 6 || r->s[0] != '\\' || r->s[1] != 'u')
		return wrong(r, "half a pair of surrogates");
	r->s += 2;
	low = hex4(r);
	if (low < 0xDC00 || low > 0xDFFF)
		return wrong(r, "half a pair of surrogates");
	return utf8(to, 0x10000 + (((uint32_t)c - 0xD800) << 10) + ((uint32_t)low - 0xDC00));
}

/* Behind a backslash. The same. */
static size_t read_escape(reader *r, char *to)
{
	static const char from[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *at;
	char c = r->s < r->end ? *r->s : 0;
	if (c == 'u') {
		r->s++;
		return read_unicode(r, to);
	}
	if (!c || !(at = strchr(from, c)))
		return wrong(r, "no escape that JSON knows");
	r->s++;
	*to = meant[at - from];
	return 1;
}

/* To the quote or escape, or the end; false: a byte that must not stand there. */
static bool plain_bytes(reader *r)
{
	while (r->s < r->end && *r->s != '"' && *r->s != '\\') {
		if ((unsigned char)*r->s < 0x20)
			return wrong(r, "an unescaped control character in a string");
		r->s++;
	}
	return r->s < r->end || wrong(r, "a string without an end");
}

/* Makes text room for n more bytes behind the first len. */
static char *scratch(reader *r, size_t len, size_t n)
{
	if (r->j->captext < len + n)
		r->j->text = mp_grow(r->L, r->j->text, &r->j->captext, len + n, 1);
	return r->j->text + len;
}

/* Behind the opening quote. Pushes it. */
static bool read_string(reader *r)
{
	size_t len = 0;
	while (true) {
		const char *from = r->s;
		if (!plain_bytes(r))
			return false;
		size_t n = (size_t)(r->s - from), more;
		bool over = *r->s++ == '"';
		if (over && len == 0) {
			lua_pushlstring(r->L, from, n);
			return true;
		}
		memcpy(scratch(r, len, n + 4), from, n);
		len += n;
		if (over)
			break;
		if (!(more = read_escape(r, r->j->text + len)))
			return false;
		len += more;
	}
	lua_pushlstring(r->L, r->j->text, len);
	return true;
}

/* ---- numbers --------------------------------------------------------------------- */

static bool digits(reader *r)
{
	const char *from = r->s;
	while (r->s < r->end && *r->s >= '0' && *r->s <= '9')
		r->s++;
	return r->s > from;
}

/* Past a number, as JSON writes them. */
static bool skip_number(reader *r)
{
	if (*r->s == '-')
		r->s++;
	if (r->s < r->end && *r->s == '0')
		r->s++;
	else if (!digits(r))
		return wrong(r, "a digit expected");
	if (r->s < r->end && *r->s == '.') {
		r->s++;
		if (!digits(r))
			return wrong(r, "a digit expected behind the point");
	}
	if (r->s < r->end && (*r->s | 0x20) == 'e') {
		r->s++;
		if (r->s < r->end && (*r->s == '+' || *r->s == '-'))
			r->s++;
		if (!digits(r))
			return wrong(r, "a digit expected in the exponent");
	}
	return true;
}

/* Lua reads it as its own: an integer if it looks like one and fits. */
static bool read_number(reader *r)
{
	const char *from = r->s;
	if (!skip_number(r))
		return false;
	size_t n = (size_t)(r->s - from);
	char *copy = scratch(r, 0, n + 1);
	memcpy(copy, from, n);
	copy[n] = 0;
	if (lua_stringtonumber(r->L, copy) == n + 1 && isfinite(lua_tonumber(r->L, -1)))
		return true;
	r->s = from;
	return wrong(r, "a number that is too large");
}

/* ---- values ---------------------------------------------------------------------- */

static bool read_value(reader *r);

static bool enter(reader *r)
{
	if (r->depth == MP_JSON_DEPTH || !lua_checkstack(r->L, 8))
		return wrong(r, "nested too deeply");
	r->depth++;
	lua_newtable(r->L);
	return true;
}

static bool read_array(reader *r)
{
	if (!enter(r))
		return false;
	for (lua_Integer i = 1; i > 1 || !next_is(r, ']'); i++) {
		if (!read_value(r))
			return false;
		if (lua_isnil(r->L, -1))
			lua_pop(r->L, 1);
		else
			lua_rawseti(r->L, -2, i);
		if (next_is(r, ']'))
			break;
		if (!next_is(r, ','))
			return wrong(r, "',' or ']' expected");
	}
	r->depth--;
	return true;
}

static bool read_field(reader *r)
{
	if (!next_is(r, '"'))
		return wrong(r, "a name in quotes expected");
	if (!read_string(r))
		return false;
	if (!next_is(r, ':'))
		return wrong(r, "':' expected");
	if (!read_value(r))
		return false;
	lua_rawset(r->L, -3);
	return true;
}

static bool read_object(reader *r)
{
	if (!enter(r))
		return false;
	bool over = next_is(r, '}');
	while (!over) {
		if (!read_field(r))
			return false;
		over = next_is(r, '}');
		if (!over && !next_is(r, ','))
			return wrong(r, "',' or '}' expected");
	}
	r->depth--;
	return true;
}

static bool read_word(reader *r)
{
	static const char *const words[] = { "null", "false", "true" };
	for (int i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);
		if ((size_t)(r->end - r->s) < n || memcmp(r->s, words[i], n) != 0)
			continue;
		r->s += n;
		if (i == 0)
			lua_pushnil(r->L);
		else
			lua_pushboolean(r->L, i - 1);
		return true;
	}
	return wrong(r, "a value expected");
}

/* Pushes it. */
static bool read_value(reader *r)
{
	skip_space(r);
	char c = r->s < r->end ? *r->s : 0;
	if (c == '-' || (c >= '0' && c <= '9'))
		return read_number(r);
	if (c != '"' && c != '[' && c != '{')
		return read_word(r);
	r->s++;
	return c == '"' ? read_string(r) : c == '[' ? read_array(r) : read_object(r);
}

bool mp_json_read(lua_State *L, mp_json *j, const char *text, size_t len, size_t *at)
{
	reader r = { .L = L, .j = j, .s = text, .end = text + len };
	int top = lua_gettop(L);
	luaL_checkstack(L, 8, "json");
	bool fine = read_value(&r);
	if (fine)
		skip_space(&r);
	if (fine && r.s < r.end)
		fine = wrong(&r, "something follows the value");
	if (!fine) {
		*at = (size_t)(r.s - text);
		lua_settop(L, top);
		lua_pushstring(L, r.why);
	}
	if (j->captext > MP_SCRATCH_KEEP)
		mp_json_free(j);
	return fine;
}
