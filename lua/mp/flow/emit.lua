-- emit: the script's word `emit`, which sends on what its stage produces.
-- SPDX-License-Identifier: MIT
--
-- A worker points it at what its stage feeds; nowhere else does it mean anything.

local emit = { to = nil }

-- emit(v [, label [, { mark = … }]]): v nil is nothing; the label is for (x: … | y: …)
-- behind the stage, the mark is from where a source with replay=mark goes on.
function emit.emit(v, label, options)
  local to = emit.to
  if not to then error("emit: only a stage of a running flow can emit", 2) end
  if options ~= nil and type(options) ~= "table" then
    error(("emit: options such as {mark = 7} expected, got %s"):format(type(options)), 2)
  end
  if v ~= nil then to(v, label, options and options.mark) end
end

return emit
