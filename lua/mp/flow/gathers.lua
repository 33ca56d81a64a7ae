-- gathers: whether a stage makes new items of those that it takes, so that their
-- order, and what belongs together, begins anew with it.  Pure.
-- SPDX-License-Identifier: MIT

return function(node)
  local spec, def = node.spec, node.spec.def or {}
  return spec.kind == "fold" or spec.kind == "command" and node.options.per ~= "item"
    or def.gathers or def.window or false
end
