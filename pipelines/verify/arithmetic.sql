-- The ledger recalculated from the ledger: no code here is the engine's.
--
-- Given: the tables run, service, excluded, ledger_file, holder, stop, named, event, left_alone
-- and left_alone_whole, and the views ledger_rows, accepted_rows and declined_rows of the Parquet
-- files; the macros of macros.sql; and what suspects.sql found: whose entries are looked at here,
-- with all that they need.
--
-- Each entry is compared with the entry before it, as the files hold them. What holds from each
-- entry to the next, from nothing to the first, holds for all; and a finding stands where the
-- fault is, and not on every entry after it.

-- "pos" is the entry's place in the whole book. A void has the kind of what it voids.
CREATE TABLE entry AS
SELECT
    (r.file << 32) + r.row AS pos,
    run.run,
    run.format,
    r.person_id,
    r.entry_seq,
    r.service_id,
    r.account_id,
    coalesce(r.enrolled_account_id, r.account_id) AS own_account_id,
    r.transaction_id,
    r.occurred_at,
    replace(r.kind, '_void', '') AS kind,
    r.kind LIKE '%\_void' ESCAPE '\' AS is_void,
    r.kind = 'recount' AS is_recount,
    r.amount,
    r.net_amount,
    r.original_transaction_id,
    r.method,
    r.counted_amount,
    r.points,
    r.net_spend_after,
    r.points_after,
    r.event_id,
    key_of(r.service_id, r.transaction_id) AS key,
    r.is_of_suspect,
    r.is_in_question,
    -- A declaration's own words, which the other tables need not repeat.
    (
        r.run_id <> run.run_id
        OR r.booked_on <> run.booked_on
        OR r.kind NOT IN (
            'charge', 'purchase', 'refund', 'charge_void', 'purchase_void', 'refund_void', 'recount'
        )
        OR CASE
            WHEN r.kind = 'recount' THEN r.amount <> 0 OR r.net_amount <> 0 OR r.method IS NOT NULL
            ELSE r.amount NOT BETWEEN 1 AND 100000000
        END
        OR (r.kind IN ('refund', 'refund_void')) <> (r.original_transaction_id IS NOT NULL)
        OR r.event_id IS NOT NULL AND r.kind IN ('charge', 'purchase', 'refund')
        OR run.format = 1 AND r.kind NOT IN ('charge', 'purchase', 'refund')
        OR r.enrolled_account_id IS NOT DISTINCT FROM r.account_id
        OR length(r.person_id) NOT BETWEEN 1 AND 64
        OR length(r.service_id) NOT BETWEEN 1 AND 64
        OR length(r.account_id) NOT BETWEEN 1 AND 64
        OR length(r.enrolled_account_id) NOT BETWEEN 1 AND 64
        OR length(r.transaction_id) NOT BETWEEN 1 AND 64
        OR regexp_matches(
            concat(r.service_id, r.account_id, r.enrolled_account_id, r.transaction_id),
            '[\x00-\x1f\x7f]'
        )
    ) AS undeclared
FROM (
    SELECT
        r.*,
        s.person_id IS NOT NULL AS is_of_suspect,
        q.key IS NOT NULL AS is_in_question
    FROM ledger_rows AS r
    LEFT JOIN suspect AS s ON s.person_id = r.person_id
    LEFT JOIN key_in_question AS q ON q.key = key_of(r.service_id, r.transaction_id)
    WHERE s.person_id IS NOT NULL OR q.key IS NOT NULL OR r.kind = 'refund'
) AS r
JOIN file_terms AS run USING (file);

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
    WHERE (SELECT are_suspects FROM everyone)
)
WHERE amiss;

-- A person's entries, one after the other -----------------------------------------------------

CREATE TABLE step AS
SELECT
    pos,
    entry_seq,
    before_seq,
    net_spend_after,
    before_net + net_amount AS net,
    points_after,
    before_points + points AS sum_of_points,
    points_after < 0 AS below_nothing,
    points_after * denominator > counted_of(net_spend_after, cap_yen) * numerator AS too_much
FROM (
    SELECT
        *,
        coalesce(lag(entry_seq) OVER person, 0) AS before_seq,
        coalesce(lag(net_spend_after) OVER person, 0) AS before_net,
        coalesce(lag(points_after) OVER person, 0) AS before_points
    FROM entry
    WHERE is_of_suspect
    WINDOW person AS (PARTITION BY person_id ORDER BY pos)
)
JOIN run USING (run)
WHERE
    entry_seq <> before_seq + 1
    OR net_spend_after <> before_net + net_amount
    OR points_after <> before_points + points
    OR below_nothing
    OR too_much;

