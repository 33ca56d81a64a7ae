-- argument: checks of built-in stages' arguments that several of them share.
-- SPDX-License-Identifier: MIT
--
-- Each returns a function(list) -> params | nil, message; list has n.

local argument = {}

function argument.nothing(name)
  return function(list)
    if list.n > 0 then return nil, ("'%s' takes no arguments"):format(name) end
    return {}
  end
end

return argument
