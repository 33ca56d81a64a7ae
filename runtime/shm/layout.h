/* layout: what lies in the arena, word by word.
 *
 * Everything that several processes share is described here or, for the body
 * of an object, in that object's header. Layout: offsets from the arena's
 * start and integers only; each process may map it elsewhere.
 *
 * The five rules all of it keeps:
 *  1. every state change commits with one aligned store or CAS;
 *  2. indices and counts are hints, recovery recomputes them from the truth;
 *  3. every lock, lease, claim and block names its owner in its own word;
 *  4. one idempotent sweep(dead) cleans up after a death; any process may run
 *     it, and may itself be killed in it;
 *  5. every wait is sliced, so no helper process is needed for correctness.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_LAYOUT_H
#define MP_LAYOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/futex.h"

#define MP_MAGIC    UINT64_C(0x6e7572706d616c31)
#define MP_LAYOUT   1u

/* ---- actors -------------------------------------------------------------
 * An actor is a process, or a thread with a slot of its own. Its id (aid) is
 * slot | generation << 12, in 28 bits; the upper four bits of a word that
 * holds an aid are flags. 0 is nobody (slot 0 is never given out). */
typedef uint32_t mp_aid;

#define MP_SLOT_BITS 12
#define MP_GEN_BITS  16
#define MP_AID_MASK  0x0fffffffu
#define MP_MAX_SLOTS (1u << MP_SLOT_BITS)

static inline uint32_t mp_aid_slot(mp_aid a) { return a & (MP_MAX_SLOTS - 1); }
static inline uint32_t mp_aid_gen(mp_aid a) { return (a & MP_AID_MASK) >> MP_SLOT_BITS; }
static inline mp_aid mp_aid_make(uint32_t slot, uint32_t gen)
{
	return slot | (gen & ((1u << MP_GEN_BITS) - 1)) << MP_SLOT_BITS;
}

/* Flags of a lock word. */
#define MP_WAIT      0x80000000u  /* somebody may sleep on it */
#define MP_ORPHAN    0x40000000u  /* free; its last owner died holding it */

/* A slot's state word: phase | generation << 16. */
enum { MP_SLOT_FREE, MP_SLOT_RESERVED, MP_SLOT_LIVE, MP_SLOT_DEAD };
static inline uint32_t mp_slot_word(uint32_t gen, uint32_t phase)
{
	return (gen & ((1u << MP_GEN_BITS) - 1)) << 16 | phase;
}

#define MP_NOBODY    0x7fffffffu  /* no pid is as large */
#define MP_GROUPS    4            /* commands that an actor may run at once */

enum { MP_KIND_PROCESS = 1, MP_KIND_THREAD, MP_KIND_KEEPER };

/* How else an actor is to be woken that watches objects. */
enum { MP_BELL_WAIT = 1,     /* it sleeps in poll() */
       MP_BELL_OBJECT = 2 }; /* descriptors of single objects are given out */

/* What an actor waits for; the record is for deadlock detection and `top`,
 * nothing depends on it. */
enum { MP_W_NONE, MP_W_LOCK, MP_W_GET, MP_W_PUT, MP_W_JOIN, MP_W_EVENT,
       MP_W_MEMORY, MP_W_SLEEP, MP_W_ANY, MP_W_COMMIT, MP_W_QJOIN,
       MP_W_SEMAPHORE, MP_W_CONDITION, MP_W_BARRIER, MP_W_RECV, MP_W_SEND,
       MP_W_OUTSIDE };  /* for a descriptor as well: the world may end it */

typedef struct mp_wait_record {
	_Atomic uint64_t object;   /* handle, 0: none */
	_Atomic int64_t since;     /* CLOCK_MONOTONIC ns */
	_Atomic int64_t deadline;  /* MP_FOREVER: not timed */
	_Atomic uint32_t what;     /* MP_W_*; MP_W_NONE: not waiting */
	_Atomic uint32_t line;     /* of the Lua source; 0: unknown */
	char source[32];           /* its end, cut to fit; a torn text is possible */
} mp_wait_record;

