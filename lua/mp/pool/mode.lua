-- mode: what the two sides of a pool's messages agree upon.
--
-- SPDX-License-Identifier: MIT

return {
  -- bits of a chunk's mode
  AUTO = 1,    -- the pool chose its size: a worker may share it with others
  STAR = 2,    -- each item is a list of arguments
  ALONE = 4,   -- not a list of items but one item

  CONTROL = 1, -- the id of what is no result: see supervisor.lua

  LOST = true, -- in a chunk's errors: a worker died with this item

  -- the key of a pool's shared code under which it says that a task is not to
  -- be begun again
  cancelled = function(id) return -id end,
}
