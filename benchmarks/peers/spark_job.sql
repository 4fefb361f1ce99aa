-- The first night's job in Spark SQL, as an experienced hand would write it. spark_job.py makes the
-- views `enrollment_in`, `transaction_in` (all canonical columns, typed) and `service_in`, fills in
-- the `{names}`, and writes the views `ledger` and `declined`. What is used more than once is a table
-- of Parquet files: of it each use reads the columns that it needs.

CREATE TEMPORARY FUNCTION counted(yen BIGINT) RETURNS BIGINT
RETURN least(20000L, yen);

CREATE TEMPORARY FUNCTION worth(yen BIGINT) RETURNS BIGINT
RETURN yen * 25 div 100;

-- Of a person's applications the first is accepted, and a later one if the service of the one
-- before it had ended by then.
CREATE TEMPORARY VIEW enrolled AS
SELECT person_id, service_id, account_id, counts_from_at, chosen_basis
FROM (
    SELECT
        *,
        row_number() OVER in_order AS place,
        lag(awards_close_on) OVER in_order AS earlier_close_on
    FROM (
        SELECT
            e.person_id,
            e.service_id,
            e.account_id,
            e.applied_at,
            CAST(e.applied_at AS DATE) AS applied_on,
            s.awards_close_on,
            CASE s.counts_from
                WHEN 'instant' THEN e.applied_at
                WHEN 'application_day' THEN CAST(CAST(e.applied_at AS DATE) AS TIMESTAMP_NTZ)
                ELSE CAST(date_add(CAST(e.applied_at AS DATE), 1) AS TIMESTAMP_NTZ)
            END AS counts_from_at,
            coalesce(nullif(s.basis, 'either'), e.basis) AS chosen_basis
        FROM enrollment_in AS e
        JOIN service_in AS s ON s.service_id = e.service_id
        WHERE (s.basis <> 'either' OR e.basis IS NOT NULL)
            AND e.card_applied_on <= DATE '2021-04-30'
            AND CAST(e.applied_at AS DATE) <= DATE '2021-09-30'
            AND coalesce(CAST(e.applied_at AS DATE) <= s.applications_close_on, true)
            AND coalesce(e.reserved_at <= e.applied_at, true)
            AND coalesce(
                coalesce(e.reserved_at, e.applied_at)
                    >= e.certificate_issued_at + INTERVAL '24' HOUR,
                true
            )
            AND (
                NOT s.preregistration
                OR coalesce(e.preregistered_on <= CAST(e.applied_at AS DATE), false)
            )
    )
    WINDOW in_order AS (PARTITION BY person_id ORDER BY applied_at, service_id, account_id)
)
WHERE place = 1 OR earlier_close_on < applied_on;

-- One pass over the files: everything about a row that the row, its service and its enrollment
-- tell. The enrollments are sent to all tasks, which moves less than an exchange of all rows would.
CREATE TABLE tx USING parquet OPTIONS (compression 'lz4_raw') AS
SELECT /*+ BROADCAST(s), BROADCAST(e) */
    t.*,
    monotonically_increasing_id() AS row_no,
    xxhash64(t.service_id, t.transaction_id) AS key_hash,
    e.person_id,
    s.rounding,
    CASE
        WHEN s.service_id IS NULL THEN 'unknown_service'
        WHEN e.person_id IS NULL THEN 'not_enrolled'
        WHEN t.kind = 'refund' THEN NULL
        WHEN CAST(t.occurred_at AS DATE) < DATE '2020-09-01' THEN 'before_window'
        WHEN CAST(t.occurred_at AS DATE) > DATE '2021-09-30' THEN 'after_window'
        WHEN t.occurred_at < e.counts_from_at THEN 'before_application'
        WHEN CAST(t.occurred_at AS DATE) > s.awards_close_on THEN 'service_closed'
        WHEN t.kind <> e.chosen_basis THEN 'not_the_basis'
        WHEN array_contains(s.excluded_methods, t.method) THEN 'excluded_method'
    END AS reason
FROM transaction_in AS t
LEFT JOIN service_in AS s ON s.service_id = t.service_id
LEFT JOIN enrolled AS e ON e.service_id = t.service_id AND e.account_id = t.account_id;

-- Keys that come more than once, a refund's naming of its original included, are few: only their
-- rows, and refunds, are looked at again.
CREATE TABLE met_again USING parquet AS
SELECT key_hash
FROM (
    SELECT key_hash FROM tx
    UNION ALL
    SELECT xxhash64(service_id, original_transaction_id) FROM tx WHERE kind = 'refund'
)
GROUP BY key_hash
HAVING count(*) > 1;

CREATE TABLE contested USING parquet AS
SELECT * FROM tx WHERE kind = 'refund' OR key_hash IN (SELECT key_hash FROM met_again);

CREATE TABLE set_aside USING parquet AS
SELECT
    explode(
        CASE WHEN contents > 1 THEN row_nos ELSE slice(row_nos, 2, size(row_nos)) END
    ) AS row_no,
    contents > 1 AS conflict
FROM (
    SELECT
        sort_array(collect_list(row_no)) AS row_nos,
        size(collect_set(
            struct(account_id, occurred_at, kind, amount, original_transaction_id, method)
        )) AS contents
    FROM contested
    GROUP BY service_id, transaction_id
    HAVING count(*) > 1
);

