-- The first night's job in DuckDB SQL. duckdb_job.py makes the views `enrollment_in` and
-- `transaction_in` (all canonical columns, typed) and the table `service_in`, and sets the variables
-- `run_id`, `booked_on`, `ledger_file` and `declined_file`.

CREATE MACRO window_first_day() AS DATE '2020-09-01';
CREATE MACRO window_last_day() AS DATE '2021-09-30';
CREATE MACRO applications_close_on() AS DATE '2021-09-30';
CREATE MACRO card_applications_close_on() AS DATE '2021-04-30';
CREATE MACRO counted(net) AS greatest(0, least(20000, net));
-- `//` cuts toward zero; a rounding group may go below zero, and there the floor lies lower.
CREATE MACRO worth(yen) AS (yen * 25 - ((yen * 25) % 100 + 100) % 100) // 100;

CREATE TYPE decline_reason AS ENUM (
    'duplicate', 'unknown_service', 'not_enrolled', 'original_not_booked',
    'refund_account_differs', 'refund_before_original', 'refund_exceeds_original',
    'before_window', 'after_window', 'before_application', 'service_closed', 'not_the_basis',
    'excluded_method'
);
CREATE TYPE transaction_kind AS ENUM ('charge', 'purchase', 'refund');
CREATE TYPE rounding_scope AS ENUM ('cumulative', 'month', 'transaction');

-- People are numbered in the order of their names, so that numbers sort as the names do. Of a
-- person's applications the first is accepted, and a later one if the service of the one before it
-- had ended by then. The windows are over nothing, so DuckDB streams them over the sorted rows.
CREATE TABLE enrolled AS
SELECT
    (sum(is_first::INTEGER) OVER (ROWS UNBOUNDED PRECEDING))::INTEGER AS person_no,
    (row_number() OVER ())::INTEGER AS account_no,
    person_id,
    service_id,
    account_id,
    counts_from_at,
    chosen_basis
FROM (
    SELECT
        *,
        lag(person_id) OVER () IS DISTINCT FROM person_id AS is_first,
        lag(awards_close_on) OVER () AS earlier_close_on
    FROM (
        SELECT
            e.person_id,
            e.service_id,
            e.account_id,
            e.applied_at::DATE AS applied_on,
            s.awards_close_on,
            CASE s.counts_from
                WHEN 'instant' THEN e.applied_at
                WHEN 'application_day' THEN date_trunc('day', e.applied_at)
                ELSE date_trunc('day', e.applied_at) + INTERVAL 1 DAY
            END AS counts_from_at,
            coalesce(nullif(s.basis, 'either'), e.basis)::transaction_kind AS chosen_basis
        FROM enrollment_in AS e
        JOIN service_in AS s USING (service_id)
        WHERE (s.basis <> 'either' OR e.basis IS NOT NULL)
            AND e.card_applied_on <= card_applications_close_on()
            AND e.applied_at < applications_close_on() + INTERVAL 1 DAY
            AND coalesce(e.applied_at < s.applications_close_on + INTERVAL 1 DAY, true)
            AND coalesce(e.reserved_at <= e.applied_at, true)
            AND coalesce(
                coalesce(e.reserved_at, e.applied_at)
                    >= e.certificate_issued_at + INTERVAL 24 HOUR,
                true
            )
            AND (NOT s.preregistration OR coalesce(e.preregistered_on <= e.applied_at::DATE, false))
        ORDER BY e.person_id, e.applied_at, e.service_id, e.account_id
    )
)
WHERE is_first OR earlier_close_on < applied_on;

