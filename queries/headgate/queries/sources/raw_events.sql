-- Raw uses in the shape of events. Fingerprint is provisional: a key of raw_errors, replaced once that has been read.
SELECT
    Timestamp,
    Kind,
    ServiceName,
    Operation,
    Outcome,
    Duration,
    UserId,
    if(UserId = '', 0, xxHash64(UserId)) AS UserHash,
    SessionId,
    notEmpty(SessionId) AS HasSession,
    TraceId,
    SpanId,
    if(Outcome = 'ok', 0, cityHash64(ErrorType, ErrorStack, if(ErrorStack = '', ErrorMessage, ''))) AS Fingerprint,
    ErrorType,
    ErrorMessage,
    Value,
    Attributes,
    Weight,
    Draw,
    arrayMap(sign -> sqrt(Weight * (Weight - 1)) * sign, Signs) AS Noise
FROM uses
