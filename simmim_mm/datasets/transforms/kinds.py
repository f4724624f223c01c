"""Kinds of reasons why a file is not used, by which summaries group them."""

from __future__ import annotations

# What may pass: the file is looked for again whenever its turn comes.
MISSING = 'missing'
NO_PERMISSION = 'no permission'
STORAGE = 'storage error'
PASSING = frozenset({MISSING, NO_PERMISSION, STORAGE})

# What is in the file: it is not opened again in that run.
NO_FILE = 'no regular file'
EMPTY = 'empty'
NO_IMAGE = 'no image'
DAMAGED = 'damaged or cut off'
TOO_LARGE = 'too large'
NOT_FINITE = 'values not finite'
UNFIT = 'does not fit the settings'
BLANK = 'blank'

# Of a file that is used all the same.
BLANK_USED = 'blank, used'