INSERT INTO fault
SELECT
    'numbering', 1, pos, format('entry {} of a person follows entry {}', entry_seq, before_seq)
FROM step
WHERE entry_seq <> before_seq + 1;

INSERT INTO fault
SELECT
    'net_spend', 4, pos, format('net_spend_after is {}, recalculated {}', net_spend_after, net)
FROM step
WHERE net_spend_after <> net;

INSERT INTO fault
SELECT
    'points_sum',
    4,
    pos,
    format('points_after is {}, recalculated {}', points_after, sum_of_points)
FROM step
WHERE points_after <> sum_of_points;

INSERT INTO fault
SELECT 'too_much', 4, pos, 'the person holds fewer points than none'
FROM step
WHERE below_nothing;

-- Rates and caps that changed would have to be followed through time; the steps do that.
INSERT INTO fault
SELECT 'too_much', 4, pos, 'the person holds more points than the rate of the counted spend'
FROM step
WHERE
    too_much
    AND (SELECT count(DISTINCT (cap_yen, numerator, denominator)) = 1 FROM run);

-- No key twice: its bookings and voids alternate ----------------------------------------------

-- A run's voids come ahead of its bookings, whoever they are of.
CREATE TABLE turn AS
SELECT
    pos,
    run,
    person_id,
    service_id,
    transaction_id,
    kind,
    is_void,
    coalesce(lag(is_void) OVER key, true) AS was_void,
    lag(pos) OVER key AS before_pos,
    CASE WHEN lead(is_void) OVER key THEN lead(run) OVER key END AS void_run
FROM entry
SEMI JOIN (
    SELECT key FROM entry WHERE NOT is_recount GROUP BY key HAVING count(*) > 1 OR bool_or(is_void)
) USING (key)
WHERE NOT is_recount
WINDOW key AS (PARTITION BY service_id, transaction_id ORDER BY run, NOT is_void, pos);

INSERT INTO fault
SELECT 'twice', 3, pos, 'the transaction is in the ledger already'
FROM turn
WHERE NOT is_void AND NOT was_void;

INSERT INTO fault
SELECT 'void', 4, pos, 'what the entry voids is not in the ledger, or void already'
FROM turn
WHERE is_void AND was_void;

CREATE TABLE void AS
SELECT
    v.pos,
    v.run,
    v.event_id,
    v.person_id,
    b.pos AS booked_pos,
    (
        v.person_id, v.service_id, v.account_id, v.own_account_id, v.transaction_id, v.occurred_at,
        v.kind, v.amount, v.original_transaction_id, v.method, v.net_amount
    ) IS DISTINCT FROM (
        b.person_id, b.service_id, b.account_id, b.own_account_id, b.transaction_id, b.occurred_at,
        b.kind, b.amount, b.original_transaction_id, b.method, -b.net_amount
    ) AS differs,
    b.run = v.run AS of_this_run
FROM entry AS v
JOIN turn USING (pos)
JOIN entry AS b ON b.pos = turn.before_pos
WHERE v.is_void AND NOT turn.was_void;

INSERT INTO fault
SELECT 'void', 4, pos, 'the entry does not repeat what it voids, with the opposite net amount'
FROM void
WHERE differs;

INSERT INTO fault
SELECT 'void', 4, pos, 'the entry voids what the same run booked'
FROM void
WHERE of_this_run;

INSERT INTO fault
SELECT 'void', 4, pos, 'the entry voids without an event that this run accepted'
FROM entry
ANTI JOIN event USING (run, event_id)
WHERE is_void;

-- Charges and purchases that other entries are about, each as often as it was booked.
CREATE TABLE spending AS
SELECT e.pos, e.run, e.person_id, e.service_id, e.transaction_id, e.occurred_at, e.amount,
    e.own_account_id, t.void_run
FROM entry AS e
LEFT JOIN turn AS t USING (pos)
WHERE
    e.kind IN ('charge', 'purchase')
    AND NOT e.is_void
    AND e.key IN (
        SELECT key_of(service_id, original_transaction_id) FROM entry WHERE kind = 'refund'
        UNION ALL
        SELECT key FROM entry WHERE is_void OR is_recount
    );

