/* word: which bytes belong to one.
 *
 * SPDX-License-Identifier: MIT */
#include "word.h"

const uint8_t mp_word_byte[256] = {
	['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['_'] = 1, ['a' ... 'z'] = 1, [0x80 ... 0xFF] = 1,
};
