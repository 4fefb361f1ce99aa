-- The first night's job in DuckDB SQL. duckdb_job.py makes the views `enrollment_in` and
-- `transaction_in` (all canonical columns, typed) and the table `service_in`, and sets the variables
-- `run_id`, `booked_on`, `ledger_file` and `declined_file`.

CREATE MACRO window_first_day() AS DATE '2020-09-01';
CREATE MACRO window_last_day() AS DATE '2021-09-30';
CREATE MACRO applications_close_on() AS DATE '2021-09-30';
CREATE MACRO card_applications_close_on() AS DATE '2021-04-30';
CREATE MACRO counted(yen) AS least(20000, yen);
CREATE MACRO worth(yen) AS yen * 25 // 100;

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

-- Refunds beside the originals they name. Each takes what those before it left of the original: the
-- part of their running sum that is within it.
CREATE TABLE refund AS
WITH
    standing AS NOT MATERIALIZED (
        SELECT *, rowid AS row_no
        FROM tx
        WHERE reason IS NULL AND rowid NOT IN (SELECT row_no FROM set_aside)
    ),
    r AS (
        SELECT *, hash(service_id, original_transaction_id) AS original_hash
        FROM standing
        WHERE kind = 'refund'
    ),
    o AS (SELECT * FROM standing WHERE kind <> 'refund'),
    named AS (
        SELECT
            r.row_no,
            r.transaction_id,
            r.occurred_at,
            r.amount,
            o.row_no AS original_row_no,
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
            AND o.transaction_id = r.original_transaction_id
    )
SELECT
    row_no,
    original_row_no,
    least(amount, original_amount - asked_before) AS taken,
    coalesce(reason, CASE WHEN asked_before >= original_amount THEN 'refund_exceeds_original' END)
        AS reason
FROM (
    SELECT
        *,
        (sum(amount) OVER (
            PARTITION BY original_row_no, reason
            ORDER BY occurred_at, transaction_id
            ROWS UNBOUNDED PRECEDING
        ))::BIGINT - amount AS asked_before
    FROM named
);

-- What the row alone did not tell: keys that came more than once, how each refund fared, and what
-- was taken of the others.
CREATE TABLE fate AS
SELECT
    row_no,
    CASE WHEN NOT conflict THEN 'duplicate'::decline_reason END AS reason,
    conflict,
    NULL::BIGINT AS taken
FROM set_aside
UNION ALL
SELECT row_no, reason, false, taken
FROM refund
UNION ALL
SELECT original_row_no, NULL, false, sum(taken)::BIGINT
FROM refund
WHERE reason IS NULL
GROUP BY original_row_no;

-- What of each is left, and what of that counts; on integers alone but for the last tie-break.
CREATE TABLE spent AS
WITH entry AS (
    SELECT
        tx.rowid AS row_no,
        tx.person_no,
        tx.account_no,
        tx.transaction_id,
        (epoch_us(tx.occurred_at) * 2 + (tx.kind = 'refund')::BIGINT) * 1024 + tx.service_no
            AS place,
        CASE WHEN tx.kind = 'refund' THEN -fate.taken ELSE tx.amount END AS net_amount,
        CASE WHEN tx.kind = 'refund' THEN 0 ELSE tx.amount - coalesce(fate.taken, 0) END
            AS left_amount,
        CASE tx.rounding
            WHEN 'cumulative' THEN 0
            WHEN 'month' THEN year(tx.occurred_at) * 12 + month(tx.occurred_at)
            ELSE tx.rowid
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
    net_amount,
    net_spend_after,
    counted(left_after) - counted(left_after - left_amount) AS counted_amount
FROM (
    SELECT
        *,
        row_number() OVER in_order AS entry_seq,
        (sum(net_amount) OVER in_order)::BIGINT AS net_spend_after,
        (sum(left_amount) OVER in_order)::BIGINT AS left_after
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
        net_amount,
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
        NULL::VARCHAR AS enrolled_account_id,
        award.net_amount,
        award.counted_amount,
        award.points,
        award.net_spend_after,
        award.points_after,
        NULL::VARCHAR AS event_id
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
        tx.original_transaction_id,
        tx.method,
        coalesce(fate.reason, tx.reason)::VARCHAR AS reason
    FROM tx
    LEFT JOIN fate ON fate.row_no = tx.rowid
    WHERE coalesce(fate.reason, tx.reason) IS NOT NULL AND NOT coalesce(fate.conflict, false)
)
TO (getvariable('declined_file')) (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);
