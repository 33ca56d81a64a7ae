-- stream: an open file that is read as it comes, until the flow stops.
-- SPDX-License-Identifier: MIT
--
-- stream.open(name, path, ctx) -> stream, stream.of(name, path, file, ctx)
--   stream:read(most) -> text, not empty | nil: it has ended, or the flow stops
--   stream:lines(each)   each(text, offset): whole lines; only the last text may
--                        end without a newline
--   stream:seek(offset)
--   stream:close()
--   stream.regular       it has a length, and can be read again

local core = require "mp.core"

local stream = {}
stream.__index = stream

local BLOCK <const> = 1 << 16
local SLICE <const> = 0.2            -- a stop is noticed after this many seconds

function stream.of(name, path, file, ctx)
  local about = core.stat(file)
  return setmetatable({ name = name, path = path, file = file, ctx = ctx,
                        regular = about and about.kind == "file" }, stream)
end

function stream.open(name, path, ctx)
  local file, err = io.open(path, "rb")
  if not file then error(("%s: cannot open %s"):format(name, err), 0) end
  return stream.of(name, path, file, ctx)
end

function stream:seek(offset)
  if not self.regular then
    error(("%s: what was read of %s cannot be read again"):format(self.name, self.path), 0)
  end
  self.file:seek("set", offset)
end

function stream:close() self.file:close() end

-- Waits for something to read; false when the flow stops.
local function wait(self)
  local ctx, seconds = self.ctx, 0
  while not ctx.stopping do
    if self.regular then return true end
    local fine, ready = pcall(core.wait, { self.file }, seconds)
    if not fine and not tostring(ready):find "is not open$" then error(ready, 0) end
    if not fine or #ready > 0 then return true end    -- reading says what is wrong
    ctx.idle()
    seconds = SLICE
  end
  return false
end

function stream:read(most)
  if not wait(self) then return nil end
  local text, why = core.read(self.file, most)
  if text or why == "end" then return text end
  error(("%s: cannot read %s: %s"):format(self.name, self.path, why), 0)
end

function stream:lines(each)
  local begun, offset = {}, 0        -- parts of a line whose end has not come
  local function give(text)
    each(text, offset)
    offset = offset + #text
  end
  while true do
    local text = self:read(BLOCK)
    if not text then break end
    local last = text:match "^.*()\n"
    if last then
      begun[#begun + 1] = text:sub(1, last)
      give(table.concat(begun))
      begun = { last < #text and text:sub(last + 1) or nil }
    else
      begun[#begun + 1] = text
    end
  end
  if #begun > 0 and not self.ctx.stopping then give(table.concat(begun)) end
end

return stream
