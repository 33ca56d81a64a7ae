-- file: a file that holds each line once, though its writer be killed at any time.
-- SPDX-License-Identifier: MIT
--
-- Lines wait until a commit; then they are written at once, and the commit says
-- how long the file is (the state).  Whoever takes the place of a dead writer cuts the
-- file back to what the last commit said, or to where the run began, and goes on
-- there.  So nobody else may write to the file meanwhile; if it was renamed or
-- replaced, the new one is not cut.
-- A pipe, a terminal or another device cannot be cut back: what a dead writer
-- had written without a commit comes twice.
--
-- file.ready(name)        a definition's `ready`: params.path can be written; where
--                         it begins is noted in params.begin (params.anew: at 0)
-- file.writer(name, params) -> writer
--   writer:put(text)      text waits
--   writer:flush()        what waits is written; raises, and then it still waits
--   writer:close()        also makes a file into which nothing was put
--   writer.state          see operator; nil for what cannot be cut back

local core = require "mp.core"

local file = {}

local Writer = {}
Writer.__index = Writer

-- Names for whatever a descriptor is; behind them may be a file of somebody else's.
local function is_stream(path)
  return path:find "^/dev/std" or path:find "^/dev/fd/" or path:find "^/proc/"
end

local function beginning(params)
  local about = not params.anew and core.stat(params.path)
  if not about then return { length = 0 } end
  return { length = about.size, inode = about.inode }
end

function file.ready(name)
  return function(params)
    local fine, why = core.writable(params.path)
    if not fine then return nil, ("%s: cannot write %s: %s"):format(name, params.path, why) end
    params.begin = beginning(params)
    return true
  end
end

-- Appends, so that cutting a file back moves the place where the next line goes.
local function open(self)
  local f, err = io.open(self.path, "ab")
  if not f then error(("%s: cannot write %s"):format(self.name, err), 0) end
  f:setvbuf "no"
  self.file = f
  if not self.regular then return end
  local about, base = core.stat(f), self.base
  self.inode, self.length = about.inode, about.size
  if base.length < about.size and (base.inode or about.inode) == about.inode then
    local fine, why = core.truncate(f, base.length)
    if not fine then error(("%s: cannot cut %s: %s"):format(self.name, self.path, why), 0) end
    self.length = base.length
  end
  self.told = self.length
end

function Writer:put(text)
  local n = self.n + 1
  self.n, self.parts[n] = n, text
end

-- A line that was written in part is cut off.
local function failed(self, why)
  if self.regular then core.truncate(self.file, self.length) end
  error(("%s: cannot write %s: %s"):format(self.name, self.path, why), 0)
end

function Writer:flush()
  if self.n == 0 then return end
  if not self.file then open(self) end
  local text = table.concat(self.parts, "", 1, self.n)
  local fine, why = self.file:write(text)
  if not fine then failed(self, why) end
  if self.regular then self.length = self.length + #text end
  self.parts, self.n = {}, 0
end

function Writer:close()
  if not self.file then open(self) end
  local fine, why = self.file:close()
  self.file = nil
  if not fine then error(("%s: cannot write %s: %s"):format(self.name, self.path, why), 0) end
end

local function state_of(self)
  local state = {}

  local function now()
    if not self.file then return { length = self.base.length, inode = self.base.inode } end
    self.told = self.length
    return { length = self.length, inode = self.inode }
  end

  function state.all() return now(), 1 end

  function state.changes()
    if not self.file or self.length == self.told then return nil end
    return now(), 1
  end

  function state.load(value)
    if self.file then self.file:close() end
    self.file, self.base = nil, value
  end

  state.apply = state.load

  -- Where a window ends, the file goes on.
  function state.reset() end

  return state
end

function file.writer(name, params)
  local about = core.stat(params.path)
  local self = setmetatable({ name = name, path = params.path, parts = {}, n = 0,
    regular = (not about or about.kind == "file") and not is_stream(params.path),
    base = params.begin or beginning(params) }, Writer)
  self.state = self.regular and state_of(self) or nil
  return self
end

-- file.op(writer, item) -> op
function file.op(writer, item)
  return { item = item, state = writer.state,
           flush = function() writer:flush() end, close = function() writer:close() end }
end

return file