-- Refunds beside the originals they name. Each takes what those before it left of the original: the
-- part of their running sum that is within it.
CREATE TABLE refund USING parquet AS
WITH
    standing AS (
        SELECT * FROM contested LEFT ANTI JOIN set_aside USING (row_no) WHERE reason IS NULL
    ),
    named AS (
        SELECT
            r.row_no,
            r.transaction_id,
            r.occurred_at,
            r.amount,
            o.row_no AS original_row_no,
            o.amount AS original_amount,
            CASE
                WHEN o.row_no IS NULL THEN 'original_not_booked'
                WHEN o.account_id <> r.account_id THEN 'refund_account_differs'
                WHEN r.occurred_at < o.occurred_at THEN 'refund_before_original'
            END AS reason
        FROM (SELECT * FROM standing WHERE kind = 'refund') AS r
        LEFT JOIN (SELECT * FROM standing WHERE kind <> 'refund') AS o
            ON o.service_id = r.service_id AND o.transaction_id = r.original_transaction_id
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
        sum(amount) OVER (
            PARTITION BY original_row_no, reason
            ORDER BY occurred_at, transaction_id
            ROWS UNBOUNDED PRECEDING
        ) - amount AS asked_before
    FROM named
);

-- What the row alone did not tell: keys that came more than once, how each refund fared, and what
-- was taken of the others.
CREATE TABLE fate USING parquet AS
SELECT
    row_no,
    CASE WHEN NOT conflict THEN 'duplicate' END AS fate_reason,
    conflict,
    CAST(NULL AS BIGINT) AS taken
FROM set_aside
UNION ALL
SELECT row_no, reason, false, taken
FROM refund
UNION ALL
SELECT original_row_no, NULL, false, sum(taken)
FROM refund
WHERE reason IS NULL
GROUP BY original_row_no;

CREATE TEMPORARY VIEW decided AS
SELECT /*+ BROADCAST(f) */
    tx.*,
    coalesce(f.fate_reason, tx.reason) AS final_reason,
    coalesce(f.conflict, false) AS conflict,
    f.taken
FROM tx
LEFT JOIN fate AS f ON f.row_no = tx.row_no;

-- What of each is left, and what of that counts. Cut into ranges of people once: all windows and the
-- order of the ledger keep to them.
CREATE TEMPORARY VIEW spent AS
SELECT
    *,
    counted(left_after) - counted(left_after - left_amount) AS counted_amount,
    CASE rounding
        WHEN 'cumulative' THEN 0L
        WHEN 'month' THEN CAST(year(occurred_at) AS BIGINT) * 12 + month(occurred_at)
        ELSE row_no
    END AS group_no
FROM (
    SELECT
        *,
        CAST(row_number() OVER in_order AS BIGINT) AS entry_seq,
        sum(net_amount) OVER so_far AS net_spend_after,
        sum(left_amount) OVER so_far AS left_after
    FROM (
        SELECT /*+ REPARTITION_BY_RANGE(person_id) */
            *,
            CASE WHEN kind = 'refund' THEN -taken ELSE amount END AS net_amount,
            CASE WHEN kind = 'refund' THEN 0L ELSE amount - coalesce(taken, 0L) END AS left_amount
        FROM decided
        WHERE final_reason IS NULL AND NOT conflict
    )
    WINDOW
        in_order AS (
            PARTITION BY person_id
            ORDER BY occurred_at, kind = 'refund', service_id, transaction_id
        ),
        so_far AS (
            PARTITION BY person_id
            ORDER BY occurred_at, kind = 'refund', service_id, transaction_id
            ROWS UNBOUNDED PRECEDING
        )
);

CREATE TEMPORARY VIEW award AS
SELECT *, worth(group_sum) - worth(group_sum - counted_amount) AS points
FROM (
    SELECT
        *,
        sum(counted_amount) OVER (
            PARTITION BY person_id, service_id, account_id, group_no
            ORDER BY entry_seq ROWS UNBOUNDED PRECEDING
        ) AS group_sum
    FROM spent
);

CREATE TEMPORARY VIEW ledger AS
SELECT
    '{run_id}' AS run_id,
    DATE '{booked_on}' AS booked_on,
    person_id,
    entry_seq,
    service_id,
    account_id,
    transaction_id,
    occurred_at,
    kind,
    amount,
    original_transaction_id,
    method,
    CAST(NULL AS STRING) AS enrolled_account_id,
    net_amount,
    counted_amount,
    points,
    net_spend_after,
    sum(points) OVER (
        PARTITION BY person_id ORDER BY entry_seq ROWS UNBOUNDED PRECEDING
    ) AS points_after,
    CAST(NULL AS STRING) AS event_id
FROM award
ORDER BY person_id, entry_seq;

CREATE TEMPORARY VIEW declined AS
SELECT
    service_id,
    transaction_id,
    account_id,
    occurred_at,
    kind,
    amount,
    original_transaction_id,
    method,
    final_reason AS reason
FROM decided
WHERE final_reason IS NOT NULL AND NOT conflict;
