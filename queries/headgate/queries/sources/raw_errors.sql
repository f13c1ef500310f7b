-- Which different errors there are among raw uses: what a fingerprint is made of, by the provisional key.
SELECT
    cityHash64(ErrorType, ErrorStack, if(ErrorStack = '', ErrorMessage, '')) AS provisional,
    any(ErrorType) AS error_type,
    any(ErrorStack) AS stack_trace,
    any(if(ErrorStack = '', ErrorMessage, '')) AS message
FROM uses
WHERE Outcome != 'ok'
GROUP BY provisional
