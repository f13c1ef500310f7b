-- Raw spans of a table that the stock exporter made: the weight is what its trace state says (`ot=th:`),
-- by the rule of our own column (OpenTelemetry tracestate probability sampling: 2^56 / (2^56 - T)).
SELECT
    *,
    if(
        match(TraceState, '(^|,)ot=[^,]*\\bth:[0-9a-f]{1,14}\\b'),
        72057594037927936. / (72057594037927936. - reinterpretAsUInt64(reverse(unhex(
            concat('00', rightPad(extract(TraceState, '(?:^|,)ot=[^,]*\\bth:([0-9a-f]{1,14})\\b'), 14, '0')))))),
        1.) AS Weight
FROM otel_traces