-- One pass over the files: everything about a row that the row, its service and its enrollment
-- tell. `key_hash` stands in for the two text keys; where it decides, the text is compared too.
CREATE TABLE tx AS
SELECT
    t.transaction_id,
    t.service_id,
    t.account_id,
    t.occurred_at,
    t.kind::transaction_kind AS kind,
    t.amount,
    t.original_transaction_id,
    t.method,
    hash(t.service_id, t.transaction_id) AS key_hash,
    e.person_no,
    e.account_no,
    s.service_no,
    s.rounding::rounding_scope AS rounding,
    (CASE
        WHEN s.service_id IS NULL THEN 'unknown_service'
        WHEN e.person_no IS NULL THEN 'not_enrolled'
        WHEN t.kind = 'refund' THEN NULL
        WHEN t.occurred_at < window_first_day() THEN 'before_window'
        WHEN t.occurred_at >= window_last_day() + INTERVAL 1 DAY THEN 'after_window'
        WHEN t.occurred_at < e.counts_from_at THEN 'before_application'
        WHEN t.occurred_at >= s.awards_close_on + INTERVAL 1 DAY THEN 'service_closed'
        WHEN t.kind::transaction_kind <> e.chosen_basis THEN 'not_the_basis'
        WHEN list_contains(s.excluded_methods, t.method) THEN 'excluded_method'
    END)::decline_reason AS reason
FROM transaction_in AS t
LEFT JOIN service_in AS s USING (service_id)
LEFT JOIN enrolled AS e
    ON e.service_id = t.service_id AND e.account_id = t.account_id;

-- Keys that come more than once are few: only their rows are compared.
CREATE TABLE repeated AS
SELECT key_hash FROM tx GROUP BY key_hash HAVING count(*) > 1;

CREATE TABLE set_aside AS
SELECT
    unnest(CASE WHEN contents > 1 THEN row_nos ELSE row_nos[2:] END) AS row_no,
    contents > 1 AS conflict
FROM (
    SELECT
        list(tx.rowid) AS row_nos,
        count(
            DISTINCT (account_id, occurred_at, kind, amount, original_transaction_id, method)
        ) AS contents
    FROM tx
    JOIN repeated USING (key_hash)
    GROUP BY service_id, transaction_id
    HAVING count(*) > 1
);

-- Refunds that stand so far, beside the originals they name.
CREATE TABLE refund AS
WITH
    r AS (
        SELECT *, rowid AS row_no, hash(service_id, original_transaction_id) AS original_hash
        FROM tx
        WHERE kind = 'refund' AND reason IS NULL
            AND rowid NOT IN (SELECT row_no FROM set_aside)
    ),
    o AS (
        SELECT *, rowid AS row_no
        FROM tx
        WHERE kind <> 'refund' AND reason IS NULL
            AND rowid NOT IN (SELECT row_no FROM set_aside)
    )
SELECT
    r.row_no,
    r.transaction_id,
    r.occurred_at,
    r.amount,
    o.row_no AS original_row_no,
    o.occurred_at AS original_occurred_at,
    o.amount AS original_amount,
    (CASE
        WHEN o.row_no IS NULL THEN 'original_not_booked'
        WHEN o.account_id <> r.account_id THEN 'refund_account_differs'
        WHEN r.occurred_at < o.occurred_at THEN 'refund_before_original'
    END)::decline_reason AS reason
FROM r
LEFT JOIN o
    ON o.key_hash = r.original_hash
    AND o.service_id = r.service_id
    AND o.transaction_id = r.original_transaction_id;

-- Where the refunds of an original come to more than it, each takes what the accepted ones
-- before it left. A running sum would count the refused ones too; such originals are few, so
-- the fold over their lists costs nothing.
CREATE TABLE exceeding AS
SELECT row_nos[i] AS row_no
FROM (
    SELECT
        original_amount,
        list(row_no ORDER BY occurred_at, transaction_id) AS row_nos,
        list(amount ORDER BY occurred_at, transaction_id) AS amounts,
        unnest(range(1, count(*) + 1)) AS i
    FROM refund
    WHERE reason IS NULL
    GROUP BY original_row_no, original_amount
    HAVING sum(amount) > original_amount
)
WHERE amounts[i] > list_reduce(
    amounts[1:i - 1],
    lambda remaining, a: CASE WHEN a <= remaining THEN remaining - a ELSE remaining END,
    original_amount
);

-- What the row alone did not tell: keys that came more than once, and how each refund fared.
CREATE TABLE fate AS
SELECT
    row_no,
    CASE WHEN NOT conflict THEN 'duplicate'::decline_reason END AS reason,
    conflict,
    NULL::BIGINT AS original_row_no,
    NULL::TIMESTAMP AS original_occurred_at