-- Refunds and their originals -----------------------------------------------------------------

CREATE TABLE refund AS
SELECT
    r.*,
    o.pos AS original_pos,
    o.person_id AS original_person,
    o.own_account_id AS original_account,
    o.occurred_at AS original_occurred_at,
    o.amount AS original_amount,
    o.void_run AS original_void_run,
    o.amount + coalesce(
        sum(r.net_amount) OVER (
            PARTITION BY o.pos ORDER BY r.pos ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ),
        0
    )::BIGINT AS left_yen
FROM (
    SELECT
        pos, run, format, person_id, service_id, own_account_id, occurred_at, amount, net_amount,
        is_void, original_transaction_id, run - is_void::BIGINT AS booked_until
    FROM entry
    WHERE kind = 'refund'
) AS r
ASOF LEFT JOIN spending AS o
    ON o.service_id = r.service_id
    AND o.transaction_id = r.original_transaction_id
    AND r.booked_until >= o.run;

INSERT INTO fault
SELECT 'refund', 4, pos, 'the original of the refund is not in the ledger before it'
FROM refund
WHERE NOT is_void AND (original_pos IS NULL OR original_pos > pos OR original_void_run <= run);

INSERT INTO fault
SELECT 'refund', 4, pos, 'the refund is of another account than its original'
FROM refund
WHERE (person_id, own_account_id) <> (original_person, original_account);

INSERT INTO fault
SELECT 'refund', 4, pos, 'the refund is earlier than its original'
FROM refund
WHERE occurred_at < original_occurred_at;

INSERT INTO fault
SELECT 'refund', 4, pos, 'the original of the refund is void, the refund is not'
FROM refund AS r
LEFT JOIN turn AS t USING (pos)
WHERE NOT r.is_void AND r.original_void_run > r.run AND coalesce(t.void_run > r.original_void_run, true);

INSERT INTO fault
SELECT
    'refund',
    4,
    pos,
    format('{} yen are refunded of an original of {}', original_amount - left_yen + amount, original_amount)
FROM refund
WHERE NOT is_void AND format = 1 AND amount > left_yen;

INSERT INTO fault
SELECT
    'refund',
    4,
    pos,
    format('the refund takes {} yen, of its original {} were left', -net_amount, left_yen)
FROM refund
WHERE NOT is_void AND format > 1 AND (left_yen <= 0 OR -net_amount <> least(amount, left_yen));

INSERT INTO fault
SELECT 'net_amount', 4, pos, format('net_amount is {}, the amount is {}', net_amount, amount)
FROM entry
WHERE kind IN ('charge', 'purchase') AND NOT is_void AND net_amount <> amount;

-- The order of booking ------------------------------------------------------------------------

INSERT INTO fault
SELECT 'order', 1, pos, 'the entry stands behind one that is to be booked after it'
FROM (
    SELECT
        pos,
        CASE
            WHEN is_void THEN NOT before_void OR booked_pos >= before_booked
            ELSE NOT before_void AND (occurred_at, kind = 'refund', service_id, transaction_id)
                <= (before_at, before_refund, before_service, before_transaction)
        END AS amiss
    FROM (
        SELECT
            e.pos,
            e.is_void,
            e.occurred_at,
            e.kind,
            e.service_id,
            e.transaction_id,
            v.booked_pos,
            lag(e.is_void) OVER person AS before_void,
            lag(v.booked_pos) OVER person AS before_booked,
            lag(e.occurred_at) OVER person AS before_at,
            lag(e.kind = 'refund') OVER person AS before_refund,
            lag(e.service_id) OVER person AS before_service,
            lag(e.transaction_id) OVER person AS before_transaction
        FROM entry AS e
        LEFT JOIN void AS v USING (pos)
        WHERE e.is_of_suspect AND NOT e.is_recount
        WINDOW person AS (PARTITION BY e.run, e.person_id ORDER BY e.pos)
    )
)
WHERE amiss;

-- Rounding groups -----------------------------------------------------------------------------

-- The charge or purchase that an entry of another kind is about.
CREATE TABLE about_other AS
SELECT pos, original_pos AS spending_pos FROM refund
UNION ALL
SELECT v.pos, v.booked_pos FROM void AS v JOIN spending AS s ON s.pos = v.booked_pos
UNION ALL
SELECT r.pos, s.pos
FROM (SELECT * FROM entry WHERE is_recount) AS r
ASOF LEFT JOIN spending AS s
    ON s.person_id = r.person_id
    AND s.service_id = r.service_id
    AND s.transaction_id = r.transaction_id
    AND r.pos > s.pos;

