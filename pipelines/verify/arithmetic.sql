-- The ledger recalculated from the ledger: no code here is the engine's.
--
-- Given: the tables run, service, excluded, ledger_file and accepted_file, and the views
-- ledger_rows and accepted_rows of the Parquet files.
--
-- Each entry is compared with the entry before it, as the files hold them. What holds from each
-- entry to the next, from nothing to the first, holds for all; and a finding stands where the
-- fault is, and not on every entry after it.

-- Rounded toward minus infinity, which division is not.
CREATE MACRO worth(counted, numerator, denominator) AS
    (counted * numerator - ((counted * numerator % denominator) + denominator) % denominator)
    // denominator;

CREATE MACRO counted_of(net, cap) AS greatest(0, least(net, cap));

-- "pos" is the entry's place in the whole book.
CREATE TABLE entry AS
SELECT
    (r.file << 32) + r.row AS pos,
    f.run,
    r.person_id,
    r.entry_seq,
    r.service_id,
    r.account_id,
    r.transaction_id,
    r.occurred_at,
    r.kind,
    r.amount,
    CASE WHEN r.kind = 'refund' THEN -r.amount ELSE r.amount END AS signed,
    r.original_transaction_id,
    r.method,
    r.counted_amount,
    r.points,
    r.net_spend_after,
    r.points_after,
    -- A declaration's own words, which the other tables need not repeat.
    (
        r.run_id <> run.run_id
        OR r.booked_on <> run.booked_on
        OR r.amount NOT BETWEEN 1 AND 100000000
        OR r.kind NOT IN ('charge', 'purchase', 'refund')
        OR (r.kind = 'refund') <> (r.original_transaction_id IS NOT NULL)
        OR length(r.person_id) NOT BETWEEN 1 AND 64
        OR length(r.service_id) NOT BETWEEN 1 AND 64
        OR length(r.account_id) NOT BETWEEN 1 AND 64
        OR length(r.transaction_id) NOT BETWEEN 1 AND 64
        OR regexp_matches(
            concat(r.service_id, r.account_id, r.transaction_id), '[\x00-\x1f\x7f]'
        )
    ) AS undeclared
FROM ledger_rows AS r
JOIN ledger_file AS f USING (file)
JOIN run USING (run);

CREATE TABLE fault (kind VARCHAR, promise BIGINT, pos BIGINT, what VARCHAR);

INSERT INTO fault
SELECT 'entry', 4, pos, 'the entry is not of this run, or breaks the declaration of a ledger entry'
FROM entry
WHERE undeclared;

-- The order of the rows -----------------------------------------------------------------------

INSERT INTO fault
SELECT 'sorting', 1, pos, 'the rows are not sorted by person and entry number'
FROM (
    SELECT
        pos,
        (person_id, entry_seq) <= lag((person_id, entry_seq)) OVER (
            PARTITION BY pos >> 32 ORDER BY pos
        ) AS amiss
    FROM entry
)
WHERE amiss;

INSERT INTO fault
SELECT 'sorting', 1, first_pos, 'the file does not follow the one before it: people overlap'
FROM (
    SELECT first_pos, first_person <= lag(last_person) OVER (PARTITION BY run ORDER BY file) AS amiss
    FROM (
        SELECT
            run,
            pos >> 32 AS file,
            min(pos) AS first_pos,
            min(person_id) AS first_person,
            max(person_id) AS last_person
        FROM entry
        GROUP BY ALL
    )
)
WHERE amiss;

-- A person's entries, one after the other -----------------------------------------------------

CREATE TABLE step AS
SELECT *
FROM (
    SELECT
        pos,
        entry_seq,
        before_seq,
        net_spend_after,
        before_net + signed AS net,
        points_after,
        before_points + points AS sum_of_points,
        counted_amount,
        counted_of(before_net + signed, cap_yen) - counted_of(before_net, cap_yen) AS counted,
        points_after * denominator > counted_of(net_spend_after, cap_yen) * numerator AS too_much,
        same_run
        AND (occurred_at, kind = 'refund', service_id, transaction_id)
        <= (before_at, before_refund, before_service, before_transaction) AS out_of_order
    FROM (
        SELECT
            *,
            coalesce(lag(entry_seq) OVER person, 0) AS before_seq,
            coalesce(lag(net_spend_after) OVER person, 0) AS before_net,
            coalesce(lag(points_after) OVER person, 0) AS before_points,
            coalesce(lag(run) OVER person = run, false) AS same_run,
            lag(occurred_at) OVER person AS before_at,
            lag(kind = 'refund') OVER person AS before_refund,
            lag(service_id) OVER person AS before_service,
            lag(transaction_id) OVER person AS before_transaction
        FROM entry
        WINDOW person AS (PARTITION BY person_id ORDER BY pos)
    )
    JOIN run USING (run)
)
WHERE
    entry_seq <> before_seq + 1
    OR net_spend_after <> net
    OR points_after <> sum_of_points
    OR counted_amount <> counted
    OR too_much
    OR out_of_order;

