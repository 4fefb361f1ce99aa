-- Every payout once, and each ledger entry with the day that its points hang on: no code here is
-- the payout run's.
--
-- Given: the tables ledger_file, payout_file, and the views ledger_rows and table_rows of the
-- Parquet files.

-- The entry's place in its person's history tells which booking of an original it takes back.
CREATE TABLE entry AS
WITH numbered AS (
    SELECT
        f.run,
        r.booked_on,
        r.person_id,
        r.entry_seq,
        r.service_id,
        coalesce(r.enrolled_account_id, r.account_id) AS account_id,
        r.transaction_id,
        r.original_transaction_id,
        r.kind,
        r.occurred_at::DATE AS own_day,
        r.net_amount,
        r.points
    FROM ledger_rows AS r
    JOIN ledger_file AS f USING (file)
),
original AS (
    SELECT person_id, service_id, transaction_id, entry_seq, own_day AS original_day
    FROM numbered
    WHERE kind IN ('charge', 'purchase')
)
SELECT
    n.run,
    n.booked_on,
    n.service_id,
    n.account_id,
    coalesce(o.original_day, n.own_day) AS day,
    n.net_amount,
    n.points
FROM (SELECT * FROM numbered WHERE original_transaction_id IS NOT NULL) AS n
ASOF LEFT JOIN original AS o
    ON n.person_id = o.person_id
    AND n.service_id = o.service_id
    AND n.original_transaction_id = o.transaction_id
    AND n.entry_seq >= o.entry_seq
UNION ALL
SELECT run, booked_on, service_id, account_id, own_day, net_amount, points
FROM numbered
WHERE original_transaction_id IS NULL;

CREATE TABLE payout_row AS
SELECT f.payout_run, f.name, r.*
FROM table_rows AS r
JOIN payout_file AS f USING (file);

CREATE TABLE payout_fault AS
SELECT
    'payout' AS kind,
    'the row is not this payout run''s, or the rows are not in the table''s order' AS what,
    name,
    row,
    service_id,
    enrolled_account_id AS account_id
FROM payout_row
QUALIFY
    payout_run_id <> format('{:06d}', payout_run)
    OR (service_id, enrolled_account_id, payout_id, entry, points) < lag(
        (service_id, enrolled_account_id, payout_id, entry, points)
    ) OVER (PARTITION BY payout_run ORDER BY file, row);