CREATE VIEW about AS
SELECT pos, pos AS spending_pos FROM entry WHERE kind IN ('charge', 'purchase') AND NOT is_void
UNION ALL
FROM about_other;

INSERT INTO fault
SELECT 'recount', 4, r.pos, 'the entry does not repeat a transaction of the person that is booked'
FROM entry AS r
JOIN about_other AS a USING (pos)
LEFT JOIN entry AS s ON s.pos = a.spending_pos
WHERE
    r.is_recount
    AND (
        s.pos IS NULL
        OR (r.person_id, r.account_id, r.own_account_id, r.occurred_at)
        <> (s.person_id, s.account_id, s.own_account_id, s.occurred_at)
    );

-- A service whose rounding was changed, which format 1 allowed, has its entries in groups of each
-- kind; a run's entries are worth what they add to the groups of the kind that it rounded by.
CREATE TABLE grouped AS
SELECT
    e.pos,
    e.run,
    e.points,
    e.counted_amount,
    e.person_id,
    k.rounding,
    mine.rounding AS rounding_of_run,
    {
        'service': e.service_id,
        'account': e.own_account_id,
        'rounding': k.rounding,
        'part': CASE k.rounding
            WHEN 'month' THEN strftime(coalesce(r.original_occurred_at, e.occurred_at), '%Y-%m')
            WHEN 'transaction' THEN coalesce(e.original_transaction_id, e.transaction_id)
        END
    } AS rounding_group
FROM entry AS e
JOIN (SELECT DISTINCT service_id, rounding FROM service) AS k USING (service_id)
LEFT JOIN service AS mine ON mine.service_id = e.service_id AND mine.run = e.run
LEFT JOIN refund AS r ON r.pos = e.pos
WHERE e.is_of_suspect;

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
            *,
            sum(counted_amount) OVER (
                PARTITION BY person_id, rounding_group ORDER BY pos
            )::BIGINT AS group_sum
        FROM grouped
    )
    JOIN run USING (run)
    WHERE rounding = rounding_of_run
)
WHERE points <> recalculated;

-- What counts ---------------------------------------------------------------------------------

-- What takes back, or a void of it, may change other groups of a person beyond the cap.
CREATE TABLE crossing AS
SELECT e.pos, e.run, e.person_id, e.entry_seq, e.net_amount, e.event_id, a.spending_pos, run.cap_yen
FROM entry AS e
JOIN run USING (run)
JOIN about_other AS a USING (pos)
SEMI JOIN (
    SELECT person_id
    FROM grouped
    WHERE rounding = rounding_of_run
    GROUP BY person_id
    HAVING count(DISTINCT rounding_group) > 1
) USING (person_id)
WHERE
    e.format > 1
    AND (e.is_void OR e.kind = 'refund')
    AND greatest(e.net_spend_after, e.net_spend_after - e.net_amount) > run.cap_yen;

INSERT INTO fault
SELECT
    'counted', 4, pos, format('counted_amount is {}, recalculated {}', counted_amount, recalculated)
FROM (
    SELECT
        pos,
        counted_amount,
        counted_of(net_spend_after, cap_yen) - counted_of(net_spend_after - net_amount, cap_yen)
            AS recalculated
    FROM entry
    JOIN run USING (run)
    ANTI JOIN crossing USING (pos)
    WHERE NOT is_recount
)
WHERE counted_amount <> recalculated;

-- By entry, the groups whose count it changes, and each's first transaction that it does.
CREATE TABLE change AS
WITH
movement AS (
    SELECT e.pos, e.person_id, e.net_amount, a.spending_pos
    FROM entry AS e
    JOIN about AS a USING (pos)
    SEMI JOIN crossing USING (person_id)
    WHERE NOT e.is_recount
),
remaining AS (
    SELECT
        c.pos,
        c.cap_yen,
        m.spending_pos,
        sum(m.net_amount)::BIGINT AS left_after,
        coalesce(sum(m.net_amount) FILTER (m.pos < c.pos), 0)::BIGINT AS left_before
    FROM crossing AS c
    JOIN movement AS m ON m.person_id = c.person_id AND m.pos <= c.pos
    GROUP BY ALL
),
running AS (
    SELECT
        *,
        sum(left_after) OVER place::BIGINT AS sum_after,
        sum(left_before) OVER place::BIGINT AS sum_before
    FROM remaining
    WINDOW place AS (PARTITION BY pos ORDER BY spending_pos)
),
counted AS (
    SELECT
        pos,
        spending_pos,
        least(sum_after, cap_yen) - least(sum_after - left_after, cap_yen)
        - least(sum_before, cap_yen) + least(sum_before - left_before, cap_yen) AS yen
    FROM running
)
SELECT
    c.pos,
    g.rounding_group,
    sum(c.yen)::BIGINT AS yen,
    min(c.spending_pos) FILTER (c.yen <> 0) AS first_pos
