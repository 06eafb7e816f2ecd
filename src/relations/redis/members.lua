-- Fields are an entity's members: where the position of one begins, counted from 1.
local function position_at(field) return #field == 16 and 1 or 17 end
