/* commit: model of runtime/msg/queue_commit.c and of what finishes it. One
 * worker hands an item over from its input to two outputs and may be killed
 * at any step. Beside it a producer appends to one output (and steals its
 * tail), and two sweepers work, the first of which may be killed at any step.
 *
 * At the end either the input is done and each output has the worker's item
 * exactly once, or the input is back and neither has it; and the producer's
 * item is there once in any case.
 *
 * SPDX-License-Identifier: MIT */
#define CELLS 4
#define EMPTY 0
#define READY 1
#define LEASED 2
#define DONE  3

#define W 1   /* worker */
#define P 2   /* producer */
#define S 3   /* first sweeper */
#define T 4   /* second sweeper */

typedef queue { byte latch; byte txn; byte tail; byte tend; byte state[CELLS]; byte what[CELLS] }
queue out[2];
byte input = LEASED;
bool commit = false, dead[5], swept = false;
byte recovery = 0, ended = 0;

/* One step of code after which its mortal actor may be gone. */
#define STEP(me) if :: mortal -> goto killed :: skip fi

inline lock(q, me) {
	atomic { (out[q].latch == 0 || dead[out[q].latch]) -> stolen = (out[q].latch != 0); out[q].latch = me }
}

inline repair(q) {
	fin = (out[q].txn == W && commit);
	i = out[q].tail;
	do
	:: out[q].state[i] == EMPTY && fin && i < out[q].tend -> out[q].state[i] = READY; STEP(me)
	:: out[q].state[i] == EMPTY && !(fin && i < out[q].tend) -> break
	:: else -> i++
	od;
	out[q].tail = i;
	STEP(me);
	out[q].txn = 0;
	STEP(me)
}

proctype worker() {
	bool stolen, mortal = true, fin; byte i, q, me = W;
	for (q : 0 .. 1) {
		lock(q, W);
		STEP(W);
		if :: stolen -> repair(q) :: else fi
	}
	for (q : 0 .. 1) {
		out[q].tend = out[q].tail + 1;
		out[q].txn = W;
		STEP(W);
		out[q].what[out[q].tail] = W;
		STEP(W)
	}
	commit = true;
	STEP(W);
	for (q : 0 .. 1) {
		out[q].state[out[q].tail] = READY;
		STEP(W);
		out[q].tail++;
		STEP(W);
		out[q].txn = 0;
		STEP(W);
		out[q].latch = 0;
		STEP(W)
	}
	input = DONE;
	STEP(W);
	commit = false;
	goto over;
killed:	dead[W] = true;
over:	ended++
}

proctype producer() {
	bool stolen, mortal = false, fin; byte i, me = P;
	lock(0, P);
	if :: stolen -> repair(0) :: else fi;
	out[0].what[out[0].tail] = P;
	out[0].state[out[0].tail] = READY;
	out[0].tail++;
	out[0].latch = 0;
	ended++;
killed:	skip
}

proctype sweeper(byte me; bool mortal) {
	bool stolen, fin; byte i, q;
	if
	:: dead[W]
	:: ended == 2 && !dead[W] -> goto over   /* nothing to sweep */
	fi;
	atomic { (recovery == 0 || dead[recovery]) -> recovery = me }
	STEP(me);
	if
	:: !swept ->
		for (q : 0 .. 1) {
			if
			:: out[q].latch == W || out[q].txn == W ->
				lock(q, me);
				STEP(me);
				if :: stolen -> repair(q) :: else fi;
				out[q].latch = 0;
				STEP(me)
			:: else
			fi
		}
		if
		:: input == LEASED && commit -> input = DONE
		:: input == LEASED && !commit -> input = READY
		:: else
		fi;
		STEP(me);
		commit = false;
		STEP(me);
		swept = true
	:: else
	fi;
	STEP(me);
	recovery = 0;
	goto over;
killed:	dead[me] = true;
over:	skip
}

byte w0, w1, p0, k;
init {
	atomic { run worker(); run producer(); run sweeper(S, true); run sweeper(T, false) }
	_nr_pr == 1;
	for (k : 0 .. (CELLS - 1)) {
		w0 = w0 + (out[0].state[k] == READY && out[0].what[k] == W);
		p0 = p0 + (out[0].state[k] == READY && out[0].what[k] == P);
		w1 = w1 + (out[1].state[k] == READY && out[1].what[k] == W)
	}
	assert(p0 == 1);
	assert(w0 == w1);
	assert((w0 == 1 && input == DONE) || (w0 == 0 && input == READY));
	/* A sweeper that died holding a tail is the next sweep's business. */
	assert((out[0].latch == 0 || dead[out[0].latch]) && (out[1].latch == 0 || dead[out[1].latch]));
	assert(!commit)
}