FROM counted AS c
JOIN grouped AS g ON g.pos = c.spending_pos AND g.rounding = g.rounding_of_run
GROUP BY ALL;

INSERT INTO fault
SELECT
    'counted',
    4,
    c.pos,
    format('counted_amount is {}, recalculated {}', e.counted_amount, coalesce(h.yen, 0))
FROM crossing AS c
JOIN entry AS e USING (pos)
LEFT JOIN grouped AS g ON g.pos = c.spending_pos AND g.rounding = g.rounding_of_run
LEFT JOIN change AS h ON h.pos = c.pos AND h.rounding_group = g.rounding_group
WHERE e.counted_amount <> coalesce(h.yen, 0);

CREATE TABLE expected_recount AS
SELECT
    pos AS caused_by,
    person_id,
    event_id,
    first_pos,
    yen,
    -- What takes room away is said first, so that nobody is above the cap at any entry.
    CASE WHEN net_amount > 0 THEN entry_seq - times + place - 1 ELSE entry_seq + place END
        AS entry_seq
FROM (
    SELECT
        c.*,
        h.first_pos,
        h.yen,
        row_number() OVER (PARTITION BY c.pos ORDER BY h.first_pos) AS place,
        count(*) OVER (PARTITION BY c.pos) AS times
    FROM crossing AS c
    JOIN change AS h USING (pos)
    LEFT JOIN grouped AS g ON g.pos = c.spending_pos AND g.rounding = g.rounding_of_run
    WHERE h.yen <> 0 AND h.rounding_group IS DISTINCT FROM g.rounding_group
);

-- What format 1 counted otherwise, the first run of a later format says ahead of a person's other
-- entries.
CREATE TABLE inherited_recount AS
WITH
since AS (
    SELECT run, cap_yen
    FROM run
    WHERE format > 1 AND (SELECT min(format) FROM run) = 1
    ORDER BY run
    LIMIT 1
),
inherited AS (
    SELECT
        e.person_id,
        a.spending_pos,
        max(e.entry_seq) AS entry_seq,
        sum(e.counted_amount)::BIGINT AS counted,
        sum(e.net_amount)::BIGINT AS left_yen
    FROM entry AS e
    JOIN about AS a USING (pos)
    SEMI JOIN (SELECT person_id FROM refund WHERE format = 1) USING (person_id)
    WHERE e.format = 1 AND EXISTS (FROM since)
    GROUP BY ALL
),
running AS (
    SELECT
        *,
        max(entry_seq) OVER (PARTITION BY person_id) AS last_seq,
        sum(left_yen) OVER (PARTITION BY person_id ORDER BY spending_pos)::BIGINT AS sum_after
    FROM inherited
),
counted AS (
    SELECT
        *,
        least(sum_after, cap_yen) - least(sum_after - left_yen, cap_yen) - counted AS yen
    FROM running
    CROSS JOIN since
),
changed AS (
    SELECT
        c.run,
        c.person_id,
        c.last_seq,
        g.rounding_group,
        sum(c.yen)::BIGINT AS yen,
        min(c.spending_pos) FILTER (c.yen <> 0) AS first_pos
    FROM counted AS c
    JOIN grouped AS g ON g.pos = c.spending_pos
    JOIN entry AS e ON e.pos = c.spending_pos
    JOIN service AS s
        ON s.run = c.run AND s.service_id = e.service_id AND s.rounding = g.rounding
    GROUP BY ALL
    HAVING sum(c.yen) <> 0
)
SELECT
    run,
    person_id,
    first_pos,
    yen,
    last_seq + row_number() OVER (PARTITION BY person_id ORDER BY yen > 0, first_pos) AS entry_seq
