/* shm: one process's view of an arena, and one actor in it.
 *
 * Core code takes the actor first and keeps no globals. An mp_self belongs
 * to one thread; after a fork the child makes its own from its slot.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_SHM_H
#define MP_SHM_H

#include <pthread.h>

#include "layout.h"
#include "../base/status.h"

#define MP_CLASSES 10
#define MP_TYPES   24

struct mp_type_ops;

typedef struct mp_shm {
	char *base;
	uint64_t size;
	int fd;                       /* the memfd */
	int keeper_fd;                /* eventfd the keeper polls; -1: none */
	int store[2];                 /* sockets that keep descriptors (fdstore.h); -1: none */
	/* Held by who forks, and by who changes the list of descriptors that a
	 * child is to close: it may be another thread's. NULL: there is none. */
	pthread_mutex_t *fds;
	mp_header *h;
	mp_slot *slots;
	mp_obj *objs;
	mp_chunk *chunks;
	mp_meta *meta;
	const struct mp_type_ops *const *types;  /* [MP_TYPES], NULL where unknown */
} mp_shm;

typedef struct mp_lease {
	uint64_t number;              /* an actor's first lease is 1; 0: a free place */
	uint64_t queue;               /* offset of the queue's body */
	uint64_t cell;                /* offset of the cell */
	uint64_t seg;                 /* offset of its segment */
	uint64_t block;               /* offset of its block, 0: inline */
	uint32_t next;                /* place of the next one in the same chain, 0: none */
	bool kept;                    /* the transaction is without it */
	bool listed;                  /* in txn, kept or not */
} mp_lease;

/* What an actor has leased and not yet finished, by number (queue_lease.c).
 * Places count from 1: at[place - 1]. */
typedef struct mp_leases {
	mp_lease *at;                 /* cap places */
	uint32_t *chains;             /* by number & (cap - 1): the first place, 0: none */
	uint32_t *txn;                /* places leased or claimed since the last commit, in order */
	uint32_t n, ntxn, cap;        /* leases; in txn; places, a power of two or 0 */
	uint32_t used, free;          /* places used ever; the first free one of these, 0: none */
	uint64_t last;                /* number given last */
} mp_leases;

/* One JoinableQueue's items that an actor has got and not finished. */
typedef struct mp_work {
	uint64_t queue;               /* handle */
	mp_lease *items;              /* [first, first + n), oldest first */
	uint32_t first, n, cap;
} mp_work;

typedef struct mp_self {
	mp_shm *shm;
	mp_aid aid;
	mp_slot *slot;
	uint32_t chunk[MP_CLASSES];   /* where this actor allocated last */
	uint32_t pos[MP_CLASSES];
	mp_leases leases;
	mp_work *works;               /* of JoinableQueues; each item counts in held */
	uint32_t nworks;
	uint32_t held;                /* the script's locks and items in work; 0 at the end: a clean end */
	bool counts;                  /* took something that counts: see mp_obj_leave */
	uint32_t starved;             /* memory waits in a row in which everybody waited */
	uint32_t vain, waited;        /* spins without success, of late; waits */
	int spin;                     /* -1: as the load says, else a fixed number of turns */
	int bell;                     /* socket of my waits on descriptors too (bell.h); -1: none yet */
	struct mp_bell *bells;        /* sockets of single objects */
	uint32_t nbells, bells_cap;

	/* Hooks of the floors above; any may be NULL. None is called while a
	 * lock is held. */
	void (*before_sleep)(struct mp_self *me, void *ud);  /* about to sleep: flush, note the source line */
	int (*interrupted)(struct mp_self *me, void *ud);    /* after EINTR and each slice: != 0 ends the wait */
	void (*slice)(struct mp_self *me, void *ud);         /* each ~100 ms asleep */
	void *ud;
} mp_self;

static inline void *mp_at(const mp_shm *s, uint64_t off) { return s->base + off; }
static inline uint64_t mp_off(const mp_shm *s, const volatile void *p)
{
	return (uint64_t)((const volatile char *)p - s->base);
}

/* ---- the mapping (arena.c) ---- */

typedef struct mp_shm_config {
	uint64_t memory;              /* bytes of data at most; 0: from the machine */
	uint32_t processes;           /* actors at most; 0: 1024 */
	const struct mp_type_ops *const *types;
} mp_shm_config;

/* Creates an arena and maps it. 0, or -errno (then *why, if given, says
 * which limit refused). The caller becomes no actor by this: mp_slot_claim. */
int mp_shm_create(mp_shm *s, const mp_shm_config *cfg, const char **why);
void mp_shm_unmap(mp_shm *s);
/* Default of memory: half of the tightest of RAM, cgroup, RLIMIT_AS, RLIMIT_FSIZE. */
uint64_t mp_shm_default_memory(void);
/* Really allocates [off, off+len). 0 or MP_NOMEM. */
int mp_shm_commit(mp_shm *s, uint64_t off, uint64_t len);

