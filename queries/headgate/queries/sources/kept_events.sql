-- Events of the window, thinned to the people that were kept throughout: those whose hash is at least the largest
-- threshold that was in force in it (sampling_history). They are an exact Bernoulli sample of people; Weight is what a
-- row then stands for, Draw what was kept or dropped as one: the person, or the trace where only traces were sampled
-- before they came here.
WITH 72057594037927936 AS whole
SELECT
    * EXCEPT (Weight),
    Person,
    notEmpty(SessionId) AS HasSession,
    UpstreamWeight * whole / (whole - {events_threshold:UInt64}) AS Weight,
    if({events_threshold:UInt64} = 0 AND TraceId != '', cityHash64(TraceId), intHash64(Person)) AS Draw,
    arrayMap(
        bit -> if(bitTest(Draw, bit), 1., -1.) * sqrt(Weight * (Weight - 1)),
        range(if(Weight > 1, 64, 0))) AS Noise
FROM events
WHERE bitAnd(Person, 0x00FFFFFFFFFFFFFF) >= {events_threshold:UInt64}
    AND Timestamp >= {since:DateTime64(9, 'UTC')}
    AND Timestamp < {until:DateTime64(9, 'UTC')}