FROM changed;

INSERT INTO expected_recount
SELECT first_pos, person_id, NULL, first_pos, yen, entry_seq
FROM inherited_recount;

INSERT INTO fault
SELECT
    'recount',
    4,
    coalesce(r.pos, x.caused_by),
    CASE
        WHEN r.pos IS NULL THEN 'the entry changes another rounding group, and no recount says so'
        WHEN x.caused_by IS NULL THEN 'no entry changes this rounding group'
        ELSE format(
            'counted_amount is {}, recalculated {}, of another transaction or by another event',
            r.counted_amount,
            x.yen
        )
    END
FROM (SELECT e.*, a.spending_pos FROM entry AS e JOIN about_other AS a USING (pos) WHERE is_recount) AS r
FULL JOIN expected_recount AS x USING (person_id, entry_seq)
WHERE
    r.pos IS NULL
    OR x.caused_by IS NULL
    OR (r.spending_pos, r.counted_amount, r.event_id)
    IS DISTINCT FROM (x.first_pos, x.yen, x.event_id);

-- Who is enrolled, and what counts ------------------------------------------------------------

CREATE TABLE enrollment_fault AS
SELECT file, 'an account was accepted more than once' AS what
FROM account
ANTI JOIN concerned USING (service_id, account_id)
WHERE times > 1;

CREATE VIEW held AS
FROM holder
UNION ALL
SELECT
    service_id,
    account_id,
    2 * (file + 1) + 1,
    forever(),
    'only',
    person_id,
    account_id,
    NULL,
    applied_at,
    basis
FROM account
ANTI JOIN concerned USING (service_id, account_id);

-- By what each booked entry was let in.
CREATE VIEW let_in AS
SELECT
    e.pos,
    e.run,
    e.kind,
    e.service_id,
    e.transaction_id,
    e.occurred_at,
    e.method,
    e.person_id,
    e.account_id,
    e.own_account_id,
    e.is_in_question,
    h.enrollment,
    coalesce(
        h.person_id = e.person_id
        AND h.own_account_id = e.own_account_id
        AND coalesce(h.since <= e.occurred_at, true),
        false
    ) AS enrolled,
    h.applied_at,
    h.basis
FROM entry AS e
LEFT JOIN held AS h
    ON h.service_id = e.service_id
    AND h.account_id = e.account_id
    AND 2 * e.run + 1 BETWEEN h.since_time AND h.until_time
WHERE NOT e.is_void AND NOT e.is_recount;

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
        n.pos,
        n.occurred_at,
        n.kind,
        n.kind <> 'refund' AS spending,
        s.service_id IS NOT NULL AS known,
        n.enrolled,
        run.window_first,
        run.window_last,
        s.awards_close_on,
        counts_from(s.counts_from, n.applied_at) AS counts_from_at,
        basis_of(s.basis, n.basis) AS basis,
        x.method IS NOT NULL AS excluded
    FROM let_in AS n
    JOIN run ON run.run = n.run
    LEFT JOIN service AS s ON s.run = n.run AND s.service_id = n.service_id
    LEFT JOIN excluded AS x
        ON x.run = n.run AND x.service_id = n.service_id AND x.method = n.method
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

-- What events do not let stand ----------------------------------------------------------------

-- Each booked entry that anything else is about, from its booking to the void of it, if there is one.
CREATE TABLE lifetime AS
SELECT
    n.*,
    2 * n.run + 1 AS since_time,
    coalesce(2 * t.void_run - 1, forever()) AS until_time,
    t.void_run
FROM (
    FROM let_in WHERE is_in_question
    UNION ALL
    FROM let_in SEMI JOIN concerned USING (service_id, account_id) WHERE NOT is_in_question
) AS n
LEFT JOIN turn AS t USING (pos);

-- When it may not stand: from which place in time on, to which.
CREATE TABLE amiss AS
SELECT l.pos, h.since_time, h.until_time, 'the enrollment that it was booked for' AS what
FROM lifetime AS l
SEMI JOIN concerned USING (service_id, account_id)
JOIN holder AS h USING (service_id, account_id)
WHERE
    h.enrollment IS DISTINCT FROM l.enrollment
    OR h.person_id IS DISTINCT FROM l.person_id
    OR h.own_account_id IS DISTINCT FROM l.own_account_id
    OR h.since > l.occurred_at
