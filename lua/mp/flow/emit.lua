-- emit: the script's word `emit`, which sends on what its stage produces.
-- SPDX-License-Identifier: MIT
--
-- A worker points it at its own outlet; nowhere else does it mean anything.

local emit = { to = nil }

function emit.emit(v)
  local to = emit.to
  if not to then error("emit: only a stage of a running flow can emit", 2) end
  if v ~= nil then to(v) end
end

return emit
