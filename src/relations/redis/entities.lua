-- Fields are a holder's entries: where the position of one begins, counted from 1.
local function position_at() return 1 end
