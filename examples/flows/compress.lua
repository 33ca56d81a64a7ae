-- compress: each file of a folder through a shell command, one per processor.
--   mprun examples/flows/compress.lua 'logs/*.log'
-- What is compressed already is left alone, so it can be interrupted and run again.

flow[[
  files(arg[1]) -> undone
    -> `gzip -9 < {} > {}.part && mv {}.part {}.gz && echo {}`*cpu{per=item}   -- a shell for each file
    -> saved -> total -> report -> stdout
]]
-- {} is the file's name, whatever characters are in it. The name that others look
-- for appears when the work is done: if gzip is killed, no half of a .gz is left.

local function size(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:seek "end"
end

undone = filter(function(path)
  local done = path:find "%.gz$" or path:find "%.part$" or io.open(path .. ".gz")
  if io.type(done) then done:close() end
  return not done
end)

function saved(path)   -- what the command printed
  return { before = size(path), after = size(path .. ".gz") }
end

total = fold{
  init = function() return { files = 0, before = 0, after = 0 } end,
  add = function(sum, item)
    return { files = sum.files + 1, before = sum.before + item.before, after = sum.after + item.after }
  end,
}

function report(sum)
  return ("%d files: %d bytes are %d now"):format(sum.files, sum.before, sum.after)
end