typedef struct mp_slot {
	mp_word state;
	mp_word parent;              /* aid of its creator; != 0: claimed by it */
	/* pid of the process (a thread's: its process), set by one CAS of both
	 * words, so that a late one cannot write into a slot used again. */
	_Alignas(8) mp_word pid;     /* 0: not known yet; MP_NOBODY: revoked */
	mp_word pid_gen;             /* generation of the slot */
	_Atomic uint64_t starttime;  /* /proc/PID/stat field 22; excludes pid reuse */
	_Atomic uint64_t process;    /* handle of its process object, 0: none */
	mp_word doorbell;            /* event count; rung for one that waits on several things */
	mp_word asleep;              /* 1 while in a futex wait of ours */
	mp_word clean;               /* 1: ended in order, holds nothing but handles */
	mp_word daemon;
	mp_word kind;                /* MP_KIND_* */
	mp_word bell;                /* MP_BELL_*: it also listens on a socket (wait) */
	mp_word handlers;            /* signals that have a handler in its script */
	mp_word asked;               /* a thread is to end: generation of the slot << 16 | signal; 0: no */

	_Alignas(64) mp_word commit; /* 1: this actor's transaction has happened */
	mp_word serves;              /* 1: it only looks after others; reports pass over it */
	_Atomic int64_t signalled;   /* CLOCK_MONOTONIC ns: somebody sent it a signal then */
	_Atomic uint64_t groups[MP_GROUPS];  /* mp_group_note of its commands; 0: none */
	uint32_t pad2[4];

	_Alignas(64) mp_wait_record wait;
	_Alignas(64) char name[64];
} mp_slot;
_Static_assert(sizeof(mp_slot) == 256, "slot is four lines");

/* ---- chunks and blocks (arena.h) ---------------------------------------- */
#define MP_CHUNK_SHIFT 16
#define MP_CHUNK       (UINT64_C(1) << MP_CHUNK_SHIFT)
#define MP_BLOCK_ALIGN 64u                        /* unit of a u32 reference */
#define MP_CHUNK_BLOCKS 512u                      /* most blocks in a chunk */

/* Who a block belongs to. tag: 0 free, an aid, or MP_CONTAINER (a word in the
 * arena refers to it). home: offset of that one word, 0 if none yet. */
typedef struct mp_meta {
	mp_word tag;
	uint32_t size;                /* bytes asked for; a hint for readers */
	_Atomic uint64_t home;
} mp_meta;
#define MP_CONTAINER 0xffffffffu

typedef struct mp_chunk {
	_Atomic uint64_t word;        /* kind | aid << 8 | n << 36 */
	mp_word full;                 /* hint: no free block was found */
	uint32_t pad;
} mp_chunk;

/* ---- objects (object.h) -------------------------------------------------- */
typedef struct mp_obj {
	_Atomic uint64_t word;        /* state | type << 8 | generation << 32 */
	_Atomic uint64_t body;        /* offset of the block that holds it */
	mp_word claim;                /* aid of who creates or destroys it */
	mp_word sent;                 /* 0: no message ever listed it; else when (collections) */
	_Atomic uint64_t creator;     /* aid; for reports */
	mp_word left;                 /* 1: who looked into it is to look who is left */
	uint32_t pad[7];
} mp_obj;
_Static_assert(sizeof(mp_obj) == 64, "object entry is one line");

/* ---- the head of the arena ----------------------------------------------- */
typedef struct mp_header {
	uint64_t magic;
	uint32_t layout;
	uint32_t nslots;
	uint64_t size;                /* bytes of address space */
	uint64_t id;                  /* random: tells runtimes apart */
	uint32_t nchunks;
	uint32_t nobjs;
	uint64_t slots, objs, bits, chunks, meta, data;  /* offsets */
	uint32_t ncpu;
	uint32_t words;               /* 64-bit words of one bitmap over the slots */
	unsigned char authkey[32];
	int64_t opened;               /* CLOCK_MONOTONIC ns */

	_Alignas(64) mp_word recovery; /* lock: one sweep at a time */
	mp_word large;                /* lock: runs of chunks */
	mp_word stdio;                /* lock: one whole write to a shared stream */
	mp_word owner;                /* aid of the process that opened it */
	mp_word keeper;               /* aid of the keeper; 0: none */
	mp_word keeper_idle;          /* 1: poke it when memory is claimed */
	mp_word gc;                   /* 1: an object may be garbage */
	mp_word closing;              /* 1: the runtime ends; nobody may start anything */
	mp_word store;                /* lock: the sockets that keep descriptors */

	_Alignas(64) mp_word slots_high;  /* slots ever used lie below */
	mp_word objs_high;
	mp_word chunks_high;
	mp_word objs_hint;            /* no free entry lies below (a hint) */
	mp_word chunks_hint;          /* no free chunk lies below (a hint) */
	mp_word collections;          /* begun so far, twice: see collect.c */
	mp_word bar;                  /* what is known of a bar on the terminal: see stdio.c (a hint) */
	_Atomic int32_t warm;         /* allocated chunks that are free (a hint) */
	mp_word processes;            /* counts process objects: their serial number */

	_Alignas(64) mp_word memory;  /* event count: memory was given back */
	mp_word nudge;                /* signal that brings the owner's script to a safe point; 0: none */
	mp_word waiter;               /* 1: somebody waits for long; the keeper shall look whether in vain */
	_Atomic uint64_t deadlock;    /* mark of the deadlock that the keeper sees; 0: none */
	_Atomic uint64_t told;        /* mark of the last one that the owner reported */
	_Alignas(64) _Atomic int32_t awake;  /* actors not asleep (a hint) */
} mp_header;

#endif
