-- Raw uses in the shape of events. Fingerprint is provisional: a key of raw_errors, replaced once that has been read.
SELECT
    * EXCEPT (Failed, Resource, Signs, ErrorStack),
    arrayMap(sign -> sqrt(Weight * (Weight - 1)) * sign, Signs) AS Noise
FROM uses
