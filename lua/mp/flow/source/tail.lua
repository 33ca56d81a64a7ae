-- tail: the source of the lines that are appended to a file, as `tail -n 0 -F`.
-- SPDX-License-Identifier: MIT
--
-- tail(path, {from = "end" | "start"})
-- It begins with what is written once the flow runs ("end"; also a line that has
-- begun by then, whole), or with what is there.  A file that is not there yet is waited
-- for.  A file that becomes shorter is read from its start; one that was renamed or
-- removed, to its end, and then the new one of that name.  Lines are whole; only a
-- file that is renamed may end without a newline.
-- It ends when the flow is stopped.  A mark is {inode, offset}: where a rotated file
-- is by now is found by its inode.

local core = require "mp.core"
local suggest = require "mp.flow.suggest"

local tail = { role = "source", pool = "one", resumes = function() return true end }

local BLOCK <const> = 1 << 16
local PAUSE <const> = 0.1            -- seconds between looks at a file that does not grow

-- arguments --------------------------------------------------------------------

local USE <const> = [['tail' expects a path: tail("x.log") or tail("x.log", {from="start"})]]

function tail.arguments(list)
  local path, options = list[1], list[2]
  if type(path) ~= "string" or list.n > 2 or options ~= nil and type(options) ~= "table" then
    return nil, USE
  end
  for name in pairs(options or {}) do
    if name ~= "from" then
      local hint = suggest.hint(tostring(name), { "from" })
      return nil, ("'tail' has no option '%s'%s"):format(tostring(name), hint and " (" .. hint .. ")" or "")
    end
  end
  local from = options and options.from or "end"
  if from ~= "end" and from ~= "start" then return nil, [['tail': from is "end" or "start"]] end
  return { path = path, from = from }
end

-- Behind the last newline before `size`, if that is not far away.
local function line_begin(file, size)
  local from = math.max(0, size - BLOCK)
  file:seek("set", from)
  local text = file:read(size - from) or ""
  local nl = text:match "^.*()\n"
  return nl and from + nl or from == 0 and 0 or size
end

-- Where to begin: the mark, {} if there is no file yet | nil, message
local function beginning(params)
  local about, why = core.stat(params.path)
  if not about then
    local folder = params.path:match "^(.*/)[^/]*$" or "."
    if core.stat(folder) then return {} end
    return nil, ("tail: cannot open %s: %s"):format(params.path, why)
  end
  if about.kind ~= "file" then
    return nil, ("tail: %s is no file that grows, but a %s%s"):format(params.path, about.kind,
      about.kind == "fifo" and " (lines reads it)" or "")
  end
  local file, err = io.open(params.path, "rb")
  if not file then return nil, ("tail: cannot open %s"):format(err) end
  local offset = params.from == "start" and 0 or line_begin(file, about.size)
  file:close()
  return { about.inode, offset }
end

-- What is appended from here on is this flow's, even if its first worker dies
-- before it has committed anything.
function tail.ready(params)
  local why
  params.begin, why = beginning(params)
  return params.begin and true, why
end

-- A file as it grows ------------------------------------------------------------

-- { path, ctx, out, file, inode, offset = of the line that comes next,
--   parts = of that line, read = bytes in them }
local Tail = {}
Tail.__index = Tail

function Tail:open(path, offset)
  local file, err, code = io.open(path, "rb")
  if not file then return nil, err, code end
  if self.file then self.file:close() end
  self.file, self.inode = file, core.stat(file).inode
  self:go_to(offset)
  return true
end

function Tail:go_to(offset)
  self.offset, self.parts, self.read = offset, {}, 0
  self.file:seek("set", offset)
end

-- Emits a line, of that length in the file.
function Tail:emit(line, length)
  self.offset, self.read = self.offset + length, 0
  self.out(line, nil, { self.inode, self.offset })
end

function Tail:lines(text)
  local nl, at = text:find("\n", 1, true), 1
  if nl and self.read > 0 then
    local length = self.read + nl
    self.parts[#self.parts + 1] = text:sub(1, nl - 1)
    local line = table.concat(self.parts)
    self.parts = {}
    self:emit(line, length)
    at = nl + 1
    nl = text:find("\n", at, true)
  end
  while nl and not self.ctx.stopping do
    self:emit(text:sub(at, nl - 1), nl - at + 1)
    at = nl + 1
    nl = text:find("\n", at, true)
  end
  if at <= #text then
    self.parts[#self.parts + 1] = text:sub(at)
    self.read = self.read + #text - at + 1
  end
end

-- Reads what is there; false if that is nothing.
function Tail:grown()
  local text, why = core.read(self.file, BLOCK)
  if text then
    self.other = false
    self:lines(text)
    return true
  end
  if why ~= "end" then error(("tail: cannot read %s: %s"):format(self.path, why), 0) end
  if core.stat(self.file).size < self.offset + self.read then
    self:go_to(0)
    return true
  end
  return false
end

-- The file of that name is another one by now, and was when we looked before: then
-- nobody writes to the old one any more.  Goes on with the new one; false: it is not.
function Tail:rotated()
  local about = core.stat(self.path)
  local other = about ~= nil and about.inode ~= self.inode
  if not other or not self.other then
    self.other = other
    return false
  end
  if self.read > 0 then
    local line = table.concat(self.parts)
    self.parts = {}
    self:emit(line, self.read)
  end
  self.other = false
  return self:open(self.path, 0) or false
end

-- The file with that inode, under its name or under one that begins with it.
local function find_inode(path, inode)
  local pattern = path:gsub("[%*%?%[\\]", "\\%0") .. "*"
  for _, name in ipairs(core.glob(pattern) or {}) do
    local about = core.stat(name)
    if about and about.inode == inode then return name, about.size end
  end
end

-- Opens what the mark means; false: it is not there (yet).
function Tail:begin(mark)
  local name, size
  if mark[1] then name, size = find_inode(self.path, mark[1]) end
  if name then return self:open(name, size < mark[2] and 0 or mark[2]) or false end
  if mark[1] then
    self.ctx.log(("%s is another file now; what else was written to the old one is not seen"):format(self.path))
  end
  return self:open(self.path, 0) or false
end

function tail.produce(params, ctx, out, resume)
  local self = setmetatable({ path = params.path, ctx = ctx, out = out, other = false }, Tail)
  local begin = resume or params.begin
  if not begin then
    local why
    begin, why = beginning(params)
    if not begin then error(why, 0) end
  end
  if not self:begin(begin) then ctx.log("waiting for " .. self.path) end
  while not ctx.stopping do
    local busy
    if self.file then busy = self:grown() or self:rotated() else busy = self:open(self.path, 0) end
    if not busy and ctx.sleep(PAUSE) == false then break end
  end
  if self.file then self.file:close() end
end

return tail