static inline void mp_fds_lock(const mp_shm *s)
{
	if (s->fds)
		pthread_mutex_lock(s->fds);
}
static inline void mp_fds_unlock(const mp_shm *s)
{
	if (s->fds)
		pthread_mutex_unlock(s->fds);
}

/* ---- blocks (block.c) ---- */

/* Allocates n bytes, owned by me (tag = me), home noted. The offset, or 0
 * with *rc = MP_NOMEM (full now) or MP_TOOBIG (can never fit). */
uint64_t mp_alloc(mp_self *me, uint64_t n, uint64_t home, int *rc);
/* The same with its n bytes zero: a large one that comes from holes, which
 * are, is not touched for that. */
uint64_t mp_alloc_zeroed(mp_self *me, uint64_t n, uint64_t home, int *rc);
/* Frees a block that is mine (tag = me). */
void mp_free(mp_self *me, uint64_t block);
/* Makes it mine, whoever's it was (a word of mine, protected by a lock or a
 * lease, refers to it). */
void mp_take(mp_self *me, uint64_t block);
/* A word refers to it now: tag me -> CONTAINER, unless somebody took it. */
void mp_settle(mp_self *me, uint64_t block);
void mp_set_home(mp_self *me, uint64_t block, uint64_t home);
/* Usable bytes of a block. */
uint64_t mp_block_size(const mp_shm *s, uint64_t block);
/* Waits until memory was given back since; 0 (try again), MP_TIMEOUT,
 * MP_INTERRUPTED, or -ENOMEM: for two seconds every process has been waiting
 * without a deadline, so nobody is left who could free any. */
int mp_memory_wait(mp_self *me, int64_t deadline);
/* Gives empty chunks back; keep: warm chunks that may stay. Returns chunks freed. */
uint32_t mp_trim(mp_self *me, uint32_t keep);
/* Bytes in blocks / really allocated for data. By a scan: slow, exact when idle. */
typedef struct mp_usage { uint64_t blocks, nblocks, allocated, limit, objects, actors; } mp_usage;
void mp_usage_of(mp_shm *s, mp_usage *u);
/* Sweep's part: blocks and chunks of a dead actor. */
void mp_blocks_sweep(mp_self *me, mp_aid dead);

/* ---- actors (slot.c) ---- */

/* Claims a slot for a new actor of that kind, in phase RESERVED, parent me
 * (0 for the first). The aid, or 0: all are used. */
mp_aid mp_slot_reserve(mp_shm *s, mp_aid parent, uint32_t kind);
/* RESERVED -> LIVE by the new actor itself; fills *me. false: revoked
 * meanwhile (the creator died), the caller must end. */
bool mp_slot_enter(mp_shm *s, mp_aid aid, mp_self *me);
/* Notes the pid of a slot that is not entered yet: by its process, by its
 * creator, or (MP_NOBODY) by who revokes it. true: it is that now. */
bool mp_slot_set_pid(mp_shm *s, mp_aid aid, uint32_t pid);
/* Gives back a slot that was never entered. */
void mp_slot_cancel(mp_shm *s, mp_aid aid);
/* Is it known to be dead, or gone? No system call. */
bool mp_gone(const mp_shm *s, mp_aid aid);
/* Asks the system; marks it DEAD if so. true: dead. About 4 us. */
bool mp_probe(mp_shm *s, mp_aid aid);
/* LIVE or RESERVED -> DEAD, if it is that generation. */
bool mp_slot_kill(mp_shm *s, mp_aid aid);
/* The last step of a sweep: DEAD -> FREE, next generation. */
void mp_slot_free(mp_shm *s, mp_aid aid);
/* LIVE -> FREE by the actor itself, which holds nothing any more: nothing of
 * it needs a sweep. Only for one that ends before its process does. */
void mp_slot_leave(mp_shm *s, mp_aid aid);
/* Kills what is left of the commands of one that is dead, or of all. */
void mp_slot_kill_groups(mp_slot *sl);
void mp_slots_kill_groups(mp_shm *s);
static inline mp_slot *mp_slot_of(const mp_shm *s, mp_aid aid) { return &s->slots[mp_aid_slot(aid)]; }
/* The aid that a slot has now, whatever its phase. */
mp_aid mp_slot_aid(const mp_shm *s, uint32_t slot);
uint32_t mp_slot_phase(const mp_shm *s, mp_aid aid);   /* MP_SLOT_FREE if another generation */

/* Makes the keeper look again (a process started, memory was claimed). */
void mp_wake_keeper(mp_shm *s);

/* ---- sweep (sweep.c) ---- */

/* Cleans up after a dead actor: nothing it held stays held. Idempotent, safe
 * to run by several at once and to be killed in. Call with no lock held.
 * Returns true if the slot was freed by this call. */
bool mp_sweep(mp_self *me, mp_aid dead);
/* Probes every actor, sweeps the dead. The process floor has its own
 * (mp_process_look), which also notes how they ended. */
void mp_sweep_all(mp_self *me);

#endif
