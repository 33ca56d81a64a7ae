-- import: the rows of a CSV file into an SQLite table, in batches.
--   DB=cities.db mprun examples/flows/import.lua cities.csv
-- The file has the columns id, name and population. Needs the command sqlite3.

flow[[
  csv(arg[1]) -> batch(500) -> insert -> `sqlite3 -bail "${DB:-cities.db}"`{per=item, retry=2}
    -> rows -> report -> stdout
]]
-- {per=item}: a process for each batch, which gets it as its input.  If it fails it
-- is run again, so a batch may be inserted twice: "or replace" makes that harmless.

local function quote(text)
  return text and "'" .. text:gsub("'", "''") .. "'" or "null"
end

function insert(batch)
  local values = {}
  for i, row in ipairs(batch) do
    values[i] = ("(%s, %s, %s)"):format(quote(row.id), quote(row.name), quote(row.population))
  end
  return [[
    create table if not exists city (id integer primary key, name text, population integer);
    insert or replace into city values ]] .. table.concat(values, ",\n") .. [[;
    select changes();]]
end

rows = fold{ init = 0, add = function(sum, n) return sum + n end }

function report(n) return ("%d rows"):format(n) end
