-- One sort of request of a care-coordination day, sent as fast as wrk's connections go.
-- wrk -t1 -c16 -d8s -s workload.lua http://host:port -- PATH MODE RUN KEYS
--   PATH  the FHIR base's path ("/fhir")
--   MODE  read, search, chain, include, create, update or transaction
--   RUN   a word that tells this run's new identifiers from those of other runs
--   KEYS  a file of the seeded members: "number patient-id plan-id" a line

local path, mode, run
local members = {}
local sent = 0
local headers = { ["Content-Type"] = "application/fhir+json", ["Accept"] = "application/fhir+json" }

local function list(count, format)
  local items = {}
  for i = 1, count do items[i] = format:gsub("#", i) end
  return table.concat(items, ",")
end

local GOALS = list(5, '{"display":"Goal # of the member"}')
local ACTIVITIES = list(8, [[{"detail":{"kind":"ServiceRequest",
  "code":{"coding":[{"system":"http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets","code":"S513#","display":"Home service #"}],
  "text":"Home and community service #"},"status":"in-progress","scheduledPeriod":{"start":"2026-01-01","end":"2026-12-31"},
  "description":"Arrange service # with the provider and ask the member how it goes"}}]])

local function plan(id, identifier, subject)
  return '{"resourceType":"CarePlan",' .. (id and '"id":"' .. id .. '",' or "")
    .. '"text":{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">Service plan of the year</div>"},'
    .. '"identifier":[{"system":"urn:example:plan","value":"' .. identifier .. '"}],"status":"active","intent":"plan",'
    .. '"category":[{"coding":[{"system":"http://hl7.org/fhir/us/core/CodeSystem/careplan-category","code":"assess-plan"}]}],'
    .. '"title":"Service plan","subject":{"reference":"' .. subject .. '"},'
    .. '"period":{"start":"2026-01-01","end":"2026-12-31"},"created":"2025-12-15",'
    .. '"goal":[' .. GOALS .. '],"activity":[' .. ACTIVITIES .. "]}"
end

local function entry(type, resource, full_url)
  return "{" .. (full_url and '"fullUrl":"' .. full_url .. '",' or "")
    .. '"resource":' .. resource .. ',"request":{"method":"POST","url":"' .. type .. '"}}'
end

local function transaction(key)
  local subject = string.format("urn:uuid:7c3b1f0e-52a4-4d0f-8b6e-%012d", sent)
  local about = '"subject":{"reference":"' .. subject .. '"}'
  local entries = {
    entry("Patient", '{"resourceType":"Patient","identifier":[{"system":"urn:example:member","value":"' .. key
      .. '"}],"name":[{"family":"Basalt","given":["Fern"]}],"gender":"female","birthDate":"1950-01-01"}', subject),
    entry("CareTeam", '{"resourceType":"CareTeam","status":"active","name":"HCBS care team",' .. about
      .. ',"participant":[{"role":[{"text":"Case manager"}],"member":{"display":"Hazel Gneiss"},"period":{"start":"2026-01-01"}}]}'),
    entry("CarePlan", plan(nil, key, subject)),
    entry("ServiceRequest", '{"resourceType":"ServiceRequest","status":"active","intent":"order","code":{"text":"Respite care"},'
      .. about .. ',"authoredOn":"2026-01-02"}'),
    entry("Task", '{"resourceType":"Task","status":"requested","intent":"order","for":{"reference":"' .. subject
      .. '"},"authoredOn":"2026-01-02","description":"Call the member"}'),
  }
  for i = 1, 5 do
    entries[#entries + 1] = entry("Goal", '{"resourceType":"Goal","lifecycleStatus":"active","description":{"text":"Goal '
      .. i .. '"},' .. about .. ',"startDate":"2026-01-01","target":[{"dueDate":"2026-06-30"}]}')
  end
  return '{"resourceType":"Bundle","type":"transaction","entry":[' .. table.concat(entries, ",") .. "]}"
end

local requests = {
  read = function(member) return "GET", "/CarePlan/" .. member.plan end,
  history = function(member) return "GET", "/CarePlan/" .. member.plan .. "/_history" end,
  search = function(member) return "GET", "/CarePlan?status=active&subject=Patient/" .. member.patient end,
  chain = function(member) return "GET", "/CarePlan?subject:Patient.identifier=urn:example:member%7C" .. member.key end,
  include = function(member)
    return "GET", "/CarePlan?_include=CarePlan:subject&subject=Patient/" .. member.patient
  end,
  create = function(member, key) return "POST", "/CarePlan", plan(nil, key, "Patient/" .. member.patient) end,
  update = function(member, key)
    return "PUT", "/CarePlan/" .. member.plan, plan(member.plan, key, "Patient/" .. member.patient)
  end,
  transaction = function(_, key) return "POST", "", transaction(key) end,
}

function init(arguments)
  path, mode, run = arguments[1], arguments[2], arguments[3]
  for line in io.lines(arguments[4]) do
    local key, patient, identifier = line:match("(%S+) (%S+) (%S+)")
    members[#members + 1] = { key = key, patient = patient, plan = identifier }
  end
  math.randomseed(os.time())
end

function request()
  sent = sent + 1
  local method, target, body = requests[mode](members[math.random(#members)], run .. "-" .. sent)
  return wrk.format(method, path .. target, headers, body)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"rate": %.1f, "p50": %.2f, "p99": %.2f, "refused": %d, "broken": %d}\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
