-- hand_on: results at the end of input, one after the other.
-- SPDX-License-Identifier: MIT
--
-- hand_on(list, n, out, [gone], [mark]): out(list[i]) for all n but the first
-- `gone`; mark(i) says from time to time that i have gone, for a commit.

local MARK_EVERY <const> = 256

return function(list, n, out, gone, mark)
  for i = (gone or 0) + 1, n do
    out(list[i])
    if mark and i % MARK_EVERY == 0 then mark(i) end
  end
end
