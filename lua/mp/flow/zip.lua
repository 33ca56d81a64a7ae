-- zip: the built-in stage that pairs what came from the same item.
-- SPDX-License-Identifier: MIT
--
-- It has no make: which halves belong together is known to what orders items.

local argument = require "mp.flow.argument"

return {
  zip = { role = "between", pool = "one", zip = true, arguments = argument.nothing "zip" },
}
