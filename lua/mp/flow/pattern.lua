-- pattern: is a Lua pattern well formed?  Lua itself says so only when it comes
-- to the place, which depends on the text.  Pure.
-- SPDX-License-Identifier: MIT
--
-- pattern(p) -> nil, or what is wrong with it

local MOST_CAPTURES <const> = 32

local sub, find = string.sub, string.find

-- Behind a set that begins at `at`; nil: it has no end.
local function behind_set(p, at)
  if sub(p, at + 1, at + 1) == "^" then at = at + 1 end
  repeat                          -- a "]" in the first place is one of the set
    at = at + (sub(p, at + 1, at + 1) == "%" and 2 or 1)
    if at > #p then return nil end
  until sub(p, at + 1, at + 1) == "]"
  return at + 2
end

-- Captures: how many there are, and which of them are open.
local function opened(self, position)
  self.n = self.n + 1
  if self.n > MOST_CAPTURES then return "too many captures" end
  if not position then table.insert(self.open, self.n) end
end

local function referred(self, digit)
  local k = tonumber(digit)
  for _, open in ipairs(self.open) do
    if open == k then return ("%%%s stands in the capture itself"):format(digit) end
  end
  if k < 1 or k > self.n then return ("there is no capture %%%s"):format(digit) end
end

-- What begins with "%": where it ends, or nil, and what is wrong.
local function escaped(self, p, at)
  local c = sub(p, at + 1, at + 1)
  if c == "" then return nil, "it ends with '%'" end
  if c == "b" then
    if at + 3 > #p then return nil, "'%b' lacks its two characters" end
    return at + 4
  elseif c == "f" then
    if sub(p, at + 2, at + 2) ~= "[" then return nil, "'%f' lacks its '['" end
    return at + 2
  end
  local wrong = find(c, "^%d") and referred(self, c)
  return not wrong and at + 2 or nil, wrong
end

local step = {}

step["("] = function(self, p, at)
  local position = sub(p, at + 1, at + 1) == ")"
  local wrong = opened(self, position)
  return not wrong and at + (position and 2 or 1) or nil, wrong
end

step[")"] = function(self, _, at)
  if not table.remove(self.open) then return nil, "a ')' without its '('" end
  return at + 1
end

step["["] = function(_, p, at)
  return behind_set(p, at), "a '[' without its ']'"
end

step["%"] = escaped

return function(p)
  local self, at = { n = 0, open = {} }, 1
  while at <= #p do
    local take, after, wrong = step[sub(p, at, at)], at + 1, nil
    if take then after, wrong = take(self, p, at) end
    if not after then return wrong end
    at = after
  end
  if #self.open > 0 then return "a '(' without its ')'" end
end
