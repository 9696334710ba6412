-- Replays prepared requests, in turn and from the start again. Arguments: the file that has them, separated by zero
-- bytes, and, when each request is to carry a number of its own in place of every @@@@@@@@, the first of them.
local requests, first, place = {}, nil, 0

function init(arguments)
    for one in string.gmatch(assert(io.open(arguments[1], "rb")):read("*a"), "[^%z]+") do
        requests[#requests + 1] = one
    end
    first = tonumber(arguments[2])
end

function request()
    place = place + 1
    local one = requests[(place - 1) % #requests + 1]
    if first then
        one = string.gsub(one, "@@@@@@@@", string.format("%08x", first + place))
    end
    return one
end

function done(summary)
    local errors = summary.errors
    io.write(string.format("bench requests=%d us=%d connect=%d read=%d write=%d status=%d timeout=%d\n",
        summary.requests, summary.duration, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