UNION ALL
SELECT l.pos, s.since_time, s.until_time, 'a stop'
FROM lifetime AS l
JOIN stop AS s USING (enrollment)
WHERE
    l.kind <> 'refund' AND l.occurred_at >= s.stopped_from AND l.occurred_at < s.stopped_until
UNION ALL
SELECT l.pos, m.since_time, m.until_time, 'an event that voids it by name'
FROM lifetime AS l
JOIN named AS m USING (service_id, transaction_id);

INSERT INTO fault
SELECT DISTINCT
    'not_void',
    4,
    l.pos,
    CASE
        WHEN a.what LIKE 'the enrollment%' THEN 'the entry stands, and its enrollment does not'
        ELSE format('the entry stands against {}', a.what)
    END
FROM lifetime AS l
JOIN amiss AS a
    ON a.pos = l.pos AND a.since_time <= l.until_time AND a.until_time >= l.since_time;

-- A refund goes with its original, and a cut one with those of the same original before it.
INSERT INTO fault
SELECT 'void', 4, v.pos, 'nothing that is in force then asks for the void of this entry'
FROM void AS v
JOIN entry AS e ON e.pos = v.booked_pos
ANTI JOIN (
    SELECT a.pos, l.void_run AS run
    FROM amiss AS a
    JOIN lifetime AS l USING (pos)
    WHERE 2 * l.void_run BETWEEN a.since_time AND a.until_time
) AS cause ON cause.pos = v.booked_pos AND cause.run = v.run
LEFT JOIN refund AS r ON r.pos = v.booked_pos
WHERE
    r.pos IS NULL
    OR NOT coalesce(r.original_void_run = v.run, false)
    AND NOT (
        -r.net_amount < r.amount
        AND EXISTS (
            FROM void AS w
            JOIN refund AS q ON q.pos = w.booked_pos
            WHERE w.run = v.run AND q.original_pos = r.original_pos AND q.pos < r.pos
        )
    );

-- What waits ----------------------------------------------------------------------------------

-- Rows that were turned away, and booked ones that are void: each waits from its run on.
CREATE TABLE waiting AS
SELECT
    d.file + 1 AS run, d.file, d.row, NULL AS pos, d.service_id, d.transaction_id, d.account_id,
    d.occurred_at, d.kind, d.amount, d.original_transaction_id, d.method
FROM declined_rows AS d
JOIN run ON run.run = d.file + 1
WHERE run.format > 1 AND d.reason <> 'duplicate'
UNION ALL
SELECT
    t.void_run, NULL, NULL, e.pos, e.service_id, e.transaction_id, e.account_id, e.occurred_at,
    e.kind, e.amount, e.original_transaction_id, e.method
FROM turn AS t
JOIN entry AS e USING (pos)
WHERE t.void_run IS NOT NULL AND NOT t.is_void;

CREATE TABLE taken_up AS
SELECT e.run, count(*) AS rows, sum(e.amount)::BIGINT AS yen
FROM (SELECT * FROM entry WHERE NOT is_void AND NOT is_recount) AS e
JOIN (SELECT run FROM run WHERE reconsidered > 0) AS r USING (run)
WHERE EXISTS (
    FROM waiting AS w
    WHERE
        w.service_id = e.service_id
        AND w.transaction_id = e.transaction_id
        AND (w.run < e.run OR w.run = e.run AND w.pos IS NOT NULL)
        AND (w.account_id, w.occurred_at, w.kind, w.amount, w.original_transaction_id, w.method)
        IS NOT DISTINCT FROM
        (e.account_id, e.occurred_at, e.kind, e.amount, e.original_transaction_id, e.method)
)
GROUP BY e.run;

-- The last content that waits for a key that is not in force.
CREATE TABLE still_waiting AS
SELECT w.*, w.pos IS NOT NULL AS booked_once
FROM waiting AS w
ANTI JOIN (
    SELECT service_id, transaction_id FROM lifetime WHERE void_run IS NULL
) USING (service_id, transaction_id)
ANTI JOIN left_alone USING (service_id, transaction_id)
WHERE (SELECT max(whole) = 0 FROM left_alone_whole)
QUALIFY row_number() OVER (
    PARTITION BY service_id, transaction_id ORDER BY w.run DESC, w.pos NULLS FIRST
) = 1;

