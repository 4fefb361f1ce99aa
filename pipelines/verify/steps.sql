-- The steps from entry to entry, as the rows of part_of_ledger stand in their files: what fits into
-- the simple picture of a person who spends by one account, one entry after the other, is passed
-- here, and only the ends of it and what is beside a refund are kept. An entry that does not fit is
-- amiss, which need not be wrong: all of its person's entries are then looked at by arithmetic.sql.
INSERT INTO edge
WITH
given AS (
    SELECT
        *,
        (file << 32) + row AS pos,
        net_spend_after - net_amount AS net_before,
        points_after - points AS points_before
    FROM part_of_ledger
),
-- Nothing is joined before this, so that the rows come in order and none has to be held.
stepped AS (
    SELECT
        *,
        lag(pos) OVER () AS before_pos,
        lag(person_id) OVER () AS before_person,
        lag(service_id) OVER () AS before_service,
        lag(account_id) OVER () AS before_account,
        lag(enrolled_account_id) OVER () AS before_enrolled,
        lag(kind) OVER () AS before_kind,
        lag(occurred_at) OVER () AS before_at,
        lag(entry_seq) OVER () AS before_seq,
        lag(net_spend_after) OVER () AS before_net,
        lag(points_after) OVER () AS before_points,
        lead(pos) OVER () AS next_pos,
        lead(person_id) OVER () AS next_person,
        lead(kind) OVER () AS next_kind
    FROM given
),
placed AS (
    SELECT
        s.*,
        t.run,
        t.run_id AS id_of_run,
        t.booked_on AS day_of_run,
        t.numerator,
        t.denominator,
        service.rounding,
        counted_of(s.net_spend_after, t.cap_yen) AS counted_after,
        counted_of(s.net_before, t.cap_yen) AS counted_before,
        s.row = 1 OR s.person_id IS DISTINCT FROM before_person AS is_first,
        next_pos IS DISTINCT FROM pos + 1 OR s.person_id IS DISTINCT FROM next_person AS is_last,
        s.row <> 1
        AND coalesce(
            pos <> before_pos + 1
            OR s.person_id < before_person
            OR s.person_id = before_person AND s.entry_seq <= before_seq,
            true
        ) AS unsorted
    FROM stepped AS s
    JOIN file_terms AS t USING (file)
    LEFT JOIN service ON service.run = t.run AND service.service_id = s.service_id
),
judged AS (
    SELECT
        *,
        coalesce(
            run_id <> id_of_run
            OR booked_on <> day_of_run
            OR amount NOT BETWEEN 1 AND 100000000
            OR CASE kind
                WHEN 'charge' THEN net_amount <> amount OR original_transaction_id IS NOT NULL
                WHEN 'purchase' THEN net_amount <> amount OR original_transaction_id IS NOT NULL
                WHEN 'refund' THEN original_transaction_id IS NULL OR rounding <> 'cumulative'
                ELSE true
            END
            OR event_id IS NOT NULL
            OR length(transaction_id) NOT BETWEEN 1 AND 64
            OR regexp_matches(transaction_id, '[\x00-\x1f\x7f]')
            OR points_after < 0
            OR points_after * denominator > counted_after * numerator
            OR counted_amount <> counted_after - counted_before
            -- Of one group alone, what was counted of it is what was counted of the person.
            OR CASE rounding
                WHEN 'cumulative' THEN
                    points <> counted_after * numerator // denominator
                    - counted_before * numerator // denominator
                WHEN 'transaction' THEN points <> counted_amount * numerator // denominator
                ELSE rounding <> 'month'
            END
            OR NOT is_first AND (
                service_id <> before_service
                OR account_id <> before_account
                OR enrolled_account_id IS DISTINCT FROM before_enrolled
                OR kind <> before_kind AND 'refund' NOT IN (kind, before_kind)
                OR occurred_at <= before_at
                OR entry_seq <> before_seq + 1
                OR net_before <> before_net
                OR points_before <> before_points
            ),
            true
        ) AS amiss
    FROM placed
)
SELECT
    pos,
    run,
    person_id,
    service_id,
    account_id,
    enrolled_account_id,
    occurred_at,
    kind,
    entry_seq,
    net_before,
    net_spend_after,
    points_before,
    points_after,
    is_first,
    unsorted,
    amiss
FROM judged
WHERE is_first OR is_last OR amiss OR unsorted OR 'refund' IN (kind, before_kind, next_kind)
