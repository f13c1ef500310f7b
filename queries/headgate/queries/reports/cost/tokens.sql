-- Tokens of generative models, by service, model, outcome and day, from every span that says how many it used.
-- input does not contain what was read from or written to the model's cache; those are cached and stored.
SELECT
    service,
    model,
    outcome,
    period_s,
    count() AS arrivals,
    sum(weight) AS calls,
    sum(weight * (weight - 1)) AS variance,
    sum(weight * greatest(given - from_cache - to_cache, 0)) AS input,
    sum(weight * written) AS output,
    sum(weight * from_cache) AS cached,
    sum(weight * to_cache) AS stored,
    sum(weight * (weight - 1) * pow(greatest(given - from_cache - to_cache, 0), 2)) AS input_variance,
    sum(weight * (weight - 1) * pow(written, 2)) AS output_variance
FROM
(
    SELECT
        ServiceName AS service,
        if(SpanAttributes['gen_ai.response.model'] != '',
            SpanAttributes['gen_ai.response.model'], SpanAttributes['gen_ai.request.model']) AS model,
        if(StatusCode IN ('Error', 'STATUS_CODE_ERROR'), 'error', 'ok') AS outcome,
        roundDown(toUnixTimestamp(Timestamp), {edges:Array(UInt32)}) AS period_s,
        Weight AS weight,
        ifNull(toFloat64OrNull(if(mapContains(SpanAttributes, 'gen_ai.usage.input_tokens'),
            SpanAttributes['gen_ai.usage.input_tokens'], SpanAttributes['gen_ai.usage.prompt_tokens'])), 0) AS given,
        ifNull(toFloat64OrNull(if(mapContains(SpanAttributes, 'gen_ai.usage.output_tokens'),
            SpanAttributes['gen_ai.usage.output_tokens'], SpanAttributes['gen_ai.usage.completion_tokens'])), 0) AS written,
        ifNull(toFloat64OrNull(SpanAttributes['gen_ai.usage.cache_read.input_tokens']), 0) AS from_cache,
        ifNull(toFloat64OrNull(SpanAttributes['gen_ai.usage.cache_creation.input_tokens']), 0) AS to_cache
    FROM {spans:Identifier}
    WHERE (mapContains(SpanAttributes, 'gen_ai.usage.input_tokens')
            OR mapContains(SpanAttributes, 'gen_ai.usage.prompt_tokens')
            OR mapContains(SpanAttributes, 'gen_ai.usage.output_tokens')
            OR mapContains(SpanAttributes, 'gen_ai.usage.completion_tokens'))
        AND Timestamp >= {since:DateTime64(9, 'UTC')}
        AND Timestamp < {until:DateTime64(9, 'UTC')}
        AND ({service:String} = '' OR ServiceName = {service:String})
        AND ({only_operation:String} = '' OR SpanName = {only_operation:String})
        AND (empty({where_keys:Array(String)})
            OR SpanAttributes[{where_keys:Array(String)}[1]] = {where_values:Array(String)}[1]
            OR ResourceAttributes[{where_keys:Array(String)}[1]] = {where_values:Array(String)}[1])
        AND (length({where_keys:Array(String)}) < 2 OR arrayAll(
            (key, value) -> SpanAttributes[key] = value OR ResourceAttributes[key] = value,
            {where_keys:Array(String)}, {where_values:Array(String)}))
)
GROUP BY service, model, outcome, period_s