INSERT INTO fault
SELECT
    'numbering', 1, pos, format('entry {} of a person follows entry {}', entry_seq, before_seq)
FROM step
WHERE entry_seq <> before_seq + 1;

INSERT INTO fault
SELECT 'order', 1, pos, 'the entry stands behind one that is to be booked after it'
FROM step
WHERE out_of_order;

INSERT INTO fault
SELECT
    'net_spend', 4, pos, format('net_spend_after is {}, recalculated {}', net_spend_after, net)
FROM step
WHERE net_spend_after <> net;

INSERT INTO fault
SELECT
    'counted', 4, pos, format('counted_amount is {}, recalculated {}', counted_amount, counted)
FROM step
WHERE counted_amount <> counted;

INSERT INTO fault
SELECT
    'points_sum',
    4,
    pos,
    format('points_after is {}, recalculated {}', points_after, sum_of_points)
FROM step
WHERE points_after <> sum_of_points;

-- Rates and caps that changed would have to be followed through time; the steps do that.
INSERT INTO fault
SELECT 'too_much', 4, pos, 'the person holds more points than the rate of the counted spend'
FROM step
WHERE
    too_much
    AND (SELECT count(DISTINCT (cap_yen, numerator, denominator)) = 1 FROM run);

-- No key twice --------------------------------------------------------------------------------

INSERT INTO fault
SELECT 'twice', 3, again.pos, 'the transaction is in the ledger already'
FROM (
    SELECT service_id, transaction_id, min(pos) AS first_pos
    FROM entry
    GROUP BY ALL
    HAVING count(*) > 1
) AS several
JOIN entry AS again USING (service_id, transaction_id)
WHERE again.pos > several.first_pos;

-- Refunds and their originals -----------------------------------------------------------------

CREATE TABLE refund AS
SELECT
    r.pos,
    r.account_id,
    r.occurred_at,
    r.amount,
    o.pos AS original_pos,
    o.account_id AS original_account,
    o.occurred_at AS original_occurred_at,
    o.amount AS original_amount,
    sum(r.amount) OVER (PARTITION BY o.pos ORDER BY r.pos) AS refunded
FROM (SELECT * FROM entry WHERE kind = 'refund') AS r
LEFT JOIN (
    SELECT
        service_id,
        transaction_id,
        min(pos) AS pos,
        arg_min(account_id, pos) AS account_id,
        arg_min(occurred_at, pos) AS occurred_at,
        arg_min(amount, pos) AS amount
    FROM entry
    SEMI JOIN (
        SELECT service_id, original_transaction_id AS transaction_id FROM entry WHERE kind = 'refund'
    ) USING (service_id, transaction_id)
    WHERE kind <> 'refund'
    GROUP BY ALL
) AS o
    ON o.service_id = r.service_id AND o.transaction_id = r.original_transaction_id;

INSERT INTO fault
SELECT 'refund', 4, pos, 'the original of the refund is not in the ledger before it'
FROM refund
WHERE original_pos IS NULL OR original_pos > pos;

INSERT INTO fault
SELECT 'refund', 4, pos, 'the refund is of another account than its original'
FROM refund
WHERE account_id <> original_account;

INSERT INTO fault
SELECT 'refund', 4, pos, 'the refund is earlier than its original'
FROM refund
WHERE occurred_at < original_occurred_at;

INSERT INTO fault
SELECT
    'refund', 4, pos, format('{} yen are refunded of an original of {}', refunded, original_amount)
FROM refund
WHERE refunded > original_amount;

-- Points, by rounding group -------------------------------------------------------------------

-- A service whose rounding was changed has its entries in groups of each kind; a run's entries
-- are worth what they add to the groups of the kind that it rounded by.
INSERT INTO fault
SELECT 'points', 4, pos, format('points are {}, recalculated {}', points, recalculated)
FROM (
    SELECT
        pos,
        points,
        worth(group_sum, numerator, denominator)
        - worth(group_sum - counted_amount, numerator, denominator) AS recalculated
    FROM (
        SELECT
            e.pos,
            e.run,
            e.points,
            e.counted_amount,
            k.rounding,
            mine.rounding AS rounding_of_run,
            sum(e.counted_amount) OVER (
                PARTITION BY
                    e.service_id,
                    e.account_id,
                    k.rounding,
                    CASE k.rounding
                        WHEN 'month' THEN strftime(
                            coalesce(r.original_occurred_at, e.occurred_at), '%Y-%m'
                        )
                        WHEN 'transaction' THEN coalesce(e.original_transaction_id, e.transaction_id)
                    END
                ORDER BY e.pos
            )::BIGINT AS group_sum
        FROM entry AS e
        JOIN (SELECT DISTINCT service_id, rounding FROM service) AS k USING (service_id)
        LEFT JOIN service AS mine ON mine.service_id = e.service_id AND mine.run = e.run
        LEFT JOIN refund AS r ON r.pos = e.pos
    )
    JOIN run USING (run)
    WHERE rounding = rounding_of_run
)
WHERE points <> recalculated;

