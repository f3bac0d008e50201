-- Try what every script of ours does: write, read a key of arq's, publish, and ask who listens.
--
-- KEYS
--   probe       string: written, and deleted
--   job         a key as arq names its jobs; there is none
-- ARGV
--   channel     nobody listens on it
-- Reply 1
local probe, job = unpack(KEYS, 1, 2)
local channel = unpack(ARGV, 1, 1)
redis.call('SET', probe, '1', 'PX', 1000)
redis.call('DEL', probe)
redis.call('EXISTS', job)
redis.call('PUBLISH', channel, '')
redis.call('PUBSUB', 'NUMSUB', channel)
return 1
