-- Words that all the statements share.

-- Rounded toward minus infinity, which division is not.
CREATE MACRO worth(counted, numerator, denominator) AS
    (counted * numerator - ((counted * numerator % denominator) + denominator) % denominator)
    // denominator;

CREATE MACRO counted_of(net, cap) AS greatest(0, least(net, cap));

-- A place in time is twice a run's number, as of its events, and one more as of its end. Later
-- than every place in time:
CREATE MACRO forever() AS 1152921504606846976;

CREATE MACRO counts_from(how, applied_at) AS
    CASE how
        WHEN 'instant' THEN applied_at
        WHEN 'application_day' THEN date_trunc('day', applied_at)
        ELSE date_trunc('day', applied_at) + INTERVAL 1 DAY
    END;

CREATE MACRO basis_of(of_service, chosen) AS
    CASE of_service WHEN 'either' THEN coalesce(chosen, '') ELSE of_service END;

CREATE MACRO key_of(service_id, transaction_id) AS hash(service_id, transaction_id);

-- The first and the last entry of each person in a file, refunds and what is beside them, and every
-- entry that is amiss.
CREATE TABLE edge (
    pos BIGINT,
    run BIGINT,
    person_id VARCHAR,
    service_id VARCHAR,
    account_id VARCHAR,
    enrolled_account_id VARCHAR,
    occurred_at TIMESTAMP,
    kind VARCHAR,
    entry_seq BIGINT,
    net_before BIGINT,
    net_spend_after BIGINT,
    points_before BIGINT,
    points_after BIGINT,
    is_first BOOLEAN,
    unsorted BOOLEAN,
    amiss BOOLEAN
)
