-- A prelude: how the jobs of a lane stand in Redis.
--
-- A lane is arq's queue: a sorted set of job ids. The score says what a job waits for, in whole numbers of three bands:
--
--   band        score                              the job
--   below 5e11  its deadline, in steps of 10 ms    waits for a worker; a callback waits for its answer
--   below 1e12  5e11 + when enqueued, in steps     waits for a worker; no callback waits: it is a refresh
--   above       when the claim lapses, in ms       is claimed by a worker (or deferred by a stock arq client)
--
-- arq's own worker compares scores with milliseconds: to it, each job that waits is due.
--
-- Each redis.call() costs all clients some microseconds, and so does each number that a script writes or reads as
-- text. A whole number needs no string.format(): redis.call() writes it in full.
local STEP, REFRESHES, CLAIMED = 10, 5e11, 1e12
local BELOW_REFRESHES, BELOW_CLAIMED = '(5e11', '(1e12'

-- arq's keys of a job, before its id: the job, its claim (the channel of its worker; '1' for a stock arq worker), and
-- how often it was begun anew.
local JOB, CLAIM, RETRY = 'arq:job:', 'arq:in-progress:', 'arq:retry:'
local STOCK = '1'

local whole = math.floor

local function awaited_score(deadline) return whole(deadline / STEP) end

local function refresh_score(enqueued) return whole(REFRESHES + enqueued / STEP) end

-- True if a worker listens. Redis knows of a killed worker at once: its connection is closed.
local function listens(worker) return redis.call('PUBSUB', 'NUMSUB', worker)[2] > 0 end

