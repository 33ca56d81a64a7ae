/* killer: an actor that is stepped instruction by instruction, and killed.
 *
 * kl_spawn forks an actor that stops in front of its operation. Stepping is
 * slow where a debug exception leaves the virtual machine (20 us), so an
 * operation is stepped once, to learn its path and after which instructions
 * the arena has changed; kl_go then takes others to the same place by
 * breakpoints. There it is killed, or let run on after others ran in between.
 *
 * A scene describes one operation and how to account for it; kl_scene plays
 * it many times: killed at every point that shared memory can tell from the
 * next (it steps once through the operation to learn after which instructions
 * the arena has changed; a kill anywhere between two changes leaves the same
 * memory), or, with MP_PROVE=1, after every single instruction. Each time a
 * survivor accounts, in three ways: swept first; used first, so that it
 * steals what the dead held; found dead by asking the system. Then the same
 * with the sweeping or using process killed as well, and with the actor not
 * killed but paused while another uses the structure (races of the living).
 *
 * SPDX-License-Identifier: MIT */
#ifndef MP_TEST_KILLER_H
#define MP_TEST_KILLER_H

#include "harness.h"

enum { KL_NOTES = 256 };

/* Outside the arena, shared by all. */
typedef struct kl_ctl {
	volatile uint32_t phase;        /* 1 in the operation, 2 it returned */
	volatile uint32_t free;         /* nobody traces it any more */
	volatile uint32_t n;            /* of notes */
	volatile uint64_t note[KL_NOTES];
	volatile uint64_t reported;     /* free for the operation's use */
} kl_ctl;

typedef struct kl {
	pid_t pid;
	mp_aid aid;
	kl_ctl *ctl;
	unsigned long steps;
	bool done;                      /* the operation returned */
	bool reaped;
} kl;

typedef void kl_op(mp_self *me, kl_ctl *ctl);

/* Can this machine do it? false: skip. */
bool kl_works(void);

/* i < 8; in a scene 0 is the first actor's, 1 the second's, 7 the survivor's. */
kl_ctl *kl_ctl_get(unsigned i);
/* Adds a note. */
void kl_note(kl_ctl *ctl, uint64_t v);
void kl_spawn(kl *k, mp_self *me, unsigned ctl, kl_op *op);
void kl_step(kl *k, unsigned long n);
void kl_kill(kl *k);
/* Lets it run; it ends by itself when the operation returned. */
void kl_resume(kl *k);
/* Did a resumed actor end within ns? */
bool kl_ended(kl *k, int64_t ns);

/* A path: where it is after each number of steps, and after which numbers of
 * steps the arena had changed (0 and the last included). */
typedef struct kl_path {
	uint64_t *pc;
	unsigned long steps;
	unsigned long *point;
	unsigned npoints;
} kl_path;

/* Steps to the end. */
void kl_record(kl *k, mp_self *me, kl_path *p);
void kl_forget(kl_path *p);
/* To where the recorded one was after n steps; if this one takes another
 * path, to its end. */
void kl_go(kl *k, const kl_path *p, unsigned long n);

typedef struct kl_fate {
	bool done;           /* the first actor's operation returned */
	bool alive;          /* it was paused only, not killed */
	bool used;           /* use() was called, by the survivor */
	bool used_first;     /* ... before the dead was swept */
	bool second;         /* use() or a sweep ran in a second actor ... */
	bool second_done;    /* ... and returned */
	bool second_used;    /* ... and it was use() */
} kl_fate;

typedef struct kl_scene {
	const char *name;
	void (*setup)(mp_self *me);   /* before each trial */
	kl_op *op;                    /* what the first actor does */
	kl_op *use;                   /* what a survivor does with the structure */
	void (*check)(mp_self *me, const kl_fate *f);  /* accounts, drops all */
	bool long_use;                /* use takes too long to be stepped */
} kl_scene;

/* For scenes that need nothing before, or that leave nothing to account for. */
void kl_no_setup(mp_self *me);
void kl_no_check(mp_self *me, const kl_fate *f);
/* For an op: the creator lets go of h, then this child, which inherited it and
 * is the last one. */
void kl_drop_last(mp_self *me, mp_handle h);
/* Numbers that came out, each at most once: seen[n], from 1. */
void kl_tally(unsigned char *seen, uint64_t n, uint64_t id);
/* How many of from .. from + n - 1 did. */
uint32_t kl_present(const unsigned char *seen, uint32_t from, uint32_t n);

typedef struct kl_count {
	unsigned long scenes, kills, second, pauses, steps, strayed;
} kl_count;
extern kl_count kl_counted;

/* Plays a scene, for about so many seconds (MP_PROVE: as long as it takes). */
void kl_play(mp_self *me, const kl_scene *s, double seconds);
void kl_summary(char *text, size_t n);

/* A whole test: all its scenes, each for about so many seconds. */
typedef struct kl_plan {
	const kl_scene *scenes;
	size_t n;
	double seconds;
	void (*more)(mp_self *me);    /* NULL, or what comes after the scenes */
	uint64_t memory;              /* of the arena; 0: 2 MiB */
	unsigned deadline;            /* of a short run, in seconds; 0: 90 */
} kl_plan;

#define KL_SCENES(a) .scenes = (a), .n = sizeof (a) / sizeof *(a)

/* The main of such a test, with an arena and ballast of its own: the exit
 * status. H_SKIP where stepping does not work. */
int kl_main(const kl_plan *plan);

#endif
