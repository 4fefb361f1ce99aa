-- The people that the memory in parts holds, against the book's applications and ledger.
--
-- Given: the views people_rows, accepted_rows and ledger_rows of Parquet files, and the table
-- people_file (file, first, beyond). Made: the table wrong_people (file, what), where a file is
-- null when no file can be named.

CREATE TABLE account AS
SELECT *, (file << 32) + row AS pos FROM accepted_rows;

CREATE TABLE balance AS
SELECT
    person_id,
    max(entry_seq) AS entry_seq,
    arg_max(net_spend_after, entry_seq) AS net_spend_after,
    arg_max(points_after, entry_seq) AS points_after
FROM ledger_rows
GROUP BY person_id;

-- A refund belongs to its original's month.
CREATE TABLE month_sum AS
SELECT service_id, account_id, month, sum(counted)::BIGINT AS counted
FROM (
    SELECT
        service_id,
        account_id,
        year(occurred_at) * 12 + month(occurred_at) - 1 AS month,
        counted_amount AS counted
    FROM ledger_rows
    WHERE kind <> 'refund'
    UNION ALL
    SELECT
        r.service_id,
        r.account_id,
        year(o.occurred_at) * 12 + month(o.occurred_at) - 1,
        r.counted_amount
    FROM ledger_rows AS r
    JOIN ledger_rows AS o
        ON o.service_id = r.service_id AND o.transaction_id = r.original_transaction_id
    WHERE r.kind = 'refund' AND o.kind <> 'refund'
)
GROUP BY ALL
HAVING sum(counted) <> 0;

CREATE TABLE held_month AS
SELECT *
FROM (
    SELECT file, service_id, account_id, unnest(months) AS month, unnest(counted) AS counted
    FROM people_rows
)
WHERE counted IS DISTINCT FROM 0;

CREATE TABLE wrong_people AS
SELECT DISTINCT p.file, 'the memory is not what the ledger says' AS what
FROM people_rows AS p
LEFT JOIN account AS a
    ON a.person_id = p.person_id
    AND a.service_id = p.service_id
    AND a.account_id = p.account_id
LEFT JOIN balance AS b ON b.person_id = p.person_id
WHERE a.pos IS NULL
    OR p.applied_at IS DISTINCT FROM a.applied_at
    OR p.card_applied_on IS DISTINCT FROM a.card_applied_on
    OR p.basis IS DISTINCT FROM a.basis
    OR p.reserved_at IS DISTINCT FROM a.reserved_at
    OR p.certificate_issued_at IS DISTINCT FROM a.certificate_issued_at
    OR p.preregistered_on IS DISTINCT FROM a.preregistered_on
    OR p.entry_seq IS DISTINCT FROM coalesce(b.entry_seq, 0)
    OR p.net_spend_after IS DISTINCT FROM coalesce(b.net_spend_after, 0)
    OR p.points_after IS DISTINCT FROM coalesce(b.points_after, 0)
UNION
SELECT DISTINCT h.file, 'the memory is not what the ledger says'
FROM held_month AS h
LEFT JOIN month_sum AS m
    ON m.service_id = h.service_id AND m.account_id = h.account_id AND m.month = h.month
WHERE h.counted IS DISTINCT FROM m.counted
UNION
SELECT DISTINCT p.file, 'people stand outside the range that the manifest says'
FROM people_rows AS p
JOIN people_file AS f ON f.file = p.file
WHERE p.person_id < f.first OR p.person_id >= f.beyond
UNION
SELECT DISTINCT file, 'people are not in order, or stand there twice'
FROM (
    SELECT
        p.file,
        p.person_id,
        a.pos,
        lag(p.person_id) OVER in_order AS earlier_person,
        lag(a.pos) OVER in_order AS earlier_pos
    FROM people_rows AS p
    JOIN account AS a
        ON a.person_id = p.person_id
        AND a.service_id = p.service_id
        AND a.account_id = p.account_id
    WINDOW in_order AS (ORDER BY p.file, p.row)
)
WHERE person_id < earlier_person OR (person_id = earlier_person AND pos <= earlier_pos)
UNION
SELECT NULL, 'people are missing'
WHERE (SELECT count(*) FROM people_rows) <> (SELECT count(*) FROM account)
UNION
SELECT NULL, 'months of accounts are missing, or stand there twice'
WHERE (SELECT count(*) FROM held_month) <> (SELECT count(*) FROM month_sum)
    OR (SELECT count(*) FROM (SELECT DISTINCT service_id, account_id, month FROM held_month))
        <> (SELECT count(*) FROM month_sum);
