/* runtime: an arena, this process's place in it, and the keeper.
 *
 * One per opened runtime and process, and one for each thread that is an actor
 * (thread.h); a forked child keeps using its copy of the struct, re-entered as
 * the child's actor. No Lua here.
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_RUNTIME_H
#define MP_RUNTIME_H

#include <sys/types.h>

#include "../shm/object.h"

/* A child that this process started and has not reaped yet: until then its
 * pid cannot be another's. */
typedef struct mp_child {
	mp_handle h;
	mp_aid aid;
	pid_t pid;
	int fd;                    /* pidfd, -1: not opened yet */
	bool daemon;
} mp_child;

/* A descriptor that was given out for a process's end. */
typedef struct mp_sentinel {
	mp_handle h;
	int fd;
} mp_sentinel;

typedef struct mp_runtime {
	mp_shm shm;
	mp_self self;              /* the actor of the thread that this view is for */
	pid_t pid;                 /* whose copy this is: another getpid() means a foreign fork */
	uint32_t forks;            /* mp_forks then: the same question without a system call */
	bool owner;                /* this process opened it */
	bool standalone;           /* it is mprun: subreaper, SIGINT is ours */
	pid_t keeper;              /* owner only */
	mp_aid keeper_aid;
	bool ending;               /* the script is over, its children are joined */
	bool closing;              /* the others are ended by force: who waits does not matter */
	int64_t waiting;           /* begin of the last wait that the keeper was told of */
	char *deadlock;            /* a report that waits to be told, NULL: none (deadlock.h) */
	bool unclean;              /* ends inside a call of ours: blocks may be in its name */
	uint64_t process;          /* handle of this process's object */
	struct mp_threads *threads; /* what all views of this process share (thread.h) */
	struct mp_thread *thread;  /* this is a thread's view; NULL: the first one's */

	mp_child *children;
	uint32_t nchildren, children_cap;
	mp_sentinel *sentinels;
	uint32_t nsentinels, sentinels_cap;
	struct mp_command *commands; /* that run (command.h) */
	int orphans[2];            /* pipe: the keeper tells a subreaper whom to reap; -1: none */

	/* Hooks of the floors above; any may be NULL. */
	void (*before_sleep)(void *ud);
	int (*interrupted)(void *ud);
	void (*poked)(void *ud);       /* in a signal handler: this thread is asked to end */
	void (*child_exit)(void *ud);  /* run by an orderly end before the actor is left */
	void *ud;
} mp_runtime;

typedef struct mp_runtime_config {
	uint64_t memory;           /* bytes, 0: default */
	uint32_t processes;        /* 0: 1024 */
	bool standalone;
} mp_runtime_config;

/* Opens a runtime: arena, slot, process object "main", keeper. 0 or -errno,
 * *why names the limit or call that refused. The struct must stay where it
 * is until it is closed. */
int mp_runtime_open(mp_runtime *rt, const mp_runtime_config *cfg, const char **why);
/* The owner's orderly end: ends every other process (SIGTERM, after grace
 * seconds SIGKILL), then the keeper, and unmaps. In a process that is not the
 * owner it only unmaps. Threads that do not end within grace are left behind,
 * with the mapping. */
void mp_runtime_close(mp_runtime *rt, double grace);
/* Tells the keeper to look again (a process started, memory was claimed). */
void mp_runtime_poke(mp_runtime *rt);
/* Starts the keeper, or another if it died. Owner only. */
int mp_runtime_keep(mp_runtime *rt);

/* Is this copy its process's own? false: it was forked behind our back and
 * must not touch the arena. */
extern uint32_t mp_forks;
static inline bool mp_runtime_mine(const mp_runtime *rt) { return rt->forks == mp_forks; }

/* For process.c: makes a copy the forked child's. */
void mp_runtime_become(mp_runtime *rt);
/* Closes the descriptors that a view has of its own. */
void mp_runtime_close_fds(mp_runtime *rt);
void mp_runtime_hooks(mp_runtime *rt);
/* Reaps what ended: own children that are known to have, and orphans. */
void mp_runtime_reap(mp_runtime *rt);

#endif