-- Who is enrolled, and what counts ------------------------------------------------------------

CREATE TABLE enrollment AS
SELECT
    service_id,
    account_id,
    min(file + 1) AS run,
    arg_min(person_id, file) AS person_id,
    arg_min(applied_at, file) AS applied_at,
    arg_min(basis, file) AS basis,
    count(*) AS times
FROM accepted_rows
GROUP BY service_id, account_id;

CREATE TABLE enrollment_fault AS
SELECT run, 'an account was accepted more than once' AS what
FROM enrollment
WHERE times > 1;

CREATE TABLE ineligible AS
SELECT
    pos,
    known,
    enrolled,
    spending AND NOT coalesce(occurred_at::DATE BETWEEN window_first AND window_last, false)
    AS outside,
    spending AND occurred_at < counts_from_at AS early,
    spending AND occurred_at::DATE > awards_close_on AS closed,
    spending AND kind <> basis AS not_the_basis,
    spending AND excluded AS excluded
FROM (
    SELECT
        e.pos,
        e.occurred_at,
        e.kind,
        e.kind <> 'refund' AS spending,
        s.service_id IS NOT NULL AS known,
        coalesce(n.person_id = e.person_id AND n.run <= e.run, false) AS enrolled,
        run.window_first,
        run.window_last,
        s.awards_close_on,
        CASE s.counts_from
            WHEN 'instant' THEN n.applied_at
            WHEN 'application_day' THEN date_trunc('day', n.applied_at)
            ELSE date_trunc('day', n.applied_at) + INTERVAL 1 DAY
        END AS counts_from_at,
        CASE s.basis WHEN 'either' THEN coalesce(n.basis, '') ELSE s.basis END AS basis,
        x.method IS NOT NULL AS excluded
    FROM entry AS e
    JOIN run USING (run)
    LEFT JOIN service AS s ON s.run = e.run AND s.service_id = e.service_id
    LEFT JOIN enrollment AS n ON n.service_id = e.service_id AND n.account_id = e.account_id
    LEFT JOIN excluded AS x
        ON x.run = e.run AND x.service_id = e.service_id AND x.method = e.method
)
WHERE
    NOT known
    OR NOT enrolled
    OR spending AND (
        NOT coalesce(occurred_at::DATE BETWEEN window_first AND window_last, false)
        OR occurred_at < counts_from_at
        OR coalesce(occurred_at::DATE > awards_close_on, false)
        OR kind <> basis
        OR excluded
    );

INSERT INTO fault
SELECT 'not_eligible', 4, pos, 'the services of the run do not have this service'
FROM ineligible
WHERE NOT known;

INSERT INTO fault
SELECT 'not_eligible', 4, pos, 'the person has no accepted enrollment with this account'
FROM ineligible
WHERE NOT enrolled;

INSERT INTO fault
SELECT 'not_eligible', 4, pos, 'the entry is outside the window of the terms'
FROM ineligible
WHERE outside;

INSERT INTO fault
SELECT 'not_eligible', 4, pos, 'the entry is from before the application'
FROM ineligible
WHERE early;

INSERT INTO fault
SELECT 'not_eligible', 4, pos, 'the entry is from after the end of the service''s awards'
FROM ineligible
WHERE closed;

INSERT INTO fault
SELECT 'not_eligible', 4, pos, 'the entry is not of the kind that earns here'
FROM ineligible
WHERE not_the_basis;

INSERT INTO fault
SELECT 'not_eligible', 4, pos, 'the service excludes this method'
FROM ineligible
WHERE excluded;

-- What the records add up ---------------------------------------------------------------------

CREATE TABLE total AS
SELECT
    run,
    count(*) AS rows,
    sum(amount)::BIGINT AS yen,
    coalesce(sum(points) FILTER (points > 0), 0)::BIGINT AS awarded,
    -coalesce(sum(points) FILTER (points < 0), 0)::BIGINT AS reversed
FROM entry
GROUP BY run;

CREATE TABLE people AS
SELECT run, count(*) AS people, count(*) FILTER (net >= cap_yen) AS people_at_the_cap
FROM (SELECT run, person_id, arg_max(net_spend_after, pos) AS net FROM entry GROUP BY run, person_id)
JOIN run USING (run)
GROUP BY run;