FROM set_aside
UNION ALL
SELECT
    r.row_no,
    CASE
        WHEN x.row_no IS NOT NULL THEN 'refund_exceeds_original'::decline_reason
        ELSE r.reason
    END,
    false,
    r.original_row_no,
    r.original_occurred_at
FROM refund AS r
LEFT JOIN exceeding AS x USING (row_no);

-- Net spend, on integers alone but for the last tie-break.
CREATE TABLE spent AS
WITH entry AS (
    SELECT
        tx.rowid AS row_no,
        tx.person_no,
        tx.account_no,
        tx.transaction_id,
        (epoch_us(tx.occurred_at) * 2 + (tx.kind = 'refund')::BIGINT) * 1024 + tx.service_no
            AS place,
        CASE WHEN tx.kind = 'refund' THEN -tx.amount ELSE tx.amount END AS signed_amount,
        CASE tx.rounding
            WHEN 'cumulative' THEN 0
            WHEN 'month' THEN
                year(coalesce(fate.original_occurred_at, tx.occurred_at)) * 12
                + month(coalesce(fate.original_occurred_at, tx.occurred_at))
            ELSE coalesce(fate.original_row_no, tx.rowid)
        END AS group_no
    FROM tx
    LEFT JOIN fate ON fate.row_no = tx.rowid
    WHERE tx.reason IS NULL AND fate.reason IS NULL AND NOT coalesce(fate.conflict, false)
)
SELECT
    row_no,
    person_no,
    account_no,
    group_no,
    entry_seq,
    net_spend_after,
    counted(net_spend_after) - counted(net_spend_after - signed_amount) AS counted_amount
FROM (
    SELECT
        *,
        row_number() OVER in_order AS entry_seq,
        (sum(signed_amount) OVER in_order)::BIGINT AS net_spend_after
    FROM entry
    WINDOW in_order AS (
        PARTITION BY person_no
        ORDER BY place, transaction_id
        ROWS UNBOUNDED PRECEDING
    )
);

CREATE TABLE award AS
SELECT
    *,
    (sum(points) OVER (
        PARTITION BY person_no ORDER BY entry_seq ROWS UNBOUNDED PRECEDING
    ))::BIGINT AS points_after
FROM (
    SELECT
        row_no,
        person_no,
        account_no,
        entry_seq,
        net_spend_after,
        counted_amount,
        worth(group_sum) - worth(group_sum - counted_amount) AS points
    FROM (
        SELECT
            *,
            (sum(counted_amount) OVER (
                PARTITION BY account_no, group_no ORDER BY entry_seq ROWS UNBOUNDED PRECEDING
            ))::BIGINT AS group_sum
        FROM spent
    )
);

DROP TABLE spent;

-- The only pass that carries wide rows through a sort.
COPY (
    SELECT
        getvariable('run_id') AS run_id,
        getvariable('booked_on') AS booked_on,
        enrolled.person_id,
        award.entry_seq,
        tx.service_id,
        tx.account_id,
        tx.transaction_id,
        tx.occurred_at,
        tx.kind::VARCHAR AS kind,
        tx.amount,
        tx.original_transaction_id,
        tx.method,
        award.counted_amount,
        award.points,
        award.net_spend_after,
        award.points_after
    FROM award
    JOIN tx ON tx.rowid = award.row_no
    JOIN enrolled ON enrolled.account_no = award.account_no
    ORDER BY award.person_no, award.entry_seq
)
TO (getvariable('ledger_file')) (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);

COPY (
    SELECT
        tx.service_id,
        tx.transaction_id,
        tx.account_id,
        tx.occurred_at,
        tx.kind::VARCHAR AS kind,
        tx.amount,
        coalesce(fate.reason, tx.reason)::VARCHAR AS reason
    FROM tx
    LEFT JOIN fate ON fate.row_no = tx.rowid
    WHERE coalesce(fate.reason, tx.reason) IS NOT NULL AND NOT coalesce(fate.conflict, false)
)
TO (getvariable('declined_file')) (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);
