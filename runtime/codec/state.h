/* state: what the codec of one Lua state owns, shared by its parts.
 *
 * Everything here outlives a message, so that an error that leaves the middle
 * of one (a longjmp) loses nothing: the next message starts over.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_CODEC_STATE_H
#define MP_CODEC_STATE_H

#include "codec.h"
#include "map.h"

enum {
	MP_SCRATCH_MIN = 16 * 1024,    /* above MP_EXTERNAL: fast paths need no check */
	MP_SCRATCH_KEEP = 1024 * 1024, /* more than this is given back ... */
	MP_SCRATCH_PATIENCE = 16,      /* ... after so many messages that do without */
	MP_EXTERNAL = 4096             /* strings from here on are referred to */
};

typedef enum mp_step { MP_RUN, MP_PAIRS, MP_VALUE, MP_META, MP_UPVALUES, MP_STRETCH } mp_step;

/* A table or function that is being encoded; it lies at Lua stack index base. */
typedef struct mp_frame {
	int64_t first;       /* stretch: the list's element that is its first */
	uint64_t i, n;       /* run, stretch: elements written, to write; upvalues: written */
	uint64_t pairs;
	uint64_t off, pos;   /* of its tag: in the message, in the scratch memory */
	uint64_t patch;      /* where the size goes that only the end shows */
	int base;
	uint8_t step;        /* mp_step */
	uint8_t meta;        /* has a metatable */
} mp_frame;

/* Names by value; see names.h. A name is a chain of nodes; the node's key is
 * the element of that number in a list that Lua keeps. */
typedef struct mp_node {
	uint32_t parent;   /* 0: the key is a module's */
	uint8_t depth;
} mp_node;

typedef struct mp_names {
	mp_map map;             /* address -> off = node; n: is a name */
	mp_node *nodes;         /* from 1 on */
	size_t nnodes, capnodes;
	int keys;               /* registry reference: the list of keys */
	uint64_t fingerprint;   /* of package.loaded, when built; 0 before */
} mp_names;

/* Code of functions sent and received; see code.h. */
enum { MP_CODE_SLOTS = 256, MP_CODE_MAX = 64 * 1024 };

typedef struct mp_sent_code {
	const void *function;  /* only if Lua's weak list has it as well */
	uint8_t *code;
	size_t len, cap;
} mp_sent_code;

typedef struct mp_code_slot {
	uint64_t hash;
	uint8_t *code;
	size_t len;
	int nup;
	int is_factory;
} mp_code_slot;

struct mp_codec {
	const mp_codec_hooks *hooks;
	uint8_t *buf;                   /* scratch: the message without large strings */
	size_t cap;
	mp_part *parts;
	size_t capparts;
	mp_frame *frames;
	size_t capframes;
	uint64_t *handles;
	size_t caphandles;
	mp_map seen;                    /* what this message already holds, and where */
	int big;                        /* more scratch memory than is kept */
	size_t used;                    /* of it, by the last message */
	unsigned idle;                  /* messages since so much was needed */
	mp_names names;
	mp_code_slot codes[MP_CODE_SLOTS];
	mp_sent_code sent[MP_CODE_SLOTS];
	int senders;                    /* registry reference: slot of sent -> function, weak */
	int loaded;                     /* registry reference: slot -> function or factory */
};

/* Reallocates p, of *cap elements, to at least need; raises for want of memory. */
void *mp_grow(lua_State *L, void *p, size_t *cap, size_t need, size_t size);

/* Allocates the scratch memory: for a new codec, and for one that is used by
 * another object's finalizer after its own, while the state closes. */
void mp_codec_wake(lua_State *L, mp_codec *c);

/* While a message is encoded no finalizer may run: it could change the very
 * tables, or send a message of its own. So nothing in there allocates Lua
 * objects; what must (building the names) is called by this, which keeps the
 * collector off. The top value is the argument. */
void mp_call_quietly(lua_State *L, lua_CFunction f, int nresults);

/* mp_encode that refuses handles. */
void mp_encode_plain(lua_State *L, mp_codec *c, int first, int n, const char *call,
                     mp_encoded *out);

#endif
