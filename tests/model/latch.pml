/* latch: model of runtime/shm/latch.c, with an owner that may be killed at
 * any step: holding it, between the exchange and the wake, or woken and not
 * yet run. Mutual exclusion always, and no survivor may sleep for ever once
 * the sweep has woken the sleepers (there are no slices here).
 *
 * SPDX-License-Identifier: MIT */
#define N 3
#define WAIT 16

byte word = 0;          /* owner (1..N), | WAIT */
bool asleep[N + 1];
bool gone[N + 1];       /* dead, and known to be */
byte inside = 0;        /* living holders */

inline wake_one() {
	atomic {
		if
		:: asleep[1] -> asleep[1] = false
		:: asleep[2] -> asleep[2] = false
		:: asleep[3] -> asleep[3] = false
		:: !asleep[1] && !asleep[2] && !asleep[3]
		fi
	}
}

proctype actor(byte me; bool mortal) {
	byte v; bool got = false, slow = false, owed;
	do
	/* The fast path is for those that have not slept: who was woken takes
	 * over the WAIT bit, for it cannot know who else sleeps. */
	:: atomic { word == 0 && !slow -> word = me }; break
	:: v = word; slow = true;
		if
		:: (v & 15) == 0 || gone[v & 15] ->
			atomic { if :: word == v -> word = me | WAIT; got = true :: else fi }
			if :: got -> break :: else fi
		:: else ->
			if
			:: (v & WAIT) == 0 ->
				atomic { if :: word == v -> word = v | WAIT; got = true :: else fi }
				if :: got -> got = false; v = v | WAIT :: else -> goto again fi
			:: else
			fi;
			atomic { if :: word == v -> asleep[me] = true :: else fi }
			if
			:: !asleep[me]
			:: mortal -> goto killed         /* asleep, or just woken */
			fi
		fi;
again:		skip
	od;
	inside++;
	assert(inside == 1);
	if
	:: mortal -> inside--; goto killed      /* holding it */
	:: inside--
	fi;
	atomic { owed = (word & WAIT) != 0; word = 0 }
	if
	:: mortal -> goto killed                /* before the wake */
	:: if :: owed -> wake_one() :: else fi
	fi;
	goto over;
killed:	atomic { asleep[me] = false; gone[me] = true }
over:	skip
}

/* The sweep after a death: a latch of the dead is freed, sleepers are woken. */
proctype sweeper() {
	byte v;
	do
	:: gone[1] ->
		v = word;
		if
		:: (v & 15) == 1 -> atomic { if :: word == v -> word = 0 :: else fi }
		:: else -> break
		fi
	:: timeout -> goto over
	od;
	atomic { asleep[1] = false; asleep[2] = false; asleep[3] = false }
over:	skip
}

init {
	atomic { run actor(1, true); run actor(2, false); run actor(3, false); run sweeper() }
}