CREATE TABLE waiting_fault AS
SELECT
    w.file,
    w.row,
    w.pos,
    w.service_id,
    w.transaction_id,
    h.person_id,
    w.account_id,
    'by the last run''s terms and enrollments the row can be booked, and waits' AS what
FROM still_waiting AS w
JOIN run ON run.run = (SELECT max(run) FROM run)
JOIN service AS s ON s.run = run.run AND s.service_id = w.service_id
JOIN held AS h
    ON h.service_id = w.service_id
    AND h.account_id = w.account_id
    AND h.until_time = forever()
LEFT JOIN excluded AS x
    ON x.run = run.run AND x.service_id = w.service_id AND x.method = w.method
WHERE
    run.format > 1
    AND w.kind <> 'refund'
    AND h.person_id IS NOT NULL
    AND coalesce(h.since <= w.occurred_at, true)
    AND w.occurred_at::DATE BETWEEN run.window_first AND run.window_last
    AND w.occurred_at >= counts_from(s.counts_from, h.applied_at)
    AND coalesce(w.occurred_at::DATE <= s.awards_close_on, true)
    AND w.kind = basis_of(s.basis, h.basis)
    AND x.method IS NULL
    AND (booked_once OR coalesce(run.booked_on - w.occurred_at::DATE < run.reconsider_days, true))
    AND NOT EXISTS (
        FROM stop AS t
        WHERE
            t.enrollment = h.enrollment
            AND t.until_time = forever()
            AND w.occurred_at >= t.stopped_from
            AND w.occurred_at < t.stopped_until
    )
    AND NOT EXISTS (
        FROM named AS m
        WHERE
            m.service_id = w.service_id
            AND m.transaction_id = w.transaction_id
            AND m.until_time = forever()
    )
UNION ALL
SELECT
    w.file, w.row, w.pos, w.service_id, w.transaction_id, o.person_id, w.account_id,
    'its original is booked and not refunded in whole, and the refund waits'
FROM still_waiting AS w
JOIN run ON run.run = (SELECT max(run) FROM run)
JOIN lifetime AS o
    ON o.service_id = w.service_id
    AND o.transaction_id = w.original_transaction_id
    AND o.void_run IS NULL
    AND o.kind <> 'refund'
JOIN held AS h
    ON h.service_id = w.service_id
    AND h.account_id = w.account_id
    AND h.until_time = forever()
LEFT JOIN (
    SELECT original_pos, sum(net_amount)::BIGINT AS taken FROM refund GROUP BY ALL
) AS r ON r.original_pos = o.pos
JOIN entry AS e ON e.pos = o.pos
WHERE
    run.format > 1
    AND w.kind = 'refund'
    AND h.enrollment IS NOT DISTINCT FROM o.enrollment
    AND h.own_account_id = o.own_account_id
    AND coalesce(h.since <= w.occurred_at, true)
    AND w.occurred_at >= o.occurred_at
    AND e.amount + coalesce(r.taken, 0) > 0
    AND (booked_once OR coalesce(run.booked_on - w.occurred_at::DATE < run.reconsider_days, true))
    AND NOT EXISTS (
        FROM named AS m
        WHERE
            m.service_id = w.service_id
            AND m.transaction_id = w.transaction_id
            AND m.until_time = forever()
    );

-- What the records add up ---------------------------------------------------------------------

CREATE TABLE total AS
SELECT
    run,
    count(*) FILTER (NOT is_void AND NOT is_recount) AS rows,
    coalesce(sum(amount) FILTER (NOT is_void AND NOT is_recount), 0)::BIGINT AS yen,
    count(*) FILTER (is_void) AS voided,
    count(*) FILTER (is_recount) AS recounted,
    coalesce(sum(points) FILTER (points > 0), 0)::BIGINT AS awarded,
    -coalesce(sum(points) FILTER (points < 0), 0)::BIGINT AS reversed
FROM (
    SELECT
        f.run, r.amount, r.points, r.kind LIKE '%\_void' ESCAPE '\' AS is_void,
        r.kind = 'recount' AS is_recount
    FROM ledger_rows AS r
    JOIN ledger_file AS f USING (file)
)
GROUP BY run;

CREATE TABLE people AS
SELECT run, count(*) AS people, count(*) FILTER (net >= cap_yen) AS people_at_the_cap
FROM (SELECT run, person_id, arg_max(net_spend_after, pos) AS net FROM edge GROUP BY run, person_id)
JOIN run USING (run)
GROUP BY run;
