-- Whose entries arithmetic.sql has to look at. Of all others' it is proven here that it would find
-- nothing between one entry and the next: they spend by one account that one application enrolled,
-- by keys that nobody else has. Single entries of theirs it still looks at: what was refunded, what
-- waits, what events name.

CREATE TABLE fault (kind VARCHAR, promise BIGINT, pos BIGINT, what VARCHAR);

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
        FROM edge
        GROUP BY ALL
    )
)
WHERE amiss;

-- What was passed step by step was passed in the order of the rows, by terms that stay the same.
CREATE TABLE everyone AS
SELECT
    EXISTS (FROM fault)
    OR EXISTS (FROM edge WHERE unsorted)
    OR (
        SELECT count(DISTINCT (cap_yen, numerator, denominator)) > 1 OR min(numerator) < 0 FROM run
    )
    OR EXISTS (SELECT service_id FROM service GROUP BY service_id HAVING count(DISTINCT rounding) > 1)
    AS are_suspects;

-- Keys by their hash: equal keys have equal hashes, and whose hashes are equal is a suspect.
CREATE TABLE repeated_key AS
SELECT key
FROM (
    SELECT key_of(service_id, transaction_id) AS key FROM ledger_rows WHERE kind <> 'recount'
)
GROUP BY key
HAVING count(*) > 1;

-- Of which single entries are looked at.
CREATE TABLE key_in_question AS
FROM repeated_key
UNION
SELECT key_of(service_id, original_transaction_id) AS key
FROM ledger_rows
WHERE original_transaction_id IS NOT NULL
UNION
SELECT key_of(service_id, transaction_id) FROM declined_rows WHERE reason <> 'duplicate'
UNION
SELECT key_of(service_id, original_transaction_id)
FROM declined_rows
WHERE reason <> 'duplicate' AND original_transaction_id IS NOT NULL
UNION
SELECT key_of(service_id, transaction_id) FROM named;

CREATE TABLE repeated_account AS
SELECT key_of(service_id, account_id) AS key
FROM accepted_rows
GROUP BY key
HAVING count(*) > 1;

CREATE VIEW account AS
SELECT service_id, account_id, file, person_id, applied_at, basis, 1 AS times
FROM accepted_rows
ANTI JOIN repeated_account AS k ON k.key = key_of(service_id, account_id)
UNION ALL
SELECT
    service_id,
    account_id,
    min(file),
    arg_min(person_id, file),
    arg_min(applied_at, file),
    arg_min(basis, file),
    count(*)
FROM accepted_rows
SEMI JOIN repeated_account AS k ON k.key = key_of(service_id, account_id)
GROUP BY service_id, account_id;

CREATE TABLE concerned AS
SELECT DISTINCT service_id, account_id FROM holder;

CREATE TABLE suspect AS
SELECT DISTINCT person_id
FROM (
    SELECT person_id FROM edge WHERE amiss OR (SELECT are_suspects FROM everyone)
    UNION ALL
    -- From one file to the next.
    SELECT person_id
    FROM edge
    WHERE
        is_first
        AND entry_seq = 1
        AND (net_before <> 0 OR points_before <> 0)
    UNION ALL
    SELECT person_id
    FROM edge
    WHERE is_first AND entry_seq <> 1 AND (SELECT count(*) = 1 FROM run)
    UNION ALL
    SELECT person_id
    FROM (
        SELECT
            *,
            lag((entry_seq + 1, net_spend_after, points_after)) OVER person AS before,
            lag((service_id, account_id, enrolled_account_id)) OVER person AS before_account
        FROM edge
        WHERE (SELECT count(*) > 1 FROM run)
        WINDOW person AS (PARTITION BY person_id ORDER BY pos)
    )
    WHERE
        is_first
        AND (
            (entry_seq, net_before, points_before) IS DISTINCT FROM coalesce(before, (1, 0, 0))
            OR before_account IS NOT NULL
            AND before_account IS DISTINCT FROM (service_id, account_id, enrolled_account_id)
        )
    UNION ALL
    -- If the first and the last of them may be booked, so may all between them.
    SELECT e.person_id
    FROM edge AS e
    JOIN run USING (run)
    LEFT JOIN service AS s ON s.run = e.run AND s.service_id = e.service_id
    LEFT JOIN account AS a ON a.service_id = e.service_id AND a.account_id = e.account_id
    WHERE
        NOT coalesce(
            a.person_id = e.person_id
            AND a.file < e.run
            AND e.enrolled_account_id IS NULL
            AND (
                e.kind = 'refund'
                OR e.occurred_at::DATE BETWEEN run.window_first AND run.window_last
                AND e.occurred_at >= counts_from(s.counts_from, a.applied_at)
                AND coalesce(e.occurred_at::DATE <= s.awards_close_on, true)
                AND e.kind = basis_of(s.basis, a.basis)
            )
            AND length(e.person_id) BETWEEN 1 AND 64
            AND length(e.service_id) BETWEEN 1 AND 64
            AND length(e.account_id) BETWEEN 1 AND 64
            AND NOT regexp_matches(concat(e.service_id, e.account_id), '[\x00-\x1f\x7f]'),
            false
        )
    UNION ALL
    SELECT person_id FROM edge SEMI JOIN concerned USING (service_id, account_id)
    UNION ALL
    SELECT r.person_id
    FROM ledger_rows AS r
    JOIN ledger_file AS f USING (file)
    SEMI JOIN excluded AS x
        ON x.run = f.run AND x.service_id = r.service_id AND x.method = r.method
    UNION ALL
    SELECT person_id
    FROM ledger_rows
    WHERE key_of(service_id, transaction_id) IN (SELECT key FROM repeated_key)
    UNION ALL
    -- What format 1 counted is counted again.
    SELECT person_id FROM edge WHERE kind = 'refund' AND (SELECT min(format) = 1 FROM run)
);

-- Where points are rounded by the month, each month is a group.
INSERT INTO suspect
SELECT DISTINCT person_id
FROM (
    SELECT
        r.person_id,
        r.points,
        r.counted_amount,
        run.numerator,
        run.denominator,
        sum(r.counted_amount) OVER (
            PARTITION BY r.person_id, date_trunc('month', r.occurred_at) ORDER BY r.file, r.row
        )::BIGINT AS group_sum
    FROM ledger_rows AS r
    JOIN ledger_file AS f USING (file)
    JOIN service AS s ON s.run = f.run AND s.service_id = r.service_id AND s.rounding = 'month'
    JOIN run ON run.run = f.run
    ANTI JOIN suspect USING (person_id)
)
WHERE
    points IS DISTINCT FROM worth(group_sum, numerator, denominator)
    - worth(group_sum - counted_amount, numerator, denominator);
