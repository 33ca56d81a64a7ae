/* codec: Lua values <-> bytes.
 *
 * Knows Lua and bytes, and nothing of shared memory: what a handle is, the
 * hooks say. One mp_codec per lua_State; it lives in that state's registry
 * and owns the scratch memory of the last encoding.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_H
#define MP_CODEC_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/part.h"

/* An encoded message. Borrowed: valid until the next mp_encode with the same
 * codec, and while the values encoded stay reachable (large strings are
 * referred to, not copied). Copy it before anything that may collect garbage:
 * a finalizer may encode a message of its own. */
typedef struct mp_encoded {
	const mp_part *parts;
	size_t nparts;
	size_t len;               /* sum of the parts' lengths, in bytes */
	const uint64_t *handles;  /* every handle that the message lists, once each */
	uint32_t nhandles;
} mp_encoded;

typedef struct mp_codec_hooks {
	/* Is the value at idx (a full userdata) a handle? Then store it in *h
	 * and return 1; 0 if not; -1: it was one, and is closed. It must not make
	 * Lua objects or call Lua code: a finalizer in the middle of a message
	 * could change the very tables. */
	int (*handle_of)(lua_State *L, int idx, uint64_t *h, void *ud);
	/* Push the object for a handle. May raise. */
	void (*push_handle)(lua_State *L, uint64_t h, void *ud);
	void *ud;
} mp_codec_hooks;

typedef struct mp_codec mp_codec;

enum {                          /* mp_decode: what bytes from outside may not hold */
	MP_CODEC_NO_FUNCTIONS = 1,  /* bytecode, and names (looking up one may load a module) */
	MP_CODEC_NO_HANDLES = 2
};

/* Tables and functions inside each other: deeper than this is an error. */
enum { MP_CODEC_MAX_DEPTH = 100000 };

/* The codec of L, made on the first call. hooks (static storage) may be NULL:
 * then no handle can travel, until a later call brings hooks. The codec stays
 * where it is for the life of the state: keep the pointer. Raises only for
 * want of memory. */
mp_codec *mp_codec_of(lua_State *L, const mp_codec_hooks *hooks);

/* (metatable, what, hint): tables with this metatable cannot travel; what and
 * hint say so: "cannot send WHAT (at ...)HINT". For the life of the state. */
int mp_codec_stays(lua_State *L);

/* Encodes the n values at stack positions first .. first+n-1 as one message.
 * Raises "CALL: cannot send a coroutine (at .jobs[3].co)" for what cannot
 * travel; nothing is shared then. The stack is left as it was. */
void mp_encode(lua_State *L, mp_codec *c, int first, int n, const char *call, mp_encoded *out);

/* Pushes the values of a message and returns how many. Raises "CALL: ..." on
 * bytes that are no message; never reads outside data[0..len), never
 * allocates more than the input justifies. */
int mp_decode(lua_State *L, mp_codec *c, const void *data, size_t len, int flags, const char *call);

/* The same; if one of the values is a stretch with a place, its
 * elements go there in the list at stack index into, and it is that list. What
 * of a message that is refused was read before stays in it. */
int mp_decode_into(lua_State *L, mp_codec *c, const void *data, size_t len, int flags,
                   int into, const char *call);

/* The same, but bytes that are no message, or that hold what flags refuse,
 * give -1 and the reason on top of the stack. Still raises for want of memory
 * and whatever push_handle raises. */
int mp_decode_try(lua_State *L, mp_codec *c, const void *data, size_t len, int flags);

#endif
